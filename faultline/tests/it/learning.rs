//! What operators say of closed incidents: taken once, kept over a restart, learned from, and brought to bear on later incidents.
use crate::beside::{self, reply, sent, tick};
use crate::journal::SEED;
use faultline::explainer::weights;
use faultline::world::control;
use faultline_engine::{Ask, Checkpoint};
use faultline_formats::encode::{self, Log, ResourceLogs, Value};
use faultline_formats::{Decoded, decode};
use faultline_host::Random;
use faultline_model::facts::{Cause, Decision, IncidentPhase, Lessons, Passed, Verdict};
use faultline_model::{
    Canonical, Clock, Control, EffectId, Encoding, Evaluation, EventTime, Feedback, Format, IncidentId, Kind, Labels,
    Millis, Payload, Position, RuleFile, RuleFiles, Sample, Setting, SourceId, TenantId,
};

pub(crate) type Run = beside::Run<Lessons>;

pub(crate) const START: Millis = Millis(1_795_219_200_000);
/// From one incident to the next, in ms: it is over, and its events are old.
pub(crate) const APART: i64 = 240_000;

/// A server of some engine version with a rule that pages for `web`, which calls `a` and `b`.
pub(crate) fn server(version: u32) -> Run {
    let mut run = Run::new(|ask| if let Ask::Learn(it) = ask { Some(*it) } else { None });
    run.push(START, control(Control::EngineVersion, version.to_bytes(), SEED));
    run.push(START, control(Control::Started, Vec::new(), SEED));
    let rule = "groups: [{name: g, rules: [{alert: Page, expr: page > 0, labels: {service: web}}]}]";
    let files = RuleFiles {
        files: vec![RuleFile { name: "page.yml".into(), text: rule.into() }],
        default_evaluation: Evaluation::Stream,
        default_interval: 60_000,
        ..RuleFiles::default()
    };
    run.push(START, control(Control::Rules, files.to_bytes(), SEED));
    let calls = Setting { name: "graph.calls".into(), value: "web -> a\nweb -> b".into() };
    run.push(START, control(Control::Setting, calls.to_bytes(), SEED));
    run
}

/// Events by service, after an ordinary record of each.
fn logs(at: Millis, events: &[(&str, &str)]) -> Decoded {
    let time = EventTime(at.0 * 1_000_000);
    let log = |event: &str| Log {
        time,
        observed: time,
        severity: 9,
        body: String::new(),
        attributes: Vec::new(),
        event: event.into(),
    };
    let of = |service: &&str| ResourceLogs {
        resource: vec![("service.name".into(), Value::Text(service.to_string()))],
        logs: [log("")].into_iter().chain(events.iter().filter(|it| it.0 == *service).map(|it| log(it.1))).collect(),
    };
    let body = encode::logs(&["a", "b", "web"].iter().map(of).collect::<Vec<_>>());
    let source = SourceId([2; 16]);
    let kind = Kind::Telemetry { source, format: Format::OtlpLogs, encoding: Encoding::Identity, clock: Clock::Live };
    decode(Payload { tenant: TenantId(0), kind, body: body.into() }, SEED)
}

/// An incident in which these events came; it is over when this returns.
pub(crate) fn incident(run: &mut Run, at: Millis, events: &[(&str, &str)]) -> IncidentId {
    run.push(at, logs(at, events));
    for (after, value) in [(1_000, 1.0), (2_000, 0.0)] {
        let at = at.plus(after);
        run.push(at, sent(&[(Labels::new([("__name__", "page")]), vec![Sample::new(at, value)])]));
    }
    for after in 3..100 {
        run.push(at.plus(after * 1_000), tick());
    }
    let phase = |phase| {
        run.decided.iter().rev().find_map(move |it| match it {
            Decision::Incident(update) if update.phase == phase => Some(update.id),
            _ => None,
        })
    };
    let opened = phase(IncidentPhase::Opened).expect("it was paged for");
    assert_eq!(phase(IncidentPhase::Resolved), Some(opened));
    opened
}

/// Closes an incident; says how often that was refused.
pub(crate) fn close(run: &mut Run, at: Millis, incident: IncidentId, cause: &str) -> u64 {
    let feedback = Feedback { incident, cause: cause.into(), note: "a note".into(), at, by: String::new() };
    run.push(at, control(Control::Feedback, feedback.to_bytes(), SEED))
}

