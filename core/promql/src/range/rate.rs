//! Rates and differences: how fast a series rises.
use super::starts::{self, Starts};
use super::{Marks, Window};
use faultline_model::{Millis, Sample};

/// What it means that a series falls.
pub(super) enum Falls<'m> {
    /// It is a counter that began again at 0: it never is below 0. With the marks of its samples, if anybody keeps them.
    Resets(Option<&'m Marks>),
    /// It falls.
    Gauge,
}

/// `rate`, `increase` and `delta`: the difference between first and last, extrapolated to the whole window.
///
/// - `per_second`: divided by the window's length.
///
/// Source: `extrapolatedRate` of Prometheus 3.15; its reasons: if the samples come close to an end of the window (1.1
/// times their mean distance), the series is taken to go on to that end; if not, to go on for half a distance.
pub(super) fn extrapolated(points: &[Sample], window: Window, falls: Falls<'_>, per_second: bool) -> Option<f64> {
    let [first, .., last] = points else { return None };
    let mut difference = last.value() - first.value();
    let begun = match falls {
        Falls::Resets(marks) => {
            each_fall(points, marks, &mut |before| difference += before);
            Begun::Before { at_first: first.value(), rise: difference }
        }
        Falls::Gauge => Begun::Unknown,
    };
    Some(difference * factor(first.time(), last.time(), points.len(), window, begun, per_second))
}

/// `rate` and `increase` of samples of which it is known when they began to be counted.
#[cold]
pub(super) fn extrapolated_started(
    points: &[Sample],
    starts: Starts<'_>,
    window: Window,
    per_second: bool,
) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let began = starts::began(starts, first.time(), window.start);
    if points.len() < 2 && began.is_none() {
        return None;
    }
    let mut difference = last.value() - first.value();
    starts::each_fall(points, starts, &mut |before| difference += before);
    let begun = match began {
        Some(began) => {
            difference += first.value();
            Begun::At(began)
        }
        None => Begun::Before { at_first: first.value(), rise: difference },
    };
    Some(difference * factor(first.time(), last.time(), points.len(), window, begun, per_second))
}

/// What is known of when a counter began.
pub(super) enum Begun {
    /// Nothing, or it is none.
    Unknown,
    /// Where it stood at first, and by how much it rose since: it cannot have been below 0.
    Before { at_first: f64, rise: f64 },
    /// It was 0 then, which says more than any extrapolation.
    At(Millis),
}

/// What a difference between the first and the last of some points is multiplied with, so that it is that of the window.
#[inline(always)]
pub(super) fn factor(first: Millis, last: Millis, count: usize, window: Window, begun: Begun, per_second: bool) -> f64 {
    let mut sampled = last.since(first) as f64 / 1000.0;
    let distance = if count < 2 { 0.0 } else { sampled / (count - 1) as f64 };
    let threshold = distance * 1.1;
    let mut to_start = first.since(window.start) as f64 / 1000.0;
    let mut to_end = window.end.since(last) as f64 / 1000.0;
    if let Begun::At(began) = begun {
        to_start = 0.0;
        sampled = last.since(began) as f64 / 1000.0;
    } else if to_start >= threshold {
        to_start = distance / 2.0;
    }
    if let Begun::Before { at_first, rise } = begun
        && rise > 0.0
        && at_first >= 0.0
    {
        // Counters cannot be negative: with this slope, the series began at 0 no earlier than here.
        let to_zero = sampled * (at_first / rise);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = distance / 2.0;
    }
    let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    if per_second {
        factor /= window.end.since(window.start) as f64 / 1000.0;
    }
    factor
}

/// `irate` and `idelta`: the difference between the last two samples; per second, and with falls as resets, for `counter`.
pub(super) fn instant(points: &[Sample], counter: bool) -> Option<f64> {
    let [.., before, last] = points else { return None };
    let elapsed = last.time().since(before.time());
    if elapsed == 0 {
        return None;
    }
    let reset = counter && last.value() < before.value();
    let difference = if reset { last.value() } else { last.value() - before.value() };
    Some(if counter { difference / (elapsed as f64 / 1000.0) } else { difference })
}

/// `irate` of samples of which it is known when they began to be counted.
pub(super) fn instant_started(points: &[Sample], starts: Starts<'_>) -> Option<f64> {
    let [.., before, last] = points else { return None };
    let seconds = last.time().since(before.time()) as f64 / 1000.0;
    match starts::restarted(starts, before.time(), last.time()) {
        true => Some(last.value() / seconds),
        false => instant(points, true),
    }
}

/// `resets` of samples of which it is known when they began to be counted.
pub(super) fn resets_started(points: &[Sample], starts: Starts<'_>) -> Option<f64> {
    points.first()?;
    let mut count = 0_u32;
    starts::each_fall(points, starts, &mut |_| count += 1);
    Some(f64::from(count))
}

/// `changes`: how often the value differs from the one before it; NaN does not differ from NaN.
pub(super) fn changes(points: &[Sample]) -> f64 {
    let differ = |a: f64, b: f64| a != b && !(a.is_nan() && b.is_nan());
    points.windows(2).filter(|pair| differ(pair[0].value(), pair[1].value())).count() as f64
}

/// `resets`: how often the value falls.
pub(super) fn resets(points: &[Sample], marks: Option<&Marks>) -> f64 {
    let mut count = 0_u32;
    each_fall(points, marks, &mut |_| count += 1);
    f64::from(count)
}

/// Visits the value before each fall, in order of time.
fn each_fall(points: &[Sample], marks: Option<&Marks>, visit: &mut dyn FnMut(f64)) {
    if let Some(falls) = marks.and_then(|marks| marks.falls(points)) {
        return falls.for_each(visit);
    }
    let mut before = f64::NEG_INFINITY;
    for point in points {
        let value = point.value();
        if value < before {
            visit(before);
        }
        before = value;
    }
}
