//! The binary: hands over to the library.
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Accuracy on recorded and simulated data.
#[derive(Debug, Parser)]
#[command(name = "eval", bin_name = "cargo xtask eval")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulated estates nobody has seen: is the culprit named, how soon, how surely?
    Demo(faultline_eval::demo::DemoArgs),
}

fn main() -> ExitCode {
    let Command::Demo(args) = Cli::parse().command;
    match faultline_eval::demo::run(&args) {
        Ok(code) => code,
        Err(error) => {
            faultline::render::error(&*error);
            ExitCode::from(2)
        }
    }
}
