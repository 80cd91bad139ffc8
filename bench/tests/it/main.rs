//! The program as a whole, against its own sink in the server's place: what it prints, keeps and refuses.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_faultline-bench");

fn bench(folder: &Path, words: &[&str]) -> Output {
    Command::new(PROGRAM).args(words).current_dir(folder).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program that takes the words of `faultline run` and is the sink, as slow as told.
fn server(folder: &Path, events_per_second: u32) -> String {
    let path = folder.join("server");
    let script = format!(
        "#!/bin/sh\nfor last; do :; done\nexec {PROGRAM} sink --slow-to {events_per_second} --alertmanager \"$last\"\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn the_generator_is_measured_against_the_sink() {
    let folder = tempfile::tempdir().unwrap();
    let words =
        ["generator", "--seconds", "1", "--series", "2000", "--senders", "2", "--rate", "60000", "--crossings", "50"];
    let output = bench(folder.path(), &words);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(" 0 missed") && !text.contains(": 0 sent"), "{text}");
}

#[test]
fn a_server_of_known_speed_is_measured_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), 160_000);
    let words = [
        "ingest",
        "--quick",
        "--seconds",
        "1",
        "--series",
        "2000",
        "--senders",
        "2",
        "--crossings",
        "20",
        "--save",
        "smoke",
    ];
    let output = bench(folder.path(), &[&words[..], &["--server", &server]].concat());
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("sustained rate") && text.contains("p99.9"), "{text}");
    let kept: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("bench/results/smoke.json")).unwrap()).unwrap();
    let rate = kept["sustained"]["rate"].as_f64().unwrap();
    assert!((5_000.0..=190_000.0).contains(&rate), "{rate}: {text}");
    assert_eq!(kept["detection"]["missed"], 0, "{text}");
    assert_eq!(kept["detection"]["from_last_byte_us"]["count"], kept["detection"]["crossings"]);
    assert!(kept["memory"]["filled"]["resident_bytes"].as_u64().unwrap() > 100_000);
    let events = kept["sustained"]["applied_per_second"].as_f64().unwrap();
    assert!((events / rate - 1.0).abs() < 0.2, "{events} applied of {rate}");
}

#[test]
fn memory_mode_sends_without_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), 1_000_000);
    let words =
        ["ingest", "--memory", "--seconds", "1", "--series", "5000", "--senders", "1", "--rate", "20000", "--gzip"];
    let output = bench(folder.path(), &[&words[..], &["--server", &server]].concat());
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("server memory, series filled") && !text.contains("detection"), "{text}");
}

#[test]
fn overload_tells_memory_each_second() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), 1_000_000);
    let words = ["ingest", "--overload", "--seconds", "3", "--series", "5000", "--senders", "2"];
    let output = bench(folder.path(), &[&words[..], &["--server", &server]].concat());
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let line = |second: u32| text.lines().find(|line| line.starts_with(&format!("{second},"))).map(str::to_owned);
    let figures: Vec<String> = line(1).expect("a line for the first second").split(',').map(str::to_owned).collect();
    assert!(figures.len() == 4 && figures[1].parse::<u64>().unwrap() > 0 && figures[3] == "0", "{text}");
    assert!(text.contains("offered 1.0 times what was applied") && text.contains("resident after a third"), "{text}");
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = bench(folder.path(), &["ingest", "--quick", "--server", "nowhere/faultline"]);
    assert!(!output.status.success() && text(&output).contains("cargo build --release"), "{}", text(&output));
    let output = bench(folder.path(), &["ingest", "--series", "1"]);
    assert!(!output.status.success() && text(&output).contains("--series"), "{}", text(&output));
    for (command, option) in
        [("ingest", "--memory"), ("checkpoints", "--pairs"), ("restart", "--events"), ("replay", "--times")]
    {
        let help = text(&bench(folder.path(), &[command, "--help"]));
        assert!(help.contains("How it goes") && help.contains(option), "{help}");
    }
    // The sink keeps nothing and takes no wish: what it says instead is told.
    let server = server(folder.path(), 1_000_000);
    let words = ["restart", "--series", "1000", "--senders", "1", "--events", "1", "--server", &server];
    let output = bench(folder.path(), &words);
    assert!(!output.status.success() && text(&output).contains("asked for a checkpoint"), "{}", text(&output));
    // It replays nothing either.
    let words = ["replay", "--series", "1000", "--senders", "1", "--seconds", "0.5", "--server", &server];
    let output = bench(folder.path(), &words);
    assert!(!output.status.success() && text(&output).contains("no summary"), "{}", text(&output));
}
