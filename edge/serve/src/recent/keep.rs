//! From memory to disk and back: blocks of complete windows, what is in memory at a stop or checkpoint, and retention.
use super::block::{Block, BlockError, Purpose, Whole, Written, write_block, write_head};
use super::blocks::{HEAD_FILE, Opened};
use super::chunk::{Chunk, ChunkKind};
use super::head::complete;
use super::{READ_CHUNK, Recent, at_leisure, window};
use faultline_host::Disk;
use faultline_model::{HistogramSample, Labels, Millis, Position, Sample};
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long after its end a window waits for late samples, in ms of event time.
pub(super) const LATENESS_MS: i64 = 30 * 60_000;
/// Blocks are written once memory is filled by this many quarters.
const QUARTERS: usize = 3;

/// What was done for the disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Blocks written.
    pub written: usize,
    /// Blocks removed because they are old, or many.
    pub removed: usize,
}

/// Series of one window, with their places.
type Cut = BTreeMap<i64, Vec<(u32, Labels, Vec<Chunk>)>>;

const UNLIKE: BlockError = BlockError::Damaged("a chunk does not hold what is said of it");

/// The last sample of a chunk of numbers that holds what is said of it.
fn last(chunk: &Chunk) -> Result<Sample, BlockError> {
    let mut samples = Vec::new();
    let last = if chunk.read(&mut samples) { samples.last().copied() } else { None };
    last.ok_or(UNLIKE)
}

/// Histograms in the same way.
fn checked(chunk: &Chunk) -> Result<(), BlockError> {
    if chunk.read::<HistogramSample>(&mut Vec::new()) { Ok(()) } else { Err(UNLIKE) }
}

impl Recent {
    /// Takes up the folder of an earlier run: its blocks, and what was in memory then. To be called once, before anything
    /// else comes in. Returns files that could not be used, and why.
    pub fn open(&self, disk: Arc<dyn Disk>, folder: &Path) -> io::Result<Vec<(PathBuf, BlockError)>> {
        let Opened { head, mut refused, numbers } = self.blocks.open(disk.clone(), folder)?;
        let (is_new, mut whole) = (head.is_none() && refused.is_empty() && numbers.is_empty(), None);
        let newest = self.blocks.all().iter().map(|block| block.summary().last).max();
        if let Some(newest) = newest {
            let mut head = self.write();
            head.newest = head.newest.max(newest);
        }
        if let Some(path) = head {
            match self.restore(&*disk, &path) {
                Ok(says) => whole = says,
                Err(error) => {
                    self.blocks.count_damaged();
                    if matches!(error, BlockError::Damaged(_)) {
                        disk.rename(&path, &path.with_extension("damaged"))?;
                        disk.sync_dir(folder)?;
                    }
                    refused.push((path, error));
                }
            }
        }
        // Blocks that were there then and are not now: removed or set aside before a crash, or by somebody else.
        let still = |it: &Whole| numbers.iter().filter(|number| **number < it.next).count() == it.blocks as usize;
        match whole.filter(|whole| refused.is_empty() && still(whole)) {
            Some(whole) => self.lacks(whole.lacks),
            None if is_new => {}
            None => self.lacks(self.read().newest),
        }
        Ok(refused)
    }

