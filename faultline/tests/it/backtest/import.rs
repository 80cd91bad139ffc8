//! `faultline import prometheus`: what Prometheus' blocks hold is what rules are tried on, and what is left out is told.
//!
//! The blocks are those of `edge/tsdb/tests/fixtures`, whose reading is tested there beside Prometheus' own.
use faultline_host::RealDisk;
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use faultline_promql::{MatchOp, Matcher};
use faultline_serve::recent::past::Past;
use faultline_serve::recent::select::Points;
use faultline_tsdb::{Block, Meta, Next};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// Samples and histograms by series.
pub type All = BTreeMap<Labels, (Vec<Sample>, Vec<HistogramSample>)>;

/// What is in a folder of our blocks.
pub fn held(folder: &Path) -> All {
    let past = Past::open(&RealDisk, folder).expect("a folder of blocks");
    let any = Matcher::new("__name__", MatchOp::Regex, ".*").expect("a pattern");
    let (from, to) = (Millis(i64::MIN / 4), Millis(i64::MAX / 4));
    let series = past.select(&[any], from, to, usize::MAX).expect("there is room");
    let (mut all, mut cursor) = (All::new(), past.cursor(&series));
    for series in series {
        let mut points = Points::default();
        past.read(&series, from, to, &mut cursor, &mut points);
        all.insert(series.labels.clone(), (points.samples, points.histograms));
    }
    assert!(past.missing().is_empty(), "{:?}", past.missing());
    all
}

/// What is in a block of Prometheus.
fn block(folder: &Path) -> All {
    let meta = Meta::read(&RealDisk, folder).expect("it is whole");
    let block = Block::open(Arc::new(RealDisk), folder, meta).expect("it is whole");
    let (mut all, mut cursor) = (All::new(), block.series(Millis(i64::MIN), Millis(i64::MAX), 1 << 20).expect("it is"));
    while let Next::Series(labels) = cursor.advance().expect("it is whole") {
        let mut points = faultline_tsdb::Points::default();
        cursor.read(&mut points, |_, error| panic!("{error}"));
        if !(points.samples.is_empty() && points.histograms.is_empty()) {
            all.insert(labels, (points.samples, points.histograms));
        }
    }
    all
}

/// The same as text: a value that is no number equals none.
fn told(all: &All) -> BTreeMap<&Labels, String> {
    all.iter().map(|(labels, points)| (labels, format!("{points:?}"))).collect()
}

/// Whether two hold the same; fails with the first series that differs.
fn same(there: &All, expected: &All, what: &str) {
    let (a, b) = (told(there), told(expected));
    for (labels, points) in &b {
        assert!(a.get(labels) == Some(points), "{what}: {labels} differs");
    }
    assert_eq!(a.len(), b.len(), "{what}");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/tsdb/tests/fixtures").join(name)
}

/// A copy of a block with other files in it.
fn copy(name: &str, to: &Path, change: impl Fn(&str, &mut Vec<u8>)) {
    fs::create_dir_all(to.join("chunks")).expect("a new folder");
    let chunks = fs::read_dir(fixture(name).join("chunks")).expect("it is there");
    let chunks = chunks.map(|entry| format!("chunks/{}", entry.expect("it is there").file_name().display()));
    for file in ["meta.json", "index", "tombstones"].map(String::from).into_iter().chain(chunks) {
        let mut bytes = fs::read(fixture(name).join(&file)).expect("it is there");
        change(&file, &mut bytes);
        fs::write(to.join(&file), bytes).expect("it can be written");
    }
}

/// Another name and more in `meta.json`.
fn renamed(name: &'static str, more: &'static str) -> impl Fn(&str, &mut Vec<u8>) {
    move |file, bytes| {
        if file == "meta.json" {
            let mut meta: Value = serde_json::from_slice(bytes).expect("JSON");
            meta["ulid"] = name.into();
            let more: Value = serde_json::from_str(more).expect("JSON");
            more.as_object().expect("an object").iter().for_each(|(key, value)| meta[key] = value.clone());
            *bytes = serde_json::to_vec(&meta).expect("JSON");
        }
    }
}

/// Runs an import into `into`; its report, where there is one.
pub fn import(from: &[&Path], into: &Path) -> (Option<i32>, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultline"));
    let Output { status, stdout, stderr } = command
        .args(["import", "prometheus", "-o", "json", "--into"])
        .arg(into)
        .args(from)
        .output()
        .expect("it starts");
    (status.code(), serde_json::from_slice(&stdout).unwrap_or(Value::Null), String::from_utf8_lossy(&stderr).into())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries.map(|it| it.expect("it is there").file_name().display().to_string()).collect();
    names.sort();
    names
}

