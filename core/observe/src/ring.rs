//! The newest samples of one series, rising in time, in one contiguous slice.
use alloc::vec::Vec;
use faultline_model::{Canonical, CodecError, Millis, Reader, Sample, Writer, canonical_struct};

/// Most samples kept of one series: an hour at five a second.
pub const SAMPLES_MAX: usize = 18_000;

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is the newest.
    Newest,
    /// It was put between older ones.
    Inserted,
    /// The same sample was there.
    Duplicate,
    /// Another value was there for the same time: the first one stays, as in Prometheus.
    Conflict,
    /// It is older than everything kept.
    TooOld,
}

/// Samples in rising time. Holds what lies within `keep` of rule time, and always the newest two, so that the newest
/// sample at or before rule time can be found even when a sender's clock is a little ahead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ring {
    // A prefix of `head` samples is dead until enough of them make moving the rest worthwhile.
    samples: Vec<Sample>,
    head: u32,
}

impl Ring {
    /// The samples, oldest first.
    #[inline]
    pub fn samples(&self) -> &[Sample] {
        &self.samples[self.head as usize..]
    }

    /// Adds a sample at rule time `now`, dropping what is older than `keep` ms before it.
    #[inline]
    pub fn push(&mut self, sample: Sample, now: Millis, keep: i64) -> Pushed {
        let live = self.samples();
        if let Some(last) = live.last()
            && sample.time() <= last.time()
        {
            return self.insert(sample);
        }
        if keep == 0 && live.len() == 2 && self.head == 0 {
            // Most series of an estate are read by no range: they stay at two samples and one small allocation.
            self.samples[0] = self.samples[1];
            self.samples[1] = sample;
            return Pushed::Newest;
        }
        if self.samples.capacity() == 0 {
            self.samples.reserve_exact(2);
        }
        self.samples.push(sample);
        self.trim(now.plus(-keep));
        Pushed::Newest
    }

    /// Drops samples at or before `horizon`, but never the newest two.
    fn trim(&mut self, horizon: Millis) {
        let live = self.samples.len() - self.head as usize;
        let spare = live.saturating_sub(2);
        let mut dead = live.saturating_sub(SAMPLES_MAX);
        while dead < spare && self.samples[self.head as usize + dead].time() <= horizon {
            dead += 1;
        }
        self.head += dead as u32;
        if self.head as usize >= 8 && self.head as usize * 2 >= self.samples.len() {
            self.samples.drain(..self.head as usize);
            self.head = 0;
        }
    }

    #[cold]
    fn insert(&mut self, sample: Sample) -> Pushed {
        let live = self.samples();
        let at = live.partition_point(|s| s.time() < sample.time());
        if live.get(at).is_some_and(|s| s.time() == sample.time()) {
            // Bits, not values: a repeated NaN is a duplicate too.
            let same =
                live[at].is_stale() == sample.is_stale() && live[at].value().to_bits() == sample.value().to_bits();
            return if same { Pushed::Duplicate } else { Pushed::Conflict };
        }
        if at == 0 {
            return Pushed::TooOld;
        }
        self.samples.insert(self.head as usize + at, sample);
        Pushed::Inserted
    }
}

impl Canonical for Ring {
    fn write(&self, w: &mut Writer) {
        w.array(self.samples().len());
        self.samples().iter().for_each(|sample| sample.write(w));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let samples = Vec::<Sample>::read(r)?;
        if samples.is_sorted_by(|a, b| a.time() < b.time()) {
            Ok(Ring { samples, head: 0 })
        } else {
            Err(r.invalid("ring in rising time"))
        }
    }
}

/// Counts of what became of samples since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// Applied.
    pub accepted: u64,
    /// Left out because the same sample was there.
    pub duplicates: u64,
    /// Refused because another value was there for the same time.
    pub conflicts: u64,
    /// Refused because they are older than everything kept.
    pub too_old: u64,
    /// Refused because their time lies too far ahead of rule time.
    pub future: u64,
    /// Refused because there are too many series.
    pub cardinality: u64,
}
canonical_struct!(SampleCounts { accepted, duplicates, conflicts, too_old, future, cardinality });

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ring: &Ring) -> Vec<i64> {
        ring.samples().iter().map(|s| s.time().0).collect()
    }

    #[test]
    fn samples_stay_in_order_whatever_order_they_come_in() {
        let mut ring = Ring::default();
        let mut push = |t: i64, v: f64| ring.push(Sample::new(Millis(t), v), Millis(100), 90);
        let outcomes: Vec<Pushed> =
            [(10, 1.0), (30, 3.0), (20, 2.0), (30, 3.0), (30, 4.0), (5, 0.0)].map(|(t, v)| push(t, v)).to_vec();
        use Pushed::*;
        assert_eq!(outcomes, [Newest, Newest, Inserted, Duplicate, Conflict, TooOld]);
        assert_eq!(times(&ring), [10, 20, 30]);
    }

    #[test]
    fn a_range_is_kept_and_no_more() {
        let mut ring = Ring::default();
        for t in 1..=1000 {
            ring.push(Sample::new(Millis(t), 0.0), Millis(t), 50);
            assert_eq!(ring.samples().len() as i64, t.min(50), "the window is open on the left");
            assert!(ring.samples.len() <= 2 * 50 + 8);
        }
        let mut small = Ring::default();
        for t in 1..=1000 {
            small.push(Sample::new(Millis(t), 0.0), Millis(t), 0);
        }
        assert_eq!((times(&small), small.samples.capacity()), (alloc::vec![999, 1000], 2));
        let copy = Ring::from_bytes(&ring.to_bytes()).expect("just written");
        assert_eq!(copy.samples(), ring.samples());
    }
}
