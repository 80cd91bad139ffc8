//! What a selector reads: series in label order, each put together from memory and from blocks.
use super::block::{Block, BlockError, Place, Reading};
use super::chunk::{Chunk, ChunkKind, Item};
use super::{READ_CHUNK, Recent};
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use faultline_promql::Matcher;
use std::path::PathBuf;
use std::sync::Arc;

/// Series that one look-up may find.
pub const SERIES_MAX: usize = 1_000_000;

/// Why the store cannot say what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// Narrow the matchers.
    #[error("a selector matches more than {SERIES_MAX} series; name a metric or more labels")]
    TooMany,
    /// A block does not read. A damaged one is set aside: asked again, what it held is missing.
    #[error("the block {} cannot be read", path.display())]
    Block {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BlockError,
    },
}

/// Which samples a reader wants of each series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// All within the stretch.
    All,
    /// The newest within it.
    Newest,
}

/// The series of a selector.
pub struct Selected<'a> {
    recent: &'a Recent,
    series: Vec<Parts>,
    blocks: Vec<Arc<Block>>,
    reading: Vec<Reading>,
    from: Millis,
    to: Millis,
}

/// One series.
struct Parts {
    labels: Labels,
    id: u32,
    dropped: Option<Millis>,
    /// Of blocks, the oldest first, then of memory.
    parts: Vec<Part>,
}

enum Part {
    Block(u32, Place),
    Chunk(Chunk),
    Open(ChunkKind, Box<[u8]>),
    One(Sample),
}

/// What a series holds: numbers and histograms, each rising in time, no time in both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// Numbers.
    pub samples: Vec<Sample>,
    /// Histograms.
    pub histograms: Vec<HistogramSample>,
}

impl Points {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty()
    }

    /// Leaves the number where there is a histogram of the same time.
    pub(super) fn settle(&mut self) {
        let Points { samples, histograms } = self;
        if !samples.is_empty() && !histograms.is_empty() {
            histograms.retain(|it| samples.binary_search_by_key(&it.time, Sample::time).is_err());
        }
    }
}

impl Recent {
    /// The series that all matchers accept and that have samples within `from..=to`, or about.
    pub fn select(
        &self,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
        want: Want,
    ) -> Result<Selected<'_>, SelectError> {
        self.select_up_to(SERIES_MAX, matchers, from, to, want)
    }

    /// The same, of no more series than this.
    pub fn select_up_to(
        &self,
        most: usize,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
        want: Want,
    ) -> Result<Selected<'_>, SelectError> {
        // Memory first: what is written to a block meanwhile is then seen twice, never not at all.
        let mut series = self.in_memory(most, matchers, from, to, want)?;
        let blocks = self.blocks.within(from, to);
        for (number, block) in (0_u32..).zip(&blocks) {
            let found = block.find(matchers, from, to, most);
            let found = found.map_err(|error| self.blocks.refused(block, error))?.ok_or(SelectError::TooMany)?;
            merge(&mut series, found.into_iter().map(|it| (it.labels, it.chunks)), number);
        }
        series.retain(|it| !it.parts.is_empty() || it.dropped.is_some());
        series.iter_mut().for_each(|it| in_time_order(&mut it.parts));
        if series.len() > most {
            return Err(SelectError::TooMany);
        }
        let reading = blocks.iter().map(|_| Reading::default()).collect();
        Ok(Selected { recent: self, series, blocks, reading, from, to })
    }

    /// Labels of the series in memory that all matchers accept and that have samples within `from..=to`, or about, in label order.
    pub(super) fn labels_in_memory(
        &self,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
    ) -> Result<Vec<Labels>, SelectError> {
        let series = self.in_memory(SERIES_MAX, matchers, from, to, Want::Newest)?;
        Ok(series.into_iter().filter(|it| !it.parts.is_empty()).map(|it| it.labels).collect())
    }

    fn in_memory(
        &self,
        most: usize,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
        want: Want,
    ) -> Result<Vec<Parts>, SelectError> {
        let found = self.index.find(matchers, most).ok_or(SelectError::TooMany)?;
        let mut series = Vec::with_capacity(found.len());
        for page in found.chunks(READ_CHUNK) {
            // A place may be another series' by now; none is given away while the index is held.
            let index = self.index.lock();
            let head = self.read();
            for it in page.iter().filter(|it| index.has(it)) {
                let Some(slot) = head.slot(it.place) else { continue };
                let mut parts = Vec::new();
                let newest = slot.newest().filter(|newest| newest.time() >= from);
                let histograms = head.histograms(it.place).filter(|histograms| histograms.newest >= from);
                let is_newest = |newest: &Sample| histograms.is_none_or(|it| it.newest < newest.time());
                let one = newest.filter(|newest| want == Want::Newest && newest.time() <= to && is_newest(newest));
                match one {
                    Some(newest) => parts.push(Part::One(newest)),
                    None => {
                        let within = |chunk: &&Chunk| chunk.first <= to && chunk.last >= from;
                        parts.extend(slot.closed.iter().filter(within).cloned().map(Part::Chunk));
                        if slot.open.count() > 0 && slot.open.first() <= to && newest.is_some() {
                            parts.push(Part::Open(ChunkKind::Numbers, slot.open.bytes().into()));
                        }
                        if let Some(histograms) = histograms {
                            parts.extend(histograms.closed.iter().filter(within).cloned().map(Part::Chunk));
                            if histograms.open.count() > 0 && histograms.open.first() <= to {
                                parts.push(Part::Open(ChunkKind::Histograms, histograms.open.bytes().into()));
                            }
                        }
                    }
                }
                series.push(Parts { labels: it.labels.clone(), id: it.place, dropped: slot.dropped(), parts });
            }
        }
        Ok(series)
    }
}

