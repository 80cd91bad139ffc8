//! `faultline replay` and `faultline diff-state`, the program itself, on a folder that holds the journal of the laws.
use crate::journal::SEED;
use crate::laws::WRITTEN;
use faultline::diff_state::compare;
use faultline::keeper::{Done, Keep, Keeper};
use faultline::replayed::{Replay, Watch};
use faultline::start::Origin;
use faultline::world::{leaves_of, own};
use faultline_engine::{Ask, ENGINE_VERSION, Effect, Effects, Engine};
use faultline_formats::Record;
use faultline_host::{Disk, Journal, ManualClock, RealDisk};
use faultline_model::Kind;
use faultline_model::facts::{AlertState, Decision};
use faultline_storage::{CheckpointStore, DataFolder, SegmentJournal, Settings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// Writes the first `count` records to a new folder, as a server would, checkpoints included. Record `missing` is a tick.
fn folder(path: &Path, count: usize, missing: Option<usize>) -> DataFolder {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = DataFolder::open(disk, path, [7; 16]).expect("a new folder");
    let clock = Arc::new(ManualClock::default());
    let settings = Settings { segment_size: 512 << 10, limit: 512 << 20 };
    let (mut journal, _) = SegmentJournal::open(&folder, settings, clock.clone(), None).expect("a new journal");
    let mut keeper = Keeper::new(CheckpointStore::open(&folder).expect("a new store")).expect("it is empty");
    let (mut engine, mut leaves, mut from) = (Engine::new(SEED), 0, 0);
    let instants = WRITTEN.records[..count].chunk_by(|a, b| a.stamp.millis() == b.stamp.millis());
    for group in instants.flat_map(|instant| instant.chunks(20)) {
        clock.set(group[0].stamp.millis());
        let mut decoded: Vec<_> = group.iter().map(|record| record.decoded.clone()).collect();
        if let Some(at) = missing.and_then(|at| at.checked_sub(from)).filter(|&at| at < group.len()) {
            decoded[at] = own(Kind::Tick, Vec::new(), SEED);
        }
        from += group.len();
        let records = journal.append(decoded).expect("there is room");
        let mut effects = Effects::default();
        engine.step(&records, &mut effects);
        let decided = leaves_of(ENGINE_VERSION, &effects);
        journal.append_leaves(&decided).expect("there is room");
        for effect in &effects.list {
            match effect {
                Effect::Ask(ask, Ask::Hash(at)) => {
                    // Those of records behind it in its group are not counted.
                    let leaves = leaves + effects.decisions().filter(|(id, _)| id.cause <= *at).count() as u64;
                    keeper.take(Keep::Begun { ask: *ask, at: *at, leaves }, false);
                    let state = engine.write_frozen(usize::MAX).expect("it was just asked for");
                    // The answer is among the records.
                    assert!(matches!(keeper.take(Keep::Slice(state), false)[..], [Done::Answer(_, Some(_))]));
                }
                Effect::Decided(_, Decision::Anchor(anchor)) => {
                    assert_eq!(keeper.take(Keep::Anchored { at: anchor.position, leaves: 0 }, false), []);
                }
                _ => {}
            }
        }
        leaves += decided.len() as u64;
    }
    journal.close().expect("the disk is well");
    folder
}

fn faultline(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faultline")).args(args).output().expect("the binary was built")
}

/// Lines of JSON that `replay` prints: decisions, and the summary.
fn replay(data: &Path, more: &[&str]) -> (Vec<Value>, Value) {
    let data = data.to_str().expect("a plain path");
    let output = faultline(&[&["replay", "--data", data, "-o", "json"], more].concat());
    assert!(output.status.success(), "{more:?}: {output:?}");
    assert!(output.stderr.is_empty(), "no progress on a pipe: {output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary = lines.pop().expect("a summary");
    assert_eq!(summary["kind"], "summary");
    (lines, summary)
}

fn files(folder: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it is there").path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.insert(path.clone(), fs::read(&path).expect("it is there"));
        }
    }
}

fn told(decision: &Decision) -> bool {
    matches!(decision, Decision::Alert(_) | Decision::Incident(_) | Decision::Verdict(_))
}

#[test]
fn a_replay_tells_what_was_decided_and_touches_nothing() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = temporary.path().join("data");
    // Its lock is held, as a server would.
    let _held = folder(&data, WRITTEN.records.len(), None);
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    files(&data, &mut before);

    let (all, summary) = replay(&data, &[]);
    assert_eq!(all.len(), WRITTEN.decisions().filter(|decision| told(decision)).count());
    assert_eq!(summary["decided"]["decisions"], WRITTEN.decisions().count());
    assert_eq!(summary["records"], WRITTEN.records.len());

    // Two ranges that meet are the whole, wherever they do and whatever checkpoint the second begins with.
    let records = &WRITTEN.records;
    for at in [1, 700, records.len() / 2, records.len() - 300, records.len() - 1] {
        let (until, from) = (records[at - 1].at.to_string(), records[at].at.to_string());
        let (mut first, head) = replay(&data, &["--to", &until]);
        let (second, tail) = replay(&data, &["--from", &from]);
        assert_eq!([&head["to"], &tail["from"]], [&until, &from]);
        first.extend(second);
        assert!(first == all, "cut at {at}");
    }
    let time = records[records.len() / 3].stamp.millis();
    let within = records.iter().filter(|record| record.stamp.millis() == time).count();
    let (_, summary) = replay(&data, &["--from", &time.to_string(), "--to", &time.to_string()]);
    assert_eq!(summary["records"], within);
    let last = records[records.len() - 1].stamp.millis();
    let newest = records.iter().filter(|record| last.since(record.stamp.millis()) <= 5_000).count();
    let (_, summary) = replay(&data, &["--from", "-5s", "--speed", "1000"]);
    assert_eq!(summary["records"], newest);

    files(&data, &mut after);
    assert!(before == after, "the folder was written to");
}

