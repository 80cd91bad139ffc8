//! Whose folder it is, on the machine's own disk: foreign, newer, damaged and used ones are refused, and left alone.
use faultline_host::{Disk, Journal, MemoryDisk, RealDisk, SystemClock};
use faultline_storage::{DataFolder, FolderError, SegmentJournal, Settings};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn open(path: &Path) -> Result<DataFolder, FolderError> {
    DataFolder::open(Arc::new(RealDisk), path, [0xab; 16])
}

#[test]
fn a_new_folder_is_made_and_known_again() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("deep/faultline-data");
    let error = DataFolder::inspect(Arc::new(RealDisk), &path).err().unwrap();
    assert!(matches!(error, FolderError::Missing { .. }), "{error}");
    assert_eq!(open(&path).unwrap().journal_id(), [0xab; 16]);
    let again = DataFolder::open(Arc::new(RealDisk), &path, [1; 16]).unwrap();
    assert_eq!(again.journal_id(), [0xab; 16], "the id of the first time stays");
    let text = fs::read_to_string(path.join("VERSION")).unwrap();
    assert!(text.starts_with("faultline data folder\nformat 1\njournal abababab"), "{text}");

    let error = open(&path).err().unwrap();
    assert!(matches!(error, FolderError::InUse { .. }) && error.to_string().contains("in use"), "{error}");
    assert_eq!(DataFolder::inspect(Arc::new(RealDisk), &path).unwrap().journal_id(), [0xab; 16], "looking is allowed");
    drop(again);
    open(&path).unwrap();
}

#[test]
fn folders_that_are_not_ours_are_refused_and_left_as_they_are() {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join("thesis.txt"), "do not touch").unwrap();
    let error = open(outer.path()).err().unwrap();
    assert!(matches!(&error, FolderError::Foreign { found, .. } if found == "thesis.txt"), "{error}");
    let names: Vec<_> = fs::read_dir(outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);
    let error = DataFolder::inspect(Arc::new(RealDisk), outer.path()).err().unwrap();
    assert!(matches!(error, FolderError::Foreign { .. }), "{error}");
}

#[test]
fn newer_and_damaged_version_files_are_refused() {
    for (text, expected) in [
        ("faultline data folder\nformat 2\nanything else\n", "has format 2, this release reads up to 1"),
        ("faultline data folder\nformat 1\n", "id is missing"),
        ("faultline data folder\nformat 1\njournal 00000000000000000000000000000000\ncheck 00000000\n", "check sum"),
        ("something else\n", "first line"),
        ("", "first line"),
    ] {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("VERSION"), text).unwrap();
        let error = open(outer.path()).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let outer = tempfile::tempdir().unwrap();
    drop(open(outer.path()).unwrap());
    let whole = fs::read(outer.path().join("VERSION")).unwrap();
    for byte in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1;
        fs::write(outer.path().join("VERSION"), &damaged).unwrap();
        assert!(open(outer.path()).is_err(), "byte {byte}");
    }
}

#[test]
fn a_creation_cut_short_anywhere_is_taken_up_again() {
    for stop in 0..8 {
        let disk = MemoryDisk::new(1 << 20);
        disk.stop_at(stop);
        let made = DataFolder::open(Arc::new(disk.clone()), Path::new("data"), [1; 16]).is_ok();
        disk.stop_at(u64::MAX);
        disk.crash(faultline_host::CrashPolicy::Subset(stop));
        let folder = DataFolder::open(Arc::new(disk.clone()), Path::new("data"), [2; 16]).unwrap();
        assert!(!made || folder.journal_id() == [1; 16]);
        assert!(disk.list(Path::new("data")).unwrap().contains(&"VERSION".to_string()));
    }
}

/// Writer, flusher, preparer and reader at once, on the real disk.
#[test]
fn threads_share_a_journal() {
    let outer = tempfile::tempdir().unwrap();
    let folder = open(&outer.path().join("data")).unwrap();
    let settings = Settings { segment_size: 64 << 10, limit: 16 << 20 };
    let (mut journal, _) = SegmentJournal::open(&folder, settings, Arc::new(SystemClock::default()), None).unwrap();
    let (preparer, mut reader) = (journal.preparer(), journal.reader());
    let (sender, flushes) = std::sync::mpsc::channel::<Box<dyn faultline_host::Flush>>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..200 {
                preparer.prepare(Duration::from_millis(1)).unwrap();
            }
        });
        scope.spawn(move || flushes.into_iter().for_each(|flush| flush.wait().unwrap()));
        scope.spawn(move || {
            let (mut after, mut read) = (None, 0);
            while read < 1_000 {
                for item in reader.read(after, 100_000).unwrap() {
                    if let faultline_host::Item::Record(record) = item {
                        assert_eq!(record.at.offset, read);
                        assert_eq!(record.payload, crate::world::payload(read, 2_000));
                        (after, read) = (Some(record.at), read + 1);
                    }
                }
            }
        });
        for first in (0..1_000).step_by(5) {
            let decode = |unique| faultline_formats::decode(crate::world::payload(unique, 2_000), Default::default());
            journal.append((first..first + 5).map(decode).collect()).unwrap();
            journal.append_leaves(&[vec![0; 30].into()]).unwrap();
            sender.send(journal.flush()).unwrap();
        }
        drop(sender);
    });
    journal.close().unwrap();
}
