//! Flipped bytes, cut and missing files: below what was proven durable all of it is damage, above it a torn tail.
use crate::sealed::sealed_leaves;
use crate::world::{self, FOLDER, SETTINGS, payload};
use faultline_formats::decode;
use faultline_host::{CrashPolicy, Disk, Item, Journal, ManualClock, MemoryDisk, ReadError};
use faultline_model::{HashSeed, Millis, Position};
use faultline_storage::{DataFolder, OpenError, Recovered, SegmentJournal, Settings};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn folder(disk: &MemoryDisk) -> DataFolder {
    DataFolder::open(Arc::new(disk.clone()), Path::new(FOLDER), [7; 16]).unwrap()
}

fn open(disk: &MemoryDisk) -> Result<(SegmentJournal, Recovered), OpenError> {
    SegmentJournal::open(&folder(disk), SETTINGS, Arc::new(ManualClock::at(Millis(1_000))), None)
}

fn append(journal: &mut SegmentJournal, first: u64, sizes: &[usize]) {
    let group = (first..).zip(sizes).map(|(unique, size)| decode(payload(unique, *size), HashSeed(1))).collect();
    journal.append(group).unwrap();
    journal.append_leaves(&[vec![first as u8; 50].into()]).unwrap();
    journal.flush().wait().unwrap();
}

fn close(mut journal: SegmentJournal) {
    let leaves = sealed_leaves(&mut journal).unwrap();
    journal.append_leaves(&leaves).unwrap();
    journal.close().unwrap();
}

/// A journal of several segments and a clean stop; the last group lies in the last segment.
fn written() -> MemoryDisk {
    let disk = MemoryDisk::new(16 << 20);
    let (mut journal, _) = open(&disk).unwrap();
    for group in 0..14 {
        append(&mut journal, group * 3, &[200, 1_500, 900]);
    }
    close(journal);
    disk.kill();
    disk
}

fn segments(disk: &MemoryDisk) -> Vec<PathBuf> {
    let journal = Path::new(FOLDER).join("journal");
    let names = disk.list(&journal).unwrap();
    names.iter().filter(|name| name.starts_with("segment")).map(|name| journal.join(name)).collect()
}

/// Everything in the journal, or what is said to be wrong with it and at which place.
fn read_all(disk: &MemoryDisk) -> Result<Vec<Item>, (PathBuf, u64)> {
    let folder = DataFolder::inspect(Arc::new(disk.clone()), Path::new(FOLDER)).unwrap();
    let inspected = SegmentJournal::inspect(&folder, None).map_err(|error| match error {
        OpenError::Damaged { path, byte, .. } => (path, byte),
        other => panic!("{other}"),
    })?;
    world::read_all(&mut *inspected.segments.reader(), 1 << 20).map_err(|error| match error {
        ReadError::Damaged { path, byte, .. } => (path, byte),
        other => panic!("{other}"),
    })
}

/// The place that is said to be damaged.
fn damage(disk: &MemoryDisk) -> (PathBuf, u64) {
    read_all(disk).map(|items| items.len()).expect_err("the damage goes unseen")
}

/// The byte behind the last frame of a segment.
fn end(content: &[u8]) -> usize {
    content.iter().rposition(|&byte| byte != 0).unwrap() + 1
}

/// Segments that hold frames.
fn in_use(disk: &MemoryDisk) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> =
        segments(disk).into_iter().filter(|path| end(&disk.content(path).unwrap()) > 4_200).collect();
    assert_eq!(paths.len(), 4);
    paths
}

#[test]
fn every_flipped_byte_below_the_proof_is_damage() {
    let disk = written();
    let whole = read_all(&disk).unwrap();
    assert_eq!(whole.len(), 57);
    let mut flips = 0;
    let in_use = in_use(&disk);
    for (index, path) in in_use.iter().enumerate() {
        let content = disk.content(path).unwrap();
        // The very last frame is the proof itself.
        let proof = if index + 1 == in_use.len() { 48 } else { 0 };
        for byte in 0..end(&content).next_multiple_of(8) - proof {
            let mut damaged = content.clone();
            damaged[byte] ^= 1 << (byte % 8);
            disk.set_content(path, &damaged);
            let (named, at) = damage(&disk);
            assert_eq!(&named, path, "byte {byte}");
            assert!(at as usize <= byte && byte - (at as usize) < 4_200, "byte {byte} is said to be at {at}");
            // A writer refuses it too, or at least keeps it: what it does not read, replay will.
            if byte % 97 == 0 {
                assert!(open(&disk).is_err() || read_all(&disk).is_err());
                disk.kill();
            }
            flips += 1;
        }
        disk.set_content(path, &content);
    }
    assert!(flips > 40_000);
    assert_eq!(read_all(&disk).unwrap(), whole);
}

