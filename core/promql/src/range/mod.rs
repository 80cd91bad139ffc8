//! Functions of a stretch of one series: a value of the samples in the window, recomputed from all of them every time.
pub(crate) mod extended;
pub(crate) mod extended_mixed;
mod marks;
mod mixed;
mod over_time;
mod rate;
pub(crate) mod starts;
mod trend;

use crate::function::Func;
use crate::{Annotations, EvalError, Extent};
use alloc::format;
use alloc::sync::Arc;
use faultline_model::{Histogram, HistogramSample, Millis, Number, Sample};
use rate::Falls;

pub use marks::Marks;
pub(crate) use mixed::{Subject, reconciled, tell};
pub(crate) use over_time::{Compensated, quantile, two_sum};
pub(crate) use rate::Factors;
pub(crate) use starts::Starts;

/// A function of a stretch, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RangeFunc {
    pub(crate) func: Func,
    /// Of `quantile_over_time`: the quantile. Of `predict_linear`: how far ahead, in s. Of
    /// `double_exponential_smoothing`: the two factors.
    pub(crate) parameters: [f64; 2],
}

/// When a stretch was taken: `(start, end]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: Millis,
    pub(crate) end: Millis,
    /// The instant of the evaluation, which `offset` and `@` do not move.
    pub(crate) at: Millis,
}

/// The points of one series within a window, none of them stale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch<'a> {
    /// Rising in time.
    pub(crate) floats: &'a [Sample],
    /// Rising in time, at none of the floats' times.
    pub(crate) histograms: &'a [(Millis, &'a Arc<Histogram>)],
    /// When any of them began to be counted; empty where that is not known.
    pub(crate) starts: Starts<'a>,
    pub(crate) window: Window,
}

/// Whether a function is one of a stretch.
pub(crate) fn is_range_func(func: Func) -> bool {
    func.signature().arguments.contains(&crate::Type::Matrix) && func != Func::AbsentOverTime
}

/// Whether the result of a function of a stretch is still the metric that went in.
pub(crate) fn keeps_name(func: Func) -> bool {
    matches!(func, Func::LastOverTime | Func::FirstOverTime)
}

impl RangeFunc {
    /// Fails on a parameter that the function cannot work with.
    pub(crate) fn check(&self) -> Result<(), EvalError> {
        if self.func == Func::DoubleExponentialSmoothing {
            for (factor, what) in self.parameters.iter().zip(["smoothing", "trend"]) {
                if !(*factor > 0.0 && *factor < 1.0) {
                    let message = format!("invalid {what} factor. Expected: 0 < {}f < 1, got: {factor:.6}", &what[..1]);
                    return Err(EvalError::Parameter { message });
                }
            }
        }
        Ok(())
    }

    /// [`RangeFunc::value`] of one window after the other, all of one length.
    #[inline(always)]
    pub(crate) fn value_along(
        &self,
        points: &[Sample],
        window: Window,
        marks: Option<&Marks>,
        factors: &mut Factors,
    ) -> Option<f64> {
        let (falls, per_second) = match self.func {
            Func::Rate => (Falls::Resets(marks), true),
            Func::Increase => (Falls::Resets(marks), false),
            Func::Delta => (Falls::Gauge, false),
            _ => return self.value(points, window, marks),
        };
        rate::extrapolated_along(points, window, falls, per_second, factors)
    }

    /// The function's value; `None` where it has none, for instance a rate of one sample.
    ///
    /// - `points`: those within the window, rising in time, no stale markers.
    /// - `marks`: those of the points, if anybody keeps them.
    pub(crate) fn value(&self, points: &[Sample], window: Window, marks: Option<&Marks>) -> Option<f64> {
        let (first, last) = (points.first()?, points.last()?);
        let [a, b] = self.parameters;
        match self.func {
            Func::Rate => rate::extrapolated(points, window, Falls::Resets(marks), true),
            Func::Increase => rate::extrapolated(points, window, Falls::Resets(marks), false),
            Func::Delta => rate::extrapolated(points, window, Falls::Gauge, false),
            Func::Irate => rate::instant(points, true),
            Func::Idelta => rate::instant(points, false),
            Func::Changes => Some(rate::changes(points)),
            Func::Resets => Some(rate::resets(points, marks)),
            Func::Deriv => trend::slope(points),
            Func::PredictLinear => trend::predict(points, window.at, a),
            Func::DoubleExponentialSmoothing => trend::smooth(points, a, b),
            Func::LastOverTime => Some(last.value()),
            Func::FirstOverTime => Some(first.value()),
            Func::TsOfLastOverTime => Some(seconds(last.time())),
            Func::TsOfFirstOverTime => Some(seconds(first.time())),
            Func::CountOverTime => Some(points.len() as f64),
            Func::PresentOverTime => Some(1.0),
            func => over_time::value(func, points, a),
        }
    }
}

impl RangeFunc {
    /// Whether it makes a difference to the function when a sample began to be counted.
    pub(crate) fn looks_at_starts(&self) -> bool {
        matches!(self.func, Func::Rate | Func::Increase | Func::Irate | Func::Resets)
    }

    /// [`RangeFunc::value`] of samples of which it is known when they began to be counted.
    pub(crate) fn value_started(&self, points: &[Sample], starts: Starts<'_>, window: Window) -> Option<f64> {
        match self.func {
            Func::Rate => rate::extrapolated_started(points, starts, window, true),
            Func::Increase => rate::extrapolated_started(points, starts, window, false),
            Func::Irate => rate::instant_started(points, starts),
            Func::Resets => rate::resets_started(points, starts),
            _ => self.value(points, window, None),
        }
    }

    /// The value of a stretch whose ends count too.
    pub(crate) fn value_extended(&self, points: &[Sample], window: Window, extent: Extent) -> Option<f64> {
        extended::value(self.func, points, window, extent)
    }

    /// The same with at least one histogram in it.
    pub(crate) fn value_extended_mixed(
        &self,
        stretch: Stretch<'_>,
        extent: Extent,
        subject: Subject<'_>,
        notes: &mut Annotations,
    ) -> Option<Number> {
        extended_mixed::value(self.func, stretch, extent, subject, notes)
    }
}

/// Seconds since 1970, as the language counts them.
pub(crate) fn seconds(time: Millis) -> f64 {
    time.0 as f64 / 1000.0
}

/// The samples of a series within `(start, end]`.
pub(crate) fn within(samples: &[Sample], start: Millis, end: Millis) -> &[Sample] {
    // The newest samples are asked for far more often than any others.
    let until = match samples.last() {
        Some(last) if last.time() <= end => samples.len(),
        _ => samples.partition_point(|s| s.time() <= end),
    };
    let from = match samples.first() {
        Some(first) if first.time() > start => 0,
        _ => samples[..until].partition_point(|s| s.time() <= start),
    };
    &samples[from..until]
}

/// The histograms of a series within `(start, end]`, without stale markers.
pub(crate) fn histograms_within(
    samples: &[HistogramSample],
    start: Millis,
    end: Millis,
) -> impl Iterator<Item = (Millis, &Arc<Histogram>)> {
    let until = samples.partition_point(|s| s.time <= end);
    let from = samples[..until].partition_point(|s| s.time <= start);
    samples[from..until].iter().filter_map(|s| Some((s.time, s.histogram.as_ref()?)))
}
