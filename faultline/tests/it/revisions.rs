//! Samples that come late revise: what the ledger says in the end of alerts that fired is what an engine says that got all samples in
//! time. Whatever else comes in place of the answer changes nothing.
use crate::beside::{self, reply, sent, tick};
use crate::journal::SEED;
use crate::real_api::write;
use crate::real_tools::{Faultline, text};
use faultline::reviser;
use faultline::verify::check as verified;
use faultline::world::control;
use faultline_engine::{Ask, ENGINE_VERSION, Revise};
use faultline_formats::Decoded;
use faultline_host::Random;
use faultline_model::facts::{AlertState, Decision, Outcome, Revision, Stretch, Unrevised};
use faultline_model::{
    AlertId, Canonical, Control, Digest, EffectId, Evaluation, Labels, Millis, Occurred, Occurrence, Revisited,
    RuleFile, RuleFiles, Sample,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const START: Millis = Millis(1_700_000_000_000);
/// Times of fired and ended that differ by no more are the same: a minute, and the interval.
const TOLERANCE_MS: i64 = 60_000 + 5_000;

type Run = beside::Run<Revise>;

fn server() -> Run {
    Run::new(|ask| if let Ask::Revise(it) = ask { Some(*it) } else { None })
}

/// What the store says to what was asked.
fn answer(run: &Run) -> (EffectId, Vec<u8>) {
    let (id, asked) = run.asked.as_ref().expect("it asked");
    (*id, reviser::answer(&run.recent, asked, &AtomicBool::new(false)).expect("nobody stops it"))
}

/// Answers what is asked, until nothing is.
fn answer_all(run: &mut Run, now: Millis) {
    while run.asked.is_some() {
        let (id, body) = answer(run);
        run.asked = None;
        assert_eq!(run.push(now, reply(id, body)), 0);
    }
}

fn revisions(run: &Run) -> impl Iterator<Item = &Revision> {
    run.decided.iter().filter_map(|it| if let Decision::Revision(it) = it { Some(&**it) } else { None })
}

fn unrevised(run: &Run) -> impl Iterator<Item = &Unrevised> {
    run.decided.iter().filter_map(|it| if let Decision::Unrevised(it) = it { Some(it) } else { None })
}

fn rules(groups: &str, default_evaluation: Evaluation) -> Decoded {
    let files = vec![RuleFile { name: "r.yml".into(), text: format!("groups:\n{groups}") }];
    let external_labels = vec![("cluster".into(), "test".into())];
    control(
        Control::Rules,
        RuleFiles { files, external_labels, default_evaluation, ..RuleFiles::default() }.to_bytes(),
        SEED,
    )
}

/// A series that no rule reads.
const OTHER: usize = 3;

fn labels(series: usize) -> Labels {
    Labels::new([("__name__", if series == OTHER { "y" } else { "x" }), ("i", &*series.to_string())])
}

/// What fired, as the ledger has it in the end: what was decided, and what was said of it since. With each whether it was revised.
#[derive(Default)]
struct Told {
    occurrences: BTreeMap<(AlertId, Occurrence), (Labels, Option<Stretch>, bool)>,
    missed: BTreeMap<AlertId, (Labels, Vec<Stretch>)>,
}

impl Told {
    fn of(decided: &[Decision]) -> Told {
        let mut it = Told::default();
        for decision in decided {
            match decision {
                Decision::Alert(t) => {
                    let fresh = Stretch { active_at: t.active_at, fired_at: None, resolved_at: None };
                    let entry = it.occurrences.entry((t.alert, t.occurrence));
                    let (_, stretch, _) = entry.or_insert_with(|| (t.labels.clone(), Some(fresh), false));
                    for stretch in stretch.iter_mut().filter(|it| it.resolved_at.is_none()) {
                        match t.to {
                            AlertState::Firing => drop(stretch.fired_at.get_or_insert(t.at)),
                            AlertState::Ok => stretch.resolved_at = Some(t.at),
                            _ => {}
                        }
                    }
                }
                Decision::Revision(r) if r.outcome != Outcome::Confirmed => it.revise(r),
                _ => {}
            }
        }
        it
    }

    fn revise(&mut self, r: &Revision) {
        if let Some(occurrence) = r.occurrence {
            let (_, stretch, revised) = self.occurrences.get_mut(&(r.alert, occurrence)).expect("it was told");
            (*stretch, *revised) = (r.after, true);
            return;
        }
        let (_, all) = self.missed.entry(r.alert).or_insert_with(|| (r.labels.clone(), Vec::new()));
        if let Some(before) = r.before {
            let place = all.iter().position(|it| it.fired_at == before.fired_at).expect("it was said");
            all.remove(place);
        }
        all.extend(r.after);
    }

    /// By labels, in time: those that fired.
    fn fired(&self) -> BTreeMap<String, Vec<(Stretch, bool)>> {
        let mut all: BTreeMap<String, Vec<(Stretch, bool)>> = BTreeMap::new();
        for (labels, stretch, revised) in self.occurrences.values() {
            all.entry(labels.to_string()).or_default().extend(stretch.map(|it| (it, *revised)));
        }
        for (labels, stretches) in self.missed.values() {
            all.entry(labels.to_string()).or_default().extend(stretches.iter().map(|it| (*it, true)));
        }
        all.retain(|_, stretches| {
            stretches.retain(|(it, _)| it.fired_at.is_some());
            stretches.sort();
            !stretches.is_empty()
        });
        all
    }
}

const RULES: &str = "- name: g
  interval: 5s
  rules:
  - {alert: High, expr: 'x > 5', labels: {of: '{{ $labels.i }}'}}
  - {alert: HighLong, expr: 'x > 5', for: 90s}
  - {alert: HighLong, expr: 'x > 7', for: 30s, labels: {severity: page}}
  - {alert: Mean, expr: 'avg_over_time(x[2m]) > 4', for: 20s}
  - {alert: Few, expr: 'count_over_time(x[1m]) < 5'}
  - {alert: Sum, expr: 'sum(x) > 12', for: 1m, labels: {cluster: own}}
- name: h
  interval: 15s
  query_offset: 10s
  rules:
  - {alert: Ratio, expr: 'x{i=\"0\"} / on () sum(max_over_time(x[3m])) > 0.3', for: 30s}
";

/// One story: all series, and which of their samples come late, and when.
struct Story {
    /// When a sample comes, its series, and the sample.
    samples: Vec<(Millis, usize, Sample)>,
    end: Millis,
}

fn story(random: &mut Random) -> Story {
    let length = 1_500_000 + random.below(600_000) as i64;
    let mut samples = Vec::new();
    for series in 0..3 {
        // Never at the very instant of a group: an instant is over when a sample of its time comes.
        let (mut time, mut level, mut until) = (START.plus(10 * random.below(500) as i64), 0.0, START);
        // Whole stretches that come late, and single samples.
        let mut away = (START, START, START);
        while time < START.plus(length) {
            if time >= until {
                level = random.below(10) as f64;
                until = time.plus(20_000 + random.below(240_000) as i64);
            }
            if time > away.1 && time > START.plus(200_000) && random.below(25) == 0 {
                let end = time.plus(random.below(150_000) as i64);
                away = (time, end, end.plus(61_000 + random.below(60_000) as i64));
            }
            let late = time.plus(61_000 + random.below(200_000) as i64);
            let comes = match () {
                () if (away.0..=away.1).contains(&time) => away.2,
                () if time > START.plus(200_000) && random.below(30) == 0 => late,
                () => time,
            };
            samples.push((comes, series, Sample::new(time, level + random.below(3) as f64 / 2.0)));
            time = time.plus(10 + 10 * random.below(900) as i64);
        }
    }
    // The sender goes on: in a stream its silence is not the end of an alert.
    let beats = (0..180).map(|n| START.plus(length + 5_000 * n));
    samples.extend(beats.map(|at| (at, OTHER, Sample::new(at, 1.0))));
    // What comes late comes in any order.
    let mut keyed: Vec<(Millis, u64, usize, Sample)> =
        samples.into_iter().map(|(at, series, sample)| (at, random.below(1 << 30), series, sample)).collect();
    keyed.sort_by_key(|it| (it.0, it.1));
    let samples = keyed.into_iter().map(|(at, _, series, sample)| (at, series, sample)).collect();
    Story { samples, end: START.plus(length + 1_000_000) }
}

/// Counts of outcomes, by their words.
type Counts = BTreeMap<&'static str, usize>;

/// Plays a story twice, with all samples in time and with some late, and holds what the ledger says against what it would say.
fn check(seed: u64, evaluation: Evaluation, counts: &mut Counts) {
    let mut random = Random::seeded(seed);
    let story = story(&mut random);
    let (mut whole, mut late) = (server(), server());
    for run in [&mut whole, &mut late] {
        run.push(START, rules(RULES, evaluation));
    }
    let mut in_time = story.samples.clone();
    in_time.sort_by_key(|(_, series, sample)| (sample.time(), *series));
    for (_, series, sample) in in_time {
        whole.push(sample.time(), sent(&[(labels(series), vec![sample])]));
    }
    let (mut answer_in, mut questions) = (0, 0);
    let mut answered = |late: &mut Run, now: Millis, random: &mut Random| {
        if late.asked.is_none() || random.below(8) == 0 {
            return;
        }
        if questions != late.questions {
            (questions, answer_in) = (late.questions, random.below(5));
        }
        answer_in = answer_in.saturating_sub(1);
        if answer_in > 0 {
            return;
        }
        let (id, body) = answer(late);
        // Cut short, and to another question.
        let damaged = body[..body.len() - 1].to_vec();
        let other = EffectId { ordinal: id.ordinal + 9, ..id };
        assert_eq!(late.push(now, reply(id, damaged)), 1);
        assert_eq!(late.push(now, reply(other, body.clone())), 1);
        late.asked = None;
        assert_eq!(late.push(now, reply(id, body.clone())), 0);
        if random.below(2) == 0 {
            let before = late.decided.len();
            assert_eq!(late.push(now, reply(id, body)), 1, "twice");
            assert_eq!(late.decided.len(), before);
        }
    };
    for (now, series, sample) in &story.samples {
        late.push(*now, sent(&[(labels(*series), vec![*sample])]));
        answered(&mut late, *now, &mut random);
        if random.below(40) == 0 {
            late.restore();
        }
    }
    for run in [&mut whole, &mut late] {
        let mut now = run.engine.now();
        while now < story.end {
            now = now.plus(1_000);
            run.push(now, tick());
            answer_all(run, now);
        }
    }
    assert_eq!(whole.questions, 0, "seed {seed}: nothing came late");
    assert_eq!(unrevised(&late).collect::<Vec<_>>(), Vec::<&Unrevised>::new(), "seed {seed}");
    for it in revisions(&late) {
        *counts.entry(it.outcome.word()).or_default() += 1;
    }
    let (would, is) = (Told::of(&whole.decided).fired(), Told::of(&late.decided).fired());
    for alert in would.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let [would, is] = [&would, &is].map(|all| all.get(alert).map_or(&[][..], |all| &all[..]));
        let near = |a: Option<Millis>, b: Option<Millis>| match (a, b) {
            (Some(a), Some(b)) => a.since(b).abs() <= TOLERANCE_MS + 10_000,
            (a, b) => a == b,
        };
        let same = would.len() == is.len()
            && would
                .iter()
                .zip(is)
                .all(|((a, _), (b, _))| near(a.fired_at, b.fired_at) && near(a.resolved_at, b.resolved_at));
        let said = || late.decided.iter().filter_map(|it| line(it, alert)).collect::<Vec<_>>().join("\n");
        assert!(same, "seed {seed}, {alert}:\n{}\n{}\n{}", shown(would), shown(is), said());
        let exact = would.iter().zip(is).filter(|((a, _), (b, _))| a == b).count();
        *counts.entry("exact").or_default() += exact;
        *counts.entry("near").or_default() += would.len() - exact;
    }
    late.check_law(&mut random);
}

