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
    /// Rule files over series that make each alert fire and resolve, against promtool at every instant.
    Alerts(faultline_eval::alerts::AlertsArgs),
    /// Exact inference against reference answers, and beside pyAgrum.
    Bn(faultline_eval::bn::BnArgs),
    /// Simulated estates nobody has seen: is the culprit named, how soon, how surely?
    Demo(faultline_eval::demo::DemoArgs),
    /// PromQL against Prometheus' conformance scripts, or against a real Prometheus on random expressions.
    Promql(faultline_eval::promql::PromqlArgs),
    /// Recorded incidents of real systems: is the service at fault named first?
    Rca(faultline_eval::rca::RcaArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Alerts(args) => faultline_eval::alerts::run(&args),
        Command::Bn(args) => faultline_eval::bn::run(&args),
        Command::Demo(args) => faultline_eval::demo::run(&args),
        Command::Promql(args) => faultline_eval::promql::run(&args),
        Command::Rca(args) => faultline_eval::rca::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            faultline::render::error(&*error);
            ExitCode::from(2)
        }
    }
}
