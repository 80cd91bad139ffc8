//! What is computed with native histograms.
//!
//! Source: `model/histogram/float_histogram.go` and `promql/quantile.go` of Prometheus 3.15, whose results these are; sums of
//! buckets are compensated throughout, so that they differ from Prometheus' in the last digits at most.
mod measure;
mod reset;
mod sum;
mod trim;

pub(crate) use measure::{NotNumbers, average, fraction, quantile, standard_deviation, variance};
pub(crate) use reset::is_reset;
pub use reset::stored_hint;
pub(crate) use sum::{Incompatible, Outcome, Sum, mean, sum};
pub(crate) use trim::trim;

use faultline_model::Histogram;
use faultline_model::histogram::{Buckets, ResetHint};

/// Each count and the sum times `factor`. A negative factor makes a gauge.
pub(crate) fn mul(histogram: &Histogram, factor: f64) -> Histogram {
    scaled(histogram, factor < 0.0, |x| x * factor)
}

/// Each count and the sum divided. Division by zero leaves no buckets; a negative divisor makes a gauge.
pub(crate) fn div(histogram: &Histogram, divisor: f64) -> Histogram {
    let mut quotient = scaled(histogram, divisor < 0.0, |x| x / divisor);
    if divisor == 0.0 {
        (quotient.positive, quotient.negative) = (Buckets::default(), Buckets::default());
    }
    quotient
}

fn scaled(histogram: &Histogram, gauge: bool, scale: impl Fn(f64) -> f64) -> Histogram {
    let scaled = Histogram {
        hint: if gauge { ResetHint::Gauge } else { histogram.hint },
        zero_count: scale(histogram.zero_count),
        count: scale(histogram.count),
        sum: scale(histogram.sum),
        positive: histogram.positive.map(&scale),
        negative: histogram.negative.map(&scale),
        bounds: histogram.bounds.clone(),
        ..*histogram
    };
    scaled.canonical()
}

#[cfg(test)]
mod tests;
