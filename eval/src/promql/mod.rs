//! `eval promql`: the language held against Prometheus' conformance scripts, or against a Prometheus that runs beside it.
pub mod answer;
pub mod prometheus;
pub mod random;
pub mod scripts;

use clap::Args;
use faultline_promql::{Feature, Features};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `promql`.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct PromqlArgs {
    /// Run every evaluation of every script (`*.test`) in this folder.
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Ask a Prometheus and us so many random expressions over random series, each at three instants.
    #[arg(long, value_name = "N", conflicts_with = "data")]
    pub random: Option<u64>,
    /// The first expression's seed.
    #[arg(long, default_value_t = 1, requires = "random")]
    pub first_seed: u64,
    /// Both with `promql-delayed-name-removal`.
    #[arg(long, requires = "random")]
    pub delayed_names: bool,
}

/// Runs what is asked for; exit code 1 where anything differs.
pub fn run(args: &PromqlArgs) -> Result<ExitCode, Box<dyn Error>> {
    let good = match (&args.data, args.random) {
        (Some(folder), _) => scripts::run(folder)?,
        (None, count) => {
            let mut features = Features::additions();
            if args.delayed_names {
                features = features.with(Feature::DelayedNameRemoval);
            }
            let count = count.expect("one of both is required");
            let counts = random::run(features, args.first_seed, count, &mut |difference| println!("{difference}"))?;
            println!("{counts}");
            counts.differ == 0
        }
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
