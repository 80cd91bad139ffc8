//! Full segments: the leaves that they lack, and what those must state, read by docs/formats/journal.md alone.
use crate::world::FOLDER;
use faultline_host::{Disk, Journal, MemoryDisk, ReadError};
use faultline_ledger::hash::root_of;
use faultline_ledger::{LedgerEntry, leaf_hash};
use faultline_model::Position;
use faultline_model::facts::Sealed;
use faultline_storage::SegmentJournal;
use std::path::Path;
use std::time::Duration;

/// The leaves that full segments lack.
pub fn sealed_leaves(journal: &mut SegmentJournal) -> Result<Vec<Box<[u8]>>, ReadError> {
    let sealer = journal.sealer();
    while sealer.seal(Duration::ZERO)? {}
    Ok(journal.sealed().into_iter().map(|sealed| LedgerEntry::sealed(1, sealed).leaf_bytes().into()).collect())
}

/// The full segments on the disk, by docs/formats/journal.md alone.
pub fn full_segments(disk: &MemoryDisk) -> Result<Vec<Sealed>, String> {
    let folder = Path::new(FOLDER).join("journal");
    let names = disk.list(&folder).map_err(|error| error.to_string())?;
    let read = |name: String| {
        let generation = u64::from_str_radix(name.strip_prefix("segment-")?, 16).ok()?;
        Some((generation, disk.content(&folder.join(name)).expect("it is there")))
    };
    let all: Vec<(u64, Vec<u8>)> = names.into_iter().filter_map(read).collect();
    let long = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let used: Vec<_> = all.iter().filter(|(_, bytes)| bytes[4096..].starts_with(b"FLfr")).collect();
    let sealed = |pair: &[&(u64, Vec<u8>)]| {
        let ((generation, bytes), (_, next)) = (pair[0], pair[1]);
        // The first frame of the next segment: the record that comes next, and where this segment ended.
        let (record, end) = (long(next, 4096 + 16), long(next, 4096 + 48 + 8) as usize);
        assert_eq!(long(next, 4096 + 48), *generation);
        let (mut leaves, mut at) = (vec![leaf_hash(&bytes[..4096])], 4096);
        while at < end {
            let size = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().expect("four bytes")) as usize;
            let size = 48 + size.next_multiple_of(8);
            leaves.push(leaf_hash(&bytes[at..at + size]));
            at += size;
        }
        assert_eq!(at, end);
        let last = Position { partition: 0, offset: record.saturating_sub(1) };
        Sealed { segment: *generation, last, root: root_of(&leaves) }
    };
    Ok(used.windows(2).map(sealed).collect())
}
