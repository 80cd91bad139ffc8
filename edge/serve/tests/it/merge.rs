//! Blocks of one span of time become one: nothing is lost by it, whenever it ends.
use faultline_host::{CrashPolicy, Disk, MemoryDisk};
use faultline_model::{Labels, Millis, Sample};
use faultline_promql::{MatchOp, Matcher};
use faultline_serve::recent::select::{Points, Want};
use faultline_serve::recent::{Limits, MergeError, Recent};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const SERIES: u32 = 40;

fn folder() -> PathBuf {
    PathBuf::from("data/recent")
}

fn opened(disk: &MemoryDisk) -> Recent {
    let recent = Recent::new(Limits::default());
    let refused = recent.open(Arc::new(disk.clone()), &folder()).expect("the disk works");
    assert!(refused.is_empty(), "{refused:?}");
    let labels = |id: u32| Labels::new([("__name__", "m".to_string()), ("n", id.to_string())]);
    recent.accept((0..SERIES).map(|id| (id, labels(id))).collect(), &[], &[], &[]);
    recent
}

fn value(id: u32, minute: i64) -> f64 {
    (minute * (7_919 + i64::from(id)) % 1_000) as f64 / 3.0
}

/// Of every series a sample each five minutes, and what is due done each half hour.
fn fill(recent: &Recent, minutes: std::ops::Range<i64>) {
    for minute in minutes.step_by(5) {
        let sample = |id| (id, Sample::new(Millis(minute * MINUTE), value(id, minute)));
        recent.accept(Vec::new(), &(0..SERIES).map(sample).collect::<Vec<_>>(), &[], &[]);
        if minute % 30 == 0 {
            recent.keep().expect("the disk works");
        }
    }
}

fn merge_all(recent: &Recent) -> usize {
    std::iter::from_fn(|| recent.merge(&|| false).expect("the disk works").then_some(())).count()
}

/// All samples, by series and minute.
fn held(recent: &Recent) -> Vec<(u32, i64, f64)> {
    let all = [Matcher::new("__name__", MatchOp::Equal, "m").expect("a matcher")];
    let mut selected = recent.select(&all, Millis(i64::MIN), Millis(i64::MAX), Want::All).expect("it reads");
    let (mut found, mut points) = (Vec::new(), Points::default());
    for index in 0..selected.len() {
        let id = selected.labels(index).get("n").parse().expect("a number");
        selected.points(index, &mut points).expect("it reads");
        found.extend(points.samples.iter().map(|it| (id, it.time().0 / MINUTE, it.value())));
    }
    found.sort_by_key(|(id, minute, _)| (*id, *minute));
    found
}

fn expected(minutes: i64) -> Vec<(u32, i64, f64)> {
    let of = |id| (0..minutes).step_by(5).map(move |minute| (id, minute, value(id, minute)));
    (0..SERIES).flat_map(of).collect()
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    disk.list(&folder()).expect("it is there").into_iter().filter(|name| name != "head").collect()
}

#[test]
fn days_are_few_blocks() {
    let disk = MemoryDisk::new(1 << 30);
    let recent = opened(&disk);
    let mut merged = 0;
    for hour in 0..61 {
        fill(&recent, hour * 60..hour * 60 + 60);
        merged += merge_all(&recent);
    }
    // Two days, one stretch of eight hours, and two windows that are complete.
    assert_eq!((names(&disk).len(), recent.fill().blocks), (5, 5), "{:?}", names(&disk));
    assert!((8..=12).contains(&merged), "{merged}");
    assert_eq!(held(&recent), expected(61 * 60));
    recent.keep_head().expect("the disk works");
    let whole = recent.whole_since();
    let recent = opened(&disk);
    assert_eq!(recent.whole_since(), whole, "a start believes it");
    assert_eq!(held(&recent), expected(61 * 60));
    // A late sample each half hour does not have a whole day written again.
    let day = names(&disk)[1].clone();
    for round in 1..=8 {
        let late = Sample::new(Millis(26 * HOUR + round * 7_000), 1.0);
        recent.accept(Vec::new(), &[(3, late)], &[], &[]);
        fill(&recent, 61 * 60 + round * 30 - 25..61 * 60 + round * 30 + 5);
        merge_all(&recent);
        assert!(names(&disk).contains(&day) && names(&disk).len() < 10, "{round}: {:?}", names(&disk));
    }
}

/// Power is cut at each change of the disk in turn, before and after the next head is written.
#[test]
fn a_crash_at_any_point_loses_nothing() {
    let before = MemoryDisk::new(1 << 30);
    let recent = opened(&before);
    fill(&recent, 0..9 * 60);
    recent.keep_head().expect("the disk works");
    drop(recent);
    // All of it is on the disk.
    before.crash(CrashPolicy::KeepAll);
    let disk = before.copy();
    let (recent, begun) = (opened(&disk), disk.operations());
    assert_eq!(merge_all(&recent), 1);
    let operations = disk.operations() - begun;
    assert!(operations > 10, "{operations}");
    for point in 0..operations {
        for policy in [CrashPolicy::LoseAll, CrashPolicy::KeepAll, CrashPolicy::Subset(point), CrashPolicy::Torn(point)]
        {
            let disk = before.copy();
            let recent = opened(&disk);
            disk.stop_at(disk.operations() + point);
            let _ended = recent.merge(&|| false);
            disk.crash(policy);
            let recent = opened(&disk);
            assert_eq!(held(&recent), expected(9 * 60), "{point} {policy:?}");
            merge_all(&recent);
            assert_eq!(held(&recent), expected(9 * 60), "{point} {policy:?}, merged again");
            assert!(names(&disk).len() <= 2, "{point} {policy:?}: {:?}", names(&disk));
        }
    }
}

#[test]
fn what_cannot_be_merged_stays() {
    let disk = MemoryDisk::new(1 << 30);
    let recent = opened(&disk);
    fill(&recent, 0..9 * 60);
    let all = names(&disk);
    assert_eq!(all.len(), 4);
    // Told to stop.
    assert!(!recent.merge(&|| true).expect("the disk works"));
    assert_eq!(names(&disk), all);
    // No room.
    let bytes: u64 = disk.files().iter().map(|path| disk.content(path).map_or(0, |it| it.len() as u64)).sum();
    disk.set_capacity(bytes + 1_000);
    assert!(matches!(recent.merge(&|| false), Err(MergeError::Write(_))));
    assert_eq!(names(&disk), all);
    assert_eq!(held(&recent), expected(9 * 60));
    disk.set_capacity(1 << 30);
    // One of them is damaged: the others become one.
    let path = Path::new("data/recent").join(&all[1]);
    let mut bad = disk.content(&path).expect("it is there");
    bad[100] ^= 4;
    disk.set_content(&path, &bad);
    let error = recent.merge(&|| false).expect_err("it is damaged");
    assert!(matches!(&error, MergeError::Source { path, .. } if path.ends_with(&all[1])), "{error}");
    assert_eq!(merge_all(&recent), 1);
    let left: Vec<String> = names(&disk);
    assert_eq!(left.iter().filter(|name| name.ends_with(".damaged")).count(), 1, "{left:?}");
    let kept: Vec<_> = expected(9 * 60).into_iter().filter(|(_, minute, _)| !(120..240).contains(minute)).collect();
    assert_eq!(held(&recent), kept);
}
