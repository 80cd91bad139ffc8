//! How long to wait before trying again.
use crate::random::Random;
use std::time::Duration;

/// Exponential backoff with full jitter: the n-th wait is uniform in `0..=min(longest, first * 2^n)`.
///
/// Full jitter spreads the retries of many clients that failed together, which equal waits would bring back together.
/// Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: Random,
}

impl Backoff {
    /// - `first`: upper end of the first wait.
    /// - `longest`: upper end of every wait.
    /// - `random`: where the jitter comes from.
    pub fn new(first: Duration, longest: Duration, random: Random) -> Backoff {
        Backoff { first, longest, failures: 0, random }
    }

    /// Counts a failure and draws the wait before the next try.
    pub fn failed(&mut self) -> Duration {
        let ceiling = self.first.saturating_mul(1 << self.failures.min(31)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        self.random.up_to(ceiling)
    }

    /// Counts a success: the next failure waits shortly again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_are_spread() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut sums = [Duration::ZERO; 12];
        for seed in 0..500 {
            let mut backoff = Backoff::new(first, longest, Random::seeded(seed));
            for (failure, sum) in sums.iter_mut().enumerate() {
                let wait = backoff.failed();
                assert!(wait <= first.saturating_mul(1 << failure).min(longest));
                *sum += wait;
            }
            assert_eq!(backoff.failures(), 12);
            backoff.succeeded();
            assert!(backoff.failed() <= first);
        }
        // The mean of a full jitter is half its ceiling.
        assert!((45..55).contains(&(sums[0] / 500).as_millis()), "{sums:?}");
        assert!((2_300..2_700).contains(&(sums[11] / 500).as_millis()), "{sums:?}");
        let mut backoff = Backoff::new(first, longest, Random::seeded(1));
        (0..100).for_each(|_| assert!(backoff.failed() <= longest));
    }
}