/// What was decided of an alert.
fn line(decision: &Decision, alert: &str) -> Option<String> {
    let (one, ms) =
        (|it: Option<Stretch>| it.map_or("none".into(), |it| shown(&[(it, false)])), |at: Millis| at.since(START));
    match decision {
        Decision::Alert(t) if t.labels.to_string() == alert => Some(format!("{} {}", ms(t.at), t.to.word())),
        Decision::Revision(r) if r.labels.to_string() == alert => {
            Some(format!("  {} {} for {} as of {}", r.outcome.word(), one(r.before), one(r.after), ms(r.as_of)))
        }
        _ => None,
    }
}

fn shown(all: &[(Stretch, bool)]) -> String {
    let ms = |at: Option<Millis>| at.map_or("-".to_string(), |at| at.since(START).to_string());
    let one = |(it, revised): &(Stretch, bool)| {
        let mark = if *revised { "!" } else { "" };
        format!("{mark}[{} {} {}]", ms(Some(it.active_at)), ms(it.fired_at), ms(it.resolved_at))
    };
    all.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_ledger_says_in_the_end_what_it_would_have_said_in_time() {
    for evaluation in [Evaluation::Grid, Evaluation::Stream] {
        let mut counts = Counts::new();
        (0..40).for_each(|seed| check(seed, evaluation, &mut counts));
        println!("{evaluation:?}: {counts:?}");
        for word in ["confirmed", "revised", "retracted", "missed"] {
            assert!(counts.get(word).is_some_and(|count| *count > 20), "{word}: {counts:?}");
        }
    }
}

const FEW: &str = "  - {alert: Few, expr: 'count_over_time(x[5m]) < 3', for: 10s}\n";

fn few(evaluation: Evaluation, dry_run: bool) -> Decoded {
    let text = format!("groups:\n- name: g\n  interval: 5s\n  rules:\n{FEW}");
    let files = RuleFiles {
        files: vec![RuleFile { name: "r.yml".into(), text }],
        default_evaluation: evaluation,
        dry_run: if dry_run { vec!["g".into()] } else { Vec::new() },
        ..RuleFiles::default()
    };
    control(Control::Rules, files.to_bytes(), SEED)
}

fn x(at: &[i64]) -> Decoded {
    sent(&[(labels(0), at.iter().map(|ms| Sample::new(START.plus(*ms), 1.0)).collect())])
}

fn ticks(run: &mut Run, from: i64, to: i64) {
    for second in from / 1_000..=to / 1_000 {
        run.push(START.plus(second * 1_000), tick());
    }
}

/// A rule that fires because samples are missing, which come after a hundred seconds; then it is asked about.
fn page(rules: Decoded) -> Run {
    let mut run = server();
    run.push(START, rules);
    run.push(START, x(&[0]));
    ticks(&mut run, 1_000, 90_000);
    run.push(START.plus(90_000), x(&[90_000]));
    ticks(&mut run, 91_000, 100_000);
    run.push(START.plus(100_500), x(&[3_000, 1_000, 2_000]));
    ticks(&mut run, 101_000, 125_000);
    run
}

#[test]
fn what_does_not_answer_changes_nothing() {
    let mut run = page(few(Evaluation::Grid, false));
    let (id, body) = answer(&run);
    let good = Revisited::from_bytes(&body).expect("an answer");
    assert_eq!(good.occurrences, [], "it would not have fired, nor been pending at the end");
    let until = run.asked.as_ref().expect("it asked").1.asked.until;
    let known = revisions(&run).count();
    let one = |name: &str, active_at: Millis, end: Option<Millis>| Occurred {
        alert: AlertId::of_parts(&[b"a"]),
        labels: Labels::new([("alertname", name)]),
        stretch: Stretch { active_at, fired_at: None, resolved_at: end },
    };
    let with = |occurrences| Revisited { occurrences, ..good.clone() }.to_bytes();
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no answer", b"no answer".to_vec()),
        ("another question", Revisited { question: Digest::of(b"other"), ..good.clone() }.to_bytes()),
        ("another alert", with(vec![one("Other", START, None)])),
        ("what is to come", with(vec![one("Few", until.plus(1), None)])),
        ("an end to come", with(vec![one("Few", START, Some(until.plus(1)))])),
        ("too many", with((0..2_000).map(|n| one("Few", START.plus(2 * n), Some(START.plus(2 * n + 1)))).collect())),
    ];
    let state = |run: &mut Run| {
        let mut checkpoint = run.engine.checkpoint();
        // Places of records.
        checkpoint.pages.retain(|page| page.name != "core");
        checkpoint.pages
    };
    let (mut other, now) = (page(few(Evaluation::Grid, false)), START.plus(125_000));
    for (what, body) in hostile {
        assert_eq!(run.push(now, reply(id, body)), 1, "{what} is counted");
        other.push(now, tick());
        assert!(state(&mut run) == state(&mut other), "{what} changes the state");
    }
    // Never: nothing else is asked, and it is asked again after a restart.
    ticks(&mut run, 126_000, 400_000);
    run.push(START.plus(400_000), x(&[330_000]));
    ticks(&mut run, 401_000, 500_000);
    assert_eq!((run.questions, revisions(&run).count()), (1, known));
    run.restore();
    // After all that it is taken; once more it answers nothing.
    run.asked = None;
    assert_eq!(run.push(START.plus(500_000), reply(id, body.clone())), 0);
    let told: Vec<_> = revisions(&run).map(|it| (it.outcome, it.name.clone(), it.after)).collect();
    assert_eq!(told, [(Outcome::Retracted, "Few".to_string(), None)]);
    let it = revisions(&run).next().expect("just seen").clone();
    assert_eq!((it.late.samples, it.late.first, it.late.last), (3, START.plus(1_000), START.plus(3_000)));
    assert_eq!(it.late.series[0].labels, labels(0));
    assert!(it.before.is_some_and(|it| it.fired_at.is_some() && it.resolved_at.is_some()) && !it.dry_run);
    assert_eq!(run.push(START.plus(500_000), reply(id, body)), 1);
    assert_eq!(revisions(&run).count(), 1);
}

