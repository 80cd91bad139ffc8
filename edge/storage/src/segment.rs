//! A segment file: its name, its header block, and places in it. Layout: `docs/formats/journal.md`.
use faultline_host::{Disk, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Size of the header block, and where the first frame begins.
pub(crate) const FIRST_FRAME: u64 = 4096;
/// Writes end on a multiple of this, so that the kernel never has to read a page before changing a part of it.
pub(crate) const PAGE: u64 = 4096;
const MAGIC: [u8; 8] = *b"FLJOURNL";
const FORMAT: u16 = 1;

/// A byte in the journal: the segment's generation and the offset in its file. Later in the journal is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub generation: u64,
    pub byte: u64,
}

/// Check sums of one journal. Each is seeded with the journal's id, the segment's generation and the byte in its file: a
/// recycled segment holds frames of its earlier generation that are valid in themselves, and must not be taken for new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeds {
    journal: u32,
}

impl Seeds {
    pub fn new(journal: [u8; 16]) -> Seeds {
        Seeds { journal: crc32c::crc32c(&journal) }
    }

    pub fn at(self, place: Place) -> u32 {
        let seed = crc32c::crc32c_append(self.journal, &place.generation.to_le_bytes());
        crc32c::crc32c_append(seed, &place.byte.to_le_bytes())
    }
}

pub(crate) fn segment_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("segment-{generation:016x}"))
}

/// A file waiting to be used again. It keeps the number of its last generation, so that the next one is always higher.
pub(crate) fn spare_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("spare-{generation:016x}"))
}

/// A file that is being made.
pub(crate) fn draft_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("draft-{generation:016x}"))
}

/// What the journal's folder holds: generations of segments, of spares, and of drafts, rising. Other names are not ours to
/// touch.
pub(crate) fn list(disk: &dyn Disk, folder: &Path) -> io::Result<[Vec<u64>; 3]> {
    let names = disk.list(folder)?;
    let numbered = |prefix: &str| {
        let number = |name: &String| {
            let digits = name.strip_prefix(prefix)?;
            (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
        };
        let mut generations: Vec<u64> = names.iter().filter_map(number).collect();
        generations.sort_unstable();
        generations
    };
    Ok([numbered("segment-"), numbered("spare-"), numbered("draft-")])
}

/// Writes the header block of `generation`, and an empty first frame behind it. Not yet synced.
pub(crate) fn format(
    file: &Arc<dyn File>,
    journal: [u8; 16],
    seeds: Seeds,
    generation: u64,
    size: u64,
) -> io::Result<()> {
    let mut block = vec![0; (FIRST_FRAME + PAGE) as usize];
    block[..FIRST_FRAME as usize].copy_from_slice(&header(journal, seeds, generation, size));
    file.write_at(&block, 0)
}

fn header(journal: [u8; 16], seeds: Seeds, generation: u64, size: u64) -> [u8; FIRST_FRAME as usize] {
    let mut block = [0; FIRST_FRAME as usize];
    block[..8].copy_from_slice(&MAGIC);
    block[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    block[16..32].copy_from_slice(&journal);
    block[32..40].copy_from_slice(&generation.to_le_bytes());
    block[40..48].copy_from_slice(&size.to_le_bytes());
    let check = crc32c::crc32c_append(seeds.at(Place { generation, byte: 0 }), &block[..4092]);
    block[4092..].copy_from_slice(&check.to_le_bytes());
    block
}

/// What is wrong with the header block of a segment named `generation` in a file of `size` bytes, if anything.
pub(crate) fn header_fault(
    block: &[u8],
    journal: [u8; 16],
    seeds: Seeds,
    generation: u64,
    size: u64,
) -> Option<String> {
    let expected = header(journal, seeds, generation, size);
    if block == expected {
        return None;
    }
    if block.len() < expected.len() {
        return Some("the file ends inside its header".into());
    }
    if block[..8] != MAGIC {
        return Some("this is no journal segment".into());
    }
    let format = u16::from_le_bytes([block[8], block[9]]);
    if format > FORMAT {
        return Some(format!("segment format {format} is newer than {FORMAT}, the newest known here"));
    }
    let field = |from: usize| u64::from_le_bytes(block[from..from + 8].try_into().expect("eight bytes"));
    let stored = u32::from_le_bytes(block[4092..4096].try_into().expect("four bytes"));
    let check = crc32c::crc32c_append(seeds.at(Place { generation, byte: 0 }), &block[..4092]);
    if stored == check && field(40) != size {
        return Some(format!("the file has {size} bytes, its header says {}", field(40)));
    }
    Some("its header's check sum does not fit".into())
}
