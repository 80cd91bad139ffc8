//! The newest histograms of one series, rising in time, in one contiguous slice.
use crate::ring::{LOOKBACK_MS, Pushed, horizon, merged};
use alloc::vec::Vec;
use faultline_model::{Canonical, CodecError, Histogram, HistogramSample, Millis, Reader, Writer};

/// Bytes that a histogram is counted as, beside its buckets: the value itself, its counters and its place in the ring.
const BYTES_EACH: usize = 256;
/// Bytes of a count, a span or a bound.
const BYTES_PART: usize = 8;

/// Histograms in rising time. What is kept of them is what [`crate::ring::Ring`] keeps of floats.
///
/// Memory is counted in bytes, the same on every machine: histograms differ a thousandfold in size.
#[derive(Debug, Default)]
pub struct HistogramRing {
    // A prefix of `head` samples is dead: it holds times only.
    samples: Vec<HistogramSample>,
    head: usize,
    bytes: usize,
}

/// Bytes that a sample counts as.
pub fn bytes_of(sample: &HistogramSample) -> usize {
    let parts = |h: &Histogram| {
        [&h.positive, &h.negative].into_iter().map(|side| side.len() + side.spans().len()).sum::<usize>()
            + h.bounds.len()
    };
    BYTES_EACH + BYTES_PART * sample.histogram.as_deref().map_or(0, parts)
}

impl HistogramRing {
    /// The samples, oldest first.
    pub fn samples(&self) -> &[HistogramSample] {
        &self.samples[self.head..]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.samples.len() - self.head
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they count as.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is one of that time.
    pub fn has(&self, time: Millis) -> bool {
        self.samples().binary_search_by_key(&time, |sample| sample.time).is_ok()
    }

    /// Adds a sample at rule time `now`, as [`crate::ring::Ring::push`] does.
    pub fn push(&mut self, sample: HistogramSample, now: Millis, keep: i64) -> Pushed {
        let horizon = horizon(now, keep);
        let live = self.samples();
        let Some(last) = live.last().filter(|last| sample.time <= last.time) else {
            self.expire(horizon);
            self.add(self.len(), sample);
            return Pushed::Newest;
        };
        let at = if last.time == sample.time {
            live.len() - 1
        } else {
            live.partition_point(|other| other.time < sample.time)
        };
        let next = &live[at];
        if next.time == sample.time {
            return if next.histogram == sample.histogram { Pushed::Duplicate } else { Pushed::Conflict };
        }
        let time = sample.time;
        let late = next.time <= horizon || time <= horizon.plus(-LOOKBACK_MS);
        if late && at > 0 {
            // Those before it are not read either. Without it they would look as if nothing had come after them.
            self.drop_first(at);
            self.add(0, sample);
        } else if !late || live.len() == 1 {
            self.add(at, sample);
        }
        if late {
            return if time > now.plus(-LOOKBACK_MS) { Pushed::Late } else { Pushed::TooOld };
        }
        self.expire(horizon);
        Pushed::Inserted
    }

    /// Puts samples of before those that are there in front of them, as [`crate::ring::Ring::recall`] does.
    pub(crate) fn recall(&mut self, older: &[HistogramSample], before: Millis, now: Millis, keep: i64) {
        let live = self.samples();
        let end = live.partition_point(|sample| sample.time < before);
        let older = &older[..older.partition_point(|sample| sample.time < before)];
        let front = merged(&live[..end], older, |sample| sample.time);
        self.samples.splice(self.head..self.head + end, front);
        self.bytes = self.samples().iter().map(bytes_of).sum();
        self.expire(horizon(now, keep));
    }

    /// Takes the sample of that time out again.
    pub fn remove(&mut self, time: Millis) {
        if let Ok(at) = self.samples().binary_search_by_key(&time, |sample| sample.time) {
            let gone = self.samples.remove(self.head + at);
            self.bytes -= bytes_of(&gone);
        }
    }

    /// Drops samples that nothing reads any more at rule time `now`, but never the newest two.
    pub fn trim(&mut self, now: Millis, keep: i64) {
        let Some(newest) = self.samples.pop() else { return };
        self.expire(horizon(now, keep));
        self.samples.push(newest);
    }

    /// Gives up every second sample but the first and the newest: the span stays, the resolution falls. Returns how many went.
    pub fn thin(&mut self) -> usize {
        let (before, newest) = (self.len(), self.samples.len().saturating_sub(1));
        let head = core::mem::take(&mut self.head);
        let mut place = 0;
        self.samples.retain(|_| {
            let stays = place >= head && ((place - head).is_multiple_of(2) || place == newest);
            place += 1;
            stays
        });
        self.bytes = self.samples.iter().map(bytes_of).sum();
        before - self.len()
    }

    fn add(&mut self, at: usize, sample: HistogramSample) {
        self.bytes += bytes_of(&sample);
        self.samples.insert(self.head + at, sample);
    }

    /// Drops every sample whose successor is at or before the horizon too, but never the newest.
    fn expire(&mut self, horizon: Millis) {
        let live = self.samples();
        let mut dead = 0;
        while dead + 1 < live.len() && live[dead + 1].time <= horizon {
            dead += 1;
        }
        self.drop_first(dead);
    }

    fn drop_first(&mut self, count: usize) {
        for sample in &mut self.samples[self.head..self.head + count] {
            self.bytes -= bytes_of(sample);
            // The histogram goes at once; its place when enough are dead.
            sample.histogram = None;
        }
        self.head += count;
        if self.head * 2 > self.samples.len() {
            self.samples.drain(..self.head);
            self.head = 0;
        }
        if self.samples.capacity() > 4 * self.samples.len() + 4 {
            self.samples.shrink_to(2 * self.samples.len());
        }
    }
}

/// A list of samples, rising.
pub(crate) fn write(samples: &[HistogramSample], w: &mut Writer) {
    w.array(samples.len());
    samples.iter().for_each(|sample| sample.write(w));
}

impl Canonical for HistogramRing {
    fn write(&self, w: &mut Writer) {
        write(self.samples(), w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let refused = r.invalid("ring of histograms");
        let count = r.array()?;
        let mut samples: Vec<HistogramSample> = Vec::new();
        for _ in 0..count {
            let sample = HistogramSample::read(r)?;
            if samples.last().is_some_and(|last| last.time >= sample.time) {
                return Err(refused);
            }
            samples.push(sample);
        }
        // A series without any has no ring.
        if samples.is_empty() {
            return Err(refused);
        }
        let bytes = samples.iter().map(bytes_of).sum();
        Ok(HistogramRing { samples, head: 0, bytes })
    }
}