#[test]
fn rules_that_change_are_looked_at_from_then_on() {
    // What is tried only is said, as such.
    let mut run = page(few(Evaluation::Grid, true));
    answer_all(&mut run, START.plus(125_000));
    assert!(revisions(&run).all(|it| it.dry_run) && revisions(&run).count() == 1);
    // A stream group is looked at again as it decides: sample by sample.
    let mut run = page(few(Evaluation::Stream, false));
    answer_all(&mut run, START.plus(125_000));
    let told: Vec<_> = revisions(&run).map(|it| (it.outcome, it.name.clone(), it.after)).collect();
    assert_eq!(told, [(Outcome::Retracted, "Few".to_string(), None)]);
    // The rule is edited, or gone, before the answer comes.
    for text in ["  - {alert: Few, expr: 'count_over_time(x[5m]) < 4', for: 10s}\n", "  - {alert: Other, expr: x}\n"] {
        let mut run = page(rules(&format!("- name: g\n  interval: 5s\n  rules:\n{FEW}"), Evaluation::Grid));
        let (id, body) = answer(&run);
        run.push(START.plus(125_000), rules(&format!("- name: g\n  interval: 5s\n  rules:\n{text}"), Evaluation::Grid));
        assert_eq!(run.push(START.plus(125_000), reply(id, body)), 1, "it answers nothing that is asked");
        let told: Vec<_> = unrevised(&run).map(|it| (it.name.clone(), it.late.samples)).collect();
        assert_eq!((told, revisions(&run).count()), (vec![("Few".to_string(), 3)], 0));
    }
    // Another rule of its group is: nothing of it changes.
    let mut run = page(rules(&format!("- name: g\n  interval: 5s\n  rules:\n{FEW}"), Evaluation::Grid));
    run.push(
        START.plus(125_000),
        rules(&format!("- name: g\n  interval: 5s\n  rules:\n  - {{alert: New, expr: x}}\n{FEW}"), Evaluation::Grid),
    );
    answer_all(&mut run, START.plus(125_000));
    assert_eq!((unrevised(&run).count(), revisions(&run).count()), (0, 1));
    // What lies before the rule cannot be said; what is after it can.
    let mut run = server();
    run.push(START, rules("- name: f\n  rules: []\n", Evaluation::Grid));
    run.push(START, x(&[0]));
    ticks(&mut run, 1_000, 60_000);
    run.push(START.plus(60_000), few(Evaluation::Grid, false));
    ticks(&mut run, 61_000, 90_000);
    run.push(START.plus(90_500), x(&[3_000, 1_000, 2_000]));
    ticks(&mut run, 91_000, 160_000);
    answer_all(&mut run, START.plus(160_000));
    let told: Vec<_> = unrevised(&run).map(|it| (it.from, it.to)).collect();
    assert_eq!(told, [(START.plus(1_000), START.plus(59_999))]);
    // The store lacks what is asked for.
    let mut run = page(few(Evaluation::Grid, false));
    run.recent.lacks(START.plus(50_000));
    answer_all(&mut run, START.plus(125_000));
    assert!(unrevised(&run).all(|it| it.reason.contains("lacks")) && unrevised(&run).count() == 1);
    assert_eq!(revisions(&run).count(), 0);
}

