//! What a series may come to give by time alone.
use super::chain::Step;
use super::leaf::{Leaf, Read, live};
use crate::expr::{BinOp, Extent};
use crate::function::Func;
use crate::range::{RangeFunc, Window, within};
use crate::{Selector, SeriesView};
use alloc::vec::Vec;
use faultline_model::{Sample, float};

/// Most samples of a stretch that are looked at: more would cost more than what it spares.
const POINTS_MAX: usize = 64;
/// How far a value that was computed in floats may lie beyond what bounds it, relative to it.
const SLACK: f64 = 1e-9;

/// Where a value lies: neither end is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    low: f64,
    high: f64,
}

/// Whether elements of such a leaf come and go by what [`Leaf::later`] looks at: there is something that throws them away,
/// and what is read moves with the instant alone.
///
/// - `steps`: all of them; none of them may hang on the instant.
pub(crate) fn may_stay_out(read: Read, steps: &[Step], selector: &Selector) -> bool {
    let known = match read {
        Read::Value | Read::Time => true,
        Read::Start => false,
        Read::Stretch(range) => is_bounded(range.func),
    };
    let filters = steps.iter().any(|step| matches!(step, Step::Filter { .. }));
    known && filters && selector.at.is_none() && selector.extent == Extent::Within && !steps.iter().any(|it| it.trims())
}

impl Leaf<'_> {
    /// What is read of a series at later instants, until it has another sample. Asked where [`may_stay_out`].
    ///
    /// As time goes on a window holds ever fewer of the samples, the newest last: each later stretch is an end of this one.
    pub(crate) fn later(&self, series: SeriesView<'_>, scratch: &mut Vec<Sample>) -> Later {
        if !series.histograms.is_empty() || series.starts.is_some() {
            return Later::Unknown;
        }
        // What is ahead of the window enters it one day.
        if series.samples.last().is_some_and(|newest| newest.time() > self.window.end) {
            return Later::Unknown;
        }
        let Read::Stretch(range) = self.read else { return Later::Same };
        let points = within(series.samples, self.window.start, self.window.end);
        if points.len() > POINTS_MAX {
            return Later::Unknown;
        }
        let (points, _) = live(points, series.marks, scratch);
        bounds(range, points, self.window)
    }
}

/// What is read of a series at later instants, until it has another sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Later {
    /// What is read now, or nothing.
    Same,
    /// What lies within, or nothing.
    Within(Bounds),
    /// Anything.
    Unknown,
}

/// What bounds what is read of several series, now and until they have other samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extremes(Option<Bounds>);

impl Extremes {
    /// Takes in what is read of one series now, and later; false where that is not bounded.
    pub(crate) fn add(&mut self, value: Option<f64>, later: Later) -> bool {
        let mut all = self.0;
        let mut with = |x: f64| all = Some(all.unwrap_or(Bounds { low: x, high: x }).with(x));
        value.into_iter().for_each(&mut with);
        match later {
            Later::Same => {}
            Later::Within(Bounds { low, high }) => [low, high].into_iter().for_each(with),
            Later::Unknown => return false,
        }
        self.0 = all;
        !value.is_some_and(f64::is_nan)
    }

    /// Takes in all that lies within a distance of a value, and what rounding may have done to either.
    pub(crate) fn spread(&mut self, value: f64, distance: f64) {
        let slack = (float::abs(value) + distance) * SLACK + f64::MIN_POSITIVE;
        let (low, high) = (value - distance - slack, value + distance + slack);
        let ends = Bounds::between(low, high).unwrap_or(Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY });
        self.0 = Some(self.0.map_or(ends, |all| all.with(ends.low).with(ends.high)));
    }

    /// Whether none of them gives anything after these steps.
    pub(crate) fn stay_out(self, steps: &[Step]) -> bool {
        self.0.is_none_or(|bounds| throws_away(steps, bounds))
    }
}

impl Later {
    /// Whether a series that gives nothing now, after these steps, will give nothing then either.
    ///
    /// What bounds the values that are read is taken through the steps, each of which must keep order or turn it around, up to a
    /// filter that lets nothing between the bounds through.
    pub(crate) fn stays_out(self, steps: &[Step]) -> bool {
        match self {
            Later::Same => true,
            Later::Within(bounds) => throws_away(steps, bounds),
            Later::Unknown => false,
        }
    }
}

/// Whether [`bounds`] knows anything of a function.
fn is_bounded(func: Func) -> bool {
    use Func::{
        AvgOverTime, CountOverTime, Delta, FirstOverTime, Idelta, Increase, Irate, LastOverTime, MaxOverTime,
        MinOverTime, Rate, SumOverTime,
    };
    matches!(
        func,
        AvgOverTime
            | CountOverTime
            | Delta
            | FirstOverTime
            | Idelta
            | Increase
            | Irate
            | LastOverTime
            | MaxOverTime
            | MinOverTime
            | Rate
            | SumOverTime
    )
}

