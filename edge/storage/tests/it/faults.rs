//! A full disk, a full journal, a failing disk: what is refused, and what still works afterwards.
use crate::sealed::sealed_leaves;
use crate::world::{FOLDER, SETTINGS, payload, read_all};
use faultline_formats::{Decoded, decode};
use faultline_host::{AppendError, CrashPolicy, Item, Journal, ManualClock, MemoryDisk, ReadError};
use faultline_model::{HashSeed, Millis, Payload, Position};
use faultline_storage::{DataFolder, OpenError, SegmentJournal, Settings};
use std::io;
use std::path::Path;
use std::sync::Arc;

fn open(disk: &MemoryDisk) -> Result<SegmentJournal, OpenError> {
    let folder = DataFolder::open(Arc::new(disk.clone()), Path::new(FOLDER), [7; 16]).unwrap();
    SegmentJournal::open(&folder, SETTINGS, Arc::new(ManualClock::at(Millis(1_000))), None).map(|opened| opened.0)
}

fn group(unique: u64, sizes: &[usize]) -> Vec<Decoded> {
    (unique..).zip(sizes).map(|(unique, size)| decode(payload(unique, *size), HashSeed(1))).collect()
}

fn at(offset: u64) -> Position {
    Position { partition: 0, offset }
}

/// Appends until there is no room; returns how many records went in.
fn fill(journal: &mut SegmentJournal) -> u64 {
    let mut next = 0;
    loop {
        match journal.append(group(next, &[3_000])) {
            Ok(records) => next = records[0].at.offset + 1,
            Err(AppendError::Full { used, limit }) => {
                assert!(used <= limit);
                return next;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn offsets(journal: &SegmentJournal) -> Vec<u64> {
    let offset = |item| if let Item::Record(record) = item { Some(record.at.offset) } else { None };
    read_all(&mut *journal.reader(), 10_000).unwrap().into_iter().filter_map(offset).collect()
}

#[test]
fn a_full_journal_refuses_records_takes_leaves_and_goes_on_after_a_trim() {
    for full_disk in [false, true] {
        let disk = MemoryDisk::new(if full_disk { 5 * SETTINGS.segment_size + 5_000 } else { 1 << 30 });
        let mut journal = open(&disk).unwrap();
        let next = fill(&mut journal);
        assert!(next >= 9);
        // The leaf of the anchor that will make room has its own.
        journal.append_leaves(&[vec![1; 9_000].into()]).unwrap();
        assert!(matches!(journal.append(group(next, &[3_000])), Err(AppendError::Full { .. })));
        journal.flush().wait().unwrap();
        journal.trim(at(next)).unwrap();
        assert!(
            matches!(journal.append(group(next, &[3_000])), Err(AppendError::Full { .. })),
            "no segment has its leaf"
        );
        let leaves = sealed_leaves(&mut journal).unwrap();
        journal.append_leaves(&leaves).unwrap();
        journal.trim(at(next)).unwrap();
        assert!(matches!(journal.append(group(next, &[3_000])), Err(AppendError::Full { .. })), "no leaf is durable");
        journal.flush().wait().unwrap();
        journal.trim(at(next)).unwrap();
        let records = journal.append(group(next, &[3_000, 10])).unwrap();
        assert_eq!(records[0].at, at(next), "a refused group takes no position");
        journal.flush().wait().unwrap();
        drop(journal);
        disk.crash(CrashPolicy::LoseAll);
        let journal = open(&disk).unwrap();
        let offsets = offsets(&journal);
        assert_eq!(offsets.last(), Some(&(next + 1)));
        assert!(offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]) && offsets[0] > 0);
    }
}

#[test]
fn no_room_for_a_first_segment_is_said() {
    let disk = MemoryDisk::new(20_000);
    assert!(matches!(open(&disk), Err(OpenError::Full { needed: 32_768, .. })));
    disk.kill();
    disk.set_capacity(1 << 20);
    open(&disk).unwrap();
    for (segment_size, limit) in [(10_000, 1 << 20), (8_192, 1 << 20), (2 << 30, 1 << 40), (16_384, 4 * 16_384 - 1)] {
        disk.kill();
        let folder = DataFolder::open(Arc::new(disk.clone()), Path::new(FOLDER), [7; 16]).unwrap();
        let settings = Settings { segment_size, limit };
        let opened = SegmentJournal::open(&folder, settings, Arc::new(ManualClock::default()), None);
        assert!(matches!(opened, Err(OpenError::Settings { .. })));
    }
}

/// A write refused for want of room (a copy-on-write file system does that to overwrites too) counts as not made, and its
/// half-written frames never come back.
#[test]
fn a_refused_write_leaves_nothing() {
    for fault in 0..40 {
        for policy in [CrashPolicy::LoseAll, CrashPolicy::KeepAll, CrashPolicy::Subset(fault)] {
            let disk = MemoryDisk::new(1 << 30);
            let mut journal = open(&disk).unwrap();
            disk.fail_at(disk.operations() + fault, io::ErrorKind::StorageFull);
            let (mut taken, mut refused) = (Vec::new(), 0);
            for unique in 0..12 {
                match journal.append(group(unique * 10, &[100, 2_000, 900])) {
                    Ok(records) => taken.extend(records.iter().map(|record| record.decoded.payload.clone())),
                    Err(AppendError::Full { .. }) => refused += 1,
                    // A sync that fails, for whatever reason, ends the journal.
                    Err(_) => break,
                }
                match journal.append_leaves(&[vec![9; 100].into()]) {
                    Ok(()) | Err(AppendError::Full { .. }) => {}
                    Err(_) => break,
                }
                if journal.flush().wait().is_err() {
                    break;
                }
            }
            assert!(refused <= 1);
            drop(journal);
            disk.crash(policy);
            let payload = |item| if let Item::Record(record) = item { Some(record.payload) } else { None };
            let items = read_all(&mut *open(&disk).unwrap().reader(), 1 << 20).unwrap();
            let records: Vec<Payload> = items.into_iter().filter_map(payload).collect();
            assert!(taken.starts_with(&records), "fault {fault}, {policy:?}");
        }
    }
}

#[test]
fn a_failed_sync_stops_the_journal_and_is_never_forgotten() {
    let disk = MemoryDisk::new(1 << 30);
    let mut journal = open(&disk).unwrap();
    journal.append(group(0, &[100])).unwrap();
    journal.flush().wait().unwrap();
    journal.append(group(1, &[100])).unwrap();
    let (first, second) = (journal.flush(), journal.flush());
    disk.fail_sync(disk.syncs());
    let error = first.wait().unwrap_err().to_string();
    assert!(error.contains("input/output error") && error.contains("data/journal"), "{error}");
    // The kernel would answer `Ok` now, with the data lost.
    assert!(second.wait().is_err());
    assert!(matches!(journal.append(group(2, &[1])), Err(AppendError::Stopped { .. })));
    assert!(matches!(journal.append_leaves(&[vec![1].into()]), Err(AppendError::Stopped { .. })));
    assert!(journal.flush().wait().is_err());
    assert!(journal.trim(at(1)).is_err());
    assert_eq!(offsets(&journal), [0, 1], "what is there can still be read");
    assert!(journal.close().is_err());

    // The next process sees the lost record in the kernel's cache; it writes it again before it trusts it.
    disk.kill();
    assert_eq!(offsets(&open(&disk).unwrap()), [0, 1]);
    disk.crash(CrashPolicy::LoseAll);
    assert_eq!(offsets(&open(&disk).unwrap()), [0, 1]);
}

#[test]
fn a_failed_write_stops_the_journal() {
    let disk = MemoryDisk::new(1 << 30);
    let mut journal = open(&disk).unwrap();
    disk.fail_at(disk.operations(), io::ErrorKind::Other);
    assert!(matches!(journal.append(group(0, &[100])), Err(AppendError::Stopped { .. })));
    assert!(matches!(journal.append(group(0, &[100])), Err(AppendError::Stopped { .. })));
    disk.kill();
    let mut journal = open(&disk).unwrap();
    // Half of the write is there; whether the record is in that half, nobody was told.
    assert!(journal.append(group(0, &[100])).unwrap()[0].at <= at(1));
}

#[test]
fn groups_larger_than_a_segment_are_refused_and_the_largest_is_not() {
    let disk = MemoryDisk::new(1 << 30);
    let mut journal = open(&disk).unwrap();
    let most = journal.max_group_size() as usize;
    for excess in [0, 1] {
        // A body begins with eight bytes of its own.
        let size = most - 48 - 24 - 8 + excess;
        assert_eq!(SegmentJournal::group_size([size + 8].into_iter()) > most as u64, excess == 1);
        match journal.append(group(0, &[size])) {
            Ok(records) => assert_eq!((excess, records.len()), (0, 1)),
            Err(AppendError::TooLarge { limit, .. }) => assert_eq!((excess, limit), (1, most as u64)),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(matches!(journal.append_leaves(&[vec![0; 65_535].into()]), Err(AppendError::TooLarge { .. })));
    assert!(journal.append(Vec::new()).unwrap().is_empty());
    assert_eq!(offsets(&journal), [0]);
    journal.close().unwrap();
}

#[test]
fn readers_start_anywhere_and_notice_a_trim() {
    let disk = MemoryDisk::new(1 << 30);
    let mut journal = open(&disk).unwrap();
    assert!(journal.reader().read(None, 100).unwrap().is_empty());
    assert!(journal.reader().read(Some(at(5)), 100).unwrap().is_empty());
    for offset in 0..12 {
        journal.append(group(offset, &[3_000])).unwrap();
        journal.append_leaves(&[vec![offset as u8; 10].into()]).unwrap();
    }
    let leaves = sealed_leaves(&mut journal).unwrap();
    journal.flush().wait().unwrap();
    for offset in 0..12 {
        let items = journal.reader().read(Some(at(offset)), 1).unwrap();
        assert!(
            matches!(&items[0], Item::Leaves { after, leaves } if *after == at(offset) && leaves[0][0] == offset as u8)
        );
        assert!(items.len() == 1 || matches!(&items[1], Item::Record(record) if record.at == at(offset + 1)));
    }
    assert!(journal.reader().read(Some(at(12)), 100).unwrap().is_empty(), "past the end");
    let mut slow = journal.reader();
    slow.read(None, 1).unwrap();
    journal.append_leaves(&leaves).unwrap();
    journal.flush().wait().unwrap();
    journal.trim(at(11)).unwrap();
    let oldest = journal.segments()[0].first;
    assert!(oldest.offset > 3);
    for after in [at(0), at(oldest.offset - 2)] {
        let error = journal.reader().read(Some(after), 100).unwrap_err();
        assert!(matches!(error, ReadError::Trimmed { oldest: said } if said == oldest), "{error}");
    }
    assert!(matches!(slow.read(Some(at(3)), 1), Err(ReadError::Trimmed { .. })));
    for first in
        [journal.reader().read(None, 1).unwrap(), journal.reader().read(Some(at(oldest.offset - 1)), 1).unwrap()]
    {
        let first = first.iter().find_map(|item| if let Item::Record(record) = item { Some(record.at) } else { None });
        assert_eq!(first, Some(oldest));
    }
}

/// Leaves that a full disk (a copy-on-write file system) refuses, wherever in them, are brought again until they are in:
/// each once, in order.
#[test]
fn refused_leaves_are_brought_again() {
    let all: Vec<Box<[u8]>> = (0..30_u8).map(|number| vec![number; 1_000].into()).collect();
    let (mut refused, mut fault) = (0, 0);
    loop {
        let disk = MemoryDisk::new(1 << 30);
        let mut journal = open(&disk).unwrap();
        journal.append(group(0, &[5_000])).unwrap();
        let before = disk.operations();
        disk.fail_at(before + fault, io::ErrorKind::StorageFull);
        let result = loop {
            match journal.append_leaves(&all) {
                Err(AppendError::Full { .. }) => refused += 1,
                other => break other,
            }
        };
        let met = disk.operations() > before + fault;
        // A sync that fails, for whatever reason, ends the journal.
        if result.is_ok() && journal.flush().wait().is_ok() {
            journal.append(group(1, &[100])).unwrap();
            journal.flush().wait().unwrap();
            drop(journal);
            disk.crash(CrashPolicy::LoseAll);
            let (mut leaves, mut records) = (Vec::new(), 0);
            for item in read_all(&mut *open(&disk).unwrap().reader(), 1 << 20).unwrap() {
                match item {
                    Item::Leaves { leaves: more, .. } => leaves.extend(more),
                    Item::Record(_) => records += 1,
                }
            }
            assert!(leaves.iter().map(|leaf| &leaf[..]).eq(all.iter().map(|leaf| &leaf[..])), "fault {fault}");
            assert_eq!(records, 2);
        }
        if !met {
            break;
        }
        fault += 1;
    }
    assert!(refused > 10, "{refused} of {fault}");
}

/// Behind records that were taken, leaves find room whatever the journal's own limit says.
#[test]
fn leaves_go_past_the_limit() {
    let disk = MemoryDisk::new(1 << 30);
    let mut journal = open(&disk).unwrap();
    fill(&mut journal);
    let leaves: Vec<Box<[u8]>> = (0..50_u8).map(|number| vec![number; 1_000].into()).collect();
    for _ in 0..3 {
        journal.append_leaves(&leaves).unwrap();
        assert!(matches!(journal.append(group(9, &[3_000])), Err(AppendError::Full { .. })));
    }
    assert!(journal.extent().bytes > SETTINGS.limit);
    journal.flush().wait().unwrap();
    disk.kill();
    drop(journal);
    assert!(open(&disk).is_ok(), "a start reads it");
}

/// A disk without room for another file still has it for the leaves of what it took: a segment is kept ready for them.
#[test]
fn leaves_fit_a_disk_that_takes_no_more() {
    for room in (0..8 * SETTINGS.segment_size).step_by(1_000) {
        let disk = MemoryDisk::new(1 << 30);
        let mut journal = open(&disk).unwrap();
        disk.set_capacity(disk.used() + room);
        let mut next = 0;
        while let Ok(records) = journal.append(group(next, &[3_000])) {
            next = records[0].at.offset + 1;
            journal.append_leaves(&[vec![1; 2_000].into()]).unwrap();
        }
        journal.append_leaves(&[vec![2; 9_000].into()]).unwrap();
        journal.flush().wait().unwrap();
    }
}
