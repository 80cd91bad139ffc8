//! What 1,000 `stream` rules cost `step`: `cargo run --release -p faultline-engine --example rules`.
//!
//! The work of `faultline-bench rules` without its processes: 100,000 series of 100 metrics with a sample each 15 s, ten rules a
//! metric, a tick each 100 ms. Memory that others use meanwhile is played by a buffer that is written before each tick and
//! each body; the time of `step` alone is told, with rules and without.
#![allow(clippy::disallowed_types, reason = "a measurement reads the clock; core itself does not")]
use faultline_engine::{Effects, Engine};
use faultline_formats::{Decoded, Record, decode, encode};
use faultline_model::{
    Canonical, Clock, Control, Encoding, Evaluation, Format, HashSeed, Hlc, Kind, Labels, Millis, Payload, Position,
    RuleFile, RuleFiles, Sample, SourceId, TenantId,
};
use std::fmt::Write;
use std::time::{Duration, Instant};

const METRICS: u64 = 100;
const SERIES: u64 = 100_000;
/// Series of a body.
const BODY: usize = 2_000;
const INTERVAL_MS: i64 = 15_000;
/// Rounds before anything is measured, and with what is measured.
const WARM: u64 = 6;
const ROUNDS: u64 = 6;
const START: Millis = Millis(1_700_000_000_000);
const SEED: HashSeed = HashSeed(7);

struct Run {
    engine: Engine,
    next: u64,
    cold: Vec<u64>,
}

impl Run {
    fn push(&mut self, stamp: Millis, decoded: Decoded) -> Duration {
        let at = Position { partition: 0, offset: self.next };
        self.next += 1;
        for word in self.cold.iter_mut().step_by(8) {
            *word = word.wrapping_add(self.next);
        }
        let mut effects = Effects::default();
        let record = [Record { at, stamp: Hlc::default().next(stamp), decoded }];
        let begun = Instant::now();
        self.engine.step(&record, &mut effects);
        let took = begun.elapsed();
        while self.engine.write_frozen(1 << 20).is_some() {}
        took
    }
}

fn payload(kind: Kind, body: Vec<u8>) -> Decoded {
    decode(Payload { tenant: TenantId(0), kind, body: body.into() }, SEED)
}

fn name(metric: u64) -> String {
    format!("bench_{metric:02}_{}", if metric.is_multiple_of(2) { "level" } else { "total" })
}

fn rules() -> String {
    let mut out = String::from("groups:\n");
    for metric in 0..METRICS {
        let name = name(metric);
        let _ = writeln!(out, "- name: {name}\n  interval: 15s\n  rules:");
        for i in 0..10 {
            let limit = 100 + i;
            let expr = match (metric % 2, i) {
                (0, _) => format!("{name} > {limit}"),
                (_, 8..) => format!("sum by (job) (rate({name}[1m])) > {limit}00"),
                _ => format!("rate({name}[1m]) > {limit}"),
            };
            let _ = writeln!(out, "  - alert: A{metric:02}x{i}\n    expr: {expr}\n    for: 30s");
        }
    }
    out
}

fn body(part: &[(Labels, f64)], now: Millis) -> Decoded {
    let samples: Vec<[Sample; 1]> = part.iter().map(|(_, value)| [Sample::new(now, *value)]).collect();
    let series = part.iter().zip(&samples).map(|((labels, _), samples)| (labels, &samples[..]));
    let body = encode::compress(&encode::write_request(series), Encoding::Snappy);
    let kind = Kind::Telemetry {
        source: SourceId([1; 16]),
        format: Format::RemoteWrite1,
        encoding: Encoding::Snappy,
        clock: Clock::Live,
    };
    payload(kind, body)
}

/// Time of samples and of ticks, of all rounds that count.
fn run(rules: Option<String>, cold_bytes: usize) -> (Duration, Duration) {
    let mut run = Run { engine: Engine::new(SEED), next: 0, cold: vec![0; cold_bytes / 8] };
    let files = rules.into_iter().map(|text| RuleFile { name: "measured.yml".into(), text }).collect();
    let files = RuleFiles { files, default_evaluation: Evaluation::Stream, ..RuleFiles::default() };
    run.push(START, payload(Kind::Control(Control::Rules), files.to_bytes()));
    let one = |number: u64| {
        let (metric, member) = (number % METRICS, number / METRICS);
        let instance = format!("10.0.{}.{}:9090", member / 250, member % 250);
        let job = format!("job-{}", member % 10);
        (Labels::new([("__name__", &*name(metric)), ("instance", &*instance), ("job", &*job)]), 50.0)
    };
    let mut estate: Vec<(Labels, f64)> = (0..SERIES).map(one).collect();
    let (mut state, mut now) = (5_u64, START);
    let (mut of_samples, mut of_ticks) = (Duration::ZERO, Duration::ZERO);
    for round in 0..WARM + ROUNDS {
        let counts = u32::from(round >= WARM);
        for (number, (_, value)) in (0..).zip(&mut estate) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (metric, loud, drawn) = (number % METRICS, number < METRICS, (state >> 58) as f64);
            *value = match (metric % 2, loud) {
                (0, false) => (*value + drawn - 31.5).clamp(0.0, 90.0),
                (0, true) => 1_000.0 + drawn,
                (_, false) => *value + drawn * 15.0,
                (_, true) => *value + 15_000.0,
            };
        }
        for (number, part) in (0..).zip(estate.chunks(BODY)) {
            of_samples += counts * run.push(now.plus(number * 4), body(part, now));
        }
        for tick in 3..INTERVAL_MS / 100 {
            of_ticks += counts * run.push(now.plus(tick * 100), payload(Kind::Tick, Vec::new()));
        }
        now = now.plus(INTERVAL_MS);
    }
    (of_samples / ROUNDS as u32, of_ticks / ROUNDS as u32)
}

fn main() {
    let only = std::env::args().nth(1);
    for cold in [0, 64 << 20] {
        let plain = if only.is_none() { run(None, cold) } else { Default::default() };
        let ruled = run(Some(rules()), cold);
        let own = (ruled.0 - plain.0, ruled.1 - plain.1);
        println!("others use {} MiB: a round of {SERIES} samples and 1,000 rules", cold >> 20);
        println!("  without rules: samples {:?}, ticks {:?}; with: {:?}, {:?}", plain.0, plain.1, ruled.0, ruled.1);
        println!("  rules: {own:?}, {:.1} M evaluations/s", SERIES as f64 * 10.0 / (own.0 + own.1).as_secs_f64() / 1e6);
    }
}
