//! The recent store beside a plain list of samples: random series, late samples, blocks cut at random, restarts and crashes.
use faultline_host::{CrashPolicy, Disk, MemoryDisk};
use faultline_model::histogram::Buckets;
use faultline_model::{Histogram, HistogramSample, Labels, Millis, Number, Position, Sample};
use faultline_promql::{MatchOp, Matcher};
use faultline_serve::recent::past::Past;
use faultline_serve::recent::select::{Points, Want};
use faultline_serve::recent::{Limits, Recent};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const FOLDER: &str = "data/recent";
const HOUR: i64 = 3_600_000;

/// Numbers that repeat with their seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// All that was taken in, by labels and time; no value for a stale marker.
type Truth = BTreeMap<Labels, BTreeMap<i64, Option<Number>>>;

/// What a record brings.
type Body = (Vec<(u32, Sample)>, Vec<(u32, HistogramSample)>);

/// What a series holds, in rising time.
fn flat(points: &Points) -> Vec<(i64, Option<Number>)> {
    let number = |it: &Sample| (it.time().0, (!it.is_stale()).then(|| Number::from(it.value())));
    let other = |it: &HistogramSample| (it.time.0, it.histogram.clone().map(Number::Histogram));
    let mut all: Vec<_> = points.samples.iter().map(number).chain(points.histograms.iter().map(other)).collect();
    all.sort_by_key(|(time, _)| *time);
    all
}

struct Run {
    dice: Dice,
    disk: MemoryDisk,
    recent: Recent,
    truth: Truth,
    ids: Vec<Labels>,
    now: i64,
    records: u64,
    /// What was taken in by each record, for a replay.
    log: Vec<Body>,
}

fn limits() -> Limits {
    Limits { memory: 1 << 20, ..Limits::default() }
}

fn opened(disk: &MemoryDisk) -> Recent {
    let recent = Recent::new(limits());
    let refused = recent.open(Arc::new(disk.clone()), Path::new(FOLDER)).expect("the disk works");
    assert!(refused.is_empty(), "{refused:?}");
    recent
}

impl Run {
    fn new(seed: u64) -> Run {
        let disk = MemoryDisk::new(1 << 30);
        let recent = opened(&disk);
        let now = 1_700_000_000_000;
        let (truth, ids, log) = (Truth::new(), Vec::new(), Vec::new());
        Run { dice: Dice(seed), disk, recent, truth, ids, now, records: 0, log }
    }

    fn create(&mut self) {
        let (name, a, b) = (self.dice.roll(4), self.dice.roll(5), self.dice.roll(40));
        let pairs = [("__name__", format!("m{name}")), ("a", format!("{a}")), ("b", format!("x{b}"))];
        let labels = Labels::new(pairs.into_iter().filter(|(name, value)| (*name, &**value) != ("a", "0")));
        if !self.ids.contains(&labels) {
            self.recent.accept(vec![(self.ids.len() as u32, labels.clone())], &[], &[], &[]);
            self.ids.push(labels);
        }
    }

    fn record(&mut self) {
        let (mut samples, mut histograms) = (Vec::new(), Vec::new());
        for _ in 0..self.dice.roll(200) {
            if self.ids.is_empty() {
                break;
            }
            let id = self.dice.roll(self.ids.len() as u64) as u32;
            let late = if self.dice.roll(10) == 0 { self.dice.roll(4 * HOUR as u64) as i64 } else { 0 };
            let at = self.now - late - self.dice.roll(20_000) as i64;
            // One series in three is of histograms, another changes between the two.
            let native = id % 3 == 1 || id % 3 == 2 && self.dice.roll(4) == 0;
            let value = if native { self.histogram() } else { Some(Number::from(self.dice.roll(1_000) as f64 / 4.0)) };
            let before =
                self.truth.entry(self.ids[id as usize].clone()).or_default().entry(at).or_insert(value.clone());
            let kind = |value: &Option<Number>| value.as_ref().and_then(Number::float).is_some();
            match value {
                // The engine takes no number and histogram of one time.
                value if kind(before) != kind(&value) => {}
                Some(Number::Float(x)) => samples.push((id, Sample::new(Millis(at), x))),
                Some(Number::Histogram(it)) => {
                    histograms.push((id, HistogramSample { time: Millis(at), histogram: Some(it) }));
                }
                None => histograms.push((id, HistogramSample { time: Millis(at), histogram: None })),
            }
        }
        self.recent.accept(Vec::new(), &samples, &histograms, &[]);
        self.recent.covers(Position { partition: 0, offset: self.records });
        self.records += 1;
        self.log.push((samples, histograms));
        self.now += self.dice.roll(300_000) as i64;
    }

