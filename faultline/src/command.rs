//! From the command line to what does it.
use crate::cli::{Cli, Command, RulesCommand};
use crate::config::Config;
use faultline_model::{RuleFile, RuleFiles};
use std::error::Error;
use std::path::PathBuf;
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
        Command::Incidents(ask) => crate::client::incidents(&ask),
        Command::Why(args) => crate::why::run(&args),
        Command::Rejects(ask) => crate::client::rejects(&ask),
        Command::Checkpoint(ask) => crate::client::checkpoint::run(&ask),
        Command::Verify(args) => crate::verify::run(&args),
        Command::Replay(args) => crate::replay::run(&args),
        Command::DiffState(args) => crate::diff_state::run(&args),
        Command::Rules(RulesCommand::Builtin) => {
            print!("{}", faultline_rules::BUILTIN);
            Ok(ExitCode::SUCCESS)
        }
        Command::Rules(RulesCommand::Check { files }) => check(&files),
    }
}

fn check(paths: &[PathBuf]) -> Result<ExitCode, Box<dyn Error>> {
    for path in paths {
        let file = RuleFile { name: path.display().to_string(), text: crate::rule_files::read_one(path)? };
        let files = RuleFiles { files: vec![file], default_interval: 60_000, ..RuleFiles::default() };
        match faultline_rules::parse(&files) {
            Ok(set) => {
                let rules: usize = set.groups.iter().map(|group| group.rules.len()).sum();
                println!("{}: {} groups, {rules} rules", path.display(), set.groups.len());
            }
            Err(error) => {
                println!("{}:{}: {}", error.file, error.line, error.reason);
                return Ok(ExitCode::from(1));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
