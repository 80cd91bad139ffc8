//! A rule added or edited live takes its ranges from the recent store, by records: then it is known, and has the value, bit for
//! bit, that it would have had from the start. Whatever else comes in place of the answer changes nothing.
use crate::added_rules::{REACH_MS, RULES, START, body, rules};
use crate::beside::{self, reply, sent, tick};
use crate::journal::SEED;
use crate::real_api::{histograms, write, write_histograms};
use crate::real_tools::Faultline;
use faultline::recaller;
use faultline::verify::check as verified;
use faultline::world::control;
use faultline_engine::{Ask, Recall};
use faultline_formats::Decoded;
use faultline_host::Random;
use faultline_model::{
    Canonical, Control, Evaluation, Labels, Millis, Recalled, RecalledPart, RecalledSeries, RuleFile, RuleFiles, Sample,
};
use faultline_model::{Digest, EffectId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Values = BTreeSet<(String, Labels, u64)>;

type Run = beside::Run<Recall>;

fn server() -> Run {
    Run::new(|ask| if let Ask::Recall(it) = ask { Some(*it) } else { None })
}

/// What the store says to what was asked.
fn answer(run: &Run) -> (EffectId, Vec<Vec<u8>>) {
    let (id, asked) = run.asked.as_ref().expect("it asked");
    (*id, recaller::answer(&run.recent, asked))
}

/// Rules that are unknown, by name.
fn unknown_rules(run: &mut Run) -> BTreeSet<String> {
    let rules = run.engine.overview().groups.into_iter().flat_map(|group| group.rules.clone());
    rules.filter(|rule| rule.unknown_until.is_some()).map(|rule| rule.name.to_string()).collect()
}

/// Rules that are known and were evaluated after `loaded`.
fn known_rules(run: &mut Run, loaded: Millis) -> BTreeSet<String> {
    let rules = run.engine.overview().groups.into_iter().flat_map(|group| group.rules.clone());
    let known = rules.filter(|r| r.unknown_until.is_none() && r.record.last_at.is_some_and(|at| at > loaded));
    known.map(|rule| rule.name.to_string()).collect()
}

/// What some rules hold.
fn values_of(run: &mut Run, of: &BTreeSet<String>) -> Values {
    let groups = run.engine.overview().groups;
    let alerts = groups.into_iter().flat_map(|group| group.rules.clone()).filter_map(|rule| rule.alerting);
    let held = alerts.flat_map(|alerting| alerting.alerts).filter(|a| of.contains(&a.name));
    held.map(|a| (a.name, a.labels, a.value.to_bits())).collect()
}

/// Plays one story with all rules from the start, and with some of them added or edited at some time, what they lack answered some
/// records later. Says how many rules were unknown before the answer and after it.
fn check(seed: u64, evaluation: Evaluation) -> (usize, usize) {
    let mut random = Random::seeded(seed);
    let (mut whole, mut added) = (server(), server());
    let full = || rules(evaluation, |rule| Some(rule.into()));
    whole.push(START, full());
    let mut gone = BTreeSet::new();
    let some = rules(evaluation, |rule| match random.below(3) {
        0 => Some(rule.into()),
        1 if rule.starts_with("{alert") => Some(format!("{}, expr: 'x > 1'}}", rule.split(',').next().unwrap())),
        _ => {
            gone.insert(rule.split([' ', ',']).nth(1).unwrap().to_string());
            None
        }
    });
    // Who reads what is recorded only now waits for it.
    let waits = |name: &String| match name.as_str() {
        "Total" => gone.contains("total"),
        "Steep" => gone.contains("steep"),
        _ => false,
    };
    added.push(START, some);
    let loaded = START.plus(1_000 + random.below(60_000) as i64);
    let (mut now, mut counts, mut unknown, mut pending) = (START, [0.0_f64; 3], (0, 0), true);
    // Some samples come between the question and its answer.
    let mut answered_in = random.below(6);
    while now < loaded.plus(REACH_MS) {
        now = now.plus(random.below(1_500) as i64 + 1);
        if pending && now > loaded {
            whole.push(loaded, tick());
            added.push(loaded, full());
            (unknown.0, pending) = (unknown_rules(&mut added).len(), false);
            assert!(added.asked.is_some() || unknown_rules(&mut added).iter().all(waits), "seed {seed}");
        }
        let names = if now < loaded { &["x", "c", "y"][..] } else { &["x", "c"] };
        while let Some(due) = added.engine.overview().groups.iter().map(|g| g.next_at).find(|due| *due < now) {
            for run in [&mut whole, &mut added] {
                run.push(due, tick());
            }
            if added.engine.now() < due {
                break; // Rule time begins with the first telemetry.
            }
            if !pending {
                let of = known_rules(&mut added, loaded);
                let what = format!("seed {seed}, {evaluation:?}, {} ms after the load", due.since(loaded));
                assert_eq!(values_of(&mut whole, &of), values_of(&mut added, &of), "{what}");
            }
        }
        let decoded = body(&mut random, now, &mut counts, names);
        for run in [&mut whole, &mut added] {
            run.push(now, decoded.clone());
        }
        if random.below(10) == 0 {
            added.restore();
        }
        if pending || added.asked.is_none() {
            continue;
        }
        answered_in = answered_in.saturating_sub(1);
        if answered_in == 0 {
            let (id, bodies) = answer(&added);
            for body in bodies {
                // Cut short, to another question, and, the last time, twice.
                let damaged = body[..body.len() - 1].to_vec();
                let other = EffectId { ordinal: id.ordinal + 9, ..id };
                for (id, body) in [(id, damaged), (other, body.clone()), (id, body.clone())] {
                    whole.push(now, tick());
                    added.push(now, reply(id, body));
                }
                if random.below(2) == 0 {
                    whole.push(now, tick());
                    added.push(now, reply(id, body));
                }
            }
            assert!(added.open().is_empty(), "seed {seed}");
            added.asked = None;
            let left = unknown_rules(&mut added);
            assert!(left.iter().all(waits), "seed {seed}: {left:?} wait, {gone:?} were added");
            unknown.1 = left.len();
        }
    }
    assert_eq!(known_rules(&mut added, loaded).len(), RULES.len() + 1, "seed {seed}: all are known in the end");
    added.check_law(&mut random);
    unknown
}

#[test]
fn a_late_rule_is_known_once_the_recent_store_has_answered() {
    let kinds = [Evaluation::Grid, Evaluation::Stream];
    let all: Vec<_> = (0..25).flat_map(|seed| kinds.map(|kind| check(seed, kind))).collect();
    let (before, after) = (all.iter().map(|it| it.0).sum::<usize>(), all.iter().map(|it| it.1).sum::<usize>());
    println!("{before} rules were unknown, {after} of them after the answer");
    assert!(before > 100 && after < before / 3, "{before}, {after}");
}

fn file(text: &str) -> Decoded {
    let files = vec![RuleFile { name: "t.yml".into(), text: text.into() }];
    control(Control::Rules, RuleFiles { files, ..RuleFiles::default() }.to_bytes(), SEED)
}

const LATE: &str = "groups:\n- name: g\n  interval: 5s\n  rules:\n  - {alert: Late, expr: 'rate(c[5m]) > 0'}\n";

/// Ten minutes of so many counters, then a rule over five of them.
fn lately(series: i64) -> Run {
    let mut run = server();
    run.push(START, file("groups: []\n"));
    for step in 0..40 {
        let now = START.plus(step * 15_000);
        let counter = |i: i64| {
            let labels = Labels::new([("__name__", "c"), ("instance", &*format!("host-{i}.example"))]);
            (labels, vec![Sample::new(now, (step * (i % 50 + 1)) as f64)])
        };
        run.push(now, sent(&(0..series).map(counter).collect::<Vec<_>>()));
    }
    run.push(START.plus(600_000), file(LATE));
    assert_eq!(unknown_rules(&mut run).len(), 1);
    run
}

/// What is no answer, not the next record of it, or full of what nobody asked for, changes nothing but counts.
#[test]
fn what_does_not_answer_changes_nothing() {
    let mut run = lately(3);
    let (id, bodies) = answer(&run);
    let good = Recalled::from_bytes(&bodies[0]).expect("an answer");
    let now = START.plus(600_001);
    let changed = |change: &dyn Fn(&mut Recalled)| {
        let mut it = good.clone();
        it.last = false;
        change(&mut it);
        it.to_bytes()
    };
    let stranger = |name: &str| RecalledSeries {
        labels: Labels::new([("__name__", name)]),
        samples: vec![Sample::new(now.plus(-100_000), 1.0)],
        histograms: Vec::new(),
    };
    let part = |selector, series| RecalledPart { selector, since: Millis(i64::MIN), complete: false, series };
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no answer", b"no answer".to_vec()),
        ("a later record", changed(&|it| it.number = 3)),
        ("another question", changed(&|it| it.question = Digest::of(b"other"))),
        ("series that nobody asked for", changed(&|it| it.parts = vec![part(0, vec![stranger("d")])])),
        ("a selector that nobody asked for", changed(&|it| it.parts = vec![part(7, vec![stranger("c")])])),
    ];
    let state = |run: &mut Run| {
        let mut checkpoint = run.engine.checkpoint();
        // Where the answer stands, and places of records.
        checkpoint.pages.retain(|page| page.name != "core");
        checkpoint.pages
    };
    let mut other = lately(3);
    for (what, body) in hostile {
        assert!(run.push(now, reply(id, body)) > 0, "{what} is counted");
        other.push(now, tick());
        assert!(state(&mut run) == state(&mut other), "{what} changes the state");
    }
    // Samples of another time than was asked for, ahead of all, and beside those that are there: the ring stays as it was.
    let ring = |run: &Run| {
        let mut all = Vec::new();
        run.engine.each_series(&mut |view| all.extend(view.samples.iter().map(|s| (s.time(), s.value().to_bits()))));
        all
    };
    let before = ring(&run);
    let mut far = stranger("c");
    far.labels = good.parts[0].series[0].labels.clone();
    far.samples = [-9_000_000, -15_000, 500_000].map(|ms| Sample::new(now.plus(ms), 77.0)).to_vec();
    run.push(now, reply(id, changed(&|it| it.parts = vec![part(0, vec![far.clone()])])));
    assert_eq!(ring(&run), before);
    assert_eq!(unknown_rules(&mut run).len(), 1);
    // After all that the answer is taken; once more it answers nothing.
    bodies.iter().for_each(|body| assert_eq!(run.push(now, reply(id, body.clone())), 0));
    assert_eq!((unknown_rules(&mut run).len(), run.open().len()), (0, 0));
    assert_eq!(run.push(now, reply(id, bodies[0].clone())), 1);
    // The rule is gone before the answer comes.
    let mut run = lately(3);
    let (id, bodies) = answer(&run);
    run.push(now, file("groups: []\n"));
    let before = ring(&run);
    assert_eq!(run.push(now, reply(id, bodies[0].clone())), 1, "it answers nothing that is asked");
    assert!(ring(&run) == before && run.open().is_empty());
}

