//! Native histograms: how many observations fell into each of many buckets, as one value.
//!
//! The type is Prometheus' float histogram. What senders count in whole numbers becomes floats when it is decoded, which is
//! exact up to 2^53. Values have one spelling: equal histograms have equal bytes.
//!
//! Further reading: <https://prometheus.io/docs/specs/native_histograms/>
mod bounds;
mod buckets;
mod codec;
pub mod packed;
mod walk;

pub use bounds::upper_bound;
pub use buckets::{Buckets, Span, coarser_index};
pub use walk::Bucket;

use crate::float;
use alloc::sync::Arc;

/// The schema of histograms whose bounds are their own.
pub const CUSTOM_SCHEMA: i8 = -53;
/// The coarsest of the exponential schemas: each bound is 65,536 times the one before.
pub const SCHEMA_MIN: i8 = -4;
/// The finest of the exponential schemas: each bound is 2^(1/256) times the one before.
pub const SCHEMA_MAX: i8 = 8;
/// Most buckets of a histogram, both sides together, and most bounds of its own.
pub const BUCKETS_MAX: usize = 16_384;

/// What is known of a counter's beginning anew between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Nothing: compare the two.
    #[default]
    Unknown,
    /// It began anew.
    Reset,
    /// It went on.
    NotReset,
    /// It is no counter.
    Gauge,
}
crate::canonical_enum!(ResetHint { Unknown = 0, Reset = 1, NotReset = 2, Gauge = 3 });

/// A native histogram.
///
/// Equality is to the bit, the hint included; see [`Histogram::same_data`].
#[derive(Clone, Debug)]
pub struct Histogram {
    /// What is known of a reset.
    pub hint: ResetHint,
    /// -4 to 8: each power of two is divided into `2^schema` buckets. Or -53: the bounds are `bounds`.
    pub schema: i8,
    /// The zero bucket reaches this far to either side, `>= 0`; 0 with bounds of its own.
    pub zero_threshold: f64,
    /// Observations within the zero bucket; 0 with bounds of its own.
    pub zero_count: f64,
    /// All observations, those that are no number included.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Buckets above the zero bucket; with bounds of its own all buckets, the first ends at the first bound.
    pub positive: Buckets,
    /// Buckets below the zero bucket, by their distance from it; none with bounds of its own.
    pub negative: Buckets,
    /// With schema -53, the upper bounds, rising and finite: a last bucket holds what is above them. Else none.
    pub bounds: Arc<[f64]>,
}

impl Default for Histogram {
    /// No observations, schema 0.
    fn default() -> Histogram {
        Histogram {
            hint: ResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: Buckets::default(),
            negative: Buckets::default(),
            bounds: Arc::default(),
        }
    }
}

/// Why a histogram is not one that a sender may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// A schema that nobody knows.
    #[error("histogram has schema {schema}, not -4 to 8 or -53")]
    Schema {
        /// What it says.
        schema: i8,
    },
    /// A count is negative.
    #[error("histogram has a negative count")]
    NegativeCount,
    /// The zero bucket's reach is negative or no number.
    #[error("histogram has a zero threshold that is negative or no number")]
    ZeroThreshold,
    /// Bounds of its own and a part that only exponential schemas have, or the other way around.
    #[error("histogram mixes custom bounds with parts of exponential schemas")]
    Mixed,
    /// Bounds that do not rise or are not finite.
    #[error("histogram has custom bounds that do not rise or are not finite")]
    Bounds,
    /// A bucket behind those that the bounds make.
    #[error("histogram has a bucket without custom bounds")]
    Unbounded,
    /// Too many buckets, even in the coarsest schema; or too many bounds.
    #[error("histogram has more than {BUCKETS_MAX} buckets")]
    TooManyBuckets,
}

impl Histogram {
    /// Whether the bounds are the histogram's own.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// Makes every NaN the one NaN.
    pub fn canonical(mut self) -> Histogram {
        for x in [&mut self.zero_threshold, &mut self.zero_count, &mut self.count, &mut self.sum] {
            *x = float::canonical(*x);
        }
        self
    }

    /// Whether two histograms are equal to the bit, whatever their hints: the language's `==`.
    pub fn same_data(&self, other: &Histogram) -> bool {
        let numbers = |h: &Histogram| [h.zero_threshold, h.zero_count, h.count, h.sum].map(f64::to_bits);
        let bits = |bounds: &[f64]| bounds.iter().map(|x| x.to_bits()).collect::<alloc::vec::Vec<u64>>();
        self.schema == other.schema
            && numbers(self) == numbers(other)
            && self.positive == other.positive
            && self.negative == other.negative
            && (Arc::ptr_eq(&self.bounds, &other.bounds) || bits(&self.bounds) == bits(&other.bounds))
    }

    /// Fails if no sender may send this. Results of calculations need not pass: a difference may well be negative.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let custom = self.is_custom();
        if !custom && !(SCHEMA_MIN..=SCHEMA_MAX).contains(&self.schema) {
            return Err(HistogramError::Schema { schema: self.schema });
        }
        let exponential_parts = self.zero_threshold != 0.0 || self.zero_count != 0.0 || !self.negative.is_empty();
        if if custom { exponential_parts } else { !self.bounds.is_empty() } {
            return Err(HistogramError::Mixed);
        }
        if self.zero_threshold.is_nan() || self.zero_threshold < 0.0 {
            return Err(HistogramError::ZeroThreshold);
        }
        if self.positive.len() + self.negative.len() > BUCKETS_MAX || self.bounds.len() > BUCKETS_MAX {
            return Err(HistogramError::TooManyBuckets);
        }
        if self.bounds.iter().any(|x| !x.is_finite()) || self.bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(HistogramError::Bounds);
        }
        if custom && !self.within_bounds() {
            return Err(HistogramError::Unbounded);
        }
        let mut counts = self.positive.counts().iter().chain(self.negative.counts());
        if self.count < 0.0 || self.zero_count < 0.0 || counts.any(|count| *count < 0.0) {
            return Err(HistogramError::NegativeCount);
        }
        Ok(())
    }

    /// Whether every bucket lies within those that the bounds of its own make.
    fn within_bounds(&self) -> bool {
        let spans = self.positive.spans();
        let first = spans.first().is_none_or(|span| span.start >= 0);
        first && spans.last().is_none_or(|span| span.end() <= self.bounds.len() as i64 + 1)
    }

    /// The same observations in a coarser schema, which must be exponential and not above this one's.
    pub fn coarser(&self, schema: i8) -> Histogram {
        assert!(!self.is_custom() && (SCHEMA_MIN..=self.schema).contains(&schema), "{} to {schema}", self.schema);
        let steps = (self.schema - schema).unsigned_abs().into();
        let (positive, negative) = match steps {
            0 => (self.positive.clone(), self.negative.clone()),
            _ => (self.positive.coarser(steps), self.negative.coarser(steps)),
        };
        Histogram { schema, positive, negative, bounds: Arc::default(), ..*self }
    }

    /// The same observations in the finest schema in which they take no more than [`BUCKETS_MAX`] buckets.
    pub fn bounded(self) -> Result<Histogram, HistogramError> {
        let mut histogram = self;
        while histogram.positive.len() + histogram.negative.len() > BUCKETS_MAX {
            if histogram.is_custom() || histogram.schema <= SCHEMA_MIN {
                return Err(HistogramError::TooManyBuckets);
            }
            histogram = histogram.coarser(histogram.schema - 1);
        }
        Ok(histogram)
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Histogram) -> bool {
        self.hint == other.hint && self.same_data(other)
    }
}

#[cfg(test)]
mod tests;
