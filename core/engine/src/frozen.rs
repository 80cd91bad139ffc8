//! An anchor: the state after a record, written and hashed outside while `step` goes on.
//!
//! `step` only marks: it writes what is in no table, and tells the tables to keep what their rows are (DESIGN section 5).
//! Whoever runs the engine takes the pages out between batches, as many as it likes at a time, has them hashed and kept,
//! and gives the state's digest back as a record. Then the anchor is decided. Only pages that have changed since the last
//! anchor come; the others are as they were.
use crate::checkpoint::{Layout, PARTS, Page};
use crate::effect::{Ask, Emitter};
use crate::engine::Engine;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use faultline_formats::Reason;
use faultline_model::facts::{Anchor, Decision};
use faultline_model::{Canonical, Digest, Position, Writer};

/// A state that is being written: its rows are in the tables.
#[derive(Debug)]
pub(crate) struct Frozen {
    at: Position,
    parts: VecDeque<Page>,
    layout: Layout,
}

/// Pages of a frozen state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The last record in the state.
    pub at: Position,
    /// Pages, each whole and each once, in order.
    pub pages: Vec<Page>,
    /// With the last pages: all that the state has.
    pub layout: Option<Layout>,
}

impl Engine {
    /// The record whose state is frozen and not yet written, if there is one.
    pub fn frozen(&self) -> Option<Position> {
        self.frozen.as_ref().map(|frozen| frozen.at)
    }

    /// Whether a state's digest was asked for and is not there yet.
    pub fn awaits_digest(&self) -> bool {
        self.hashing.is_some()
    }

    /// Writes pages of the frozen state until there are `bytes` of them or no more. None where nothing is frozen.
    pub fn write_frozen(&mut self, bytes: usize) -> Option<Slice> {
        let mut frozen = self.frozen.take()?;
        let mut slice = Slice { at: frozen.at, pages: Vec::new(), layout: None };
        let mut size = 0;
        while size < bytes
            && let Some(part) = frozen.parts.pop_front()
        {
            size += part.bytes.len();
            slice.pages.push(part);
        }
        for (name, table) in self.tables() {
            while size < bytes {
                let mut w = Writer::default();
                let Some(number) = table.write_frozen(&mut w) else { break };
                size += w.size();
                slice.pages.push(Page { name: alloc::format!("{name}/{number}"), bytes: w.into_bytes().into() });
            }
        }
        if size < bytes {
            self.written = Some(frozen.at);
            slice.layout = Some(frozen.layout);
        } else {
            self.frozen = Some(frozen);
        }
        Some(slice)
    }

    /// What was written is lost: all pages come with the next state, those of the one that is frozen excepted.
    pub fn taint(&mut self) {
        self.written = None;
        self.tables().for_each(|(_, table)| table.taint());
    }

    /// Gives the frozen state up: nobody wants it. What came of it comes again.
    pub fn thaw(&mut self) {
        if self.frozen.take().is_some() {
            self.tables().for_each(|(_, table)| table.thaw());
        }
    }

    /// Asks for the digest of the state after this record, one at a time: an anchor comes of the answer.
    pub(crate) fn ask_for_digest(&mut self, emit: &mut Emitter<'_>) {
        self.anchored = self.now;
        self.unanchored = 0;
        let at = emit.cause();
        self.hashing = Some((emit.ask_next(Ask::Hash(at)), at));
        // One that nobody has taken out, in a replay.
        self.thaw();
        let parts = VecDeque::from(self.parts());
        assert_eq!(parts.len(), PARTS.len(), "every part has its page");
        let mut layout = Layout { since: self.written, tables: Vec::new() };
        for (name, table) in self.tables() {
            table.freeze();
            layout.tables.push((name, table.page_count()));
        }
        self.frozen = Some(Frozen { at, parts, layout });
    }

    /// Takes the digest of the state after the record at `at`: null where the state could not be kept.
    pub(crate) fn take_digest(&mut self, at: Position, body: &[u8], emit: &mut Emitter<'_>) {
        self.hashing = None;
        match Option::<Digest>::from_bytes(body) {
            Ok(Some(state)) => {
                emit.decide(Decision::Anchor(Anchor { position: at, state }));
            }
            // The next one is due in its time.
            Ok(None) => {}
            Err(_) => emit.reject(Reason::BadRecord, 1, "the state's digest does not read"),
        }
    }
}