/// Alerts that fired, each once, also where its source was silent in between.
fn that_fired() -> u64 {
    let fires = |it: &Decision| match it {
        Decision::Alert(t) => (t.to == AlertState::Firing).then_some((t.alert, t.occurrence)),
        _ => None,
    };
    WRITTEN.decisions().filter_map(fires).collect::<BTreeSet<_>>().len() as u64
}

#[test]
fn other_rules_are_held_against_what_was() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = temporary.path().join("data");
    let _held = folder(&data, WRITTEN.records.len(), None);
    let file = temporary.path().join("mine.yml");
    let fired = that_fired();
    let replies = WRITTEN.records.iter().filter(|it| matches!(it.decoded.payload.kind, Kind::Reply(_))).count();
    let never = "groups:\n- name: g\n  rules:\n  - alert: Never\n    expr: vector(0) > 1\n";
    let always = "groups:\n- name: g\n  rules:\n  - alert: Always\n    expr: vector(1)\n";
    let quick = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Busy\n    expr: rate(\
                 traces_span_metrics_calls_total{span_kind=\"SPAN_KIND_SERVER\"}[10s]) > 8\n    for: 3s\n";
    let check = |rules: &str, builtin: bool, expected: &dyn Fn(u64, u64, u64, u64)| {
        fs::write(&file, rules).expect("it can be written");
        let mut more = vec!["--rules", file.to_str().expect("a plain path")];
        more.extend((!builtin).then_some("--no-builtin-rules"));
        let (lines, summary) = replay(&data, &more);
        let count = |name: &str| summary["compared"][name].as_u64().expect("a number");
        let (same, moved, here, there) = (count("same"), count("moved"), count("only_here"), count("only_there"));
        assert_eq!(same + moved + there, fired, "{summary}");
        assert_eq!((same + moved + here).to_string(), summary["decided"]["fired"].to_string());
        assert_eq!((&summary["journal"]["fired"], &summary["answers_passed_over"]), (&fired.into(), &replies.into()));
        assert!(lines.iter().all(|line| line["kind"] != "verdict"));
        expected(same, moved, here, there);
    };
    check(never, false, &|same, moved, here, there| assert_eq!((same, moved, here, there), (0, 0, 0, fired)));
    check(always, false, &|same, moved, here, _| assert!((same, moved) == (0, 0) && here > 0));
    // The journal's own rule until it was changed: what it told then is told again at the same instants.
    check(quick, false, &|same, _, _, _| assert!(same > 0));

    fs::write(&file, "groups:\n- name: g\n  rules:\n  - alert: X\n    expr: sum((\n").expect("it can be written");
    let (data, file) = (data.to_str().expect("a plain path"), file.to_str().expect("a plain path"));
    let refused = faultline(&["replay", "--data", data, "--rules", file]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("mine.yml:5:"), "{refused:?}");
}

#[test]
fn rules_are_tried_on_what_was_received() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = temporary.path().join("data");
    let _held = folder(&data, WRITTEN.records.len(), None);
    let file = |name: &str, rule: &str| {
        let path = temporary.path().join(name);
        fs::write(&path, format!("groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: {rule}\n"))
            .expect("it can be written");
        path.to_str().expect("a plain path").to_string()
    };
    let calls = "rate(traces_span_metrics_calls_total{span_kind=\"SPAN_KIND_SERVER\"}[10s])";
    let busy = file("busy.yml", &format!("Busy\n    expr: {calls} > 8\n    for: 3s"));
    let later = file("later.yml", &format!("Busy\n    expr: {calls} > 8\n    for: 9s"));
    let always = file("always.yml", "Always\n    expr: vector(1)");
    let path = data.to_str().expect("a plain path");
    let run = |words: &[&str]| {
        let output = faultline(&[&["rules"], words, &["--data", path, "-o", "json"]].concat());
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().expect("it exits"), report)
    };
    let count = |report: &Value, name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));

    let (code, report) = run(&["backtest", &busy]);
    let fired = count(&report, "firings");
    let (_, replayed) = replay(&data, &["--rules", &busy, "--no-builtin-rules"]);
    assert_eq!((code, Value::from(fired)), (0, replayed["decided"]["fired"].clone()));
    assert!(fired > 1 && report["alerts"][0]["firing_seconds"].as_f64() > Some(0.0), "{report}");
    let (_, all) = run(&["backtest", &always]);
    assert_eq!((count(&all, "firings"), all["alerts"][0]["flaps"].clone()), (1, 0.into()), "{all}");

    let (code, same) = run(&["diff", &busy, "--against", &busy]);
    assert_eq!((code, count(&same, "same"), same["firings"].as_array().map(Vec::len)), (0, fired, Some(0)), "{same}");
    let (code, moved) = run(&["diff", &later, "--against", &busy]);
    assert_eq!((code, count(&moved, "appear"), count(&moved, "same")), (1, 0, 0), "{moved}");
    assert_eq!(count(&moved, "move") + count(&moved, "vanish"), fired, "{moved}");
    let ((code, other), was) = (run(&["diff", &always]), that_fired());
    assert_eq!((code, count(&other, "appear"), count(&other, "vanish")), (1, 1, was), "{other}");

    let text = faultline(&["rules", "backtest", &busy, "--data", path]);
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    assert!(text.contains("WHEN") && text.contains("Busy"), "{text}");
}