/// The store says that it lacks what is asked for, or has nothing before its own beginning: the rule is unknown as without it.
#[test]
fn what_is_not_kept_covers_nothing() {
    let mut run = lately(3);
    let until = run.engine.overview().groups[0].rules[0].unknown_until;
    run.recent.lacks(START.plus(590_000));
    let (id, bodies) = answer(&run);
    assert_eq!(bodies.len(), 1);
    run.push(START.plus(600_001), reply(id, bodies[0].clone()));
    assert_eq!(run.engine.overview().groups[0].rules[0].unknown_until, until);
    // Some of it helps to some extent: what lies before must have left the range, and what an instant selector sees.
    let mut run = lately(3);
    run.recent.lacks(START.plus(200_000));
    let (id, bodies) = answer(&run);
    run.push(START.plus(600_001), reply(id, bodies[0].clone()));
    let sooner = run.engine.overview().groups[0].rules[0].unknown_until;
    assert!(sooner < until && sooner >= Some(START.plus(800_000)), "{sooner:?} of {until:?}");
    // An engine of before does not ask.
    let mut old = server();
    old.push(START, control(Control::EngineVersion, 5_u32.to_bytes(), SEED));
    old.push(START, sent(&[(Labels::new([("__name__", "c")]), vec![Sample::new(START, 1.0)])]));
    let two = [15_000, 30_000].map(|ms| Sample::new(START.plus(ms), 2.0)).to_vec();
    old.push(START.plus(30_000), sent(&[(Labels::new([("__name__", "c")]), two)]));
    old.push(START.plus(30_001), file(LATE));
    assert!(unknown_rules(&mut old).len() == 1 && old.asked.is_none());
}

