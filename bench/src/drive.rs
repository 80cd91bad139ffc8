//! A server under load: started, filled, driven at a rate or as fast as it answers, and watched.
use crate::Outcome;
use crate::cli::LoadArgs;
use crate::histogram::Histogram;
use crate::load::{Connection, Counters, Crossings, Fleet, Population, Step, Tally, crossing_label};
use crate::process::{self, Memory};
use crate::receiver::Receiver;
use crate::report;
use crate::rules;
use crate::server::Server;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How often the backlog is read.
const SAMPLE: Duration = Duration::from_millis(50);
/// How long the thread that watches sleeps at once: it stands still unseen for no longer.
const DOZE: Duration = Duration::from_millis(2);
/// Part of a step that is let pass before what it applies is counted: the first bodies find queues empty.
const WARM: f64 = 0.2;
/// A backlog of this many seconds' events ends a step.
const BACKLOG_MAX: f64 = 2.0;
/// Events/s at which every body is overdue, so that each sender sends as soon as it has its answer.
pub const ENDLESS: f64 = 1e12;
/// Between two steps: checkpoints, tiles and checks of the last one end.
pub const REST: Duration = Duration::from_millis(250);
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
    /// The longest time past its end that a thread slept which does nothing else: the machine stood still, or no core was free.
    pub overslept: Duration,
    /// Why the rate does not count as sustained; `None` where it does.
    pub failed: Option<String>,
}

/// What was applied while bodies were sent as fast as they were answered.
#[derive(Clone, Copy, Debug)]
pub struct Saturated {
    /// Events/s, after the warm part.
    pub per_second: f64,
    /// Events in all.
    pub applied: u64,
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
pub struct Bench {
    pub server: Server,
    pub fleet: Fleet,
    receiver: Receiver,
    quiet: bool,
    /// Events acknowledged and not rejected so far.
    pub applied: u64,
    /// Holds the server's data; goes away with it, hence last.
    folder: TempDir,
}

impl Bench {
    /// Starts receiver, server and senders.
    ///
    /// - `crossings`: how many series cross a threshold in all.
    pub fn start(args: &LoadArgs, series: u32, crossings: u32) -> Outcome<Bench> {
        Bench::start_on(args, series, crossings, |_| Ok(()))
    }

    /// The same on a data folder of which `prepare` is told before, and which is not there yet.
    pub fn start_on(
        args: &LoadArgs,
        series: u32,
        crossings: u32,
        prepare: impl FnOnce(&Path) -> Outcome<()>,
    ) -> Outcome<Bench> {
        let (population, folder, receiver) =
            (Population::new(series), folder_in(args.folder.as_deref())?, Receiver::start()?);
        prepare(&data_of(&folder))?;
        let rules = folder.path().join("rules.yml");
        std::fs::write(&rules, rules::file(&population, crossings))
            .map_err(|error| format!("cannot write {}: {error}", rules.display()))?;
        let (rules, alertmanager) = (rules.display().to_string(), format!("http://{}", receiver.address));
        let words = ["--rules", &rules, "--evaluation", "stream", "--alertmanager", &alertmanager];
        let server = Server::run(&args.server, &data_of(&folder), &words, &folder.path().join("server.log"))?;
        let fleet = Fleet::new(population, args.senders, args.gzip, server.otlp)?;
        Ok(Bench { server, fleet, receiver, quiet: false, applied: 0, folder })
    }

    /// Starts this program's null sink in the server's place.
    pub fn sink(args: &LoadArgs) -> Outcome<Bench> {
        let (folder, receiver) = (folder_in(args.folder.as_deref())?, Receiver::start()?);
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let words = ["sink".to_owned(), "--alertmanager".to_owned(), format!("http://{}", receiver.address)];
        let server = Server::start(&program, &words, &folder.path().join("server.log"))?;
        let fleet = Fleet::new(Population::new(args.series()), args.senders, args.gzip, server.otlp)?;
        Ok(Bench { server, fleet, receiver, quiet: true, applied: 0, folder })
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        data_of(&self.folder)
    }

    /// Sends each series once. Returns the samples sent, and the seconds that took.
    pub fn fill(&mut self, crossings: u32) -> Outcome<(u64, f64)> {
        let begun = Instant::now();
        let samples = self.fleet.fill(crossings).map_err(|error| self.died(error))?;
        let seconds = begun.elapsed().as_secs_f64();
        eprintln!("{samples} series filled in {seconds:.1} s");
        self.applied += samples;
        Ok((samples, seconds))
    }

    /// Sends bodies as fast as they are answered, for some seconds or until so many events are applied.
    pub fn saturate(&mut self, seconds: f64, events: u64) -> Outcome<Saturated> {
        let (counters, stop) = (Counters::default(), AtomicBool::new(false));
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let step = Step {
            rate: ENDLESS,
            start,
            end,
            crossings: None,
            counters: &counters,
            pause: Duration::ZERO,
            stop: &stop,
        };
        let fleet = &mut self.fleet;
        let (samples, tally) = thread::scope(|scope| {
            let sending = scope.spawn(|| fleet.run(&step));
            let mut samples = vec![(0.0, 0)];
            while Instant::now() < end && !stop.load(Ordering::Relaxed) && !sending.is_finished() {
                thread::sleep(SAMPLE.min(end.saturating_duration_since(Instant::now())));
                let applied = counters.applied.load(Ordering::Relaxed);
                samples.push((start.elapsed().as_secs_f64(), applied));
                stop.store(applied >= events, Ordering::Relaxed);
            }
            stop.store(true, Ordering::Relaxed);
            (samples, sending.join().unwrap_or_else(|_| Err("the generator broke".into())))
        });
        let tally = tally.map_err(|error| self.died(error))?;
        let applied = counters.applied.load(Ordering::Relaxed);
        self.applied += applied;
        let lost = counters.refused.load(Ordering::Relaxed) + counters.rejected.load(Ordering::Relaxed);
        if lost > 0 {
            let words = tally.complaint.as_deref().unwrap_or("without words");
            return Err(self.died(format!("{lost} events refused or rejected, so this is no maximum: {words}")));
        }
        Ok(Saturated { per_second: mean_rate(&samples), applied })
    }

