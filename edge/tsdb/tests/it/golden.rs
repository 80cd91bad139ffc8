//! Blocks that Prometheus' own code wrote: what its querier reads of them, we read.
use crate::support::{disk, expected, files, fixture, read};
use faultline_host::RealDisk;
use faultline_model::Millis;
use faultline_tsdb::{Block, Meta};
use std::path::Path;
use std::sync::Arc;

/// Every encoding, with and without starts; custom buckets, gauges, schemas that are brought down, stale markers, deleted stretches,
/// times before 1970, labels of any text; several chunk files. And an index of version 1.
#[test]
fn what_prometheus_reads_we_read() {
    for name in ["all", "small", "v1"] {
        let read = read(Arc::new(RealDisk), &fixture(name), i64::MIN, i64::MAX).expect("it is whole");
        let expected = expected(name);
        assert_eq!((&read.failed, &read.ended), (&Vec::new(), &None), "{name}");
        for (ours, theirs) in read.series.iter().zip(&expected) {
            assert_eq!(ours.0, theirs.0, "{name}");
            for (ours, theirs) in ours.1.iter().zip(&theirs.1) {
                assert_eq!(ours, theirs, "{name}");
            }
            assert_eq!(ours.1.len(), theirs.1.len(), "{name} {}", ours.0);
        }
        assert_eq!(read.series.len(), expected.len(), "{name}");
    }
}

/// Stretches that follow each other have each sample once, wherever they are cut.
#[test]
fn stretches_are_the_whole() {
    let disk = disk(&files("all"));
    let whole = expected("all");
    let mut times: Vec<i64> = whole.iter().flat_map(|(_, all)| all.iter().map(|line| at(line))).collect();
    times.sort_unstable();
    let cuts = [vec![i64::MIN], times.iter().copied().step_by(37).collect(), vec![i64::MAX]].concat();
    let mut lines: Vec<(String, String)> = Vec::new();
    for cut in cuts.windows(2) {
        let read = read(Arc::new(disk.clone()), Path::new("block"), cut[0], cut[1]).expect("it is whole");
        for (name, all) in read.series {
            assert!(all.iter().all(|line| (cut[0]..cut[1]).contains(&at(line))), "{cut:?} {all:?}");
            lines.extend(all.into_iter().map(|line| (name.clone(), line)));
        }
    }
    let mut expected: Vec<(String, String)> =
        whole.into_iter().flat_map(|(name, all)| all.into_iter().map(move |line| (name.clone(), line))).collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

fn at(line: &str) -> i64 {
    line.split(' ').next().and_then(|at| at.parse().ok()).expect("a time")
}

/// What an index holds is what the block says of itself.
#[test]
fn a_survey_counts_all() {
    for name in ["all", "small", "v1"] {
        let (disk, folder) = (Arc::new(RealDisk), fixture(name));
        let meta = Meta::read(&*disk, &folder).expect("it is whole");
        let block = Block::open(disk, &folder, meta.clone()).expect("it is whole");
        let (mut first, mut last) = (Millis(i64::MAX), Millis(i64::MIN));
        let (survey, read) = block.survey(|from, to| (first, last) = (first.min(Millis(from)), last.max(Millis(to))));
        read.expect("it is whole");
        assert_eq!((survey.series, survey.chunks), (meta.stats.num_series, meta.stats.num_chunks), "{name}");
        assert!(first.0 >= meta.min_time && last.0 < meta.max_time.max(last.0 + 1), "{name} {first} {last}");
    }
}
