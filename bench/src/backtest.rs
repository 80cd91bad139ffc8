//! Rules over a past in blocks: what `faultline rules backtest --history` takes for a sample.
use crate::Outcome;
use crate::cli::BacktestArgs;
use crate::drive::folder_in;
use crate::load::Random;
use crate::process;
use crate::report::{self, machine_words, must, row};
use faultline_host::{Disk, RealDisk};
use faultline_model::{Labels, Millis, Position, Sample};
use faultline_serve::recent::WINDOW_MS;
use faultline_serve::recent::block::{Purpose, chunks, write_block};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The demand: 30 days of 100,000 series at 60 s, in at most so many seconds on two cores.
const DEMAND_SAMPLES: f64 = 100_000.0 * 30.0 * 1_440.0;
const DEMAND_SECONDS: f64 = 60.0;
const DEMAND_CORES: f64 = 2.0;

const START: Millis = Millis(1_700_006_400_000);
/// Between two samples of a series.
const STEP_MS: i64 = 60_000;
/// Rules, and metrics: each rule watches all series of one.
const RULES: u32 = 100;
/// Values of the label that tells parts of a metric apart; of histograms, `le`.
const PARTS: [&str; 8] = ["0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "+Inf"];

/// What a metric is, and what its rule asks. Shares as in `alert-rules`: half of all rules take rates.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Watch {
    Threshold,
    Rate,
    SumOfRates,
    Ratio,
    Quantile,
    Increase,
    Mean,
    Highest,
    Forecast,
    Absence,
}

impl Watch {
    fn of(metric: u32) -> Watch {
        match metric % 20 {
            0..6 => Watch::Threshold,
            6..9 => Watch::Rate,
            9..13 => Watch::SumOfRates,
            13..15 => Watch::Ratio,
            15 => Watch::Quantile,
            16 => Watch::Increase,
            17 => Watch::Mean,
            18 => Watch::Highest,
            _ if metric % 40 == 19 => Watch::Forecast,
            _ => Watch::Absence,
        }
    }

    fn is_counter(self) -> bool {
        use Watch::{Increase, Quantile, Rate, Ratio, SumOfRates};
        matches!(self, Rate | SumOfRates | Ratio | Quantile | Increase)
    }

    fn expression(self, m: &str) -> String {
        match self {
            Watch::Threshold => format!("{m} > 990"),
            Watch::Rate => format!("rate({m}[5m]) > 1.9"),
            Watch::SumOfRates => format!("sum by (job) (rate({m}[5m])) > 100000"),
            Watch::Ratio => {
                format!(
                    "sum by (job) (rate({m}{{part=\"5\"}}[5m])) / sum by (job) (rate({m}{{part!=\"5\"}}[5m])) > 0.9"
                )
            }
            Watch::Quantile => format!("histogram_quantile(0.99, sum by (job, le) (rate({m}[5m]))) > 10"),
            Watch::Increase => format!("increase({m}[1h]) > 100000"),
            Watch::Mean => format!("avg_over_time({m}[30m]) > 990"),
            Watch::Highest => format!("max_over_time({m}[1h]) > 998"),
            Watch::Forecast => format!("predict_linear({m}[30m], 3600) > 10000"),
            Watch::Absence => format!("absent({m}) or count by (job) ({m}) < 1"),
        }
    }
}

fn rules() -> String {
    let mut text = String::from("groups:\n");
    for metric in 0..RULES {
        if metric % 10 == 0 {
            let _ = writeln!(text, "- name: g{}\n  interval: 1m\n  rules:", metric / 10);
        }
        let expression = Watch::of(metric).expression(&name(metric));
        let _ = writeln!(text, "  - alert: A{metric:02}\n    expr: {expression}\n    for: 5m");
    }
    text
}

fn name(metric: u32) -> String {
    format!("app_{metric:02}_{}", if Watch::of(metric).is_counter() { "total" } else { "level" })
}

/// Writes the blocks; returns their bytes.
fn write(folder: &Path, series: u32, days: u32) -> Outcome<u64> {
    let disk = RealDisk;
    let failed = |error: &dyn std::fmt::Display| format!("cannot write blocks in {}: {error}", folder.display());
    disk.create_dir_all(folder).map_err(|error| failed(&error))?;
    let mut all: Vec<(Labels, bool, f64)> = (0..series).map(one).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut random, mut bytes) = (Random(7), 0);
    for window in 0..i64::from(days) * 86_400_000 / WINDOW_MS {
        let begin = START.plus(window * WINDOW_MS);
        let mut written = Vec::with_capacity(all.len());
        for (number, (labels, counter, value)) in all.iter_mut().enumerate() {
            // Each target is scraped at its own time.
            let late = number as i64 * 7_919 % STEP_MS;
            let mut next = |i: i64| {
                let drawn = random.below(64) as f64;
                *value = if *counter { *value + drawn } else { (*value + drawn - 31.5).clamp(0.0, 980.0).round() };
                Sample::new(begin.plus(i * STEP_MS + late), *value)
            };
            let samples: Vec<Sample> = (0..WINDOW_MS / STEP_MS).map(&mut next).collect();
            written.push((labels.clone(), chunks(&samples)));
        }
        let path = folder.join(format!("block-{window:016x}"));
        let summary = write_block(&disk, &path, Purpose::Block, Position::default(), &written);
        bytes += summary.map_err(|error| failed(&error))?.size;
    }
    Ok(bytes)
}