    /// One of few layouts, some buckets of which are filled; now and then a stale marker.
    fn histogram(&mut self) -> Option<Number> {
        let layout = self.dice.roll(10);
        let buckets = Buckets::new((0..3 + layout as i32 / 4).map(|i| (i * 2, 1.0 + self.dice.roll(50) as f64)));
        let (schema, sum) = ((layout % 3) as i8, self.dice.roll(1_000) as f64 / 8.0);
        let count = buckets.counts().iter().sum();
        (layout > 0).then(|| Histogram { schema, count, sum, positive: buckets, ..Histogram::default() }.into())
    }

    /// A new process on what the disk holds: ids are named anew, and what the disk does not know is replayed.
    fn restart(&mut self) {
        self.recent = opened(&self.disk);
        let created = self.ids.iter().enumerate().map(|(id, labels)| (id as u32, labels.clone())).collect();
        self.recent.accept(created, &[], &[], &[]);
        for (offset, (samples, histograms)) in self.log.iter().enumerate() {
            if !self.recent.knows(Position { partition: 0, offset: offset as u64 }) {
                self.recent.accept(Vec::new(), samples, histograms, &[]);
            }
        }
        self.recent.covers(Position { partition: 0, offset: self.records.saturating_sub(1) });
    }

    fn matchers(&mut self) -> Vec<Matcher> {
        let mut matchers = Vec::new();
        for _ in 0..=self.dice.roll(2) {
            let (name, value) = match self.dice.roll(9) {
                0 => ("__name__", "m1"),
                1 => ("__name__", "m[12]"),
                2 => ("a", ""),
                3 => ("a", "1|2"),
                4 => ("a", "3"),
                5 => ("b", "x1.*"),
                6 => ("b", ".+"),
                7 => ("c", ""),
                _ => ("c", "z"),
            };
            let op = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex][self.dice.roll(4) as usize];
            matchers.extend(Matcher::new(name, op, value));
        }
        matchers
    }

    fn check(&mut self) {
        let matchers = self.matchers();
        let from = self.now - self.dice.roll(30 * HOUR as u64) as i64;
        let to = from + self.dice.roll(12 * HOUR as u64) as i64;
        let newest = self.dice.roll(3) == 0;
        let want = if newest { Want::Newest } else { Want::All };
        let mut selected = self.recent.select(&matchers, Millis(from), Millis(to), want).expect("it reads");
        let (mut found, mut points) = (Vec::new(), Points::default());
        for index in 0..selected.len() {
            selected.points(index, &mut points).expect("it reads");
            let mut all = flat(&points);
            if newest {
                all.drain(..all.len().saturating_sub(1));
            }
            if !all.is_empty() {
                found.push((selected.labels(index).clone(), all));
            }
        }
        let accepted = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(&m.name)));
        let within = self.truth.iter().filter(|(labels, _)| accepted(labels)).map(|(labels, all)| {
            let mut all: Vec<_> = all.range(from..=to).map(|(time, value)| (*time, value.clone())).collect();
            if newest {
                all.drain(..all.len().saturating_sub(1));
            }
            (labels.clone(), all)
        });
        let expected: Vec<_> = within.filter(|(_, all)| !all.is_empty()).collect();
        assert_eq!(found, expected, "{matchers:?} {from}..={to}");

        self.check_past(&matchers, (from, to), newest);
        let sets = [matchers];
        let values = self.recent.label_values("b", &sets, Millis(from), Millis(to)).expect("it reads");
        let told = self.recent.label_sets(&sets, Millis(from), Millis(to)).expect("it reads");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
        let told: Vec<Labels> =
            told.iter().map(|pairs| Labels::new(pairs.map(|(name, value)| (text(name), text(value))))).collect();
        assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
        let meets = |labels: &Labels| sets[0].iter().all(|m| m.matches(labels.get(&m.name)));
        assert!(told.iter().all(|labels| self.truth.contains_key(labels) && meets(labels)), "{told:?}");
        assert!(expected.iter().all(|(labels, _)| told.binary_search(labels).is_ok()), "{told:?} lacks some");
        let names = self.recent.label_names(&sets, Millis(from), Millis(to)).expect("it reads");
        let known: std::collections::BTreeSet<&str> = told.iter().flat_map(Labels::names).collect();
        assert_eq!(names, known.into_iter().collect::<Vec<_>>());
        let (names, all) =
            (self.recent.label_names(&[], Millis(from), Millis(to)).expect("it reads"), ["__name__", "a", "b"]);
        assert!(names.is_sorted() && names.iter().all(|name| all.contains(&&**name)), "{names:?}");
        assert!(expected.iter().flat_map(|(labels, _)| labels.names()).all(|name| names.iter().any(|it| it == name)));
        let mut least: Vec<&str> = expected.iter().map(|(labels, _)| labels.get("b")).collect();
        least.sort();
        least.dedup();
        // Chunks that only overlap the stretch may name more.
        assert!(least.iter().all(|value| values.iter().any(|v| v == *value)), "{values:?} lacks some of {least:?}");
    }
}

