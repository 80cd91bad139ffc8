//! `faultline rules`: what people do with rule files before a server reads them, and what they ask once it has.
mod backtest;
pub(crate) mod circles;
mod explain;
pub(crate) mod firings;
pub(crate) mod held;
mod history;
mod occurred;
mod past;
pub mod play;
mod unit_file;
pub mod unit_test;

use crate::cli::{Output, RulesCommand, TestArgs};
use crate::rule_files::read_one;
use faultline_model::{RuleFile, RuleFiles};
use faultline_promql::Features;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs a command; exit code 1 for findings.
pub fn run(command: RulesCommand) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        RulesCommand::Builtin => {
            print!("{}", faultline_rules::BUILTIN);
            Ok(ExitCode::SUCCESS)
        }
        RulesCommand::Check { files, features } => check(&files, features.set()),
        RulesCommand::Test(args) => test(&args),
        RulesCommand::Backtest(args) => backtest::backtest(&args),
        RulesCommand::Diff(args) => backtest::diff(&args),
        RulesCommand::Explain(args) => explain::run(&args),
        RulesCommand::History(args) => occurred::run(&args),
    }
}

fn check(paths: &[PathBuf], features: Features) -> Result<ExitCode, Box<dyn Error>> {
    for path in paths {
        let file = RuleFile { name: path.display().to_string(), text: read_one(path)? };
        let features = features.names().map(str::to_string).collect();
        let files = RuleFiles { files: vec![file], features, default_interval: 60_000, ..RuleFiles::default() };
        match faultline_rules::parse(&files) {
            Ok(set) => {
                let rules: usize = set.groups.iter().map(|group| group.rules.len()).sum();
                println!("{}: {} groups, {rules} rules", path.display(), set.groups.len());
                circles::circles(&set).iter().for_each(|circle| println!("{circle}"));
            }
            Err(error) => {
                println!("{}:{}: {}", error.file, error.line, error.reason);
                return Ok(ExitCode::from(1));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn test(args: &TestArgs) -> Result<ExitCode, Box<dyn Error>> {
    let wanted = args.run.iter().map(|text| regex::Regex::new(text)).collect::<Result<Vec<_>, _>>()?;
    let (mut passed, mut failed, mut all) = (0_u64, 0_u64, Vec::new());
    for path in &args.files {
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it.is_match(name));
        let outcomes = unit_test::run_file(path, args.features.set(), is_wanted);
        let (outcomes, fault) = match outcomes {
            Ok(outcomes) => (outcomes, None),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        let bad =
            outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count() as u64 + u64::from(fault.is_some());
        (passed, failed) =
            (passed + outcomes.iter().filter(|outcome| outcome.failures.is_empty()).count() as u64, failed + bad);
        if args.output == Output::Json {
            let tests = outcomes
                .iter()
                .map(|it| json!({ "name": it.name, "passed": it.failures.is_empty(), "failures": it.failures }));
            all.push(json!({ "file": path, "fault": fault, "tests": tests.collect::<Vec<_>>() }));
            continue;
        }
        println!("{}: {}", path.display(), if bad == 0 { "passed" } else { "FAILED" });
        fault.iter().for_each(|fault| println!("{}", indented(fault)));
        for outcome in &outcomes {
            for failure in &outcome.failures {
                println!("{}", indented(&format!("test {}: {failure}", outcome.name)));
            }
        }
    }
    match args.output {
        Output::Json => {
            println!("{}", serde_json::to_string_pretty(&json!({ "passed": passed, "failed": failed, "files": all }))?)
        }
        Output::Table => println!("{passed} tests passed, {failed} failed"),
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn indented(text: &str) -> String {
    format!("  {}", text.replace('\n', "\n  "))
}
