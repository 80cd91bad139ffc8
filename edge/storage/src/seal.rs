//! Digests of full segments, taken beside the writer: what the ledger's leaf about a segment states.
//!
//! A segment is full once the next one is begun, and from then on no byte of it changes. Hashing its 64 MiB takes some 50 ms
//! that the writer's thread does not have, so its leaf follows some groups later. Which segments still lack theirs is
//! written down too: each segment's first frame says up to which one the leaves stand before it.
use crate::frame::{FrameKind, HEADER, Header, Parsed, frame_size, parse, split_leaves};
use crate::reader::SegmentReader;
use crate::segment::{FIRST_FRAME, Place, segment_path};
use crate::shared::{Seal, Segment, Shared};
use faultline_host::{ReadError, Reader};
use faultline_ledger::{Hash, LedgerEntry, Tree, leaf_hash};
use faultline_model::facts::Sealed;
use faultline_model::{Digest, Position};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes read at a time; a larger frame is read whole.
const PIECE: u64 = 1 << 20;

/// Takes the digests of full segments on a thread of its own.
#[derive(Clone)]
pub struct Sealer {
    pub(crate) shared: Arc<Shared>,
    /// Held while a digest is taken, so that two threads do not take the same one.
    pub(crate) taking: Arc<Mutex<()>>,
}

impl Sealer {
    /// Waits for up to `wait` for a full segment whose digest nobody took, and takes it; says whether it did. What is taken
    /// is handed out by [`faultline_host::Journal::sealed`].
    ///
    /// An error leaves the segment and those after it without a leaf, and so untrimmed; it is worth trying again only where the
    /// disk refused.
    pub fn seal(&self, wait: Duration) -> Result<bool, ReadError> {
        let state = self.shared.state();
        drop(self.shared.wanted.wait_timeout_while(state, wait, |state| state.to_seal().is_none()));
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(segment) = self.shared.state().to_seal().cloned() else { return Ok(false) };
        let root = contents(&self.shared, &segment)?.0;
        let mut state = self.shared.state();
        if let Some(index) = state.index(segment.generation) {
            state.segments[index].seal = Seal::Root(root);
        }
        Ok(true)
    }
}

/// The segments of a journal that is looked at and not written.
pub struct Segments {
    pub(crate) shared: Arc<Shared>,
}

/// A segment as it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentContents {
    /// Its file.
    pub path: PathBuf,
    /// What its leaf must state.
    pub sealed: Sealed,
    /// Whether it is full; the newest one is not, and has no leaf.
    pub full: bool,
    /// What leaves in it state about segments before it.
    pub states: Vec<Sealed>,
}

impl Segments {
    /// Another reader of the records and leaves in them.
    pub fn reader(&self) -> Box<dyn Reader> {
        Box::new(SegmentReader::new(Arc::clone(&self.shared)))
    }

    /// Reads all of them, oldest first.
    pub fn read(&self) -> Result<Vec<SegmentContents>, ReadError> {
        let segments: Vec<Segment> = self.shared.state().segments.iter().cloned().collect();
        let next = |index: usize| segments.get(index + 1).map(|next| next.first);
        let read = |(index, segment): (usize, &Segment)| {
            let (root, states) = contents(&self.shared, segment)?;
            let last = last_before(next(index).unwrap_or(segment.first));
            let sealed = Sealed { segment: segment.generation, last, root };
            let path = segment_path(&self.shared.folder, segment.generation);
            Ok(SegmentContents { path, sealed, full: next(index).is_some(), states })
        };
        segments.iter().enumerate().map(read).collect()
    }
}

/// The last record before record `next`.
pub(crate) fn last_before(next: u64) -> Position {
    Position { partition: 0, offset: next.saturating_sub(1) }
}

/// Root over what is stored in `segment`: its header block, then each frame. And what leaves in it state about others.
fn contents(shared: &Shared, segment: &Segment) -> Result<(Digest, Vec<Sealed>), ReadError> {
    let (mut tree, mut states) = (Leaves::default(), Vec::new());
    let block = read(shared, segment, 0, FIRST_FRAME)?;
    tree.push(leaf_hash(&block));
    walk(shared, segment, |header, frame| {
        tree.push(leaf_hash(frame));
        if header.kind == FrameKind::Leaves {
            let leaves = split_leaves(&frame[HEADER..HEADER + header.size as usize]).unwrap_or_default();
            states.extend(leaves.into_iter().filter_map(LedgerEntry::sealed_in));
        }
    })?;
    Ok((tree.tree.root(), states))
}

/// A tree whose tiles nobody wants.
#[derive(Default)]
struct Leaves {
    tree: Tree,
    full: Vec<faultline_ledger::Completed>,
}

impl Leaves {
    fn push(&mut self, leaf: Hash) {
        self.tree.push(leaf, &mut self.full);
        self.full.clear();
    }
}

/// Hands every frame of `segment` to `each`, as stored.
fn walk(shared: &Shared, segment: &Segment, mut each: impl FnMut(&Header, &[u8])) -> Result<(), ReadError> {
    let (mut byte, mut needed) = (FIRST_FRAME, 0);
    while byte < segment.used {
        let left = segment.used - byte;
        let piece = read(shared, segment, byte, PIECE.max(needed).min(left))?;
        let mut at = 0;
        needed = loop {
            let rest = &piece[at..];
            let place = Place { generation: segment.generation, byte };
            let header = match parse(rest, shared.seeds, place) {
                Parsed::Frame(header) => header,
                Parsed::Cut(header) => break frame_size(header.size as usize),
                Parsed::Nothing if rest.len() < HEADER => break HEADER as u64,
                Parsed::Nothing => return Err(damaged(shared, place, "a frame is missing")),
                Parsed::Bad(what) => return Err(damaged(shared, place, what)),
            };
            let size = frame_size(header.size as usize);
            each(&header, &rest[..size as usize]);
            (byte, at) = (byte + size, at + size as usize);
            if byte >= segment.used {
                break 0;
            }
        };
        if needed > segment.used.saturating_sub(byte) {
            let place = Place { generation: segment.generation, byte };
            return Err(damaged(shared, place, "a frame reaches past what was written"));
        }
    }
    Ok(())
}

fn read(shared: &Shared, segment: &Segment, byte: u64, size: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; size as usize];
    let path = || segment_path(&shared.folder, segment.generation);
    match segment.file.read_at(&mut bytes, byte) {
        Ok(count) if count == bytes.len() => Ok(bytes),
        Ok(_) => Err(ReadError::Damaged { path: path(), byte, what: "the file was cut short".into() }),
        Err(source) => Err(ReadError::Io { path: path(), byte, source }),
    }
}

fn damaged(shared: &Shared, place: Place, what: &str) -> ReadError {
    let path = segment_path(&shared.folder, place.generation);
    ReadError::Damaged { path, byte: place.byte, what: what.into() }
}
