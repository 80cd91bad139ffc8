//! Programs of the workspace that are measured or judged: built in release, started with the words given.

use crate::{Outcome, stages, workspace};
use std::path::PathBuf;

pub const EVAL_HELP: &str = "
cargo xtask eval WORDS: builds faultline-eval in release and runs it, like
  cargo run --release --locked -p faultline-eval -- WORDS

Try:  cargo xtask eval demo --seeds 5 --first-seed 1
      cargo xtask eval bn --data FOLDER --peer           Bayesian networks beside references and pyAgrum (installed at the first call)
      cargo xtask eval bn --random 500                   random networks beside pyAgrum
      cargo xtask eval promql --data FOLDER              Prometheus' conformance scripts
      cargo xtask eval promql --random 20000             beside a real Prometheus (`cargo xtask services install prometheus`)
      cargo xtask eval alerts --data FOLDER              rule files beside promtool (`cargo xtask services install promtool`)
";

pub const BENCH_HELP: &str = "
cargo xtask bench WORDS: builds faultline-bench in release and runs it, like
  cargo run --release --locked -p faultline-bench -- WORDS

Try:  cargo xtask bench ingest
";

pub const SIM_HELP: &str = "
cargo xtask sim WORDS: simulated lives of one node, drawn from seeds: the disk fails, the power is cut, clocks jump, senders
repeat themselves, receivers are down; exit 1 on any promise that is not kept (docs/design/0004-simulation.md)

  --seeds N --first-seed K    so many seeds from K on; prints faults injected, states reached, work done
  --seed S                    one seed; a failure is made small and printed with the command that repeats it
  --replay FILE               a plan as a failure printed it; those of past failures: sim/regressions
  --doublecheck               each seed twice: the same must happen
  --crash-points N            a power cut before each change of the disk in reference runs
  --mutants                   each planted bug must be found within its number of seeds; a debug build of its own

Try:  cargo xtask sim --seeds 200
";

/// `cargo xtask sim`.
pub fn sim(words: &[String]) -> Outcome {
    if !words.iter().any(|word| word == "--mutants") {
        return run("faultline-sim", words);
    }
    let workspace = workspace::here()?;
    let mut command = stages::cargo(&workspace.root);
    // A folder of its own: everything is built again with the planted bugs in it.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root.join("target"), PathBuf::from);
    command.args(["run", "--quiet", "--locked", "-p", "faultline-sim", "--features", "mutants", "--target-dir"]);
    stages::ended(command.arg(target.join("mutants")).arg("--").args(words).status())
        .map_err(|error| format!("{}: {error}", words.join(" ")))
}

/// `cargo xtask eval`.
pub fn eval(words: &[String]) -> Outcome {
    run("faultline-eval", words)
}

/// `cargo xtask bench`.
pub fn bench(words: &[String]) -> Outcome {
    run("faultline-bench", words)
}

fn run(package: &str, words: &[String]) -> Outcome {
    let mut command = stages::cargo(&workspace::here()?.root);
    command.args(["run", "--quiet", "--release", "--locked", "-p", package, "--"]).args(words);
    stages::ended(command.status()).map_err(|error| format!("{package} {}: {error}", words.join(" ")))
}
