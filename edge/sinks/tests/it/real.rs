//! The real Alertmanager: `cargo xtask services start alertmanager`.
use crate::ledger::{Ledger, Place, alert};
use bytes::Bytes;
use faultline_host::{Clock, SystemClock};
use faultline_model::Millis;
use faultline_model::facts::AlertState::{Firing, Ok as Resolved, Pending};
use faultline_sinks::http::{Limits, Url, request};
use faultline_sinks::{Alertmanager, Options};
use http::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Until an alert is there: one try again waits up to 10 s, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `cargo xtask services ...` and returns what it printed; what it says on stderr goes to the terminal, past the harness.
fn services(words: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", "--quiet", "--locked", "--package", "xtask", "--"]);
    let output = cargo.arg("services").args(words).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "`cargo xtask services {}` failed: stderr says why", words.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Stops the server whatever happens to the test.
struct Server<'a> {
    dir: &'a Path,
    url: String,
}

impl Server<'_> {
    fn start(dir: &Path) -> Server<'_> {
        let line = services(&["start", "alertmanager", "--dir", dir.to_str().unwrap()]);
        Server { dir, url: line.split(' ').nth(1).unwrap().to_owned() }
    }

    /// Names of the alerts that are active there, sorted, awaited.
    fn await_active(&self, expected: &[&str]) -> Vec<Value> {
        let url = Url::parse(&self.url).unwrap().join("/api/v2/alerts").unwrap();
        let started = Instant::now();
        loop {
            let answer = request(Method::GET, &url, &[], Bytes::new(), Limits::default()).unwrap();
            let mut alerts: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
            let name = |alert: &Value| alert["labels"]["alertname"].as_str().unwrap().to_owned();
            alerts.sort_by_key(name);
            if alerts.iter().map(name).collect::<Vec<_>>() == expected {
                return alerts;
            }
            assert!(started.elapsed() < PATIENCE, "expected {expected:?}: {alerts:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        services(&["stop", "alertmanager", "--dir", self.dir.to_str().unwrap()]);
    }
}

#[test]
fn the_real_alertmanager_holds_what_we_decided() {
    if services(&["need", "alertmanager"]).trim() != "yes" {
        return;
    }
    let dir: PathBuf = std::env::temp_dir().join(format!("faultline-sinks-{}", std::process::id()));
    let server = Server::start(&dir);
    let ledger = Arc::new(Ledger::default());
    let (url, shared) = (server.url.clone(), ledger.clone());
    let sink = std::thread::spawn(move || {
        let mut sink = Alertmanager::new(&url, Options::default()).unwrap();
        faultline_sinks::run(&*shared, &mut Place::default(), &mut sink, &SystemClock::default()).unwrap();
    });
    let now = || SystemClock::default().now();
    let fired: Millis = now();
    ledger.push(alert("stays", 1, Pending, Firing, fired, 30_000));
    ledger.push(alert("ends", 2, Pending, Firing, fired, 30_000));
    let active = server.await_active(&["ends", "stays"]);
    let labels = serde_json::json!({"alertname": "stays", "severity": "page", "site": "eu"});
    assert_eq!(active[1]["labels"], labels);
    assert_eq!(active[1]["startsAt"], fired.to_string());
    ledger.push(alert("ends", 2, Firing, Resolved, now(), 0));
    server.await_active(&["stays"]);

    // Killed: alerts that change meanwhile are there, in their latest state, soon after it is back.
    drop(server);
    ledger.push(alert("during", 3, Pending, Firing, now(), 0));
    ledger.push(alert("flap", 4, Pending, Firing, now(), 0));
    std::thread::sleep(Duration::from_millis(300));
    ledger.push(alert("flap", 4, Firing, Resolved, now(), 0));
    ledger.push(alert("late", 5, Pending, Firing, now(), 0));
    let server = Server::start(&dir);
    // "stays" had been taken, but Alertmanager forgets alerts when it ends.
    server.await_active(&["during", "late", "stays"]);
    ledger.stop();
    sink.join().unwrap();
    drop(server);
    std::fs::remove_dir_all(dir).unwrap();
}
