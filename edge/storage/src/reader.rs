//! Reads records and leaves back, beside the writer, up to what it has written.
use crate::frame::{FrameKind, HEADER, Header, Parsed, frame_size, parse, read_leaves, read_record, read_start};
use crate::scan::continues;
use crate::segment::{FIRST_FRAME, Place, segment_path};
use crate::shared::Shared;
use bytes::Bytes;
use faultline_host::{File, Item, ReadError, Reader, Stored};
use faultline_model::{Hlc, Position};
use std::sync::Arc;

/// The least that is read at once: a disk answers this about as fast as a byte.
const LEAST: u64 = 64 << 10;

pub(crate) struct SegmentReader {
    shared: Arc<Shared>,
    cursor: Option<Cursor>,
}

/// How far a reader is.
#[derive(Clone, Copy)]
struct Cursor {
    /// The last record returned, or the one asked for.
    after: Option<Position>,
    /// The next frame.
    place: Place,
    /// What the next frame must continue; `None` before the first frame of the first segment.
    expected: Option<(u64, Hlc)>,
    /// Records up to `after` are still to be passed over.
    skipping: bool,
}

/// A segment as it stands now.
struct Here {
    file: Arc<dyn File>,
    used: u64,
    /// The next segment's generation.
    following: Option<u64>,
}

impl SegmentReader {
    pub fn new(shared: Arc<Shared>) -> SegmentReader {
        SegmentReader { shared, cursor: None }
    }

    /// A cursor before the segment that holds `after`; `None` while nothing is written.
    fn locate(&self, after: Option<Position>) -> Result<Option<Cursor>, ReadError> {
        let state = self.shared.state();
        let oldest = state.oldest();
        if after.is_some_and(|after| after.offset + 1 < oldest) {
            return Err(self.trimmed(oldest));
        }
        let index = match after {
            None => 0,
            Some(after) => state.segments.partition_point(|segment| segment.first <= after.offset).saturating_sub(1),
        };
        let skipping = after.is_some_and(|after| after.offset >= oldest);
        let cursor = |generation| {
            let place = Place { generation, byte: FIRST_FRAME };
            Cursor { after, place, expected: None, skipping }
        };
        Ok(state.segments.get(index).map(|segment| cursor(segment.generation)))
    }

    fn trimmed(&self, oldest: u64) -> ReadError {
        ReadError::Trimmed { oldest: Position { partition: 0, offset: oldest } }
    }

    fn here(&self, generation: u64) -> Result<Here, ReadError> {
        let state = self.shared.state();
        let index = state
            .segments
            .binary_search_by_key(&generation, |segment| segment.generation)
            .map_err(|_| self.trimmed(state.oldest()))?;
        let segment = &state.segments[index];
        let following = state.segments.get(index + 1).map(|segment| segment.generation);
        Ok(Here { file: Arc::clone(&segment.file), used: segment.used, following })
    }

    /// What a bad frame means: damage, or that its segment was trimmed and used again while it was read.
    fn fault(&self, place: Place, what: &str) -> ReadError {
        match self.here(place.generation) {
            Ok(_) => {
                let path = segment_path(&self.shared.folder, place.generation);
                ReadError::Damaged { path, byte: place.byte, what: what.to_string() }
            }
            Err(trimmed) => trimmed,
        }
    }

    /// Reads `size` bytes at the cursor, fewer only where the file ends.
    fn chunk(&self, here: &Here, place: Place, size: u64) -> Result<Bytes, ReadError> {
        let mut bytes = vec![0; size as usize];
        match here.file.read_at(&mut bytes, place.byte) {
            Ok(count) => bytes.truncate(count),
            Err(source) => {
                let path = segment_path(&self.shared.folder, place.generation);
                return Err(ReadError::Io { path, byte: place.byte, source });
            }
        }
        Ok(Bytes::from(bytes))
    }

