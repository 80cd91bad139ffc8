//! The recent store: the newest samples of every live series, within a fixed number of samples.
//!
//! One thread writes, at up to a million samples a second, and answers senders besides; so nobody holds the lock for
//! longer than a few hundred series take, and a reader stands back while the writer waits.
use super::ring::Ring;
use faultline_model::labels::NAME;
use faultline_model::{Labels, Millis, Sample};
use faultline_promql::{MatchOp, Matcher};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Samples held in all, 16 bytes each: 256 MiB. Past it only what keeps each series at [`PER_SERIES_MIN`] is added, while
/// the rings with more than their share give it up, eight for each one that grows.
pub const SAMPLES_MAX: usize = 16 << 20;
/// Most samples of one series: more than 5 minutes at one a second.
pub const PER_SERIES_MAX: usize = 512;
/// Every series keeps this many, however many series there are.
pub const PER_SERIES_MIN: usize = 2;

const PAGE: usize = 1024;
/// Samples written under one hold of the lock.
const WRITE_CHUNK: usize = 2048;
/// Samples whose series are fetched from memory together.
const AHEAD: usize = 32;
/// Series looked at or copied under one hold of the lock.
const READ_CHUNK: usize = 128;
/// Rings looked at for samples to give up, for each ring that wants to grow when there is no room.
const TRIMS: usize = 8;

/// The newest samples by series id.
pub(crate) struct Recent {
    writer_waits: AtomicBool,
    inner: Mutex<Inner>,
}

/// How full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Live series.
    pub series: usize,
    /// Samples for which there is memory.
    pub room: usize,
    /// Samples of ids that no `created` had named.
    pub orphans: u64,
}

/// A series that a selector matches.
pub(crate) struct Found {
    /// Its labels.
    pub labels: Labels,
    /// Its id at the time.
    pub id: u32,
    born: u64,
}

/// A copy of one series' samples.
pub(crate) struct Copied {
    /// Place in the list of found series.
    pub index: usize,
    /// Its part of the copied samples.
    pub samples: std::ops::Range<usize>,
    /// Time of the newest sample given up to make room; none where all are still there.
    pub dropped: Option<Millis>,
}

impl Recent {
    /// An empty store.
    ///
    /// - `budget`: samples held in all.
    pub fn new(budget: usize) -> Recent {
        let inner = Inner {
            pages: Vec::new(),
            by_name: HashMap::new(),
            budget,
            live: 0,
            room: 0,
            born: 0,
            hand: 0,
            orphans: 0,
        };
        Recent { writer_waits: AtomicBool::new(false), inner: Mutex::new(inner) }
    }

    /// Takes in new series, then samples, then the ids to forget.
    pub fn accept(&self, created: Vec<(u32, Labels)>, samples: &[(u32, Sample)], evicted: &[u32]) {
        let mut created = created.into_iter().peekable();
        while created.peek().is_some() {
            let mut inner = self.write();
            created.by_ref().take(READ_CHUNK).for_each(|(id, labels)| inner.create(id, labels));
        }
        for chunk in samples.chunks(WRITE_CHUNK) {
            self.write().push(chunk);
        }
        for chunk in evicted.chunks(READ_CHUNK) {
            let mut inner = self.write();
            chunk.iter().for_each(|id| inner.evict(*id));
        }
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        let inner = self.read();
        Fill { series: inner.live, room: inner.room, orphans: inner.orphans }
    }

    /// The series that all `matchers` accept, in label order; `None` if they are more than `limit`.
    pub fn find(&self, matchers: &[Matcher], limit: usize) -> Option<Vec<Found>> {
        let name = matchers.iter().find(|m| m.op == MatchOp::Equal && m.name == NAME && !m.value.is_empty());
        let (mut found, mut candidates, mut next) = (Vec::new(), Vec::with_capacity(READ_CHUNK), Some(0));
        while let Some(from) = next {
            next = self.read().candidates(name.map(|m| &*m.value), from, &mut candidates);
            for candidate in candidates.drain(..) {
                if matchers.iter().all(|matcher| matcher.matches(candidate.labels.get(&matcher.name))) {
                    if found.len() == limit {
                        return None;
                    }
                    found.push(candidate);
                }
            }
        }
        found.sort_by(|a: &Found, b| a.labels.cmp(&b.labels).then(a.id.cmp(&b.id)));
        Some(found)
    }

    /// Copies the samples with `from <= time <= to` of found series, a few at a time; those that have gone are left out.
    pub fn copy(&self, found: &[Found], from: Millis, to: Millis, mut visit: impl FnMut(&[Sample], &Copied)) {
        let (mut samples, mut copied) = (Vec::new(), Vec::with_capacity(READ_CHUNK));
        for (nth, chunk) in found.chunks(READ_CHUNK).enumerate() {
            samples.clear();
            copied.clear();
            let inner = self.read();
            for (i, series) in chunk.iter().enumerate() {
                let Some(slot) = inner.slot(series.id).filter(|slot| slot.born == series.born) else { continue };
                let start = samples.len();
                slot.ring.copy(from, to, &mut samples);
                let (index, dropped) = (nth * READ_CHUNK + i, slot.ring.dropped());
                copied.push(Copied { index, samples: start..samples.len(), dropped });
            }
            drop(inner);
            copied.iter().for_each(|series| visit(&samples, series));
        }
    }

    fn write(&self) -> MutexGuard<'_, Inner> {
        self.writer_waits.store(true, Ordering::Relaxed);
        let inner = self.inner.lock().expect("no holder panics");
        self.writer_waits.store(false, Ordering::Relaxed);
        inner
    }

    fn read(&self) -> MutexGuard<'_, Inner> {
        // The lock is not fair: without this a reader could take it again and again ahead of the loop.
        while self.writer_waits.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        self.inner.lock().expect("no holder panics")
    }
}