/// Fourteen thousand series: an answer of many records, none of which holds up `step` for long; and sixty thousand, for which
/// there is no room: less of their past is put back.
#[test]
fn an_answer_comes_in_records_of_bounded_cost() {
    let mut run = lately(14_000);
    let (id, bodies) = answer(&run);
    let size: usize = bodies.iter().map(Vec::len).sum();
    assert!(bodies.iter().all(|body| body.len() <= recaller::RECORD_BYTES + 4096), "bounded records");
    assert!(size > recaller::ANSWER_BYTES / 2 && size <= recaller::ANSWER_BYTES + 4096, "{size} bytes");
    let mut took: Vec<Duration> = Vec::new();
    for body in &bodies {
        let decoded = reply(id, body.clone());
        let begun = Instant::now();
        run.push(START.plus(600_001), decoded);
        took.push(begun.elapsed());
    }
    assert_eq!(unknown_rules(&mut run).len(), 0);
    took.sort();
    let within = |percent: usize| took[(took.len() - 1) * percent / 100];
    let count = took.len();
    println!(
        "{count} records of {size} bytes: half within {:?}, 99 % within {:?}, all within {:?}",
        within(50),
        within(99),
        within(100)
    );
    let mut run = lately(60_000);
    let until = run.engine.overview().groups[0].rules[0].unknown_until;
    let (id, bodies) = answer(&run);
    assert!(bodies.iter().map(Vec::len).sum::<usize>() <= recaller::ANSWER_BYTES + 4096);
    for body in bodies {
        run.push(START.plus(600_001), reply(id, body));
    }
    assert!(run.engine.overview().groups[0].rules[0].unknown_until <= until);
    assert!(run.open().is_empty());
}

