//! The server under test: a child process with a folder of its own, found by what it says on standard error.
use crate::Outcome;
use crate::load::Connection;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest from the start to the banner's last address.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest from a start on a folder that holds something to being ready.
const READY_MAX: Duration = Duration::from_secs(300);
/// Longest from SIGTERM to the end; then it is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Between two questions whether it is ready.
const POLL: Duration = Duration::from_millis(10);
/// Lines of the log that an error shows.
const LOG_SHOWN: usize = 12;

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    program: PathBuf,
    words: Vec<String>,
    log: PathBuf,
    /// OTLP over HTTP.
    pub otlp: SocketAddr,
    /// The API.
    pub api: SocketAddr,
}

impl Server {
    /// Starts `faultline run` on a data folder and free ports, without the built-in rules.
    ///
    /// - `words`: what else it is told.
    pub fn run(program: &Path, data: &Path, words: &[&str], log: &Path) -> Outcome<Server> {
        let data = data.display().to_string();
        let ports = ["--otlp-grpc", "--otlp-http", "--http"].into_iter().flat_map(|flag| [flag, "127.0.0.1:0"]);
        let all = ["run", "--data", &data, "--no-builtin-rules"].into_iter().chain(ports).chain(words.iter().copied());
        Server::start(program, &all.map(str::to_owned).collect::<Vec<_>>(), log)
    }

    /// Starts a program and waits until it has said where it listens.
    ///
    /// - `log`: where its standard error goes; its standard output goes nowhere.
    pub fn start(program: &Path, words: &[String], log: &Path) -> Outcome<Server> {
        let shown = program.display();
        let (mut child, said) = spawn(program, words, log)?;
        let (mut otlp, mut api) = (None, None);
        let until = Instant::now() + START_MAX;
        while otlp.is_none() || api.is_none() {
            match said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => match address(&line) {
                    Some((Port::Otlp, address)) => otlp = Some(address),
                    Some((Port::Api, address)) => api = Some(address),
                    None => {}
                },
                Err(why) => {
                    let what = match why {
                        RecvTimeoutError::Disconnected => "ended without saying where it listens".to_owned(),
                        RecvTimeoutError::Timeout => format!("did not say within {START_MAX:?} where it listens"),
                    };
                    let _it_may_be_gone = child.kill();
                    let _status = child.wait();
                    return Err(format!("{shown} {what}; it said:\n{}", tail(log)));
                }
            }
        }
        let (otlp, api) = (otlp.expect("the loop's end"), api.expect("the loop's end"));
        Ok(Server { child, program: program.to_owned(), words: words.to_vec(), log: log.to_owned(), otlp, api })
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) -> Outcome<()> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|error| format!("cannot kill the server under test: {error}"))
    }

    /// Starts it again on the same folder and ports. Returns how long it took from the start until it answered at all,
    /// and until it was ready; the log begins anew.
    pub fn again(&mut self) -> Outcome<Restarted> {
        let mut words = self.words.clone();
        for (flag, address) in [("--otlp-http", self.otlp), ("--http", self.api)] {
            let at =
                words.iter().position(|word| word == flag).ok_or_else(|| format!("it was started without {flag}"))?;
            words[at + 1] = address.to_string();
        }
        let begun = Instant::now();
        // What it says is read from the log.
        let (child, _said) = spawn(&self.program, &words, &self.log)?;
        self.child = child;
        let mut answered = None;
        while begun.elapsed() < READY_MAX {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("the server under test did not start again ({status}); it said:\n{}", self.said()));
            }
            if let Ok((status, _)) = Connection::ask(self.api, "GET", "/-/ready") {
                answered = answered.or(Some(begun.elapsed()));
                if status == 200 {
                    let (answered, ready) = (answered.expect("it is set above"), begun.elapsed());
                    return Ok(Restarted { answered, ready, said: recovery(&self.log) });
                }
            }
            thread::sleep(POLL);
        }
        Err(format!("the server under test was not ready within {READY_MAX:?}; it said:\n{}", self.said()))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it said on standard error.
    pub fn said(&self) -> String {
        tail(&self.log)
    }

    /// Asks it to end and waits for it. Returns how it ended and how long that took.
    pub fn stop(&mut self) -> Outcome<(ExitStatus, Duration)> {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| format!("cannot stop the server under test: {error}"))?;
        while begun.elapsed() < STOP_MAX {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Ok((status, begun.elapsed()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the server under test did not end within {STOP_MAX:?} of SIGTERM; it said:\n{}", self.said()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _it_may_be_gone = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

/// How a server came back.
#[derive(Clone, Debug)]
pub struct Restarted {
    /// From its start to the first answer of any kind.
    pub answered: Duration,
    /// From its start to being ready.
    pub ready: Duration,
    /// What it says of its recovery.
    pub said: Vec<String>,
}

/// Starts a program; the lines of its standard error go into `log` and to whoever listens.
fn spawn(program: &Path, words: &[String], log: &Path) -> Outcome<(Child, Receiver<String>)> {
    let mut copy = File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        let shown = program.display();
        format!("cannot start {shown}: {error}; `cargo build --release` makes it, --server PATH names another")
    })?;
    let lines = BufReader::new(child.stderr.take().expect("asked for above")).lines();
    let (say, said) = mpsc::channel();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _kept_for_people = writeln!(copy, "{line}");
            let _nobody_waits_any_more = say.send(line);
        }
    });
    Ok((child, said))
}

/// Lines of a log that tell of a recovery.
fn recovery(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("recovered: ")).map(str::to_owned).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Otlp,
    Api,
}

/// The port and address of a line of the banner, such as `  OTLP HTTP      http://127.0.0.1:4318    ...`.
fn address(line: &str) -> Option<(Port, SocketAddr)> {
    let (port, rest) = match line.trim_start() {
        line if line.starts_with("OTLP HTTP ") => (Port::Otlp, line),
        line if line.starts_with("API ") => (Port::Api, line),
        _ => return None,
    };
    let address = rest.split_once("http://")?.1.split_whitespace().next()?;
    Some((port, address.trim_end_matches('/').parse().ok()?))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_addresses_in_the_banner() {
        let check = |line: &str| address(line).map(|(port, address)| (port, address.port()));
        assert_eq!(check("  OTLP HTTP      http://127.0.0.1:4318    OTEL_EXPORTER_OTLP"), Some((Port::Otlp, 4318)));
        assert_eq!(check("  API            http://127.0.0.1:7400    faultline status"), Some((Port::Api, 7400)));
        assert_eq!(check("  OTLP gRPC      127.0.0.1:4317           ..."), None);
        assert_eq!(check("  remote write   http://127.0.0.1:7400/api/v1/write  ..."), None);
    }

    #[test]
    fn a_program_that_ends_at_once_is_told_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let words = ["-c".to_owned(), "echo port 4318 is taken >&2; exit 1".to_owned()];
        let error = Server::start(Path::new("/bin/sh"), &words, &folder.path().join("log")).unwrap_err();
        assert!(error.contains("port 4318 is taken"), "{error}");
        let error = Server::start(Path::new("/nowhere/faultline"), &[], &folder.path().join("log")).unwrap_err();
        assert!(error.contains("cargo build --release"), "{error}");
    }
}
