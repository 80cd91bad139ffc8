//! Stretches whose ends count too, of a series that holds histograms, alone or beside floats.
use super::mixed::{changes, merged, resets};
use super::{Stretch, Subject, Window, reconciled};
use crate::function::Func;
use crate::histogram::{self, Incompatible, Sum, is_reset};
use crate::{Annotations, Extent};
use alloc::borrow::Cow;
use alloc::sync::Arc;
use faultline_model::histogram::ResetHint;
use faultline_model::{Histogram, Millis, Number};

/// A histogram and its time.
type Timed<'a> = (Millis, &'a Arc<Histogram>);

/// The value of a function that is allowed for the modifier; of a stretch with at least one histogram.
///
/// - `stretch`: what lies within the window and a look-back before it, after it too if `smoothed`.
#[cold]
pub(super) fn value(
    func: Func,
    stretch: Stretch<'_>,
    extent: Extent,
    subject: Subject<'_>,
    notes: &mut Annotations,
) -> Option<Number> {
    let Stretch { floats, histograms, starts, window } = stretch;
    if let Func::Changes | Func::Resets = func {
        let all = merged(stretch);
        let after = all.partition_point(|point| point.time() <= window.start);
        let points = all.get(after.saturating_sub(1)..).filter(|_| after < all.len())?;
        return Some(if func == Func::Changes { changes(points) } else { resets(points, starts) }.into());
    }
    if !floats.is_empty() {
        subject.mixed(notes);
        return None;
    }
    let smoothed = extent == Extent::Smoothed;
    let counter = matches!(func, Func::Rate | Func::Increase);
    let part = part(histograms, window, smoothed)?;
    let Ok(difference) = difference(part, window, smoothed, counter, subject, notes) else {
        subject.incompatible(notes);
        return None;
    };
    let seconds = window.end.since(window.start) as f64 / 1000.0;
    Some(if func == Func::Rate { histogram::div(&difference, seconds) } else { difference }.into())
}

/// Those from the newest at or before the start of the window, up to the first at or after its end if `smoothed`, or else to
/// the last; nothing where none of them tells.
fn part<'p, 'h>(points: &'p [Timed<'h>], window: Window, smoothed: bool) -> Option<&'p [Timed<'h>]> {
    let last = points.len().checked_sub(1)?;
    let first = points[..last].partition_point(|(time, _)| *time <= window.start).saturating_sub(1);
    let last = if smoothed { points[..last].partition_point(|(time, _)| *time < window.end) } else { last };
    let none = points[last].0 <= window.start || (smoothed && points[first].0 > window.end);
    if none { None } else { Some(&points[first..=last]) }
}