pub(crate) fn parts(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.pages.iter().map(|page| page.name.as_str()).filter(|name| name.contains('/')).collect()
}

#[test]
fn closed_incidents_teach_later_ones() {
    let (mut run, mut at) = (server(faultline_engine::ENGINE_VERSION), START);
    for round in 0..6 {
        at = at.plus(APART);
        let (cause, other) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        let id = incident(&mut run, at, &[(cause, "pool.empty"), (cause, "pool.empty"), (other, "leader.elected")]);
        assert_eq!(close(&mut run, at.plus(110_000), id, "nobody"), 1, "a service that it does not know");
        assert_eq!(close(&mut run, at.plus(110_000), id, cause), 0);
        assert_eq!(close(&mut run, at.plus(111_000), id, cause), 1, "a second time");
        // An answer lost with the process is asked for again, and what was asked is the same.
        run.restore();
        let (id, lessons) = run.asked.take().expect("it asks");
        assert_eq!(lessons.lessons.len(), round + 1);
        assert_eq!(run.push(at.plus(112_000), reply(id, weights(&lessons))), 0);
        assert_eq!(run.open(), []);
        run.restore();
    }
    let learned: Vec<u64> = run
        .decided
        .iter()
        .filter_map(|it| if let Decision::Learned(it) = it { Some(it.lessons) } else { None })
        .collect();
    assert_eq!(learned, [1, 2, 3, 4, 5, 6]);
    assert_eq!(run.decided.iter().filter(|it| matches!(it, Decision::Feedback(_))).count(), 6);
    // The next incident is explained with what these taught: nobody but the events tells which it is.
    let mut explained = run;
    at = at.plus(APART);
    incident(&mut explained, at, &[("b", "pool.empty"), ("a", "leader.elected")]);
    let evidence = explained.engine.unanswered().filter_map(|(_, ask)| match ask {
        Ask::Explain(evidence) => Some(evidence),
        _ => None,
    });
    let evidence = evidence.last().expect("nobody answered it");
    assert_eq!(evidence.learnt.as_ref().map(|learnt| learnt.weights.lessons), Some(6));
    let verdict = faultline_explain::explain(&evidence);
    // An alert whose trouble is not to be seen, and six lessons: much likelier than any other, and not believed yet.
    let [first, second] = &verdict.causes[..2] else { panic!("two causes: {verdict:?}") };
    assert_eq!(&*first.entity, "b", "{verdict:?}");
    assert!(first.posterior > 5.0 * second.posterior && first.evidence[0].what.contains("pool.empty"), "{verdict:?}");
    explained.check_law(&mut Random::seeded(1));
}

#[test]
fn what_cannot_be_taken_is_refused_and_changes_nothing() {
    let mut run = server(faultline_engine::ENGINE_VERSION);
    let at = START.plus(APART);
    let never = EffectId { cause: Position { partition: 0, offset: 3 }, ordinal: 9 };
    assert_eq!(close(&mut run, at, never, "a"), 1);
    let id = incident(&mut run, at, &[("a", "x")]);
    assert_eq!(close(&mut run, at.plus(110_000), id, "a"), 0);
    let (asked, _) = run.asked.take().expect("it asks");
    // No weights: those in force stay, and the next closed incident asks anew.
    assert_eq!(run.push(at.plus(111_000), reply(asked, b"nonsense".to_vec())), 1);
    assert_eq!(
        run.push(at.plus(111_000), reply(asked, weights(&Lessons::default()))),
        1,
        "it answers nothing any more"
    );
    let later = at.plus(APART);
    let id = incident(&mut run, later, &[("b", "x")]);
    assert_eq!(close(&mut run, later.plus(110_000), id, "b"), 0);
    let (_, lessons) = run.asked.clone().expect("it asks");
    assert_eq!(lessons.lessons.len(), 2);
    run.restore();
    run.check_law(&mut Random::seeded(2));
}

