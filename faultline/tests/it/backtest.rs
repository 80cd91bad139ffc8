//! Rules tried on blocks of samples fire when they fire on the journal of the same samples, to the millisecond.
mod import;
mod real_import;

use crate::journal::SEED;
use faultline::world::control;
use faultline_engine::{Effect, Effects, Engine};
use faultline_formats::{Decoded, decode, encode};
use faultline_host::{Disk, Journal, ManualClock, RealDisk};
use faultline_model::histogram::Buckets;
use faultline_model::{
    Canonical, Clock, Control, Encoding, Format, Genesis, Histogram, HistogramSample, Kind, Labels, Millis, Payload,
    RuleFile, RuleFiles, Sample, SourceId, TenantId,
};
use faultline_serve::recent::{Limits, Recent};
use faultline_storage::{DataFolder, SegmentJournal, Settings};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

const START: Millis = Millis(1_700_000_000_000);
const HOUR: i64 = 3_600_000;

/// Rules of the server that received it: what they recorded is in the blocks, and must not be taken for what others record.
const LIVE: &str = "groups:\n- name: live\n  interval: 30s\n  rules:\n  \
    - {record: 'job:hits:rate5m', expr: 'vector(1e9)'}\n  \
    - {alert: Level, expr: 'level > 0'}\n";

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// What one target sends at a time.
type Body = (Vec<(Labels, Sample)>, Vec<(Labels, HistogramSample)>);

/// A target whose series rise, fall, pause and end.
struct Target {
    number: u64,
    dice: Dice,
    level: f64,
    totals: [f64; 3],
    buckets: [f64; 3],
    silent_until: Millis,
}

impl Target {
    fn scrape(&mut self, at: Millis) -> Body {
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        if at < self.silent_until {
            return (floats, histograms);
        }
        let instance = format!("i{}", self.number);
        let named = |name: &str, more: &[(&str, &str)]| {
            Labels::new(
                [("__name__", name), ("job", "web"), ("instance", &*instance)].into_iter().chain(more.iter().copied()),
            )
        };
        let ends = self.dice.roll(150) == 0;
        if ends || self.dice.roll(200) == 0 {
            self.silent_until = at.plus(self.dice.roll(30) as i64 * 60_000);
        }
        let mut float = |labels: Labels, value: f64| {
            floats.push((labels, if ends { Sample::stale(at) } else { Sample::new(at, value) }));
        };
        self.level += self.dice.roll(21) as f64 - 10.0;
        self.level = self.level.clamp(-80.0, 80.0);
        float(named("level", &[]), self.level);
        float(named("up", &[]), f64::from(self.dice.roll(12) > 0));
        for (i, total) in self.totals.iter_mut().enumerate() {
            *total = if self.dice.roll(90) == 0 { 0.0 } else { *total + self.dice.roll(40 * (i as u64 + 1)) as f64 };
            float(named("hits_total", &[("code", ["200", "404", "500"][i])]), *total);
        }
        let mut sum = 0.0;
        for (bucket, le) in self.buckets.iter_mut().zip(["0.1", "1", "+Inf"]) {
            *bucket += self.dice.roll(9) as f64;
            sum += *bucket;
            float(named("took_seconds_bucket", &[("le", le)]), sum);
        }
        let positive = Buckets::new(self.buckets.iter().enumerate().map(|(i, count)| (i as i32 * 2, *count)));
        let histogram = Histogram { count: positive.counts().iter().sum(), sum, positive, ..Histogram::default() };
        let histogram = (!ends).then(|| Arc::new(histogram));
        histograms.push((named("waited_seconds", &[]), HistogramSample { time: at, histogram }));
        (floats, histograms)
    }
}

fn body((floats, histograms): &Body) -> Decoded {
    let floats: Vec<(&Labels, [Sample; 1])> = floats.iter().map(|(labels, sample)| (labels, [*sample])).collect();
    let histograms: Vec<(&Labels, [HistogramSample; 1])> =
        histograms.iter().map(|(l, sample)| (l, [sample.clone()])).collect();
    let series = floats.iter().map(|(labels, samples)| (*labels, &samples[..], &[][..]));
    let series = series.chain(histograms.iter().map(|(labels, samples)| (*labels, &[][..], &samples[..])));
    let body = encode::write_request_with_histograms(series);
    let (source, encoding, clock) = (SourceId([1; 16]), Encoding::Identity, Clock::Live);
    let kind = Kind::Telemetry { source, format: Format::RemoteWrite1, encoding, clock };
    let decoded = decode(Payload { tenant: TenantId(0), kind, body: body.into() }, SEED);
    assert_eq!(&decoded.rejects[..], &[]);
    decoded
}

