//! What a service's instances use, as a sign of a fault of its own.
//!
//! A rise matters by how much of the limit it takes, not by its score: an idle instance that does twice as little as ever is many
//! deviations away and harms nobody. More requests than usual excuse as much more processor time; the rest is its own.
use crate::clean::{Node, Quantity};
use crate::config::{
    CORES, IMMATERIAL_Z, NATS_MAX, RESTARTS, RESTARTS_LEAST, RISE_CPU, RISE_MEMORY, RISE_MEMORY_SHARE, RISE_THROTTLED,
};
use crate::likelihood::{clamp, nats};
use faultline_model::facts::{Resource, ResourceEvidence};
use faultline_model::float;

/// The strongest sign, in nats; none where nothing is measured.
pub(crate) fn sign(node: &Node) -> Option<f64> {
    node.resources.iter().filter_map(|it| of_one(node, it)).reduce(float::max)
}

/// The resource that says most.
pub(crate) fn strongest<'a>(node: &Node<'a>) -> Option<&'a ResourceEvidence> {
    let scored = node.resources.iter().filter_map(|it| Some((of_one(node, it)?, it)));
    let best = scored.fold(None, |best: Option<(f64, &ResourceEvidence)>, next| match best {
        Some((nats, _)) if nats >= next.0 => best,
        _ => Some(next),
    });
    best.map(|(_, it)| it)
}

fn of_one(node: &Node, it: &ResourceEvidence) -> Option<f64> {
    let used = Quantity::new(&it.used);
    let limit = if it.limit.is_finite() && it.limit > 0.0 { Some(it.limit) } else { None };
    if it.resource == Resource::Restarts {
        return used.known.then(|| restarts(&used));
    }
    if !(used.known && used.based) {
        return None;
    }
    let excused = used.expected * (more_work(node, it.resource) - 1.0);
    let rise = used.rise() - excused;
    let z = if used.rise() > 0.0 { used.z * clamp(rise / used.rise(), 0.0, 1.0) } else { used.z };
    let matters = match it.resource {
        Resource::Cpu => rise >= RISE_CPU * limit.unwrap_or(CORES),
        Resource::CpuShare => rise >= RISE_CPU,
        Resource::Memory => match limit {
            Some(limit) => rise >= RISE_MEMORY * limit,
            None => rise >= RISE_MEMORY_SHARE * used.expected,
        },
        Resource::MemoryShare => rise >= RISE_MEMORY,
        Resource::Throttled => rise >= RISE_THROTTLED,
        Resource::Restarts => true,
    };
    Some(nats(if matters { z } else { float::min(z, IMMATERIAL_Z) }))
}

/// How many times as much as usual it is asked, from 1.
fn more_work(node: &Node, resource: Resource) -> f64 {
    let asked = &node.traffic;
    let by_work = matches!(resource, Resource::Cpu | Resource::CpuShare | Resource::Throttled);
    if by_work && asked.known && asked.expected > 0.0 { clamp(asked.seen / asked.expected, 1.0, 100.0) } else { 1.0 }
}

