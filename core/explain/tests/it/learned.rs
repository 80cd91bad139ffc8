//! Weights of events: against another optimiser, and what they do to a verdict.
use faultline_explain::{explain, learn, lesson};
use faultline_model::facts::{
    Candidate, Coverage, EdgeEvidence, EventCount, EventWeight, Evidence, Learnt, Lesson, Lessons, NodeEvidence,
    Telemetry, Verdict, Weights,
};
use faultline_model::{Canonical, EffectId, Millis, Position, float};
use std::sync::Arc;

const FIXTURE: &str = include_str!("../fixtures/learned.txt");

/// Lessons of the fixture and the weights that another optimiser finds.
fn fixture() -> (Lessons, Vec<EventWeight>) {
    let (mut lessons, mut weights): (Vec<Lesson>, Vec<EventWeight>) = (Vec::new(), Vec::new());
    let mut told: Vec<Vec<Vec<(String, u32)>>> = Vec::new();
    for line in FIXTURE.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u32>().expect("a number");
        let float = |at: usize| words[at].parse::<f64>().expect("a number");
        match words[0] {
            "lesson" => {
                lessons.push(Lesson { cause: number(1), ..Lesson::default() });
                told.push(Vec::new());
            }
            "service" => {
                let lesson = lessons.last_mut().expect("a lesson came before");
                lesson.candidates.push(Candidate { heard: words[1] == "heard", events: Vec::new() });
                let events = words[2..].iter().map(|word| {
                    let (name, count) = word.split_once('=').expect("a type and a count");
                    (name.to_string(), count.parse().expect("a count"))
                });
                told.last_mut().expect("a lesson came before").push(events.collect());
            }
            "call" => lessons.last_mut().expect("a lesson came before").calls.push((number(1), number(2))),
            _ => {
                weights.push(EventWeight { name: words[1].into(), own: float(2), callers: float(3), callees: float(4) })
            }
        }
    }
    for (lesson, told) in lessons.iter_mut().zip(told) {
        let mut types: Vec<String> = told.iter().flatten().map(|(name, _)| name.clone()).collect();
        types.sort();
        types.dedup();
        for (candidate, events) in lesson.candidates.iter_mut().zip(told) {
            let place = |name: &String| types.binary_search(name).expect("it is one of them") as u32;
            candidate.events = events.iter().map(|(name, count)| (place(name), *count)).collect();
            candidate.events.sort();
        }
        lesson.types = types;
    }
    (Lessons { lessons: lessons.into_iter().map(Arc::new).collect() }, weights)
}