    /// Takes the frames of `chunk` until it ends, moving `cursor`; returns how many bytes the next frame needs.
    fn take(&self, chunk: &Bytes, cursor: &mut Cursor, items: &mut Vec<Item>) -> Result<u64, ReadError> {
        let mut at = 0;
        loop {
            let rest = &chunk[at..];
            let header = match parse(rest, self.shared.seeds, cursor.place) {
                Parsed::Frame(header) => header,
                Parsed::Cut(header) => return Ok(frame_size(header.size as usize)),
                Parsed::Nothing if rest.len() < HEADER => return Ok(HEADER as u64),
                Parsed::Nothing => return Err(self.fault(cursor.place, "a frame is missing")),
                Parsed::Bad(what) => return Err(self.fault(cursor.place, what)),
            };
            let body = chunk.slice(at + HEADER..at + HEADER + header.size as usize);
            self.one(&header, &body, cursor, items)?;
            let size = frame_size(header.size as usize);
            cursor.place.byte += size;
            at += size as usize;
        }
    }

    /// Takes one valid frame.
    fn one(&self, header: &Header, body: &Bytes, cursor: &mut Cursor, items: &mut Vec<Item>) -> Result<(), ReadError> {
        let begins = cursor.place.byte == FIRST_FRAME && header.kind == FrameKind::Start;
        let fits = match cursor.expected {
            None => begins,
            Some((next, stamp)) if begins => (header.offset, header.stamp) == (next, stamp),
            Some((next, stamp)) => continues(header, next, stamp),
        };
        if !fits || begins && read_start(body).is_none() {
            return Err(self.fault(cursor.place, "a frame does not continue the one before it"));
        }
        let at = Position { partition: 0, offset: header.offset };
        let unreadable = || self.fault(cursor.place, "a frame holds what this release cannot read");
        let item = match header.kind {
            FrameKind::Start | FrameKind::Proof => None,
            FrameKind::Record => {
                let payload = read_record(body).ok_or_else(unreadable)?;
                Some(Item::Record(Stored { at, stamp: header.stamp, payload }))
            }
            FrameKind::Leaves => {
                let after = Position { partition: 0, offset: header.offset.saturating_sub(1) };
                Some(Item::Leaves { after, leaves: read_leaves(body).ok_or_else(unreadable)? })
            }
        };
        let next = header.offset + u64::from(header.kind == FrameKind::Record);
        cursor.expected = Some((next, header.stamp));
        if cursor.skipping {
            cursor.skipping = !(header.kind == FrameKind::Record && cursor.after == Some(at));
            return Ok(());
        }
        if header.kind == FrameKind::Record {
            cursor.after = Some(at);
        }
        items.extend(item);
        Ok(())
    }
}

impl Reader for SegmentReader {
    fn read(&mut self, after: Option<Position>, max_bytes: usize) -> Result<Vec<Item>, ReadError> {
        let mut cursor = match self.cursor.take().filter(|cursor| cursor.after == after && !cursor.skipping) {
            Some(cursor) => cursor,
            None => match self.locate(after)? {
                Some(cursor) => cursor,
                None => return Ok(Vec::new()),
            },
        };
        let (mut items, mut needed) = (Vec::new(), 0);
        loop {
            let here = self.here(cursor.place.generation)?;
            let left = here.used - cursor.place.byte;
            if left > 0 && items.is_empty() {
                if needed > left {
                    return Err(self.fault(cursor.place, "a frame reaches past what was written"));
                }
                let size = (max_bytes as u64).max(LEAST).max(needed).min(left);
                let chunk = self.chunk(&here, cursor.place, size)?;
                if (chunk.len() as u64) < size {
                    return Err(self.fault(cursor.place, "the file was cut short"));
                }
                needed = self.take(&chunk, &mut cursor, &mut items)?;
                continue;
            }
            match here.following {
                Some(generation) if left == 0 && items.is_empty() => {
                    (cursor.place, needed) = (Place { generation, byte: FIRST_FRAME }, 0);
                }
                _ => break,
            }
        }
        self.cursor = Some(cursor);
        Ok(items)
    }
}