impl Run {
    /// What is on disk, read without a store: all of it right, and all there is once the head is written down.
    fn check_past(&mut self, matchers: &[Matcher], (from, to): (i64, i64), whole: bool) {
        if whole {
            self.recent.keep_head().expect("the disk works");
        }
        let past = Past::open(&self.disk, Path::new(FOLDER)).expect("the disk works");
        let series = past.select(matchers, Millis(from), Millis(to), 1_000).expect("there are few");
        let (mut found, mut cursor, mut points) = (BTreeMap::new(), past.cursor(&series), Points::default());
        for series in series {
            past.read(&series, Millis(from), Millis(to), &mut cursor, &mut points);
            assert!(series.count(Millis(from), Millis(to)) >= (points.samples.len() + points.histograms.len()) as u64);
            found.insert(series.labels.clone(), flat(&points));
        }
        let meets = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(&m.name)));
        for (labels, all) in self.truth.iter().filter(|(labels, _)| meets(labels)) {
            let all: Vec<_> = all.range(from..=to).map(|(time, value)| (*time, value.clone())).collect();
            let found = found.remove(labels).unwrap_or_default();
            assert!(found.iter().all(|it| all.contains(it)) && found.is_sorted_by_key(|(time, _)| *time), "{labels}");
            assert!(!whole || found.len() == all.len(), "{labels}: {} of {}", found.len(), all.len());
        }
        assert!(found.is_empty() && past.missing().is_empty(), "{:?}", past.missing());
    }
}

#[test]
fn it_says_what_a_plain_list_says() {
    let mut merged = 0;
    for seed in 0..20 {
        let mut run = Run::new(seed);
        for _ in 0..300 {
            match run.dice.roll(20) {
                0..=2 => run.create(),
                3..=13 => run.record(),
                14 => drop(run.recent.keep().expect("the disk works")),
                15 => run.recent.keep_head().expect("the disk works"),
                16 if run.dice.roll(3) == 0 => {
                    run.disk.kill();
                    run.restart();
                }
                16 => merged += usize::from(run.recent.merge(&|| false).expect("the disk works")),
                _ => run.check(),
            }
        }
        let fill = run.recent.fill();
        assert!(fill.blocks > 0 && fill.late > 0 && fill.dropped == 0, "{fill:?}");
    }
    assert!(merged > 20, "{merged}");
}