/// What was unknown because its source was silent was so in the past that is gone through again, too: it was not resolved.
#[test]
fn silence_resolves_nothing_afterwards() {
    let mut run = server();
    // The second rule is there so that what comes six minutes late is taken.
    let group = "- name: g\n  interval: 5s\n  rules:\n  - {alert: High, expr: 'x > 5'}\n  - {alert: Low, expr: 'max_over_time(x[10m]) < 0'}\n";
    run.push(START, rules(group, Evaluation::Stream));
    let nines = |from: i64, to: i64| {
        let samples = (from..to).step_by(5_000).map(|ms| Sample::new(START.plus(ms), 9.0)).collect();
        sent(&[(labels(0), samples)])
    };
    for second in 0..700 {
        let now = START.plus(second * 1_000);
        match second {
            0..=60 | 500.. if second % 5 == 0 => run.push(now, nines(second * 1_000, second * 1_000 + 1)),
            511 => run.push(now, nines(100_000, 115_000)),
            _ => run.push(now, tick()),
        };
        answer_all(&mut run, now);
    }
    let states: Vec<(i64, &str)> = run
        .decided
        .iter()
        .filter_map(
            |it| if let Decision::Alert(t) = it { Some((t.at.since(START) / 10_000, t.to.word())) } else { None },
        )
        .collect();
    assert_eq!(states, [(0, "firing"), (36, "unknown"), (50, "firing")]);
    let told: Vec<_> = revisions(&run).map(|it| (it.outcome, it.after.map(|it| it.resolved_at))).collect();
    assert_eq!((told, unrevised(&run).count()), (vec![(Outcome::Confirmed, Some(None))], 0));
}

