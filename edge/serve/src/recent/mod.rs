//! The recent store: what `step` accepted, by series, in memory and in blocks on disk (`docs/design/0008-recent-store.md`).
//!
//! One thread writes, at up to a million samples a second, and senders wait for it in the end; so nobody holds a lock for
//! longer than a few hundred series take, and a reader stands back while the writer waits. Another thread, in no hurry,
//! writes blocks. What decides reads none of it but by records (`docs/design/0010-late-rules.md`).
pub mod block;
pub mod blocks;
mod chunk;
mod head;
mod histograms;
mod index;
mod keep;
mod look;
mod matching;
mod merge;
pub mod past;
pub mod select;
mod texts;

pub use block::BlockError;
pub use keep::Kept;
pub use merge::MergeError;
pub use select::{SelectError, Selected};
pub use texts::{LabelSets, Texts};

use blocks::Blocks;
use faultline_host::yield_to_others;
use faultline_model::{HistogramSample, Labels, Millis, Position, Sample};
use faultline_promql::{MatchOp, Matcher};
use head::Head;
use index::Index;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Length of the stretch of event time that a block is of; no chunk crosses from one to the next.
pub const WINDOW_MS: i64 = 2 * 3_600_000;

/// Samples written under one hold of the lock.
const WRITE_CHUNK: usize = 2048;
/// Series looked at or copied under one hold of the lock.
const READ_CHUNK: usize = 128;

/// Number of the window that an instant lies in.
fn window(at: Millis) -> i64 {
    at.0.div_euclid(WINDOW_MS)
}

/// Does what takes long on a thread that yields to all others. Not for work under a lock: whoever wants the lock would wait until
/// nobody else has anything to do.
pub(crate) fn at_leisure<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let yielding = || {
        yield_to_others();
        work()
    };
    std::thread::scope(|scope| scope.spawn(yielding).join()).unwrap_or_else(|broke| resume_unwind(broke))
}

/// Bounds of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of chunks in memory. Beside them each series takes some 130 bytes, its labels and its places in posting lists.
    pub memory: usize,
    /// Series in memory; samples of more are counted and left out.
    pub series: usize,
    /// Bytes of blocks on disk.
    pub disk: u64,
    /// How long a sample is kept, in ms.
    pub retention_ms: i64,
}

impl Default for Limits {
    /// 256 MiB, 4 Mi series, 10 GiB, 15 days.
    fn default() -> Limits {
        Limits { memory: 256 << 20, series: 4 << 20, disk: 10 << 30, retention_ms: 15 * 86_400_000 }
    }
}

/// Samples by series.
pub struct Recent {
    limits: Limits,
    writer_waits: AtomicBool,
    // Locked in this order.
    index: Index,
    head: Mutex<Head>,
    blocks: Blocks,
    /// Held by who writes to disk, which takes places away from series that are gone: the newest sample when it was last
    /// looked at what is due.
    keeping: Mutex<Millis>,
    /// Offset after the last record whose samples are all in, and the end of what a start need not take in again.
    covers: AtomicU64,
    known: AtomicU64,
    /// Time of the newest sample known to be gone for good.
    gone: AtomicI64,
    /// Time of the newest sample that may be missing for what happened before the store was opened.
    lacks: AtomicI64,
}

/// How full it is, and what became of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Series that the engine knows.
    pub live: usize,
    /// Series in memory, those among them that the engine has forgotten.
    pub series: usize,
    /// Chunks in memory.
    pub chunks: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Different pairs of label name and value in memory.
    pub pairs: usize,
    /// Samples taken in.
    pub samples: u64,
    /// Of those, behind newer ones.
    pub late: u64,
    /// Samples refused for being older than what is kept.
    pub too_old: u64,
    /// Samples of ids that no `created` had named.
    pub orphans: u64,
    /// Samples given up for want of memory.
    pub dropped: u64,
    /// Samples of series for which there was no room.
    pub refused: u64,
    /// Blocks on disk, and their bytes.
    pub blocks: usize,
    /// Their bytes.
    pub block_bytes: u64,
    /// Files set aside because they are damaged.
    pub damaged: u64,
}

impl Recent {
    /// An empty store in memory.
    pub fn new(limits: Limits) -> Recent {
        Recent {
            limits,
            writer_waits: AtomicBool::new(false),
            index: Index::default(),
            head: Mutex::new(Head::new(limits.memory)),
            blocks: Blocks::default(),
            keeping: Mutex::new(Millis(i64::MIN)),
            covers: AtomicU64::new(0),
            known: AtomicU64::new(0),
            gone: AtomicI64::new(i64::MIN),
            lacks: AtomicI64::new(i64::MIN),
        }
    }

    /// Takes in new series, then samples, then the ids to forget.
    pub fn accept(
        &self,
        created: Vec<(u32, Labels)>,
        samples: &[(u32, Sample)],
        histograms: &[(u32, HistogramSample)],
        evicted: &[u32],
    ) {
        for chunk in created.chunks(READ_CHUNK) {
            let mut index = self.index.lock();
            let places: Vec<Option<u32>> =
                chunk.iter().map(|(_, labels)| index.intern(labels, self.limits.series)).collect();
            // Named before anyone can find that nothing holds them.
            let mut head = self.write();
            chunk.iter().zip(places).for_each(|((id, _), place)| head.name(*id, place));
        }
        for chunk in samples.chunks(WRITE_CHUNK) {
            self.write().push(chunk);
        }
        for chunk in histograms.chunks(READ_CHUNK) {
            self.write().push_histograms(chunk);
        }
        for chunk in evicted.chunks(READ_CHUNK) {
            let mut head = self.write();
            chunk.iter().for_each(|id| head.unname(*id));
        }
    }