#[test]
fn weights_are_those_that_another_optimiser_finds() {
    let (lessons, expected) = fixture();
    let found = learn(&lessons);
    assert_eq!((found.lessons, found.events.len()), (24, expected.len()));
    for (found, expected) in found.events.iter().zip(&expected) {
        assert_eq!(found.name, expected.name);
        for (found, expected) in
            [(found.own, expected.own), (found.callers, expected.callers), (found.callees, expected.callees)]
        {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
    assert_eq!(learn(&lessons).to_bytes(), found.to_bytes(), "the same lessons give the same bytes");
}

#[test]
fn nothing_is_learned_from_nothing() {
    assert_eq!(learn(&Lessons::default()), Weights::default());
    // A cause that is none of the services, services without events, one service alone.
    let wrong = Lesson { cause: 7, candidates: vec![Candidate::default()], ..Lesson::default() };
    let quiet = Lesson { candidates: vec![Candidate::default(); 3], ..Lesson::default() };
    let alone = Lesson {
        types: vec!["event:a".into()],
        candidates: vec![Candidate { heard: true, events: vec![(0, 3), (9, 1)] }],
        calls: vec![(0, 5)],
        cause: 0,
    };
    let lessons = [wrong, quiet, alone].map(Arc::new).to_vec();
    let found = learn(&Lessons { lessons });
    let weight = EventWeight { name: "event:a".into(), ..EventWeight::default() };
    assert_eq!(found, Weights { lessons: 2, events: vec![weight] });
}

/// `web` calls `a` and `b`; `web` is violated in a way that is not measured, and both its callees tell of an event.
fn incident(events: [&[(&str, u32)]; 2], learnt: Option<Learnt>) -> Evidence {
    let node = |entity: &str, events: &[(&str, u32)]| NodeEvidence {
        entity: entity.into(),
        telemetry: Telemetry::Reporting,
        events: events.iter().map(|(name, count)| EventCount { name: name.to_string(), count: *count }).collect(),
        ..NodeEvidence::default()
    };
    let call = |server| EdgeEvidence { client: 2, server, unmeasured: true, ..EdgeEvidence::default() };
    Evidence {
        incident: EffectId { cause: Position { partition: 0, offset: 5 }, ordinal: 0 },
        revision: 1,
        at: Millis(60_000),
        onset: Millis(50_000),
        window: 10_000,
        nodes: vec![node("a", events[0]), node("b", events[1]), node("web", &[])],
        edges: vec![call(0), call(1)],
        targets: vec![2],
        changes: Vec::new(),
        coverage: Coverage::default(),
        learnt,
        model: 4,
        hosts: Vec::new(),
        reliability: Vec::new(),
        strengths: None,
    }
}

fn learnt(own: f64, causes: Vec<(u32, f64)>) -> Option<Learnt> {
    let weight = EventWeight { name: "event:pool.empty".into(), own, ..EventWeight::default() };
    Some(Learnt { weights: Weights { lessons: 9, events: vec![weight] }, causes })
}

fn posterior(verdict: &Verdict, entity: &str) -> f64 {
    verdict.causes.iter().find(|cause| cause.entity == entity).map_or(0.0, |cause| cause.posterior)
}

#[test]
fn events_like_those_of_past_causes_name_a_cause() {
    let told: [&[(&str, u32)]; 2] = [&[("pool.empty", 3)], &[("leader.elected", 3)]];
    let before = explain(&incident(told, None));
    let apart = (posterior(&before, "a") - posterior(&before, "b")).abs();
    assert!(before.unknown && apart < 1e-9, "{before:?}");
    let after = explain(&incident(told, learnt(3.0, Vec::new())));
    assert!(!after.unknown && after.causes[0].entity == "a", "{after:?}");
    assert!(posterior(&after, "a") > 0.8 && posterior(&after, "b") < posterior(&before, "b"), "{after:?}");
    let piece = after.causes[0].evidence.iter().find(|piece| piece.what.starts_with("events like")).expect("told");
    // Twice as many as others: exp(3 ln 4) against 1.
    assert!((piece.nats - 3.0 * float::ln(4.0)).abs() < 1e-9, "{piece:?}");
    assert_eq!(piece.what, "events like those at the cause of 9 closed incidents: event:pool.empty x3");
    // The same event with a weight the other way.
    let against = explain(&incident(told, learnt(-3.0, Vec::new())));
    assert!(posterior(&against, "a") < posterior(&before, "a"), "{against:?}");
}

#[test]
fn having_been_the_cause_counts_a_little() {
    let quiet: [&[(&str, u32)]; 2] = [&[], &[]];
    let verdict = explain(&incident(quiet, learnt(3.0, vec![(1, 40.0)])));
    let [a, b] = ["a", "b"].map(|name| posterior(&verdict, name));
    assert!(b > a && b < 3.0 * a, "{verdict:?}");
    let told = &verdict.causes.iter().find(|cause| cause.entity == "b").expect("it is there").evidence;
    assert!(told.iter().any(|piece| piece.what.contains("40 of late") && piece.nats == 0.5), "{told:?}");
}

#[test]
fn what_makes_no_sense_says_nothing() {
    let told: [&[(&str, u32)]; 2] = [&[("pool.empty", u32::MAX)], &[]];
    for own in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
        let verdict = explain(&incident(told, learnt(own, vec![(0, f64::NAN), (77, 1.0), (1, -5.0)])));
        assert!(verdict.causes.iter().all(|cause| cause.posterior.is_finite()), "{verdict:?}");
    }
}

#[test]
fn a_lesson_is_bounded_and_keeps_what_is_told_most() {
    let mut evidence = incident([&[("often", 9), ("seldom", 1), ("never", 0)], &[("often", 2)]], None);
    evidence.nodes[1].alerts = vec!["Slow".into()];
    evidence.edges.push(EdgeEvidence { client: 9, server: 0, ..EdgeEvidence::default() });
    let it = lesson(&evidence);
    assert_eq!(it.types, ["alert:Slow", "event:often", "event:seldom"]);
    assert_eq!(it.calls, [(2, 0), (2, 1)]);
    let told: Vec<_> = it.candidates.iter().map(|it| it.events.clone()).collect();
    assert_eq!(told, [vec![(1, 9), (2, 1)], vec![(0, 1), (1, 2)], vec![]]);

    let many = |count: usize| {
        (0..64).map(|at| EventCount { name: format!("{count}.{at:02}"), count: at + 1 }).collect::<Vec<_>>()
    };
    let node = |at: usize| NodeEvidence { entity: format!("{at:03}"), events: many(at), ..NodeEvidence::default() };
    let large = Evidence { nodes: (0..400).map(node).collect(), edges: Vec::new(), ..evidence };
    let it = lesson(&large);
    assert_eq!(it.types.len(), 256);
    assert!(it.candidates.iter().all(|it| it.events.len() <= 5));
    assert!(it.to_bytes().len() < 64 << 10, "{} bytes", it.to_bytes().len());
    assert_eq!(Lesson::from_bytes(&it.to_bytes()), Ok(it));
}