    /// Says what the file says of the whole store.
    fn restore(&self, disk: &dyn Disk, path: &Path) -> Result<Option<Whole>, BlockError> {
        let block = Block::open(disk, path)?;
        let (mut reading, mut bad) = (super::block::Reading::default(), None);
        let restore = |chunk: Chunk, place: Option<u32>| {
            match (chunk.kind, place) {
                (_, None) => {}
                (ChunkKind::Numbers, Some(place)) => {
                    let last = last(&chunk)?;
                    self.write().restore(place, chunk, last);
                }
                (ChunkKind::Histograms, Some(place)) => {
                    checked(&chunk)?;
                    self.write().restore_histograms(place, chunk);
                }
            }
            Ok(())
        };
        block.each(&mut |series| {
            let place = self.index.lock().intern(&series.labels, self.limits.series);
            for at in &series.chunks {
                if let Err(error) = block.chunk(at, &mut reading).and_then(|chunk| restore(chunk, place)) {
                    bad = Some(error);
                }
            }
            if bad.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match bad {
            Some(error) => Err(error),
            None => {
                self.known.store(block.summary().covers.offset, Ordering::Relaxed);
                Ok(block.summary().whole)
            }
        }
    }

    /// Writes what is due, and removes what is past its time; without a folder complete windows are past theirs. Slow.
    pub fn keep(&self) -> Result<Kept, BlockError> {
        let mut looked = self.keeping.lock().expect("no holder panics");
        let (newest, short) = {
            let head = self.read();
            (head.newest, head.bytes > self.limits.memory / 4 * QUARTERS)
        };
        let (mut kept, on_disk) = (Kept::default(), self.blocks.place().is_some());
        let (end, short) = (complete(newest, LATENESS_MS), short && on_disk);
        // All series are looked at when a window has become complete, and for late samples now and then.
        if !short && end <= complete(*looked, LATENESS_MS) && newest.since(*looked) < LATENESS_MS {
            return Ok(kept);
        }
        let cut = self.cut(end, short);
        for (_, mut series) in cut {
            series.sort_by(|a, b| a.1.cmp(&b.1));
            if on_disk {
                self.write_window(&series)?;
                kept.written += 1;
            } else {
                let last = series.iter().flat_map(|(_, _, chunks)| chunks).map(|chunk| chunk.last.0).max();
                self.gone.fetch_max(last.unwrap_or(i64::MIN), Ordering::Relaxed);
            }
            for page in series.chunks(READ_CHUNK) {
                let mut head = self.write();
                page.iter().for_each(|(place, _, chunks)| head.written(*place, chunks));
            }
        }
        self.forget_idle();
        kept.removed = self.retain()?;
        *looked = newest;
        Ok(kept)
    }

    /// Chunks that go to disk: of windows before `end`, or where memory is short all there are.
    fn cut(&self, end: Millis, short: bool) -> Cut {
        let mut cut = Cut::new();
        self.each_page(|labels, places| {
            let mut head = self.write();
            for (place, labels) in places.iter().zip(labels) {
                let mut by_window: BTreeMap<i64, Vec<Chunk>> = BTreeMap::new();
                for chunk in head.cut(*place, end, short) {
                    by_window.entry(window(chunk.first)).or_default().push(chunk);
                }
                for (window, chunks) in by_window {
                    cut.entry(window).or_default().push((*place, labels.clone(), chunks));
                }
            }
        });
        cut
    }

    fn write_window(&self, series: &[(u32, Labels, Vec<Chunk>)]) -> Result<(), BlockError> {
        let Some((disk, folder)) = self.blocks.place() else { return Ok(()) };
        let path = self.blocks.next_path(folder);
        let written: Written = series.iter().map(|(_, labels, chunks)| (labels.clone(), chunks.clone())).collect();
        at_leisure(|| write_block(&**disk, &path, Purpose::Block, Position::default(), &written))?;
        // Seen by readers before it leaves memory.
        self.blocks.add(Arc::new(Block::open(&**disk, &path)?));
        Ok(())
    }

    /// Shows the labels and places of all series, a few at a time.
    fn each_page(&self, mut show: impl FnMut(&[Labels], &[u32])) {
        let found = self.index.find(&[], usize::MAX).expect("there is no limit");
        for page in found.chunks(READ_CHUNK) {
            let labels: Vec<Labels> = page.iter().map(|it| it.labels.clone()).collect();
            let places: Vec<u32> = page.iter().map(|it| it.place).collect();
            show(&labels, &places);
        }
    }

    /// Writes down what is in memory, so that a start need not lack what the journal does not replay. Slow.
    pub fn keep_head(&self) -> Result<(), BlockError> {
        let Some((disk, folder)) = self.blocks.place() else { return Ok(()) };
        let _only = self.keeping.lock().expect("no holder panics");
        // Before it is looked at: what comes in meanwhile may be in it, and is not said to be.
        let offset = self.covers.load(Ordering::Acquire).max(self.known.load(Ordering::Relaxed));
        let ((next, blocks), lacks) = (self.blocks.extent(), self.whole_since().plus(-1));
        let whole = Whole { lacks, next, blocks };
        let mut series: Written = Vec::new();
        self.each_page(|labels, places| {
            let head = self.read();
            for (place, labels) in places.iter().zip(labels) {
                let chunks = head.image(*place);
                if !chunks.is_empty() {
                    series.push((labels.clone(), chunks));
                }
            }
        });
        let covers = Position { offset, ..Position::default() };
        let path = folder.join(HEAD_FILE);
        at_leisure(|| write_head(&**disk, &path, covers, whole, &series)).map(drop)
    }

    fn forget_idle(&self) {
        self.each_page(|_, places| {
            let mut index = self.index.lock();
            let mut head = self.write();
            for place in places.iter().filter(|place| head.is_idle(**place)).copied().collect::<Vec<_>>() {
                index.remove(place);
                head.forget(place);
            }
        });
    }

    /// Removes blocks past the retention, and the oldest while they are too many bytes.
    fn retain(&self) -> Result<usize, BlockError> {
        let oldest = {
            let mut head = self.write();
            let oldest = head.newest.plus(self.limits.retention_ms.saturating_neg());
            if head.newest > Millis(i64::MIN) {
                head.oldest = head.oldest.max(oldest);
            }
            oldest
        };
        let Some((disk, folder)) = self.blocks.place() else { return Ok(0) };
        let blocks = self.blocks.all();
        let (mut by_age, mut bytes): (Vec<&Arc<Block>>, u64) = (blocks.iter().collect(), self.blocks.fill().1);
        by_age.sort_by_key(|block| block.summary().last);
        let mut removed = 0;
        for block in by_age {
            let summary = block.summary();
            if summary.last >= oldest && bytes <= self.limits.disk {
                break;
            }
            disk.remove(block.path())?;
            self.blocks.forget(block);
            self.gone.fetch_max(summary.last.0, Ordering::Relaxed);
            (bytes, removed) = (bytes - summary.size, removed + 1);
        }
        if removed > 0 {
            disk.sync_dir(folder)?;
        }
        Ok(removed)
    }
}