/// A data folder with some hours of drawn samples: a journal, and a recent store fed with what a server accepted of it.
fn drawn(path: &Path, seed: u64, hours: i64) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = DataFolder::open(disk.clone(), path, [7; 16]).expect("a new folder");
    let clock = Arc::new(ManualClock::default());
    let settings = Settings { segment_size: 8 << 20, limit: 512 << 20 };
    let (mut journal, _) = SegmentJournal::open(&folder, settings, clock.clone(), None).expect("a new journal");
    let recent = Recent::new(Limits { retention_ms: 1000 * 24 * HOUR, ..Limits::default() });
    assert!(recent.open(disk, &path.join("recent")).expect("the disk works").is_empty());
    let mut engine = Engine::new(SEED);
    let mut append = |at: Millis, decoded: Decoded| {
        clock.set(at);
        let records = journal.append(vec![decoded]).expect("there is room");
        assert_eq!(records[0].stamp.millis(), at, "its time is that of its samples");
        let mut effects = Effects::default();
        engine.step(&records, &mut effects);
        for effect in effects.list {
            if let Effect::Accepted(it) = effect {
                recent.accept(it.created, &it.samples, &it.histograms, &it.evicted);
            }
        }
        recent.keep().expect("the disk works");
    };
    let genesis = Genesis { format: 1, journal: [7; 16], seed: SEED, created: START };
    append(START, control(Control::Genesis, genesis.to_bytes(), SEED));
    append(START.plus(1), control(Control::EngineVersion, faultline_engine::ENGINE_VERSION.to_bytes(), SEED));
    let files = vec![RuleFile { name: "live.yml".into(), text: LIVE.into() }];
    let files = RuleFiles { files, default_interval: 60_000, ..RuleFiles::default() };
    append(START.plus(2), control(Control::Rules, files.to_bytes(), SEED));
    let target = |number: u64| Target {
        number,
        dice: Dice(seed * 100 + number),
        level: 0.0,
        totals: [0.0; 3],
        buckets: [0.0; 3],
        silent_until: START,
    };
    let mut targets: Vec<Target> = (0..4).map(target).collect();
    for scrape in 0..hours * HOUR / 30_000 {
        for (target, late) in targets.iter_mut().zip([11, 4_017, 9_441, 22_003]) {
            let at = START.plus(scrape * 30_000 + late);
            append(at, body(&target.scrape(at)));
        }
    }
    recent.keep_head().expect("the disk works");
    assert!(recent.fill().blocks as i64 >= hours / 2 - 2);
    journal.close().expect("the disk is well");
}

fn faultline(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faultline")).args(args).output().expect("it starts")
}

