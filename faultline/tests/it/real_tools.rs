//! For tests with senders that we did not write: the server as a process, real services, and questions over HTTP.
use bytes::Bytes;
use faultline_sinks::http::{Limits, Url, request};
use http::Method;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may take to say that it listens: debug builds on a busy machine.
const START: Duration = Duration::from_secs(120);

/// Whether a test that needs these services runs: in CI always, elsewhere where they are installed; otherwise a line on the
/// terminal says that it did not.
pub fn wanted(names: &[&str]) -> bool {
    services(&[&["need"], names].concat()).trim() == "yes"
}

/// Runs `cargo xtask services ...` and returns what it printed; what it says on stderr goes to the terminal, past the harness.
pub fn services(words: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", "--quiet", "--locked", "--package", "xtask", "--"]);
    let output = cargo.arg("services").args(words).stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "`cargo xtask services {}` failed: stderr says why", words.join(" "));
    String::from_utf8(output.stdout).expect("xtask prints text")
}

/// A service of `cargo xtask services`, stopped when dropped.
pub struct Service<'a> {
    name: &'static str,
    dir: &'a Path,
    pub url: String,
}

impl<'a> Service<'a> {
    pub fn start(name: &'static str, dir: &'a Path, arguments: &[&str]) -> Service<'a> {
        let mut words = vec!["start", name, "--dir", dir.to_str().expect("paths of tests are text")];
        if !arguments.is_empty() {
            words.push("--");
            words.extend(arguments);
        }
        let url = services(&words).split(' ').nth(1).expect("`NAME URL PID`").to_string();
        Service { name, dir, url }
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        services(&["stop", self.name, "--dir", self.dir.to_str().expect("paths of tests are text")]);
    }
}

/// A child that does not outlive its test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// `faultline run` on free ports, built-in defaults otherwise.
pub struct Faultline {
    process: Process,
    said: Arc<Mutex<Vec<String>>>,
    data: PathBuf,
    pub grpc: String,
    pub http: String,
    pub api: String,
}

impl Faultline {
    /// Starts the server with its data and output in `dir`; returns when it listens.
    pub fn start(dir: &Path, options: &[&str]) -> Faultline {
        let (data, out) = (dir.join("data"), std::fs::File::create(dir.join("alerts.txt")).expect("a file"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_faultline"));
        command.arg("run").arg("--data").arg(&data).args(options);
        for port in ["--otlp-grpc", "--otlp-http", "--http"] {
            command.args([port, "127.0.0.1:0"]);
        }
        let mut child = command.current_dir(dir).stdout(out).stderr(Stdio::piped()).spawn().expect("the server starts");
        let said = listen(child.stderr.take().expect("stderr is piped"));
        let process = Process(child);
        let address = |what: &str| {
            let line = await_line(&said, |line| line.trim_start().starts_with(what));
            let rest = line.trim_start()[what.len()..].trim_start().to_string();
            rest.split_whitespace().next().expect("an address follows").to_string()
        };
        let (grpc, http) = (format!("http://{}", address("OTLP gRPC")), address("OTLP HTTP"));
        Faultline { grpc, http, api: address("API"), process, said, data }
    }

    /// Asks the API; `path` begins with a slash.
    pub fn get(&self, path: &str) -> Value {
        get(&self.api, path)
    }

    /// Result of an instant query, as Prometheus shapes it.
    pub fn query(&self, promql: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/query?query={}", escaped(promql)));
        answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{promql}: {answer}")).clone()
    }

    /// What `faultline why` says of the newest incident.
    pub fn why(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_faultline")).args(["why", "--url", &self.api]).output();
        let output = output.expect("faultline why runs");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// Lets `faultline verify` recompute all that was decided, of a server that runs as of one that has ended; what it says.
    pub fn verify(&self) -> String {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_faultline"));
        let output = verify.arg("verify").arg("--data").arg(&self.data).output().expect("faultline verify runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }

    /// Ends the server by SIGTERM, then verifies; what that says.
    pub fn stop_and_verify(mut self) -> String {
        let pid = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let status = await_exit(&mut self.process.0);
        assert!(status.success(), "the server ended with {status}: {:?}", self.said.lock().expect("no panic"));
        self.verify()
    }
}

/// Collects a child's stderr line by line, so that it never blocks on a full pipe.
fn listen(stderr: ChildStderr) -> Arc<Mutex<Vec<String>>> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let shared = said.clone();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            shared.lock().expect("no panic").push(line);
        }
    });
    said
}

fn await_line(said: &Mutex<Vec<String>>, wanted: impl Fn(&str) -> bool) -> String {
    let started = Instant::now();
    loop {
        if let Some(line) = said.lock().expect("no panic").iter().find(|line| wanted(line)) {
            return line.clone();
        }
        assert!(started.elapsed() < START, "the server does not say where it listens: {said:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn await_exit(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        assert!(started.elapsed() < START, "the server does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks until the answer is what is expected, for a while.
pub fn asked_within<T: PartialEq + std::fmt::Debug>(ask: impl Fn() -> T, expected: &T) {
    let started = Instant::now();
    loop {
        let found = ask();
        if found == *expected {
            return;
        }
        assert!(started.elapsed() < START, "{found:?} and not {expected:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The JSON at `path` of a server; fails the test where there is none.
pub fn get(base: &str, path: &str) -> Value {
    let text = text(&format!("{base}{path}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{base}{path}: {error}: {text}"))
}

/// The text at an address; fails the test where there is none.
pub fn text(url: &str) -> String {
    let parsed = Url::parse(url).expect("an address");
    let answer = request(Method::GET, &parsed, &[], Bytes::new(), Limits::default());
    let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Sends an empty POST and expects 200.
pub fn post(url: &str) {
    let url = Url::parse(url).expect("an address");
    let answer = request(Method::POST, &url, &[], Bytes::new(), Limits::default()).expect("an answer");
    assert_eq!(answer.status, 200, "{url}");
}

/// Whether a GET is answered with 200, whatever comes with it.
pub fn answers(url: &str) -> bool {
    let url = Url::parse(url).expect("an address");
    request(Method::GET, &url, &[], Bytes::new(), Limits::default()).is_ok_and(|answer| answer.status == 200)
}

/// Text as a query's value.
pub fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
