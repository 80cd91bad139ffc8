//! What writing a checkpoint costs: stretches with and without, by turns, in one run.
use crate::Outcome;
use crate::anchors::{Anchors, Written};
use crate::cli::CheckpointsArgs;
use crate::drive::{Bench, REST};
use crate::histogram::Histogram;
use crate::load::Connection;
use crate::metrics::{Stages, longest};
use crate::report::{self, machine_words, must, percentiles, row};
use crate::{process, rules};
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

/// The demands: throughput and p99 at most a tenth worse, and at a million series no pause of this length.
const MUST_RATE: f64 = 0.9;
const MUST_P99: f64 = 1.1;
const MUST_PAUSE: Duration = Duration::from_millis(20);
const MANY_SERIES: u32 = 1_000_000;
/// Sending before anything is measured: a young server is faster than it stays.
const WARM_SECONDS: f64 = 8.0;

/// The stretches of one kind.
#[derive(Debug, Default)]
struct Kind {
    /// Events/s applied in each saturated stretch.
    rates: Vec<f64>,
    /// From the last byte of a body to its alert, and p99 of each stretch in seconds.
    detection: Histogram,
    p99s: Vec<f64>,
    missed: usize,
    /// Stretches of detection whose load did not hold.
    unsteady: usize,
    written: Vec<Written>,
    stages: Stages,
}

/// `faultline-bench checkpoints`.
pub fn run(args: &CheckpointsArgs) -> Outcome<()> {
    let load_before = process::load_before();
    let each = (args.seconds * f64::from(args.crossings)).ceil() as u32;
    let mut bench = Bench::start(&args.load, args.load.series(), 2 * args.pairs * each)?;
    bench.fill(2 * args.pairs * each)?;
    bench.saturate(WARM_SECONDS, u64::MAX)?;
    let data = bench.data();
    let anchors = Anchors { api: bench.server.api, data: &data };
    let first = anchors.one().map_err(|error| bench.died(error))?;

    let mut kinds = [Kind::default(), Kind::default()];
    for with in order(args.pairs) {
        let rate = stretch(&mut bench, &anchors, with, &mut kinds[usize::from(with)], |bench| {
            bench.saturate(args.seconds, u64::MAX).map(|saturated| saturated.per_second)
        })?;
        eprintln!("saturated, {}: {rate:.0} events/s", name(with));
        kinds[usize::from(with)].rates.push(rate);
    }
    let rate = args.rate.unwrap_or(median(&kinds[0].rates) / 2.0);
    let mut next = 0;
    for with in order(args.pairs) {
        let numbers = next..next + each;
        next += each;
        let before = stages(&bench);
        let latency = stretch(&mut bench, &anchors, with, &mut kinds[usize::from(with)], |bench| {
            bench.latency(rate, args.seconds, args.crossings, numbers)
        })?;
        let kind = &mut kinds[usize::from(with)];
        eprintln!("at {rate:.0} events/s, {}: {}", name(with), percentiles(&latency.from_written));
        kind.detection.merge(&latency.from_written);
        kind.p99s.push(latency.from_written.percentile(0.99).as_secs_f64());
        kind.missed += latency.missed;
        kind.unsteady += usize::from(latency.trace.failed.is_some());
        kind.stages.add_between(&before, &stages(&bench));
    }
    let (status, _) = bench.server.stop()?;
    let report = Report { load_before, connections: bench.fleet.connections(), first, rate, kinds };
    print!("{}", report.table(args));
    println!("{}", row("SIGTERM", &status.to_string()).trim_end());
    report::save(args.load.save.as_deref(), &report.json(args))
}

/// Which stretches have checkpoints: one of each pair, in changing order, so that neither kind is always later.
fn order(pairs: u32) -> impl Iterator<Item = bool> {
    (0..pairs).flat_map(|pair| [pair % 2 == 1, pair % 2 == 0])
}

fn name(with: bool) -> &'static str {
    if with { "while checkpoints are written" } else { "without" }
}

/// A stretch, with checkpoints or without.
fn stretch<T>(
    bench: &mut Bench,
    anchors: &Anchors<'_>,
    with: bool,
    kind: &mut Kind,
    work: impl FnOnce(&mut Bench) -> Outcome<T>,
) -> Outcome<T> {
    let result = if with { anchors.during(|| work(bench)) } else { work(bench).map(|done| (done, Vec::new())) };
    let (done, written) = result.map_err(|error| bench.died(error))?;
    kind.written.extend(written);
    Ok(done)
}

