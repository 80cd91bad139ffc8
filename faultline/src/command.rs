//! From the command line to what does it.
use crate::cli::{Cli, Command, ImportCommand, IncidentsCommand};
use crate::config::Config;
use std::error::Error;
use std::process::ExitCode;

/// Runs a command; exit code 0 for yes, 1 for findings, an error for what could not be done.
pub fn run(cli: Cli) -> Result<ExitCode, Box<dyn Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FAULTLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(std::io::stderr).init();
    match cli.command {
        Command::Run(args) => crate::run::run(Config::load(&args)?),
        Command::Demo(args) => crate::demo::run(&args),
        Command::Status(ask) => crate::client::status(&ask),
        Command::Incidents(args) => match &args.command {
            None => crate::client::incidents(&args.ask),
            Some(IncidentsCommand::Close(close)) => crate::client::close::run(close),
        },
        Command::Why(args) => crate::why::run(&args),
        Command::Revisions(ask) => crate::client::revisions(&ask),
        Command::Rejects(ask) => crate::client::rejects(&ask),
        Command::Checkpoint(ask) => crate::client::checkpoint::run(&ask),
        Command::Verify(args) => crate::verify::run(&args),
        Command::Replay(args) => crate::replay::run(&args),
        Command::DiffState(args) => crate::diff_state::run(&args),
        Command::Rules(command) => crate::rules::run(command),
        Command::Import(ImportCommand::Prometheus(args)) => crate::import::run(&args),
    }
}
