//! Where a long stretch of samples falls or is stale, kept beside it, so that nobody looks at each sample again and again.
use alloc::collections::VecDeque;
use faultline_model::{Millis, Sample};

/// Most places of each kind that are kept. A series that falls more often than that within a window is no counter.
const PLACES_MAX: usize = 64;

/// Falls and stale markers of a series' samples: a function of what the samples are, but for places given up.
///
/// Whoever holds the samples holds this beside them, tells it of every sample that comes or goes, and shows both in
/// [`crate::SeriesView`]. What is computed is the same to the bit with and without.
///
/// Memory: at most 64 places of 16 bytes of either kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Samples below the one right before them, neither of the two stale: their time, and the value before.
    falls: Places<f64>,
    stale: Places<()>,
}

/// Places in rising time.
#[derive(Clone, Debug, PartialEq)]
struct Places<T> {
    places: VecDeque<(Millis, T)>,
    /// Of places up to this time some were given up.
    given_up: Millis,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places { places: VecDeque::new(), given_up: Millis(i64::MIN) }
    }
}

impl<T> Places<T> {
    fn add(&mut self, time: Millis, what: T) {
        if time <= self.given_up {
            return;
        }
        let at = self.places.partition_point(|(place, _)| *place < time);
        self.places.insert(at, (time, what));
        if self.places.len() > PLACES_MAX
            && let Some((time, _)) = self.places.pop_front()
        {
            self.given_up = time;
        }
    }

    #[inline]
    fn has_none(&self) -> bool {
        self.places.is_empty() && self.given_up == Millis(i64::MIN)
    }

    fn remove(&mut self, time: Millis) {
        if let Ok(at) = self.places.binary_search_by_key(&time, |(place, _)| *place) {
            self.places.remove(at);
        }
    }

    fn forget(&mut self, until: Millis) {
        while self.places.front().is_some_and(|(place, _)| *place <= until) {
            self.places.pop_front();
        }
    }

    /// Those after `start` and up to `end`; nothing where some of them were given up.
    fn within(&self, start: Millis, end: Millis) -> Option<impl Iterator<Item = &(Millis, T)>> {
        let from = self.places.partition_point(|(place, _)| *place <= start);
        (start >= self.given_up).then(|| self.places.range(from..).take_while(move |(place, _)| *place <= end))
    }
}

impl Marks {
    /// Those of samples in rising time.
    pub fn of(samples: &[Sample]) -> Marks {
        let mut marks = Marks::default();
        let mut before = None;
        for &sample in samples {
            marks.inserted(before, sample, None);
            before = Some(sample);
        }
        marks
    }

    /// The same, but that of samples which fall too often to be kept it is only known that they do: what is to be read once
    /// costs little more than to look at each.
    pub fn of_past(samples: &[Sample]) -> Marks {
        let mut marks = Marks::default();
        let mut before = Sample::new(Millis(i64::MIN), f64::NEG_INFINITY);
        for &sample in samples {
            if sample.is_stale() {
                marks.stale.add(sample.time(), ());
            } else if sample.value() < before.value() && !before.is_stale() {
                match marks.falls.places.len() < PLACES_MAX {
                    true => marks.falls.places.push_back((sample.time(), before.value())),
                    false => marks.falls.given_up = Millis(i64::MAX),
                }
            }
            before = sample;
        }
        marks
    }

    /// A sample came between these two neighbours.
    pub fn inserted(&mut self, before: Option<Sample>, sample: Sample, after: Option<Sample>) {
        if sample.is_stale() {
            self.stale.add(sample.time(), ());
        }
        if let Some(after) = after {
            self.falls.remove(after.time());
        }
        for (before, sample) in [(before, Some(sample)), (Some(sample), after)] {
            if let (Some(before), Some(sample)) = (before, sample)
                && !before.is_stale()
                && !sample.is_stale()
                && sample.value() < before.value()
            {
                self.falls.add(sample.time(), before.value());
            }
        }
    }

    /// Samples before this one, now the first, went.
    pub fn begins(&mut self, first: Millis) {
        self.falls.forget(first);
        self.stale.forget(first.plus(-1));
    }

    /// Whether it is known that no sample is stale.
    pub(crate) fn has_no_stale(&self) -> bool {
        self.stale.has_none()
    }

    /// Whether it is known that no sample is below the one before.
    #[inline]
    pub(crate) fn has_no_falls(&self) -> bool {
        self.falls.has_none()
    }

    /// Whether none of these samples, all between two that are there, is stale; nothing where that is not known.
    pub(crate) fn none_stale(&self, samples: &[Sample]) -> Option<bool> {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Some(true) };
        let mut stale = self.stale.within(first.time().plus(-1), last.time())?;
        Some(stale.next().is_none())
    }

    /// The values before each fall among these samples, in order of time, none of which is stale; nothing where not all are
    /// known.
    pub(crate) fn falls(&self, samples: &[Sample]) -> Option<impl Iterator<Item = f64>> {
        let (first, last) = (samples.first()?, samples.last()?);
        Some(self.falls.within(first.time(), last.time())?.map(|(_, before)| *before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn brute(samples: &[Sample]) -> Vec<f64> {
        let pairs = samples.windows(2).filter(|pair| pair[1].value() < pair[0].value());
        pairs.map(|pair| pair[0].value()).collect()
    }

    /// Samples that come in any order and go at the front: what is known is what is there, and what is frequent is not known.
    #[test]
    fn what_is_known_is_what_is_there() {
        let (mut random, mut known, mut unknown) = (1_u64, 0, 0);
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for round in 0..300 {
            let (mut samples, mut marks): (Vec<Sample>, Marks) = (Vec::new(), Marks::default());
            let rises = round % 3 != 0;
            for i in 0..400_u64 {
                let time = Millis((if next(10) == 0 { next(i * 10 + 1) } else { i * 10 }) as i64);
                let at = samples.partition_point(|s| s.time() < time);
                if samples.get(at).is_some_and(|s| s.time() == time) {
                    continue;
                }
                let value = if rises && next(50) > 0 { time.0 as f64 } else { next(1_000) as f64 };
                let sample = if next(100) == 0 { Sample::stale(time) } else { Sample::new(time, value) };
                let before = at.checked_sub(1).map(|i| samples[i]);
                marks.inserted(before, sample, samples.get(at).copied());
                samples.insert(at, sample);
                if next(20) == 0 {
                    samples.drain(..next(samples.len() as u64) as usize / 8);
                    marks.begins(samples[0].time());
                }
                let from = next(samples.len() as u64) as usize;
                let part = &samples[from..from + 1 + next((samples.len() - from) as u64) as usize];
                let stale = part.iter().any(Sample::is_stale);
                assert!(Marks::of_past(part).none_stale(part).is_none_or(|none| none != stale));
                assert!(marks.none_stale(part).is_none_or(|none| none != stale));
                if !stale {
                    if let Some(falls) = Marks::of_past(&samples).falls(part) {
                        assert_eq!(falls.collect::<Vec<f64>>(), brute(part));
                    }
                    match marks.falls(part) {
                        Some(falls) => assert_eq!(falls.collect::<Vec<f64>>(), brute(part)),
                        None => unknown += 1,
                    }
                    known += 1;
                }
            }
            if rises {
                assert_eq!(Marks::of(&samples), marks, "by whatever way they came");
            }
        }
        assert!(known > 10_000 && unknown > 100, "{known} {unknown}");
    }
}
