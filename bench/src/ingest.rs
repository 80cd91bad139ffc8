//! The measurement end to end: start, fill, search, latency, memory.
use crate::Outcome;
use crate::cli::IngestArgs;
use crate::histogram::Histogram;
use crate::ladder::{self, Plan, Trial, Tried};
use crate::load::{Connection, Counters, Crossings, Fleet, Population, Step, Tally, crossing_label};
use crate::process::{self, Memory};
use crate::receiver::Receiver;
use crate::report::{self, Report};
use crate::rules;
use crate::server::Server;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

mod overload;

/// First rate of the search.
const START: f64 = 125_000.0;
/// Rate at which memory is watched after the series are there.
const MEMORY_RATE: f64 = 100_000.0;
/// How often the backlog is read.
const SAMPLE: Duration = Duration::from_millis(50);
/// Part of a step that is let pass before what it applies is counted: the first bodies find queues empty.
const WARM: f64 = 0.2;
/// A backlog of this many seconds' events ends a step.
const BACKLOG_MAX: f64 = 2.0;
/// Between two steps: checkpoints, tiles and checks of the last one end.
const REST: Duration = Duration::from_millis(250);
/// How long alerts may be under way after the last crossing.
const ALERTS_LATE_MAX: Duration = Duration::from_secs(10);
/// How long the server's own counters may be behind its acknowledgements.
const METRICS_LATE_MAX: Duration = Duration::from_secs(3);

/// What a step did.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Events/s asked for.
    pub rate: f64,
    /// Length of the step in seconds.
    pub seconds: f64,
    /// Events/s applied, after the warm part.
    pub applied: f64,
    pub rejected: u64,
    pub refused: u64,
    /// Mean backlog in the second quarter of the step, and in the last, in events.
    pub backlog: [f64; 2],
    /// Cores' worth of CPU used by the server and by the generator.
    pub server_cores: f64,
    pub generator_cores: f64,
    pub tally: Tally,
    /// Why the rate does not count as sustained; `None` where it does.
    pub failed: Option<String>,
}

/// The latency of alerts.
#[derive(Clone, Debug)]
pub struct Latency {
    /// From the last byte of the body written to the alert received.
    pub from_written: Histogram,
    /// From the body's due time: what the generator or a late acknowledgement held up counts too.
    pub from_due: Histogram,
    pub sent: usize,
    pub missed: usize,
    /// Alerts of rules that should never fire.
    pub others: u64,
    pub trace: Trace,
}

/// A server under load.
struct Bench {
    server: Server,
    fleet: Fleet,
    receiver: Receiver,
    quiet: bool,
    /// Events acknowledged and not rejected so far.
    applied: u64,
    /// Holds the server's data; goes away with it, hence last.
    _folder: TempDir,
}

/// `faultline-bench ingest`.
pub fn ingest(args: &IngestArgs) -> Outcome<()> {
    let seconds = args.seconds();
    if !(0.5..=3600.0).contains(&seconds) {
        return Err(format!("--seconds {seconds}: choose 0.5 to 3600"));
    }
    let (_, cores, load) = process::machine();
    if load > cores as f64 * 0.25 {
        eprintln!("note: load average {load:.1}: something else is running, and figures will be worse than they are");
    }
    let total = (seconds * f64::from(args.crossings)) as u32;
    let mut bench = Bench::start(args, total, false)?;
    let mut report = Report::new(args, load, &bench.fleet);
    report.idle = Some(bench.memory()?);
    let begun = Instant::now();
    let samples = bench.fleet.fill(total).map_err(|error| bench.died(error))?;
    bench.applied += samples;
    report.fill = Some((samples, begun.elapsed().as_secs_f64()));
    thread::sleep(REST);
    report.filled = Some(bench.memory()?);
    eprintln!("{samples} series filled in {:.1} s", begun.elapsed().as_secs_f64());
    if args.overload {
        bench.overload(seconds)?;
    } else if args.memory {
        let rate = args.rate.unwrap_or(MEMORY_RATE);
        report.sustained = Some(bench.step(rate, seconds, None)?);
    } else {
        bench.measure(args, total, &mut report)?;
    }
    report.end = Some(bench.memory()?);
    report.server_counts = bench.taken_by_metrics();
    report.applied = bench.applied;
    let (status, took) = bench.server.stop()?;
    report.stop = Some((status.to_string(), took.as_secs_f64()));
    report.finish(args)
}