/// Puts what a block has, in label order, behind what older blocks have and before what memory has.
fn merge(series: &mut Vec<Parts>, found: impl Iterator<Item = (Labels, Vec<Place>)>, block: u32) {
    let before = std::mem::take(series);
    let (mut before, mut found) = (before.into_iter().peekable(), found.peekable());
    series.reserve(before.len());
    loop {
        let order = match (before.peek(), found.peek()) {
            (Some(a), Some(b)) => a.labels.cmp(&b.0),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return,
        };
        let mut it = match order.is_le() {
            true => before.next().expect("it was seen"),
            // Numbers of memory's places do not go this far.
            false => Parts {
                labels: Labels::default(),
                id: u32::MAX - series.len() as u32,
                dropped: None,
                parts: Vec::new(),
            },
        };
        if order.is_ge() {
            let (labels, places) = found.next().expect("it was seen");
            let at = it.parts.iter().take_while(|part| matches!(part, Part::Block(..))).count();
            it.parts.splice(at..at, places.into_iter().map(|place| Part::Block(block, place)));
            it.labels = labels;
        }
        series.push(it);
    }
}

/// Puts parts of blocks in the order of their times where none overlaps another: then no sample has to be moved. Blocks that were
/// merged stand in the place of the first of what they are made of, and of two samples of one time the first counts.
fn in_time_order(parts: &mut [Part]) {
    let place = |part: &Part| match part {
        Part::Block(_, place) => Some(*place),
        _ => None,
    };
    let count = parts.iter().map_while(place).count();
    let parts = &mut parts[..count];
    let follows = |pair: &[Part]| place(&pair[0]).map(|it| it.last) < place(&pair[1]).map(|it| it.first);
    if parts.windows(2).all(follows) {
        return;
    }
    let mut order: Vec<Place> = parts.iter().filter_map(place).collect();
    order.sort_by_key(|it| it.first);
    if order.windows(2).all(|pair| pair[0].last < pair[1].first) {
        parts.sort_by_key(|part| place(part).map(|it| it.first));
    }
}

impl Selected<'_> {
    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The labels of a series.
    pub fn labels(&self, index: usize) -> &Labels {
        &self.series[index].labels
    }

    /// A number of a series, which no other of this selection has.
    pub fn id(&self, index: usize) -> u32 {
        self.series[index].id
    }

    /// Time of the newest sample of a series that was given up for want of memory.
    pub fn dropped(&self, index: usize) -> Option<Millis> {
        self.series[index].dropped
    }

    /// How many samples there are, or some more.
    pub fn samples(&self) -> u64 {
        let count = |part: &Part| match part {
            Part::One(_) => 1,
            Part::Open(_, bytes) => bytes.len() as u64,
            Part::Chunk(chunk) => u64::from(chunk.count),
            Part::Block(_, place) => u64::from(place.count),
        };
        self.series.iter().flat_map(|it| &it.parts).map(count).sum()
    }

    /// Whether a block that may have held some of it was set aside.
    pub fn lost(&self) -> bool {
        self.recent.blocks.lost(self.from, self.to)
    }

    /// Puts the samples of a series within the stretch into `out`, rising in time. Of two of one time the first that came
    /// stays, as in the engine; of a number and a histogram, which the engine never takes both, the number.
    pub fn points(&mut self, index: usize, out: &mut Points) -> Result<(), SelectError> {
        self.read(index, &mut out.samples)?;
        self.read(index, &mut out.histograms)?;
        out.settle();
        Ok(())
    }

    /// Those of one kind.
    fn read<T: Item + FromOne>(&mut self, index: usize, out: &mut Vec<T>) -> Result<(), SelectError> {
        out.clear();
        let mut rising = true;
        let count = |part: &Part| match part {
            Part::Block(_, place) if place.kind == T::KIND => usize::from(place.count),
            _ => 0,
        };
        out.reserve(self.series[index].parts.iter().map(count).sum());
        for part in &self.series[index].parts {
            let begun = out.len();
            let good = match part {
                Part::One(sample) => {
                    out.extend(T::from_one(*sample));
                    true
                }
                Part::Open(kind, bytes) => *kind != T::KIND || T::unpack_onto(bytes, out),
                Part::Chunk(chunk) => chunk.kind != T::KIND || T::unpack_onto(&chunk.bytes, out),
                Part::Block(_, place) if place.kind != T::KIND => true,
                Part::Block(number, place) => {
                    let (block, reading) = (&self.blocks[*number as usize], &mut self.reading[*number as usize]);
                    block.unpack(place, reading, out).map_err(|error| self.recent.blocks.refused(block, error))?;
                    true
                }
            };
            assert!(good, "a chunk in memory is what was packed");
            rising &= begun == 0 || begun == out.len() || out[begun - 1].time() < out[begun].time();
        }
        tidied(out, rising, self.from, self.to);
        Ok(())
    }
}

/// Leaves those within `from..=to`, rising in time: of two of one time the first.
pub(super) fn tidied<T: Item>(out: &mut Vec<T>, rising: bool, from: Millis, to: Millis) {
    if !rising {
        // Stable: those of one time stay in the order of their parts.
        out.sort_by_key(T::time);
        out.dedup_by_key(|sample| sample.time());
    }
    let start = out.partition_point(|sample| sample.time() < from);
    out.truncate(out.partition_point(|sample| sample.time() <= to));
    out.drain(..start.min(out.len()));
}

/// What a series' newest number is among items of a kind.
trait FromOne: Sized {
    fn from_one(sample: Sample) -> Option<Self>;
}

impl FromOne for Sample {
    fn from_one(sample: Sample) -> Option<Sample> {
        Some(sample)
    }
}

impl FromOne for HistogramSample {
    fn from_one(_: Sample) -> Option<HistogramSample> {
        None
    }
}
