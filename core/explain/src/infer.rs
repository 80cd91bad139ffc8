//! Posteriors of a network: exactly where that fits, else by the steps of the ladder.
//!
//! 1. The junction tree of the whole network. 2. The junction tree of its most telling [`NARROW_NODES`] services, each
//!    with its [`NARROW_PARENTS`] strongest causes. 3. The same with [`THIN_PARENTS`]. 4. Hypotheses of at most two faults on those of 2.
//!    Later steps say so in the method.
use crate::config::{ARCS_MAX, ENTRIES_MAX, NARROW_NODES, NARROW_PARENTS, THIN_PARENTS};
use crate::enumerate;
use crate::model::{Model, Role};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use faultline_bayes::{Cause, Evidence, Network, NetworkError, Session, Tree, VarId};
use faultline_model::float;

/// A network, made ready to be asked.
#[derive(Debug)]
pub(crate) struct Compiled {
    model: Model,
    /// Of the method: what was done to make it fit.
    words: String,
    /// None where it is no network.
    built: Option<Built>,
    /// None where that would be too large.
    tree: Option<Tree>,
}

/// A model as a network, and the id of each variable.
#[derive(Debug)]
pub(crate) struct Built {
    pub network: Network,
    pub ids: Vec<VarId>,
    /// The variables between each one and its causes, in the order of the chain.
    pub between: Vec<Vec<VarId>>,
}

/// What a network says, and whom to ask what it would say.
#[derive(Debug)]
pub(crate) struct Answer<'c> {
    pub model: &'c Model,
    pub method: String,
    /// P(on | evidence) of each variable.
    pub posteriors: Vec<f64>,
    pub built: Option<&'c Built>,
    asked: Option<Asked<'c>>,
}

/// A tree that is asked one question after the other, each a little other than the last; of its answers come the bits that a first
/// question would get.
#[derive(Debug)]
struct Asked<'c> {
    tree: &'c Tree,
    ids: &'c [VarId],
    session: RefCell<Session<'c>>,
}

impl Asked<'_> {
    /// None where the evidence does not fit the tree's numbers.
    fn ask(&self, model: &Model, nats: &[f64]) -> Option<Vec<f64>> {
        let posteriors = self.session.borrow_mut().propagate(&evidence(model, self.ids, nats)).ok()?;
        self.ids.iter().map(|&id| posteriors.marginal(id).map(|states| states[1])).collect()
    }
}

impl Answer<'_> {
    /// Table entries that a pass goes through; of hypotheses about as much work.
    pub fn entries(&self) -> u64 {
        self.asked.as_ref().map_or(ENTRIES_MAX, |asked| asked.tree.entries())
    }

    /// `P(family | evidence)` of each family, row-major, its last variable fastest; none without a tree.
    pub fn joints(&self, families: &[Vec<VarId>]) -> Option<Vec<Option<Vec<f64>>>> {
        let asked = self.asked.as_ref()?;
        let nats: Vec<f64> = self.model.vars.iter().map(|var| var.nats).collect();
        asked.session.borrow_mut().joints(&evidence(self.model, asked.ids, &nats), families).ok()
    }

    /// The posteriors if the evidence on some variables were other than it is: `(variable, nats)` each.
    pub fn with(&self, changed: &[(usize, f64)]) -> Vec<f64> {
        let mut nats: Vec<f64> = self.model.vars.iter().map(|var| var.nats).collect();
        changed.iter().for_each(|&(at, other)| nats[at] = other);
        let exact = self.asked.as_ref().and_then(|asked| asked.ask(self.model, &nats));
        exact.unwrap_or_else(|| enumerate::posteriors(self.model, &nats))
    }
}

/// Makes a network fit.
///
/// - `swift`: whether little is tried before it is narrowed, or answered by hypotheses.
pub(crate) fn compile(model: Model, swift: bool) -> Compiled {
    let compile = if swift { Tree::compile_or_give_up } else { Tree::compile };
    let compiled = |model: Model, words: String| {
        let built = Built::new(&model).ok();
        let tree = built.as_ref().and_then(|built| compile(&built.network, ENTRIES_MAX).ok());
        Compiled { model, words, built, tree }
    };
    let model = if model.arcs() <= ARCS_MAX && !model.thinned {
        let whole = compiled(model, String::new());
        if whole.tree.is_some() {
            return whole;
        }
        whole.model
    } else {
        model
    };
    let narrow = |parents| {
        let words = format!("narrowed to {NARROW_NODES} services with {parents} causes each, ");
        compiled(narrowed(&model, parents), words)
    };
    let wide = narrow(NARROW_PARENTS);
    if wide.tree.is_some() || !swift {
        return wide;
    }
    let thin = narrow(THIN_PARENTS);
    if thin.tree.is_some() { thin } else { wide }
}

