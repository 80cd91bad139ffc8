//! Functions of a stretch that holds histograms, alone or beside floats.
use super::starts::{self, Starts};
use super::{RangeFunc, Stretch, rate, seconds};
use crate::Annotations;
use crate::expr::Span;
use crate::function::Func;
use crate::histogram::{self, Incompatible, Outcome, Sum, is_reset};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::histogram::ResetHint;
use faultline_model::{Histogram, Millis, Number, Sample};

/// What annotations are about: the metric, by its name, and where in the text it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) metric: &'a str,
    pub(crate) at: Span,
}

impl Subject<'_> {
    pub(super) fn mixed(self, notes: &mut Annotations) {
        let text = format!("encountered a mix of histograms and floats for metric name {:?}", self.metric);
        notes.warn(text, self.at);
    }

    /// Samples say that they began to be counted before others that began at other times.
    pub(crate) fn overlap(self, notes: &mut Annotations) {
        let text = "sample has start time that overlaps with previous sample timestamp";
        notes.warn(format!("{text} for metric {:?}", self.metric), self.at);
    }

    fn ignored(self, notes: &mut Annotations) {
        let metric = self.metric;
        let text =
            format!("ignored histograms in a range containing both floats and histograms for metric name {metric:?}");
        notes.info(text, self.at);
    }

    pub(crate) fn incompatible(self, notes: &mut Annotations) {
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {:?}",
            self.metric
        );
        notes.warn(text, self.at);
    }

    pub(super) fn not_a(self, kind: &str, notes: &mut Annotations) {
        notes.warn(format!("this native histogram metric is not a {kind}: {:?}", self.metric), self.at);
    }
}

/// Says that bounds of their own were reconciled.
pub(crate) fn reconciled(during: &str, at: Span, notes: &mut Annotations) {
    notes.info(format!("mismatched custom buckets were reconciled during {during}"), at);
}

/// Says what had to be done for an aggregation.
pub(crate) fn tell(outcome: Outcome, at: Span, notes: &mut Annotations) {
    if outcome.collision {
        notes.warn("conflicting counter resets during histogram aggregation", at);
    }
    if outcome.reconciled {
        reconciled("aggregation", at, notes);
    }
}

/// A point of a mixed stretch.
#[derive(Clone, Copy)]
pub(super) enum Point<'a> {
    Float(Sample),
    Histogram(Millis, &'a Arc<Histogram>),
}

impl Point<'_> {
    pub(super) fn time(self) -> Millis {
        match self {
            Point::Float(sample) => sample.time(),
            Point::Histogram(time, _) => time,
        }
    }
}

/// All points, rising in time.
pub(super) fn merged<'a>(stretch: Stretch<'a>) -> Vec<Point<'a>> {
    let histograms = stretch.histograms.iter().map(|(time, h)| Point::Histogram(*time, h));
    let mut all: Vec<Point<'a>> = stretch.floats.iter().copied().map(Point::Float).chain(histograms).collect();
    all.sort_by_key(|point| point.time());
    all
}

