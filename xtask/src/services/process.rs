//! A server's life: started on a free loopback port, awaited, told apart by its pid file, ended.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::catalog::Server;
use crate::Outcome;

/// A slow machine under load needs some seconds; a server that says nothing for this long says nothing at all.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// From SIGTERM until SIGKILL.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// Another process may take the port between our look and the server's: then another port is tried.
const TRIES: usize = 3;

/// A server that answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Running {
    pub url: String,
    pub pid: u32,
}

/// Runs `$0` in the shell's place, without the descriptors that our caller left open: a lock held through one of them, as
/// by `flock`, would last as long as the server.
const WITHOUT_INHERITANCE: &str = "exec \"$0\" \"$@\" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-";

/// A file of service `name` in `dir`.
fn file(dir: &Path, name: &str, extension: &str) -> PathBuf {
    dir.join(format!("{name}.{extension}"))
}

/// Starts `program` with its files in `dir` and waits until it answers, or returns the one that runs from `dir`.
pub fn start(name: &str, server: &Server, program: &Path, dir: &Path, arguments: &[String]) -> Result<Running, String> {
    if let Some(running) = running(name, dir) {
        return Ok(running);
    }
    fs::create_dir_all(dir).map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
    let mut ended = String::new();
    for _ in 0..TRIES {
        match try_start(name, server, program, dir, arguments, free_port(old_port(name, dir))?)? {
            Ok(running) => return Ok(running),
            Err(how) => ended = how,
        }
        if !ended.contains("address already in use") {
            break;
        }
    }
    Err(ended)
}

/// Where the server answered that ran from `dir` before: whoever was told of it looks for it there.
fn old_port(name: &str, dir: &Path) -> u16 {
    let url = fs::read_to_string(file(dir, name, "url")).unwrap_or_default();
    url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0)
}

/// `wanted` if it is free, else any; 0 wants any.
fn free_port(wanted: u16) -> Result<u16, String> {
    let bound =
        TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let address = bound.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}

/// One try. Outer error: it is of no use to try again. Inner error: the server ended, with the end of its log.
fn try_start(
    name: &str,
    server: &Server,
    program: &Path,
    dir: &Path,
    arguments: &[String],
    port: u16,
) -> Result<Result<Running, String>, String> {
    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let fill = |text: &str| text.replace("PORT", &port.to_string()).replace("DIR", &dir.to_string_lossy());
    if let Some((file, text)) = server.configuration.filter(|(file, _)| !dir.join(file).exists()) {
        write(&dir.join(file), text)?;
    }
    let log_path = file(dir, name, "log");
    let log = fs::File::create(&log_path).map_err(|error| format!("cannot write {}: {error}", log_path.display()))?;
    let errors = log.try_clone().map_err(|error| format!("cannot write {} twice: {error}", log_path.display()))?;
    let mut command = Command::new("sh");
    command.args(["-c", WITHOUT_INHERITANCE]).arg(program);
    command.args(server.arguments.iter().map(|argument| fill(argument))).args(arguments).current_dir(dir);
    // A group of its own: Ctrl-C in the caller's terminal is for the caller.
    command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let running = Running { url: format!("http://127.0.0.1:{port}"), pid: child.id() };
    write(&file(dir, name, "pid"), &running.pid.to_string())?;
    write(&file(dir, name, "url"), &running.url)?;
    match await_ready(&mut child, port, server.ready) {
        Ok(()) => Ok(Ok(running)),
        Err(what) => {
            stop(name, dir)?;
            let _ = child.wait();
            Ok(Err(format!("{name} {what}; the end of {}:\n  {}", log_path.display(), tail(&log_path))))
        }
    }
}

fn await_ready(child: &mut Child, port: u16, path: &str) -> Result<(), String> {
    let started = Instant::now();
    while started.elapsed() < READY_WITHIN {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("ended ({status}) before it answered"));
        }
        if answers(port, path) {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
    Err(format!("did not answer 200 on {path} within {} s", READY_WITHIN.as_secs()))
}

/// Whether a GET is answered with 200.
fn answers(port: u16, path: &str) -> bool {
    let ask = || -> std::io::Result<[u8; 12]> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status)
    };
    ask().is_ok_and(|status| status.starts_with(b"HTTP/1.1 200"))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n  ")
}

/// The server that runs from `dir`, if one does.
fn running(name: &str, dir: &Path) -> Option<Running> {
    let pid = fs::read_to_string(file(dir, name, "pid")).ok()?.trim().parse().ok()?;
    let url = fs::read_to_string(file(dir, name, "url")).ok()?;
    is_ours(pid, dir).then_some(Running { url, pid })
}

