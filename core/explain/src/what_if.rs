//! What would be otherwise, had one of the causes been healthy.
//!
//! The answer is a counterfactual: what happened stays evidence, the fault is taken away, and everything else comes as it did. It
//! is asked of a network of both worlds (`faultline_bayes::Twin`).
//! Source: Balke and Pearl, "Probabilistic evaluation of counterfactual queries", AAAI 1994.
use crate::clean::Scene;
use crate::config::{WHAT_IF_ENTRIES, WHAT_IF_MIN, WHAT_IF_SERVICES, WHAT_IFS_MAX};
use crate::infer::{Answer, Built, evidence};
use crate::model::Role;
use crate::rank::Candidate;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use faultline_bayes::VarId;
use faultline_model::facts::{Still, WhatIf};
use faultline_model::float;

/// One for each of the first causes that are services or hosts; none where the network of both worlds would be too large.
pub(crate) fn what_ifs(scene: &Scene, answer: &Answer, ranking: &[Candidate]) -> Option<Vec<WhatIf>> {
    let Built { network, ids, .. } = answer.built?;
    let nats: Vec<f64> = answer.model.vars.iter().map(|var| var.nats).collect();
    let evidence = evidence(answer.model, ids, &nats);
    let faults = ranking.iter().filter_map(|candidate| match answer.model.vars[candidate.var].role {
        Role::Fault(node) => Some((candidate, scene.nodes[node].name)),
        Role::Host(host) => Some((candidate, scene.hosts[host].name)),
        _ => None,
    });
    let mut what_ifs = Vec::new();
    for (candidate, name) in faults.take(WHAT_IFS_MAX).filter(|(candidate, _)| candidate.posterior >= WHAT_IF_MIN) {
        let twin = network.twin(&[(ids[candidate.var], 0)]).ok()?;
        let targets = &answer.model.targets;
        let others: Vec<VarId> = targets.iter().map(|&target| twin.other(ids[target])).collect();
        let found = twin.network().marginals(&evidence, &others, WHAT_IF_ENTRIES).ok()?;
        let mut services: BTreeMap<usize, f64> = BTreeMap::new();
        for (&target, states) in targets.iter().zip(&found) {
            let service = answer.model.vars[target].role.node()?;
            let degraded = services.entry(service).or_default();
            *degraded = float::max(*degraded, states[1]);
        }
        let well = services.values().filter(|&&degraded| degraded < 0.5).count() as u64;
        let violated = services.len() as u64;
        let mut services: Vec<(usize, f64)> = services.into_iter().collect();
        services.sort_by(|a, b| float::order(b.1, a.1).then(a.0.cmp(&b.0)));
        services.truncate(WHAT_IF_SERVICES);
        let still = |(at, degraded): (usize, f64)| Still { entity: scene.nodes[at].name.to_string(), degraded };
        let services = services.into_iter().map(still).collect();
        what_ifs.push(WhatIf { entity: name.to_string(), violated, well, services });
    }
    Some(what_ifs)
}