#[test]
fn a_flip_above_the_proof_is_a_torn_tail() {
    let disk = MemoryDisk::new(16 << 20);
    let (mut journal, _) = open(&disk).unwrap();
    append(&mut journal, 0, &[100, 100]);
    append(&mut journal, 2, &[100, 100]);
    drop(journal);
    disk.crash(CrashPolicy::LoseAll);
    let path = &segments(&disk)[0];
    let content = disk.content(path).unwrap();
    let items = read_all(&disk).unwrap().len();
    let mut seen = [0; 7];
    for byte in 4_096..end(&content) {
        let mut damaged = content.clone();
        damaged[byte] ^= 0x10;
        disk.set_content(path, &damaged);
        // Damage in the first group, which the second one proves durable; in the second a tail of one to three frames.
        match read_all(&disk) {
            Err((named, _)) => {
                assert_eq!(&named, path);
                seen[0] += 1;
            }
            Ok(left) => {
                assert!((3..items).contains(&left.len()));
                seen[items - left.len()] += 1;
                let (journal, recovered) = open(&disk).unwrap();
                let torn = recovered.torn.expect("it is reported");
                assert!(
                    &torn.path == path && torn.byte as usize <= byte && torn.frames as usize == items - left.len() - 1
                );
                drop(journal);
                disk.kill();
                assert_eq!(read_all(&disk).unwrap(), left);
                assert!(open(&disk).unwrap().1.torn.is_none(), "a tail is torn once");
                disk.kill();
            }
        }
    }
    assert!(seen[0] > 300 && seen[1] > 40 && seen[2] > 100 && seen[3] > 100, "{seen:?}");
}

#[test]
fn cut_missing_and_foreign_segments_are_damage() {
    for index in 0..4 {
        let disk = written();
        let paths = in_use(&disk);
        let content = disk.content(&paths[index]).unwrap();
        disk.set_content(&paths[index], &content[..9_000]);
        assert_eq!(damage(&disk).0, paths[index], "cut short");
        assert!(open(&disk).is_err());
        disk.kill();

        disk.set_content(&paths[index], &disk.content(&paths[(index + 1) % 4]).unwrap());
        assert_eq!(damage(&disk).0, paths[index], "another segment under its name");

        disk.set_content(&paths[index], &content);
        disk.remove(&paths[index]).unwrap();
        let read = read_all(&disk);
        match index {
            // The oldest segments are what trimming takes: that they must be there only the ledger's anchors know.
            0 => assert!(matches!(&read.unwrap()[0], Item::Record(record) if record.at.offset > 0)),
            1 | 2 => assert_eq!(damage(&disk).0, paths[index + 1]),
            _ => {
                // Nothing in the journal itself tells that a last segment is gone. Another store does.
                let last = Position { partition: 0, offset: 41 };
                let opened =
                    SegmentJournal::open(&folder(&disk), SETTINGS, Arc::new(ManualClock::default()), Some(last));
                assert!(matches!(opened, Err(OpenError::Short { .. })));
            }
        }
    }
}

/// Writes `value` at `at` of a segment's first body and makes its check sums fit (`docs/formats/journal.md`).
fn forge(content: &mut [u8], generation: u64, at: usize, value: u64) {
    let (frame, body) = (4_096, 4_096 + 48);
    content[body + at..body + at + 8].copy_from_slice(&value.to_le_bytes());
    let seed = crc32c::crc32c_append(crc32c::crc32c(&[7; 16]), &generation.to_le_bytes());
    let seed = crc32c::crc32c_append(seed, &(frame as u64).to_le_bytes());
    let size = u32::from_le_bytes(content[frame + 8..frame + 12].try_into().unwrap()) as usize;
    let check = crc32c::crc32c_append(seed, &content[body..body + size.next_multiple_of(8)]);
    content[frame + 12..frame + 16].copy_from_slice(&check.to_le_bytes());
    let check = crc32c::crc32c_append(seed, &content[frame..frame + 44]);
    content[frame + 44..body].copy_from_slice(&check.to_le_bytes());
}

#[test]
fn a_segment_that_ended_where_none_can_is_damage() {
    let disk = written();
    let whole = read_all(&disk).unwrap();
    let path = in_use(&disk)[1].clone();
    let generation = path.to_str().and_then(|path| u64::from_str_radix(path.rsplit_once('-')?.1, 16).ok()).unwrap();
    let content = disk.content(&path).unwrap();
    let previous = u64::from_le_bytes(content[4_152..4_160].try_into().unwrap());
    for byte in [0, 1, 4_095, 4_097, previous - 8, previous + 8, content.len() as u64 + 8, u64::MAX] {
        let mut forged = content.clone();
        forge(&mut forged, generation, 8, byte);
        disk.set_content(&path, &forged);
        damage(&disk);
    }
    let mut same = content.clone();
    forge(&mut same, generation, 8, previous);
    assert_eq!(same, content, "the check sums are made as they were");
    disk.set_content(&path, &content);
    assert_eq!(read_all(&disk).unwrap(), whole);
}

#[test]
fn segments_of_another_size_are_read_and_used_up() {
    let disk = written();
    let whole = read_all(&disk).unwrap();
    for segment_size in [32 << 10, 16 << 10, 64 << 10] {
        let settings = Settings { segment_size, limit: 64 * segment_size };
        let clock = Arc::new(ManualClock::at(Millis(1_000)));
        let (mut journal, recovered) = SegmentJournal::open(&folder(&disk), settings, clock, None).unwrap();
        assert!(recovered.clean && recovered.torn.is_none());
        for _ in 0..4 {
            append(&mut journal, 100, &[5_000, 6_000]);
        }
        journal.trim(Position { partition: 0, offset: 0 }).unwrap();
        close(journal);
        disk.kill();
    }
    let now = read_all(&disk).unwrap();
    assert_eq!(now.len(), whole.len() + 39);
    assert!(now.starts_with(&whole));
}
