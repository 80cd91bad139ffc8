//! A source falls silent: its alerts are unknown until it is heard of again, through the whole engine. Others resolve as ever.
use crate::journal::SEED;
use faultline::world::{control, own};
use faultline_engine::{Effects, Engine};
use faultline_formats::{Decoded, Record, decode, encode};
use faultline_model::facts::Decision;
use faultline_model::{
    Canonical, Clock, Control, Encoding, Evaluation, Format, Hlc, Kind, Labels, Millis, Payload, Position, RuleFile,
    RuleFiles, Sample, SourceId, TenantId,
};

const START: Millis = Millis(1_700_000_000_000);
const RULES: &str = "groups:
- name: g
  interval: 10s
  rules:
  - {alert: High, expr: x > 5}
  - {alert: Steep, expr: 'rate(c[1m]) > 0.5'}
";

struct Run {
    engine: Engine,
    records: Vec<Record>,
    stamp: Hlc,
    told: Vec<String>,
    restores: bool,
}

impl Run {
    fn push(&mut self, second: i64, decoded: Decoded) {
        self.stamp = self.stamp.next(START.plus(second * 1000));
        let at = Position { partition: 0, offset: self.records.len() as u64 };
        let record = Record { at, stamp: self.stamp, decoded };
        let mut effects = Effects::default();
        if self.restores && self.records.len() % 7 == 3 {
            self.engine = Engine::restore(self.engine.checkpoint()).expect("just written");
        }
        self.engine.step(std::slice::from_ref(&record), &mut effects);
        self.records.push(record);
        for (_, decision) in effects.decisions() {
            let Decision::Alert(it) = decision else { continue };
            let who = it.labels.get("instance");
            let (from, to) = (it.from.word(), it.to.word());
            self.told.push(format!("{}s {} {who}: {from} -> {to}", it.at.since(START) / 1000, it.name));
        }
    }

    /// A body of a source: series and their values at that second.
    fn send(&mut self, second: i64, source: u8, series: &[(&str, &str, f64)]) {
        let at = START.plus(second * 1000);
        let labels = |(name, instance, _): &(&str, &str, f64)| {
            Labels::new([("__name__", *name), ("instance", *instance), ("job", "j")])
        };
        let sample = |(_, _, value): &(&str, &str, f64)| {
            [if value.is_nan() { Sample::stale(at) } else { Sample::new(at, *value) }]
        };
        let all: Vec<(Labels, [Sample; 1])> = series.iter().map(|it| (labels(it), sample(it))).collect();
        let body = encode::write_request(all.iter().map(|(labels, samples)| (labels, &samples[..])));
        let (format, encoding, clock) = (Format::RemoteWrite1, Encoding::Snappy, Clock::Live);
        let kind = Kind::Telemetry { source: SourceId([source; 16]), format, encoding, clock };
        let body = encode::compress(&body, Encoding::Snappy).into();
        self.push(second, decode(Payload { tenant: TenantId(0), kind, body }, SEED));
    }
}

/// What a source sends at a second: names, instances and values of series.
type Says = fn(i64, u8) -> Vec<(&'static str, &'static str, f64)>;

/// Runs 25 minutes; every 15 s each source sends what `says` makes of the second and the source.
fn run(evaluation: Evaluation, restores: bool, says: Says) -> String {
    let mut it =
        Run { engine: Engine::new(SEED), records: Vec::new(), stamp: Hlc::default(), told: Vec::new(), restores };
    let files = vec![RuleFile { name: "t.yml".into(), text: RULES.into() }];
    let files = RuleFiles { files, default_evaluation: evaluation, ..RuleFiles::default() };
    it.push(0, control(Control::Rules, files.to_bytes(), SEED));
    for second in (15..1500).step_by(15) {
        for source in [1, 2] {
            let series = says(second, source);
            if !series.is_empty() {
                it.send(second, source, &series);
            }
        }
        it.push(second, own(Kind::Tick, Vec::new(), SEED));
    }
    let (mut again, mut effects) = (Engine::new(SEED), Effects::default());
    again.step(&it.records, &mut effects);
    assert_eq!(again.checkpoint().first_difference(&it.engine.checkpoint()), None, "in one batch, never restored");
    it.told.join("\n")
}

#[track_caller]
fn check(says: Says, stream: &str, grid: &str) {
    assert_eq!(run(Evaluation::Stream, false, says), stream.trim());
    assert_eq!(run(Evaluation::Stream, true, says), stream.trim(), "restored again and again");
    assert_eq!(run(Evaluation::Grid, false, says), grid.trim());
}

/// Source 1 says nothing for ten minutes, then at first only half of what it used to say. A pod of source 2 goes for good.
#[test]
fn a_silent_source_resolves_nothing() {
    let says = |second: i64, source: u8| match (source, second) {
        (1, 300..900) => vec![],
        (1, 900..960) => vec![("x", "a", 9.0)],
        (1, ..1200) => vec![("x", "a", 9.0), ("x", "b", 7.0), ("c", "b", second as f64)],
        (1, _) => vec![("x", "a", 9.0), ("x", "b", 1.0)],
        (_, 300..) => vec![("x", "d", 0.0)],
        _ => vec![("x", "c", 9.0), ("x", "d", 0.0)],
    };
    let stream = "
15s High a: ok -> firing
15s High b: ok -> firing
15s High c: ok -> firing
45s Steep b: ok -> firing
326s Steep b: firing -> unknown
586s High a: firing -> unknown
586s High b: firing -> unknown
586s High c: firing -> ok
900s High a: unknown -> firing
960s High b: unknown -> firing
986s Steep b: unknown -> firing
1200s High b: firing -> ok
1226s Steep b: firing -> ok
";
    let grid = "
16s High a: ok -> firing
16s High b: ok -> firing
16s High c: ok -> firing
46s Steep b: ok -> firing
326s Steep b: firing -> ok
586s High a: firing -> ok
586s High b: firing -> ok
586s High c: firing -> ok
906s High a: ok -> firing
966s High b: ok -> firing
986s Steep b: ok -> firing
1206s High b: firing -> ok
1226s Steep b: firing -> ok
";
    check(says, stream, grid);
}

/// Prometheus cannot reach a target: its series get stale markers, and `up` says so. Another target is no longer scraped.
#[test]
fn a_target_that_is_down_resolves_nothing() {
    const NONE: f64 = f64::NAN;
    let says = |second: i64, source: u8| match (source, second) {
        (1, 300) => vec![("x", "a", NONE), ("up", "a", 0.0), ("x", "b", NONE), ("up", "b", NONE)],
        (1, 315..900) => vec![("up", "a", 0.0)],
        (1, 900..) => vec![("x", "a", 8.0), ("up", "a", 1.0)],
        (1, _) => vec![("x", "a", 8.0), ("up", "a", 1.0), ("x", "b", 8.0), ("up", "b", 1.0)],
        _ => vec![],
    };
    let stream = "
15s High a: ok -> firing
15s High b: ok -> firing
300s High a: firing -> unknown
300s High b: firing -> ok
900s High a: unknown -> firing
";
    let grid = "
16s High a: ok -> firing
16s High b: ok -> firing
306s High a: firing -> ok
306s High b: firing -> ok
906s High a: ok -> firing
";
    check(says, stream, grid);
}
