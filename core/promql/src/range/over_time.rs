//! Aggregations over time. Sums are compensated in the order of time, as Prometheus' are, so that results agree.
use super::seconds;
use crate::function::Func;
use alloc::vec::Vec;
use core::cmp::Ordering;
use faultline_model::{Sample, float};

/// A sum as it is rounded, and what rounding took: exactly, where all is finite.
///
/// Source: Knuth, "The Art of Computer Programming", vol. 2, 4.2.2, theorem B.
#[inline]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// Neumaier's compensated sum.
///
/// Source: Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", ZAMM 54, 1974.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compensated {
    pub(crate) sum: f64,
    pub(crate) rest: f64,
}

impl Compensated {
    pub(crate) fn add(&mut self, x: f64) {
        let total = self.sum + x;
        if total.is_infinite() {
            self.rest = 0.0;
        } else if float::abs(self.sum) >= float::abs(x) {
            self.rest += (self.sum - total) + x;
        } else {
            self.rest += (x - total) + self.sum;
        }
        self.sum = total;
    }

    /// Adds a finite term to a finite sum: what rounding takes is the same by [`two_sum`], which does not ask which of the two is the larger. Where something is not finite, neither is the result.
    #[inline]
    pub(super) fn add_finite(&mut self, x: f64) {
        let (sum, rest) = two_sum(self.sum, x);
        self.sum = sum;
        self.rest += rest;
    }

    pub(super) fn is_finite(self) -> bool {
        self.sum.is_finite() && self.rest.is_finite()
    }

    /// Adds terms, one after the other.
    fn add_all(&mut self, terms: impl Iterator<Item = f64> + Clone) {
        let mut quick = *self;
        terms.clone().for_each(|x| quick.add_finite(x));
        if quick.is_finite() { *self = quick } else { terms.for_each(|x| self.add(x)) }
    }

    pub(crate) fn value(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.rest }
    }
}

/// The aggregations that look at every value of at least one.
pub(super) fn value(func: Func, points: &[Sample], parameter: f64) -> Option<f64> {
    let values = points.iter().map(Sample::value);
    Some(match func {
        Func::SumOverTime => {
            let mut sum = Compensated::default();
            sum.add_all(values);
            sum.value()
        }
        Func::AvgOverTime => mean(points),
        Func::MinOverTime => -greatest(points, -1.0).unwrap_or_else(|| -extreme(points, Ordering::Less).0),
        Func::MaxOverTime => greatest(points, 1.0).unwrap_or_else(|| extreme(points, Ordering::Greater).0),
        Func::TsOfMinOverTime => extreme(points, Ordering::Less).1,
        Func::TsOfMaxOverTime => extreme(points, Ordering::Greater).1,
        Func::StdvarOverTime => variance(points),
        Func::StddevOverTime => float::sqrt(variance(points)),
        Func::QuantileOverTime => quantile(parameter, &mut values.collect::<Vec<f64>>()),
        Func::MadOverTime => median_deviation(values.collect()),
        _ => return None,
    })
}

/// The mean: of the sum, or step by step once the sum would overflow.
fn mean(points: &[Sample]) -> f64 {
    let mut sum = Compensated { sum: points[0].value(), rest: 0.0 };
    let mut quick = sum;
    points[1..].iter().for_each(|point| quick.add_finite(point.value()));
    if quick.is_finite() {
        let count = points.len() as f64;
        return quick.sum / count + quick.rest / count;
    }
    let mut steps: Option<Compensated> = None;
    for (i, point) in points.iter().enumerate().skip(1) {
        let (count, x) = ((i + 1) as f64, point.value());
        let before = (count - 1.0) / count;
        if steps.is_none() {
            let mut next = sum;
            next.add(x);
            if !next.sum.is_infinite() {
                sum = next;
                continue;
            }
            steps = Some(Compensated { sum: sum.sum / (count - 1.0), rest: sum.rest / (count - 1.0) });
        }
        if let Some(mean) = &mut steps {
            *mean = Compensated { sum: before * mean.sum, rest: before * mean.rest };
            mean.add(x / count);
        }
    }
    let count = points.len() as f64;
    match steps {
        Some(mean) => mean.sum + mean.rest,
        None => sum.sum / count + sum.rest / count,
    }
}

/// The greatest value times `sign`, which is 1 or -1; nothing where it depends on the order of values: of the zeros, and where all
/// are NaN or infinite. Four at a time, because one comparison waits for the other.
fn greatest(points: &[Sample], sign: f64) -> Option<f64> {
    let mut best = [f64::NEG_INFINITY; 4];
    let mut four = points.chunks_exact(4);
    let take = |best: &mut f64, point: &Sample| {
        let x = point.value() * sign;
        *best = if x > *best { x } else { *best };
    };
    for points in &mut four {
        best.iter_mut().zip(points).for_each(|(best, point)| take(best, point));
    }
    four.remainder().iter().for_each(|point| take(&mut best[0], point));
    let [a, b, c, d] = best;
    let larger = |a, b| if b > a { b } else { a };
    let greatest: f64 = larger(larger(a, b), larger(c, d));
    (greatest != 0.0 && greatest.is_finite()).then_some(greatest)
}

/// The least or greatest value, and the last time at which it stood; a NaN only where there is nothing else.
fn extreme(points: &[Sample], wanted: Ordering) -> (f64, f64) {
    let mut best = points[0];
    let mut when = points[0].time();
    for point in points {
        let (x, b) = (point.value(), best.value());
        let better = if wanted == Ordering::Less { x < b } else { x > b };
        if better || b.is_nan() {
            best = *point;
        }
        if better || b.is_nan() || x == b {
            when = point.time();
        }
    }
    (best.value(), seconds(when))
}

/// Population variance, by Welford's recurrence with compensated sums.
fn variance(points: &[Sample]) -> f64 {
    let (mut mean, mut squares) = (Compensated::default(), Compensated::default());
    for (i, point) in points.iter().enumerate() {
        let delta = point.value() - (mean.sum + mean.rest);
        mean.add(delta / (i + 1) as f64);
        squares.add(delta * (point.value() - (mean.sum + mean.rest)));
    }
    (squares.sum + squares.rest) / points.len() as f64
}

/// The quantile of values, which it sorts: linear between neighbours, NaN lowest; NaN of none, infinite outside `0..=1`.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return float::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.total_cmp(b),
    });
    let rank = q * (values.len() - 1) as f64;
    let lower = float::floor(rank) as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - float::floor(rank);
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// Median distance from the median; NaN if any value is.
fn median_deviation(mut values: Vec<f64>) -> f64 {
    if values.iter().any(|x| x.is_nan()) {
        return float::NAN;
    }
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|x| *x = float::abs(*x - median));
    quantile(0.5, &mut values)
}
