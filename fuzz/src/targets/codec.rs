//! Canonical bytes: facts, control bodies, leaves. What reads is written back byte for byte.
use crate::Target;
use faultline_engine::{Page, Recall, Revisit, Wanted};
use faultline_ledger::{Fact, LedgerEntry, Tree};
use faultline_model::facts::*;
use faultline_model::*;
use faultline_observe::ring::Ring;
use faultline_promql::{MatchOp, Matcher};

/// The target.
pub const TARGET: Target = Target { name: "codec", size_max: 4 << 10, run, seeds };

fn check<T: Canonical>(bytes: &[u8]) {
    if let Ok(value) = T::from_bytes(bytes) {
        assert_eq!(value.to_bytes(), bytes, "a value has one form");
    }
}

const TYPES: &[fn(&[u8])] = &[
    check::<LedgerEntry>,
    check::<Evidence>,
    check::<Verdict>,
    check::<RuleFiles>,
    check::<Genesis>,
    check::<SourceName>,
    check::<Setting>,
    check::<ChangeEvent>,
    check::<Sealed>,
    check::<Labels>,
    check::<Vec<Sample>>,
    check::<ExactSum>,
    check::<Tree>,
    check::<Page>,
    check::<Ring>,
    check::<Vec<Option<Transition>>>,
    check::<(f64, Vec<(i64, u64)>)>,
    entry,
    check::<Recalled>,
    check::<Recall>,
    check::<Revisited>,
    check::<Revisit>,
    check::<Feedback>,
    check::<Lesson>,
    check::<Weights>,
];

/// A leaf is never too large for its bundle, and a sealed segment's is found by the cheap look.
fn entry(bytes: &[u8]) {
    if let Ok(entry) = LedgerEntry::from_bytes(bytes) {
        let leaf = entry.leaf_bytes();
        assert!(leaf.len() <= faultline_ledger::ENTRY_SIZE_MAX);
        let sealed = match entry.fact {
            Fact::Sealed(sealed) => Some(sealed),
            _ => None,
        };
        assert_eq!(LedgerEntry::sealed_in(&leaf), sealed);
    }
}

