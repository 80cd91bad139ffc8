//! Classic histograms: cumulative buckets, each a series with its upper bound in the label `le`.
use super::names;
use crate::expr::BinOp;
use crate::{Element, EvalError};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::{Labels, Number, float};

/// One bucket: how many observations are at most `bound`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    bound: f64,
    count: f64,
}

/// Says that an operator is not defined between a float and a histogram, or two of either.
pub(super) fn incompatible(left: &str, op: BinOp, right: &str) -> String {
    let op = op.text();
    format!("incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}")
}

/// Groups elements to histograms and computes one value of each. Elements without a numeric `le` are left out.
pub(super) fn each(
    elements: Vec<Element>,
    mut value: impl FnMut(&mut Vec<Bucket>) -> f64,
) -> Result<Vec<Element>, EvalError> {
    let mut histograms: BTreeMap<Labels, Vec<Bucket>> = BTreeMap::new();
    for element in elements {
        let (Ok(bound), Number::Float(count)) = (element.labels.get("le").parse::<f64>(), element.value) else {
            continue;
        };
        {
            let labels = element.labels.filter(|name| name != "le");
            histograms.entry(labels).or_default().push(Bucket { bound, count });
        }
    }
    let mut found: Vec<Element> = histograms
        .into_iter()
        .map(|(labels, mut buckets)| Element { labels, value: value(&mut buckets).into() })
        .collect();
    names::drop_names(&mut found)?;
    Ok(found)
}

/// Sorts buckets by bound and adds up those of one bound. Whether the last of them holds everything.
fn order(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| float::order(a.bound, b.bound));
    buckets.dedup_by(|later, kept| {
        let same = later.bound == kept.bound;
        if same {
            kept.count += later.count;
        }
        same
    });
    buckets.last().is_some_and(|last| last.bound == f64::INFINITY)
}

/// Takes back small differences, which are rounding, and then any fall of the counts.
///
/// Source: `ensureMonotonicAndIgnoreSmallDeltas` of Prometheus 3.15, with its tolerance.
fn repair(buckets: &mut [Bucket]) {
    const TOLERANCE: f64 = 1e-12;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count < before || close(before, count, TOLERANCE) {
            bucket.count = before;
        } else {
            before = count;
        }
    }
}

/// Whether two numbers differ by less than their sum times `tolerance`.
fn close(a: f64, b: f64, tolerance: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sum = float::abs(a) + float::abs(b);
    let difference = float::abs(a - b);
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / float::min(sum, f64::MAX) < tolerance
}

/// The quantile `q` of the observations, linear within a bucket; the lowest bucket begins at 0 if its bound is above.
///
/// NaN if there are no observations, fewer than two buckets or none that holds everything; infinite outside `0..=1`.
/// In the highest bucket: the bound of the one below.
pub(super) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if q.is_nan() {
        return float::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if !order(buckets) {
        return float::NAN;
    }
    repair(buckets);
    let highest = buckets.len() - 1;
    let observations = buckets[highest].count;
    if highest == 0 || observations == 0.0 {
        return float::NAN;
    }
    let rank = q * observations;
    // A NaN reaches no rank.
    let falls_short = |bucket: &Bucket| bucket.count.is_nan() || rank.is_nan() || bucket.count < rank;
    let place = buckets[..highest].partition_point(falls_short);
    if place == highest {
        return buckets[highest - 1].bound;
    }
    let Bucket { bound, count } = buckets[place];
    if place == 0 {
        return if bound <= 0.0 { bound } else { bound * (rank / count) };
    }
    let below = buckets[place - 1];
    below.bound + (bound - below.bound) * ((rank - below.count) / (count - below.count))
}

/// The share of observations within `(lower, upper]`, linear within a bucket.
///
/// NaN if there are no observations or no bucket that holds everything, or a bound is NaN.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !order(buckets) {
        return float::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return float::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let lowest = if buckets[0].bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let rank = |value: f64| {
        let (mut below, mut count_below) = (lowest, 0.0);
        for bucket in buckets.iter() {
            if below >= value {
                return count_below;
            }
            if bucket.bound > value {
                // Nothing is known of where in an infinitely wide bucket its observations lie.
                return if below == f64::NEG_INFINITY {
                    bucket.count
                } else {
                    count_below + (bucket.count - count_below) * (value - below) / (bucket.bound - below)
                };
            }
            (below, count_below) = (bucket.bound, bucket.count);
        }
        total
    };
    let capped = |rank: f64| if rank > total { total } else { rank };
    (capped(rank(upper)) - capped(rank(lower))) / total
}
