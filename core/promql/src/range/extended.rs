//! Stretches whose ends count too: `anchored` takes the newest sample at or before the start for the start's, `smoothed`
//! interpolates at either end.
use super::Window;
use crate::Extent;
use crate::function::Func;
use alloc::vec::Vec;
use faultline_model::{Millis, Sample};

/// The functions of a stretch whose ends count, by modifier, as Prometheus lists them.
pub(crate) fn allowed(extent: Extent) -> &'static [&'static str] {
    match extent {
        Extent::Within => &[],
        Extent::Anchored => &["changes", "delta", "increase", "rate", "resets"],
        Extent::Smoothed => &["delta", "increase", "rate"],
    }
}

/// The part of a stretch between two of its samples, and the values at its ends.
struct Part<'p> {
    /// Those strictly between the ends of the window, as far as they count.
    inside: &'p [Sample],
    left: f64,
    right: f64,
}

/// What lies within a window, given also what lies up to a look-back around it; nothing where no sample tells.
///
/// - `counter`: whether a value below the one before it counts from 0.
fn part(points: &[Sample], window: Window, smoothed: bool, counter: bool) -> Option<Part<'_>> {
    let last = points.len().checked_sub(1)?;
    let first = points[..last].partition_point(|p| p.time() <= window.start).saturating_sub(1);
    let last = if smoothed { points[..last].partition_point(|p| p.time() < window.end) } else { last };
    if points[last].time() <= window.start || (smoothed && points[first].time() > window.end) {
        return None;
    }
    let left = match points.get(first + 1) {
        Some(next) if smoothed && points[first].time() < window.start => {
            between(points[first], *next, window.start, counter)
        }
        _ => points[first].value(),
    };
    let right = match last.checked_sub(1) {
        Some(before) if smoothed && points[last].time() > window.end => {
            between(points[before], points[last], window.end, counter)
        }
        _ => points[last].value(),
    };
    let from = first + usize::from(points[first].time() <= window.start);
    let until = last + usize::from(points[last].time() < window.end);
    Some(Part { inside: points.get(from..until).unwrap_or_default(), left, right })
}

/// The value at an instant on the line between two samples.
fn between(a: Sample, b: Sample, at: Millis, counter: bool) -> f64 {
    let from = if counter && b.value() < a.value() { 0.0 } else { a.value() };
    from + (b.value() - from) * at.since(a.time()) as f64 / b.time().since(a.time()) as f64
}

/// The value of a function that is allowed for the modifier.
///
/// - `points`: those within the window and a look-back before it, after it too if `smoothed`; no stale markers.
pub(super) fn value(func: Func, points: &[Sample], window: Window, extent: Extent) -> Option<f64> {
    let counter = matches!(func, Func::Rate | Func::Increase);
    if let Func::Changes | Func::Resets = func {
        let after = points.partition_point(|p| p.time() <= window.start);
        let points = points.get(after.saturating_sub(1)..).filter(|_| after < points.len())?;
        return Some(if func == Func::Changes {
            super::rate::changes(points)
        } else {
            super::rate::resets(points, None)
        });
    }
    let Part { inside, left, right } = part(points, window, extent == Extent::Smoothed, counter)?;
    let mut difference = right - left;
    if counter {
        let (mut correction, mut before) = (0.0, left);
        for value in inside.iter().map(Sample::value).chain([right]) {
            if value < before {
                correction += before;
            }
            before = value;
        }
        difference += correction;
    }
    let seconds = window.end.since(window.start) as f64 / 1000.0;
    Some(if func == Func::Rate { difference / seconds } else { difference })
}

/// The samples of a bare stretch: one at either end and those between.
pub(crate) fn stretch(points: &[Sample], window: Window, smoothed: bool) -> Vec<Sample> {
    let Some(Part { inside, left, right }) = part(points, window, smoothed, false) else { return Vec::new() };
    let mut found = Vec::with_capacity(inside.len() + 2);
    found.push(Sample::new(window.start, left));
    found.extend_from_slice(inside);
    found.push(Sample::new(window.end, right));
    found
}

/// The value of an instant selector: on the line between the samples around the instant, or the one before it.
pub(crate) fn instant(points: &[Sample], at: Millis) -> Option<f64> {
    let next = points.partition_point(|p| p.time() < at);
    match (next.checked_sub(1).map(|before| points[before]), points.get(next)) {
        (_, Some(next)) if next.time() == at => Some(next.value()),
        (Some(before), Some(next)) => Some(between(before, *next, at, false)),
        (Some(before), None) => Some(before.value()),
        (None, _) => None,
    }
}
