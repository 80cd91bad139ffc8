//! What is in memory: of each series an open chunk and closed ones, within a number of bytes.
use super::chunk::{CHUNK_SAMPLES, Chunk, Late, Open, put_behind};
use super::histograms::Histograms;
use super::{WINDOW_MS, window};
use faultline_model::{HistogramSample, Millis, Sample};
use std::collections::{BTreeMap, HashSet};

/// Slots that are allocated together, so that growth never moves a million of them while the lock is held.
const PAGE: usize = 1024;
/// Samples whose series are fetched from memory together.
const AHEAD: usize = 32;
/// Slots looked at for chunks to give up after each chunk of samples, where memory is short.
const SWEEP: usize = 512;
/// Bytes that each series keeps, however short memory is: its open chunk up to this size.
const DUE: usize = 32;
/// Marks an id of the engine that names no series here.
const NONE: u32 = u32::MAX;

/// One series: two cache lines.
#[derive(Default)]
#[repr(align(128))]
pub struct Slot {
    pub open: Open<Sample>,
    newest: Option<Sample>,
    pub closed: Vec<Chunk>,
    /// Time of the newest sample that was given up, `i64::MIN` where none was.
    dropped: Dropped,
    /// Ids of the engine that name it.
    names: u32,
}

struct Dropped(Millis);

impl Default for Dropped {
    fn default() -> Dropped {
        Dropped(Millis(i64::MIN))
    }
}

impl Slot {
    /// The newest sample ever, also where its chunk is on disk.
    pub fn newest(&self) -> Option<Sample> {
        self.newest
    }

    /// Time of the newest sample given up for want of memory.
    pub fn dropped(&self) -> Option<Millis> {
        Some(self.dropped.0).filter(|at| *at > Millis(i64::MIN))
    }

    fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.count() == 0
    }

    /// Bytes, and chunks.
    fn load(&self) -> (usize, usize) {
        let bytes = self.open.size() + self.closed.iter().map(Chunk::size).sum::<usize>();
        (bytes, self.closed.len() + usize::from(self.open.count() > 0))
    }

    fn close(&mut self) {
        let last = self.newest.map_or(Millis(0), |newest| newest.time());
        self.closed.extend(self.open.close(last));
    }
}

/// What became of samples since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Taken in.
    pub samples: u64,
    /// Of those, taken in behind newer ones.
    pub late: u64,
    /// Older than anything that is kept.
    pub too_old: u64,
    /// Of ids that no `created` had named.
    pub orphans: u64,
    /// Given up for want of memory before they were on disk.
    pub dropped: u64,
    /// Of series for which there was no room.
    pub refused: u64,
}

/// All series by place.
pub struct Head {
    pages: Vec<Box<[Slot]>>,
    /// Of series that have any, by place.
    histograms: BTreeMap<u32, Histograms>,
    /// The place of each id of the engine.
    ids: Vec<u32>,
    budget: usize,
    /// Bytes of chunks.
    pub bytes: usize,
    /// Closed chunks, and series with an open one.
    pub chunks: usize,
    /// Series that the engine names.
    pub live: usize,
    pub counted: Counted,
    /// Time of the newest sample of all.
    pub newest: Millis,
    /// Samples before are refused.
    pub oldest: Millis,
    /// Time of the newest sample of all that was given up or had no place.
    pub lacks: Millis,
    hand: u32,
}

/// Ids whose series were refused, told from those that were never named.
const REFUSED: u32 = NONE - 1;

impl Head {
    /// Nothing yet.
    ///
    /// - `budget`: bytes of chunks.
    pub fn new(budget: usize) -> Head {
        Head {
            pages: Vec::new(),
            histograms: BTreeMap::new(),
            ids: Vec::new(),
            budget,
            bytes: 0,
            chunks: 0,
            live: 0,
            counted: Counted::default(),
            newest: Millis(i64::MIN),
            oldest: Millis(i64::MIN),
            lacks: Millis(i64::MIN),
            hand: 0,
        }
    }

    /// How many slots there are.
    pub fn end(&self) -> u32 {
        (self.pages.len() * PAGE) as u32
    }