/// What bounds a function of each end of a stretch.
fn bounds(range: RangeFunc, points: &[Sample], window: Window) -> Later {
    let values = || points.iter().map(Sample::value);
    if matches!(range.func, Func::Irate | Func::Idelta | Func::LastOverTime) {
        // As long as the newest two are there.
        return Later::Same;
    }
    if values().any(|x| !x.is_finite()) {
        return Later::Unknown;
    }
    let pairs = || points.windows(2).map(|pair| (&pair[0], &pair[1]));
    let slopes = || {
        let slope = |(a, b): (&Sample, &Sample)| (b.value() - a.value()) / (b.time().since(a.time()) as f64 / 1000.0);
        // Extrapolated, a rise is spread over at least the time in which it came.
        let zero = Bounds { low: 0.0, high: 0.0 };
        pairs().map(slope).fold(None, |all: Option<Bounds>, slope| Some(all.unwrap_or(zero).with(slope)))
    };
    let found = match range.func {
        // A counter that began again rises by sums in which digits may be lost.
        Func::Rate | Func::Increase if pairs().any(|(a, b)| b.value() < a.value()) => return Later::Unknown,
        Func::Rate => slopes(),
        Func::Increase | Func::Delta => {
            let length = window.end.since(window.start) as f64 / 1000.0;
            slopes().map(|Bounds { low, high }| Bounds { low: low * length, high: high * length })
        }
        Func::CountOverTime => Some(Bounds { low: 0.0, high: points.len() as f64 }),
        Func::SumOverTime => {
            let low = values().filter(|x| *x < 0.0).sum();
            Some(Bounds { low, high: values().filter(|x| *x > 0.0).sum() })
        }
        _ => values().fold(None, |all: Option<Bounds>, x| Some(all.unwrap_or(Bounds { low: x, high: x }).with(x))),
    };
    match found {
        Some(bounds) if !points.is_empty() => bounds.loose().map_or(Later::Unknown, Later::Within),
        // Too few samples for it, and never more.
        _ => Later::Same,
    }
}

/// Whether a filter among the steps drops whatever lies within.
fn throws_away(steps: &[Step], mut bounds: Bounds) -> bool {
    for step in steps {
        if let Step::Filter { op, scalar, scalar_left, .. } = *step {
            if bounds.never(if scalar_left { turned(op) } else { op }, scalar) {
                return true;
            }
        } else if keeps_order(*step, bounds)
            && let (Some(a), Some(b)) = (step.apply(bounds.low), step.apply(bounds.high))
            && let Some(mapped) = Bounds::between(a, b)
        {
            bounds = mapped;
        } else {
            return false;
        }
    }
    false
}

/// Whether a step keeps the order of all values between two bounds, or turns all of it around. What rounds, rounds no value past
/// another.
fn keeps_order(step: Step, bounds: Bounds) -> bool {
    match step {
        Step::Negate | Step::Clamp { .. } | Step::Set(_) => true,
        Step::Round { inverse } => inverse.is_finite() && inverse > 0.0,
        Step::Arithmetic { op: BinOp::Add | BinOp::Sub | BinOp::Mul, scalar, .. } => scalar.is_finite(),
        Step::Arithmetic { op: BinOp::Div, scalar, scalar_left: false, .. } => scalar.is_finite() && scalar != 0.0,
        Step::Arithmetic { op: BinOp::Div, scalar, scalar_left: true, .. } => {
            scalar.is_finite() && (bounds.low > 0.0 || bounds.high < 0.0)
        }
        _ => false,
    }
}

/// The comparison with its sides exchanged.
fn turned(op: BinOp) -> BinOp {
    match op {
        BinOp::Less => BinOp::Greater,
        BinOp::LessEqual => BinOp::GreaterEqual,
        BinOp::Greater => BinOp::Less,
        BinOp::GreaterEqual => BinOp::LessEqual,
        op => op,
    }
}

impl Bounds {
    /// Those of what lies between two values, in either order; nothing where one is no finite number.
    fn between(a: f64, b: f64) -> Option<Bounds> {
        (a.is_finite() && b.is_finite()).then(|| Bounds { low: float::min(a, b), high: float::max(a, b) })
    }

    /// Widened so that they hold a value too.
    fn with(self, x: f64) -> Bounds {
        Bounds { low: float::min(self.low, x), high: float::max(self.high, x) }
    }

    /// Widened by what rounding may have done to values and to the bounds themselves; nothing where they are not finite.
    fn loose(self) -> Option<Bounds> {
        let slack = |x: f64| float::abs(x) * SLACK + f64::MIN_POSITIVE;
        Bounds::between(self.low - slack(self.low), self.high + slack(self.high))
    }

    /// Whether no value between them compares so with a number.
    fn never(self, op: BinOp, scalar: f64) -> bool {
        match op {
            BinOp::Equal => scalar < self.low || scalar > self.high || scalar.is_nan(),
            BinOp::Less => self.low >= scalar || scalar.is_nan(),
            BinOp::LessEqual => self.low > scalar || scalar.is_nan(),
            BinOp::Greater => self.high <= scalar || scalar.is_nan(),
            BinOp::GreaterEqual => self.high < scalar || scalar.is_nan(),
            _ => false,
        }
    }
}