/// Every encoding and every kind of value, deleted stretches left out; to a folder that is there once it is whole.
#[test]
fn what_blocks_hold_is_imported() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    for name in ["all", "small"] {
        let into = temporary.path().join(name);
        let draft = temporary.path().join(format!("{name}.unfinished"));
        fs::create_dir(&draft).expect("a new folder");
        fs::write(draft.join("block-0000000000000000.new"), "of an import that was killed").expect("it can be written");
        let (code, report, said) = import(&[&fixture(name)], &into);
        assert_eq!((code, &*said, draft.exists()), (Some(0), "", false));
        let (there, expected) = (held(&into), block(&fixture(name)));
        same(&there, &expected, name);
        let count = |all: &All| all.values().fold((0, 0), |sum, (a, b)| (sum.0 + a.len(), sum.1 + b.len()));
        let written = &report["written"];
        let told = (written["samples"].as_u64(), written["histograms"].as_u64());
        assert_eq!(told, (Some(count(&there).0 as u64), Some(count(&there).1 as u64)), "{report}");

        // Again nothing is doubled: the folder is refused.
        let before = names(&into);
        let (code, _, said) = import(&[&fixture(name)], &into);
        assert!(code == Some(2) && said.contains("is not empty"), "{code:?} {said}");
        assert_eq!((names(&into), draft.exists()), (before, false));
    }
}

/// Blocks of a data folder: those that overlap have each sample once, one that another was made of is not read, nor what has no block's
/// name; what is in the log only is told of.
#[test]
fn a_folder_of_blocks_is_read_once() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (data, into) = (temporary.path().join("data"), temporary.path().join("into"));
    let (one, other, parent) =
        ("01AAAAAAAAAAAAAAAAAAAAAAAA", "01BBBBBBBBBBBBBBBBBBBBBBBB", "01CCCCCCCCCCCCCCCCCCCCCCCC");
    copy("small", &data.join(one), renamed(one, "{}"));
    let of = r#"{"compaction": {"parents": [{"ulid": "01CCCCCCCCCCCCCCCCCCCCCCCC", "minTime": 0, "maxTime": 1}]}}"#;
    copy("small", &data.join(other), renamed(other, of));
    copy("all", &data.join(parent), renamed(parent, "{}"));
    copy("all", &data.join(format!("{one}.tmp-for-creation")), renamed(one, "{}"));
    fs::create_dir_all(data.join("wal/checkpoint.00000001")).expect("a new folder");
    let (code, report, said) = import(&[&data], &into);
    assert_eq!((code, &*said), (Some(0), ""), "{report}");
    same(&held(&into), &block(&fixture("small")), "overlapping blocks");
    let count: usize = block(&fixture("small")).values().map(|(a, b)| a.len() + b.len()).sum();
    assert_eq!(
        (report["repeats"].as_u64(), report["read"]["blocks"].as_u64()),
        (Some(count as u64), Some(2)),
        "{report}"
    );
    let notes = report["notes"].to_string();
    assert!(notes.contains("another block was made of it") && notes.contains("tsdb/snapshot"), "{notes}");
}

/// What cannot be read is left out, named, and makes another exit code; all else is imported.
#[test]
fn what_is_left_out_is_told() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| temporary.path().join(name);
    copy("all", &path("chunk"), |file, bytes| {
        if file == "chunks/000003" {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        }
    });
    let (code, report, _) = import(&[&path("chunk")], &path("of-chunk"));
    let left_out = &report["leftOut"];
    assert_eq!((code, left_out["chunks"].as_u64(), left_out["blocks"].to_string()), (Some(1), Some(1), "[]".into()));
    let named = left_out["chunksNamed"][0].as_str().expect("it is named");
    assert!(named.contains("chunks/000003 byte ") && named.contains("check sum"), "{named}");
    let (there, expected) = (held(&path("of-chunk")), block(&fixture("all")));
    let (there, expected) = (told(&there), told(&expected));
    let lacking = expected.iter().filter(|(labels, points)| there.get(*labels) != Some(points)).count();
    assert_eq!(lacking, 1, "one series has less");

    copy("all", &path("index"), |file, bytes| {
        if file == "index" {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        }
    });
    let (code, report, _) = import(&[&path("index"), &fixture("small")], &path("of-index"));
    assert_eq!(code, Some(1));
    same(&held(&path("of-index")), &block(&fixture("small")), "beside a damaged block");
    let left_out = report["leftOut"]["blocks"].to_string();
    assert!(left_out.contains("check sum of a series of its index"), "{left_out}");

    copy("all", &path("less"), renamed("less", r#"{"stats": {"numSeries": 99, "numChunks": 99}}"#));
    copy("all", &path("thin"), renamed("thin", r#"{"thanos": {"downsample": {"resolution": 300000}}}"#));
    copy("all", &path("north"), renamed("north", r#"{"thanos": {"labels": {"replica": "a"}}}"#));
    copy("small", &path("south"), renamed("south", r#"{"thanos": {"labels": {"replica": "b"}}}"#));
    fs::create_dir(path("nothing")).expect("a new folder");
    for (from, says) in [
        (&["nowhere"][..], "cannot read"),
        (&["nothing"], "no blocks of Prometheus are in"),
        (&["index"], "nothing to import"),
        (&["less"], "its meta.json tells of 99 series"),
        (&["thin"], "Thanos has left out samples of it, down to one in 300 s"),
        (&["north", "south"], "of more than one Prometheus"),
    ] {
        let from: Vec<PathBuf> = from.iter().map(|name| path(name)).collect();
        let from: Vec<&Path> = from.iter().map(|path| &**path).collect();
        let (code, _, said) = import(&from, &path("refused"));
        assert!(code == Some(2) && said.contains(says), "{code:?} {said} does not say {says:?}");
        assert!(!path("refused").exists() && !path("refused.unfinished").exists(), "{says}: nothing is left behind");
    }
}
