//! Randomness of the edge: secrets from the operating system, and a seeded generator for jitter and simulation.
use std::fs;
use std::io::{self, Read};
use std::time::Duration;

/// Unpredictable bytes from the operating system, for journal ids and hash seeds.
pub fn secret<const SIZE: usize>() -> io::Result<[u8; SIZE]> {
    let mut bytes = [0; SIZE];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// SplitMix64: small, seedable, the same on every machine. Not for secrets.
///
/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The generator of one seed: same seed, same numbers.
    pub fn seeded(seed: u64) -> Random {
        Random { state: seed }
    }

    /// A generator that differs from process to process.
    pub fn from_system() -> io::Result<Random> {
        Ok(Random::seeded(u64::from_le_bytes(secret()?)))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`, `bound > 0`; off from uniform by less than `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A time in `0..=longest`, to the nanosecond.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1);
        Duration::from_nanos(self.below(nanos + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_published_sequence_and_stay_in_bounds() {
        // First outputs of the authors' splitmix64.c for seed 1234567.
        let mut random = Random::seeded(1_234_567);
        assert_eq!([random.bits(), random.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        let mut seen = [0; 7];
        for _ in 0..7_000 {
            seen[random.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (800..1_200).contains(&count)), "{seen:?}");
        assert_ne!(secret::<16>().unwrap(), secret::<16>().unwrap());
        assert!(random.up_to(Duration::MAX) <= Duration::MAX);
    }
}