    /// The series at a place.
    pub fn slot(&self, place: u32) -> Option<&Slot> {
        self.pages.get(place as usize / PAGE)?.get(place as usize % PAGE)
    }

    fn slot_mut(&mut self, place: u32) -> &mut Slot {
        while self.pages.len() <= place as usize / PAGE {
            self.pages.push((0..PAGE).map(|_| Slot::default()).collect());
        }
        &mut self.pages[place as usize / PAGE][place as usize % PAGE]
    }

    /// Lets an id name the series at a place, or one that was refused.
    pub fn name(&mut self, id: u32, place: Option<u32>) {
        self.unname(id);
        if self.ids.len() <= id as usize {
            self.ids.resize(id as usize + 1, NONE);
        }
        self.ids[id as usize] = place.unwrap_or(REFUSED);
        if let Some(place) = place {
            let slot = self.slot_mut(place);
            slot.names += 1;
            self.live += usize::from(slot.names == 1);
        }
    }

    /// The place that an id names, if there is one.
    pub fn place(&self, id: u32) -> Option<u32> {
        self.ids.get(id as usize).copied().filter(|&place| place < REFUSED)
    }

    /// The engine forgets a series; its samples stay.
    pub fn unname(&mut self, id: u32) {
        let Some(place) = self.ids.get_mut(id as usize).map(|place| std::mem::replace(place, NONE)) else { return };
        if place < REFUSED {
            let slot = self.slot_mut(place);
            slot.names -= 1;
            self.live -= usize::from(slot.names == 0);
        }
    }

    /// Takes in samples by ids of the engine.
    pub fn push(&mut self, samples: &[(u32, Sample)]) {
        for group in samples.chunks(AHEAD) {
            // Series lie anywhere in memory. Looked at first, all of a group are fetched at the same time.
            let place = |id: u32| self.ids.get(id as usize).copied().unwrap_or(NONE);
            std::hint::black_box(
                group.iter().filter_map(|(id, _)| self.slot(place(*id))?.newest).map(|s| s.time()).max(),
            );
            for (id, sample) in group {
                match self.ids.get(*id as usize).copied().unwrap_or(NONE) {
                    place if place < REFUSED => self.put(place, *sample),
                    why => self.lack(why, sample.time()),
                }
            }
        }
        if self.bytes > self.budget {
            self.sweep();
        }
    }

    /// A sample has no place.
    fn lack(&mut self, why: u32, time: Millis) {
        self.lacks = self.lacks.max(time);
        if why == REFUSED {
            self.counted.refused += 1;
        } else {
            self.counted.orphans += 1;
        }
    }

    /// Takes in a sample of the series at a place.
    fn put(&mut self, place: u32, sample: Sample) {
        let (time, over) = (sample.time(), self.bytes > self.budget);
        if time < self.oldest {
            self.counted.too_old += 1;
            return;
        }
        let slot = &mut self.pages[place as usize / PAGE][place as usize % PAGE];
        if slot.newest.is_some_and(|newest| newest.time() >= time) {
            return self.put_late(place, sample);
        }
        self.counted.samples += 1;
        self.newest = self.newest.max(time);
        let before = (slot.open.size(), usize::from(slot.open.count() > 0));
        let full = slot.open.count() >= CHUNK_SAMPLES || (over && slot.open.bytes().len() >= DUE);
        if slot.open.count() > 0 && (full || window(slot.open.first()) != window(time)) {
            slot.close();
            self.bytes += slot.closed.last().map_or(0, Chunk::size);
            self.chunks += 1;
        }
        slot.open.push(&sample);
        slot.newest = Some(sample);
        self.bytes = self.bytes + slot.open.size() - before.0;
        self.chunks = self.chunks + 1 - before.1;
        if over && slot.open.count() == 1 {
            self.give_up(place);
        }
    }

    /// Takes in histograms by ids of the engine.
    pub fn push_histograms(&mut self, samples: &[(u32, HistogramSample)]) {
        for (id, sample) in samples {
            match self.ids.get(*id as usize).copied().unwrap_or(NONE) {
                place if place < REFUSED => self.put_histogram(place, sample),
                why => self.lack(why, sample.time),
            }
        }
        if self.bytes > self.budget {
            self.sweep();
        }
    }

