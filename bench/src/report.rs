//! What is printed, and what is kept in `bench/results`.
use crate::Outcome;
use crate::cli::IngestArgs;
use crate::drive::{Latency, Trace};
use crate::histogram::Histogram;
use crate::load::{Fleet, Signal};
use crate::process::{self, Memory};
use crate::rules;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The targets of the performance notes.
const MUST_RATE: f64 = 500_000.0;
const MUST_P99: Duration = Duration::from_millis(10);
const MUST_MEMORY: u64 = 2 << 30;

/// Everything that a run found out; what it did not measure is `None`.
pub struct Report {
    load_before: f64,
    connections: usize,
    /// Bytes of a point, a log record and a span, uncompressed.
    sizes: [f64; 3],
    pub idle: Option<Memory>,
    /// Samples of the filling, and its seconds.
    pub fill: Option<(u64, f64)>,
    pub filled: Option<Memory>,
    pub steps: Vec<Trace>,
    pub sustained: Option<Trace>,
    pub loaded: Option<Memory>,
    pub latency: Option<Latency>,
    pub end: Option<Memory>,
    /// Events taken, by the server's own count, filling included.
    pub server_counts: Option<f64>,
    /// Events acknowledged and not rejected, filling included.
    pub applied: u64,
    /// How the server ended at SIGTERM, and the seconds it took.
    pub stop: Option<(String, f64)>,
}

impl Report {
    /// A report with nothing measured yet.
    pub fn new(_args: &IngestArgs, load_before: f64, fleet: &Fleet) -> Report {
        Report {
            load_before,
            connections: fleet.connections(),
            sizes: [Signal::Metrics, Signal::Logs, Signal::Spans].map(|signal| fleet.event_size(signal)),
            idle: None,
            fill: None,
            filled: None,
            steps: Vec::new(),
            sustained: None,
            loaded: None,
            latency: None,
            end: None,
            server_counts: None,
            applied: 0,
            stop: None,
        }
    }

    /// Prints the table, and writes the file where one is asked for.
    pub fn finish(&self, args: &IngestArgs) -> Outcome<()> {
        print!("{}", self.table(args));
        save(args.load.save.as_deref(), &self.json(args))
    }

