//! The writer: one thread stamps, frames and writes groups; flushes, readers and the preparer work beside it.
//!
//! A group never crosses a segment and is one write, padded with zeros to the end of the page: the place of the next frame
//! always reads as empty, and the kernel never reads a page back to change a part of it.
use crate::folder::DataFolder;
use crate::frame::{
    FrameKind, FrameWriter, HEADER, RECORD_HEAD, START_BODY, StartBody, frame_size, write_leaves, write_record,
    write_start,
};
use crate::prepare::{Preparer, READY};
use crate::reader::SegmentReader;
use crate::recover::{self, OpenError, Recovered};
use crate::seal::{Sealer, Segments, last_before};
use crate::segment::{FIRST_FRAME, PAGE, Place, segment_path, spare_path};
use crate::shared::{Ready, Seal, Segment, SegmentInfo, Settings, Shared};
use faultline_formats::{Decoded, Record};
use faultline_host::{AppendError, Clock, Extent, File, Flush, FlushError, Journal, Reader, TrimError, is_full};
use faultline_ledger::LedgerEntry;
use faultline_model::facts::Sealed;
use faultline_model::{Hlc, Position, mutant};
use std::io;
use std::sync::{Arc, Mutex};

/// Room kept at the end of a segment: for the proof of a clean stop, and for the empty header that ends a scan.
const KEPT: u64 = 2 * HEADER as u64;

/// Leaves are cut into frames of about this size.
const LEAVES_FRAME: usize = 1 << 20;
/// Leaves must fit behind their records, whatever the journal's own limit says: they may go past it by the segments that the
/// leaves of one group take.
const BEYOND: u64 = u64::MAX;
/// Most segments told of at once as hashed: their leaves fit one frame of the smallest segment, so they are written whole.
const SEALED_MAX: usize = 32;

/// The journal in segment files.
pub struct SegmentJournal {
    shared: Arc<Shared>,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    /// Offset of the next record.
    next: u64,
    stamp: Hlc,
    buffer: Vec<u8>,
    /// What a refused write may have left behind, to be cleared before the next one.
    scrub: Option<Scrub>,
    /// Of leaves that found no room, how many are written: the next call brings the same ones.
    leaves_written: usize,
    /// A clean stop's proof is the last thing written.
    clean: bool,
}

struct Scrub {
    file: Arc<dyn File>,
    from: u64,
    to: u64,
}

/// Where a write goes.
struct Target {
    file: Arc<dyn File>,
    start: Place,
    size: u64,
    /// A segment to begin, where this one ends.
    begin: Option<Ready>,
}

impl SegmentJournal {
    /// Opens the journal of `folder`, repairs what a crash tore, and says what was found. What it then holds is durable.
    ///
    /// - `at_least`: a record that another store knows to be durable (a cursor, a signed head, a checkpoint); a journal
    ///   that ends before it is damaged.
    pub fn open(
        folder: &DataFolder,
        settings: Settings,
        clock: Arc<dyn Clock>,
        at_least: Option<Position>,
    ) -> Result<(SegmentJournal, Recovered), OpenError> {
        let (shared, recovered) = recover::open(folder, settings, at_least)?;
        let shared = Arc::new(shared);
        let journal = SegmentJournal {
            sealer: Sealer { shared: Arc::clone(&shared), taking: Arc::new(Mutex::new(())) },
            shared,
            clock,
            next: recovered.next.offset + u64::from(mutant!("offset off by one")),
            stamp: recovered.stamp,
            buffer: Vec::new(),
            scrub: None,
            leaves_written: 0,
            clean: recovered.clean,
        };
        Ok((journal, recovered))
    }

    /// Reads the journal of `folder` without changing it; what a crash tore is reported and left out.
    pub fn inspect(folder: &DataFolder, at_least: Option<Position>) -> Result<Inspection, OpenError> {
        let (shared, recovered) = recover::inspect(folder, at_least)?;
        Ok(Inspection { recovered, segments: Segments { shared: Arc::new(shared) } })
    }

    /// What makes segments ready on another thread.
    pub fn preparer(&self) -> Preparer {
        Preparer { shared: Arc::clone(&self.shared) }
    }

    /// What takes the digests of full segments on another thread.
    pub fn sealer(&self) -> Sealer {
        self.sealer.clone()
    }

    /// What makes readers on another thread, as [`Journal::reader`] does on this one.
    pub fn readers(&self) -> Box<dyn Fn() -> Box<dyn Reader> + Send> {
        let shared = Arc::clone(&self.shared);
        Box::new(move || Box::new(SegmentReader::new(Arc::clone(&shared))))
    }

