//! Faults in the real binary at its file calls: starts the test that makes them.

use crate::{Outcome, stages, workspace};

pub const HELP: &str = "
cargo xtask strace [WHICH]: makes one file call of the real binary fail, or kills it there, one run after another; after
each, nothing acknowledged may be gone, the next start must work, and `faultline verify` must agree

strace injects EIO, ENOSPC, EINTR or SIGKILL. A run without a fault first counts the calls on the data folder; each call
with each way to fail is a point. WHICH is one of

  sample    60 points, the same each time, over all calls and faults: what every `cargo test` does (the default)
  most      every point but those in the midst of a long loop (zeros into the next segment, flush after flush)
  K/N       the K-th of N parts of most:  cargo xtask strace 1/16
  all       every point: hours
  a point   again, as a finding names it: cargo xtask strace new pwrite64 journal/segment-0000000000000001 3 EIO

Prints how many points there are, how many were run, and what came of them. Needs strace: apt-get install strace
";

/// `cargo xtask strace`.
pub fn strace(words: &[String]) -> Outcome {
    let which = if words.is_empty() { "sample".to_string() } else { words.join(" ") };
    let mut command = stages::cargo(&workspace::here()?.root);
    command.args(["test", "--quiet", "--locked", "-p", "faultline", "--test", "it", "strace::", "--", "--nocapture"]);
    command.env("FAULTLINE_STRACE", &which);
    stages::ended(command.status()).map_err(|error| format!("strace {which}: {error}"))
}
