//! Numbers that a histogram is asked for.
use crate::range::Compensated;
use faultline_model::histogram::Bucket;
use faultline_model::{Histogram, float};

/// What a histogram's observations that are no number do to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNumbers {
    /// There are none, or they do not matter.
    None,
    /// The answer is one of them.
    Answer,
    /// The answer is higher, or less, than it would be without them.
    Skew,
}

/// The mean of all observations.
pub(crate) fn average(histogram: &Histogram) -> f64 {
    histogram.sum / histogram.count
}

/// Population variance, each observation taken to be in the middle of its bucket.
pub(crate) fn variance(histogram: &Histogram) -> f64 {
    let mean = average(histogram);
    let mut squares = Compensated::default();
    for Bucket { lower, upper, count, .. } in histogram.buckets() {
        let middle = if histogram.is_custom() {
            (upper + lower) / 2.0
        } else if lower <= 0.0 && upper >= 0.0 {
            0.0
        } else if upper < 0.0 {
            -float::sqrt(upper * lower)
        } else {
            float::sqrt(upper * lower)
        };
        let distance = middle - mean;
        squares.add(count * distance * distance);
    }
    (squares.sum + squares.rest) / histogram.count
}

/// The root of the variance.
pub(crate) fn standard_deviation(histogram: &Histogram) -> f64 {
    float::sqrt(variance(histogram))
}

/// The share of a finite bucket's width below a value within it: linear, or on the scale on which exponential buckets are equally wide.
pub(super) fn share_below(bucket: &Bucket, value: f64, linear: bool) -> f64 {
    if linear {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let [lower, upper, at] = [bucket.lower, bucket.upper, value].map(|x| float::log2(float::abs(x)));
    if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
}

/// The bucket around zero as far as the histogram's other buckets say that it is populated.
fn one_sided(histogram: &Histogram, bucket: &mut Bucket) {
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The quantile `q` of the observations: linear within buckets of bounds of their own and the zero bucket, else on the scale on
/// which buckets are equally wide.
///
/// NaN if there are no observations; infinite outside `0..=1`.
pub(crate) fn quantile(q: f64, histogram: &Histogram) -> (f64, NotNumbers) {
    let plain = |x| (x, NotNumbers::None);
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return plain(float::NAN);
    }
    // Observations that are no number count, but are in no bucket: then only counting from below finds a quantile.
    let from_below = histogram.sum.is_nan() || q < 0.5;
    let mut rank = if from_below { q } else { 1.0 - q } * histogram.count;
    let (mut found, mut count, mut all) = (None, 0.0_f64, 0.0);
    let mut look = |b: Bucket| {
        // Negative and infinite counts may reach no rank at all.
        if found.is_none() || count < rank || count.is_nan() || rank.is_nan() {
            found = Some(b);
            count += b.count;
        }
        all += b.count;
    };
    if from_below {
        histogram.buckets().for_each(&mut look)
    } else {
        histogram.buckets_back().for_each(&mut look)
    }
    let none = Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0 };
    let mut bucket = found.unwrap_or(none);
    if histogram.is_custom() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return plain(bucket.upper);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return plain(bucket.lower);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        one_sided(histogram, &mut bucket);
    }
    // Rounding may have brought it above.
    if count > histogram.count {
        count = histogram.count;
    }
    if count < rank {
        return if histogram.sum.is_nan() { (float::NAN, NotNumbers::Answer) } else { plain(bucket.upper) };
    }
    rank = if from_below { rank - (count - bucket.count) } else { count - rank };
    let skewed = histogram.sum.is_nan() && all < histogram.count;
    let not_numbers = if skewed { NotNumbers::Skew } else { NotNumbers::None };
    let share = rank / bucket.count;
    let value = if histogram.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        bucket.lower + (bucket.upper - bucket.lower) * share
    } else {
        let [lower, upper] = [bucket.lower, bucket.upper].map(|x| float::log2(float::abs(x)));
        if bucket.lower > 0.0 {
            float::exp2(lower + (upper - lower) * share)
        } else {
            -float::exp2(upper + (lower - upper) * (1.0 - share))
        }
    };
    (value, not_numbers)
}

/// The share of observations between two values, divided within buckets as quantiles are.
///
/// NaN if there are no observations or a value is none.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, NotNumbers) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (float::NAN, NotNumbers::None);
    }
    if lower >= upper {
        return (0.0, NotNumbers::None);
    }
    let (mut rank, mut ranks) = (0.0, [None, None]);
    for mut bucket in histogram.buckets() {
        let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if around_zero {
            one_sided(histogram, &mut bucket);
        }
        for (found, value) in ranks.iter_mut().zip([lower, upper]) {
            if found.is_some() {
                continue;
            }
            if bucket.lower >= value {
                *found = Some(rank);
            } else if bucket.upper > value {
                // Nothing is known of where in an infinitely wide bucket its observations lie.
                let linear = histogram.is_custom() || around_zero;
                *found = Some(match bucket.lower {
                    f64::NEG_INFINITY if linear => bucket.count,
                    _ => rank + bucket.count * share_below(&bucket, value, linear),
                });
            }
        }
        rank += bucket.count;
    }
    let (mut count, mut not_numbers) = (histogram.count, NotNumbers::None);
    if histogram.sum.is_nan() {
        count = rank;
        if count < histogram.count {
            not_numbers = NotNumbers::Skew;
        }
    }
    let [lower, upper] = ranks.map(|rank| rank.map_or(count, |rank| if rank > count { count } else { rank }));
    ((upper - lower) / histogram.count, not_numbers)
}