    /// Segments in use, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let info = |segment: &Segment| SegmentInfo {
            generation: segment.generation,
            first: Position { partition: 0, offset: segment.first },
            used: segment.used,
        };
        self.shared.state().segments.iter().map(info).collect()
    }

    /// Bytes that a group of records with these body sizes takes; at most [`SegmentJournal::max_group_size`].
    pub fn group_size(bodies: impl Iterator<Item = usize>) -> u64 {
        bodies.map(|size| frame_size(RECORD_HEAD + size)).sum()
    }

    /// The largest group that one segment holds, in bytes.
    pub fn max_group_size(&self) -> u64 {
        self.shared.settings.segment_size - FIRST_FRAME - frame_size(START_BODY) - KEPT
    }

    /// Ends cleanly: everything is durable, and a last frame says so, which lets the next start tell a torn tail from damage
    /// up to the last byte. Where a full segment has no leaf yet, or the disk no room, that frame is left out.
    pub fn close(mut self) -> Result<(), FlushError> {
        let written = self.shared.state().written();
        self.shared.make_durable(written)?;
        let owing = self.shared.state().unsealed().next().is_some();
        if self.clean || owing || written == Place::default() {
            return Ok(());
        }
        let proof = |frames: &mut FrameWriter, next, stamp| frames.frame(FrameKind::Proof, next, stamp, |_| {});
        let target = self.current().expect("something was written");
        match self.clear_scrub().and_then(|()| self.write(target, proof)) {
            Ok(()) => {}
            Err(AppendError::Full { .. }) => return Ok(()),
            Err(error) => return Err(FlushError { reason: error.to_string() }),
        }
        let written = self.shared.state().written();
        self.shared.make_durable(written)
    }

    /// The end of the segment in use.
    fn current(&self) -> Option<Target> {
        let state = self.shared.state();
        let segment = state.segments.back()?;
        Some(Target { file: Arc::clone(&segment.file), start: segment.end(), size: segment.size, begin: None })
    }

    /// Where `size` bytes of frames go: the segment in use if they fit, else the next.
    ///
    /// - `spare`: segments that must be ready besides the one in use then, for what has to fit later.
    /// - `limit`: bytes that all files may take.
    fn target(&self, size: u64, spare: usize, limit: u64) -> Result<Target, AppendError> {
        if let Some(target) = self.current().filter(|target| target.start.byte + size + KEPT <= target.size) {
            self.shared.ensure_ready(spare, limit).map_err(|why| self.shared.append_error(why))?;
            return Ok(target);
        }
        self.shared.ensure_ready(1 + spare, limit).map_err(|why| self.shared.append_error(why))?;
        let ready = self.shared.state().ready.front().cloned().expect("one was made ready");
        let start = Place { generation: ready.generation, byte: FIRST_FRAME };
        Ok(Target { file: Arc::clone(&ready.file), start, size: ready.size, begin: Some(ready) })
    }

    /// Writes frames at `target` and counts them.
    fn write(&mut self, target: Target, frames: impl FnOnce(&mut FrameWriter, u64, Hlc)) -> Result<(), AppendError> {
        let (body, proven) = {
            let state = self.shared.state();
            let proven = if mutant!("proven before it is durable") { state.written() } else { state.proven };
            (StartBody { previous: state.written(), sealed: state.sealed }, proven)
        };
        self.buffer.clear();
        let (seeds, start) = (self.shared.seeds, target.start);
        let mut writer = FrameWriter { buffer: &mut self.buffer, seeds, start, proven };
        if target.begin.is_some() {
            writer.frame(FrameKind::Start, self.next, self.stamp, |out| write_start(out, &body));
        }
        let first = self.next;
        frames(&mut writer, self.next, self.stamp);
        let end = start.byte + self.buffer.len() as u64;
        let padded = (end + HEADER as u64).next_multiple_of(PAGE).min(target.size);
        self.buffer.resize((padded - start.byte) as usize, 0);
        if let Err(error) = target.file.write_at(&self.buffer, start.byte) {
            return Err(self.write_failed(target, padded, &error));
        }
        let mut state = self.shared.state();
        if let Some(ready) = target.begin {
            state.ready.pop_front();
            let (generation, file, size) = (ready.generation, ready.file, target.size);
            state.segments.push_back(Segment { generation, file, size, first, used: end, seal: Seal::Open });
            self.shared.wanted.notify_all();
        } else {
            state.segments.back_mut().expect("there is one in use").used = end;
        }
        Ok(())
    }

    /// A disk without room refuses the write, which counts as not made; any other failure stops the journal.
    fn write_failed(&mut self, target: Target, to: u64, error: &io::Error) -> AppendError {
        if !is_full(error) {
            return AppendError::Stopped { reason: self.shared.stop("writing a segment", error) };
        }
        if !mutant!("refused write not cleared") {
            self.scrub = Some(Scrub { file: target.file, from: target.start.byte, to });
        }
        // At once, so that who is told of the refusal can rely on it; where there is no room for that either, before the next write.
        match self.clear_scrub() {
            Err(stopped @ AppendError::Stopped { .. }) => stopped,
            _ => self.shared.full(),
        }
    }

    /// Clears what a refused write left: its frames are valid, and a later crash must not bring them back.
    fn clear_scrub(&mut self) -> Result<(), AppendError> {
        let Some(scrub) = &self.scrub else { return Ok(()) };
        let zeros = vec![0; (scrub.to - scrub.from) as usize];
        match scrub.file.write_at(&zeros, scrub.from).and_then(|()| scrub.file.sync_data()) {
            Ok(()) => {
                self.scrub = None;
                Ok(())
            }
            Err(error) if is_full(&error) => Err(self.shared.full()),
            Err(error) => Err(AppendError::Stopped { reason: self.shared.stop("clearing a refused write", &error) }),
        }
    }

    /// Notes which segments `leaves`, just written, are about.
    fn note_sealed(&self, leaves: &[Box<[u8]>]) {
        for sealed in leaves.iter().filter_map(|leaf| LedgerEntry::sealed_in(leaf)) {
            let mut state = self.shared.state();
            let written = state.written();
            state.sealed = state.sealed.max(sealed.segment);
            if let Some(index) = state.index(sealed.segment) {
                state.segments[index].seal = Seal::Leaf(written);
            }
        }
    }

    fn check_running(&self) -> Result<(), AppendError> {
        match &self.shared.state().stopped {
            Some(reason) => Err(AppendError::Stopped { reason: reason.clone() }),
            None => Ok(()),
        }
    }
}