    fn put_histogram(&mut self, place: u32, sample: &HistogramSample) {
        let (time, over) = (sample.time, self.bytes > self.budget);
        if time < self.oldest {
            self.counted.too_old += 1;
            return;
        }
        self.newest = self.newest.max(time);
        self.histograms.entry(place).or_default();
        let (late, begins) = self.change(place, |_, histograms| {
            let Some(it) = histograms else { unreachable!("it was just made") };
            if it.newest >= time {
                let late = put_behind(&mut it.open, &mut it.closed, it.newest, sample.clone());
                return (Some(late), false);
            }
            it.push(sample, over);
            (None, it.open.count() == 1)
        });
        self.counted.samples += u64::from(late != Some(Late::Repeat));
        self.counted.late += u64::from(late == Some(Late::Inserted));
        if over && begins {
            self.give_up(place);
        }
    }

    /// The histograms of the series at a place.
    pub fn histograms(&self, place: u32) -> Option<&Histograms> {
        if self.histograms.is_empty() { None } else { self.histograms.get(&place) }
    }

    /// Changes a series and keeps account of it.
    fn change<R>(&mut self, place: u32, change: impl FnOnce(&mut Slot, Option<&mut Histograms>) -> R) -> R {
        while self.pages.len() <= place as usize / PAGE {
            self.pages.push((0..PAGE).map(|_| Slot::default()).collect());
        }
        let slot = &mut self.pages[place as usize / PAGE][place as usize % PAGE];
        let mut histograms = if self.histograms.is_empty() { None } else { self.histograms.get_mut(&place) };
        let load = |slot: &Slot, histograms: Option<&Histograms>| {
            let (bytes, chunks) = slot.load();
            let more = histograms.map_or((0, 0), Histograms::load);
            (bytes + more.0, chunks + more.1)
        };
        let before = load(slot, histograms.as_deref());
        let result = change(slot, histograms.as_deref_mut());
        let after = load(slot, histograms.as_deref());
        self.bytes = self.bytes + after.0 - before.0;
        self.chunks = self.chunks + after.1 - before.1;
        result
    }

    #[cold]
    fn put_late(&mut self, place: u32, sample: Sample) {
        let time = sample.time();
        let late = self.change(place, |slot, _| {
            let newest = slot.newest.map_or(time, |newest| newest.time());
            put_behind(&mut slot.open, &mut slot.closed, newest, sample)
        });
        self.counted.samples += u64::from(late == Late::Inserted);
        self.counted.late += u64::from(late == Late::Inserted);
    }

    /// Takes from series that hold more than their share, a few each time.
    fn sweep(&mut self) {
        for _ in 0..SWEEP.min(self.end() as usize) {
            if self.bytes <= self.budget {
                return;
            }
            self.give_up(self.hand);
            self.hand = (self.hand + 1) % self.end();
        }
    }

    /// Takes from a series what it holds above its share, the oldest chunks first.
    fn give_up(&mut self, place: u32) {
        let share = (self.budget / self.live.max(1)).max(DUE);
        let mut excess = self.bytes.saturating_sub(self.budget);
        let (gone, until) = self.change(place, |slot, histograms| {
            let (mut none, mut dropped) = (Histograms::default(), 0);
            let it = histograms.unwrap_or(&mut none);
            let mut size = slot.load().0 + it.load().0;
            if size > share {
                if slot.open.bytes().len() >= DUE {
                    slot.close();
                }
                if it.is_due() {
                    it.close();
                }
                size = slot.load().0 + it.load().0;
            }
            // The oldest chunk of either kind goes first.
            let (mut numbers, mut others) = (slot.closed.iter().peekable(), it.closed.iter().peekable());
            let (mut gone, mut others_gone) = (0, 0);
            while excess > 0 && size > share {
                let next = match (numbers.peek(), others.peek()) {
                    (Some(a), Some(b)) if a.first <= b.first => numbers.next(),
                    (Some(_), None) => numbers.next(),
                    _ => None,
                };
                let chunk = match next {
                    Some(chunk) => {
                        gone += 1;
                        chunk
                    }
                    None => {
                        let Some(chunk) = others.next() else { break };
                        others_gone += 1;
                        chunk
                    }
                };
                slot.dropped.0 = slot.dropped.0.max(chunk.last);
                dropped += u64::from(chunk.count);
                (excess, size) = (excess.saturating_sub(chunk.size()), size - chunk.size());
            }
            slot.closed.drain(..gone);
            it.closed.drain(..others_gone);
            (dropped, slot.dropped.0)
        });
        self.counted.dropped += gone;
        self.lacks = self.lacks.max(until);
    }

