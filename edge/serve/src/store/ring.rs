//! The newest samples of one series, in time order.
use faultline_model::{Millis, Sample};
use std::collections::VecDeque;

/// Room that a ring gets with its first sample.
const FIRST: usize = 4;

/// Samples in rising time, within the room that the store grants.
pub(crate) struct Ring {
    samples: VecDeque<Sample>,
    // `NONE` before the first: an `Option` would push a slot of the store over one cache line.
    dropped: Millis,
}

const NONE: Millis = Millis(i64::MIN);

impl Default for Ring {
    fn default() -> Self {
        Ring { samples: VecDeque::new(), dropped: NONE }
    }
}

impl Ring {
    /// Samples for which it holds memory.
    pub fn room(&self) -> usize {
        self.samples.capacity()
    }

    /// Time of the newest sample given up to make room.
    pub fn dropped(&self) -> Option<Millis> {
        (self.dropped > NONE).then_some(self.dropped)
    }

    /// Time of the newest sample.
    pub fn newest(&self) -> Option<Millis> {
        self.samples.back().map(Sample::time)
    }

    /// Whether it is full and below its `share`.
    pub fn wants_room(&self, share: usize) -> bool {
        self.samples.len() == self.samples.capacity() && self.samples.len() < share
    }

    /// How much it would grow, within its `share`.
    pub fn growth(&self, share: usize) -> usize {
        let room = self.room();
        (room * 2).max(FIRST).min(share).saturating_sub(room)
    }

    /// Adds room for `more` samples.
    pub fn grow(&mut self, more: usize) {
        self.samples.reserve_exact(self.samples.capacity() - self.samples.len() + more);
    }

    /// Gives up what exceeds `share`, oldest first.
    pub fn trim(&mut self, share: usize) {
        if self.room() > share {
            while self.samples.len() > share {
                self.drop_oldest();
            }
            self.samples.shrink_to(share);
        }
    }

    /// Adds a sample; in a full ring the oldest makes room. Of two samples of one time the first stays, as in the engine: it has not seen that a
    /// late one is a repeat.
    pub fn push(&mut self, sample: Sample) {
        if self.newest().is_some_and(|newest| newest >= sample.time()) {
            return self.push_late(sample);
        }
        if self.samples.len() == self.samples.capacity() {
            self.drop_oldest();
        }
        self.samples.push_back(sample);
    }

    fn push_late(&mut self, sample: Sample) {
        let mut place = self.samples.partition_point(|s| s.time() < sample.time());
        if self.samples.get(place).is_some_and(|s| s.time() == sample.time()) {
            return;
        }
        if self.samples.len() == self.samples.capacity() {
            if place == 0 {
                self.dropped = self.dropped.max(sample.time());
                return;
            }
            self.drop_oldest();
            place -= 1;
        }
        self.samples.insert(place, sample);
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.samples.pop_front() {
            self.dropped = self.dropped.max(oldest.time());
        }
    }

    /// Appends the samples with `from <= time <= to`.
    pub fn copy(&self, from: Millis, to: Millis, out: &mut Vec<Sample>) {
        let start = self.samples.partition_point(|s| s.time() < from);
        let end = self.samples.partition_point(|s| s.time() <= to).max(start);
        out.extend(self.samples.range(start..end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ring: &Ring) -> Vec<i64> {
        let mut out = Vec::new();
        ring.copy(Millis(i64::MIN), Millis(i64::MAX), &mut out);
        out.iter().map(|s| s.time().0).collect()
    }

    #[test]
    fn late_and_equal_times_keep_the_order_and_losses_are_known() {
        let mut ring = Ring::default();
        ring.grow(4);
        for time in [10, 30, 20, 30, 40] {
            ring.push(Sample::new(Millis(time), time as f64));
        }
        ring.push(Sample::new(Millis(20), 0.0));
        assert_eq!((times(&ring), ring.dropped()), (vec![10, 20, 30, 40], None));
        assert_eq!(ring.samples[1].value(), 20.0, "the first stays");
        ring.push(Sample::new(Millis(25), 1.0));
        assert_eq!((times(&ring), ring.dropped()), (vec![20, 25, 30, 40], Some(Millis(10))));
        ring.push(Sample::new(Millis(15), 1.0));
        assert_eq!((times(&ring), ring.dropped()), (vec![20, 25, 30, 40], Some(Millis(15))), "too late to be kept");
        ring.push(Sample::new(Millis(50), 1.0));
        assert_eq!((times(&ring), ring.dropped()), (vec![25, 30, 40, 50], Some(Millis(20))));
        ring.trim(2);
        assert_eq!((times(&ring), ring.dropped(), ring.room()), (vec![40, 50], Some(Millis(30)), 2));
    }

    #[test]
    fn a_copy_has_both_ends() {
        let mut ring = Ring::default();
        ring.grow(8);
        (0..8).for_each(|time| ring.push(Sample::new(Millis(time), 0.0)));
        let mut out = Vec::new();
        ring.copy(Millis(2), Millis(4), &mut out);
        assert_eq!(out.iter().map(|s| s.time().0).collect::<Vec<_>>(), [2, 3, 4]);
        ring.copy(Millis(9), Millis(1), &mut out);
        assert_eq!(out.len(), 3);
    }
}
