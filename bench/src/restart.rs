//! From SIGKILL to ready: many series, a checkpoint, and many events after it.
use crate::Outcome;
use crate::anchors::{Anchors, Written};
use crate::cli::RestartArgs;
use crate::drive::Bench;
use crate::report::{self, machine_words, must, row};
use crate::server::Restarted;
use crate::{process, rules};
use serde_json::{Value, json};
use std::time::Duration;

/// The demand, at a million series and 10 million events.
const MUST_READY: Duration = Duration::from_secs(10);
const SERIES: u32 = 1_000_000;
/// Longest that the events after the checkpoint may take.
const SENDING_MAX_SECONDS: f64 = 600.0;

/// `faultline-bench restart`.
pub fn run(args: &RestartArgs) -> Outcome<()> {
    let load_before = process::load_before();
    let series = args.load.series.unwrap_or(SERIES);
    let mut bench = Bench::start(&args.load, series, 0)?;
    bench.fill(0)?;
    let data = bench.data();
    let checkpoint = Anchors { api: bench.server.api, data: &data }.one().map_err(|error| bench.died(error))?;
    let sent = bench.saturate(SENDING_MAX_SECONDS, args.events)?;
    eprintln!("{} events after the checkpoint at {:.0}/s", sent.applied, sent.per_second);
    let memory = bench.memory()?.now;
    bench.server.kill()?;
    let killed = bench.server.again()?;
    eprintln!("ready {:.2} s after a start behind SIGKILL", killed.ready.as_secs_f64());
    // What it counts at least: everything acknowledged before it was killed.
    let counted = bench.taken_by_metrics();
    let (status, stopped) = bench.server.stop()?;
    let stopped_again = bench.server.again()?;
    let (_, _) = bench.server.stop()?;
    let report = Report {
        load_before,
        series,
        checkpoint,
        events: sent.applied,
        memory,
        applied: bench.applied,
        counted,
        stop: (status.to_string(), stopped),
        starts: [killed, stopped_again],
    };
    print!("{}", report.table());
    report::save(args.load.save.as_deref(), &report.json())
}

struct Report {
    load_before: f64,
    series: u32,
    checkpoint: Written,
    /// Events after the checkpoint.
    events: u64,
    /// Resident bytes before the kill.
    memory: u64,
    /// Events acknowledged in all, and those that the server counts after it was killed.
    applied: u64,
    counted: Option<f64>,
    /// How it ended at SIGTERM, and how long that took.
    stop: (String, Duration),
    /// After SIGKILL, and after SIGTERM.
    starts: [Restarted; 2],
}

impl Report {
    /// Whether everything acknowledged is there.
    fn all_there(&self) -> bool {
        self.counted.is_some_and(|counted| counted >= self.applied as f64)
    }

    fn table(&self) -> String {
        let mut out = String::from("\n");
        let mut line = |what: &str, value: String| out += &row(what, &value);
        line("machine", machine_words(self.load_before));
        line("workload", format!("{} series, {} rules (stream)", self.series, rules::COUNT));
        let Written { seconds, size } = self.checkpoint;
        line("checkpoint", format!("{:.0} MB, {seconds:.2} s from wish to file", size as f64 / 1e6));
        line("events after it", format!("{}; server {} resident", self.events, report::mib(self.memory)));
        let met = |start: &Restarted| must(start.ready < MUST_READY, "10 s");
        for (what, start) in ["ready after SIGKILL", "ready after SIGTERM"].into_iter().zip(&self.starts) {
            let (ready, answered) = (start.ready.as_secs_f64(), start.answered.as_secs_f64());
            line(what, format!("{ready:.2} s{}; it answers after {answered:.2} s", met(start)));
            start.said.iter().for_each(|said| line("  it says", said.clone()));
        }
        let counted = self.counted.map_or("not told".into(), |counted| format!("{counted:.0}"));
        let lost = if self.all_there() { "" } else { ": SOME ARE MISSING" };
        line("events after SIGKILL, by the server", format!("{counted}; acknowledged {}{lost}", self.applied));
        line("SIGTERM", format!("{} after {:.2} s", self.stop.0, self.stop.1.as_secs_f64()));
        out
    }

    fn json(&self) -> Value {
        let start = |start: &Restarted| json!({ "ready_s": start.ready.as_secs_f64(), "answered_s": start.answered.as_secs_f64(), "said": start.said });
        json!({
            "benchmark": "restart",
            "commit": report::commit(),
            "machine": report::machine(self.load_before),
            "workload": { "series": self.series, "rules": rules::COUNT, "evaluation": "stream", "events": self.events },
            "checkpoint": [self.checkpoint.seconds, self.checkpoint.size],
            "resident_bytes": self.memory,
            "after_sigkill": start(&self.starts[0]), "after_sigterm": start(&self.starts[1]),
            "events_acknowledged": self.applied, "events_by_server": self.counted,
            "sigterm": [self.stop.0.clone(), self.stop.1.as_secs_f64().to_string()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ready_s: [f64; 2], counted: Option<f64>) -> String {
        let start = |ready: f64| Restarted {
            answered: Duration::from_millis(20),
            ready: Duration::from_secs_f64(ready),
            said: vec!["journal opened in 0.10 s".into()],
        };
        let report = Report {
            load_before: 0.0,
            series: 1_000_000,
            checkpoint: Written { seconds: 2.0, size: 50_000_000 },
            events: 10_000_000,
            memory: 1 << 30,
            applied: 11_000_000,
            counted,
            stop: ("exit status: 0".into(), Duration::from_secs(1)),
            starts: ready_s.map(start),
        };
        report.table()
    }

    #[test]
    fn both_starts_are_judged_and_nothing_may_be_missing() {
        let table = check([9.99, 10.0], Some(11_000_000.0));
        let line = |what: &str| table.lines().find(|line| line.starts_with(what)).unwrap().to_owned();
        assert!(line("ready after SIGKILL").contains("10 s met"), "{table}");
        assert!(line("ready after SIGTERM").contains("10 s NOT met"), "{table}");
        assert!(table.contains("journal opened in 0.10 s") && !table.contains("MISSING"), "{table}");
        assert!(check([1.0; 2], Some(10_999_999.0)).contains("MISSING"));
        assert!(check([1.0; 2], None).contains("MISSING"));
    }
}
