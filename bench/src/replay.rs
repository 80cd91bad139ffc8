//! Replay against the live maximum: the same journal on the same machine, one after the other.
use crate::Outcome;
use crate::checkpoints::median;
use crate::cli::ReplayArgs;
use crate::drive::Bench;
use crate::report::{self, machine_words, must, row};
use crate::{process, rules};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Instant;

/// The demand: so many times the live maximum.
const MUST_RATIO: f64 = 1.5;

/// One replay.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Replayed {
    events: u64,
    /// From the program's start to its end.
    seconds: f64,
    /// As it says itself, from the first record on.
    own_seconds: f64,
    /// Cores' worth of CPU; none where that cannot be told.
    cores: Option<f64>,
}

impl Replayed {
    fn per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}

/// `faultline-bench replay`.
pub fn run(args: &ReplayArgs) -> Outcome<()> {
    let load_before = process::load_before();
    let series = args.load.series();
    let mut bench = Bench::start(&args.load, series, 0)?;
    bench.fill(0)?;
    let live = bench.saturate(args.seconds, u64::MAX)?.per_second;
    eprintln!("live: {live:.0} events/s");
    bench.server.stop()?;
    let mut replays = Vec::new();
    for _ in 0..args.times {
        let replayed = replay(args, &bench)?;
        eprintln!("replay: {:.0} events/s", replayed.per_second());
        if replayed.events < bench.applied {
            let (events, applied) = (replayed.events, bench.applied);
            return Err(format!("{applied} events were acknowledged, the replay sees {events}"));
        }
        replays.push(replayed);
    }
    let report = Report { load_before, series, live, replays };
    print!("{}", report.table(args));
    report::save(args.load.save.as_deref(), &report.json(args))
}

fn replay(args: &ReplayArgs, bench: &Bench) -> Outcome<Replayed> {
    let mut command = Command::new(&args.load.server);
    command.args(["replay", "--output", "json", "--data"]).arg(bench.data());
    let (begun, before) = (Instant::now(), process::children_cpu_seconds());
    let output = command.output().map_err(|error| format!("cannot start `faultline replay`: {error}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    let cores = before.zip(process::children_cpu_seconds()).map(|(before, after)| (after - before) / seconds);
    let text = String::from_utf8_lossy(&output.stdout);
    let summary = summary(&text).filter(|_| output.status.success());
    let (events, own_seconds) = summary.ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("`faultline replay` ended with {} and no summary; it said:\n{said}", output.status)
    })?;
    Ok(Replayed { events, seconds, own_seconds, cores })
}

/// Events and seconds of the summary, the last line that `faultline replay --output json` prints.
fn summary(text: &str) -> Option<(u64, f64)> {
    let summary: Value = serde_json::from_str(text.lines().last()?).ok()?;
    let replayed = &summary["replayed"];
    (summary["kind"] == "summary").then_some(())?;
    Some((replayed["events"].as_u64()?, replayed["seconds"].as_f64()?))
}

struct Report {
    load_before: f64,
    series: u32,
    /// Events/s applied live.
    live: f64,
    replays: Vec<Replayed>,
}

impl Report {
    fn ratio(&self) -> f64 {
        median(&self.replays.iter().map(Replayed::per_second).collect::<Vec<_>>()) / self.live.max(1e-9)
    }

    fn table(&self, args: &ReplayArgs) -> String {
        let mut out = String::from("\n");
        let mut line = |what: &str, value: String| out += &row(what, &value);
        line("machine", machine_words(self.load_before));
        line("workload", format!("{} series, {} rules (stream)", self.series, rules::COUNT));
        line("live maximum", format!("{:.0} events/s over {} s", self.live, args.seconds));
        for replayed in &self.replays {
            let Replayed { events, seconds, own_seconds, cores } = replayed;
            let cores = cores.map_or(String::new(), |cores| format!(", {cores:.2} cores"));
            let told = format!("{events} in {seconds:.2} s ({own_seconds:.2} s from the first record on){cores}");
            line("replay", format!("{:.0} events/s: {told}", replayed.per_second()));
        }
        let met = must(self.ratio() >= MUST_RATIO, "at least 1.5");
        line("  of the live maximum, median", format!("{:.2} times{met}", self.ratio()));
        out
    }

    fn json(&self, args: &ReplayArgs) -> Value {
        let replays = self.replays.iter().map(|it| {
            json!({ "events": it.events, "seconds": it.seconds, "own_seconds": it.own_seconds, "cores": it.cores })
        });
        let replays: Vec<Value> = replays.collect();
        json!({
            "benchmark": "replay",
            "commit": report::commit(),
            "machine": report::machine(self.load_before),
            "workload": {
                "series": self.series, "rules": rules::COUNT, "evaluation": "stream", "gzip": args.load.gzip,
                "seconds": args.seconds,
            },
            "live_per_second": self.live, "replays": replays, "ratio": self.ratio(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_summary_behind_the_lines() {
        let line = r#"{"kind":"summary","replayed":{"events":9826408,"records":8728,"seconds":4.25},"to":"0/8727"}"#;
        assert_eq!(summary(&format!("{{\"kind\":\"alert\"}}\n{line}\n")), Some((9_826_408, 4.25)));
        assert_eq!(summary("{\"kind\":\"alert\",\"replayed\":{\"events\":1,\"seconds\":1.0}}"), None);
        assert_eq!((summary("replayed 3 records"), summary("")), (None, None));
    }

    #[test]
    fn the_whole_program_counts_and_the_median_of_its_runs() {
        let run = |seconds| Replayed { events: 3_000, seconds, own_seconds: seconds / 2.0, cores: None };
        let report =
            |seconds: [f64; 3]| Report { load_before: 0.0, series: 1, live: 1_000.0, replays: seconds.map(run).into() };
        assert!((report([2.0, 1.0, 9.0]).ratio() - 1.5).abs() < 1e-9);
        assert!(report([2.1, 2.1, 0.1]).ratio() < 1.5);
    }
}
