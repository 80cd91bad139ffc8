//! Strengths of calls in evidence and what verdicts say of calls, over drawn estates.
use crate::estate::{Case, Draw, Kind, case};
use faultline_explain::{explain, strength};
use faultline_model::facts::{Evidence, Strength, Strengths};

const KINDS: [Kind; 4] = [Kind::Slow, Kind::Errors, Kind::Stopped, Kind::Crash];

fn cases() -> impl Iterator<Item = Case> {
    (300..340).map(|seed| case(seed, 10 + Draw(seed).below(40), &[KINDS[seed as usize % 4]]))
}

/// The same evidence, every call known to pass trouble on as often as said.
fn with(evidence: &Evidence, passes: f64) -> Evidence {
    let calls = evidence.edges.iter().map(|edge| Strength { client: edge.client, server: edge.server, passes });
    Evidence { strengths: Some(Strengths { version: 7, calls: calls.collect() }), ..evidence.clone() }
}

#[test]
fn verdicts_that_name_a_cause_tell_of_calls() {
    let (mut told, mut held, mut named) = (0, 0, 0);
    for case in cases() {
        let verdict = explain(&case.evidence);
        if verdict.unknown {
            assert_eq!(verdict.passed, []);
            continue;
        }
        named += 1;
        told += usize::from(!verdict.passed.is_empty());
        held += verdict.passed.iter().filter(|it| it.passed == 0.0).count();
        let name = |node: u32| &case.evidence.nodes[node as usize].entity;
        for it in &verdict.passed {
            assert!(it.degraded <= 1.0 && it.degraded >= 0.1 && it.passed >= 0.0 && it.passed <= it.degraded, "{it:?}");
            let call = |edge: &&_| {
                let edge: &faultline_model::facts::EdgeEvidence = edge;
                *name(edge.client) == it.client && *name(edge.server) == it.server && !edge.asynchronous
            };
            assert!(case.evidence.edges.iter().any(|edge| call(&edge)), "{it:?}");
        }
        let sorted = verdict.passed.is_sorted_by(|a, b| (&a.client, &a.server) < (&b.client, &b.server));
        assert!(sorted && verdict.passed.len() <= 32);
    }
    assert!(told * 10 >= named * 9 && held > 20, "{told} of {named} tell of calls, {held} times that nothing passed");
}

#[test]
fn strengths_count_from_the_model_on_that_knows_them() {
    let mut moved = 0;
    for case in cases() {
        let plain = explain(&case.evidence);
        let often = explain(&with(&case.evidence, 0.9));
        let seldom = explain(&with(&case.evidence, 0.1));
        assert!(seldom.method.contains("learned, version 7") && !plain.method.contains("learned"), "{}", seldom.method);
        moved += usize::from(often.causes[0].posterior != seldom.causes[0].posterior);
        // The usual strength says what was assumed.
        let usual = explain(&with(&case.evidence, strength(0.0, 0.0)));
        for (usual, plain) in usual.causes.iter().zip(&plain.causes) {
            assert!(usual.entity == plain.entity && (usual.posterior - plain.posterior).abs() < 1e-9);
        }
        let older = Evidence { model: 3, ..case.evidence.clone() };
        let verdict = explain(&older);
        assert_eq!((explain(&with(&older, 0.1)), verdict.passed.len()), (verdict, 0));
        // Strengths of nothing, and of calls that are not there.
        for passes in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1.0, 1e300] {
            let mut odd = with(&case.evidence, passes);
            odd.strengths.as_mut().expect("it has").calls.push(Strength { client: u32::MAX, server: 0, passes });
            assert!(explain(&odd).causes.iter().all(|cause| (0.0..=1.0).contains(&cause.posterior)));
        }
    }
    // Measured: 29; of the others the first cause is the violated service, or sure.
    assert!(moved >= 25, "{moved} of 40");
}
