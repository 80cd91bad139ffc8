//! The network as plain data: binary variables, causes with strengths, and what is known of each.
//!
//! Both ways of inference read it, and so do the ranking and the words.
use crate::config::SHARE_UNKNOWN;
use alloc::vec::Vec;
use faultline_model::float;

/// What a variable stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The service has a fault of its own.
    Fault(usize),
    /// The way of this call has a fault.
    Link(usize),
    /// The service is degraded: slow, failing or not answering, as those who call it see it.
    Degraded(usize),
    /// The service lost work that it should have had.
    Lost(usize),
    /// The host has a fault, which what runs on it suffers from.
    Host(usize),
    /// The service has trouble of its own, by its own fault or by that of a host that it runs on.
    Trouble(usize),
}

/// A cause of a variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arc {
    /// The causing variable.
    pub cause: usize,
    /// P(it turns this variable on by itself).
    pub strength: f64,
    /// Share of the effect's excess that it explains, 0 to 1; none where that is not measured.
    pub share: Option<f64>,
    /// Whether the excess is followed along it: of causes that stand for the same share, along one.
    pub flows: bool,
    /// The call it stands for.
    pub edge: Option<usize>,
}

/// One binary variable.
#[derive(Clone, Debug)]
pub(crate) struct Var {
    pub role: Role,
    /// P(on) without any cause on: the prior of a fault, the leak of anything else.
    pub base: f64,
    /// Each cause once.
    pub causes: Vec<Arc>,
    /// What was measured, in nats for being on.
    pub nats: f64,
    /// What closed incidents teach of its service, in nats.
    pub taught: f64,
    /// Known to be on.
    pub on: bool,
    /// Share of the flow that reaches it and stays, where that is measured.
    pub own: Option<f64>,
}

impl Role {
    /// The service it is about; none for a way between two, and for a host.
    pub fn node(self) -> Option<usize> {
        match self {
            Role::Fault(node) | Role::Trouble(node) | Role::Degraded(node) | Role::Lost(node) => Some(node),
            Role::Link(_) | Role::Host(_) => None,
        }
    }

    /// Whether it is a fault, which nothing in the network causes.
    pub fn is_cause(self) -> bool {
        matches!(self, Role::Fault(_) | Role::Link(_) | Role::Host(_))
    }
}

impl Var {
    /// Keeps a few causes: its own fault, and then the strongest, of equal ones those that closed incidents speak for.
    ///
    /// - `others`: role and `taught` of all variables. `kept`: how many.
    pub fn thin(&mut self, others: &[(Role, f64)], kept: usize) {
        let own = |cause: usize| {
            let role = others[cause].0;
            (role.is_cause() || matches!(role, Role::Trouble(_))) && role.node() == self.role.node()
        };
        self.causes.sort_by(|a, b| {
            let strongest = float::order(b.strength, a.strength);
            let taught = float::order(others[b.cause].1, others[a.cause].1);
            own(b.cause).cmp(&own(a.cause)).then(strongest).then(taught).then(a.cause.cmp(&b.cause))
        });
        self.causes.truncate(kept);
    }
}

/// The network of one incident: causes of a variable come before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub vars: Vec<Var>,
    /// Variables of the violated services.
    pub targets: Vec<usize>,
    /// Calls left out because they closed a cycle.
    pub dropped: Vec<usize>,
    /// Services left out to keep it narrow.
    pub left_out: usize,
    /// Whether variables had more causes than are kept.
    pub thinned: bool,
}

impl Model {
    /// Number of arcs.
    pub fn arcs(&self) -> usize {
        self.vars.iter().map(|var| var.causes.len()).sum()
    }

    /// The variable of this role.
    pub fn find(&self, role: Role) -> Option<usize> {
        self.vars.iter().position(|var| var.role == role)
    }

    /// Strength of the strongest chain of causes from each variable to `target`, and the variable before it on that chain.
    pub fn strengths(&self, target: usize) -> (Vec<f64>, Vec<Option<usize>>) {
        let mut strength = alloc::vec![0.0; self.vars.len()];
        let mut before = alloc::vec![None; self.vars.len()];
        strength[target] = 1.0;
        // Effects come after their causes, so walking backwards meets each variable after all of its effects.
        for effect in (0..=target).rev() {
            if strength[effect] > 0.0 {
                for arc in &self.vars[effect].causes {
                    // Where nobody knows how much comes through a call, its length says nothing against who is at its end.
                    let unknown = arc.share.is_none() && arc.edge.is_some();
                    let through = strength[effect] * if unknown { arc.strength / SHARE_UNKNOWN } else { arc.strength };
                    if through > strength[arc.cause] {
                        strength[arc.cause] = through;
                        before[arc.cause] = Some(effect);
                    }
                }
            }
        }
        (strength, before)
    }
}