impl Journal for SegmentJournal {
    fn append(&mut self, group: Vec<Decoded>) -> Result<Vec<Record>, AppendError> {
        self.check_running()?;
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let size = SegmentJournal::group_size(group.iter().map(|decoded| decoded.payload.body.len()));
        if size > self.max_group_size() {
            return Err(AppendError::TooLarge { size, limit: self.max_group_size() });
        }
        assert!(self.leaves_written == 0, "a group's leaves come before the next group");
        self.clear_scrub()?;
        // Records leave one ready segment alone, wherever they go themselves, so that what frees room always fits.
        let spare = if group.iter().all(|decoded| decoded.payload.makes_room()) { 0 } else { READY - 1 };
        let target = self.target(size, spare, self.shared.settings.limit)?;
        let wall = self.clock.now();
        let (mut stamp, mut stamps) = (self.stamp, Vec::with_capacity(group.len()));
        for _ in &group {
            stamp = if mutant!("stamp from the clock alone") { Hlc::default().next(wall) } else { stamp.next(wall) };
            stamps.push(stamp);
        }
        self.write(target, |frames, next, _| {
            for (index, (decoded, &stamp)) in group.iter().zip(&stamps).enumerate() {
                frames.frame(FrameKind::Record, next + index as u64, stamp, |out| write_record(out, &decoded.payload));
            }
        })?;
        let first = self.next;
        (self.next, self.stamp, self.clean) = (first + group.len() as u64, stamp, false);
        let record = |(index, (decoded, stamp)): (usize, (Decoded, Hlc))| {
            let at = Position { partition: 0, offset: first + index as u64 };
            let stamp = if mutant!("clock read after the stamp") { stamp.next(wall.plus(1)) } else { stamp };
            Record { at, stamp, decoded }
        };
        Ok(group.into_iter().zip(stamps).enumerate().map(record).collect())
    }

