//! Reads blocks of a Prometheus TSDB: `meta.json`, index, chunks, tombstones. Writes nothing.
//!
//! Blocks are read in the order in which they lie on disk, series by series, so that memory does not grow with them: 8 bytes for each
//! 32 symbols of an open block, its tombstones, and of each cursor some MiB and the symbols that it is allowed to hold. Each check sum
//! is checked as what it covers is read. What a write-ahead log holds, some two hours, is in no block.
//!
//! Further reading: `tsdb/docs/format` in Prometheus' repository.
mod bits;
mod block;
mod chunks;
mod floats;
mod histograms;
mod index;
mod pages;
mod starts;
mod tombstones;

pub use block::{Block, Compaction, Cursor, Downsample, Meta, Next, Parent, Stats, Survey, Thanos};
pub use index::ChunkPlace;

use faultline_model::{HistogramSample, Sample};
use std::io;

/// Why a block, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsdbError {
    /// The disk refused, or a file is missing.
    #[error("the disk refused: {0}")]
    Io(#[from] io::Error),
    /// The bytes are not what Prometheus wrote.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// `meta.json` is not what it should be.
    #[error("its meta.json cannot be read: {0}")]
    Meta(String),
    /// It is of a kind that is not read.
    #[error("{0}")]
    Unknown(String),
}

impl TsdbError {
    const fn damaged(why: &'static str) -> TsdbError {
        TsdbError::Damaged(why)
    }
}

/// What a series has in a stretch, in the order of its chunks.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// Floats, stale markers among them.
    pub samples: Vec<Sample>,
    /// Native histograms, stale markers among them.
    pub histograms: Vec<HistogramSample>,
    /// Histograms that are not in here, because nobody may store such: bounds that do not rise, a negative zero bucket, more buckets
    /// than can be held.
    pub refused: u64,
}
