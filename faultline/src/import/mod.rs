//! `faultline import prometheus`: blocks of Prometheus' storage become blocks that rules can be tried on.
//!
//! Days are read beside each other on all cores, each series by series over all blocks that have some of it, so that memory does not
//! grow with what is read: of each core at most 192 MiB of what tells of a block that is written, 64 MiB of symbols, and about 4 MiB
//! for each block of Prometheus that the day lies in; and of each of these some bytes for 32 symbols, and its tombstones.
mod day;
mod plan;
mod report;
mod staging;

use crate::cli::{ImportArgs, Output};
use day::{Outcome, Work};
use faultline_host::{Disk, RealDisk};
use plan::Plan;
use report::{Progress, in_json, in_text};
use staging::Staging;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What ended an import early.
type Failure = Box<dyn Error + Send + Sync>;

/// `faultline import prometheus`.
pub fn run(args: &ImportArgs) -> Result<ExitCode, Box<dyn Error>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let staging = Staging::begin(&args.into)?;
    let interrupted = crate::replay::interrupts()?;
    let plan = Plan::of(&disk, &args.from, &interrupted)?;
    let (progress, next) = (Progress::new(plan.chunks), AtomicUsize::new(0));
    let outcome = Mutex::new(Ok(Outcome::default()));
    let work = Work { disk: &disk, folder: staging.folder(), interrupted: &interrupted, progress: &progress };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(plan.days.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((day, blocks)) = plan.days.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let blocks: Vec<_> = blocks.iter().map(|number| &plan.blocks[*number]).collect();
                    let number = plan.days.partition_point(|(other, _)| other < day);
                    let done = day::write(&work, *day, number as u64, &blocks);
                    let mut all = outcome.lock().expect("no holder panics");
                    match (&mut *all, done) {
                        (Ok(all), Ok(done)) => all.add(done),
                        (Err(_), _) => return,
                        (all, Err(error)) => {
                            *all = Err(error);
                            return;
                        }
                    }
                }
            });
        }
    });
    progress.clear();
    let outcome = outcome.into_inner().expect("no holder panics");
    let outcome = outcome.map_err(|error| -> Box<dyn Error> { error })?;
    if outcome.samples + outcome.histograms == 0 {
        return Err(format!("there is no sample to import{}", plan.why_less()).into());
    }
    staging.finish()?;
    match args.output {
        Output::Table => print!("{}", in_text(&plan, &outcome, &args.into)),
        Output::Json => println!("{}", in_json(&plan, &outcome, &args.into)),
    }
    let whole = plan.left_out.is_empty() && outcome.is_whole();
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
