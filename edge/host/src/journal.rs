//! The journal as the loop, replay and `verify` see it: stamp, write, make durable, read back, trim.
//!
//! The order of calls is the promise: what a [`Flush`] covers is what was written before it was made, so a group may be
//! stepped over and the next one written while the disk works, and nothing of a group leaves before its flush.
use bytes::Bytes;
use faultline_formats::{Decoded, Record};
use faultline_model::facts::Sealed;
use faultline_model::{Hlc, Payload, Position};
use std::io;
use std::path::PathBuf;

/// The durable ordered input. One writer; readers on other threads.
pub trait Journal: Send {
    /// Gives each of `group` its position and stamp and writes it, as a whole or not at all. Not yet durable.
    fn append(&mut self, group: Vec<Decoded>) -> Result<Vec<Record>, AppendError>;

    /// Writes the leaves (canonical bytes, in ledger order) that the last group decided, behind its records. An empty slice
    /// writes nothing. After [`AppendError::Full`], which comes of the disk and never of the journal's own limit, the same leaves
    /// are brought again before the next group; those of segments may wait for longer.
    fn append_leaves(&mut self, leaves: &[Box<[u8]>]) -> Result<(), AppendError>;

    /// Segments that are full, hashed, and without a leaf so far, oldest first, some of them where there are many. Whoever asks
    /// writes a leaf for each, in this order, with [`Journal::append_leaves`], all or none; until then they are told of again,
    /// after a crash too.
    fn sealed(&self) -> Vec<Sealed>;

    /// A handle that makes durable what was written so far; further groups may be written before it is waited for.
    fn flush(&mut self) -> Box<dyn Flush>;

    /// A reader of its own, from any place, up to what was written.
    fn reader(&self) -> Box<dyn Reader>;

    /// Gives back the room of records below `below`, in whole segments whose own leaf is durable: some records below it
    /// may stay. The caller has an anchor at or above `below` and has synced the tiles of every leaf below it.
    fn trim(&mut self, below: Position) -> Result<(), TrimError>;

    /// What the journal holds and takes.
    fn extent(&self) -> Extent;

    /// Ends cleanly: everything is durable, and the journal says so, which lets the next start tell a torn tail from damage up
    /// to the last byte. It does not say so while [`Journal::sealed`] has or will have something to tell.
    fn close(self: Box<Self>) -> Result<(), FlushError>;
}

/// What a journal holds and takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Its oldest record, or the next one to come.
    pub oldest: Position,
    /// Bytes on disk of the segments that hold records.
    pub bytes: u64,
}

/// A promise of durability.
pub trait Flush: Send {
    /// Blocks until everything written before [`Journal::flush`] is durable. After an error nothing of it may be
    /// acknowledged, and the process must end.
    fn wait(self: Box<Self>) -> Result<(), FlushError>;
}

/// Reads records as they were received, without decoding them, so that decoding can run in parallel.
pub trait Reader: Send {
    /// What follows record `after` (`None`: the oldest there is), in order, about `max_bytes` of it and at least one
    /// item; empty at the end of what is written.
    ///
    /// The first item may be the leaves written behind `after`. A reader that goes on from its own last record does not
    /// repeat them; one that starts afresh there does.
    fn read(&mut self, after: Option<Position>, max_bytes: usize) -> Result<Vec<Item>, ReadError>;
}

/// One thing read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Record(Stored),
    /// Leaves written behind record `after` and before the next one; a group's leaves may come in several pieces.
    Leaves {
        /// The last record before them.
        after: Position,
        /// Canonical bytes, in ledger order.
        leaves: Vec<Bytes>,
    },
}

/// A record as stored. Its body shares memory with the whole batch it was read in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place.
    pub at: Position,
    /// When the writer took it.
    pub stamp: Hlc,
    /// What was received.
    pub payload: Payload,
}

/// Why a group was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No room. Nothing was counted and the journal goes on: refuse the senders, set an anchor, trim, try again.
    #[error(
        "the journal is full: {used} of {limit} bytes in use; set an anchor and trim, raise the limit or free disk space"
    )]
    Full {
        /// Bytes that segments take.
        used: u64,
        /// Bytes that they may take; as much as `used` where the disk itself is full.
        limit: u64,
    },
    /// The group is larger than a segment. Nothing was counted and the journal goes on: refuse it or split it.
    #[error("a group of {size} bytes exceeds the {limit} bytes that one segment holds")]
    TooLarge {
        /// Bytes of the group on disk.
        size: u64,
        /// The most there may be.
        limit: u64,
    },
    /// The disk failed, now or before. End the process; recovery at the next start finds what is durable.
    #[error("the journal stopped: {reason}")]
    Stopped {
        /// What failed first.
        reason: String,
    },
}

/// Why durability is not certain.
#[derive(Debug, thiserror::Error)]
#[error("the journal stopped before its records were durable: {reason}")]
pub struct FlushError {
    /// What failed first.
    pub reason: String,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk refused; try again.
    #[error("cannot read {} at byte {byte}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// From where.
        byte: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes are not what was written. Do not retry: restore the folder from a copy, or keep it and let `verify`
    /// say what is lost.
    #[error("{} is damaged at byte {byte}: {what}; restore the data folder from a copy", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where its first bad frame begins.
        byte: u64,
        /// What is wrong there.
        what: String,
    },
    /// The place asked for was trimmed: start at `oldest` with an anchor.
    #[error("records before {oldest} are trimmed")]
    Trimmed {
        /// The oldest record there is, or the next one to come.
        oldest: Position,
    },
}

/// Why nothing was trimmed.
#[derive(Debug, thiserror::Error)]
#[error("cannot trim the journal: {reason}")]
pub struct TrimError {
    /// What failed.
    pub reason: String,
}
