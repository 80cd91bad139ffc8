//! What happens to the binary in each run: which folder it starts on, what it is sent, and how it is stopped.
use crate::kill::{body, large_body};
use bytes::Bytes;
use faultline_sinks::http::{Client, HttpError, Limits, Url};
use http::Method;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a start, an answer, or an end may take before the process hangs: many run at once, some under strace, perhaps beside
/// a build that takes every core for a minute.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How long a run with a fault waits for the first checkpoint: the fault may prevent it.
pub const CHECKPOINT: Duration = Duration::from_secs(4);
/// Small bodies of a run.
const BODIES: usize = 6;
/// Large ones before a run of the scene `full`: most of a segment;
const LARGE_BEFORE: usize = 26;
/// and in it: on into the next segment.
const LARGE: usize = 12;

const RULES: &str = "\
groups:
- name: own
  interval: 1s
  rules:
  - alert: Sent
    expr: load_sent_total > 12
    labels: {service: load}
";
const CONFIG: &str = "rules:\n  evaluation: stream\n";

/// A beginning: a folder to start on.
pub struct Scene {
    pub name: &'static str,
    /// Copied for each run; none where the process makes its folder.
    template: Option<PathBuf>,
    /// Numbers acknowledged while the template was made.
    pub before: Vec<i64>,
    large: usize,
}

/// What a run's sender saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// First numbers of the bodies that were acknowledged.
    pub acknowledged: Vec<i64>,
    /// What must not be; none where all is well.
    pub wrong: Option<String>,
}

/// Every scene; the templates are made under `base`.
pub fn scenes(base: &Path) -> Vec<Scene> {
    let template = |name: &str, large| {
        let folder = base.join(format!("template-{name}"));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let mut process = Process::start(&folder, &[]);
        let addresses = process.addresses().expect("nothing is injected");
        let seen = send(&mut process, &addresses, 0, large);
        assert_eq!((seen.acknowledged.len(), &seen.wrong), (BODIES, &None), "nothing is injected");
        // Not stopped: the next start has something to repair.
        process.kill();
        (folder.join("data"), seen.acknowledged)
    };
    let scene = |name, before, large| {
        let (folder, acknowledged) = template(name, before);
        Scene { name, template: Some(folder), before: acknowledged, large }
    };
    vec![Scene::new(), scene("again", 0, 0), scene("full", LARGE_BEFORE, LARGE)]
}

impl Scene {
    /// No folder at all.
    pub fn new() -> Scene {
        Scene { name: "new", template: None, before: Vec::new(), large: 0 }
    }

    /// Begins a run in `dir`.
    pub fn set(&self, dir: &Path) {
        fs::create_dir_all(dir).expect("a folder can be made");
        if let Some(template) = &self.template {
            // The zeros of prepared segments take no room.
            let mut copy = Command::new("cp");
            copy.args(["-r", "--sparse=always"]).arg(template).arg(dir.join("data"));
            assert!(copy.status().expect("cp runs").success());
        }
    }

    /// Runs the process to its end under `strace ARGUMENTS`, sending what the scene sends.
    ///
    /// - `checkpoint`: how long the first checkpoint may take.
    pub fn run(&self, dir: &Path, strace: &[String], checkpoint: Duration) -> (Seen, Process) {
        let mut process = Process::start(dir, strace);
        let Some(addresses) = process.addresses() else {
            let hangs = process.status().is_none();
            let wrong = hangs.then(|| format!("it neither listens nor ends\n{}", process.threads()));
            process.kill();
            return (Seen { wrong, ..Seen::default() }, process);
        };
        let mut seen = send(&mut process, &addresses, 1_000, self.large);
        // The first checkpoint is written once a signed head covers it: about a second later.
        let until = Instant::now() + checkpoint;
        // In a new folder a draft is none yet: a stop drops it. In the others what was there before is enough.
        let old = self.template.is_some();
        let is_whole = |entry: fs::DirEntry| old || !entry.file_name().to_string_lossy().ends_with(".new");
        let written = || fs::read_dir(dir.join("data/checkpoints")).is_ok_and(|list| list.flatten().any(is_whole));
        while process.status().is_none() && !written() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        if process.status().is_none() {
            process.terminate();
            if process.ended_within(PATIENCE).is_none() {
                seen.wrong = Some(format!("it does not end on SIGTERM\n{}", process.threads()));
                process.kill();
            }
        }
        (seen, process)
    }
}

/// Sends the scene's bodies, each until it is acknowledged or the process has ended.
fn send(process: &mut Process, addresses: &Addresses, first: i64, large: usize) -> Seen {
    let (mut seen, mut last) = (Seen::default(), 0);
    let client = Client::new(Limits { overall: PATIENCE / 2, ..Limits::default() }).expect("a runtime");
    let path = |url: &Url, path: &str| url.join(path).expect("a path");
    let (metrics, logs) = (path(&addresses.otlp, "/v1/metrics"), path(&addresses.otlp, "/v1/logs"));
    let mut deliver = |url: &Url, body: Vec<u8>| deliver(process, &client, url, body.into());
    for number in 0..BODIES {
        let numbers = first + 5 * number as i64;
        let mut sent = deliver(&metrics, body(0, numbers, &mut last));
        if let Ok(true) = sent {
            seen.acknowledged.push(numbers);
        }
        for number in 0..if number == BODIES / 2 { large } else { 0 } {
            if let Ok(true) = sent {
                sent = deliver(&logs, large_body(number));
            }
        }
        match sent {
            Ok(true) => {}
            Ok(false) => return seen,
            Err(wrong) => {
                seen.wrong = Some(wrong);
                return seen;
            }
        }
    }
    let text = r#"{"entity":"load","kind":"deploy","title":"v2"}"#;
    let json = [("content-type", "application/json")];
    // Whether it is taken is not asked: the numbers tell.
    let _answer = client.request(Method::POST, &path(&addresses.api, "/api/faultline/v1/changes"), &json, text.into());
    seen
}