/// Power is cut at each change of the disk in turn; a start then finds all that it is said to know, and a replay the rest.
#[test]
fn a_crash_at_any_point_loses_nothing_that_is_replayed() {
    let seed = 7;
    let scenario = |run: &mut Run| {
        let mut going = true;
        for step in 0..60 {
            match step % 12 {
                0 => (0..3).for_each(|_| run.create()),
                5 | 11 => going &= run.recent.keep().is_ok(),
                8 => going &= run.recent.keep_head().is_ok(),
                _ => run.record(),
            }
        }
        going
    };
    let mut whole = Run::new(seed);
    assert!(scenario(&mut whole));
    let operations = whole.disk.operations();
    assert!(operations > 20, "{operations}");
    for point in 0..operations {
        for policy in [CrashPolicy::LoseAll, CrashPolicy::KeepAll, CrashPolicy::Subset(point), CrashPolicy::Torn(point)]
        {
            let mut run = Run::new(seed);
            run.disk.stop_at(point);
            scenario(&mut run);
            run.disk.crash(policy);
            run.restart();
            (0..5).for_each(|_| run.check());
        }
    }
}

/// Whatever byte of a block is damaged: it is told, or it is not read; nothing wrong is said.
#[test]
fn damage_is_refused_and_set_aside() {
    let mut run = Run::new(3);
    (0..20).for_each(|_| run.create());
    (0..60).for_each(|_| run.record());
    run.recent.keep().expect("the disk works");
    let files = run.disk.files();
    let path = files.iter().find(|path| path.to_string_lossy().contains("block-")).expect("there is one").clone();
    let good = run.disk.content(&path).expect("it is there");
    let mut told = 0;
    for at in (0..good.len()).step_by(1 + good.len() / 400) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let disk = run.disk.copy();
        disk.set_content(&path, &bad);
        let recent = Recent::new(limits());
        let refused = recent.open(Arc::new(disk.clone()), Path::new(FOLDER)).expect("the disk works");
        let all = [Matcher::new("__name__", MatchOp::Regex, "m.*").expect("a pattern")];
        let mut found = 0;
        let read = recent.select(&all, Millis(i64::MIN), Millis(i64::MAX), Want::All).and_then(|mut selected| {
            let mut points = Points::default();
            (0..selected.len()).try_for_each(|index| {
                selected.points(index, &mut points)?;
                let truth = &run.truth[selected.labels(index)];
                for (time, value) in flat(&points) {
                    assert_eq!(truth.get(&time), Some(&value), "byte {at}");
                }
                found += points.samples.len() + points.histograms.len();
                Ok(())
            })
        });
        // The same read without a store, of a folder in which nothing was set aside yet.
        let disk_again = run.disk.copy();
        disk_again.set_content(&path, &bad);
        let past = Past::open(&disk_again, Path::new(FOLDER)).expect("the disk works");
        let series = past.select(&all, Millis(i64::MIN), Millis(i64::MAX), 1_000).expect("there are few");
        let (mut cursor, mut points) = (past.cursor(&series), Points::default());
        for series in series {
            past.read(&series, Millis(i64::MIN), Millis(i64::MAX), &mut cursor, &mut points);
            let truth = &run.truth[&series.labels];
            assert!(flat(&points).iter().all(|(time, value)| truth.get(time) == Some(value)), "byte {at}");
        }
        assert_eq!(disk_again.files(), files, "nothing is renamed");
        // A store looks at more of a file.
        assert!(
            past.missing().len() <= 1 && (past.missing().is_empty() || !refused.is_empty() || read.is_err()),
            "byte {at}"
        );
        let aside = disk.files().iter().any(|path| path.to_string_lossy().ends_with(".damaged"));
        let is_told = !refused.is_empty() || read.is_err();
        assert_eq!((recent.fill().damaged > 0, aside), (is_told, is_told), "byte {at}: {refused:?} {read:?}");
        told += usize::from(is_told);
    }
    // What no look-up reads of it is not told.
    assert!(told > 250, "{told}");
}

