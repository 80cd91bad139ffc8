//! Prometheus scraping this machine and writing to us, one rule file evaluated by both: the same alerts.
//!
//! What Prometheus scrapes is its own metrics and those of node-exporter, among them figures of ours in node-exporter's
//! text files, which follow a script. Both servers are asked for their alerts while that goes on, and both send to an
//! Alertmanager's double. `docs/guides/prometheus.md` shows the configuration used here.
use crate::real_alerts::{Notified, Receiver, Seen, check};
use crate::real_script::{LENGTH, Script};
use crate::real_tools::{Faultline, Service, post, wanted};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Rules that both evaluate, every form of alert at least once; `BOOT` is when this machine will have been up for so long.
const RULES: &str = include_str!("real_rules.yml");
/// Alerts of the file: all of them must fire and resolve.
const ALERTS: usize = 18;
/// Until ranges are full and Prometheus has read its configuration.
const CALM: Duration = Duration::from_secs(14);
/// Between two looks at both.
const LOOK: Duration = Duration::from_millis(200);
/// The groups' interval, and what a sample takes from the scrape over Prometheus' log and the network to us.
const APART: Duration = Duration::from_millis(1_000 + 2_000);

#[test]
fn prometheus_and_we_raise_the_same_alerts() {
    let Some(_alone) = wanted("Prometheus and node-exporter against the server, about 2 minutes") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let texts = dir.path().join("texts");
    fs::create_dir(&texts).expect("a folder");
    let mut script = Script::begin(&texts);
    let flag = format!("--collector.textfile.directory={}", texts.display());
    let node = Service::start("node-exporter", dir.path(), &[&flag]);
    let rules = dir.path().join("rules.yml");
    fs::write(&rules, RULES.replace("BOOT", &up(&node.url, CALM).to_string())).expect("a file");
    let (theirs, ours) = (Receiver::start(), Receiver::start());
    let options = ["--no-builtin-rules", "--rules", rules.to_str().expect("text"), "--alertmanager", &ours.url];
    let server = Faultline::start(dir.path(), &options);
    let prometheus = prometheus(dir.path(), &node, &server, &rules, &theirs);

    let started = Instant::now();
    let (mut at_theirs, mut at_ours) = (Seen::default(), Seen::default());
    while started.elapsed() < CALM + LENGTH {
        let due = Instant::now() + LOOK;
        script.play(started.elapsed().saturating_sub(CALM), &prometheus.url, &node.url);
        // Before its first scrape Prometheus holds all for absent; we wait for it to catch up before we hold anything so.
        if started.elapsed() > CALM - LOOK * 10 {
            at_theirs.look(&prometheus.url);
            at_ours.look(&server.api);
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    check(at_theirs.occurrences(), at_ours.occurrences(), ALERTS, APART);
    let (theirs, ours): (Notified, Notified) = (theirs.notified(), ours.notified());
    assert_eq!(theirs, ours, "labels of what an Alertmanager was sent, and whether each ended");
    assert!(ours.len() >= ALERTS && ours.values().all(|&over| over), "{ours:?}");
    assert_eq!(server.get("/api/faultline/v1/status")["rejects"], serde_json::json!({}));
    drop((prometheus, node));
    server.stop_and_verify();
}

/// Prometheus with both targets, writing to us; it learns its own address once it is up, so its configuration is read twice.
fn prometheus<'a>(
    dir: &'a Path,
    node: &Service<'_>,
    server: &Faultline,
    rules: &Path,
    receiver: &Receiver,
) -> Service<'a> {
    let target = |url: &str| url.trim_start_matches("http://").to_string();
    let write = |own: &str| {
        let text = include_str!("real_prometheus.yml")
            .replace("RULES", rules.to_str().expect("text"))
            .replace("NODE", &target(&node.url))
            .replace("SELF", &target(own))
            .replace("ALERTMANAGER", &target(&receiver.url))
            .replace("FAULTLINE", &server.api);
        fs::write(dir.join("prometheus.yml"), text).expect("a file");
    };
    write("127.0.0.1:9090");
    let prometheus = Service::start("prometheus", dir, &[]);
    write(&prometheus.url);
    post(&format!("{}/-/reload", prometheus.url));
    prometheus
}

/// For how long this machine will have been up when the script begins, in seconds.
fn up(node: &str, calm: Duration) -> u64 {
    let text = crate::real_tools::text(&format!("{node}/metrics"));
    let boot = text.lines().find_map(|line| line.strip_prefix("node_boot_time_seconds ")).expect("it is exported");
    let boot: f64 = boot.parse().expect("a number");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    (now.as_secs_f64() - boot + calm.as_secs_f64()) as u64
}