    /// Labels of series by ids of the engine; nothing for one that names no series.
    pub fn labels(&self, ids: &[u32]) -> Vec<Option<Labels>> {
        let mut all = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(READ_CHUNK) {
            let index = self.index.lock();
            let head = self.write();
            all.extend(chunk.iter().map(|id| index.labels(head.place(*id)?).cloned()));
        }
        all
    }

    /// The different values of two labels that series in memory of one metric have.
    pub fn pairs(&self, metric: &str, names: [&str; 2]) -> BTreeSet<[String; 2]> {
        let name = Matcher::new(faultline_model::labels::NAME, MatchOp::Equal, metric).expect("no pattern");
        let mut all = BTreeSet::new();
        for found in self.index.find(&[name], usize::MAX).unwrap_or_default() {
            all.insert(names.map(|name| found.labels.get(name).to_owned()));
        }
        all
    }

    /// All samples of records up to this one are in.
    pub fn covers(&self, last: Position) {
        self.covers.store(last.offset + 1, Ordering::Release);
    }

    /// Whether all samples of records up to this one are in.
    pub fn has(&self, at: Position) -> bool {
        at.offset < self.covers.load(Ordering::Acquire)
    }

    /// Whether the samples of a record were there when the store was opened: a replay need not take them in again.
    pub fn knows(&self, at: Position) -> bool {
        at.offset < self.known.load(Ordering::Relaxed)
    }

    /// Its bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        let (series, pairs) = self.index.size();
        let (live, chunks, bytes, counted) = {
            let head = self.read();
            (head.live, head.chunks, head.bytes, head.counted)
        };
        let head::Counted { samples, late, too_old, orphans, dropped, refused } = counted;
        let (blocks, block_bytes, damaged) = self.blocks.fill();
        Fill {
            live,
            series,
            chunks,
            bytes,
            pairs,
            samples,
            late,
            too_old,
            orphans,
            dropped,
            refused,
            blocks,
            block_bytes,
            damaged,
        }
    }

    /// Times of the first and the last sample that may be there; nothing where there is none.
    pub fn span(&self) -> Option<(Millis, Millis)> {
        let blocks = self.blocks.all();
        let first = blocks.iter().map(|block| block.summary().first).min();
        let newest = self.read().newest;
        let last =
            blocks.iter().map(|block| block.summary().last).max().max(Some(newest).filter(|at| at.0 > i64::MIN))?;
        Some((first.unwrap_or(newest.plus(-WINDOW_MS)), last))
    }

    /// Time of the newest sample that is known to be no longer kept.
    pub fn gone(&self) -> Option<Millis> {
        Some(Millis(self.gone.load(Ordering::Relaxed))).filter(|at| at.0 > i64::MIN)
    }

    /// Samples up to this time may be missing: they were taken in by nobody.
    pub fn lacks(&self, until: Millis) {
        self.lacks.fetch_max(until.0, Ordering::Relaxed);
    }

    /// The time from which on every sample is here that was taken in, nothing that happened on the way left out: what was given
    /// up for want of room, or set aside, or is missing since a crash.
    pub fn whole_since(&self) -> Millis {
        let (lacks, oldest) = {
            let head = self.read();
            (head.lacks, head.oldest)
        };
        let before = [&self.gone, &self.lacks].map(|at| Millis(at.load(Ordering::Relaxed)));
        let lost = self.blocks.lost_until();
        let newest = before.into_iter().chain([lacks]).chain(lost).max().filter(|at| *at > Millis(i64::MIN));
        newest.map_or(oldest, |newest| newest.plus(1).max(oldest))
    }

    /// What is in memory by metric, by label, and by pair: the `most` largest of each.
    pub fn cardinality(&self, most: usize) -> [Vec<(String, u64)>; 4] {
        let largest = |mut counts: Vec<(String, u64)>| {
            counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            counts.truncate(most);
            counts
        };
        let (mut by_label, mut memory, mut pairs) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut metrics = Vec::new();
        for (name, _) in self.index.names() {
            let values = self.index.values(&name, |_| true);
            by_label.push((name.clone(), values.len() as u64));
            memory.push((name.clone(), values.iter().map(|(value, _)| value.len() as u64).sum()));
            let mut counts: Vec<(String, u64)> =
                values.iter().map(|(value, series)| (value.to_string(), *series as u64)).collect();
            if name == faultline_model::labels::NAME {
                metrics = largest(counts.clone());
            }
            counts = largest(counts);
            pairs.extend(counts.into_iter().map(|(value, series)| (format!("{name}={value}"), series)));
        }
        [metrics, largest(by_label), largest(memory), largest(pairs.into_iter().collect())]
    }

    fn write(&self) -> MutexGuard<'_, Head> {
        self.writer_waits.store(true, Ordering::Relaxed);
        let head = self.head.lock().expect("no holder panics");
        self.writer_waits.store(false, Ordering::Relaxed);
        head
    }

    fn read(&self) -> MutexGuard<'_, Head> {
        // The lock is not fair: without this a reader could take it again and again ahead of the loop.
        while self.writer_waits.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        self.head.lock().expect("no holder panics")
    }
}