/// `faultline-bench generator`.
pub fn generator(args: &IngestArgs) -> Outcome<()> {
    let seconds = args.seconds();
    let total = (seconds * f64::from(args.crossings)) as u32;
    let mut bench = Bench::start(args, total, true)?;
    let rates = args.rate.map_or(vec![500_000.0, 1e6, 2e6], |rate| vec![rate]);
    report::generator_head(&bench.fleet);
    for rate in rates {
        let trace = bench.step(rate, seconds, None)?;
        report::generator_line(&trace);
    }
    bench.fleet.fill(total)?;
    let rate = args.rate.unwrap_or(500_000.0);
    let latency = bench.latency(rate, seconds, args.crossings, total)?;
    report::floor_line(&latency);
    bench.server.stop().map(|_| ())
}

impl Bench {
    /// Starts receiver, server and senders.
    ///
    /// - `sink`: this program's null sink in the server's place.
    fn start(args: &IngestArgs, crossings: u32, sink: bool) -> Outcome<Bench> {
        let parent = args.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("faultline-bench-").tempdir_in(&parent);
        let folder = folder.map_err(|error| format!("cannot make a folder in {}: {error}", parent.display()))?;
        let population = Population::new(args.series);
        let receiver = Receiver::start()?;
        let alertmanager = format!("http://{}", receiver.address);
        let rule_file = folder.path().join("rules.yml");
        std::fs::write(&rule_file, rules::file(&population, crossings))
            .map_err(|error| format!("cannot write {}: {error}", rule_file.display()))?;
        let (program, words): (PathBuf, Vec<String>) = if sink {
            let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
            (program, vec!["sink".into(), "--alertmanager".into(), alertmanager])
        } else {
            let data = folder.path().join("data");
            let (data, rules) = (data.display().to_string(), rule_file.display().to_string());
            let words = ["run", "--data", &data, "--rules", &rules, "--no-builtin-rules", "--evaluation", "stream"];
            let ports = ["--otlp-grpc", "--otlp-http", "--http"].into_iter().flat_map(|flag| [flag, "127.0.0.1:0"]);
            let words = words.into_iter().chain(ports).chain(["--alertmanager", &alertmanager]);
            (args.server.clone(), words.map(str::to_owned).collect())
        };
        let server = Server::start(&program, &words, &folder.path().join("server.log"))?;
        let fleet = Fleet::new(population, args.senders, args.gzip, server.otlp)?;
        Ok(Bench { server, fleet, receiver, quiet: sink, applied: 0, _folder: folder })
    }

    /// Rate and latency, into `report`.
    fn measure(&mut self, args: &IngestArgs, total: u32, report: &mut Report) -> Outcome<()> {
        let seconds = args.seconds();
        let half = match args.rate {
            Some(rate) => {
                report.sustained = Some(self.step(rate, seconds, None)?);
                rate
            }
            None => {
                let mut held = None;
                let plan = Plan { start: START, halvings: if args.quick { 2 } else { 4 } };
                let found = ladder::search(plan, |rate, trial| {
                    let whole = trial == Trial::Whole;
                    let trace = self.step(rate, if whole { seconds } else { (seconds / 4.0).max(0.5) }, None)?;
                    let tried = if trace.failed.is_none() { Tried::Held } else { Tried::Failed(trace.applied) };
                    if whole && tried == Tried::Held {
                        held = Some(trace.clone());
                    }
                    report.steps.push(trace);
                    Ok(tried)
                })?;
                report.sustained = held;
                found.ok_or("the server sustains no rate that was tried: see the steps above")? / 2.0
            }
        };
        report.loaded = Some(self.memory()?);
        report.latency = Some(self.latency(half, seconds, args.crossings, total)?);
        Ok(())
    }

