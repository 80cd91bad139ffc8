//! Many blocks into few: those of one span of time become one, so that a question opens few files.
//!
//! As Prometheus' compaction has it: spans grow by a factor, and a block is written anew about once a span. Series go through
//! one after the other: memory holds a page of each source's series, and what tells of those written.
use super::block::{Block, BlockError, BlockSeries, Place, Reading, Stream, chunks};
use super::chunk::{CHUNK_SAMPLES, Chunk, ChunkKind, Item};
use super::head::complete;
use super::keep::LATENESS_MS;
use super::select::tidied;
use super::{Recent, WINDOW_MS, at_leisure, window};
use faultline_host::Disk;
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Lengths of spans, in ms, aligned: each a multiple of the one before.
const SPANS: [i64; 3] = [WINDOW_MS, 4 * WINDOW_MS, 12 * WINDOW_MS];
/// So many blocks of a span are merged though it is not complete, or one of them is larger than all others.
const MANY: usize = 8;
/// At most so many at once: each is an open file.
const SOURCES_MAX: usize = 64;
/// No merged block takes a larger part of the disk than one of so many: retention removes whole ones.
const PARTS: u64 = 8;
/// Series of a source that are read at once.
const PAGE: u32 = 256;

/// Why blocks were not merged. They stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// One of them does not read. A damaged one is set aside.
    #[error("the block {} cannot be read", path.display())]
    Source {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BlockError,
    },
    /// The disk does not take what they become.
    #[error("the merged block cannot be written")]
    Write(#[source] BlockError),
}

/// Blocks that are worth merging: of the shortest span first. Nothing where there are none.
///
/// - `blocks`: in the order of their numbers.
/// - `end`: windows before it are complete.
/// - `largest`: bytes that they may have together.
fn due(blocks: &[Arc<Block>], end: Millis, largest: u64) -> Option<Vec<Arc<Block>>> {
    for span in SPANS {
        let mut spans: BTreeMap<i64, Vec<&Arc<Block>>> = BTreeMap::new();
        for block in blocks {
            let [first, last] = [block.summary().first, block.summary().last].map(|at| at.0.div_euclid(span));
            if first == last {
                spans.entry(first).or_default().push(block);
            }
        }
        for (number, all) in spans {
            let sizes = || all.iter().map(|block| block.summary().size);
            let (total, most) = (sizes().sum::<u64>(), sizes().max().unwrap_or_default());
            // Late samples would have the same large block written again and again.
            let pays = all.len() >= MANY || most <= total / 2;
            // A merged block with older ones beside it: power was cut before these were removed.
            let is_merged = |block: &&Arc<Block>| window(block.summary().first) < window(block.summary().last);
            let pays = pays || all.iter().skip(1).any(is_merged);
            let is_complete = number.saturating_add(1).saturating_mul(span) <= end.0;
            let may = if span == WINDOW_MS { is_complete || all.len() >= MANY } else { is_complete };
            if all.len() > 1 && may && pays && total <= largest {
                return Some(all.into_iter().take(SOURCES_MAX).cloned().collect());
            }
        }
    }
    None
}

/// A block's series, one after the other.
struct Source {
    block: Arc<Block>,
    reading: Reading,
    page: VecDeque<BlockSeries>,
    next: u32,
}

impl Source {
    fn new(block: Arc<Block>) -> Source {
        Source { block, reading: Reading::default(), page: VecDeque::new(), next: 0 }
    }

    /// The labels of its next series.
    fn labels(&mut self) -> Result<Option<&Labels>, BlockError> {
        while self.page.is_empty() && self.next < self.block.summary().series {
            self.page = self.block.page(self.next, PAGE)?.into();
            self.next = self.next.saturating_add(PAGE);
        }
        Ok(self.page.front().map(|series| &series.labels))
    }
}

/// The chunks of one kind of a series, from sources in their order: as they are where they follow each other and are not many small
/// ones, else packed anew. Of two samples of one time the first stays.
fn joined<T: Item>(parts: &[(usize, Place)], sources: &mut [Source]) -> Result<Vec<Chunk>, (usize, BlockError)> {
    let mut parts: Vec<(usize, Place)> = parts.iter().filter(|(_, place)| place.kind == T::KIND).copied().collect();
    let follow = |parts: &[(usize, Place)]| parts.windows(2).all(|pair| pair[0].1.last < pair[1].1.first);
    let mut sorted = parts.clone();
    sorted.sort_by_key(|(_, place)| place.first);
    let samples: usize = parts.iter().map(|(_, place)| usize::from(place.count)).sum();
    // Full ones are some; where there could be half as many, it is worth the work.
    let few = parts.len() <= 2 * samples.div_ceil(usize::from(CHUNK_SAMPLES)) + SPANS.len();
    if follow(&sorted) {
        if few {
            let chunk = |(number, place): (usize, Place)| {
                let source = &mut sources[number];
                source.block.chunk(&place, &mut source.reading).map_err(|error| (number, error))
            };
            return sorted.into_iter().map(chunk).collect();
        }
        parts = sorted;
    }
    let mut all: Vec<T> = Vec::new();
    for (number, place) in &parts {
        let source = &mut sources[*number];
        source.block.unpack(place, &mut source.reading, &mut all).map_err(|error| (*number, error))?;
    }
    tidied(&mut all, false, Millis(i64::MIN), Millis(i64::MAX));
    Ok(chunks(&all))
}