/// Computes the posteriors.
pub(crate) fn infer(compiled: &Compiled) -> Answer<'_> {
    let Compiled { model, words, built, tree } = compiled;
    let asked = built.as_ref().zip(tree.as_ref()).map(|(built, tree)| Asked {
        tree,
        ids: &built.ids,
        session: RefCell::new(Session::new(tree)),
    });
    let nats: Vec<f64> = model.vars.iter().map(|var| var.nats).collect();
    let exact = asked.as_ref().and_then(|asked| asked.ask(model, &nats));
    let count = model.vars.len();
    let method = match (&asked, &exact) {
        (Some(asked), Some(_)) => {
            format!("{words}junction tree, {count} variables, {} entries", asked.tree.entries())
        }
        _ => format!("{words}hypotheses of at most two faults, {count} variables, approximate"),
    };
    let posteriors = exact.unwrap_or_else(|| enumerate::posteriors(model, &nats));
    Answer { model, method, posteriors, built: built.as_ref(), asked }
}

/// What is known of the variables of a network.
pub(crate) fn evidence(model: &Model, ids: &[VarId], nats: &[f64]) -> Evidence {
    let mut evidence = Evidence::new();
    for (at, var) in model.vars.iter().enumerate() {
        if var.on {
            evidence.observe(ids[at], 1);
        } else if nats[at] != 0.0 {
            evidence.likelihood(ids[at], &[1.0, float::exp(nats[at])]);
        }
    }
    evidence
}

impl Built {
    fn new(model: &Model) -> Result<Built, NetworkError> {
        let mut builder = Network::builder();
        let ids: Vec<VarId> =
            (0..model.vars.len()).map(|at| builder.variable(&format!("{at}"), 2)).collect::<Result<_, _>>()?;
        let mut between = Vec::with_capacity(ids.len());
        for (var, &id) in model.vars.iter().zip(&ids) {
            if var.causes.is_empty() {
                builder.cpt(id, &[], &[1.0 - var.base, var.base])?;
                between.push(Vec::new());
            } else {
                let causes: Vec<Cause> =
                    var.causes.iter().map(|arc| Cause::binary(ids[arc.cause], arc.strength)).collect();
                between.push(builder.noisy_or(id, var.base, &causes)?);
            }
        }
        Ok(Built { network: builder.build()?, ids, between })
    }
}

/// The services that say most and what lies between them and the violated ones, each variable with its strongest causes.
///
/// - `parents`: how many.
fn narrowed(model: &Model, parents: usize) -> Model {
    let count = model.vars.len();
    // The strongest chain of causes from any violated service to each variable.
    let (mut reach, mut before) = (vec![0.0; count], vec![None; count]);
    for &target in &model.targets {
        let (strength, chain) = model.strengths(target);
        for at in 0..count {
            if strength[at] > reach[at] {
                (reach[at], before[at]) = (strength[at], chain[at]);
            }
        }
    }
    let node = |at: usize| model.vars[at].role.node();
    let faults = (0..count).filter(|&at| matches!(model.vars[at].role, Role::Fault(_)) && reach[at] > 0.0);
    let says = |at: usize| model.vars[at].nats + float::ln(reach[at]);
    let mut faults: Vec<usize> = faults.collect();
    faults.sort_by(|&a, &b| float::order(says(b), says(a)).then(a.cmp(&b)));
    let mut nodes = alloc::collections::BTreeSet::new();
    for fault in faults {
        let mut chain = Vec::new();
        let mut at = Some(fault);
        while let Some(var) = at {
            chain.extend(node(var));
            at = before[var];
        }
        if chain.iter().filter(|node| !nodes.contains(*node)).count() + nodes.len() <= NARROW_NODES {
            nodes.extend(chain);
        }
    }
    // A host goes with what runs on it.
    let hosts = |node: &usize| model.find(Role::Trouble(*node)).map_or(&[][..], |at| &model.vars[at].causes);
    let hosts: alloc::collections::BTreeSet<usize> = nodes.iter().flat_map(hosts).map(|arc| arc.cause).collect();
    let kept = |at: usize| match node(at) {
        Some(node) => nodes.contains(&node),
        None => hosts.contains(&at),
    };
    let others: Vec<(Role, f64)> = model.vars.iter().map(|var| (var.role, var.taught)).collect();
    let mut place = vec![None; count];
    let mut narrow = Model { dropped: model.dropped.clone(), thinned: true, ..Model::default() };
    for (at, var) in model.vars.iter().enumerate().filter(|(at, _)| kept(*at)) {
        let mut var = var.clone();
        var.causes.retain(|arc| place[arc.cause].is_some());
        var.thin(&others, parents);
        var.causes.iter_mut().for_each(|arc| arc.cause = place[arc.cause].expect("only placed causes were kept"));
        place[at] = Some(narrow.vars.len());
        narrow.vars.push(var);
    }
    narrow.targets = model.targets.iter().filter_map(|&target| place[target]).collect();
    let all: alloc::collections::BTreeSet<usize> = (0..count).filter_map(node).collect();
    narrow.left_out = all.len() - nodes.len();
    narrow
}
