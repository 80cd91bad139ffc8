//! Evidence into a verdict: total, whatever the figures, names and cycles in it.
use crate::Target;
use faultline_explain::explain;
use faultline_model::facts::*;
use faultline_model::{Canonical, EffectId, Millis};

/// The target.
pub const TARGET: Target = Target { name: "explain", size_max: 8 << 10, run, seeds };

fn run(bytes: &[u8]) {
    let Ok(evidence) = Evidence::from_bytes(bytes) else { return };
    let verdict = explain(&evidence);
    let written = verdict.to_bytes();
    assert_eq!(explain(&evidence).to_bytes(), written, "the same evidence gives the same verdict");
    assert_eq!((verdict.incident, verdict.revision), (evidence.incident, evidence.revision));
    assert!(verdict.unknown || !verdict.causes.is_empty(), "a verdict that is not unknown names a cause");
    for cause in &verdict.causes {
        for share in [cause.posterior, cause.responsibility, cause.share] {
            assert!((0.0..=1.0 + 1e-9).contains(&share), "{share} is no share: {cause:?}");
        }
        assert!(cause.evidence.iter().all(|piece| piece.nats.is_finite()), "{cause:?}");
    }
}

/// Three services, the last of which is slow, or fails, or has gone.
fn seeds() -> Vec<Vec<u8>> {
    let shift = |expected: f64, seen: f64, z: f64| Shift { expected, seen, z, count: 100.0 };
    let node = |entity: &str, telemetry, z: f64| NodeEvidence {
        entity: entity.into(),
        telemetry,
        traffic: shift(20.0, 20.0, 0.0),
        latency: shift(10.0, 10.0 + 9.0 * z, z),
        self_time: shift(5.0, 5.0 + z, z / 2.0),
        errors: shift(0.001, 0.001 + z / 100.0, z),
        onset: (z > 3.0).then_some(Millis(9_000)),
        alerts: vec!["HighLatency".into()],
        resources: vec![ResourceEvidence {
            resource: Resource::Cpu,
            instance: "a-0".into(),
            used: shift(0.1, 0.1 + z / 40.0, z),
            limit: 1.0,
        }],
        events: if z > 4.0 { vec![EventCount { name: "pool.empty".into(), count: 3 }] } else { Vec::new() },
        ..NodeEvidence::default()
    };
    let edge = |client, server, z: f64| EdgeEvidence {
        client,
        server,
        traffic: shift(20.0, 20.0, 0.0),
        latency: shift(10.0, 10.0 + 9.0 * z, z),
        errors: shift(0.001, 0.001 + z / 100.0, z),
        gap: shift(1.0, 1.0, 0.0),
        asynchronous: z < 0.0,
        unmeasured: z == 0.0,
    };
    let evidence = |telemetry, z: f64| Evidence {
        incident: EffectId::default(),
        revision: 1,
        at: Millis(10_000),
        onset: Millis(9_000),
        window: 60_000,
        nodes: vec![
            node("a", Telemetry::Reporting, z),
            node("b", Telemetry::Reporting, z),
            node("c", telemetry, 2.0 * z),
        ],
        edges: vec![edge(0, 1, z), edge(1, 2, 2.0 * z), edge(2, 0, -z)],
        targets: vec![0],
        changes: vec![ChangeEvidence { node: 2, kind: "deploy".into(), title: "v2".into(), at: Millis(8_500) }],
        coverage: Coverage { unseen: vec!["d".into()], unpaired: 0.1, ..Coverage::default() },
        learnt: (z > 4.0).then(|| {
            let [own, callers, callees] = [1.5, -0.5, 0.25];
            let weight = EventWeight { name: "event:pool.empty".into(), own, callers, callees };
            Learnt { weights: Weights { lessons: 3, events: vec![weight] }, causes: vec![(2, 1.5)] }
        }),
        model: if z > 4.0 { 4 } else { u32::from(z > 0.0) },
        reliability: if z > 4.0 { vec![Tally { cases: 3, right: 2 }; 5] } else { Vec::new() },
        hosts: (z > 4.0)
            .then(|| HostEvidence {
                name: "node-1".into(),
                services: vec![Placed { node: 1, of: 1 }, Placed { node: 2, of: 3 }],
            })
            .into_iter()
            .collect(),
        strengths: (z > 4.0).then(|| {
            let call = |(client, server, passes)| Strength { client, server, passes };
            Strengths { version: 2, calls: [(0, 1, 0.2), (1, 2, 0.8)].map(call).into() }
        }),
    };
    let kinds = [Telemetry::Reporting, Telemetry::Silent, Telemetry::Peer];
    let some = kinds.into_iter().flat_map(|kind| [0.0, 4.0, 40.0].map(|z| evidence(kind, z).to_bytes()));
    let empty = Evidence {
        nodes: Vec::new(),
        edges: Vec::new(),
        targets: Vec::new(),
        changes: Vec::new(),
        ..evidence(kinds[0], 0.0)
    };
    some.chain([empty.to_bytes()]).collect()
}