/// What the server's stages took so far.
fn stages(bench: &Bench) -> Stages {
    // The view behind the page is made once a second.
    thread::sleep(REST * 5);
    Stages::read(&Connection::get(bench.server.api, "/metrics").unwrap_or_default())
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// Median, least and greatest of the ratios within each pair.
pub fn ratios(with: &[f64], without: &[f64]) -> [f64; 3] {
    let all: Vec<f64> = with.iter().zip(without).map(|(with, without)| with / without.max(1e-9)).collect();
    let least = all.iter().copied().reduce(|a, b| if b < a { b } else { a });
    let greatest = all.iter().copied().reduce(|a, b| if b > a { b } else { a });
    [median(&all), least.unwrap_or(0.0), greatest.unwrap_or(0.0)]
}

struct Report {
    load_before: f64,
    connections: usize,
    first: Written,
    rate: f64,
    /// Without checkpoints, and with.
    kinds: [Kind; 2],
}

impl Report {
    fn throughput(&self) -> [f64; 3] {
        ratios(&self.kinds[1].rates, &self.kinds[0].rates)
    }

    /// Of p99: one bad stretch of either kind must not decide, so pairs are compared, as with throughput.
    fn slower(&self) -> [f64; 3] {
        ratios(&self.kinds[1].p99s, &self.kinds[0].p99s)
    }

    /// How much longer the longest detection took.
    fn pause(&self) -> Duration {
        let [without, with] = [0, 1].map(|kind| self.kinds[kind].detection.largest());
        with.saturating_sub(without)
    }

    fn table(&self, args: &CheckpointsArgs) -> String {
        let series = args.load.series();
        let [without, with] = &self.kinds;
        let mut out = String::from("\n");
        let mut line = |what: &str, value: String| out += &row(what, &value);
        line("machine", machine_words(self.load_before));
        let shape = format!("{series} series, {} rules (stream), {} connections", rules::COUNT, self.connections);
        line("workload", shape);
        line("first checkpoint, whole", words(&[self.first]));
        line("stretches", format!("{} pairs of {} s for each of the two below, by turns", args.pairs, args.seconds));
        let rate = |kind: &Kind| format!("{:.0} events/s ({})", median(&kind.rates), span(&kind.rates));
        line("saturated, without", rate(without));
        line("saturated, while one is written", rate(with));
        let [middle, least, most] = self.throughput();
        let met = must(middle >= MUST_RATE, "at least 0.90");
        line("  ratio, median of the pairs", format!("{middle:.3} ({least:.3} to {most:.3}){met}"));
        line("detection, without", percentiles(&without.detection));
        line("detection, while one is written", percentiles(&with.detection));
        let count = without.detection.count() + with.detection.count();
        let missed = without.missed + with.missed;
        line("  crossings", format!("{count} at {:.0} events/s, {missed} missed", self.rate));
        let [middle, least, most] = self.slower();
        let met = must(middle <= MUST_P99 && missed == 0, "at most 1.10");
        line("  ratio of p99, median of the pairs", format!("{middle:.3} ({least:.3} to {most:.3}){met}"));
        let met = if series >= MANY_SERIES { must(self.pause() < MUST_PAUSE, "20 ms") } else { String::new() };
        line("  longest, longer by", format!("{} ms{met}", report::ms(self.pause())));
        line("checkpoints written meanwhile", words(&with.written));
        for stage in without.stages.0.keys() {
            let longest = |kind: &Kind| match kind.stages.0.get(stage).and_then(longest) {
                Some((bound, count)) if bound.is_finite() => format!("all {count} within {} ms", bound * 1e3),
                Some((_, count)) => format!("of {count} some beyond the last bucket"),
                None => "none".into(),
            };
            line(&format!("server: {stage}"), format!("without {}; with {}", longest(without), longest(with)));
        }
        if without.unsteady + with.unsteady > 0 {
            let [a, b] = [without.unsteady, with.unsteady];
            line("NOTE", format!("the load itself did not hold in {a} stretches without and {b} with"));
        }
        out
    }

    fn json(&self, args: &CheckpointsArgs) -> Value {
        let kind = |kind: &Kind| {
            json!({
                "saturated_per_second": kind.rates, "detection_us": report::histogram(&kind.detection),
                "p99_us": kind.p99s.iter().map(|p99| p99 * 1e6).collect::<Vec<_>>(), "missed": kind.missed,
                "unsteady_stretches": kind.unsteady,
                "checkpoints": kind.written.iter().map(|it| json!([it.seconds, it.size])).collect::<Vec<_>>(),
                "stages": kind.stages.0.iter().map(|(stage, buckets)| {
                    // JSON has no infinity.
                    let buckets: Vec<Value> = buckets.iter().map(|(le, n)| json!([le.to_string(), n])).collect();
                    (stage.clone(), buckets.into())
                }).collect::<serde_json::Map<_, Value>>(),
            })
        };
        json!({
            "benchmark": "checkpoints",
            "commit": report::commit(),
            "machine": report::machine(self.load_before),
            "workload": {
                "series": args.load.series(), "rules": rules::COUNT, "evaluation": "stream", "connections": self.connections,
                "gzip": args.load.gzip, "seconds": args.seconds, "pairs": args.pairs, "detection_rate": self.rate,
            },
            "first_checkpoint": [self.first.seconds, self.first.size],
            "without": kind(&self.kinds[0]), "with": kind(&self.kinds[1]),
            "throughput_ratio": self.throughput()[0], "p99_ratio": self.slower()[0],
            "longest_longer_by_us": self.pause().as_micros() as u64,
        })
    }
}

/// The least and the greatest.
fn span(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let [first, last] = [sorted.first(), sorted.last()].map(|value| value.copied().unwrap_or(0.0));
    format!("{first:.0} to {last:.0}")
}

fn words(written: &[Written]) -> String {
    let median_of = |of: fn(&Written) -> f64| median(&written.iter().map(of).collect::<Vec<_>>());
    let (size, seconds) = (median_of(|it| it.size as f64), median_of(|it| it.seconds));
    format!("{}, {:.1} MB and {seconds:.2} s each from wish to file (medians)", written.len(), size / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_has_one_of_both_and_neither_is_always_first() {
        let all: Vec<bool> = order(4).collect();
        assert_eq!(all, [false, true, true, false, false, true, true, false]);
    }

    #[test]
    fn medians_and_ratios() {
        let check = |values: &[f64], expected: f64| assert_eq!(median(values), expected, "{values:?}");
        check(&[], 0.0);
        check(&[3.0], 3.0);
        check(&[9.0, 1.0, 2.0], 2.0);
        check(&[9.0, 1.0, 2.0, 4.0], 3.0);
        assert_eq!(ratios(&[90.0, 80.0, 50.0], &[100.0, 100.0, 100.0]), [0.8, 0.5, 0.9]);
        // Each stretch is compared with its own pair's, not with the whole.
        assert_eq!(ratios(&[50.0, 100.0], &[50.0, 100.0]), [1.0, 1.0, 1.0]);
    }

    fn kind(rates: &[f64], detections_ms: &[u64]) -> Kind {
        let mut kind = Kind { rates: rates.to_vec(), ..Kind::default() };
        detections_ms.iter().for_each(|ms| kind.detection.add(Duration::from_millis(*ms)));
        kind.p99s.push(kind.detection.percentile(0.99).as_secs_f64());
        kind
    }

    #[test]
    fn verdicts_follow_the_demands() {
        use clap::Parser;
        let check = |with: Kind, series: &str, said: [&str; 3]| {
            let cli = crate::cli::Cli::parse_from(["faultline-bench", "checkpoints", "--series", series]);
            let crate::cli::Command::Checkpoints(args) = cli.command else { panic!("it was asked for") };
            let first = Written { seconds: 0.5, size: 1_000_000 };
            let kinds = [kind(&[100.0, 100.0], &[10; 100]), with];
            let table = Report { load_before: 0.0, connections: 1, first, rate: 50.0, kinds }.table(&args);
            for (row, said) in ["  ratio, median", "  ratio of p99", "  longest, longer by"].into_iter().zip(said) {
                let line = table.lines().find(|line| line.starts_with(row)).unwrap();
                assert!(line.ends_with(said), "{line}: {said}");
            }
        };
        check(kind(&[95.0, 90.0], &[11; 100]), "100000", ["0.90 met", "1.10 met", "1.000 ms"]);
        check(kind(&[95.0, 80.0], &[12; 100]), "100000", ["0.90 NOT met", "1.10 NOT met", "2.000 ms"]);
        check(kind(&[100.0, 100.0], &[29; 100]), "1000000", ["0.90 met", "1.10 NOT met", "20 ms met"]);
        check(kind(&[100.0, 100.0], &[31; 100]), "1000000", ["0.90 met", "1.10 NOT met", "20 ms NOT met"]);
        let lost = Kind { missed: 1, ..kind(&[100.0, 100.0], &[10; 100]) };
        check(lost, "100000", ["0.90 met", "1.10 NOT met", "0.000 ms"]);
    }
}
