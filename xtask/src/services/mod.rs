//! Real servers for tests: `cargo xtask services ACTION NAME [--dir DIR] [-- ARGUMENTS]`.
//!
//! The contract, which tests in other crates and people alike may lean on:
//!
//! - `install NAME...` (or `install all`) builds each NAME's program into the cache folder (`$XDG_CACHE_HOME/faultline-services`, else
//!   `~/.cache/faultline-services`) at the version written in `catalog.rs`; a second call finds them and is instant.
//!   Calls at the same time wait for each other. **stdout: one line `PROGRAM PATH` for each NAME.**
//! - `need NAME...` is what a test asks before it begins. With `CI=true` in the environment it installs what is missing and fails
//!   where it cannot; without, it installs nothing. **stdout: `yes`, or `no` with a line on stderr that says how to install.**
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
//! A test calls cargo, never a program that it finds built: that may be an older one. Linux only: processes are told apart
//! through `/proc`.

use std::path::{Path, PathBuf};

use crate::Outcome;

mod catalog;
mod install;
mod process;

use catalog::{SERVICES, Service};

pub const HELP: &str = "
cargo xtask services ACTION NAME [--dir DIR] [-- ARGUMENTS]: real servers for tests, on loopback and free ports

  list              what there is, and what is installed
  install NAME...   build them into the cache folder (`all`: every one); prints `PROGRAM PATH` lines
  need NAME...      whether a test that needs them runs here: prints `yes` or `no`. With CI=true in the environment
                    what is missing is installed, and it is an error if that cannot be
  start NAME        install if need be, start, wait until it answers; prints `NAME URL PID`
  stop NAME         end it

  --dir DIR         its log, data, pid file and configuration (DIR/prometheus.yml, DIR/alertmanager.yml are used
                    if there); default: run/ in the cache folder
  -- ARGUMENTS      passed on to the server

Try:  cargo xtask services install all        then `cargo xtask test` runs the tests with real senders, too
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
        Action::Install(services) => {
            install::install(&services, &cache)?;
            for service in services {
                println!("{} {}", service.install.program(), install::program(service, &cache).display());
            }
        }
        Action::Need(services) => println!("{}", if need(&services, &cache, in_ci())? { "yes" } else { "no" }),
        Action::Start(service) => {
            // Before the build, which takes minutes: a library or a tool has nothing to start.
            let server = service.server.as_ref().ok_or_else(|| {
                let (name, program) = (service.name, service.install.program());
                format!("{name} is no server: `cargo xtask services install {name}` prints where its {program} is")
            })?;
            install::install(&[service], &cache)?;
            let program = install::program(service, &cache);
            let running = process::start(service.name, server, &program, &absolute(&dir)?, &order.arguments)?;
            println!("{} {} {}", service.name, running.url, running.pid);
        }
        Action::Stop(service) => process::stop(service.name, &absolute(&dir)?)?,
    }
    Ok(())
}

/// The rule for tests that need what is not ours: in CI they run, whatever it takes; elsewhere where it is there.
fn need(services: &[&Service], cache: &Path, in_ci: bool) -> Result<bool, String> {
    if in_ci {
        install::install(services, cache)?;
        return Ok(true);
    }
    let missing: Vec<_> = services.iter().filter(|it| !install::is_installed(it, cache)).map(|it| it.name).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    eprintln!(
        "NOT RUN: tests with {}; to have them run: cargo xtask services install {}",
        missing.join(", "),
        missing.join(" ")
    );
    Ok(false)
}

/// As GitHub, GitLab and `.ci/run` say it.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// The stage of `test` and `ci` before the tests: installs every service in CI, elsewhere says which are missing.
pub fn for_tests() -> Outcome {
    need(&of_tests(), &cache_folder()?, in_ci()).map(drop)
}

fn of_tests() -> Vec<&'static Service> {
    SERVICES.iter().filter(|service| service.is_for_tests()).collect()
}

enum Action {
    List,
    Install(Vec<&'static Service>),
    Need(Vec<&'static Service>),
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
    let all = || SERVICES.iter().map(|service| service.name).collect::<Vec<_>>().join(", ");
    let (action, names) = match plain.as_slice() {
        ["list"] => return Ok(Order { action: Action::List, dir, arguments }),
        [action, names @ ..] if !names.is_empty() => (*action, names),
        _ => return Err(format!("expected an action and a name, like `start prometheus`; the names are {}", all())),
    };
    let find = |name: &&str| {
        let service = SERVICES.iter().find(|service| service.name == *name);
        service.ok_or_else(|| format!("there is no service `{name}`; the names are {}", all()))
    };
    let several = || match names {
        ["all"] => Ok(of_tests()),
        _ => names.iter().map(find).collect::<Result<Vec<_>, _>>(),
    };
    let one = || match names {
        [name] => find(name),
        _ => Err(format!("`{action}` takes one name")),
    };
    let action = match action {
        "install" => Action::Install(several()?),
        "need" => Action::Need(several()?),
        "start" => Action::Start(one()?),
        "stop" => Action::Stop(one()?),
        _ => return Err(format!("there is no action `{action}`; the actions are list, install, need, start, stop")),
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
            ("install prometheus otel-python", ""),
            ("install all", ""),
            ("need node-exporter alertmanager", ""),
            ("need", "expected an action and a name"),
            ("need nagios", "there is no service `nagios`; the names are prometheus, prometheus-measured, promtool"),
            ("start prometheus alertmanager", "`start` takes one name"),
            ("stop all", "there is no service `all`"),
            ("start prometheus --dir d -- --log.level=debug --dir x", ""),
            ("start --dir d node-exporter", ""),
            ("", "expected an action and a name"),
            ("prometheus", "expected an action and a name"),
            ("start nagios", "there is no service `nagios`; the names are prometheus, prometheus-measured, promtool"),
            ("restart prometheus", "there is no action `restart`; the actions are list, install, need, start, stop"),
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

    #[test]
    fn what_is_missing_elsewhere_than_in_ci_is_said_and_not_installed() {
        let cache = std::env::temp_dir().join(format!("xtask-{}-need", std::process::id()));
        let [first, second] = [&SERVICES[0], &SERVICES[1]];
        let folder = cache.join(format!("{}-{}", first.name, first.version));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("complete"), "").unwrap();
        assert_eq!(need(&[first, second], &cache, false), Ok(false));
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1, "nothing was installed");
        assert_eq!(need(&[first], &cache, false), Ok(true));
        assert_eq!(need(&[first], &cache, true), Ok(true));
        std::fs::remove_dir_all(cache).unwrap();
    }
}