/// Writes what blocks hold together as one; nothing where it was to stop.
fn write(
    disk: &Arc<dyn Disk>,
    path: &std::path::Path,
    blocks: &[Arc<Block>],
    stops: &(dyn Fn() -> bool + Sync),
) -> Result<Option<()>, MergeError> {
    let unread = |number: usize, source| MergeError::Source { path: blocks[number].path().to_path_buf(), source };
    let mut stream = Stream::create(disk.clone(), path).map_err(MergeError::Write)?;
    let mut sources: Vec<Source> = blocks.iter().cloned().map(Source::new).collect();
    let mut before: Option<Labels> = None;
    loop {
        let mut least: Option<Labels> = None;
        for (number, source) in sources.iter_mut().enumerate() {
            let labels = source.labels().map_err(|error| unread(number, error))?;
            if labels.is_some() && labels <= before.as_ref() {
                return Err(unread(number, BlockError::Damaged("its series are not in order")));
            }
            if let Some(labels) = labels.filter(|labels| least.as_ref().is_none_or(|least| *labels < least)) {
                least = Some(labels.clone());
            }
        }
        let Some(labels) = least else { break };
        if stops() {
            return Ok(None);
        }
        let mut parts: Vec<(usize, Place)> = Vec::new();
        for (number, source) in sources.iter_mut().enumerate() {
            if source.page.front().is_some_and(|series| series.labels == labels) {
                let series = source.page.pop_front().expect("just seen");
                parts.extend(series.chunks.into_iter().map(|place| (number, place)));
            }
        }
        let of_kinds = joined::<Sample>(&parts, &mut sources).and_then(|mut all| {
            all.extend(joined::<HistogramSample>(&parts, &mut sources)?);
            Ok(all)
        });
        let mut all = of_kinds.map_err(|(number, error)| unread(number, error))?;
        all.sort_by_key(|chunk| (chunk.first, chunk.kind == ChunkKind::Histograms));
        stream.push(&labels, &all).map_err(MergeError::Write)?;
        before = Some(labels);
    }
    stream.finish().map_err(MergeError::Write)?;
    Ok(Some(()))
}

impl Recent {
    /// Makes one block of several where that is due: whether it did. Slow; may go on beside all else, but not beside itself.
    ///
    /// Needs room for what it writes, an eighth of the blocks' share of the disk at most, before it removes what it has read.
    ///
    /// - `stops`: whether to give up.
    pub fn merge(&self, stops: &(dyn Fn() -> bool + Sync)) -> Result<bool, MergeError> {
        let Some((disk, folder)) = self.blocks.place() else { return Ok(false) };
        let (blocks, path) = {
            // No block is being written: what is written from here on has a higher number.
            let _only = self.keeping.lock().expect("no holder panics");
            let end = complete(self.read().newest, LATENESS_MS);
            let Some(blocks) = due(&self.blocks.all(), end, self.limits.disk / PARTS) else { return Ok(false) };
            (blocks, self.blocks.next_path(folder))
        };
        match at_leisure(|| write(disk, &path, &blocks, stops)) {
            Ok(Some(())) => {}
            Ok(None) => return Ok(false),
            Err(MergeError::Source { path, source }) => {
                if let Some(block) = blocks.iter().find(|block| block.path() == path)
                    && let super::SelectError::Block { path, source } = self.blocks.refused(block, source)
                {
                    return Err(MergeError::Source { path, source });
                }
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let merged = Block::open(&**disk, &path).map_err(MergeError::Write)?;
        {
            let _only = self.keeping.lock().expect("no holder panics");
            self.blocks.replace(Arc::new(merged), &blocks);
            for block in &blocks {
                match disk.remove(block.path()) {
                    // Retention may have come first.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(MergeError::Write(error.into()));
                    }
                    _ => {}
                }
            }
            disk.sync_dir(folder).map_err(|error| MergeError::Write(error.into()))?;
        }
        // It says how many blocks there are.
        self.keep_head().map_err(MergeError::Write)?;
        Ok(true)
    }
}