#[test]
fn states_are_compared_at_a_position() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let paths = ["a", "b", "c"].map(|name| temporary.path().join(name));
    let records = &WRITTEN.records;
    let telemetry = |at: &usize| matches!(records[*at].decoded.payload.kind, Kind::Telemetry { .. });
    let lost = (0..records.len() - 400).rev().find(telemetry).expect("there is telemetry");
    let _whole = folder(&paths[0], records.len(), None);
    let _shorter = folder(&paths[1], records.len() - 100, None);
    let _other = folder(&paths[2], records.len(), Some(lost));
    let [a, b, c] = paths.each_ref().map(|path| path.to_str().expect("a plain path"));
    let at = |record: usize| records[record].at.to_string();
    let check = |args: &[&str], code: i32, says: &str| {
        let output = faultline(&[&["diff-state"], args].concat());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said:?} does not say {says:?}");
    };
    // At the last record that both have.
    check(&[a, b], 0, &format!("after {}", at(records.len() - 101)));
    check(&[a, a, "-o", "json"], 0, &WRITTEN.last_state.digest().hex());
    check(&[a, c, "--at", &at(lost - 1)], 0, "equal");
    check(&[a, c, "--at", &at(lost)], 1, "different");
    check(&[a, "--at", &at(90), "--at", &at(91)], 1, "rule time");
    check(&[a, "--at", &at(90), "--at", &at(90)], 0, "equal");
    check(&[a, b, "--at", &at(records.len() - 1)], 2, "the journal ends before record");
    check(&[a], 2, "give --at twice");
    check(&[a, "nowhere"], 2, "nowhere");
}

#[test]
fn a_series_that_differs_is_named_with_its_samples() {
    let mut engine = Engine::new(SEED);
    engine.step(&WRITTEN.records[..WRITTEN.records.len() - 50], &mut Effects::default());
    let (whole, earlier) = (&WRITTEN.last_state, engine.checkpoint());
    let differs = |page: &&faultline_engine::Page| {
        page.name.starts_with("series/") && earlier.pages.iter().any(|it| it.name == page.name && it != *page)
    };
    let page = whole.pages.iter().find(differs).expect("telemetry came in between").name.clone();
    let mut mixed = whole.clone();
    let of = earlier.pages.iter().find(|it| it.name == page).expect("it is in both");
    *mixed.pages.iter_mut().find(|it| it.name == page).expect("it is in both") = of.clone();
    let found = compare(whole, &mixed).expect("the pages read").expect("one page is another");
    assert_eq!((&found.page, found.pages), (&page, 1));
    println!("{found:?}");
    assert!(
        found.place.starts_with("row ") && found.place.contains("{") && found.first.contains("samples"),
        "{found:?}"
    );
    assert_eq!(compare(whole, whole).expect("the pages read"), None);
}

/// From the newest, from the oldest alone, from none: the same state and the same leaves.
#[test]
fn without_the_newer_checkpoints_nothing_is_lost() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = folder(&temporary.path().join("data"), WRITTEN.records.len(), None);
    let store = CheckpointStore::inspect(&folder);
    let mut kept = store.offsets().expect("it reads");
    assert_eq!(kept.len(), 2);
    loop {
        let segments = SegmentJournal::inspect(&folder, None).expect("it reads").segments;
        let reader = || segments.reader();
        let origin = Origin::latest(&folder, &reader);
        let mut replay = Replay::new(&origin).expect("a state");
        assert_eq!(replay.last.map(|last| last.offset), kept.last().copied(), "begun with the newest");
        replay.run(&origin, &mut Nobody).expect("leaves are as decided");
        assert_eq!(replay.engine.checkpoint().digest(), WRITTEN.last_state.digest(), "{kept:?}");
        let Some(newest) = kept.pop() else { return };
        fs::remove_file(folder.path().join(format!("checkpoints/checkpoint-{newest:016x}"))).expect("it is there");
    }
}

struct Nobody;

impl Watch for Nobody {
    fn stepped(&mut self, _: &Record, _: Effects) {}
    fn leaves(&mut self, _: u64, _: &[Box<[u8]>]) {}
}
