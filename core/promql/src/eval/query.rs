//! The values of an expression at every step of a range.
use super::Evaluator;
use crate::bind::Bounds;
use crate::{Annotations, EvalError, Expr, Options, Series, Source, Type};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, Number, float};

/// Most steps of a range query, as Prometheus has it.
const STEPS_MAX: i64 = 11_000;

/// The instants of a range query: `start`, and every `step_ms` after it up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first instant.
    pub start: Millis,
    /// No instant is after this.
    pub end: Millis,
    /// In ms, `> 0`.
    pub step_ms: i64,
}

impl Range {
    /// Every instant, rising.
    pub fn instants(self) -> impl Iterator<Item = Millis> {
        let Range { start, end, step_ms } = self;
        let count = if start > end || step_ms <= 0 { 0 } else { end.since(start) / step_ms + 1 };
        (0..count).map(move |i| start.plus(i * step_ms))
    }

    /// Fails on a range without instants, or with more than 11,000.
    fn check(self) -> Result<(), EvalError> {
        let refused = |message: &str| Err(EvalError::Parameter { message: message.into() });
        if self.step_ms <= 0 {
            return refused("zero or negative query resolution step widths are not accepted");
        }
        if self.end < self.start {
            return refused("end timestamp must not be before start time");
        }
        if self.end.since(self.start) / self.step_ms > STEPS_MAX {
            return refused(&format!("exceeded maximum resolution of {STEPS_MAX} points per timeseries"));
        }
        Ok(())
    }
}

/// The values of `expr` at every instant of a range, by label set, in label order; of a scalar one series without labels.
///
/// - `cancelled`: asked now and then; the evaluation stops where it says so.
///
/// The same as [`crate::evaluate`] at each instant, but that `start()`, `end()`, `range()` and `step()` are those of the
/// range and that all instants together may touch `options.samples_max` samples.
pub fn evaluate_range(
    expr: &Expr,
    range: Range,
    source: &dyn Source,
    options: &Options,
    notes: &mut Annotations,
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Series>, EvalError> {
    range.check()?;
    let found = expr.result_type();
    if !matches!(found, Type::Scalar | Type::Vector) {
        let must = "for range query, must be Scalar or instant Vector";
        let message = format!("invalid expression type {:?} {must}", found.name());
        return Err(EvalError::Parameter { message });
    }
    let bound;
    let expr = match expr.by_query {
        true => {
            bound = expr.bind(Bounds { start: range.start, end: range.end, step: range.step_ms })?;
            &bound
        }
        false => expr,
    };
    let instants: Vec<Millis> = range.instants().collect();
    let in_range = range.start != range.end;
    let mut evaluator = Evaluator { cancelled, in_range, ..Evaluator::new(&expr.selectors, source, options, notes) };
    evaluator.know(expr);
    if found == Type::Scalar {
        let values = evaluator.scalars(&expr.root, &instants)?;
        let canonical = |x: f64| Number::Float(float::canonical(x));
        let samples = instants.into_iter().zip(values.into_iter().map(canonical)).collect();
        return Ok(vec![Series { labels: Labels::default(), samples }]);
    }
    let mut series: Vec<Series> = Vec::new();
    let rows = evaluator.columns(&expr.root, &instants)?;
    for row in evaluator.settled_rows(rows)? {
        let values = instants.iter().enumerate().filter_map(|(place, at)| Some((*at, row.at(place)?)));
        series.push(Series { samples: values.collect(), labels: row.labels.clone() });
    }
    Ok(series)
}
