//! The recent store's files: each edited, then opened, searched and read.
use crate::Target;
use crate::input::{Input, damage};
use faultline_host::{Disk, MemoryDisk};
use faultline_model::histogram::Buckets;
use faultline_model::{Histogram, HistogramSample, Labels, Millis, Position, Sample};
use faultline_promql::{MatchOp, Matcher};
use faultline_serve::recent::select::{Points, Want};
use faultline_serve::recent::{Limits, Recent};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// The target.
pub const TARGET: Target = Target { name: "recent", size_max: 1 << 10, run, seeds };

const FOLDER: &str = "data/recent";
const LIMITS: Limits = Limits { memory: 1 << 20, series: 1_000, disk: 1 << 20, retention_ms: 1 << 40 };

fn sample(at: i64) -> Sample {
    if at % 7 == 0 { Sample::stale(Millis(at)) } else { Sample::new(Millis(at), (at % 13) as f64) }
}

/// What series beyond the fortieth hold.
fn histogram(at: i64) -> HistogramSample {
    let positive = Buckets::new((0..3 + (at % 2) as i32).map(|i| (i, 1.0 + (at % 5) as f64)));
    let histogram = Histogram { sum: (at % 13) as f64, positive, ..Histogram::default() };
    HistogramSample { time: Millis(at), histogram: (at % 7 != 0).then(|| histogram.into()) }
}

fn labels(number: u32) -> Labels {
    Labels::new([("__name__", format!("m{}", number % 3)), ("n", number.to_string())])
}

/// A block and a head, before any edit.
static FILES: LazyLock<BTreeMap<PathBuf, Vec<u8>>> = LazyLock::new(|| {
    let disk = MemoryDisk::new(4 << 20);
    let recent = opened(&disk).expect("memory does not fail");
    recent.accept((0..48).map(|number| (number, labels(number))).collect(), &[], &[], &[]);
    for at in (0..16_000_000).step_by(1_000_000) {
        let samples: Vec<_> = (0..40).map(|number| (number, sample(at + i64::from(number)))).collect();
        let histograms: Vec<_> = (40..48).map(|number| (number, histogram(at + i64::from(number)))).collect();
        recent.accept(Vec::new(), &samples, &histograms, &[]);
    }
    recent.covers(Position { partition: 0, offset: 9 });
    recent.keep().and_then(|_| recent.keep_head()).expect("there is room");
    let names = disk.list(Path::new(FOLDER)).expect("it is there");
    let paths = names.iter().map(|name| Path::new(FOLDER).join(name));
    let files: BTreeMap<_, _> = paths.filter_map(|path| Some((path.clone(), disk.content(&path)?))).collect();
    assert_eq!(files.len(), 2);
    files
});

fn opened(disk: &MemoryDisk) -> Option<Recent> {
    let recent = Recent::new(LIMITS);
    recent.open(Arc::new(disk.clone()), Path::new(FOLDER)).ok().map(|_| recent)
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (mut files, mut forged) = (FILES.clone(), false);
    for _ in 0..4 {
        if input.is_empty() {
            break;
        }
        let op = input.byte() % 4;
        let path = files.keys().nth(input.below(files.len())).expect("one of them").clone();
        let content = files.get_mut(&path).expect("it is there");
        damage(content, &mut input);
        if op > 0 {
            refit(content);
            forged = true;
        }
    }
    let disk = MemoryDisk::new(4 << 20);
    disk.create_dir_all(Path::new(FOLDER)).expect("memory does not fail");
    files.iter().for_each(|(path, content)| disk.set_content(path, content));
    // A block of the same time, as it was: both are to be merged.
    let beside = FILES.iter().find(|(path, _)| path.to_string_lossy().contains("block-")).expect("there is one");
    disk.set_content(&Path::new(FOLDER).join("block-00000000000000ff"), beside.1);
    let Some(recent) = opened(&disk) else { return };
    for (name, op, value) in [
        ("__name__", MatchOp::Equal, "m1"),
        ("n", MatchOp::Regex, "1.*"),
        ("n", MatchOp::NotEqual, "5"),
        ("none", MatchOp::Equal, ""),
    ] {
        let matchers = [Matcher::new(name, op, value).expect("a pattern")];
        read(&recent, &matchers, forged);
        let sets = [matchers.to_vec()];
        let _refused = recent.label_values("n", &sets, Millis(0), Millis(9_000_000));
        let _refused = recent.label_names(&sets, Millis(0), Millis(9_000_000));
        if let (Ok(found), false) = (recent.label_sets(&sets, Millis(0), Millis(1 << 40)), forged) {
            let known: BTreeSet<Labels> = (0..48).map(labels).collect();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
            let found = found.iter().map(|pairs| Labels::new(pairs.map(|(name, value)| (text(name), text(value)))));
            assert!(found.is_sorted_by(|a, b| a < b && known.contains(a)), "label sets were made of damage");
        }
    }
    let (names, values) = (
        recent.label_names(&[], Millis(0), Millis(1 << 40)),
        recent.label_values("n", &[], Millis(0), Millis(1 << 40)),
    );
    if let (Ok(names), Ok(values), false) = (names, values, forged) {
        let known: BTreeSet<String> = (0..48).map(|number| number.to_string()).collect();
        assert!(names.iter().all(|name| name == "__name__" || name == "n"), "{names:?}");
        assert!(values.iter().all(|value| known.contains(value)), "{values:?}");
    }
    let merged = recent.merge(&|| false);
    assert!(!bytes.is_empty() || matches!(merged, Ok(true)), "what nobody damaged is merged: {merged:?}");
    read(&recent, &[Matcher::new("n", MatchOp::Regex, ".+").expect("a pattern")], forged);
    let _written = recent.keep().and_then(|_| recent.keep_head());
}

