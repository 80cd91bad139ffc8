//! Lines of a service's log that stay away: how far they speak for a fault of its own, and for whose.
use faultline_explain::explain;
use faultline_model::facts::{Coverage, EdgeEvidence, Evidence, NodeEvidence, Shift};
use faultline_model::{IncidentId, Millis, float};

/// A web front that is violated in a way that is not to be seen, which calls a shop and a bank; the shop calls a store.
fn evidence(missing: [(f64, f64); 4]) -> Evidence {
    let as_ever = |value: f64| Shift { expected: value, seen: value, z: 0.1, count: 100.0 };
    let node = |(entity, (expected, lines)): (&str, (f64, f64))| NodeEvidence {
        entity: entity.into(),
        traffic: as_ever(10.0),
        latency: as_ever(50.0),
        self_time: as_ever(20.0),
        errors: as_ever(0.0),
        own_errors: as_ever(0.0),
        missing_logs: Shift { expected, seen: 0.0, z: -float::sqrt(expected), count: lines },
        ..NodeEvidence::default()
    };
    let edge = |client, server| EdgeEvidence {
        client,
        server,
        traffic: as_ever(10.0),
        latency: as_ever(30.0),
        errors: as_ever(0.0),
        gap: as_ever(2.0),
        ..EdgeEvidence::default()
    };
    Evidence {
        incident: IncidentId::default(),
        revision: 1,
        at: Millis(60_000),
        onset: Millis(0),
        window: 60_000,
        nodes: ["bank", "shop", "store", "web"].into_iter().zip(missing).map(node).collect(),
        edges: [(1, 2), (3, 0), (3, 1)].map(|(client, server)| edge(client, server)).into(),
        targets: [3].into(),
        changes: Vec::new(),
        coverage: Coverage::default(),
        learnt: None,
        model: 4,
        reliability: Vec::new(),
        hosts: Vec::new(),
        strengths: None,
    }
}

#[test]
fn a_line_that_stays_away_names_its_service_by_how_overdue_it_is() {
    const NONE: (f64, f64) = (0.0, 0.0);
    for (what, missing, named) in [
        ("nothing is missing", [NONE; 4], None),
        ("eighty records of one of five lines", [(80.0, 5.0), NONE, NONE, NONE], Some("bank")),
        ("three of them: chance", [(3.0, 5.0), NONE, NONE, NONE], None),
        ("of thousands of lines one is always overdue", [(80.0, 2e4), NONE, NONE, NONE], None),
        ("a caller stops writing when its callee fails", [NONE, (80.0, 5.0), (80.0, 5.0), NONE], Some("store")),
        ("figures that make no sense", [(f64::INFINITY, -1.0), (f64::NAN, 0.0), (-9.0, 5.0), NONE], None),
    ] {
        let verdict = explain(&evidence(missing));
        let first = &verdict.causes[0];
        assert_eq!((!verdict.unknown).then_some(&*first.entity), named, "{what}: {}", verdict.summary);
        let told = first.evidence.iter().any(|it| it.what.contains("records stay away") && it.nats > 1.0);
        assert!(told || named.is_none(), "{what}: {:?}", first.evidence);
    }
}