/// The labels of a series, whether it is a counter, and where it begins.
fn one(number: u32) -> (Labels, bool, f64) {
    let (metric, member) = (number % RULES, number / RULES);
    let part = PARTS[member as usize % PARTS.len()];
    let target = member as usize / PARTS.len();
    let (watch, instance) = (Watch::of(metric), format!("10.0.{}.{}:9090", target / 250, target % 250));
    let labels = Labels::new([
        ("__name__", &*name(metric)),
        ("job", &format!("job-{}", target % 10)),
        ("instance", &instance),
        ("namespace", &format!("team-{}", target % 7)),
        ("env", "production"),
        (if watch == Watch::Quantile { "le" } else { "part" }, part),
    ]);
    (labels, watch.is_counter(), f64::from(number % 900))
}

/// One run.
struct Run {
    seconds: f64,
    cpu_seconds: Option<f64>,
    report: Value,
}

/// `faultline-bench backtest`.
pub fn run(args: &BacktestArgs) -> Outcome<()> {
    let load_before = process::load_before();
    let folder = folder_in(args.run.folder.as_deref())?;
    let (blocks, file) = (folder.path().join("blocks"), folder.path().join("rules.yml"));
    std::fs::write(&file, rules()).map_err(|error| format!("cannot write the rules: {error}"))?;
    let begun = Instant::now();
    let bytes = write(&blocks, args.series, args.days)?;
    let samples = f64::from(args.series) * f64::from(args.days) * 1_440.0;
    eprintln!("{samples:.0} samples in {bytes} bytes, written in {:.1} s", begun.elapsed().as_secs_f64());
    let mut runs = Vec::new();
    for _ in 0..args.times {
        let run = backtest(args, &file, &blocks)?;
        eprintln!("{:.2} s", run.seconds);
        runs.push(run);
    }
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let median = &runs[runs.len() / 2];
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let per_sample = median.cpu_seconds.map(|cpu| cpu * 1e9 / samples);
    let demand = median.seconds * DEMAND_SAMPLES / samples * cores as f64 / DEMAND_CORES;
    let mut out = String::from("\n");
    let mut line = |what: &str, value: String| out += &row(what, &value);
    line("machine", machine_words(load_before));
    line("workload", format!("{} series at 60 s, {} days, {RULES} rules each minute", args.series, args.days));
    line("samples", format!("{samples:.0} in {:.2} bytes each", bytes as f64 / samples));
    let seconds: Vec<String> = runs.iter().map(|run| format!("{:.2}", run.seconds)).collect();
    line("backtest", format!("{} s on {cores} cores", seconds.join(", ")));
    line(
        "  of it reading twice",
        format!("{} samples read, {} firings", median.report["samples"], median.report["firings"]),
    );
    if let Some(per_sample) = per_sample {
        line("  CPU", format!("{per_sample:.1} ns a sample"));
    }
    let met = must(demand <= DEMAND_SECONDS, "at most 60 s");
    line("  30 days x 100,000 series, by this", format!("{demand:.0} s on 2 cores{met}"));
    print!("{out}");
    let told = json!({
        "benchmark": "backtest",
        "commit": report::commit(),
        "machine": report::machine(load_before),
        "workload": { "series": args.series, "days": args.days, "rules": RULES },
        "samples": samples, "bytes": bytes, "cpu_ns_per_sample": per_sample, "demand_seconds": demand,
        "runs": runs.iter().map(|run| json!({ "seconds": run.seconds, "cpu_seconds": run.cpu_seconds })).collect::<Vec<_>>(),
    });
    report::save(args.run.save.as_deref(), &told)
}

fn backtest(args: &BacktestArgs, file: &Path, blocks: &Path) -> Outcome<Run> {
    let mut command = Command::new(&args.run.server);
    command.args(["rules", "backtest"]).arg(file).arg(format!("--history={}", blocks.display())).args(["-o", "json"]);
    let (begun, before) = (Instant::now(), process::children_cpu_seconds());
    let output = command.output().map_err(|error| format!("cannot start `faultline rules backtest`: {error}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_seconds = before.zip(process::children_cpu_seconds()).map(|(before, after)| after - before);
    let said = || {
        format!("`faultline rules backtest` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr))
    };
    let report = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success()).ok_or_else(said)?;
    Ok(Run { seconds, cpu_seconds, report })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_reads_and_every_series_is_read() {
        let files = faultline_model::RuleFiles {
            files: vec![faultline_model::RuleFile { name: "r.yml".into(), text: rules() }],
            ..faultline_model::RuleFiles::default()
        };
        let set = faultline_rules::parse(&files).expect("the rules are good");
        let read: Vec<_> = set.groups.iter().flat_map(|group| &group.rules).map(|rule| rule.expr.selectors()).collect();
        let labels: Vec<Labels> = (0..2_000).map(|number| one(number).0).collect();
        let reads = |labels: &Labels| {
            let meets = |s: &&faultline_promql::Selector| s.matchers.iter().all(|m| m.matches(labels.get(&m.name)));
            read.iter().filter(|selectors| selectors.iter().any(|s| meets(&s))).count()
        };
        assert_eq!(read.len(), RULES as usize);
        assert!(labels.iter().all(|labels| reads(labels) == 1));
    }
}