impl RangeFunc {
    /// The function's value of a stretch with at least one histogram; `None` where it has none.
    #[cold]
    pub(crate) fn value_mixed(
        &self,
        stretch: Stretch<'_>,
        subject: Subject<'_>,
        notes: &mut Annotations,
    ) -> Option<Number> {
        let Stretch { floats, histograms, starts, window } = stretch;
        let (first, last) = (histograms.first()?, histograms.last()?);
        let float_first = floats.first().filter(|s| s.time() < first.0);
        let float_last = floats.last().filter(|s| s.time() > last.0);
        let number = |time: Millis| Some(Number::Float(seconds(time)));
        match self.func {
            Func::CountOverTime => Some(Number::Float((floats.len() + histograms.len()) as f64)),
            Func::PresentOverTime => Some(Number::Float(1.0)),
            Func::FirstOverTime => {
                Some(float_first.map_or_else(|| Number::Histogram(Arc::clone(first.1)), |s| s.value().into()))
            }
            Func::LastOverTime => {
                Some(float_last.map_or_else(|| Number::Histogram(Arc::clone(last.1)), |s| s.value().into()))
            }
            Func::TsOfFirstOverTime => number(float_first.map_or(first.0, Sample::time)),
            Func::TsOfLastOverTime => number(float_last.map_or(last.0, Sample::time)),
            Func::Rate | Func::Increase | Func::Delta | Func::SumOverTime | Func::AvgOverTime if !floats.is_empty() => {
                subject.mixed(notes);
                None
            }
            Func::Rate => extrapolated(stretch, true, true, subject, notes),
            Func::Increase => extrapolated(stretch, true, false, subject, notes),
            Func::Delta => extrapolated(stretch, false, false, subject, notes),
            Func::Irate => instant(stretch, true, subject, notes),
            Func::Idelta => instant(stretch, false, subject, notes),
            Func::Resets => Some(resets(&merged(stretch), starts).into()),
            Func::Changes => Some(changes(&merged(stretch)).into()),
            Func::SumOverTime => total(histograms, subject, notes, histogram::sum),
            Func::AvgOverTime => total(histograms, subject, notes, histogram::mean),
            _ if floats.is_empty() => None,
            // The others are of the floats alone.
            _ => {
                subject.ignored(notes);
                self.value(floats, window, None).map(Number::Float)
            }
        }
    }
}

type Total = fn(&[&Histogram]) -> Result<(Histogram, Outcome), Incompatible>;

fn total(
    histograms: &[(Millis, &Arc<Histogram>)],
    subject: Subject<'_>,
    notes: &mut Annotations,
    total: Total,
) -> Option<Number> {
    let terms: Vec<&Histogram> = histograms.iter().map(|(_, h)| &***h).collect();
    match total(&terms) {
        Ok((value, outcome)) => {
            tell(outcome, subject.at, notes);
            Some(value.into())
        }
        Err(Incompatible) => {
            subject.incompatible(notes);
            None
        }
    }
}

/// `rate`, `increase` and `delta` of histograms: as of floats, bucket by bucket.
fn extrapolated(
    stretch: Stretch<'_>,
    counter: bool,
    per_second: bool,
    subject: Subject<'_>,
    notes: &mut Annotations,
) -> Option<Number> {
    let Stretch { histograms, starts, window, .. } = stretch;
    let ((first_time, first), (last_time, _)) = (histograms.first()?, histograms.last()?);
    let began = if counter { starts::began(starts, *first_time, window.start) } else { None };
    if histograms.len() < 2 {
        // What was counted since it began.
        let factor = rate::factor(*first_time, *last_time, 1, window, rate::Begun::At(began?), per_second);
        return Some(histogram::mul(first, factor).into());
    }
    let mut own = notes.beside();
    let difference = difference(stretch, counter, subject, &mut own).and_then(|mut difference| {
        // All of the first was counted within the window, too.
        if began.is_some() && difference.add(first)?.reconciled {
            reconciled("addition", subject.at, &mut own);
        }
        Ok(difference.gauge())
    });
    let Ok(difference) = difference else {
        subject.incompatible(notes);
        return None;
    };
    notes.merge(own);
    let begun = match (counter, began) {
        (_, Some(began)) => rate::Begun::At(began),
        (true, None) => rate::Begun::Before { at_first: first.count, rise: difference.count },
        (false, None) => rate::Begun::Unknown,
    };
    let count = stretch.histograms.len();
    let factor = rate::factor(*first_time, *last_time, count, stretch.window, begun, per_second);
    Some(histogram::mul(&difference, factor).into())
}

