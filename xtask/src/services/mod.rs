//! Real servers for tests: `cargo xtask services ACTION NAME [--dir DIR] [-- ARGUMENTS]`.
//!
//! The contract, which tests in other crates and people alike may lean on:
//!
//! - `install NAME` builds the programs of NAME into the cache folder (`$XDG_CACHE_HOME/faultline-services`, else
//!   `~/.cache/faultline-services`) at the version written in `catalog.rs`; a second call finds them and is instant.
//!   Calls at the same time wait for each other. **stdout: one line `PROGRAM PATH` for each program.**
//! - `start NAME --dir DIR` installs if need be, starts the server on a free port of 127.0.0.1 and returns when it
//!   answers. **stdout: the one line `NAME URL PID`.** DIR keeps `NAME.pid`, `NAME.url`, `NAME.log` and the server's data
//!   in `NAME-data/`. A configuration in DIR (`prometheus.yml`, `alertmanager.yml`) is used as it is; without one a small
//!   one is written. What follows `--` is passed on to the server. The server outlives the call: whoever starts it
//!   stops it. If it runs already from this DIR, the same line is printed again; if it ran before, it gets its old port
//!   back where that is free, so that whoever was told of it finds it again.
//! - `stop NAME --dir DIR` ends it (SIGTERM, after 10 s SIGKILL) and returns when it is gone; stopping what does not
//!   run is no error.
//! - `list` prints one line for each service: name, version, and whether it is installed.
//!
//! Without `--dir`, DIR is `run/` in the cache folder. Progress and errors go to stderr; the exit code is 0 or 1.
//! A test calls either `cargo xtask services ...` or, in a workspace build, the program `xtask` two folders above its own
//! (`target/debug/xtask`). Linux only: processes are told apart through `/proc`.

use std::path::{Path, PathBuf};

use crate::Outcome;

mod catalog;
mod install;
mod process;

use catalog::{SERVICES, Service};

pub const HELP: &str = "
cargo xtask services ACTION NAME [--dir DIR] [-- ARGUMENTS]: real servers for tests, on loopback and free ports

  list              what there is, and what is installed
  install NAME      build it into the cache folder; prints `PROGRAM PATH` lines
  start NAME        install if need be, start, wait until it answers; prints `NAME URL PID`
  stop NAME         end it

  --dir DIR         its log, data, pid file and configuration (DIR/prometheus.yml, DIR/alertmanager.yml are used
                    if there); default: run/ in the cache folder
  -- ARGUMENTS      passed on to the server

Try:  cargo xtask services start prometheus
The first call builds from source with Go (minutes) or installs from PyPI; the next is instant.
";

/// `cargo xtask services`.
pub fn services(words: &[String]) -> Outcome {
    let order = parse(words)?;
    let cache = cache_folder()?;
    let dir = order.dir.unwrap_or_else(|| cache.join("run"));
    match order.action {
        Action::List => SERVICES.iter().for_each(|service| {
            let state = if install::is_installed(service, &cache) { "installed" } else { "not installed" };
            println!("{:<14} {:<9} {state:<14} {}", service.name, service.version, service.about);
        }),
        Action::Install(service) => {
            install::install(service, &cache)?;
            for program in service.install.programs() {
                println!("{program} {}", install::program(service, &cache, program).display());
            }
        }
        Action::Start(service) => {
            // Before the build, which takes minutes: a library has nothing to start.
            let server = service.server.as_ref().ok_or_else(|| {
                let name = service.name;
                format!("{name} is a library, not a server: `cargo xtask services install {name}` prints the python that has it")
            })?;
            install::install(service, &cache)?;
            let program = install::program(service, &cache, server.program);
            let running = process::start(service.name, server, &program, &absolute(&dir)?, &order.arguments)?;
            println!("{} {} {}", service.name, running.url, running.pid);
        }
        Action::Stop(service) => process::stop(service.name, &absolute(&dir)?)?,
    }
    Ok(())
}

enum Action {
    List,
    Install(&'static Service),
    Start(&'static Service),
    Stop(&'static Service),
}

struct Order {
    action: Action,
    dir: Option<PathBuf>,
    arguments: Vec<String>,
}

fn parse(words: &[String]) -> Result<Order, String> {
    let (mut plain, mut dir, mut arguments) = (Vec::new(), None, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--dir" => dir = Some(PathBuf::from(words.next().ok_or("--dir needs a folder")?)),
            "--" => arguments = words.by_ref().cloned().collect(),
            option if option.starts_with('-') => {
                return Err(format!("there is no option {option}; the server's own go after `--`"));
            }
            _ => plain.push(word.as_str()),
        }
    }
    let names = || SERVICES.iter().map(|service| service.name).collect::<Vec<_>>().join(", ");
    let (action, name) = match plain.as_slice() {
        ["list"] => return Ok(Order { action: Action::List, dir, arguments }),
        [action, name] => (*action, *name),
        _ => return Err(format!("expected an action and a name, like `start prometheus`; the names are {}", names())),
    };
    let service = SERVICES.iter().find(|service| service.name == name);
    let service = service.ok_or_else(|| format!("there is no service `{name}`; the names are {}", names()))?;
    let action = match action {
        "install" => Action::Install(service),
        "start" => Action::Start(service),
        "stop" => Action::Stop(service),
        _ => return Err(format!("there is no action `{action}`; the actions are list, install, start, stop")),
    };
    if !arguments.is_empty() && !matches!(action, Action::Start(_)) {
        return Err("arguments after `--` go to a server, so only with `start`".into());
    }
    Ok(Order { action, dir, arguments })
}

fn cache_folder() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base
        .ok_or("neither XDG_CACHE_HOME nor HOME is set: no folder to keep the programs in")?
        .join("faultline-services"))
}

fn absolute(dir: &Path) -> Result<PathBuf, String> {
    std::path::absolute(dir).map_err(|error| format!("{} is no folder: {error}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_wrong_ones_are_answered_with_what_there_is() {
        let cases = [
            ("list", ""),
            ("install prometheus", ""),
            ("start prometheus --dir d -- --log.level=debug --dir x", ""),
            ("start --dir d node-exporter", ""),
            ("", "expected an action and a name"),
            ("prometheus", "expected an action and a name"),
            ("start nagios", "there is no service `nagios`; the names are prometheus, alertmanager"),
            ("restart prometheus", "there is no action `restart`; the actions are list, install, start, stop"),
            ("start prometheus --port 1", "there is no option --port"),
            ("start prometheus --dir", "--dir needs a folder"),
            ("stop prometheus -- x", "arguments after `--` go to a server"),
        ];
        for (line, expected) in cases {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            match parse(&words) {
                Ok(order) => {
                    assert_eq!(expected, "", "{line} was taken");
                    assert_eq!(order.dir.is_some(), line.contains("--dir"), "{line}");
                    assert_eq!(
                        order.arguments.len(),
                        line.split_once(" -- ").map_or(0, |(_, rest)| rest.split(' ').count()),
                        "{line}"
                    );
                }
                Err(error) => assert!(!expected.is_empty() && error.starts_with(expected), "{line}: {error}"),
            }
        }
    }
}
