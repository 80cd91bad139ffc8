//! The histograms of a series in memory: few series have any, so they stand beside the slots of all.
use super::chunk::{CHUNK_SAMPLES, Chunk, Open};
use super::window;
use faultline_model::{HistogramSample, Millis};

/// Bytes of an open chunk that a series keeps, however short memory is.
const DUE: usize = 1 << 10;
/// Bytes past which a chunk is full.
const FULL: usize = 16 << 10;

/// The histograms of one series, beside its numbers.
pub struct Histograms {
    /// The end.
    pub open: Open<HistogramSample>,
    /// What comes before it.
    pub closed: Vec<Chunk>,
    /// Time of the newest ever, also where its chunk is on disk.
    pub newest: Millis,
}

impl Default for Histograms {
    fn default() -> Histograms {
        Histograms { open: Open::default(), closed: Vec::new(), newest: Millis(i64::MIN) }
    }
}

impl Histograms {
    /// Whether none is in memory.
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.count() == 0
    }

    /// Bytes, and chunks.
    pub fn load(&self) -> (usize, usize) {
        let bytes = self.open.size() + self.closed.iter().map(Chunk::size).sum::<usize>();
        (bytes, self.closed.len() + usize::from(self.open.count() > 0))
    }

    /// Closes the open chunk.
    pub fn close(&mut self) {
        self.closed.extend(self.open.close(self.newest));
    }

    /// Whether the open chunk is closed before it is full, where memory is short.
    pub fn is_due(&self) -> bool {
        self.open.bytes().len() >= DUE
    }

    /// Takes in a histogram that is newer than all others.
    ///
    /// - `over`: memory is short.
    pub fn push(&mut self, sample: &HistogramSample, over: bool) {
        let full = self.open.count() >= CHUNK_SAMPLES || self.open.bytes().len() >= FULL;
        let due = over && self.is_due();
        if self.open.count() > 0 && (full || due || window(self.open.first()) != window(sample.time)) {
            self.close();
        }
        self.open.push(sample);
        self.newest = sample.time;
    }
}