    fn table(&self, args: &IngestArgs) -> String {
        // What must be reached is said of the search alone: another rate was asked for by hand.
        let searched = args.rate.is_none() && !args.memory;
        let mut out = String::from("\n");
        let mut row = |what: &str, value: String| out += &row(what, &value);
        row("machine", machine_words(self.load_before));
        let encoding = if args.load.gzip { "gzip" } else { "identity" };
        let sizes = self.sizes.map(|size| format!("{size:.0}")).join("/");
        let shape = format!(
            "{} series, {} rules (stream), {} connections, {encoding}",
            args.load.series(),
            rules::COUNT,
            self.connections
        );
        row("workload", shape);
        row("bytes per point/log/span", sizes);
        if let Some((samples, seconds)) = self.fill {
            row("filling", format!("{samples} new series in {seconds:.2} s"));
        }
        if let Some(trace) = &self.sustained {
            let verdict = match &trace.failed {
                Some(why) => format!("NOT SUSTAINED: {why}"),
                None => format!(
                    "applied {:.0}/s over {:.0} s{}",
                    trace.applied,
                    trace.seconds,
                    if searched { must(trace.applied >= MUST_RATE, "500,000/s") } else { String::new() }
                ),
            };
            row(
                if searched { "sustained rate" } else { "rate asked for" },
                format!("{:.0} events/s: {verdict}", trace.rate),
            );
            row("  acknowledged after", percentiles(&trace.tally.acknowledged));
            row("  generator late by", percentiles(&trace.tally.late));
            row("  CPU, in cores", format!("server {:.2}, generator {:.2}", trace.server_cores, trace.generator_cores));
            let bytes = trace.tally.bytes as f64 / trace.seconds / 1e6;
            row("  bodies", format!("{:.0}/s, {bytes:.0} MB/s", trace.tally.bodies as f64 / trace.seconds));
        }
        if let Some(latency) = &self.latency {
            let met = latency.from_written.percentile(0.99) <= MUST_P99 && latency.missed == 0;
            let must = if searched { must(met, "p99 10 ms") } else { String::new() };
            row(
                "detection",
                format!(
                    "at {:.0} events/s: {} crossings, {} missed{must}",
                    latency.trace.rate, latency.sent, latency.missed
                ),
            );
            row("  last byte sent to alert", percentiles(&latency.from_written));
            row("  due time to alert", percentiles(&latency.from_due));
            row("  a sleeper overslept", format!("by {} ms at most", ms(latency.trace.overslept)));
            row(
                "  CPU, in cores",
                format!("server {:.2}, generator {:.2}", latency.trace.server_cores, latency.trace.generator_cores),
            );
            if let Some(why) = &latency.trace.failed {
                row("  NOTE", format!("the load itself did not hold: {why}"));
            }
            if latency.others > 0 {
                row("  NOTE", format!("{} alerts of rules that never should fire", latency.others));
            }
        }
        let memory = [
            ("idle", self.idle),
            ("series filled", self.filled),
            ("after the search", self.loaded),
            ("at the end", self.end),
        ];
        for (when, memory) in memory {
            if let Some(memory) = memory {
                row(
                    &format!("server memory, {when}"),
                    format!("{} resident, {} at most", mib(memory.now), mib(memory.most)),
                );
            }
        }
        if let (Some(end), true) = (self.end, args.load.series() >= 1_000_000) {
            row("  at 1 M series", must(end.most <= MUST_MEMORY, "2 GiB").trim_start_matches(", ").to_owned());
        }
        if let Some(counts) = self.server_counts {
            row(
                "events taken, by the server's count",
                format!("{counts:.0}; acknowledged without reject: {}", self.applied),
            );
        }
        if let Some((status, seconds)) = &self.stop {
            row("SIGTERM", format!("{status} after {seconds:.2} s"));
        }
        out
    }

    fn json(&self, args: &IngestArgs) -> Value {
        let memory =
            |memory: Option<Memory>| memory.map(|m| json!({ "resident_bytes": m.now, "resident_bytes_max": m.most }));
        json!({
            "benchmark": "ingest",
            "commit": commit(),
            "machine": machine(self.load_before),
            "workload": {
                "series": args.load.series(), "rules": rules::COUNT, "evaluation": "stream", "connections": self.connections,
                "gzip": args.load.gzip, "seconds": args.seconds(), "bytes_per_event": self.sizes,
            },
            "fill": self.fill.map(|(samples, seconds)| json!({ "samples": samples, "seconds": seconds })),
            "sustained": self.sustained.as_ref().map(trace),
            "steps": self.steps.iter().map(trace).collect::<Vec<_>>(),
            "detection": self.latency.as_ref().map(|latency| json!({
                "from_last_byte_us": histogram(&latency.from_written), "from_due_us": histogram(&latency.from_due),
                "crossings": latency.sent, "missed": latency.missed, "other_alerts": latency.others,
                "load": trace(&latency.trace),
            })),
            "memory": {
                "idle": memory(self.idle), "filled": memory(self.filled),
                "loaded": memory(self.loaded), "end": memory(self.end),
            },
            "events_by_server": self.server_counts,
            "events_acknowledged": self.applied,
        })
    }
}

/// A line of a table.
pub fn row(what: &str, value: &str) -> String {
    format!("{what:<34} {value}\n")
}

/// Writes the figures of a run where a name is given.
pub fn save(name: Option<&str>, figures: &Value) -> Outcome<()> {
    let Some(name) = name else { return Ok(()) };
    if name.is_empty() || name.contains(['/', '\\', '.']) {
        return Err(format!("--save {name:?}: give a plain name, without a folder and without .json"));
    }
    let folder = Path::new("bench/results");
    let path = folder.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(figures).expect("numbers and texts") + "\n";
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| format!("cannot write {}: {error}; run this at the repository's root", path.display()))?;
    println!("kept in {}", path.display());
    Ok(())
}