fn run(bytes: &[u8]) {
    if let Some((choice, body)) = bytes.split_first() {
        TYPES[usize::from(*choice) % TYPES.len()](body);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let transition = Transition {
        alert: AlertId([1; 16]),
        occurrence: Occurrence { began: Position { partition: 0, offset: 10 }, ordinal: 0 },
        from: AlertState::Pending,
        to: AlertState::Firing,
        at: Millis(1_700_000_000_000),
        active_at: Millis(1_699_999_999_000),
        group: "f.yml;g".into(),
        name: "A".into(),
        labels: Labels::new([("alertname", "A"), ("service", "pay")]),
        annotations: vec![("summary".into(), "it fails".into())],
        value: 0.1,
        imported: false,
        dry_run: true,
    };
    let verdict = Verdict {
        incident: EffectId::default(),
        revision: 1,
        at: Millis(5),
        unknown: false,
        calibrated: false,
        causes: vec![Cause {
            entity: "pay".into(),
            kind: "stopped".into(),
            posterior: 0.9,
            responsibility: 0.5,
            share: 0.25,
            onset: Some(Millis(-1)),
            path: vec![PathStep { client: "a".into(), server: "b".into(), explained: 0.75, lag: None }],
            evidence: vec![Contribution { what: "traffic".into(), nats: 12.5 }],
        }],
        summary: "pay stopped".into(),
        why_not_second: String::new(),
        method: "junction tree".into(),
        unseen: vec!["db".into()],
        what_ifs: Vec::new(),
        checks: Vec::new(),
        passed: vec![Passed { client: "a".into(), server: "b".into(), degraded: 0.75, passed: 0.5 }],
        reliability: Some(Box::new(Reliability {
            elsewhere: Tally { cases: 9, right: 7 },
            here: Tally { cases: 2, right: 1 },
            cases_elsewhere: 72,
            cases_here: 3,
            low: 0.5,
            high: 0.75,
        })),
    };
    let sealed = Sealed { segment: 3, last: Position { partition: 0, offset: 7 }, root: Digest::of(b"x") };
    let decided = |decision| LedgerEntry::decided(2, EffectId::default(), decision).to_bytes();
    let change = ChangeEvent {
        entity: "pay".into(),
        kind: "deploy".into(),
        title: "t".into(),
        version: "1".into(),
        at: Millis(9),
        by: String::new(),
    };
    let files = RuleFiles {
        files: vec![RuleFile { name: "f.yml".into(), text: "groups: []".into() }],
        external_url: "http://x".into(),
        features: vec!["promql-duration-expr".into()],
        dry_run: vec!["tried".into()],
        ..RuleFiles::default()
    };
    let genesis = Genesis { format: 1, journal: [7; 16], seed: HashSeed(1), created: Millis(1) };
    let source = SourceName { id: SourceId([3; 16]), listener: "otlp-grpc".into(), peer: "::1".into() };
    let mut sum = ExactSum::default();
    [1e308, 1.0, -1e-308, 0.1].iter().for_each(|x| sum.add(*x));
    let mut tree = Tree::default();
    (0..300_u32).for_each(|i| tree.push(Digest::of(&i.to_le_bytes()), &mut Vec::new()));
    let quarantined = Quarantined { position: Position::default(), reason: "it broke".into() };
    let matchers = [(MatchOp::Equal, "__name__", "c"), (MatchOp::Regex, "i", "a|b"), (MatchOp::NotRegex, "j", ".+")];
    let matchers = matchers.map(|(op, name, value)| Matcher::new(name, op, value).expect("a pattern")).to_vec();
    let recall = Recall { at: Millis(9), wanted: vec![Wanted { matchers, from: Millis(-1), to: Millis(8) }] };
    let series = RecalledSeries {
        labels: Labels::new([("__name__", "c")]),
        samples: vec![Sample::new(Millis(1), 0.5), Sample::stale(Millis(2))],
        histograms: vec![HistogramSample { time: Millis(3), histogram: None }],
    };
    let part = RecalledPart { selector: 0, since: Millis(1), complete: true, series: vec![series] };
    let question = Digest::of(&recall.to_bytes());
    let recalled = Recalled { question, number: 1, last: true, parts: vec![part] };
    let stretch = Stretch { active_at: Millis(1), fired_at: Some(Millis(2)), resolved_at: None };
    let occurred = Occurred { alert: transition.alert, labels: transition.labels.clone(), stretch };
    let revisit = Revisit {
        group: "f;g".into(),
        name: "A".into(),
        from: Millis(1),
        until: Millis(9),
        gaps: vec![(Millis(2), Millis(3))],
        active: vec![occurred.clone()],
        unknown: vec![(Millis(2), Millis(4))],
    };
    let question = Digest::of(&revisit.to_bytes());
    let revisited = Revisited { question, reason: String::new(), occurrences: vec![occurred] };
    let one = LateSeries { labels: transition.labels.clone(), samples: 3, first: Millis(1), last: Millis(2) };
    let late = Late::of(one);
    let revision = Revision {
        outcome: Outcome::Revised,
        alert: transition.alert,
        occurrence: None,
        group: "f;g".into(),
        name: "A".into(),
        labels: transition.labels.clone(),
        before: None,
        after: Some(stretch),
        as_of: Millis(9),
        dry_run: true,
        late: late.clone(),
    };
    let (from, to) = (Millis(1), Millis(9));
    let unrevised = Unrevised { group: "f;g".into(), name: "A".into(), from, to, reason: "no".into(), late };
    let anchor = Anchor { position: Position::default(), state: Digest::default() };
    let (incident, cause, note, by) = (EffectId::default(), "pay".into(), "disk".into(), "me".into());
    let feedback = Feedback { incident, cause, note, at: Millis(5), by };
    let learned = Learned { lessons: 3, types: 2, weights: Digest::default(), at: Millis(6) };
    let events = vec![(0, 3)];
    let candidates = vec![Candidate { heard: true, events }, Candidate::default()];
    let lesson = Lesson { types: vec!["event:a".into()], candidates, calls: vec![(1, 0)], cause: 0 };
    let weight = EventWeight { name: "event:a".into(), own: 1.5, callers: 0.0, callees: -0.5 };
    let weights = Weights { lessons: 3, events: vec![weight] };
    [
        (0, decided(Decision::Alert(transition.clone()))),
        (0, decided(Decision::Verdict(verdict.clone()))),
        (0, decided(Decision::Change(change.clone()))),
        (0, decided(Decision::Anchor(anchor))),
        (0, decided(Decision::Quarantined(quarantined))),
        (0, LedgerEntry::sealed(2, sealed).to_bytes()),
        (16, LedgerEntry::sealed(2, sealed).to_bytes()),
        (2, verdict.to_bytes()),
        (3, files.to_bytes()),
        (4, genesis.to_bytes()),
        (5, source.to_bytes()),
        (6, Setting { name: "limits.series".into(), value: "9".into() }.to_bytes()),
        (7, change.to_bytes()),
        (8, sealed.to_bytes()),
        (9, transition.labels.to_bytes()),
        (10, vec![Sample::new(Millis(1), 0.5), Sample::stale(Millis(2))].to_bytes()),
        (11, sum.to_bytes()),
        (12, tree.to_bytes()),
        (14, vec![Some(transition), None].to_bytes()),
        (18, recalled.to_bytes()),
        (19, recall.to_bytes()),
        (20, revisited.to_bytes()),
        (21, revisit.to_bytes()),
        (0, decided(Decision::Revision(Box::new(revision)))),
        (0, decided(Decision::Unrevised(unrevised))),
        (0, decided(Decision::Feedback(feedback.clone()))),
        (0, decided(Decision::Learned(learned))),
        (22, feedback.to_bytes()),
        (23, lesson.to_bytes()),
        (24, weights.to_bytes()),
        (15, (1.5, vec![(-1, u64::MAX), (i64::MIN, 24)]).to_bytes()),
    ]
    .map(|(choice, bytes)| [&[choice], &bytes[..]].concat())
    .to_vec()
}
