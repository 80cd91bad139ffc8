//! A stretch of one series as packed bytes: open at its end, or closed and shared.
use super::window;
use faultline_model::{HistogramSample, Millis, Sample, histogram, packed};
use std::sync::Arc;

/// Samples of a chunk that is closed for being full.
pub const CHUNK_SAMPLES: u16 = 120;
/// Most samples of a chunk that late ones came to.
pub const LATE_SAMPLES: u16 = 2 * CHUNK_SAMPLES;
/// Bytes that a closed chunk takes beside its own.
pub const CHUNK_OVERHEAD: usize = size_of::<Chunk>() + 32;

/// What a chunk's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// Numbers, in the bytes of [`faultline_model::packed`].
    Numbers = 1,
    /// Native histograms, in the bytes of [`faultline_model::histogram::packed`].
    Histograms = 2,
}

impl ChunkKind {
    /// The kind of this byte; none of one that this release does not know.
    pub fn of(byte: u8) -> Option<ChunkKind> {
        [ChunkKind::Numbers, ChunkKind::Histograms].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What chunks are made of.
pub trait Item: Clone {
    /// Chunks of it.
    const KIND: ChunkKind;
    /// What the next one is told from.
    type Packer: Default;
    /// When.
    fn time(&self) -> Millis;
    /// Appends it to the bytes of those before.
    fn pack(&self, packer: &mut Self::Packer, bytes: &mut Vec<u8>);
    /// Bytes of memory that a packer holds beside itself.
    fn held(packer: &Self::Packer) -> usize;
    /// Appends what was packed; false where these bytes are not of our making.
    fn unpack_onto(bytes: &[u8], items: &mut Vec<Self>) -> bool;
}

impl Item for Sample {
    const KIND: ChunkKind = ChunkKind::Numbers;
    type Packer = packed::Packer;

    #[inline]
    fn time(&self) -> Millis {
        Sample::time(self)
    }

    #[inline]
    fn pack(&self, packer: &mut packed::Packer, bytes: &mut Vec<u8>) {
        packer.push(*self, bytes);
    }

    #[inline]
    fn held(_: &packed::Packer) -> usize {
        0
    }

    fn unpack_onto(bytes: &[u8], items: &mut Vec<Sample>) -> bool {
        packed::unpack_onto(bytes, items)
    }
}

impl Item for HistogramSample {
    const KIND: ChunkKind = ChunkKind::Histograms;
    type Packer = histogram::packed::Packer;

    fn time(&self) -> Millis {
        self.time
    }

    fn pack(&self, packer: &mut histogram::packed::Packer, bytes: &mut Vec<u8>) {
        packer.push(self, bytes);
    }

    fn held(packer: &histogram::packed::Packer) -> usize {
        packer.held() * size_of::<f64>()
    }

    fn unpack_onto(bytes: &[u8], items: &mut Vec<HistogramSample>) -> bool {
        histogram::packed::unpack_onto(bytes, usize::from(LATE_SAMPLES), items)
    }
}

/// A closed chunk. Clones share its bytes.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// What its bytes are.
    pub kind: ChunkKind,
    /// How many samples there are, at least one.
    pub count: u16,
    /// Time of the first.
    pub first: Millis,
    /// Time of the last.
    pub last: Millis,
    /// The samples.
    pub bytes: Arc<[u8]>,
}

impl Chunk {
    /// A chunk of samples in rising time, at least one and at most [`u16::MAX`].
    pub fn of<T: Item>(samples: &[T]) -> Chunk {
        let (first, last) = (samples[0].time(), samples[samples.len() - 1].time());
        let (mut packer, mut bytes) = (T::Packer::default(), Vec::new());
        samples.iter().for_each(|sample| sample.pack(&mut packer, &mut bytes));
        Chunk { kind: T::KIND, count: samples.len() as u16, first, last, bytes: bytes.into() }
    }

    /// Appends its samples, and says whether they are what is said of it.
    pub fn read<T: Item>(&self, samples: &mut Vec<T>) -> bool {
        let begun = samples.len();
        self.kind == T::KIND
            && T::unpack_onto(&self.bytes, samples)
            && samples.len() - begun == usize::from(self.count)
            && samples.get(begun).map(T::time) == Some(self.first)
            && samples.last().map(T::time) == Some(self.last)
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.bytes.len() + CHUNK_OVERHEAD
    }

    /// Where its bytes lie: the same of its clones, another of each other chunk that there is.
    pub fn place(&self) -> *const u8 {
        self.bytes.as_ptr()
    }
}

/// What became of a late sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It is in.
    Inserted,
    /// Its time was taken: the first stays, as in the engine.
    Repeat,
}

/// The end of a series, to which samples are added.
#[derive(Debug)]
pub struct Open<T: Item> {
    bytes: Vec<u8>,
    packer: T::Packer,
    first: Millis,
    count: u16,
}

impl<T: Item> Default for Open<T> {
    fn default() -> Open<T> {
        Open { bytes: Vec::new(), packer: T::Packer::default(), first: Millis(0), count: 0 }
    }
}

impl<T: Item> Open<T> {
    /// How many samples there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Time of the first, where there is one.
    pub fn first(&self) -> Millis {
        self.first
    }