/// A file without histograms is one that releases before read, too; one with them has a version that they leave alone.
#[test]
fn files_say_what_may_be_in_them() {
    for (native, version) in [(false, 1), (true, 2)] {
        let disk = MemoryDisk::new(1 << 20);
        let recent = opened(&disk);
        let histogram = (0, HistogramSample { time: Millis(1_000), histogram: Some(Histogram::default().into()) });
        let histograms = if native { vec![histogram] } else { Vec::new() };
        let created = vec![(0, Labels::new([("__name__", "m")]))];
        recent.accept(created, &[(0, Sample::new(Millis(0), 1.0))], &histograms, &[]);
        recent.keep_head().expect("the disk works");
        let head = disk.content(&Path::new(FOLDER).join("head")).expect("it is there");
        assert_eq!(head[8..12], u32::to_le_bytes(version));
        assert_eq!(opened(&disk).fill().chunks, 1 + histograms.len());
    }
}

#[test]
fn any_number_of_late_samples_finds_its_place() {
    let recent = Recent::new(limits());
    let sample = |at: i64| Sample::new(Millis(at), at as f64);
    recent.accept(vec![(0, Labels::new([("__name__", "m")]))], &[(0, sample(0)), (0, sample(100_000))], &[], &[]);
    // More than any chunk can count, all before the newest, in no order.
    let late: Vec<_> = (1..90_000_i64).map(|n| (0, sample(n * 7_919 % 90_001))).collect();
    recent.accept(Vec::new(), &late, &[], &[]);
    let all = [Matcher::new("__name__", MatchOp::Equal, "m").expect("no pattern")];
    let mut selected = recent.select(&all, Millis(0), Millis(100_000), Want::All).expect("it reads");
    let mut points = Points::default();
    selected.points(0, &mut points).expect("it reads");
    let samples = points.samples;
    assert_eq!(samples.len(), late.len() + 2);
    assert!(samples.is_sorted_by_key(Sample::time) && samples.iter().all(|it| it.value() == it.time().0 as f64));
    assert_eq!(recent.fill().late, late.len() as u64);
}

#[test]
fn old_blocks_go_by_time_and_by_bytes() {
    let disk = MemoryDisk::new(1 << 30);
    let limits = Limits { retention_ms: 10 * HOUR, disk: 40_000, ..limits() };
    let recent = Recent::new(limits);
    recent.open(Arc::new(disk.clone()), Path::new(FOLDER)).expect("the disk works");
    recent.accept(vec![(0, Labels::new([("__name__", "m")]))], &[], &[], &[]);
    let (mut removed, mut written) = (0, 0);
    for minute in 0..60 * 48 {
        let sample = Sample::new(Millis(minute * 60_000), (minute * 7_919 % 1_000) as f64 / 3.0);
        recent.accept(Vec::new(), &[(0, sample)], &[], &[]);
        if minute % 30 == 0 {
            let kept = recent.keep().expect("the disk works");
            (removed, written) = (removed + kept.removed, written + kept.written);
            assert!(recent.fill().block_bytes <= limits.disk);
        }
    }
    let fill = recent.fill();
    assert_eq!((fill.blocks, removed + fill.blocks), (5, written));
    assert!(recent.gone().is_some_and(|gone| gone < Millis(38 * HOUR)));
    recent.accept(Vec::new(), &[(0, Sample::new(Millis(HOUR), 1.0))], &[], &[]);
    assert_eq!(recent.fill().too_old, 1);
    assert!(disk.list(Path::new(FOLDER)).expect("it is there").len() == 5);
}
