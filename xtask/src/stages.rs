//! A list of stages, run in order with their seconds; stops at the first that fails and says how to repeat it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Outcome;
use crate::counts::Counts;

/// One thing that must hold, named by one word.
pub struct Stage {
    pub name: &'static str,
    /// What it shows, in a few words.
    pub why: &'static str,
    pub steps: Vec<Step>,
}

/// One command of a stage.
pub enum Step {
    /// `cargo` with these arguments.
    Cargo(Vec<String>),
    /// `cargo test` with these arguments: its tests are counted while it runs.
    Tests(Vec<String>),
    /// A chore of our own: the command that repeats it, and the chore.
    Own(&'static str, fn() -> Outcome),
}

impl Step {
    /// `Step::Cargo` from one line; no argument of ours holds a space.
    pub fn cargo(line: &str) -> Step {
        Step::Cargo(line.split_whitespace().map(String::from).collect())
    }

    /// `Step::Tests` from one line.
    pub fn tests(line: &str) -> Step {
        Step::Tests(line.split_whitespace().map(String::from).collect())
    }

    /// The command that repeats this step alone, as one would type it.
    fn repeat(&self) -> String {
        match self {
            Step::Cargo(arguments) | Step::Tests(arguments) => format!("cargo {}", arguments.join(" ")),
            Step::Own(command, _) => (*command).to_string(),
        }
    }

    fn run(&self, root: &Path, counts: &mut Counts) -> Outcome {
        match self {
            Step::Cargo(arguments) => ended(cargo(root).args(arguments).status()),
            Step::Tests(arguments) => counted(cargo(root).args(arguments), counts, &mut std::io::stdout()),
            Step::Own(_, chore) => chore(),
        }
    }
}

/// The cargo that started us, so that a pinned toolchain stays pinned.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// A child's end as an outcome.
pub fn ended(status: std::io::Result<std::process::ExitStatus>) -> Outcome {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(format!("it could not be started: {error}")),
    }
}

/// Runs `command`, passing its output on to `out` line by line and counting the tests it reports.
fn counted(command: &mut Command, counts: &mut Counts, out: &mut dyn Write) -> Outcome {
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("it could not be started: {error}"))?;
    let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut line = Vec::new();
    // Bytes, not text: a test may print anything.
    while output.read_until(b'\n', &mut line).map_err(|error| format!("its output could not be read: {error}"))? > 0 {
        counts.read(&String::from_utf8_lossy(&line));
        // A closed pipe (`| head`) ends the reading, not the tests.
        let _ = out.write_all(&line).and_then(|()| out.flush());
        line.clear();
    }
    ended(child.wait())
}

/// Runs the stages of chore `title` in order, then prints what passed, how long it took and how many tests ran.
///
/// Fails with the first stage that fails, its repeating command, and what was not run.
pub fn run(title: &str, root: &Path, stages: &[Stage]) -> Outcome {
    let (mut counts, mut seconds) = (Counts::default(), Vec::new());
    let outcome = stages.iter().enumerate().try_for_each(|(index, stage)| {
        println!("\n== {title} {}/{}  {}: {}", index + 1, stages.len(), stage.name, stage.why);
        let started = Instant::now();
        let step =
            stage.steps.iter().try_for_each(|step| step.run(root, &mut counts).map_err(|error| (step.repeat(), error)));
        let took = started.elapsed().as_secs_f64();
        seconds.push(took);
        step.map_err(|(repeat, error)| {
            let rest: Vec<_> = stages[index + 1..].iter().map(|stage| stage.name).collect();
            failure(stage.name, took, &error, &repeat, &rest)
        })?;
        println!("== {} passed in {took:.1} s", stage.name);
        Ok(())
    });

    println!("\n== {title}: {}", if outcome.is_ok() { "passed" } else { "FAILED" });
    for (index, (stage, took)) in stages.iter().zip(&seconds).enumerate() {
        let failed = outcome.is_err() && index + 1 == seconds.len();
        println!("{took:>8.1} s  {}{}", stage.name, if failed { "  FAILED" } else { "" });
    }
    println!("{:>8.1} s  altogether", seconds.iter().sum::<f64>());
    println!("{counts}");
    outcome.and_then(|()| {
        if counts.passed == 0 { Err(format!("{title}: no test ran, so nothing is shown")) } else { Ok(()) }
    })
}

fn failure(name: &str, took: f64, error: &str, repeat: &str, rest: &[&str]) -> String {
    let rest = if rest.is_empty() { String::new() } else { format!("\n  not run:    {}", rest.join(", ")) };
    format!("stage `{name}` failed after {took:.1} s: {error}\n  repeat it:  {repeat}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &'static str, chore: fn() -> Outcome) -> Stage {
        Stage { name, why: "", steps: vec![Step::Own("cargo xtask it", chore)] }
    }

    #[test]
    fn the_first_failing_stage_stops_the_rest_and_names_its_command() {
        let never: fn() -> Outcome = || unreachable!("a stage after a failed one ran");
        let stages = [own("good", || Ok(())), own("bad", || Err("two findings".into())), own("late", never)];
        let message = run("ci", Path::new("."), &stages).unwrap_err();
        assert!(message.starts_with("stage `bad` failed after "), "{message}");
        assert!(message.ends_with("two findings\n  repeat it:  cargo xtask it\n  not run:    late"), "{message}");
    }

    #[test]
    fn stages_without_a_single_test_show_nothing() {
        assert!(run("ci", Path::new("."), &[own("good", || Ok(()))]).unwrap_err().contains("no test ran"));
    }

    #[test]
    fn tests_of_a_child_are_counted_and_its_exit_code_kept() {
        let script =
            "printf 'x\\377\\ntest result: FAILED. 4 passed; 1 failed; 0 ignored\\nlast line without end'; exit 3";
        let (mut counts, mut out) = (Counts::default(), Vec::new());
        let outcome = counted(Command::new("sh").args(["-c", script]), &mut counts, &mut out);
        assert_eq!((counts.passed, counts.failed), (4, 1));
        assert_eq!(out, b"x\xff\ntest result: FAILED. 4 passed; 1 failed; 0 ignored\nlast line without end");
        assert!(outcome.unwrap_err().contains('3'));
    }
}