    fn append_leaves(&mut self, leaves: &[Box<[u8]>]) -> Result<(), AppendError> {
        self.check_running()?;
        self.clear_scrub()?;
        let pieces = pieces(&leaves[self.leaves_written..], LEAVES_FRAME.min(self.max_group_size() as usize / 4));
        let sizes: Vec<u64> = pieces.iter().map(|piece| frame_size(leaves_size(piece))).collect();
        if let Some(&size) = sizes.iter().max().filter(|&&size| size > self.max_group_size()) {
            return Err(AppendError::TooLarge { size, limit: self.max_group_size() });
        }
        // All segments they need are ready before the first is written.
        let (mut room, mut begins) = (self.current().map_or(0, |t| t.size.saturating_sub(t.start.byte + KEPT)), 0);
        for &size in &sizes {
            if size > room {
                (room, begins) = (self.max_group_size(), begins + 1);
            }
            room -= size;
        }
        if begins > 0 {
            self.shared.ensure_ready(begins, BEYOND).map_err(|why| self.shared.append_error(why))?;
        }
        for (piece, size) in pieces.into_iter().zip(sizes) {
            let target = self.target(size, 0, BEYOND)?;
            let frame = |frames: &mut FrameWriter, next, stamp| {
                frames.frame(FrameKind::Leaves, next, stamp, |out| write_leaves(out, piece));
            };
            self.write(target, frame)?;
            self.clean = false;
            self.note_sealed(piece);
            self.leaves_written += piece.len();
        }
        self.leaves_written = 0;
        Ok(())
    }

    fn sealed(&self) -> Vec<Sealed> {
        let state = self.shared.state();
        let sealed = |(segment, next): (&Segment, &Segment)| match segment.seal {
            Seal::Root(root) => Some(Sealed { segment: segment.generation, last: last_before(next.first), root }),
            Seal::Open | Seal::Leaf(_) => None,
        };
        state.unsealed().map_while(sealed).take(SEALED_MAX).collect()
    }

    fn flush(&mut self) -> Box<dyn Flush> {
        let upto = self.shared.state().written();
        Box::new(SegmentFlush { shared: Arc::clone(&self.shared), upto })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(SegmentReader::new(Arc::clone(&self.shared)))
    }

    fn trim(&mut self, below: Position) -> Result<(), TrimError> {
        loop {
            let oldest = {
                let mut state = self.shared.state();
                if let Some(reason) = &state.stopped {
                    return Err(TrimError { reason: reason.clone() });
                }
                // A segment without a leaf would leave a hole in what the ledger proves.
                let durable = |seal| matches!(seal, Seal::Leaf(upto) if upto <= state.proven);
                let free = state.segments.len() > 1
                    && state.segments[1].first <= below.offset
                    && durable(state.segments[0].seal);
                if !free {
                    return Ok(());
                }
                // Out of sight of readers before it is out of its name.
                state.segments.pop_front().expect("there are two")
            };
            let shared = &self.shared;
            let from = segment_path(&shared.folder, oldest.generation);
            // One sync each, oldest first: a crash between them leaves no hole in the row.
            shared
                .disk
                .rename(&from, &spare_path(&shared.folder, oldest.generation))
                .and_then(|()| shared.disk.sync_dir(&shared.folder))
                .map_err(|error| TrimError { reason: shared.stop("trimming a segment", &error) })?;
            shared.state().spares.insert(oldest.generation);
            shared.wanted.notify_all();
        }
    }

    fn extent(&self) -> Extent {
        let state = self.shared.state();
        let oldest = state.segments.front().map_or(self.next, |segment| segment.first);
        let bytes = state.segments.iter().map(|segment| segment.size).sum();
        Extent { oldest: Position { partition: 0, offset: oldest }, bytes }
    }

    fn close(self: Box<Self>) -> Result<(), FlushError> {
        SegmentJournal::close(*self)
    }
}

/// A journal that is looked at and not written.
pub struct Inspection {
    /// Where it ends, and how.
    pub recovered: Recovered,
    /// Its segments as they are stored, and what reads the records and leaves in them.
    pub segments: Segments,
}

struct SegmentFlush {
    shared: Arc<Shared>,
    upto: Place,
}

impl Flush for SegmentFlush {
    fn wait(self: Box<Self>) -> Result<(), FlushError> {
        self.shared.make_durable(self.upto)
    }
}

fn leaves_size(leaves: &[Box<[u8]>]) -> usize {
    leaves.iter().map(|leaf| 4 + leaf.len()).sum()
}

/// Cuts `leaves` into runs of at most `most` bytes, or of one leaf that is larger.
fn pieces(leaves: &[Box<[u8]>], most: usize) -> Vec<&[Box<[u8]>]> {
    let (mut pieces, mut from, mut size) = (Vec::new(), 0, 0);
    for (index, leaf) in leaves.iter().enumerate() {
        if index > from && size + 4 + leaf.len() > most {
            pieces.push(&leaves[from..index]);
            (from, size) = (index, 0);
        }
        size += 4 + leaf.len();
    }
    if from < leaves.len() {
        pieces.push(&leaves[from..]);
    }
    pieces
}
