//! Segments of the journal read, and rewritten, by docs/formats/journal.md alone: none of the writer's code is used.
use faultline_ledger::hash::root_of;
use faultline_ledger::leaf_hash;
use faultline_model::Position;
use faultline_model::facts::Sealed;

/// Size of a segment's header block.
pub const BLOCK: usize = 4_096;
/// Size of a frame's header.
pub const FRAME: usize = 48;

/// A segment file.
#[derive(Clone)]
pub struct Segment {
    pub generation: u64,
    pub bytes: Vec<u8>,
}

impl Segment {
    /// A file by its name; nothing where it is no segment or holds no frame.
    pub fn named(name: &str, bytes: Vec<u8>) -> Option<Segment> {
        let generation = u64::from_str_radix(name.strip_prefix("segment-")?, 16).ok()?;
        (bytes.get(BLOCK..)?.starts_with(b"FLfr")).then_some(Segment { generation, bytes })
    }

    /// Where each frame begins, and where the last one ends.
    pub fn frames(&self) -> Vec<usize> {
        let (mut all, mut at) = (vec![BLOCK], BLOCK);
        while self.bytes.get(at..at + 4) == Some(b"FLfr") {
            at += FRAME + (word(&self.bytes, at + 8) as usize).next_multiple_of(8);
            all.push(at);
        }
        all
    }

    /// Kind of the frame at `at`: 1 start, 2 record, 3 leaves, 4 proof.
    pub fn kind(&self, at: usize) -> u8 {
        self.bytes[at + 4]
    }

    /// Body of the frame at `at`.
    pub fn body(&self, at: usize) -> &[u8] {
        &self.bytes[at + FRAME..at + FRAME + word(&self.bytes, at + 8) as usize]
    }

    /// Changes the body of the frame at `at` and makes both of its check sums fit.
    pub fn rewrite(&mut self, journal: [u8; 16], at: usize, change: impl FnOnce(&mut [u8])) {
        let size = word(&self.bytes, at + 8) as usize;
        let end = at + FRAME + size.next_multiple_of(8);
        change(&mut self.bytes[at + FRAME..at + FRAME + size]);
        let seed = [&journal[..], &self.generation.to_le_bytes(), &(at as u64).to_le_bytes()];
        let seed = seed.iter().fold(0, |seed, part| crc32c::crc32c_append(seed, part));
        let body = crc32c::crc32c_append(seed, &self.bytes[at + FRAME..end]);
        self.bytes[at + 12..at + 16].copy_from_slice(&body.to_le_bytes());
        let header = crc32c::crc32c_append(seed, &self.bytes[at..at + 44]);
        self.bytes[at + 44..at + 48].copy_from_slice(&header.to_le_bytes());
    }
}

/// What the leaves of the full ones among `segments` must state; those that hold frames, in order.
pub fn full(segments: &[Segment]) -> Vec<Sealed> {
    let sealed = |pair: &[Segment]| {
        let (segment, next) = (&pair[0], &pair[1]);
        let frames = segment.frames();
        let blocks = std::iter::once(leaf_hash(&segment.bytes[..BLOCK]));
        let leaves: Vec<_> =
            blocks.chain(frames.windows(2).map(|at| leaf_hash(&segment.bytes[at[0]..at[1]]))).collect();
        // The first frame of the next one: the record that comes next, this segment, and where it ended.
        let start = [long(&next.bytes, BLOCK + FRAME), long(&next.bytes, BLOCK + FRAME + 8)];
        assert_eq!(start, [segment.generation, *frames.last().expect("the end") as u64]);
        let last = Position { partition: 0, offset: long(&next.bytes, BLOCK + 16) - 1 };
        Sealed { segment: segment.generation, last, root: root_of(&leaves) }
    };
    segments.windows(2).map(sealed).collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
