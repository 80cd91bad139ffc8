//! The stages of `cargo xtask ci` and `cargo xtask test`: one table each, the same on a desk and in CI.

use std::path::Path;

use crate::stages::{self, Stage, Step};
use crate::workspace::{self, Workspace};
use crate::{Outcome, fuzz, licences, no_words, services, tidy};

pub const HELP: &str = "
cargo xtask ci: what must pass before a change lands; `.ci/run` calls this and nothing else

Stages, cheapest first; the first that fails stops the run and prints the command that repeats it:
  fmt       cargo fmt --all --check               mend with: cargo fmt --all
  tidy      cargo xtask tidy                      house rules; each finding says what to do
  licences  cargo xtask licences                  only permissive licences
  clippy    cargo clippy ... -- -D warnings       the whole workspace, tests included
  alone     cargo check -p faultline-NAME         each crate in core/ by itself, because features that a
                                                  neighbour switches on can let the standard library in
  services  cargo xtask services need all         servers and senders that we did not write
  tests     cargo xtask test                      every test and every documented example, each once
  fuzz      cargo xtask fuzz                      hostile bytes: every target for some seconds; needs nightly

Prints the seconds of each stage, then `N passed, N failed` over all test binaries.
";

pub const TEST_HELP: &str = "
cargo xtask test: every test of the workspace, debug profile, exactly the locked dependencies

Stages:
  services  real servers and senders for tests: Prometheus and its promtool, node-exporter, Alertmanager, the OpenTelemetry SDK for Python
  tests     unit and integration tests of every crate
  examples  the examples in the documentation, compiled and run

Tests with real servers and senders run where these are installed, and say NOT RUN where they are not. To have them run:
  cargo xtask services install all                once, some minutes; needs Go and Python 3 with venv
With CI=true in the environment they are installed, and a missing one is a failure. They wait more than they work: about
3 minutes more. Without them:  cargo test --workspace -- --skip real
The same holds of strace, which .ci/run installs; without what it does, a minute:  ... -- --skip strace

One crate:   cargo test -p faultline-NAME
One test:    cargo test -p faultline-NAME WORDS_OF_ITS_NAME
Prints `N passed, N failed` over all test binaries; fails when none ran.
";

/// Every test, for `test` and as the last stages of `ci`. A new kind of test is a row here.
fn test_stages() -> Vec<Stage> {
    vec![
        Stage {
            name: "services",
            why: "servers and senders that we did not write, for the tests with them",
            steps: vec![Step::Own("cargo xtask services need all", services::for_tests)],
        },
        Stage {
            name: "tests",
            why: "unit and integration tests of every crate",
            // Without `--no-fail-fast` the closing line would count only up to the first failing crate.
            steps: vec![Step::tests("test --workspace --locked --lib --bins --tests --examples --no-fail-fast")],
        },
        Stage {
            name: "examples",
            why: "examples in the documentation",
            steps: vec![Step::tests("test --workspace --locked --doc --no-fail-fast")],
        },
    ]
}

fn ci_stages(workspace: &Workspace) -> Vec<Stage> {
    let core = workspace.packages.iter().filter(|package| package.folder.starts_with("core/"));
    let alone = core.map(|package| Step::cargo(&format!("check --quiet --locked --lib -p {}", package.name))).collect();
    let mut stages = vec![
        Stage {
            name: "fmt",
            why: "the source is as rustfmt writes it",
            steps: vec![
                Step::cargo("fmt --all --check"),
                Step::cargo("fmt --manifest-path fuzz/driver/Cargo.toml --check"),
            ],
        },
        Stage {
            name: "tidy",
            why: "house rules that the compiler cannot hold",
            steps: vec![Step::Own("cargo xtask tidy", || tidy::tidy(&[]))],
        },
        Stage {
            name: "licences",
            why: "only permissive licences among the dependencies",
            steps: vec![Step::Own("cargo xtask licences", || licences::licences(&[]))],
        },
        Stage {
            name: "clippy",
            why: "no warning in any target; core/clippy.toml bans what differs between machines",
            steps: vec![Step::cargo("clippy --workspace --all-targets --locked -- -D warnings")],
        },
        Stage { name: "alone", why: "each crate of core/ compiles without std by itself", steps: alone },
    ];
    stages.extend(test_stages());
    stages.push(Stage {
        name: "fuzz",
        why: "hostile bytes for every decoder and reader, looked for some seconds each",
        steps: vec![Step::Own("cargo xtask fuzz", fuzz::in_ci)],
    });
    stages
}

/// `cargo xtask ci`.
pub fn ci(words: &[String]) -> Outcome {
    no_words("ci", words)?;
    let workspace = workspace::here()?;
    stages::run("ci", Path::new(&workspace.root), &ci_stages(&workspace))
}

/// `cargo xtask test`.
pub fn test(words: &[String]) -> Outcome {
    no_words("test", words)?;
    stages::run("test", Path::new(&workspace::here()?.root), &test_stages())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    #[test]
    fn ci_checks_every_core_crate_alone_and_runs_each_test_stage_once() {
        let package =
            |folder: &str, name: &str| Package { name: name.into(), folder: folder.into(), ..Package::default() };
        let packages = vec![package("core/model", "faultline-model"), package("edge/host", "faultline-host")];
        let stages = ci_stages(&Workspace { root: "".into(), packages });
        let names: Vec<_> = stages.iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["fmt", "tidy", "licences", "clippy", "alone", "services", "tests", "examples", "fuzz"]);
        let Step::Cargo(alone) = &stages[4].steps[0] else { panic!("`alone` starts cargo") };
        assert_eq!(alone.join(" "), "check --quiet --locked --lib -p faultline-model");
        assert_eq!(stages[4].steps.len(), 1, "only core crates are checked alone");
    }
}
