//! Every developer chore: it starts processes and names no crate of ours.
//!
//! A chore is one row of [`CHORES`]. Errors are sentences for the person who typed the command: what was tried,
//! on what, and what to do now. Progress goes where it is read; what a program would read stands alone on stdout.

use std::process::ExitCode;

mod ci;
mod counts;
mod fuzz;
mod licences;
mod programs;
mod services;
mod stages;
mod strace;
mod tidy;
mod workspace;

/// How every chore ends: well, or with the sentence that says what to do.
type Outcome = Result<(), String>;

/// One sub-command.
struct Chore {
    name: &'static str,
    /// One line for `cargo xtask --help`.
    summary: &'static str,
    /// What `cargo xtask NAME --help` prints.
    help: &'static str,
    run: fn(&[String]) -> Outcome,
}

const CHORES: &[Chore] = &[
    Chore { name: "test", summary: "every test of the workspace (start here)", help: ci::TEST_HELP, run: ci::test },
    Chore {
        name: "ci",
        summary: "what must pass before a change lands: the same here and in CI",
        help: ci::HELP,
        run: ci::ci,
    },
    Chore { name: "tidy", summary: "house rules that the compiler cannot hold", help: tidy::HELP, run: tidy::tidy },
    Chore {
        name: "licences",
        summary: "only permissive licences among all dependencies",
        help: licences::HELP,
        run: licences::licences,
    },
    Chore {
        name: "services",
        summary: "real servers for tests: install, start, stop, list",
        help: services::HELP,
        run: services::services,
    },
    Chore {
        name: "eval",
        summary: "how often verdicts are right, on simulated and recorded data",
        help: programs::EVAL_HELP,
        run: programs::eval,
    },
    Chore {
        name: "fuzz",
        summary: "hostile bytes for every decoder and reader, under a memory cap",
        help: fuzz::HELP,
        run: fuzz::fuzz,
    },
    Chore {
        name: "sim",
        summary: "simulated lives on a disk that fails; what CI runs, as many seeds as wished",
        help: programs::SIM_HELP,
        run: programs::sim,
    },
    Chore {
        name: "strace",
        summary: "faults in the real binary at each of its file calls",
        help: strace::HELP,
        run: strace::strace,
    },
    Chore { name: "bench", summary: "the fixed benchmarks", help: programs::BENCH_HELP, run: programs::bench },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[String]) -> Outcome {
    let (Some(name), rest) = (words.first(), words.get(1..).unwrap_or_default()) else {
        print!("{}", overview());
        return Ok(());
    };
    if matches!(name.as_str(), "--help" | "-h" | "help") {
        print!("{}", overview());
        return Ok(());
    }
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        return Err(format!("there is no chore `{name}`\n\n{}", overview()));
    };
    // Words after `--` belong to the program that is started.
    if rest.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") {
        println!("{}", chore.help.trim());
        return Ok(());
    }
    (chore.run)(rest)
}

fn overview() -> String {
    let mut text = String::from("cargo xtask CHORE: every developer chore of this repository\n\n");
    for chore in CHORES {
        text += &format!("  {:<9} {}\n", chore.name, chore.summary);
    }
    text + "\n`cargo xtask CHORE --help` says what a chore does and how to repeat one part of it.\n"
}

/// Refuses words that a chore would otherwise pass over in silence.
fn no_words(chore: &str, words: &[String]) -> Outcome {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(format!("`{chore}` takes no argument, got `{word}`: see `cargo xtask {chore} --help`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Outcome {
        dispatch(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn every_chore_has_help_that_names_it() {
        for chore in CHORES {
            assert!(check(&format!("{} --help", chore.name)).is_ok());
            assert!(chore.help.contains(&format!("cargo xtask {}", chore.name)), "help of {}", chore.name);
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        for chore in ["test", "ci", "tidy", "licences", "services"] {
            assert!(check(&format!("{chore} frobnicate")).is_err(), "{chore} takes any word");
        }
        assert!(check("frobnicate").unwrap_err().contains("there is no chore `frobnicate`"));
        assert!(check("").is_ok());
    }
}
