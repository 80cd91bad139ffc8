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
    extrapolated_by(points, falls, |first, last, begun| factor(first, last, points.len(), window, begun, per_second))
}

/// The same of one window after the other, all of one length.
#[inline(always)]
pub(super) fn extrapolated_along(
    points: &[Sample],
    window: Window,
    falls: Falls<'_>,
    per_second: bool,
    factors: &mut Factors,
) -> Option<f64> {
    extrapolated_by(points, falls, |first, last, begun| {
        factors.factor(first, last, points.len(), window, begun, per_second)
    })
}

#[inline(always)]
fn extrapolated_by(
    points: &[Sample],
    falls: Falls<'_>,
    factor: impl FnOnce(Millis, Millis, Begun) -> f64,
) -> Option<f64> {
    let [first, .., last] = points else { return None };
    let mut difference = last.value() - first.value();
    let begun = match falls {
        Falls::Resets(marks) => {
            each_fall(points, marks, &mut |before| difference += before);
            Begun::Before { at_first: first.value(), rise: difference }
        }
        Falls::Gauge => Begun::Unknown,
    };
    Some(difference * factor(first.time(), last.time(), begun))
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

/// How far samples reach within their window, and what is added at either end, in seconds.
#[derive(Clone, Copy)]
struct Reach {
    sampled: f64,
    to_start: f64,
    to_end: f64,
}

impl Reach {
    fn of(first: Millis, last: Millis, count: usize, window: Window) -> Reach {
        let sampled = last.since(first) as f64 / 1000.0;
        let distance = if count < 2 { 0.0 } else { sampled / (count - 1) as f64 };
        let near = |to: i64| {
            let to = to as f64 / 1000.0;
            if to >= distance * 1.1 { distance / 2.0 } else { to }
        };
        let (to_start, to_end) = (near(first.since(window.start)), near(window.end.since(last)));
        Reach { sampled, to_start, to_end }
    }

    fn factor(self, window: Window, per_second: bool) -> f64 {
        let Reach { sampled, to_start, to_end } = self;
        let factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
        if per_second { factor / (window.end.since(window.start) as f64 / 1000.0) } else { factor }
    }
}

/// What a difference between the first and the last of some points is multiplied with, so that it is that of the window.
#[inline(always)]
pub(super) fn factor(first: Millis, last: Millis, count: usize, window: Window, begun: Begun, per_second: bool) -> f64 {
    let mut reach = Reach::of(first, last, count, window);
    match begun {
        Begun::At(began) => (reach.to_start, reach.sampled) = (0.0, last.since(began) as f64 / 1000.0),
        Begun::Before { at_first, rise } if rise > 0.0 && at_first >= 0.0 => {
            // Counters cannot be negative: with this slope, the series began at 0 no earlier than here.
            let to_zero = reach.sampled * (at_first / rise);
            if to_zero < reach.to_start {
                reach.to_start = to_zero;
            }
        }
        Begun::Before { .. } | Begun::Unknown => {}
    }
    reach.factor(window, per_second)
}

/// How samples lie in their window, in ms.
#[derive(Clone, Copy)]
struct Lie {
    to_start: i64,
    sampled: i64,
    to_end: i64,
    count: usize,
}

impl Lie {
    #[inline]
    fn is(self, other: Lie) -> bool {
        self.to_start == other.to_start
            && self.sampled == other.sampled
            && self.to_end == other.to_end
            && self.count == other.count
    }
}

/// Factors of windows of one length, one after the other. Where samples come at even distances they lie the same in each, and the
/// factor is the same.
#[derive(Default)]
pub(crate) struct Factors(Option<(Lie, Reach, f64)>);

impl Factors {
    #[inline(always)]
    fn factor(
        &mut self,
        first: Millis,
        last: Millis,
        count: usize,
        window: Window,
        begun: Begun,
        per_second: bool,
    ) -> f64 {
        let (to_start, to_end) = (first.since(window.start), window.end.since(last));
        let lie = Lie { to_start, sampled: last.since(first), to_end, count };
        let (reach, same) = match self.0 {
            Some((known, reach, same)) if known.is(lie) => (reach, same),
            _ => {
                let reach = Reach::of(first, last, count, window);
                let same = reach.factor(window, per_second);
                self.0 = Some((lie, reach, same));
                (reach, same)
            }
        };
        match begun {
            // Where the counter was 0 lies before the window without a doubt: twice as far as rounding could matter.
            Begun::Before { at_first, rise } if at_first * reach.sampled > 2.0 * rise * reach.to_start => same,
            Begun::Unknown => same,
            begun => factor(first, last, count, window, begun, per_second),
        }
    }
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
#[inline]
fn each_fall(points: &[Sample], marks: Option<&Marks>, visit: &mut dyn FnMut(f64)) {
    if marks.is_some_and(Marks::has_no_falls) {
        return;
    }
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