    /// Sends at a rate for a while, and judges.
    fn step(&mut self, rate: f64, seconds: f64, crossings: Option<(u32, u32)>) -> Outcome<Trace> {
        self.stretch(rate, seconds, crossings).map(|(trace, _)| trace)
    }

    /// A step; with crossings (how many a second and in all), what became of them.
    fn stretch(
        &mut self,
        rate: f64,
        seconds: f64,
        crossings: Option<(u32, u32)>,
    ) -> Outcome<(Trace, Option<Crossings>)> {
        let pid = self.server.pid().to_string();
        let cpu = |who: &str| process::cpu_seconds(who);
        let (server_before, generator_before) = (cpu(&pid)?, cpu("self")?);
        let (counters, stop) = (Counters::default(), AtomicBool::new(false));
        let start = Instant::now() + Duration::from_millis(50);
        let end = start + Duration::from_secs_f64(seconds);
        let crossings = crossings.map(|(per_second, total)| Crossings::new(start, f64::from(per_second), total));
        let (crossed, pause) = (crossings.as_ref(), Duration::ZERO);
        let step = Step { rate, start, end, crossings: crossed, counters: &counters, pause, stop: &stop };
        let fleet = &mut self.fleet;
        let in_flight = fleet.in_flight_max() as f64;
        let (watched, tally) = thread::scope(|scope| {
            let sending = scope.spawn(|| fleet.run(&step));
            let watched = watch(&step, &stop);
            (watched, sending.join().unwrap_or_else(|_| Err("the generator broke".into())))
        });
        let tally = tally.map_err(|error| self.died(error))?;
        let wall = start.elapsed().as_secs_f64();
        let mut trace = Trace {
            rate,
            seconds,
            applied: watched.applied,
            rejected: counters.rejected.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            backlog: watched.backlog,
            server_cores: (cpu(&pid)? - server_before) / wall,
            generator_cores: (cpu("self")? - generator_before) / wall,
            tally,
            failed: None,
        };
        self.applied += counters.applied.load(Ordering::Relaxed);
        trace.failed = judge(&trace, in_flight);
        if !self.quiet {
            report::step_line(&trace);
        }
        thread::sleep(REST);
        Ok((trace, crossings))
    }

    /// Sends crossings at a rate, and waits for their alerts.
    fn latency(&mut self, rate: f64, seconds: f64, per_second: u32, total: u32) -> Outcome<Latency> {
        let others = self.receiver.others();
        let (trace, crossings) = self.stretch(rate, seconds, Some((per_second, total)))?;
        let sent = crossings.map(|crossings| crossings.sent()).unwrap_or_default();
        let until = Instant::now() + ALERTS_LATE_MAX;
        while self.receiver.count() < sent.len() && Instant::now() < until {
            thread::sleep(SAMPLE);
        }
        let (mut from_written, mut from_due, mut missed) = (Histogram::default(), Histogram::default(), 0);
        for (crossing, sent) in &sent {
            match self.receiver.arrival(&crossing_label(*crossing)) {
                Some(at) => {
                    from_written.add(at.saturating_duration_since(sent.written));
                    from_due.add(at.saturating_duration_since(sent.due));
                }
                None => missed += 1,
            }
        }
        let others = self.receiver.others() - others;
        Ok(Latency { from_written, from_due, sent: sent.len(), missed, others, trace })
    }

    fn memory(&self) -> Outcome<Memory> {
        process::memory(self.server.pid()).map_err(|error| self.died(error))
    }

    /// An error with the server's last words.
    fn died(&self, error: String) -> String {
        format!("{error}\nthe server said:\n{}", self.server.said())
    }

    /// Events that the server says it has taken, once it has told of all that it acknowledged or has had time to; `None`
    /// where it does not say.
    fn taken_by_metrics(&self) -> Option<f64> {
        let until = Instant::now() + METRICS_LATE_MAX;
        loop {
            let page = Connection::get(self.server.api, "/metrics").ok()?;
            let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("faultline_events_total{")).collect();
            let values = lines.iter().map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            let taken: f64 = if lines.is_empty() { None } else { values.sum() }?;
            if taken >= self.applied as f64 || Instant::now() > until {
                return Some(taken);
            }
            thread::sleep(SAMPLE);
        }
    }
}

