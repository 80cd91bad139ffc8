//! Counts of durations in logarithmic buckets: three digits from a microsecond to hours, in a fixed 200 KB.
//!
//! The idea of HdrHistogram: values below 2048 have a bucket each; above, each power of two is split in 1024.
use std::time::Duration;

const FINE_BITS: u32 = 10;
const FINE: u64 = 1 << FINE_BITS;
/// Powers of two above the fine range: the largest bucket begins beyond nine hours.
const OCTAVES: u64 = 24;

/// A histogram of durations.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    largest: Duration,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: vec![0; ((OCTAVES + 2) * FINE) as usize], count: 0, largest: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn add(&mut self, duration: Duration) {
        let index = index(duration.as_micros().min(u128::from(u64::MAX)) as u64).min(self.buckets.len() - 1);
        self.buckets[index] += 1;
        self.count += 1;
        self.largest = self.largest.max(duration);
    }

    /// Adds all that another one counted.
    pub fn merge(&mut self, other: &Histogram) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
        self.largest = self.largest.max(other.largest);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest, exactly.
    pub fn largest(&self) -> Duration {
        self.largest
    }

    /// The least duration that `share` of all do not exceed, rounded up to its bucket's end; zero where none was counted.
    ///
    /// - `share`: 0.99 for the 99th percentile.
    pub fn percentile(&self, share: f64) -> Duration {
        let wanted = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (i, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(last(i)).min(self.largest);
            }
        }
        self.largest
    }

    /// Buckets that are not empty: their last microsecond and count.
    pub fn filled(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(|(i, count)| (last(i), *count))
    }
}

fn index(us: u64) -> usize {
    if us < 2 * FINE {
        return us as usize;
    }
    let shift = 63 - us.leading_zeros() - FINE_BITS;
    (u64::from(shift) * FINE + (us >> shift)) as usize
}

/// The last microsecond of bucket `i`.
fn last(i: usize) -> u64 {
    let i = i as u64;
    if i < 2 * FINE {
        return i;
    }
    let shift = i / FINE - 1;
    ((i - shift * FINE + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_follow_each_other() {
        let mut before = None;
        for i in 0..((OCTAVES + 2) * FINE) as usize {
            assert_eq!(index(last(i)), i);
            assert!(before.is_none_or(|before| index(before + 1) == i), "a gap before bucket {i}");
            before = Some(last(i));
        }
    }

    #[test]
    fn percentiles_agree_with_a_sorted_list_to_three_digits() {
        let mut state = 1_u64;
        let mut values: Vec<u64> = (0..50_000)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) % 10_u64.pow(1 + (state >> 20) as u32 % 7)
            })
            .collect();
        let (mut whole, mut parts) = (Histogram::default(), [Histogram::default(), Histogram::default()]);
        for (i, value) in values.iter().enumerate() {
            whole.add(Duration::from_micros(*value));
            parts[i % 2].add(Duration::from_micros(*value));
        }
        values.sort_unstable();
        let [mut merged, other] = parts;
        merged.merge(&other);
        for share in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = values[((values.len() as f64 * share).ceil() as usize).max(1) - 1] as f64;
            let told = whole.percentile(share).as_micros() as f64;
            assert!(told >= exact && told <= exact * 1.001 + 1.0, "{share}: {told} for {exact}");
            assert_eq!(whole.percentile(share), merged.percentile(share));
        }
        assert_eq!(merged.count(), 50_000);
        assert_eq!(merged.largest(), Duration::from_micros(values[49_999]));
        assert_eq!(whole.filled().map(|(_, count)| count).sum::<u64>(), 50_000);
    }

    #[test]
    fn empty_and_huge() {
        assert_eq!(Histogram::default().percentile(0.99), Duration::ZERO);
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_secs(1_000_000));
        assert_eq!(histogram.count(), 1);
        assert!(histogram.percentile(0.5) > Duration::from_secs(9 * 3600));
    }
}
