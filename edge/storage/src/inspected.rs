//! What a reader makes of single bytes of a segment: for tests that damage each bit and cannot read a whole journal each time.
use crate::frame::{Parsed, frame_size, parse, parse_header};
use crate::segment::{FIRST_FRAME, Place, Seeds, header_fault};

/// A segment in memory, whole or damaged, looked at by what recovery, readers and sealing look at segments with.
#[derive(Clone, Copy, Debug)]
pub struct SegmentBytes {
    journal: [u8; 16],
    seeds: Seeds,
    generation: u64,
}

impl SegmentBytes {
    /// Where the first frame begins, behind the header block.
    pub const FIRST_FRAME: usize = FIRST_FRAME as usize;

    /// Of the segment `generation` in the journal with this id.
    pub fn new(journal: [u8; 16], generation: u64) -> SegmentBytes {
        SegmentBytes { journal, seeds: Seeds::new(journal), generation }
    }

    /// What is wrong with the header block of a file with these `bytes`, if anything.
    pub fn header_fault(&self, bytes: &[u8]) -> Option<String> {
        let block = &bytes[..bytes.len().min(FIRST_FRAME as usize)];
        header_fault(block, self.journal, self.seeds, self.generation, bytes.len() as u64)
    }

    /// Size of the whole frame at byte `at` of `bytes`, padding included; nothing where no reader would take one from there.
    pub fn frame(&self, bytes: &[u8], at: usize) -> Option<usize> {
        match parse(bytes.get(at..)?, self.seeds, self.place(at)) {
            Parsed::Frame(header) => Some(frame_size(header.size as usize) as usize),
            Parsed::Cut(_) | Parsed::Nothing | Parsed::Bad(_) => None,
        }
    }

    /// Whether a valid header stands at byte `at`: recovery believes what it says of how far the journal was durable.
    pub fn header(&self, bytes: &[u8], at: usize) -> bool {
        bytes.get(at..).is_some_and(|bytes| parse_header(bytes, self.seeds, self.place(at)).is_ok())
    }

    fn place(&self, at: usize) -> Place {
        Place { generation: self.generation, byte: at as u64 }
    }
}
