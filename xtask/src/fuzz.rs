//! Hostile bytes: builds `fuzz/driver` for libFuzzer, runs its targets under a memory cap, and says what was found.

mod spent;

use spent::{Due, SLICE_SECONDS};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::{Outcome, stages, workspace};

pub const HELP: &str = "
cargo xtask fuzz [TARGET] [--seconds N | --until N]: hostile bytes for every decoder and every reader of what is on disk

Builds fuzz/driver with the nightly compiler, libFuzzer and AddressSanitizer, then runs each target for N seconds (30),
two at a time, within 512 MiB and 10 s an input. A finding is an input on which a target panics, hangs, takes too much memory or
touches memory that is not its own: the chore prints it and exits 1. Without TARGET all targets run.

  cargo xtask fuzz                        all of them
  cargo xtask fuzz promql --seconds 600   one of them, longer
  cargo xtask fuzz --until 3600           until each has had an hour of a processor, all told

`--until` goes by fuzz/spent.csv, where it keeps what each target has had, in slices of 300 s: end it when you like, commit
the file, go on another day. `chrt -i 0 cargo xtask fuzz --until 3600` runs when the machine has nothing else to do.

Needs a C++ compiler and nightly: rustup toolchain install nightly
Without them the same targets still run over the corpus, past findings and mutations of both:
  cargo test -p faultline-fuzz

To mend a finding: copy its file to fuzz/regressions/TARGET/, see the test above fail, mend the crate, see it pass, commit
both. To keep what a long run learnt (the sum of all files stays below 1 MiB; a test holds that):
  FAULTLINE_FUZZ=TARGET target/fuzz/PROGRAM -merge=1 fuzz/corpus/TARGET target/fuzz/corpus/TARGET
where PROGRAM is x86_64-unknown-linux-gnu/release/fuzz. A new target is a file in fuzz/src/targets and a row in
fuzz/src/lib.rs; its seeds are written with: UPDATE=1 cargo test -p faultline-fuzz seeds
fuzz/driver/Cargo.lock follows Cargo.lock: where the build refuses it, run `cargo update -w` in fuzz/driver and commit it.
";

/// What cargo-fuzz passes, less `--cfg fuzzing`, which would let a dependency behave otherwise than in the product.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Zsanitizer=address -Cforce-frame-pointers";
/// Instrumented code runs on the machine that built it; libFuzzer is known to work here.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const SECONDS: u64 = 30;
/// Most bytes in use at once, and in one allocation, in MiB. The sanitizer's own share is within it.
const MEMORY_MIB: u32 = 512;
/// For one input, by the clock on the wall, of a machine that does other things too.
const TIMEOUT_S: u64 = 10;
const INPUT_SIZE_MAX: u32 = 16 << 10;
const AT_ONCE: usize = 2;

/// What a run of one target gave.
#[derive(Debug, Default, PartialEq)]
struct Report {
    executions: u64,
    /// Edges covered by the corpus, and at the end.
    covered: (u64, u64),
    /// Most memory, in MiB.
    memory_mib: u64,
}

/// `cargo xtask fuzz`.
pub fn fuzz(words: &[String]) -> Outcome {
    let Words { only, seconds, until } = parse(words)?;
    // Who runs so for hours does it beside other things, by which an input may wait for long.
    let (seconds, timeout_s) =
        until.map_or((seconds.unwrap_or(SECONDS), TIMEOUT_S), |_| (SLICE_SECONDS, SLICE_SECONDS));
    let plan = Plan { seconds, timeout_s, seed: None, grown: "corpus" };
    run(only.as_deref(), &plan, until)
}

/// The same as a stage of `ci`, which is to fail for what a change brings and not by luck: always the same inputs in the same
/// order, from what is committed, as far as 30 s go.
pub fn in_ci() -> Outcome {
    run(None, &Plan { seconds: SECONDS, timeout_s: TIMEOUT_S, seed: Some(1), grown: "corpus-ci" }, None)
}

/// How targets are run.
struct Plan {
    seconds: u64,
    /// For one input.
    timeout_s: u64,
    /// What libFuzzer draws from; its own choice where there is none.
    seed: Option<u32>,
    /// Where it puts inputs that are worth keeping, beside the program. With a seed it begins empty.
    grown: &'static str,
}

/// What was typed.
#[derive(Debug, PartialEq)]
struct Words {
    only: Option<String>,
    seconds: Option<u64>,
    until: Option<u64>,
}