/// Restarts, as counts of which a fault brings [`RESTARTS`] more than come anyway.
fn restarts(used: &Quantity) -> f64 {
    let usual = float::max(used.expected, RESTARTS_LEAST);
    clamp(used.seen * float::ln((usual + RESTARTS) / usual) - RESTARTS, 0.0, NATS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::Scene;
    use alloc::vec::Vec;
    use faultline_model::facts::{Coverage, Evidence, NodeEvidence, Shift};
    use faultline_model::{IncidentId, Millis};

    fn evidence(nodes: Vec<NodeEvidence>, targets: Vec<u32>) -> Evidence {
        Evidence {
            incident: IncidentId::default(),
            revision: 1,
            at: Millis(0),
            onset: Millis(0),
            window: 60_000,
            nodes,
            edges: Vec::new(),
            targets,
            changes: Vec::new(),
            coverage: Coverage::default(),
            learnt: None,
            model: 1,
            reliability: Vec::new(),
            hosts: Vec::new(),
            strengths: None,
        }
    }

    fn node(entity: &str, traffic: Shift, it: Option<ResourceEvidence>) -> NodeEvidence {
        NodeEvidence { entity: entity.into(), traffic, resources: it.into_iter().collect(), ..NodeEvidence::default() }
    }

    #[test]
    fn whoever_used_too_much_is_named_where_nobody_knows_who_calls_whom() {
        let cpu = |seen, z| {
            let used = Shift { expected: 0.1, seen, z, count: 4.0 };
            Some(ResourceEvidence { resource: Resource::Cpu, instance: "a-0".into(), used, limit: 1.0 })
        };
        for (high, unknown) in [(0.95, false), (0.2, true)] {
            let mut paged = node("somebody noticed", Shift::default(), None);
            paged.telemetry = faultline_model::facts::Telemetry::Peer;
            let (a, b) = (node("a", Shift::default(), cpu(high, 40.0)), node("b", Shift::default(), cpu(0.1, 0.1)));
            let verdict = crate::explain(&evidence(Vec::from([a, b, paged]), Vec::from([2])));
            assert_eq!(verdict.unknown, unknown, "{verdict:#?}");
            let named = (&*verdict.causes[0].entity, &*verdict.causes[0].kind);
            assert!(unknown || named == ("a", "resources"), "{verdict:#?}");
        }
    }

    #[test]
    fn a_rise_counts_by_what_it_takes_of_the_limit() {
        let shift = |expected, seen, z| Shift { expected, seen, z, count: 4.0 };
        let (usual, twice) = (shift(100.0, 100.0, 0.1), shift(100.0, 200.0, 20.0));
        for (resource, used, limit, traffic, speaks) in [
            // Of a limit of one core: 80 points more; 8 points more, however clear; and with no limit known, of a core.
            (Resource::Cpu, shift(0.1, 0.9, 40.0), 1.0, usual, true),
            (Resource::Cpu, shift(0.01, 0.09, 40.0), 1.0, usual, false),
            (Resource::Cpu, shift(0.01, 0.09, 40.0), 0.1, usual, true),
            (Resource::Cpu, shift(0.1, 0.9, 40.0), 0.0, usual, true),
            (Resource::CpuShare, shift(0.1, 0.6, 12.0), 0.0, usual, true),
            // Twice the work excuses twice the time, and not ten times.
            (Resource::CpuShare, shift(0.3, 0.6, 12.0), 0.0, twice, false),
            (Resource::CpuShare, shift(0.08, 0.8, 30.0), 0.0, twice, true),
            (Resource::Memory, shift(3e8, 6e8, 15.0), 0.0, usual, true),
            (Resource::Memory, shift(3e8, 6e8, 15.0), 1e11, usual, false),
            (Resource::Throttled, shift(0.0, 0.4, 20.0), 0.0, usual, true),
            (Resource::Restarts, shift(0.0, 2.0, 0.0), 0.0, usual, true),
            (Resource::Restarts, shift(2.0, 2.0, 0.0), 0.0, usual, false),
            // Less than usual, and no baseline yet.
            (Resource::Cpu, shift(0.9, 0.1, -40.0), 1.0, usual, false),
            (Resource::Cpu, shift(0.9, 0.9, 0.0), 1.0, usual, false),
        ] {
            let it = ResourceEvidence { resource, instance: "web-0".into(), used, limit };
            let evidence = evidence(Vec::from([node("web", traffic, Some(it))]), Vec::new());
            let scene = Scene::new(&evidence);
            let nats = sign(&scene.nodes[0]).unwrap_or(0.0);
            assert_eq!(nats > 1.0, speaks, "{resource:?} {used:?} of {limit}: {nats}");
        }
    }
}
