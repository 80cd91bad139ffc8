//! Posteriors of a network: exactly where that fits, else by the steps of the ladder.
//!
//! 1. The junction tree of the whole network. 2. The junction tree of its most telling [`NARROW_NODES`] services. 3. Hypotheses of
//!    at most two faults on those. Later steps say so in the method.
use crate::config::{ARCS_MAX, ENTRIES_MAX, NARROW_NODES, NARROW_PARENTS};
use crate::enumerate;
use crate::model::{Model, Role};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use faultline_bayes::{Cause, Evidence, Network, NetworkError, Tree, VarId};
use faultline_model::float;

/// A network that can be asked.
#[derive(Debug)]
pub(crate) struct Answer {
    pub model: Model,
    pub method: String,
    /// P(on | evidence) of each variable.
    pub posteriors: Vec<f64>,
    tree: Option<(Tree, Vec<VarId>)>,
}

impl Answer {
    /// Table entries that a pass goes through; of hypotheses about as much work.
    pub fn entries(&self) -> u64 {
        self.tree.as_ref().map_or(ENTRIES_MAX, |(tree, _)| tree.entries())
    }

    /// The posteriors if the evidence on some variables were other than it is: `(variable, nats)` each.
    pub fn with(&self, changed: &[(usize, f64)]) -> Vec<f64> {
        let mut nats: Vec<f64> = self.model.vars.iter().map(|var| var.nats).collect();
        changed.iter().for_each(|&(at, other)| nats[at] = other);
        ask(&self.model, self.tree.as_ref(), &nats).unwrap_or_else(|| enumerate::posteriors(&self.model, &nats))
    }
}

/// Computes the posteriors.
pub(crate) fn infer(model: Model) -> Answer {
    let whole = (model.arcs() <= ARCS_MAX && !model.thinned).then(|| compile(&model)).flatten();
    let (model, words, tree) = match whole {
        Some(tree) => (model, String::new(), Some(tree)),
        None => {
            let model = narrowed(&model);
            let words = format!("narrowed to {NARROW_NODES} services with {NARROW_PARENTS} causes each, ");
            let tree = compile(&model);
            (model, words, tree)
        }
    };
    let nats: Vec<f64> = model.vars.iter().map(|var| var.nats).collect();
    let exact = tree.as_ref().and_then(|tree| ask(&model, Some(tree), &nats));
    let count = model.vars.len();
    let method = match (&tree, &exact) {
        (Some((tree, _)), Some(_)) => format!("{words}junction tree, {count} variables, {} entries", tree.entries()),
        _ => format!("{words}hypotheses of at most two faults, {count} variables, approximate"),
    };
    let posteriors = exact.unwrap_or_else(|| enumerate::posteriors(&model, &nats));
    Answer { model, method, posteriors, tree }
}

/// One question to a compiled tree; none where there is no tree or the evidence does not fit its numbers.
fn ask(model: &Model, tree: Option<&(Tree, Vec<VarId>)>, nats: &[f64]) -> Option<Vec<f64>> {
    let (tree, ids) = tree?;
    let posteriors = tree.propagate(&evidence(model, ids, nats)).ok()?;
    ids.iter().map(|&id| posteriors.marginal(id).map(|states| states[1])).collect()
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

fn compile(model: &Model) -> Option<(Tree, Vec<VarId>)> {
    let (network, ids) = network(model).ok()?;
    Some((Tree::compile(&network, ENTRIES_MAX).ok()?, ids))
}

/// The model as a network, and the id of each variable.
pub(crate) fn network(model: &Model) -> Result<(Network, Vec<VarId>), NetworkError> {
    let mut builder = Network::builder();
    let ids: Vec<VarId> =
        (0..model.vars.len()).map(|at| builder.variable(&format!("{at}"), 2)).collect::<Result<_, _>>()?;
    for (var, &id) in model.vars.iter().zip(&ids) {
        if var.causes.is_empty() {
            builder.cpt(id, &[], &[1.0 - var.base, var.base])?;
        } else {
            let causes: Vec<Cause> = var.causes.iter().map(|arc| Cause::binary(ids[arc.cause], arc.strength)).collect();
            builder.noisy_or(id, var.base, &causes)?;
        }
    }
    Ok((builder.build()?, ids))
}

/// The services that say most and what lies between them and the violated ones, each variable with its strongest causes.
fn narrowed(model: &Model) -> Model {
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
    let kept = |at: usize| node(at).is_some_and(|node| nodes.contains(&node));
    let others: Vec<(Role, f64)> = model.vars.iter().map(|var| (var.role, var.taught)).collect();
    let mut place = vec![None; count];
    let mut narrow = Model { dropped: model.dropped.clone(), thinned: true, ..Model::default() };
    for (at, var) in model.vars.iter().enumerate().filter(|(at, _)| kept(*at)) {
        let mut var = var.clone();
        var.causes.retain(|arc| place[arc.cause].is_some());
        var.thin(&others);
        var.causes.iter_mut().for_each(|arc| arc.cause = place[arc.cause].expect("only placed causes were kept"));
        place[at] = Some(narrow.vars.len());
        narrow.vars.push(var);
    }
    narrow.targets = model.targets.iter().filter_map(|&target| place[target]).collect();
    let all: alloc::collections::BTreeSet<usize> = (0..count).filter_map(node).collect();
    narrow.left_out = all.len() - nodes.len();
    narrow
}
