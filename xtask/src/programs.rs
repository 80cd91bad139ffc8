//! Programs of the workspace that are measured or judged: built in release, started with the words given.

use crate::{Outcome, stages, workspace};

pub const EVAL_HELP: &str = "
cargo xtask eval WORDS: builds faultline-eval in release and runs it, like
  cargo run --release --locked -p faultline-eval -- WORDS

Try:  cargo xtask eval demo --seeds 5 --first-seed 1
";

pub const BENCH_HELP: &str = "
cargo xtask bench WORDS: builds faultline-bench in release and runs it, like
  cargo run --release --locked -p faultline-bench -- WORDS

Try:  cargo xtask bench ingest
";

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