/// The commit of the folder this runs in; none outside a repository.
pub fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The machine and its load, in words.
pub fn machine_words(load_before: f64) -> String {
    let (model, cores, load) = process::machine();
    format!("{model}, {cores} cores; load average {load_before:.1} before, {load:.1} after")
}

/// The machine and its load.
pub fn machine(load_before: f64) -> Value {
    let (model, cores, load) = process::machine();
    json!({ "cpu": model, "cores": cores, "load_before": load_before, "load_after": load })
}

fn trace(trace: &Trace) -> Value {
    json!({
        "rate": trace.rate, "seconds": trace.seconds, "applied_per_second": trace.applied,
        "rejected": trace.rejected, "refused": trace.refused, "backlog_early": trace.backlog[0], "backlog_late": trace.backlog[1],
        "server_cores": trace.server_cores, "generator_cores": trace.generator_cores,
        "acknowledged_us": histogram(&trace.tally.acknowledged), "generator_late_us": histogram(&trace.tally.late),
        "bodies": trace.tally.bodies, "bytes": trace.tally.bytes, "failed": trace.failed,
        "overslept_us": trace.overslept.as_secs_f64() * 1e6,
    })
}

/// Percentiles, and the buckets themselves as pairs of last microsecond and count.
pub fn histogram(histogram: &Histogram) -> Value {
    let at = |share| histogram.percentile(share).as_micros() as u64;
    json!({
        "count": histogram.count(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
        "max": histogram.largest().as_micros() as u64, "buckets": histogram.filled().collect::<Vec<_>>(),
    })
}

pub fn percentiles(histogram: &Histogram) -> String {
    let at = |share| ms(histogram.percentile(share));
    format!("p50 {}  p99 {}  p99.9 {}  max {} ms", at(0.5), at(0.99), at(0.999), ms(histogram.largest()))
}

pub fn ms(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1e3)
}

pub fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / (1 << 20) as f64)
}

pub fn must(met: bool, what: &str) -> String {
    format!(", {what} {}", if met { "met" } else { "NOT met" })
}

/// One line of the search, on standard error.
pub fn step_line(trace: &Trace) {
    let verdict = trace.failed.as_deref().unwrap_or("held");
    eprintln!(
        "{:>9.0}/s for {:>4.1} s: applied {:>9.0}/s, backlog {:>7.0} -> {:>7.0}, server {:.2} cores, generator {:.2}: {verdict}",
        trace.rate,
        trace.seconds,
        trace.applied,
        trace.backlog[0],
        trace.backlog[1],
        trace.server_cores,
        trace.generator_cores
    );
}

/// The head of the generator's table.
pub fn generator_head(fleet: &Fleet) {
    let sizes = [Signal::Metrics, Signal::Logs, Signal::Spans].map(|signal| format!("{:.0}", fleet.event_size(signal)));
    println!("{} connections; {} bytes a point, log, span", fleet.connections(), sizes.join("/"));
    println!(
        "{:>10} {:>10} {:>8} {:>14} {:>16} {:>12}",
        "asked/s", "sent/s", "MB/s", "generator cores", "events/s/core", "late p99 ms"
    );
}

/// A line of the generator's table.
pub fn generator_line(trace: &Trace) {
    println!(
        "{:>10.0} {:>10.0} {:>8.0} {:>14.3} {:>16.0} {:>12}",
        trace.rate,
        trace.applied,
        trace.tally.bytes as f64 / trace.seconds / 1e6,
        trace.generator_cores,
        // CPU time comes in hundredths of a second: less than one tick says nothing.
        trace.applied / trace.generator_cores.max(0.01),
        ms(trace.tally.late.percentile(0.99)),
    );
}

/// The least that a detection can take here.
pub fn floor_line(latency: &Latency) {
    println!(
        "crossing to alert through the sink at {:.0} events/s: {}; {} sent, {} missed",
        latency.trace.rate,
        percentiles(&latency.from_written),
        latency.sent,
        latency.missed
    );
}