    /// The samples, packed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + T::held(&self.packer)
    }

    /// Adds a sample later than all others.
    #[inline]
    pub fn push(&mut self, sample: &T) {
        if self.count == 0 {
            self.first = sample.time();
        }
        sample.pack(&mut self.packer, &mut self.bytes);
        self.count += 1;
    }

    /// Inserts a sample before the last one.
    pub fn insert(&mut self, sample: T) -> Late {
        let mut samples: Vec<T> = decoded(&self.bytes);
        let Err(place) = samples.binary_search_by_key(&sample.time(), T::time) else { return Late::Repeat };
        samples.insert(place, sample);
        *self = Open::default();
        samples.iter().for_each(|sample| self.push(sample));
        Late::Inserted
    }

    /// Closes it and begins anew; nothing of an empty one.
    ///
    /// - `last`: time of its last sample.
    pub fn close(&mut self, last: Millis) -> Option<Chunk> {
        let Open { bytes, first, count, .. } = std::mem::take(self);
        (count > 0).then(|| Chunk { kind: T::KIND, count, first, last, bytes: bytes.into() })
    }

    /// The same as a closed chunk would be; nothing of an empty one.
    ///
    /// - `last`: time of its last sample.
    pub fn image(&self, last: Millis) -> Option<Chunk> {
        let Open { bytes, first, count, .. } = self;
        (*count > 0).then(|| Chunk { kind: T::KIND, count: *count, first: *first, last, bytes: bytes[..].into() })
    }
}

/// Puts a late sample into the open chunk where it belongs there, else among the closed ones.
///
/// - `newest`: time of the last sample of the open chunk.
pub fn put_behind<T: Item>(open: &mut Open<T>, closed: &mut Vec<Chunk>, newest: Millis, sample: T) -> Late {
    let time = sample.time();
    if open.count() > 0 && open.first() <= time {
        if open.count() < LATE_SAMPLES {
            return open.insert(sample);
        }
        closed.extend(open.close(newest));
    }
    insert_late(closed, sample, |first| window(first) == window(time))
}

/// Puts a late sample among closed chunks of its kind, which stand in the order of their first samples and do not overlap.
fn insert_late<T: Item>(closed: &mut Vec<Chunk>, sample: T, same_window: impl Fn(Millis) -> bool) -> Late {
    let time = sample.time();
    let place = closed.partition_point(|chunk| chunk.first <= time);
    // It belongs into the chunk that spans it, or may stand at the end of the one before.
    let before = place.checked_sub(1).filter(|&i| {
        let chunk = &closed[i];
        time <= chunk.last || (chunk.count < LATE_SAMPLES && same_window(chunk.first))
    });
    let Some(i) = before else {
        closed.insert(place, Chunk::of(&[sample]));
        return Late::Inserted;
    };
    let mut samples: Vec<T> = decoded(&closed[i].bytes);
    let Err(at) = samples.binary_search_by_key(&time, T::time) else { return Late::Repeat };
    samples.insert(at, sample);
    if samples.len() > usize::from(LATE_SAMPLES) {
        let (left, right) = samples.split_at(samples.len() / 2);
        closed[i] = Chunk::of(left);
        closed.insert(i + 1, Chunk::of(right));
    } else {
        closed[i] = Chunk::of(&samples);
    }
    Late::Inserted
}

/// Samples of bytes of our own making.
fn decoded<T: Item>(bytes: &[u8]) -> Vec<T> {
    let mut samples = Vec::with_capacity(usize::from(CHUNK_SAMPLES) + 1);
    assert!(T::unpack_onto(bytes, &mut samples), "a chunk in memory is what was packed");
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(time: i64) -> Sample {
        Sample::new(Millis(time), time as f64)
    }

    fn times(chunks: &[Chunk]) -> Vec<Vec<i64>> {
        let of = |chunk: &Chunk| decoded::<Sample>(&chunk.bytes).iter().map(|s| s.time().0).collect::<Vec<_>>();
        for chunk in chunks {
            let all = of(chunk);
            assert_eq!((chunk.first.0, chunk.last.0), (all[0], all[all.len() - 1]));
            assert_eq!(usize::from(chunk.count), all.len());
        }
        chunks.iter().map(of).collect()
    }

    #[test]
    fn late_samples_find_their_chunk_and_repeats_are_told() {
        let mut open = Open::default();
        [10, 30].into_iter().for_each(|time| open.push(&sample(time)));
        assert_eq!((open.insert(sample(20)), open.insert(sample(20))), (Late::Inserted, Late::Repeat));
        open.push(&sample(40));
        let mut closed = vec![open.close(Millis(40)).unwrap()];
        assert_eq!((open.count(), open.close(Millis(0)).is_none()), (0, true));
        let window = |first: Millis| first.0 < 100;
        for (time, became) in [(5, Late::Inserted), (25, Late::Inserted), (30, Late::Repeat), (60, Late::Inserted)] {
            assert_eq!(insert_late(&mut closed, sample(time), window), became, "{time}");
        }
        assert_eq!(times(&closed), [vec![5], vec![10, 20, 25, 30, 40, 60]]);
        assert_eq!(insert_late(&mut closed, sample(200), |first| first.0 >= 100), Late::Inserted);
        assert_eq!(times(&closed), [vec![5], vec![10, 20, 25, 30, 40, 60], vec![200]]);
    }

    #[test]
    fn a_chunk_that_grows_too_long_is_split() {
        let mut closed = vec![Chunk::of(&(0..240).map(|i| sample(i * 10)).collect::<Vec<_>>())];
        assert_eq!(insert_late(&mut closed, sample(55), |_| true), Late::Inserted);
        let all = times(&closed);
        assert_eq!((all.len(), all[0].len() + all[1].len()), (2, 241));
        assert!(all.concat().is_sorted());
    }
}
