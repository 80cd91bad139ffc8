//! Bytes that no Prometheus wrote: an error or nothing of consequence, never a sample that nobody wrote.
use crate::support::{FOLDER, Read, disk, expected, files, read};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What is read of damaged files is part of what is there; what is missing is told.
fn check(files: &BTreeMap<String, Vec<u8>>, known: &BTreeSet<(String, String)>, undeleted: bool, what: &str) -> bool {
    let Ok(Read { series, failed, ended }) = read(Arc::new(disk(files)), Path::new(FOLDER), i64::MIN, i64::MAX) else {
        return true;
    };
    let mut count = 0;
    for (name, lines) in series {
        for line in lines {
            count += 1;
            assert!(undeleted || known.contains(&(name.clone(), line.clone())), "{what}: {name} {line}");
        }
    }
    let told = !failed.is_empty() || ended.is_some();
    assert!(told || count >= known.len(), "{what}: {count} of {}, and nothing is told", known.len());
    told
}

fn known(name: &str) -> BTreeSet<(String, String)> {
    expected(name).into_iter().flat_map(|(name, all)| all.into_iter().map(move |line| (name.clone(), line))).collect()
}

/// Each byte of a block changed in two ways, and each file cut at each place.
#[test]
fn every_flip_and_every_cut_is_told_or_harmless() {
    let (whole, known) = (files("small"), known("small"));
    for (name, content) in &whole {
        let mut told = 0;
        for at in 0..content.len() {
            for flip in [1, 0x80] {
                let mut files = whole.clone();
                files.get_mut(name).expect("it is there")[at] ^= flip;
                told += usize::from(check(&files, &known, false, &format!("{name} byte {at} ^ {flip}")));
            }
            let mut files = whole.clone();
            files.get_mut(name).expect("it is there").truncate(at);
            told += usize::from(check(&files, &known, false, &format!("{name} cut at {at}")));
        }
        assert!(told > content.len() || name == "meta.json", "{name}: {told} of {}", content.len());
    }
}

/// A file that is missing is told; without the file of tombstones nothing was deleted.
#[test]
fn a_missing_file_is_told() {
    let (whole, known) = (files("all"), known("all"));
    for name in whole.keys() {
        let mut files = whole.clone();
        files.remove(name);
        assert_eq!(check(&files, &known, name == "tombstones", name), name != "tombstones", "{name}");
    }
}

/// What is not read says which kind it is.
#[test]
fn kinds_that_are_not_read_are_named() {
    let refit = |bytes: &mut Vec<u8>, from: usize, to: usize| {
        let check = crc32c::crc32c(&bytes[from..to]).to_be_bytes();
        bytes[to..to + 4].copy_from_slice(&check);
    };
    let whole = files("small");
    for (name, at, value, told) in [
        ("index", 4, 9, "its index has version 9, known are 1 to 3"),
        ("tombstones", 4, 7, "its tombstones have version 7, known is 1"),
        ("chunks/000001", 4, 2, "a chunk file has version 2, known is 1"),
        ("chunks/000001", 9, 77, "a chunk has encoding 77, known are 1 to 6"),
        ("chunks/000001", 9, 0xff, "a chunk is downsampled by Thanos"),
    ] {
        let mut files = whole.clone();
        let content = files.get_mut(name).expect("it is there");
        content[at] = value;
        if at == 9 {
            let size = usize::from(content[8]);
            assert!(size < 0x80, "one byte tells it");
            refit(content, 9, 10 + size);
        }
        let said = match read(Arc::new(disk(&files)), Path::new(FOLDER), i64::MIN, i64::MAX) {
            Ok(read) => read.failed.join("; "),
            Err(error) => error.to_string(),
        };
        assert!(said.contains(told), "{name}: {said}");
    }
}