    /// Sends at a rate for a while, and judges.
    pub fn step(&mut self, rate: f64, seconds: f64, crossings: Option<(u32, Range<u32>)>) -> Outcome<Trace> {
        self.stretch(rate, seconds, crossings).map(|(trace, _)| trace)
    }

    /// A step; with crossings (how many a second, and their numbers), what became of them.
    fn stretch(
        &mut self,
        rate: f64,
        seconds: f64,
        crossings: Option<(u32, Range<u32>)>,
    ) -> Outcome<(Trace, Option<Crossings>)> {
        let pid = self.server.pid().to_string();
        let cpu = |who: &str| process::cpu_seconds(who);
        let (server_before, generator_before) = (cpu(&pid)?, cpu("self")?);
        let (counters, stop) = (Counters::default(), AtomicBool::new(false));
        let start = Instant::now() + Duration::from_millis(50);
        let end = start + Duration::from_secs_f64(seconds);
        let crossings = crossings.map(|(per_second, numbers)| Crossings::new(start, f64::from(per_second), numbers));
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
            overslept: watched.overslept,
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
    pub fn latency(&mut self, rate: f64, seconds: f64, per_second: u32, numbers: Range<u32>) -> Outcome<Latency> {
        let (others, told) = (self.receiver.others(), self.receiver.count());
        let (trace, crossings) = self.stretch(rate, seconds, Some((per_second, numbers)))?;
        let sent = crossings.map(|crossings| crossings.sent()).unwrap_or_default();
        let until = Instant::now() + ALERTS_LATE_MAX;
        while self.receiver.count() < told + sent.len() && Instant::now() < until {
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

    pub fn memory(&self) -> Outcome<Memory> {
        process::memory(self.server.pid()).map_err(|error| self.died(error))
    }

    /// An error with the server's last words.
    pub fn died(&self, error: String) -> String {
        format!("{error}\nthe server said:\n{}", self.server.said())
    }

    /// Events that the server says it has taken, once it has told of all that it acknowledged or has had time to; `None`
    /// where it does not say.
    pub fn taken_by_metrics(&self) -> Option<f64> {
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

/// A folder that goes away when dropped, in this one or the system's temporary folder.
pub fn folder_in(parent: Option<&Path>) -> Outcome<TempDir> {
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let folder = tempfile::Builder::new().prefix("faultline-bench-").tempdir_in(&parent);
    folder.map_err(|error| format!("cannot make a folder in {}: {error}", parent.display()))
}

fn data_of(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// Events/s over samples of seconds and events so far, the warm part left out.
fn mean_rate(samples: &[(f64, u64)]) -> f64 {
    let Some(&(end, last)) = samples.last() else { return 0.0 };
    let &(from, first) = samples.iter().find(|(at, _)| *at >= end * WARM).unwrap_or(&(0.0, 0));
    (last - first) as f64 / (end - from).max(1e-9)
}

/// What was seen of a step while it ran.
struct Watched {
    applied: f64,
    backlog: [f64; 2],
    overslept: Duration,
}

/// Reads the counters until the step ends, and ends it early where it has clearly failed.
fn watch(step: &Step<'_>, stop: &AtomicBool) -> Watched {
    let seconds = step.end.duration_since(step.start).as_secs_f64();
    let applied = || step.counters.applied.load(Ordering::Relaxed) as f64;
    let mut quarters = [(0.0, 0_u32); 4];
    let (mut warm, mut last, mut overslept) = (None, (0.0, 0.0), Duration::ZERO);
    thread::sleep(step.start.saturating_duration_since(Instant::now()));
    while Instant::now() < step.end && !stop.load(Ordering::Relaxed) {
        let until = step.end.min(Instant::now() + SAMPLE);
        while Instant::now() < until {
            let begun = Instant::now();
            thread::sleep(DOZE);
            overslept = overslept.max(begun.elapsed().saturating_sub(DOZE));
        }
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
    let backlog = [mean(quarters[1]), mean(filled)];
    Watched { applied: (last.1 - before) / (last.0 - from).max(1e-9), backlog, overslept }
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
            overslept: Duration::ZERO,
            failed: None,
        };
        judge(&trace, 20_000.0)
    }

    #[test]
    fn the_mean_rate_leaves_out_the_warm_part() {
        let steady: Vec<(f64, u64)> = (0..=100).map(|i| (f64::from(i) / 10.0, 1_000 * i as u64)).collect();
        assert!((mean_rate(&steady) - 10_000.0).abs() < 1.0);
        // Nothing in the first second of ten, then as above.
        let late: Vec<(f64, u64)> = steady.iter().map(|&(at, events)| (at, events.max(10_000) - 10_000)).collect();
        assert!((mean_rate(&late) - 10_000.0).abs() < 1.0);
        assert_eq!(mean_rate(&[(0.0, 0)]), 0.0);
        assert_eq!(mean_rate(&[]), 0.0);
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
