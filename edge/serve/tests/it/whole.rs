//! Since when the recent store is whole: what it says of itself to whoever must not decide by what is missing.
use faultline_host::{Disk, MemoryDisk};
use faultline_model::{Labels, Millis, Position, Sample};
use faultline_serve::recent::{Limits, Recent};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HOUR: i64 = 3_600_000;
/// All that was ever taken in.
const ALL: Millis = Millis(i64::MIN);

fn folder() -> PathBuf {
    PathBuf::from("data/recent")
}

fn opened(disk: &MemoryDisk, limits: Limits) -> Recent {
    let recent = Recent::new(limits);
    recent.open(Arc::new(disk.clone()), &folder()).expect("the disk works");
    recent.accept(vec![(0, Labels::new([("__name__", "m")]))], &[], &[], &[]);
    recent
}

/// A sample each minute.
fn fill(recent: &Recent, minutes: std::ops::Range<i64>) {
    for minute in minutes {
        let value = (minute * 7_919 % 1_000) as f64 / 3.0;
        recent.accept(Vec::new(), &[(0, Sample::new(Millis(minute * 60_000), value))], &[], &[]);
        if minute % 30 == 0 {
            recent.keep().expect("the disk works");
        }
    }
}

fn newest(hours: i64) -> Millis {
    Millis(hours * HOUR - 60_000)
}

fn remove(disk: &MemoryDisk, file: &str) {
    disk.remove(&Path::new("data/recent").join(file)).expect("it is there");
}

#[test]
fn a_stop_loses_nothing_and_what_is_gone_is_said() {
    let disk = MemoryDisk::new(1 << 30);
    let recent = opened(&disk, Limits::default());
    assert_eq!(recent.whole_since(), ALL, "a new folder");
    fill(&recent, 0..60 * 9);
    assert!(recent.fill().blocks >= 3);
    recent.covers(Position { partition: 0, offset: 9 });
    recent.keep_head().expect("the disk works");
    let again = || opened(&disk, Limits::default());
    let before = recent.whole_since();
    assert!(before < Millis(0), "what is kept reaches back further than there is anything: {before:?}");
    assert_eq!(again().whole_since(), before, "after a stop");
    // Somebody lacks samples that were accepted: a start that goes on from a state which the store has not seen.
    let recent = again();
    recent.lacks(newest(4));
    assert_eq!(recent.whole_since(), newest(4).plus(1));
    recent.keep_head().expect("the disk works");
    assert_eq!(again().whole_since(), newest(4).plus(1), "it is remembered");
    // A sample of a series that nobody named.
    let recent = again();
    recent.accept(Vec::new(), &[(7, Sample::new(newest(6), 1.0))], &[], &[]);
    assert_eq!(recent.whole_since(), newest(6).plus(1));
    // A block that is not there any more, and a head that is not.
    let names = disk.list(&folder()).expect("it is there");
    remove(&disk, names.iter().find(|name| name.starts_with("block-")).expect("a block"));
    assert_eq!(again().whole_since(), newest(9).plus(1), "a block is gone");
    again().keep_head().expect("the disk works");
    assert_eq!(again().whole_since(), newest(9).plus(1), "and stays so");
    remove(&disk, "head");
    assert!(again().whole_since() > newest(6), "what was in memory is gone");
}

/// Blocks go for want of room; over a stop that is known, and over a kill after the newest head no less.
#[test]
fn removed_blocks_are_said_over_stops_and_kills() {
    let disk = MemoryDisk::new(1 << 30);
    let limits = Limits { disk: 6_000, ..Limits::default() };
    let recent = opened(&disk, limits);
    fill(&recent, 0..60 * 40);
    let gone = recent.gone().expect("blocks were removed");
    assert!(gone > Millis(0) && recent.whole_since() == gone.plus(1));
    recent.keep_head().expect("the disk works");
    assert_eq!(opened(&disk, limits).whole_since(), gone.plus(1));
    fill(&recent, 60 * 40..60 * 48);
    assert!(recent.gone() > Some(gone));
    let after = opened(&disk, limits).whole_since();
    assert!(after >= recent.whole_since(), "{after:?}: killed before the next head");
}
