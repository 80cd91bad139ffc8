//! What the writer, its flushes, its readers and the preparer share.
use crate::segment::{Place, Seeds};
use faultline_host::{AppendError, Disk, File, FlushError};
use faultline_model::{Digest, Position, mutant};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Sizes of a journal.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of a segment: a multiple of 4096, from 16 KiB to 1 GiB. May differ from run to run.
    pub segment_size: u64,
    /// Bytes that all segments may take: at least four segments.
    pub limit: u64,
}

impl Settings {
    /// Segments of 64 MiB within `limit`: large enough that a new one is rare, small enough that trimming is fine-grained.
    pub fn within(limit: u64) -> Settings {
        Settings { segment_size: 64 << 20, limit }
    }
}

/// A segment in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Rises from segment to segment, with gaps.
    pub generation: u64,
    /// Its first record, or the next one to come.
    pub first: Position,
    /// Bytes written to it, its header included.
    pub used: u64,
}

/// A segment that holds frames.
#[derive(Clone)]
pub(crate) struct Segment {
    pub generation: u64,
    pub file: Arc<dyn File>,
    /// Bytes of the file.
    pub size: u64,
    /// Offset of the first record in it, or of the next one to come.
    pub first: u64,
    /// Where its frames end.
    pub used: u64,
    pub seal: Seal,
}

/// How far a segment is on its way into the ledger.
#[derive(Clone, Copy)]
pub(crate) enum Seal {
    /// In use, or full and not yet hashed.
    Open,
    /// Full, and this is its root.
    Root(Digest),
    /// Its leaf stands before this place.
    Leaf(Place),
}

impl Segment {
    pub fn end(&self) -> Place {
        Place { generation: self.generation, byte: self.used }
    }
}

/// An empty segment, formatted and durable under its name.
#[derive(Clone)]
pub(crate) struct Ready {
    pub generation: u64,
    pub file: Arc<dyn File>,
    /// Bytes of the file.
    pub size: u64,
}

pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub folder: PathBuf,
    pub journal: [u8; 16],
    pub seeds: Seeds,
    pub settings: Settings,
    pub state: Mutex<State>,
    /// Held while a segment is made ready, so that the writer and the preparer do not both make one.
    pub making: Mutex<()>,
    /// Told when a ready segment was taken or room was made.
    pub wanted: Condvar,
}

pub(crate) struct State {
    /// In use, oldest first; the last is written to.
    pub segments: VecDeque<Segment>,
    /// The next ones, in order.
    pub ready: VecDeque<Ready>,
    /// Files to be used again, by the number in their name.
    pub spares: BTreeSet<u64>,
    /// Above every generation that a file was ever named or formatted with.
    pub next_generation: u64,
    /// Everything before it is durable.
    pub proven: Place,
    /// The newest segment whose leaf is written; so are those of all before it.
    pub sealed: u64,
    /// The first failure; set, nothing is written any more.
    pub stopped: Option<String>,
}

impl State {
    /// Where the next frame goes, unless a new segment is begun.
    pub fn written(&self) -> Place {
        self.segments.back().map(Segment::end).unwrap_or_default()
    }

    pub fn files(&self) -> u64 {
        (self.segments.len() + self.ready.len() + self.spares.len()) as u64
    }

    pub fn oldest(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.first)
    }

    /// Where the segment of `generation` is in the row.
    pub fn index(&self, generation: u64) -> Option<usize> {
        self.segments.binary_search_by_key(&generation, |segment| segment.generation).ok()
    }

    /// Full segments that have no leaf yet, oldest first, each with the segment that follows it.
    pub fn unsealed(&self) -> impl Iterator<Item = (&Segment, &Segment)> {
        let from = self.segments.partition_point(|segment| segment.generation <= self.sealed);
        self.segments.range(from..).zip(self.segments.iter().skip(from + 1))
    }

    /// The next segment to hash.
    pub fn to_seal(&self) -> Option<&Segment> {
        self.unsealed().map(|(segment, _)| segment).find(|segment| matches!(segment.seal, Seal::Open))
    }
}

/// Why there is no next segment.
pub(crate) enum NotReady {
    /// Neither the limit nor the disk has room.
    Full,
    /// The disk failed; the journal has stopped.
    Stopped(String),
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Stops the journal: the first reason stays.
    pub fn stop(&self, what: &str, error: &io::Error) -> String {
        let mut state = self.state();
        let reason = state.stopped.get_or_insert_with(|| format!("{what} in {}: {error}", self.folder.display()));
        reason.clone()
    }

    pub fn full(&self) -> AppendError {
        let used = self.state().files() * self.settings.segment_size;
        AppendError::Full { used, limit: self.settings.limit.max(used) }
    }

    pub fn append_error(&self, why: NotReady) -> AppendError {
        match why {
            NotReady::Full => self.full(),
            NotReady::Stopped(reason) => AppendError::Stopped { reason },
        }
    }

    /// Makes durable what is written before `upto`, and with it whatever else is written now.
    pub fn make_durable(&self, upto: Place) -> Result<(), FlushError> {
        let (files, target) = {
            let state = self.state();
            if let Some(reason) = &state.stopped {
                return Err(FlushError { reason: reason.clone() });
            }
            if state.proven >= upto {
                // An earlier flush, begun after this was written, has done it.
                return Ok(());
            }
            let open = state.segments.iter().filter(|segment| segment.end() > state.proven);
            (open.map(|segment| Arc::clone(&segment.file)).collect::<Vec<_>>(), state.written())
        };
        for file in files {
            if mutant!("journal flush skipped") {
                continue;
            }
            match file.sync_data() {
                Err(_) if mutant!("failed sync ignored") => {}
                synced => synced.map_err(|error| FlushError { reason: self.stop("syncing a segment", &error) })?,
            }
        }
        let mut state = self.state();
        if let Some(reason) = &state.stopped {
            return Err(FlushError { reason: reason.clone() });
        }
        state.proven = state.proven.max(target);
        Ok(())
    }
}