fn parse(words: &[String]) -> Result<Words, String> {
    let (mut parsed, mut words) = (Words { only: None, seconds: None, until: None }, words.iter());
    while let Some(word) = words.next() {
        if word == "--seconds" || word == "--until" {
            let wants = format!("`{word}` wants a number above 0: cargo xtask fuzz {word} 60");
            let number = words.next().and_then(|text| text.parse().ok());
            // libFuzzer takes 0 for ever.
            let number = number.filter(|number| *number > 0).ok_or(wants)?;
            if word == "--until" { parsed.until = Some(number) } else { parsed.seconds = Some(number) }
        } else if parsed.only.is_none() && !word.starts_with('-') {
            parsed.only = Some(word.clone());
        } else {
            return Err(format!("`fuzz` does not know `{word}`: see `cargo xtask fuzz --help`"));
        }
    }
    match parsed {
        Words { seconds: Some(_), until: Some(_), .. } => Err("choose one of `--seconds` and `--until`".into()),
        parsed => Ok(parsed),
    }
}

fn run(only: Option<&str>, plan: &Plan, until: Option<u64>) -> Outcome {
    let root = workspace::here()?.root;
    let targets = targets(&root)?;
    let chosen: Vec<&str> =
        targets.iter().map(String::as_str).filter(|name| only.is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        return Err(format!("there is no target `{}`; there is {}", only.unwrap_or_default(), targets.join(", ")));
    }
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("fuzz");
    let program = build(&root, &folder)?;
    let due = Due::new(root.join("fuzz/spent.csv"), &chosen, until)?;
    println!("{:<10} {:>12} {:>8} {:>8} {:>8}  finding", "target", "executions", "edges", "new", "MiB");
    let (due, findings) = (Mutex::new(due), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(name) = due.lock().expect("no holder panics").take() else { return };
                    let (cpu, outcome) = one(&root, &folder, &program, &name, plan);
                    let kept = due.lock().expect("no holder panics").had(&name, cpu, outcome.is_ok());
                    let mut findings = findings.lock().expect("no holder panics");
                    findings.extend([outcome, kept].into_iter().filter_map(Result::err));
                }
            });
        }
    });
    let findings = findings.into_inner().expect("no holder panics");
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n\n")) }
}

/// The targets: each has a corpus.
fn targets(root: &Path) -> Result<Vec<String>, String> {
    let corpus = root.join("fuzz/corpus");
    let list = fs::read_dir(&corpus).map_err(|error| format!("{} cannot be read: {error}", corpus.display()))?;
    let mut names: Vec<String> = list.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Builds the one program that holds every target.
fn build(root: &Path, folder: &Path) -> Result<PathBuf, String> {
    const MISSING: &str = "fuzzing needs the nightly compiler: rustup toolchain install nightly\n  \
        without it: cargo test -p faultline-fuzz";
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--version"]).output();
    if !nightly.is_ok_and(|output| output.status.success()) {
        return Err(MISSING.into());
    }
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "build", "--quiet", "--release", "--locked"]);
    command.args(["--target", TRIPLE]).arg("--target-dir").arg(folder);
    command.current_dir(root.join("fuzz/driver")).env("RUSTFLAGS", FLAGS);
    stages::ended(command.status()).map_err(|error| format!("the targets do not build: {error}"))?;
    Ok(folder.join(TRIPLE).join("release/fuzz"))
}

/// Runs one target and prints its line: what it had of a processor, in seconds, and as an error the finding with what to do.
fn one(root: &Path, folder: &Path, program: &Path, name: &str, plan: &Plan) -> (f64, Outcome) {
    let mut cpu = 0.0;
    let outcome = watched(root, folder, program, name, plan, &mut cpu);
    (cpu, outcome)
}

