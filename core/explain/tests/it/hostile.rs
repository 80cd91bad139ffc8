//! Evidence that means harm: total, bounded, honest.
use crate::estate::{Draw, Kind, case};
use faultline_explain::explain;
use faultline_model::facts::{EdgeEvidence, Evidence, NodeEvidence, Shift, Telemetry};
use faultline_model::{Canonical, Millis};
use std::time::Duration;

fn empty() -> Evidence {
    let mut evidence = case(1, 12, &[Kind::Slow]).evidence;
    evidence.nodes.clear();
    evidence.edges.clear();
    evidence.targets.clear();
    evidence.changes.clear();
    evidence
}

#[test]
fn nothing_gives_an_honest_unknown() {
    let verdict = explain(&empty());
    assert!(verdict.unknown && verdict.causes.is_empty());
    assert_eq!(verdict.summary, "Unknown: nothing is known that could have caused it.");
    // A violated service and nothing else.
    let mut alone = empty();
    alone.nodes.push(NodeEvidence { entity: "web".into(), ..NodeEvidence::default() });
    alone.targets = vec![0, 0, 7];
    let verdict = explain(&alone);
    assert!(verdict.unknown && verdict.causes.len() == 1, "{verdict:?}");
}

/// Any number anywhere: the verdict stays a verdict.
#[test]
fn any_number_is_survived() {
    const WORST: [f64; 10] =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.0, -0.0, -1.0, 1e-300];
    for seed in 0..300 {
        let mut draw = Draw(seed + 1);
        let mut evidence = case(seed, 10 + draw.below(20), &[Kind::Errors]).evidence;
        let harm = |shift: &mut Shift, draw: &mut Draw| {
            for number in [&mut shift.expected, &mut shift.seen, &mut shift.z, &mut shift.count] {
                match draw.below(6) {
                    0 => *number = WORST[draw.below(WORST.len())],
                    1 => *number = f64::from_bits(draw.bits()),
                    _ => {}
                }
            }
        };
        for node in &mut evidence.nodes {
            for shift in [
                &mut node.traffic,
                &mut node.latency,
                &mut node.self_time,
                &mut node.errors,
                &mut node.own_errors,
                &mut node.error_logs,
            ] {
                harm(shift, &mut draw);
            }
            if draw.below(5) == 0 {
                node.onset = Some(Millis(draw.bits() as i64));
            }
        }
        for edge in &mut evidence.edges {
            for shift in [&mut edge.traffic, &mut edge.latency, &mut edge.errors, &mut edge.gap] {
                harm(shift, &mut draw);
            }
            if draw.below(8) == 0 {
                edge.client = draw.below(40) as u32;
                edge.server = draw.bits() as u32 % 40;
            }
        }
        evidence.window = [i64::MIN, -1, 0, 1, i64::MAX, 30_000][draw.below(6)];
        evidence.onset = Millis([i64::MIN, i64::MAX, 0, 1_000_000_000][draw.below(4)]);
        evidence.changes.iter_mut().for_each(|change| change.at = Millis(draw.bits() as i64));
        evidence.coverage.unpaired = f64::from_bits(draw.bits());
        let verdict = explain(&evidence);
        for cause in &verdict.causes {
            assert!(
                (0.0..=1.0).contains(&cause.posterior) && cause.responsibility.is_finite() && cause.share.is_finite()
            );
            assert!(cause.evidence.iter().all(|it| it.nats.is_finite()), "{cause:?}");
        }
        assert_eq!(verdict.to_bytes(), explain(&evidence).to_bytes());
    }
}

/// Everything calls everything, everything is broken, cycles everywhere: bounded, and the verdict says how it coped.
#[allow(clippy::disallowed_types, reason = "the bound that is tested is a time")]
#[test]
fn a_dense_tangle_is_bounded() {
    for (count, both_ways) in [(60, false), (60, true), (400, false), (400, true)] {
        let mut draw = Draw(count);
        let shift = |draw: &mut Draw, expected: f64| Shift {
            expected,
            seen: expected * draw.between(2.0, 50.0),
            z: draw.between(5.0, 60.0),
            count: 1000.0,
        };
        let mut evidence = empty();
        for index in 0..count {
            evidence.nodes.push(NodeEvidence {
                entity: format!("s{index:03}"),
                telemetry: Telemetry::Reporting,
                traffic: Shift { expected: 10.0, seen: 10.0, z: 0.1, count: 600.0 },
                latency: shift(&mut draw, 20.0),
                self_time: shift(&mut draw, 5.0),
                errors: shift(&mut draw, 0.01),
                own_errors: shift(&mut draw, 0.005),
                ..NodeEvidence::default()
            });
        }
        for client in 0..count as u32 {
            for server in 0..count as u32 {
                if client < server || (both_ways && client != server) {
                    evidence.edges.push(EdgeEvidence {
                        client,
                        server,
                        traffic: Shift { expected: 10.0, seen: 10.0, z: 0.1, count: 600.0 },
                        latency: shift(&mut draw, 20.0),
                        errors: shift(&mut draw, 0.01),
                        ..EdgeEvidence::default()
                    });
                }
            }
        }
        evidence.targets = (0..count as u32 / 10).collect();
        let start = std::time::Instant::now();
        let verdict = explain(&evidence);
        let took = start.elapsed();
        println!("{count} services, both ways {both_ways}: {took:?}; {}", verdict.method);
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(verdict.method.contains("narrowed to 60 services"), "{}", verdict.method);
        assert_eq!(verdict.causes.len(), 5);
    }
}

#[test]
fn self_calls_and_doubled_calls_change_nothing() {
    let evidence = case(3, 25, &[Kind::Slow]).evidence;
    let expected = explain(&evidence);
    let mut noisy = evidence.clone();
    noisy.edges.extend(evidence.edges.iter().cloned());
    noisy.edges.extend((0..25).map(|index| EdgeEvidence { client: index, server: index, ..evidence.edges[0].clone() }));
    noisy.targets.extend(evidence.targets.clone());
    assert_eq!(explain(&noisy), expected);
}