/// The difference between the ends of the window; of a counter, with what it lost at resets.
///
/// - `part`: what [`part`] gives.
///
/// Source: `extendedHistogramRate` of Prometheus 3.15.
fn difference(
    part: &[Timed<'_>],
    window: Window,
    smoothed: bool,
    counter: bool,
    subject: Subject<'_>,
    notes: &mut Annotations,
) -> Result<Histogram, Incompatible> {
    let custom = part[0].1.is_custom();
    for (_, histogram) in part {
        if histogram.is_custom() != custom {
            return Err(Incompatible);
        }
        if counter && histogram.hint == ResetHint::Gauge {
            subject.not_a("counter", notes);
        }
    }
    let (first, last) = (part[0], part[part.len() - 1]);
    let left = match part.get(1) {
        Some(next) if smoothed && first.0 < window.start => {
            between(first, *next, window.start, counter, subject, notes)?
        }
        _ => Cow::Borrowed(&**first.1),
    };
    let right = match part.len().checked_sub(2) {
        Some(before) if smoothed && last.0 > window.end => {
            between(part[before], last, window.end, counter, subject, notes)?
        }
        _ => Cow::Borrowed(&**last.1),
    };
    if !counter && [&left, &right].iter().any(|end| end.hint != ResetHint::Gauge) {
        subject.not_a("gauge", notes);
    }
    let mut sum = Sum::of(&right);
    if sum.sub(&left)?.reconciled {
        reconciled("subtraction", subject.at, notes);
    }
    if counter {
        let passed = smoothed && first.0 < window.start && part.get(1).is_some_and(|next| is_reset(first.1, next.1));
        each_reset(part, &left, &right, passed, &mut |before| {
            if sum.add(before)?.reconciled {
                reconciled("addition", subject.at, notes);
            }
            Ok(())
        })?;
    }
    Ok(sum.gauge())
}

/// Visits the histogram before each reset between the ends of the window, in order of time.
///
/// - `passed`: whether the value at the start lies on the line from a reset, which it has counted.
fn each_reset(
    part: &[Timed<'_>],
    left: &Histogram,
    right: &Histogram,
    passed: bool,
    visit: &mut dyn FnMut(&Histogram) -> Result<(), Incompatible>,
) -> Result<(), Incompatible> {
    let (from, mut before) = if passed { (2, &**part[1].1) } else { (1, left) };
    // The last of the part is told of by the value at the end, which has its hint.
    let Some(inner) = part.get(from..part.len() - 1) else { return Ok(()) };
    for now in inner.iter().map(|(_, histogram)| &***histogram).chain([right]) {
        if is_reset(before, now) {
            visit(before)?;
        }
        before = now;
    }
    Ok(())
}

/// The histogram at an instant on the line between two others; of a counter that began anew, on that from nothing.
fn between<'h>(
    (a_time, a): Timed<'h>,
    (b_time, b): Timed<'h>,
    at: Millis,
    counter: bool,
    subject: Subject<'_>,
    notes: &mut Annotations,
) -> Result<Cow<'h, Histogram>, Incompatible> {
    if at == a_time {
        return Ok(Cow::Borrowed(a));
    }
    let share = at.since(a_time) as f64 / b_time.since(a_time) as f64;
    if counter && is_reset(a, b) {
        return Ok(Cow::Owned(histogram::mul(b, share)));
    }
    let mut rise = Sum::of(b);
    if rise.sub(a)?.reconciled {
        reconciled("subtraction", subject.at, notes);
    }
    let mut value = Sum::of(&histogram::mul(&rise.value(), share));
    if value.add(a)?.reconciled {
        reconciled("addition", subject.at, notes);
    }
    Ok(Cow::Owned(value.value()))
}

/// The value of an instant selector: on the line between the histograms around the instant, or the one before it.
///
/// - `stretch`: what lies a look-back around the window's end.
#[cold]
pub(crate) fn instant(stretch: Stretch<'_>, subject: Subject<'_>, notes: &mut Annotations) -> Option<Number> {
    let Stretch { floats, histograms, window, .. } = stretch;
    if !floats.is_empty() {
        subject.mixed(notes);
        return None;
    }
    let at = window.end;
    let next = histograms.partition_point(|(time, _)| *time < at);
    let before = next.checked_sub(1).map(|before| histograms[before]);
    match (before, histograms.get(next).copied()) {
        (_, Some((time, next))) if time == at => Some(Number::Histogram(Arc::clone(next))),
        (Some(before), Some(next)) => {
            // Both must say that they are gauges.
            let counter = [before, next].iter().any(|(_, h)| h.hint != ResetHint::Gauge);
            let value = match before.1.is_custom() == next.1.is_custom() {
                true => between(before, next, at, counter, subject, notes),
                false => Err(Incompatible),
            };
            match value {
                Ok(value) => Some(value.into_owned().into()),
                Err(Incompatible) => {
                    subject.incompatible(notes);
                    None
                }
            }
        }
        // What it says of resets is about the one before it, not about what goes on from it.
        (Some((_, before)), None) => Some(Histogram { hint: ResetHint::Unknown, ..(**before).clone() }.into()),
        (None, _) => None,
    }
}