fn watched(root: &Path, folder: &Path, program: &Path, name: &str, plan: &Plan, cpu: &mut f64) -> Outcome {
    let (grown, found) = (folder.join(plan.grown).join(name), folder.join("findings").join(name));
    if plan.seed.is_some() && grown.is_dir() {
        fs::remove_dir_all(&grown).map_err(|error| format!("{} cannot be emptied: {error}", grown.display()))?;
    }
    for folder in [&grown, &found] {
        fs::create_dir_all(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command.env("FAULTLINE_FUZZ", name);
    // Freed memory that the sanitizer holds back must not count as ours for long.
    command.env("ASAN_OPTIONS", "quarantine_size_mb=16:detect_leaks=0");
    command.args(plan.seed.map(|seed| format!("-seed={seed}")));
    command.arg(format!("-max_total_time={}", plan.seconds)).arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    command.arg(format!("-malloc_limit_mb={MEMORY_MIB}")).arg(format!("-timeout={}", plan.timeout_s));
    command.arg(format!("-max_len={INPUT_SIZE_MAX}")).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/", found.display())).arg(&grown);
    // Later folders are only read.
    let known = [root.join("fuzz/corpus").join(name), root.join("fuzz/regressions").join(name)];
    command.args(known.iter().filter(|folder| folder.is_dir()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let wrong = |error| format!("{name} could not be run: {error}");
    let mut child = command.spawn().map_err(wrong)?;
    let mut said = Vec::new();
    child.stderr.take().expect("it is piped").read_to_end(&mut said).map_err(wrong)?;
    // It has closed what it says, and is not waited for yet: the system still knows what it had.
    *cpu = spent::processor_seconds(child.id());
    let status = child.wait().map_err(wrong)?;
    let text = String::from_utf8_lossy(&said).into_owned();
    let report = read(&text);
    let (before, after) = report.covered;
    let line = [report.executions, after, after.saturating_sub(before), report.memory_mib];
    let finding = if status.success() { "none" } else { "FOUND" };
    println!("{name:<10} {:>12} {:>8} {:>8} {:>8}  {finding}", line[0], line[1], line[2], line[3]);
    if status.success() && report.executions > 0 {
        return Ok(());
    }
    Err(failure(name, &text))
}

/// What libFuzzer said of a run.
fn read(text: &str) -> Report {
    let mut report = Report::default();
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
    for line in text.lines() {
        if let Some(found) = number(line.strip_prefix("stat::number_of_executed_units:")) {
            report.executions = found;
        }
        if let Some(found) = number(line.strip_prefix("stat::peak_rss_mb:")) {
            report.memory_mib = found;
        }
        // `#99 NEW cov: 5 ft: 6 ...`; the corpus alone is `INITED`.
        let mut words = line.split_whitespace().skip_while(|word| *word != "cov:").skip(1);
        if line.starts_with('#')
            && let Some(found) = number(words.next())
        {
            report.covered.1 = found;
            if line.contains("INITED") {
                report.covered.0 = found;
            }
        }
    }
    report
}

/// The finding in words: what broke, where its input lies, and how to see it again.
fn failure(name: &str, text: &str) -> String {
    let said =
        text.lines().find(|line| line.contains("panicked at") || line.starts_with("==") && line.contains("ERROR"));
    let why = text.lines().skip_while(|line| Some(*line) != said).take(3).collect::<Vec<_>>().join("\n    ");
    let input = text.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim());
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    let why = if why.is_empty() { last.into_iter().rev().collect::<Vec<_>>().join("\n    ") } else { why };
    match input {
        Some(path) => format!(
            "target `{name}`: {why}\n  input:      {path}\n  keep it:    cp {path} fuzz/regressions/{name}/\n  \
             repeat it:  cargo test -p faultline-fuzz past_findings"
        ),
        None => format!("target `{name}` did not run: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_target_and_its_seconds() {
        let check = |line: &str| parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>());
        let words = |only: Option<&str>, seconds, until| Words { only: only.map(String::from), seconds, until };
        assert_eq!(check(""), Ok(words(None, None, None)));
        assert_eq!(check("promql --seconds 9"), Ok(words(Some("promql"), Some(9), None)));
        assert_eq!(check("--until 3600"), Ok(words(None, None, Some(3600))));
        for wrong in ["--seconds", "--seconds x", "--seconds 0", "--until 0", "--seconds 9 --until 9", "a b", "--what"]
        {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_run_is_read_from_what_libfuzzer_prints() {
        let text = "INFO: seed corpus\n#28\tINITED cov: 1200 ft: 3000 corp: 27/9Kb exec/s: 0 rss: 60Mb\n\
            #900\tNEW    cov: 1500 ft: 4000 corp: 30/9Kb lim: 99\n#1000\tDONE   cov: 1501 ft: 1 corp: 1/1b\n\
            stat::number_of_executed_units: 1000\nstat::peak_rss_mb:              99\n";
        assert_eq!(read(text), Report { executions: 1000, covered: (1200, 1501), memory_mib: 99 });
        let text = "thread '<unnamed>' panicked at core/x.rs:1:2:\nno such place\n==9== ERROR: libFuzzer: deadly signal\n\
            artifact_prefix='f/'; Test unit written to f/crash-12\n";
        let failure = failure("decode", text);
        assert!(
            failure.contains("no such place") && failure.contains("cp f/crash-12 fuzz/regressions/decode/"),
            "{failure}"
        );
    }
}
