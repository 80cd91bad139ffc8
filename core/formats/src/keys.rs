//! Series keys: hashes of the raw pieces that name a series, each of known size or preceded by its size, so that two
//! label sets share a key only where 128 bits of XXH3 under a secret seed collide.
use alloc::vec::Vec;
use faultline_model::{HashSeed, SeriesKey};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Which of a data point's series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part {
    /// The only one.
    Value,
    /// `_sum` of a histogram.
    Sum,
    /// `_count` of a histogram.
    Count,
    /// `_bucket` with this `le`.
    Bucket(f64),
    /// `target_info` of the resource.
    TargetInfo,
    /// A summary's `quantile`.
    Quantile(f64),
    /// A native histogram.
    Native,
}

/// Hashes under the journal's seed.
#[derive(Debug)]
pub(crate) struct Keys {
    seed: u64,
    scratch: Vec<u8>,
}

impl Keys {
    pub fn new(seed: HashSeed) -> Keys {
        Keys { seed: seed.0, scratch: Vec::new() }
    }

    /// Hash of bytes that delimit themselves.
    #[inline(always)]
    pub fn raw(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_seed(bytes, self.seed)
    }

    /// Short hash of bytes that delimit themselves.
    pub fn short(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed)
    }

    /// Hash of several pieces, each preceded by its size.
    pub fn parts(&mut self, parts: &[&[u8]]) -> u128 {
        self.scratch.clear();
        for part in parts {
            self.scratch.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.scratch.extend_from_slice(part);
        }
        self.raw(&self.scratch)
    }

    /// Key of a series: what its resource contributes to labels, its metric, its attributes and its part.
    #[inline(always)]
    pub fn series(&self, identity: u128, metric: u128, attributes: u128, part: Part) -> SeriesKey {
        let (number, bound) = match part {
            Part::Value => (0, 0),
            Part::Sum => (1, 0),
            Part::Count => (2, 0),
            Part::Bucket(bound) => (3, bound.to_bits()),
            Part::TargetInfo => (4, 0),
            Part::Quantile(quantile) => (5, quantile.to_bits()),
            Part::Native => (6, 0),
        };
        let mut pieces = [0; 64];
        pieces[..16].copy_from_slice(&identity.to_le_bytes());
        pieces[16..32].copy_from_slice(&metric.to_le_bytes());
        pieces[32..48].copy_from_slice(&attributes.to_le_bytes());
        pieces[48..56].copy_from_slice(&bound.to_le_bytes());
        pieces[56] = number;
        SeriesKey(self.raw(&pieces))
    }
}