/// What is read rises in time, and is what was written where nobody forged check sums.
fn read(recent: &Recent, matchers: &[Matcher], forged: bool) {
    let Ok(mut selected) = recent.select(matchers, Millis(0), Millis(1 << 40), Want::All) else { return };
    let mut points = Points::default();
    for index in 0..selected.len() {
        if selected.points(index, &mut points).is_err() {
            return;
        }
        let Points { samples, histograms } = &points;
        assert!(samples.is_sorted_by(|a, b| a.time() < b.time()));
        assert!(histograms.is_sorted_by(|a, b| a.time < b.time));
        assert!(matchers.iter().all(|m| m.matches(selected.labels(index).get(&m.name))));
        assert!(forged || samples.iter().all(|it| *it == sample(it.time().0)), "samples were made of damage");
        assert!(forged || histograms.iter().all(|it| *it == histogram(it.time.0)), "histograms were made of damage");
    }
}

/// Makes check sums fit again, as no disk would but a hand could (`docs/formats/recent-block.md`).
fn refit(content: &mut [u8]) {
    let size = content.len();
    if size < 160 {
        return;
    }
    let number = |content: &[u8], at: usize| -> usize {
        let bytes = content.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(usize::MAX, |bytes| u64::from_le_bytes(bytes) as usize)
    };
    let frame = |content: &mut [u8], at: usize| {
        let Some(head) = at.checked_add(8).and_then(|end| content.get(at..end)) else { return };
        let size = u32::from_le_bytes(head[..4].try_into().expect("four bytes")) as usize;
        let Some(body) = (at + 8).checked_add(size).and_then(|end| content.get(at + 8..end)) else { return };
        let check = crc32c::crc32c(body).to_le_bytes();
        content[at + 4..at + 8].copy_from_slice(&check);
    };
    let places: Vec<usize> = (0..5).map(|i| number(content, size - 96 + 8 * i)).collect();
    places.iter().for_each(|place| frame(content, *place));
    for group in 0..3 {
        let place = number(content, places[3].saturating_add(8 + 8 * group));
        frame(content, place);
    }
    for (start, end) in [(0, 60), (size - 96, size - 4)] {
        let check = crc32c::crc32c(&content[start..end]).to_le_bytes();
        content[end..end + 4].copy_from_slice(&check);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for file in 0..FILES.len() as u16 {
        let size = FILES.values().nth(usize::from(file)).expect("one of them").len() as u16;
        for at in [8, 12, 20, 70, size / 2, size - 400, size - 200, size - 90, size - 40] {
            for op in [0, 1] {
                seeds.push([&[op][..], &file.to_le_bytes(), &[0], &at.to_le_bytes(), &[1]].concat());
            }
        }
        seeds.push([&[1][..], &file.to_le_bytes(), &[2], &(size / 3).to_le_bytes()].concat());
    }
    seeds
}