struct Inner {
    // Pages, so that growth never moves a million slots while the lock is held.
    pages: Vec<Box<[Slot]>>,
    by_name: HashMap<Box<str>, BTreeSet<u32>>,
    budget: usize,
    live: usize,
    /// Samples for which rings hold memory.
    room: usize,
    /// Counts series ever created, so that an id used again is told from its first use.
    born: u64,
    /// Next slot to look at for samples to give up.
    hand: usize,
    orphans: u64,
}

// One cache line.
#[derive(Default)]
#[repr(align(64))]
struct Slot {
    ring: Ring,
    /// 0 of a free slot.
    born: u64,
    labels: Labels,
}

impl Inner {
    /// Most samples of one series while there are as many as now.
    fn share(&self) -> usize {
        (self.budget / self.live.max(1)).clamp(PER_SERIES_MIN, PER_SERIES_MAX)
    }

    fn slot(&self, id: u32) -> Option<&Slot> {
        let slot = self.pages.get(id as usize / PAGE)?.get(id as usize % PAGE)?;
        (slot.born > 0).then_some(slot)
    }

    fn create(&mut self, id: u32, labels: Labels) {
        self.evict(id);
        while self.pages.len() <= id as usize / PAGE {
            self.pages.push((0..PAGE).map(|_| Slot::default()).collect());
        }
        match self.by_name.get_mut(labels.name()) {
            Some(ids) => {
                ids.insert(id);
            }
            None => {
                self.by_name.insert(labels.name().into(), BTreeSet::from([id]));
            }
        }
        self.live += 1;
        self.born += 1;
        self.pages[id as usize / PAGE][id as usize % PAGE] = Slot { ring: Ring::default(), born: self.born, labels };
    }

    fn evict(&mut self, id: u32) {
        let Some(slot) = self.pages.get_mut(id as usize / PAGE).map(|page| &mut page[id as usize % PAGE]) else {
            return;
        };
        if slot.born == 0 {
            return;
        }
        let slot = std::mem::take(slot);
        self.live -= 1;
        self.room -= slot.ring.room();
        let name = slot.labels.name();
        let ids = self.by_name.get_mut(name).expect("every live series is listed under its name");
        ids.remove(&id);
        if ids.is_empty() {
            self.by_name.remove(name);
        }
    }

    fn push(&mut self, samples: &[(u32, Sample)]) {
        let share = self.share();
        for group in samples.chunks(AHEAD) {
            // Series lie anywhere in memory. Looked at first, all of a group are fetched at the same time.
            std::hint::black_box(group.iter().filter_map(|(id, _)| self.slot(*id)?.ring.newest()).max());
            self.push_group(group, share);
        }
        // New series got their due before older ones gave up theirs: catch up, a page at a time.
        let mut looks = PAGE / TRIMS;
        while looks > 0 && self.room > self.budget.max(self.live * PER_SERIES_MIN) {
            self.trim(share);
            looks -= 1;
        }
    }

    fn push_group(&mut self, samples: &[(u32, Sample)], share: usize) {
        for (id, sample) in samples {
            let slot = self.pages.get_mut(*id as usize / PAGE).map(|page| &mut page[*id as usize % PAGE]);
            let Some(slot) = slot.filter(|slot| slot.born > 0) else {
                self.orphans += 1;
                continue;
            };
            if !slot.ring.wants_room(share) {
                slot.ring.push(*sample);
                continue;
            }
            self.grow(*id, share);
            self.pages[*id as usize / PAGE][*id as usize % PAGE].ring.push(*sample);
        }
    }

    /// Gives a full ring more room if there is any left, or if it has less than every series is due.
    fn grow(&mut self, id: u32, share: usize) {
        let ring = &self.pages[id as usize / PAGE][id as usize % PAGE].ring;
        let more = ring.growth(share);
        let has_its_due = ring.room() >= PER_SERIES_MIN;
        if self.room + more > self.budget {
            self.trim(share);
            if self.room + more > self.budget && has_its_due {
                return;
            }
        }
        let ring = &mut self.pages[id as usize / PAGE][id as usize % PAGE].ring;
        let before = ring.room();
        ring.grow(more);
        self.room += ring.room() - before;
    }

    /// Takes from rings that hold more than their share, a few rings each time it is called.
    fn trim(&mut self, share: usize) {
        for _ in 0..TRIMS {
            let ring = &mut self.pages[self.hand / PAGE][self.hand % PAGE].ring;
            let before = ring.room();
            ring.trim(share);
            self.room -= before - ring.room();
            self.hand = (self.hand + 1) % (self.pages.len() * PAGE);
        }
    }

    /// Appends up to [`READ_CHUNK`] series from id `from` on, of one metric or of all; returns where to go on.
    fn candidates(&self, name: Option<&str>, from: u32, out: &mut Vec<Found>) -> Option<u32> {
        let mut add = |id: u32, slot: &Slot| out.push(Found { labels: slot.labels.clone(), id, born: slot.born });
        if let Some(name) = name {
            let mut ids = self.by_name.get(name)?.range(from..);
            for id in ids.by_ref().take(READ_CHUNK) {
                add(*id, self.slot(*id).expect("only live series are listed"));
            }
            return ids.next().copied();
        }
        let end = (from as usize + READ_CHUNK).min(self.pages.len() * PAGE);
        for id in from..end as u32 {
            if let Some(slot) = self.slot(id) {
                add(id, slot);
            }
        }
        (end < self.pages.len() * PAGE).then_some(end as u32)
    }
}