/// What was seen of a step while it ran.
struct Watched {
    applied: f64,
    backlog: [f64; 2],
}

/// Reads the counters until the step ends, and ends it early where it has clearly failed.
fn watch(step: &Step<'_>, stop: &AtomicBool) -> Watched {
    let seconds = step.end.duration_since(step.start).as_secs_f64();
    let applied = || step.counters.applied.load(Ordering::Relaxed) as f64;
    let mut quarters = [(0.0, 0_u32); 4];
    let (mut warm, mut last) = (None, (0.0, 0.0));
    thread::sleep(step.start.saturating_duration_since(Instant::now()));
    while Instant::now() < step.end && !stop.load(Ordering::Relaxed) {
        thread::sleep(SAMPLE.min(step.end.saturating_duration_since(Instant::now())));
        let elapsed = step.start.elapsed().as_secs_f64();
        let backlog = step.rate * elapsed.min(seconds) - step.counters.answered.load(Ordering::Relaxed) as f64;
        let quarter = &mut quarters[((elapsed / seconds * 4.0) as usize).min(3)];
        *quarter = (quarter.0 + backlog, quarter.1 + 1);
        if elapsed >= seconds * WARM && warm.is_none() {
            warm = Some((elapsed, applied()));
        }
        last = (elapsed, applied());
        let refused = step.counters.refused.load(Ordering::Relaxed) > 0;
        if backlog > step.rate * BACKLOG_MAX || refused && elapsed > 1.0 {
            stop.store(true, Ordering::Relaxed);
        }
    }
    let (from, before) = warm.unwrap_or_default();
    let mean = |(sum, count): (f64, u32)| sum / f64::from(count.max(1));
    // A step that was ended early has no last quarter: its last one that has any.
    let filled = quarters.into_iter().rev().find(|quarter| quarter.1 > 0).unwrap_or_default();
    Watched { applied: (last.1 - before) / (last.0 - from).max(1e-9), backlog: [mean(quarters[1]), mean(filled)] }
}

/// Why a rate does not count as sustained.
fn judge(trace: &Trace, in_flight: f64) -> Option<String> {
    let [early, late] = trace.backlog;
    // Bodies under way come and go; one event in a hundred is what a measurement of this length can tell.
    let slack = trace.rate * trace.seconds * 0.01 + in_flight / 2.0;
    let words = trace.tally.complaint.as_deref().unwrap_or("without words");
    if trace.refused > 0 {
        Some(format!("{} events refused: {words}", trace.refused))
    } else if trace.rejected > 0 {
        Some(format!("{} events rejected: {words}", trace.rejected))
    } else if late > early + slack {
        Some(format!("the backlog grew from {early:.0} to {late:.0} events"))
    } else if late > trace.rate.max(in_flight) {
        Some(format!("acknowledgements are {:.1} s behind", late / trace.rate))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(backlog: [f64; 2], refused: u64, rejected: u64) -> Option<String> {
        let trace = Trace {
            rate: 1e6,
            seconds: 20.0,
            applied: 1e6,
            rejected,
            refused,
            backlog,
            server_cores: 1.0,
            generator_cores: 0.1,
            tally: Tally::default(),
            failed: None,
        };
        judge(&trace, 20_000.0)
    }

    #[test]
    fn a_rate_holds_while_nothing_is_refused_and_the_backlog_stays() {
        assert_eq!(check([20_000.0, 21_000.0], 0, 0), None);
        assert_eq!(check([20_000.0, 5_000.0], 0, 0), None);
        assert!(check([20_000.0, 300_000.0], 0, 0).unwrap().contains("backlog grew"));
        assert!(check([1_100_000.0, 1_100_000.0], 0, 0).unwrap().contains("behind"));
        assert!(check([0.0, 0.0], 2000, 0).unwrap().contains("refused"));
        assert!(check([0.0, 0.0], 0, 1).unwrap().contains("rejected"));
    }
}
