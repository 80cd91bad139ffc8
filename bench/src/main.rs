//! The fixed benchmarks: a load generator, and harnesses that run the real server under it.
//!
//! Rivals and their versions, when measured, live in this folder only. What is measured and how: `README.md` beside this.
use clap::Parser;
use std::process::ExitCode;

mod anchors;
mod backtest;
mod checkpoints;
mod cli;
mod drive;
mod evaluations;
mod histogram;
mod ingest;
mod ladder;
mod load;
mod metrics;
mod process;
mod queries;
mod receiver;
mod replay;
mod report;
mod restart;
mod rival;
mod rules;
mod server;
mod sink;

/// How everything here ends: well, or with a sentence that says what was tried, on what, and what to do now.
type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let result = match cli::Cli::parse().command {
        cli::Command::Ingest(args) => ingest::ingest(&args),
        cli::Command::Generator(args) => ingest::generator(&args),
        cli::Command::Checkpoints(args) => checkpoints::run(&args),
        cli::Command::Restart(args) => restart::run(&args),
        cli::Command::Replay(args) => replay::run(&args),
        cli::Command::Backtest(args) => backtest::run(&args),
        cli::Command::Rules(args) => evaluations::run(&args),
        cli::Command::Queries(args) => queries::run(&args),
        cli::Command::Sink(args) => sink::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("faultline-bench: {message}");
            ExitCode::FAILURE
        }
    }
}