#[test]
fn several_are_closed_while_weights_are_learned() {
    let (mut run, mut at) = (server(faultline_engine::ENGINE_VERSION), START);
    let mut ids = Vec::new();
    for _ in 0..3 {
        at = at.plus(APART);
        ids.push(incident(&mut run, at, &[("a", "x")]));
    }
    at = at.plus(APART);
    for id in ids {
        assert_eq!(close(&mut run, at, id, "a"), 0);
    }
    assert_eq!(run.questions, 1, "one question at a time");
    let (id, lessons) = run.asked.take().expect("it asks");
    assert_eq!(lessons.lessons.len(), 1);
    run.push(at.plus(1_000), reply(id, weights(&lessons)));
    let (_, lessons) = run.asked.clone().expect("it asks about the others");
    assert_eq!(lessons.lessons.len(), 3);
    run.restore();
    run.check_law(&mut Random::seeded(3));
}

/// Answers the newest question about an incident by a verdict that names this cause, or by one that names none.
pub(crate) fn explained(run: &mut Run, at: Millis, named: Option<(&str, f64)>, passed: Vec<Passed>) {
    let asked = run.engine.unanswered().filter_map(|(id, ask)| match ask {
        Ask::Explain(evidence) => Some((id, evidence)),
        _ => None,
    });
    let (id, evidence) = asked.last().expect("it asks");
    let mut verdict = faultline_explain::explain(&evidence);
    verdict.unknown = named.is_none();
    verdict.passed = passed;
    if let Some((entity, posterior)) = named {
        verdict.causes[0] = Cause { entity: entity.into(), posterior, ..verdict.causes[0].clone() };
    }
    assert_eq!(run.push(at, reply(id, verdict.to_bytes())), 0);
}

/// What verdicts named is held against what was the cause, and the next verdict says so.
#[test]
fn closed_incidents_tell_how_far_to_trust() {
    let (known, none) = ([(1, 1), (2, 1)], [(0, 0), (0, 0)]);
    for (version, model, told) in [(faultline_engine::ENGINE_VERSION, 4, known), (11, 3, known), (10, 2, none)] {
        let (mut run, mut at) = (server(version), START);
        let story = [(Some(("a", 0.98)), "a"), (Some(("a", 0.97)), "b"), (Some(("b", 0.6)), "b"), (None, "a")];
        for (named, cause) in story {
            at = at.plus(APART);
            let id = incident(&mut run, at, &[("a", "x")]);
            explained(&mut run, at.plus(106_000), named, Vec::new());
            run.restore();
            assert_eq!(close(&mut run, at.plus(110_000), id, cause), 0);
        }
        at = at.plus(APART);
        incident(&mut run, at, &[("a", "x")]);
        let asked = run.engine.unanswered().filter_map(|(_, ask)| match ask {
            Ask::Explain(evidence) => Some(evidence),
            _ => None,
        });
        let mut evidence = (*asked.last().expect("it asks")).clone();
        let tallies: Vec<(u32, u32)> = evidence.reliability.iter().map(|it| (it.cases, it.right)).collect();
        let [few, sure] = told;
        let expected = if few.0 == 0 { Vec::new() } else { vec![(0, 0), few, (0, 0), (0, 0), sure] };
        assert_eq!((evidence.model, tallies), (model, expected), "version {version}");
        // A verdict on it is a function of that.
        evidence.reliability.iter_mut().for_each(|it| (it.cases, it.right) = (it.cases * 50, it.right * 50));
        let of_a = |verdict: &Verdict| verdict.reliability.as_ref().map(|it| (it.cases_here, it.cases_elsewhere));
        let verdict = faultline_explain::explain(&evidence);
        let named = (!verdict.unknown && model >= 3).then_some((150, 72));
        assert_eq!((of_a(&verdict), verdict.calibrated), (named, named.is_some()), "{verdict:?}");
        run.check_law(&mut Random::seeded(4));
    }
}

/// What version 8 decided is decided again as it did: no events, no lessons, and states as they were.
#[test]
fn an_older_engine_learns_nothing() {
    let mut run = server(8);
    let at = START.plus(APART);
    let id = incident(&mut run, at, &[("a", "x")]);
    assert_eq!(close(&mut run, at.plus(110_000), id, "a"), 1);
    assert!(run.asked.is_none());
    let checkpoint = run.engine.checkpoint();
    let tables = parts(&checkpoint);
    let is_new = |name: &&str| ["events/", "lessons/", "event-weights/"].iter().any(|table| name.starts_with(table));
    assert_eq!(tables.into_iter().filter(is_new).count(), 0);
    run.check_law(&mut Random::seeded(4));
}
