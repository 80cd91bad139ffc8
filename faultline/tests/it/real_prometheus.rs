//! Prometheus scraping this machine and writing to us, one rule file evaluated by both: the same alerts.
//!
//! What Prometheus scrapes is its own metrics and those of node-exporter. A script moves figures in node-exporter's text files,
//! and does things to the machine that its own figures tell of. Both servers are asked for their alerts while that goes on,
//! and both send to an Alertmanager's double. `docs/guides/prometheus.md` shows the configuration used here.
use crate::real_alerts::{Notified, Receiver, Watch, check};
use crate::real_script::{Figures, LENGTH, play};
use crate::real_tools::{Faultline, Service, post, wanted};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Rules that both evaluate, every form of alert at least once; `BOOT` is when this machine will have been up for so long.
const RULES: &str = include_str!("real_rules.yml");
/// Rules on this machine's own figures that must fire and resolve, at least.
const OWN: usize = 10;
/// Until ranges are full and Prometheus has read its configuration.
const CALM: Duration = Duration::from_secs(14);
/// Between two looks at both.
const LOOK: Duration = Duration::from_millis(200);
/// The longest interval of the rules' groups.
const INTERVAL: Duration = Duration::from_secs(2);

#[test]
fn prometheus_and_we_raise_the_same_alerts() {
    if !wanted(&["prometheus", "node-exporter"]) {
        return;
    }
    let (text, own) = RULES.split_once("- name: machine").expect("this group comes last");
    let (names, own) = (alerts(text), alerts(own));
    assert!(own.len() >= OWN, "{own:?}");

    let dir = tempfile::tempdir().expect("a folder");
    let texts = dir.path().join("texts");
    fs::create_dir(&texts).expect("a folder");
    let figures = Figures::begin(&texts);
    let flag = format!("--collector.textfile.directory={}", texts.display());
    let node = Service::start("node-exporter", dir.path(), &[&flag]);
    let rules = dir.path().join("rules.yml");
    fs::write(&rules, RULES.replace("BOOT", &up(&node.url, CALM).to_string())).expect("a file");
    let (theirs, ours) = (Receiver::start(), Receiver::start());
    let options = ["--no-builtin-rules", "--rules", rules.to_str().expect("text"), "--alertmanager", &ours.url];
    let server = Faultline::start(dir.path(), &options);
    let prometheus = prometheus(dir.path(), &node, &server, &rules, &theirs);

    let (started, script) = (Instant::now(), play(figures, CALM, &prometheus.url, &node.url));
    // Before its first scrape Prometheus holds all for absent; we wait for it to catch up before we hold anything so.
    thread::sleep(CALM - LOOK * 10);
    let mut watch = Watch::new(&prometheus.url, &server.api);
    while started.elapsed() < CALM + LENGTH {
        let due = Instant::now() + LOOK;
        watch.look();
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    script.join().expect("the script has been played");
    check(&watch, &names.union(&own).copied().collect(), INTERVAL);
    let (theirs, ours): (Notified, Notified) = (theirs.notified(), ours.notified());
    assert_eq!(theirs, ours, "labels of what an Alertmanager was sent, and whether each ended");
    assert!(ours.values().all(|&over| over), "{ours:?}");
    assert_eq!(server.get("/api/faultline/v1/status")["rejects"], serde_json::json!({}));
    drop((prometheus, node));
    server.stop_and_verify();
}

/// Names of the alerts in the text of a rule file.
fn alerts(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
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