/// Whether process `pid` is alive and works in `dir`: the number of a dead server may be another process's by now.
fn is_ours(pid: u32, dir: &Path) -> bool {
    let folder = fs::read_link(format!("/proc/{pid}/cwd")); // A zombie has none.
    folder.is_ok_and(|folder| fs::canonicalize(dir).is_ok_and(|dir| folder == dir))
}

/// Ends the server that runs from `dir`, if one does, and waits until it is gone.
pub fn stop(name: &str, dir: &Path) -> Outcome {
    if let Some(Running { pid, .. }) = running(name, dir) {
        signal(pid, "TERM")?;
        let started = Instant::now();
        while is_ours(pid, dir) {
            if started.elapsed() > STOPPED_WITHIN {
                signal(pid, "KILL")?;
            }
            std::thread::sleep(POLL);
        }
    }
    // The URL stays: a next start takes the same port.
    match fs::remove_file(file(dir, name, "pid")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove the pid file: {error}"))
        }
        _ => Ok(()),
    }
}

/// Through the shell, whose `kill` is there everywhere; a process that has just ended is no error.
fn signal(pid: u32, signal: &str) -> Outcome {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid} 2>/dev/null || true")]).status();
    status.map(drop).map_err(|error| format!("cannot signal process {pid}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a shell script as server `it` in a folder named after the test.
    fn start_script(test: &str, script: &'static [&'static str]) -> (PathBuf, Result<Running, String>) {
        let dir = std::env::temp_dir().join(format!("xtask-{}-{test}", std::process::id()));
        let server = Server { arguments: script, configuration: Some(("c.yml", "quiet: true\n")), ready: "/" };
        let this_program = std::env::current_exe().unwrap().to_string_lossy().into_owned();
        let outcome = start("it", &server, Path::new("sh"), &dir, &[this_program]);
        (dir, outcome)
    }

    /// This very test program as the server, so that a test needs no other program.
    const SERVES: &[&str] = &["-c", "STAND_IN_AT=PORT exec \"$0\" --exact services::process::tests::stand_in"];

    /// Serves only when it is told a port; among the other tests it has nothing to do.
    #[test]
    fn stand_in() {
        let Some(port) = std::env::var("STAND_IN_AT").ok().and_then(|port| port.parse::<u16>().ok()) else { return };
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(20));
            std::process::exit(1) // The test that started us has failed before it could stop us.
        });
        for stream in TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap().incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        }
    }

    #[test]
    fn a_server_is_started_once_found_again_and_stopped() {
        let (dir, running) = start_script("life", SERVES);
        let running = running.unwrap();
        assert_eq!(fs::read_to_string(dir.join("c.yml")).unwrap(), "quiet: true\n");
        fs::write(dir.join("c.yml"), "the caller's own").unwrap();
        assert_eq!(start_script("life", SERVES).1.unwrap(), running, "a second start finds the first");
        stop("it", &dir).unwrap();
        assert!(!is_ours(running.pid, &dir));
        stop("it", &dir).expect("stopping what does not run is no error");

        // Where nobody took its port meanwhile: among the connections of other tests somebody may.
        let port: u16 = running.url.rsplit(':').next().unwrap().parse().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let again = start_script("life", SERVES).1.unwrap();
        assert!(!free || again.url == running.url, "whoever was told of the server finds it again: {}", again.url);
        assert_eq!(fs::read_to_string(dir.join("c.yml")).unwrap(), "the caller's own");
        stop("it", &dir).unwrap();
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_server_that_ends_is_reported_with_its_log() {
        let (dir, outcome) = start_script("ends", &["-c", "echo bad configuration; exit 7"]);
        let error = outcome.unwrap_err();
        assert!(error.starts_with("it ended (exit status: 7) before it answered"), "{error}");
        assert!(error.ends_with("\n  bad configuration"), "{error}");
        assert!(!dir.join("it.pid").exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_pid_file_of_a_dead_server_names_nobody() {
        let dir = std::env::temp_dir().join(format!("xtask-{}-stale", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        // This very process is alive and does not work in `dir`: its number was given anew.
        fs::write(dir.join("it.pid"), std::process::id().to_string()).unwrap();
        fs::write(dir.join("it.url"), "http://127.0.0.1:1").unwrap();
        assert_eq!(running("it", &dir), None);
        stop("it", &dir).expect("nobody is signalled");
        fs::remove_dir_all(dir).unwrap();
    }
}
