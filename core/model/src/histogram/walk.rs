//! A histogram's buckets with their bounds, and how it is printed.
use super::{Histogram, upper_bound};
use crate::float;
use core::fmt;

/// A bucket and where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// Whether its lower bound belongs to it.
    pub lower_inclusive: bool,
    /// Whether its upper bound belongs to it.
    pub upper_inclusive: bool,
    /// How many observations are in it.
    pub count: f64,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) =
            (if self.lower_inclusive { '[' } else { '(' }, if self.upper_inclusive { ']' } else { ')' });
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(float::general);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

impl Histogram {
    /// The bucket of the positive side with that index.
    pub fn positive_bucket(&self, index: i32, count: f64) -> Bucket {
        let upper = upper_bound(self.schema, index, &self.bounds);
        let lower = upper_bound(self.schema, index - 1, &self.bounds);
        let (lower_inclusive, upper_inclusive) =
            if self.is_custom() { (index == 0, true) } else { (lower < 0.0, upper > 0.0) };
        Bucket { lower, upper, lower_inclusive, upper_inclusive, count }
    }

    /// The bucket of the negative side with that index.
    pub fn negative_bucket(&self, index: i32, count: f64) -> Bucket {
        let Bucket { lower, upper, .. } = self.positive_bucket(index, count);
        Bucket { lower: -upper, upper: -lower, lower_inclusive: true, upper_inclusive: false, count }
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        let (lower, upper) = (-self.zero_threshold, self.zero_threshold);
        Bucket { lower, upper, lower_inclusive: true, upper_inclusive: true, count: self.zero_count }
    }

    /// A bucket as far as it lies outside the zero bucket.
    fn clipped(&self, bucket: Bucket) -> Bucket {
        let reach = self.zero_threshold;
        let upper = if bucket.upper < 0.0 && bucket.upper > -reach { -reach } else { bucket.upper };
        let lower = if bucket.lower > 0.0 && bucket.lower < reach { reach } else { bucket.lower };
        Bucket { lower, upper, ..bucket }
    }

    /// The buckets of the positive side, rising.
    pub fn positive_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.positive.iter().map(|(index, count)| self.positive_bucket(index, count))
    }

    /// The buckets of the negative side, from zero downwards.
    pub fn negative_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.negative.iter().map(|(index, count)| self.negative_bucket(index, count))
    }

    fn populated_zero_bucket(&self) -> Option<Bucket> {
        (self.zero_count > 0.0).then(|| self.zero_bucket())
    }

    /// All populated buckets, rising; none reaches into the zero bucket.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let negative = self.negative.iter_back().map(|(index, count)| self.negative_bucket(index, count));
        let all = negative.map(|b| self.clipped(b)).chain(self.populated_zero_bucket());
        all.chain(self.positive_buckets().map(|b| self.clipped(b)))
    }

    /// All populated buckets, falling; none reaches into the zero bucket.
    pub fn buckets_back(&self) -> impl Iterator<Item = Bucket> + '_ {
        let positive = self.positive.iter_back().map(|(index, count)| self.positive_bucket(index, count));
        let all = positive.map(|b| self.clipped(b)).chain(self.populated_zero_bucket());
        all.chain(self.negative_buckets().map(|b| self.clipped(b)))
    }
}

/// As Prometheus prints it: `{count:3, sum:5, [-2,-1):1, (1,2]:2}`.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", float::general(self.count), float::general(self.sum))?;
        for (index, count) in self.negative.iter_back() {
            write!(f, ", {}", self.negative_bucket(index, count))?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        self.positive_buckets().try_for_each(|bucket| write!(f, ", {bucket}"))?;
        f.write_str("}")
    }
}
