//! The measurement end to end: start, fill, search, latency, memory.
use crate::Outcome;
use crate::cli::IngestArgs;
use crate::drive::{Bench, REST};
use crate::ladder::{self, Plan, Trial, Tried};
use crate::process;
use crate::report::{self, Report};
use std::thread;

mod overload;

/// First rate of the search.
const START: f64 = 125_000.0;
/// Rate at which memory is watched after the series are there.
const MEMORY_RATE: f64 = 100_000.0;

/// `faultline-bench ingest`.
pub fn ingest(args: &IngestArgs) -> Outcome<()> {
    let seconds = args.seconds();
    let load = process::load_before();
    let total = (seconds * f64::from(args.crossings)) as u32;
    let mut bench = Bench::start(&args.load, args.load.series(), total)?;
    let mut report = Report::new(args, load, &bench.fleet);
    report.idle = Some(bench.memory()?);
    report.fill = Some(bench.fill(total)?);
    thread::sleep(REST);
    report.filled = Some(bench.memory()?);
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
    let mut bench = Bench::sink(&args.load)?;
    let rates = args.rate.map_or(vec![500_000.0, 1e6, 2e6], |rate| vec![rate]);
    report::generator_head(&bench.fleet);
    for rate in rates {
        let trace = bench.step(rate, seconds, None)?;
        report::generator_line(&trace);
    }
    bench.fleet.fill(total)?;
    let rate = args.rate.unwrap_or(500_000.0);
    let latency = bench.latency(rate, seconds, args.crossings, 0..total)?;
    report::floor_line(&latency);
    bench.server.stop().map(|_| ())
}

impl Bench {
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
        report.latency = Some(self.latency(half, seconds, args.crossings, 0..total)?);
        Ok(())
    }
}
