//! A block: chunks of many series in one file that never changes (`docs/formats/recent-block.md`).
//!
//! ```text
//! header | chunks | groups of series | posting lists | pages of terms | directory of groups | directory of pages | footer
//! ```
mod bytes;
mod hot;
mod key;
mod read;
mod stream;
mod table;
mod write;

pub use key::{in_label_order, is_key, is_key_of, labels_of, pairs_of, value_of};
pub use read::{Block, BlockSeries, Place, Reading};
pub use stream::Stream;
pub use write::{Written, chunks, key, write_block, write_head};

use faultline_model::{Millis, Position};
use std::io;

/// The first bytes of a file.
const MAGIC: &[u8; 8] = b"FLRECENT";
/// The newest layout that this release reads: chunks may be of histograms.
const VERSION: u32 = 2;
/// The layout of a file without histograms, which releases before read, too.
const NUMBERS_VERSION: u32 = 1;
/// Size of the header, in bytes.
const HEADER: usize = 64;
/// Size of the footer, in bytes.
const FOOTER: usize = 96;
/// Series of one group.
const GROUP: usize = 16;
/// Terms of one page.
const TERMS: usize = 64;
/// Stands between a name and its value, and after a value: no byte of UTF-8.
pub const BETWEEN: u8 = 0xff;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A stretch of time, for good.
    Block = 0,
    /// What was in memory, for the next start.
    Head = 1,
}

/// What a head says of the store: whether a start may believe that nothing else is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Samples up to this time may be missing.
    pub lacks: Millis,
    /// No block had this number yet, or a higher one,
    pub next: u64,
    /// and so many blocks were there.
    pub blocks: u32,
}

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it is for.
    pub purpose: Purpose,
    /// The last record whose samples are in this or an older file; only of a head.
    pub covers: Position,
    /// What it says of the store; only of a head, and not of one that an older release wrote.
    pub whole: Option<Whole>,
    /// Time of the first sample.
    pub first: Millis,
    /// Time of the last sample.
    pub last: Millis,
    /// How many series it has.
    pub series: u32,
    /// How many chunks.
    pub chunks: u64,
    /// How many samples.
    pub samples: u64,
    /// Size of the file, in bytes.
    pub size: u64,
}

/// Why a block cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The disk refused. Try again later.
    #[error("the disk refused")]
    Io(#[from] io::Error),
    /// The bytes are not what was written: the file is of no use.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// A newer release wrote it.
    #[error("it has version {0}, this release reads up to {VERSION}")]
    Newer(u32),
}
