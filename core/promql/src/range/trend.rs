//! Straight lines and smoothing: where a series is heading.
use super::over_time::Compensated;
use faultline_model::{Millis, Sample, float};

/// Least-squares slope per second, and the value of the line at `origin`.
fn line(points: &[Sample], origin: Millis) -> (f64, f64) {
    let level = points[0].value();
    if points.iter().all(|p| p.value() == level) {
        return if level.is_infinite() { (float::NAN, float::NAN) } else { (0.0, level) };
    }
    let mut sums = sums(points, origin, Compensated::add_finite);
    if !sums.iter().all(|sum| sum.is_finite()) {
        sums = self::sums(points, origin, Compensated::add);
    }
    let [x, y, xy, xx] = sums.map(|sum| sum.sum + sum.rest);
    let n = points.len() as f64;
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

/// The sums of x, y, their product and the square of x; x in seconds from `origin`.
#[inline(always)]
fn sums(points: &[Sample], origin: Millis, add: impl Fn(&mut Compensated, f64)) -> [Compensated; 4] {
    let mut sums = [Compensated::default(); 4];
    for point in points {
        let (x, y) = (point.time().since(origin) as f64 / 1000.0, point.value());
        sums.iter_mut().zip([x, y, x * y, x * x]).for_each(|(sum, term)| add(sum, term));
    }
    sums
}

/// `deriv`: the slope. Counted from the first sample, which keeps the numbers small.
pub(super) fn slope(points: &[Sample]) -> Option<f64> {
    (points.len() >= 2).then(|| line(points, points[0].time()).0)
}

/// `predict_linear`: where the line is `ahead` seconds after `at`.
pub(super) fn predict(points: &[Sample], at: Millis, ahead: f64) -> Option<f64> {
    (points.len() >= 2).then(|| {
        let (slope, level) = line(points, at);
        slope * ahead + level
    })
}

/// `double_exponential_smoothing`, with a factor for the level and one for the trend, both within `(0, 1)`.
///
/// Source: Holt, "Forecasting seasonals and trends by exponentially weighted moving averages", 1957.
pub(super) fn smooth(points: &[Sample], level_factor: f64, trend_factor: f64) -> Option<f64> {
    let [first, second, ..] = points else { return None };
    let (mut before, mut level) = (0.0, first.value());
    let mut trend = second.value() - first.value();
    for (i, point) in points.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = level_factor * point.value() + (1.0 - level_factor) * (level + trend);
        (before, level) = (level, next);
    }
    Some(level)
}