/// Sends one body until it is acknowledged, or false where the process has ended; the error is what must not be.
fn deliver(process: &mut Process, client: &Client, url: &Url, body: Bytes) -> Result<bool, String> {
    let headers = [("content-type", "application/x-protobuf")];
    let until = Instant::now() + PATIENCE;
    loop {
        match client.request(Method::POST, url, &headers, body.clone()) {
            Ok(answer) if answer.status == 200 => return Ok(true),
            Err(HttpError::Timeout { .. }) => return Err("it does not answer".into()),
            _ if process.status().is_some() => return Ok(false),
            // Busy, full, or ending: it says so, and for a moment only.
            _ if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
            Ok(answer) => return Err(format!("it goes on, and takes nothing: {}", answer.status)),
            Err(error) => return Err(format!("it goes on, and takes nothing: {error}")),
        }
    }
}

/// Where it listens.
pub struct Addresses {
    otlp: Url,
    api: Url,
}

/// A process of the binary, killed when dropped.
pub struct Process {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    listener: Option<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts the binary in `dir`, under strace where there is something to tell it.
    pub fn start(dir: &Path, strace: &[String]) -> Process {
        fs::write(dir.join("own.yml"), RULES).expect("a file can be written");
        fs::write(dir.join("faultline.yaml"), CONFIG).expect("a file can be written");
        let binary = env!("CARGO_BIN_EXE_faultline");
        let mut command = match strace {
            [] => Command::new(binary),
            _ => {
                let mut command = Command::new("strace");
                // The tracer is the grandchild: the child is the binary, with its own exit status.
                command.args(["-D", "-f", "-q", "-o"]).arg(dir.join("trace")).args(strace).arg(binary);
                command
            }
        };
        command.args(["run", "--rules", "own.yml", "--data"]).arg(dir.join("data"));
        for port in ["--otlp-grpc", "--otlp-http", "--http"] {
            command.args([port, "127.0.0.1:0"]);
        }
        command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built, and strace is there");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let said = Arc::new(Mutex::new(Vec::new()));
        let shared = said.clone();
        let listener = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                shared.lock().expect("no holder panics").push(line);
            }
        });
        Process { child, said, listener: Some(listener) }
    }

    /// Waits for the banner; none where the process ends first, or says nothing for too long.
    pub fn addresses(&mut self) -> Option<Addresses> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let url = |what: &str| {
                let said = self.said.lock().expect("no holder panics");
                let line = said.iter().find(|line| line.trim_start().starts_with(what))?;
                Url::parse(line.split_whitespace().find(|word| word.starts_with("http://"))?).ok()
            };
            if let (Some(otlp), Some(api)) = (url("OTLP HTTP"), url("API")) {
                return Some(Addresses { otlp, api });
            }
            if self.status().is_some() {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it was started here")
    }

    fn ended_within(&mut self, time: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + time;
        while self.status().is_none() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        self.status()
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        // It may have ended meanwhile.
        let _status = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status().expect("kill runs");
    }

    fn kill(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What each of its threads is doing: its name, its state, and the system call that it is in.
    fn threads(&self) -> String {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        let about = |task: std::io::Result<fs::DirEntry>| {
            let path = task.ok()?.path();
            let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
            let status = read("status");
            let line = |key: &str| status.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_string();
            Some(format!("{}, {}, {}, in {}", line("Name"), line("State"), line("SigPnd"), read("syscall").trim()))
        };
        tasks.into_iter().flatten().filter_map(about).collect::<Vec<String>>().join("\n")
    }

    /// What it wrote on its standard error: to the end, where it has ended.
    pub fn said(&mut self) -> String {
        if self.status().is_some()
            && let Some(listener) = self.listener.take()
        {
            listener.join().expect("a listener does not panic");
        }
        self.said.lock().expect("no holder panics").join("\n")
    }

    /// Sends one more body, which must be acknowledged, and ends the process, which must end cleanly.
    pub fn answers_and_ends(&mut self, first: i64) -> Result<(), String> {
        let Some(addresses) = self.addresses() else {
            return Err(format!("it does not start again: {}", self.said()));
        };
        let seen = send(self, &addresses, first, 0);
        if let Some(wrong) = seen.wrong {
            return Err(format!("started again, {wrong}"));
        }
        if seen.acknowledged.len() < BODIES {
            return Err(format!("started again, it ends by itself: {}", self.said()));
        }
        self.terminate();
        match self.ended_within(PATIENCE) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("started again, it ends with {status}: {}", self.said())),
            None => Err(format!("started again, it does not end on SIGTERM\n{}", self.threads())),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