/// - `folder`: where it is run: where groups lie on the grid depends on their files' names, and a temporary folder's is drawn.
fn report_in(folder: &Path, args: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_faultline")).current_dir(folder).args(args).output().expect("it starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

fn report(args: &[&str]) -> Value {
    report_in(Path::new("."), args)
}

/// Every kind of rule, with what makes blocks go by instant.
const RULES: &str = r#"
groups:
- name: plain
  interval: 30s
  rules:
  - {alert: Level, expr: 'level > 40', for: 90s}
  - {alert: Kept, expr: 'level > 55', keep_firing_for: 5m}
  - {alert: Templated, expr: 'level < -30', labels: {sort: '{{ $labels.instance }}-{{ if gt $value -50.0 }}low{{ else }}deep{{ end }}'}, annotations: {now: '{{ query "up" | first }}'}}
  - {alert: Down, expr: 'up == 0', for: 30s}
  - {alert: Silent, expr: 'absent_over_time(level{instance="i1"}[4m])'}
  - {alert: Gone, expr: 'level offset 3m unless level', for: 1m}
  - {alert: Stale, expr: 'time() - timestamp(level) > 45'}
  - {alert: Few, expr: 'count(level) < 4'}
  - {alert: Scalar, expr: 'vector(scalar(level{instance="i2"})) > 20'}
- name: rates
  interval: 1m
  query_offset: 25s
  rules:
  - {alert: Busy, expr: 'sum by (job) (rate(hits_total[5m])) > 5.5'}
  - {alert: Errors, expr: 'rate(hits_total{code="500"}[2m]) / on (job, instance) rate(hits_total{code="200"}[2m]) > 4', for: 2m}
  - {alert: Slow, expr: 'histogram_quantile(0.5, sum by (le) (rate(took_seconds_bucket[5m]))) > 0.58'}
  - {alert: Native, expr: 'histogram_quantile(0.5, sum(rate(waited_seconds[5m]))) > 3.5'}
  - {alert: Steady, expr: 'stddev_over_time(level[10m]) < 6 and max_over_time(level[10m]) > 10'}
  - {alert: Sub, expr: 'max_over_time(sum(rate(hits_total[1m]))[10m:30s]) > 10'}
  - {alert: Top, expr: 'topk(2, level) > 30'}
  - {alert: ManyToMany, expr: 'up == on (job) group_left level < 0'}
  - {alert: Ranged, expr: 'predict_linear(level[15m], 600) > 100 or deriv(level[5m]) > 0.2'}
- name: limited
  interval: 45s
  limit: 2
  rules:
  - {alert: Limited, expr: 'level > 10', for: 1m}
  - {record: limited, expr: 'level > 0'}
  - {alert: OfLimited, expr: 'limited > 20'}
- name: chained
  interval: 30s
  rules:
  - {alert: Before, expr: 'job:hits:rate5m > 3'}
  - {record: 'job:hits:rate5m', expr: 'sum by (job, code) (rate(hits_total[5m]))', labels: {made: here}}
  - {alert: After, expr: 'job:hits:rate5m{code="500"} > 3', for: 1m}
  - {record: 'job:hits:max', expr: 'max_over_time(job:hits:rate5m[20m])'}
  - {record: 'waited', expr: 'sum by (job) (rate(waited_seconds[5m]))'}
  - {alert: Recorded, expr: 'histogram_quantile(0.5, waited) > 3.5'}
  - {record: nobody, expr: 'level'}
- name: across
  interval: 2m
  rules:
  - {alert: Across, expr: 'job:hits:max > 3.2', for: 4m}
  - {alert: Ended, expr: 'absent(hot)'}
  - {record: hot, expr: 'level > 50'}
- name: of_alerts
  interval: 1m
  rules:
  - {alert: Several, expr: 'count(ALERTS{alertname="Level", alertstate="firing"}) > 1'}
  - {alert: Long, expr: 'time() - ALERTS_FOR_STATE{alertname="Level"} > 180'}
  - {alert: Ahead, expr: 'level offset -1m > 60 or level @ 1700003600 > 1e9 or hits_total offset 1h < 5'}
  - {record: held, expr: 'level > 60 or (level > 0 and held)'}
  - {alert: Held, expr: 'held < 30'}
  - {alert: Forever, expr: 'vector(1)'}
"#;

fn list(report: &Value, field: &str) -> Vec<Value> {
    report[field].as_array().unwrap_or_else(|| panic!("{field}: {report}")).clone()
}

#[test]
fn blocks_fire_when_the_journal_fires() {
    let mut fired = String::new();
    for (seed, hours) in [(1, 9), (2, 5), (3, 5)] {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let data = temporary.path().join("data");
        drawn(&data, seed, hours);
        fs::write(temporary.path().join("rules.yml"), RULES).expect("it can be written");
        let report = |words: &[&str]| report_in(temporary.path(), words);
        // A record's time: the journal evaluates up to there, too.
        let to = START.plus((hours * 120 - 20) * 30_000 + 22_003).to_string();
        // A journal's first record finds an instant before it due, of which blocks know nothing.
        for from in ["2023-11-14T22:20:00Z", "2023-11-15T01:00:00Z"] {
            let words =
                ["rules", "backtest", "rules.yml", "--data", "data", "-o", "json", "--to", &*to, "--from", from];
            let (journal, blocks) = (report(&words), report(&[&words[..], &["--history"]].concat()));
            same_firings(&journal, &blocks, &format!("seed {seed} from {from}"));
            assert_eq!((&*list(&blocks, "missing"), &*list(&blocks, "select_nothing")), (&[][..], &[][..]));
            let failed: Vec<Value> = list(&blocks, "failed").iter().map(|it| it["rule"].clone()).collect();
            assert_eq!(failed.len(), 3, "of equal labels, and of limits: {failed:?}");
            fired.extend(list(&blocks, "alerts").iter().map(|it| it["alert"].as_str().expect("a text").to_string()));
        }
    }
    let names = RULES.split("alert: ").skip(1).map(|it| it.split(',').next().expect("a name"));
    let silent: Vec<&str> = names.filter(|name| !fired.contains(&format!("alertname=\"{name}\""))).collect();
    assert_eq!(silent, ["ManyToMany", "Forever"], "one fails, one fires before; of others nothing would be shown");
}

#[test]
fn what_blocks_cannot_say_is_told() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| temporary.path().join(name).to_str().expect("a plain path").to_string();
    drawn(&temporary.path().join("data"), 4, 5);
    let recent = path("data/recent");
    let file = |name: &str, rule: &str| {
        let text = format!("groups:\n- name: g\n  interval: 30s\n  rules:\n  - {{{rule}}}\n");
        fs::write(path(name), text).expect("it can be written");
        path(name)
    };
    let high = file("high.yml", "alert: High, expr: 'level > 40'");
    let later = file("later.yml", "alert: High, expr: 'level > 40', for: 5m");
    let asks = file("asks.yml", "alert: Asks, expr: 'level > 0', labels: {n: '{{ query \"up\" | len }}'}");
    let none = file("none.yml", "alert: None, expr: 'level{instance=\"other\"} > 0 or no_such_metric'");
    fs::create_dir(path("empty")).expect("a new folder");
    let refused = |words: &[&str], says: &str| {
        let output = faultline(&[&["rules"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(says), "{words:?}: {output:?} does not say {says:?}");
    };
    let history = format!("--history={recent}");
    refused(&["backtest", &high, "--history=nowhere"], "nowhere");
    refused(&["backtest", &high, &format!("--history={}", path("empty"))], "no blocks of samples");
    refused(&["backtest", &high, &history, "--from", "2024-01-01T00:00:00Z"], "the blocks hold");
    refused(&["backtest", &high, &history, "--to", "2020-01-01T00:00:00Z"], "the blocks hold");
    refused(&["backtest", &high, &history, "--from", "0/12"], "name a time");
    refused(&["backtest", &asks, &history], "asks `query`");
    refused(&["diff", &high, &history], "--against");

    let told = report(&["rules", "backtest", &none, &history, "-o", "json"]);
    let selectors: Vec<Value> = list(&told, "select_nothing").iter().map(|it| it["selector"].clone()).collect();
    assert_eq!(selectors, ["level{instance=\"other\"}", "no_such_metric{}"]);
    let text = faultline(&["rules", "backtest", &high, &history]);
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    assert!(text.contains("blocks") && text.contains("WHEN") && text.contains("High"), "{text}");

    let diff = |against: &str| {
        let output = faultline(&["rules", "diff", &later, "--against", against, &history, "-o", "json"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), report["vanish"].as_u64() > Some(0), report["same"].as_u64() > Some(0))
    };
    assert_eq!((diff(&later), diff(&high)), ((Some(0), false, true), (Some(1), true, false)));

    // A damaged block is named with the time that is missing, and stays where it is.
    let whole = report(&["rules", "backtest", &high, &history, "-o", "json"]);
    let mut blocks: Vec<_> = fs::read_dir(&recent).expect("a folder").map(|it| it.expect("a file").path()).collect();
    blocks.sort();
    let mut bytes = fs::read(&blocks[0]).expect("it is there");
    (64..bytes.len() / 2).step_by(101).for_each(|at| bytes[at] ^= 1);
    fs::write(&blocks[0], bytes).expect("it can be written");
    let lacking = report(&["rules", "backtest", &high, &history, "-o", "json"]);
    let why = list(&lacking, "missing")[0].to_string();
    assert!(why.contains("damaged") && why.contains("is missing") && why.contains("block-"), "{why}");
    assert!(lacking["firings"].as_u64() < whole["firings"].as_u64() && blocks[0].exists());
}

fn same_firings(journal: &Value, blocks: &Value, what: &str) {
    let (a, b) = (list(journal, "alerts"), list(blocks, "alerts"));
    let name = |it: &Value| it["alert"].to_string();
    for one in &a {
        let other = b.iter().find(|it| it["alert"] == one["alert"]);
        assert_eq!(Some(one), other, "{what}: the journal, and the blocks");
    }
    let only: Vec<String> = b.iter().filter(|it| !a.iter().any(|one| one["alert"] == it["alert"])).map(name).collect();
    assert_eq!(only, Vec::<String>::new(), "{what}: in blocks alone");
    for field in ["to", "firings", "pending_only"] {
        assert_eq!(journal[field], blocks[field], "{what}: {field}");
    }
}