/// The difference between the last and the first of at least two histograms; of a counter, with what it lost at resets.
fn difference(
    stretch: Stretch<'_>,
    counter: bool,
    subject: Subject<'_>,
    notes: &mut Annotations,
) -> Result<Sum, Incompatible> {
    let Stretch { histograms: points, starts, .. } = stretch;
    let begins = |i: usize, before: &Histogram| {
        starts::restarted(starts, points[i - 1].0, points[i].0) || is_reset(before, points[i].1)
    };
    let histogram_at = |i: usize| -> &Histogram { points[i].1 };
    let (first, last) = (histogram_at(0), histogram_at(points.len() - 1));
    let gauge = |h: &Histogram| h.hint == ResetHint::Gauge;
    if counter && points.iter().any(|(_, h)| gauge(h)) {
        subject.not_a("counter", notes);
    }
    if !(counter || (gauge(first) && gauge(last))) {
        subject.not_a("gauge", notes);
    }
    // After a reset right behind it, the first does not matter, whatever it is.
    let second = histogram_at(1);
    let nothing = Histogram { schema: second.schema, bounds: second.bounds.clone(), ..Histogram::default() };
    let start = if counter && begins(1, first) { &nothing } else { first };
    let looked_at = if counter { &points[1..] } else { &points[points.len() - 1..] };
    if looked_at.iter().any(|(_, h)| h.is_custom() != start.is_custom()) {
        return Err(Incompatible);
    }
    let mut sum = Sum::of(last);
    if sum.sub(start)?.reconciled {
        reconciled("subtraction", subject.at, notes);
    }
    if counter {
        let mut before = start;
        if starts::overlap(starts, points.iter().map(|(time, _)| *time)) {
            subject.overlap(notes);
        }
        for (i, (_, now)) in points.iter().enumerate().skip(1) {
            if begins(i, before) && sum.add(before)?.reconciled {
                reconciled("addition", subject.at, notes);
            }
            before = now;
        }
    }
    Ok(sum)
}

/// `irate` and `idelta`: of the last two points.
fn instant(stretch: Stretch<'_>, counter: bool, subject: Subject<'_>, notes: &mut Annotations) -> Option<Number> {
    let all = merged(stretch);
    let [.., before, last] = &all[..] else { return None };
    let elapsed = last.time().since(before.time());
    let restarted = starts::restarted(stretch.starts, before.time(), last.time());
    if elapsed == 0 {
        return None;
    }
    let (before, last) = match (*before, *last) {
        (Point::Float(before), Point::Float(last)) => {
            let points = [before, last];
            return match counter {
                true => rate::instant_started(&points, stretch.starts),
                false => rate::instant(&points, false),
            }
            .map(Number::Float);
        }
        (Point::Histogram(_, before), Point::Histogram(_, last)) => (before, last),
        _ => {
            subject.mixed(notes);
            return None;
        }
    };
    let gauges = [before, last].map(|h| h.hint == ResetHint::Gauge);
    if counter && gauges != [false, false] {
        subject.not_a("counter", notes);
    }
    if !counter && gauges != [true, true] {
        subject.not_a("gauge", notes);
    }
    let mut difference = Sum::of(last);
    if !(counter && (restarted || is_reset(before, last))) {
        match difference.sub(before) {
            Ok(Outcome { reconciled: true, .. }) => reconciled("subtraction", subject.at, notes),
            Ok(_) => {}
            Err(Incompatible) => {
                subject.incompatible(notes);
                return None;
            }
        }
    }
    let difference = difference.gauge();
    Some(if counter { histogram::div(&difference, elapsed as f64 / 1000.0) } else { difference }.into())
}

/// How often a point differs from the one before; a float always differs from a histogram.
pub(super) fn changes(points: &[Point<'_>]) -> f64 {
    let differ = |pair: &&[Point<'_>]| match (pair[0], pair[1]) {
        (Point::Float(a), Point::Float(b)) => a.value() != b.value() && !(a.value().is_nan() && b.value().is_nan()),
        (Point::Histogram(_, a), Point::Histogram(_, b)) => !a.same_data(b),
        _ => true,
    };
    points.windows(2).filter(differ).count() as f64
}

/// How often a counter begins anew; it does when it changes between floats and histograms.
pub(super) fn resets(points: &[Point<'_>], starts: Starts<'_>) -> f64 {
    let restarted = |pair: &[Point<'_>]| starts::restarted(starts, pair[0].time(), pair[1].time());
    let begins = |pair: &&[Point<'_>]| match (pair[0], pair[1]) {
        (Point::Float(a), Point::Float(b)) => b.value() < a.value() || restarted(pair),
        (Point::Histogram(_, a), Point::Histogram(_, b)) => restarted(pair) || is_reset(a, b),
        _ => true,
    };
    points.windows(2).filter(begins).count() as f64
}