    /// The chunks of a series of windows before `end`, or all; an open one among them is closed.
    pub fn cut(&mut self, place: u32, end: Millis, all: bool) -> Vec<Chunk> {
        self.change(place, |slot, histograms| {
            if slot.open.count() > 0 && (all || slot.open.first() < end) {
                slot.close();
            }
            let due = |chunk: &&Chunk| all || chunk.first < end;
            let mut chunks: Vec<Chunk> = slot.closed.iter().filter(due).cloned().collect();
            if let Some(it) = histograms {
                if it.open.count() > 0 && (all || it.open.first() < end) {
                    it.close();
                }
                chunks.extend(it.closed.iter().filter(due).cloned());
                // Stable: of one time the numbers stay in front.
                chunks.sort_by_key(|chunk| chunk.first);
            }
            chunks
        })
    }

    /// Chunks of a series as they stand, the open one copied: what a restart begins with.
    pub fn image(&self, place: u32) -> Vec<Chunk> {
        let Some(slot) = self.slot(place) else { return Vec::new() };
        let mut chunks = slot.closed.clone();
        chunks.extend(slot.open.image(slot.newest.map_or(Millis(0), |newest| newest.time())));
        if let Some(it) = self.histograms(place) {
            chunks.extend(it.closed.iter().cloned().chain(it.open.image(it.newest)));
            chunks.sort_by_key(|chunk| chunk.first);
        }
        chunks
    }

    /// Gives back chunks that are on disk now.
    pub fn written(&mut self, place: u32, chunks: &[Chunk]) {
        // A busy series has thousands of chunks, and the lock is held meanwhile.
        let written: HashSet<*const u8> = chunks.iter().map(Chunk::place).collect();
        self.change(place, |slot, histograms| {
            for closed in [Some(&mut slot.closed), histograms.map(|it| &mut it.closed)].into_iter().flatten() {
                closed.retain(|chunk| !written.contains(&chunk.place()));
                if closed.is_empty() {
                    *closed = Vec::new();
                }
            }
        });
    }

    /// Takes in a chunk of histograms that was read from disk.
    pub fn restore_histograms(&mut self, place: u32, chunk: Chunk) {
        self.newest = self.newest.max(chunk.last);
        self.histograms.entry(place).or_default();
        self.change(place, |_, histograms| {
            if let Some(it) = histograms {
                it.newest = it.newest.max(chunk.last);
                it.closed.push(chunk);
            }
        });
    }

    /// Takes in a chunk of numbers that was read from disk, and whose last sample is `last`.
    pub fn restore(&mut self, place: u32, chunk: Chunk, last: Sample) {
        self.newest = self.newest.max(chunk.last);
        self.change(place, |slot, _| {
            if slot.newest.is_none_or(|newest| newest.time() < last.time()) {
                slot.newest = Some(last);
            }
            slot.closed.push(chunk);
        });
    }

    /// Whether a series holds nothing and nobody names it.
    pub fn is_idle(&self, place: u32) -> bool {
        let histograms = self.histograms(place);
        let holds_none = histograms.is_none_or(Histograms::is_empty);
        let held = |slot: &Slot| slot.newest.is_some() || histograms.is_some();
        self.slot(place).is_some_and(|slot| held(slot) && slot.names == 0 && slot.is_empty() && holds_none)
    }

    /// Forgets a series that holds nothing.
    pub fn forget(&mut self, place: u32) {
        *self.slot_mut(place) = Slot::default();
        self.histograms.remove(&place);
    }
}

/// The end of the newest window that is complete when event time has come to `newest`, `lateness_ms` waited for.
pub fn complete(newest: Millis, lateness_ms: i64) -> Millis {
    Millis(newest.0.saturating_sub(lateness_ms).div_euclid(WINDOW_MS).saturating_mul(WINDOW_MS))
}