/// Through the real server: ten minutes of history, then rules over five of them by a reload, and over eight by a restart.
#[test]
fn a_running_server_knows_a_late_rule_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("r.yml");
    let group = |rules: &str| format!("groups:\n- name: g\n  interval: 1s\n  rules:\n{rules}");
    let first = "  - {alert: There, expr: 'c_total > 1e9'}\n";
    std::fs::write(&file, group(first)).expect("it can be written");
    let options = ["--no-builtin-rules", "--rules", "r.yml"];
    let server = Faultline::start(dir.path(), &options);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let start = now - 600;
    let samples = (0..40).map(|n| Sample::new(Millis((start + n * 15) * 1_000), (n * 30) as f64)).collect();
    write(&server.api, &[(Labels::new([("__name__", "c_total"), ("i", "a")]), samples)]);
    let mut waited = histograms(start, 0);
    waited.retain(|(labels, _)| labels.name() == "waited_seconds");
    write_histograms(&server.api, &waited);
    let late = |range: &str, suffix: &str| {
        format!(
            "{first}  - {{alert: Late{suffix}, expr: 'rate(c_total[{range}]) > 1', for: 2s}}\n  - {{alert: LateHistogram{suffix}, expr: \
             'histogram_count(rate(waited_seconds{{instance=\"a\"}}[{range}])) > 0', for: 2s}}\n"
        )
    };
    std::fs::write(&file, group(&late("5m", ""))).expect("it can be written");
    crate::real_tools::post(&format!("{}/-/reload", server.api));
    fires(&server, &["Late", "LateHistogram"]);
    server.stop_and_verify();
    let attested = verified(&dir.path().join("data")).attested;
    assert!(attested >= 1, "the answer is in the journal");
    // What was kept over the stop is believed, too.
    std::fs::write(&file, group(&late("8m", "Again"))).expect("it can be written");
    let server = Faultline::start(dir.path(), &options);
    fires(&server, &["LateAgain", "LateHistogramAgain"]);
    server.stop_and_verify();
    assert!(verified(&dir.path().join("data")).attested > attested);
}

/// Waits for alerts to fire, for no longer than a fraction of their ranges.
fn fires(server: &Faultline, names: &[&str]) {
    let begun = Instant::now();
    loop {
        let alerts = server.get("/api/v1/alerts");
        let firing = |name: &&str| {
            let all = alerts["data"]["alerts"].as_array().into_iter().flatten();
            all.into_iter().any(|it| it["labels"]["alertname"] == **name && it["state"] == "firing")
        };
        if names.iter().all(firing) {
            return;
        }
        let rules = server.get("/api/v1/rules");
        assert!(begun.elapsed() < Duration::from_secs(60), "{names:?} do not fire: {alerts} {rules}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
