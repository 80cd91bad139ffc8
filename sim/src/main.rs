//! `cargo xtask sim`: runs seeds, says what they covered, and makes a failure small.
use clap::Parser;
use faultline_sim::run::{Outcome, WAYS, run, stopped_at};
use faultline_sim::{Broken, Coverage, Plan, file, mutants, shrink};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Runs that are spent on making one failure small.
const SHRINK_TRIES: usize = 600;

/// Simulated lives of one node, drawn from seeds.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Only this one.
    #[arg(long)]
    seed: Option<u64>,
    /// Only the plan in this file.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// A power cut at each I/O of a reference run, until there are so many crash points.
    #[arg(long)]
    crash_points: Option<u64>,
    /// Looks for each planted bug, in so many seeds at most as its budget says; needs the feature `mutants`.
    #[arg(long)]
    mutants: bool,
    /// Runs each seed twice and compares the traces.
    #[arg(long)]
    doublecheck: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match all(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("sim: {message}");
            ExitCode::FAILURE
        }
    }
}

fn all(args: &Args) -> Result<bool, String> {
    if args.mutants {
        return mutants::find_all();
    }
    if let Some(path) = &args.replay {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok(one(&file::read(&text)?, args.doublecheck));
    }
    if let Some(points) = args.crash_points {
        return Ok(crash_points(args.first_seed, points));
    }
    if let Some(seed) = args.seed {
        return Ok(one(&Plan::of(seed), args.doublecheck));
    }
    Ok(seeds(args))
}

/// Runs a plan and prints how it went.
fn one(plan: &Plan, twice: bool) -> bool {
    let outcome = checked(plan, twice);
    print!("{}", outcome.coverage);
    println!("trace {:016x}, {} changes of the disk", outcome.trace, outcome.changes);
    match &outcome.result {
        Ok(()) => true,
        Err(broken) => {
            report(plan, broken);
            false
        }
    }
}

/// Runs a plan, twice where wished: the same must happen.
fn checked(plan: &Plan, twice: bool) -> Outcome {
    let mut outcome = run(plan);
    if twice && outcome.result.is_ok() {
        let again = run(plan);
        if again.trace != outcome.trace {
            let what = format!("trace {:016x} the first time, {:016x} the second", outcome.trace, again.trace);
            outcome.result = Err(Broken { invariant: "trace", what });
        }
    }
    outcome
}

fn seeds(args: &Args) -> bool {
    let (began, mut coverage, mut failed) = (Instant::now(), Coverage::default(), 0);
    for seed in args.first_seed..args.first_seed + args.seeds {
        let plan = Plan::of(seed);
        let outcome = checked(&plan, args.doublecheck);
        coverage.merge(&outcome.coverage);
        coverage.add("work", "events", plan.events.len() as u64);
        if let Err(broken) = outcome.result {
            failed += 1;
            if failed <= 3 {
                report(&plan, &broken);
            } else {
                println!("seed {seed}: {broken}");
            }
        }
    }
    print!("{coverage}");
    let seconds = began.elapsed().as_secs_f64();
    let rate = args.seeds as f64 / seconds;
    println!("{} seeds from {}: {failed} failed, {seconds:.1} s, {rate:.1} a second", args.seeds, args.first_seed);
    failed == 0
}

/// A power cut before every change of the disk in reference runs, each with the next way to lose what was not synced.
fn crash_points(first_seed: u64, points: u64) -> bool {
    let (began, mut coverage, mut failed, mut done) = (Instant::now(), Coverage::default(), 0, 0);
    let mut seed = first_seed;
    while done < points {
        let plan = Plan::reference(seed, 24);
        let changes = run(&plan).changes;
        for at in 0..changes {
            for way in 0..WAYS {
                if done == points {
                    break;
                }
                done += 1;
                let stopped = stopped_at(&plan, at, way + WAYS * at);
                let outcome = run(&stopped);
                coverage.merge(&outcome.coverage);
                if let Err(broken) = outcome.result {
                    failed += 1;
                    if failed <= 3 {
                        println!("reference {seed}, stop before change {at}, way {way}");
                        report(&stopped, &broken);
                    }
                }
            }
        }
        seed += 1;
    }
    print!("{coverage}");
    println!("{done} crash points: {failed} failed, {:.1} s", began.elapsed().as_secs_f64());
    failed == 0
}

/// Says what was broken, made small, and how to see it again.
fn report(plan: &Plan, broken: &Broken) {
    println!("seed {}: {broken}", plan.seed);
    let small = shrink::shrink(plan, SHRINK_TRIES, |candidate| {
        run(candidate).result.is_err_and(|found| found.invariant == broken.invariant)
    });
    let found = run(&small).result.err().unwrap_or_else(|| broken.clone());
    let commit = commit();
    let path = std::env::temp_dir().join(format!("faultline-sim-{}.txt", plan.seed));
    let text = file::write(&small, &format!("seed {} at commit {commit}\n{found}", plan.seed));
    println!("--- {} of {} events are left; {:?}", small.events.len(), plan.events.len(), small.options);
    print!("{text}");
    println!("--- at commit {commit}; see it again:");
    println!("cargo xtask sim --seed {}", plan.seed);
    match std::fs::write(&path, text) {
        Ok(()) => println!("cargo xtask sim --replay {}", path.display()),
        Err(error) => println!("{} cannot be written: {error}", path.display()),
    }
}

fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    if text.trim().is_empty() { "unknown".into() } else { text.trim().into() }
}