/// An engine of before notes nothing, or nothing of `stream` groups; from the record on that puts ours in force it does.
#[test]
fn an_engine_of_before_revises_nothing() {
    for (version, evaluation) in [(6_u32, Evaluation::Grid), (10, Evaluation::Stream)] {
        let mut run = server();
        run.push(START, control(Control::EngineVersion, version.to_bytes(), SEED));
        run.push(START, few(evaluation, false));
        run.push(START, x(&[0]));
        ticks(&mut run, 1_000, 100_000);
        run.push(START.plus(100_500), x(&[3_000, 1_000, 2_000]));
        ticks(&mut run, 101_000, 125_000);
        assert_eq!(run.questions, 0);
        assert!(!run.engine.checkpoint().pages.iter().any(|page| page.name.starts_with("occurrences")));
        run.push(START.plus(125_000), control(Control::EngineVersion, ENGINE_VERSION.to_bytes(), SEED));
        ticks(&mut run, 126_000, 130_000);
        run.push(START.plus(130_500), x(&[4_000]));
        ticks(&mut run, 131_000, 150_000);
        answer_all(&mut run, START.plus(150_000));
        assert_eq!((run.questions, unrevised(&run).count()), (1, 1), "{evaluation:?}");
    }
}

/// Through the real server: a page that rests on what had come, and is taken back.
#[test]
fn a_running_server_takes_a_page_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let rules = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {alert: Few, expr: 'count_over_time(c_total[5m]) < 3', for: 1s}\n";
    std::fs::write(dir.path().join("r.yml"), rules).expect("it can be written");
    let server = Faultline::start(dir.path(), &["--no-builtin-rules", "--rules", "r.yml"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let series = |ago: &[i64]| {
        let samples = ago.iter().map(|ms| Sample::new(Millis(now - ms), 1.0)).collect();
        write(&server.api, &[(Labels::new([("__name__", "c_total"), ("i", "a")]), samples)]);
    };
    series(&[0]);
    let begun = Instant::now();
    let within = |what: &str, is: &dyn Fn() -> bool| {
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(120), "{what}: {}", server.get("/api/v1/rules"));
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    within("it fires", &|| {
        let alerts = server.get("/api/v1/alerts");
        alerts["data"]["alerts"].as_array().into_iter().flatten().any(|it| it["state"] == "firing")
    });
    series(&[99_000, 90_000, 80_000]);
    let revised = || server.get("/api/faultline/v1/revisions?alert=Few");
    within("it is retracted", &|| revised()["counts"]["retracted"] == 1);
    let all = revised();
    let mut all = all["revisions"].as_array().into_iter().flatten().filter(|it| it["kind"] == "revision");
    let it = all.next().expect("it was counted");
    assert_eq!((&it["outcome"], &it["late"]["samples"], &it["after"]), (&"retracted".into(), &3.into(), &json!(null)));
    assert_eq!(it["late"]["series"][0]["labels"]["i"], "a");
    assert!(it["before"]["fired_at"].is_string());
    let output = Command::new(env!("CARGO_BIN_EXE_faultline")).args(["revisions", "--url", &server.api]).output();
    let page = String::from_utf8(output.expect("it runs").stdout).expect("text");
    assert!(page.contains("retracted  Few i=a") && page.contains("3 from"), "{page}");
    let metrics = text(&format!("{}/metrics", server.api));
    for line in ["faultline_revisions_total{outcome=\"retracted\"} 1", "faultline_late_samples_total 3"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    server.stop_and_verify();
    let mut history = Command::new(env!("CARGO_BIN_EXE_faultline"));
    history.args(["rules", "history", "Few", "--data"]).arg(dir.path().join("data"));
    let page = String::from_utf8(history.output().expect("it runs").stdout).expect("text");
    assert!(page.contains("retracted") && page.contains("active 1 times"), "{page}");
    assert!(verified(&dir.path().join("data")).attested >= 1, "the answer is in the journal");
}
