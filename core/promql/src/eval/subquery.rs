//! `vector[range:step]`: an expression evaluated at every multiple of the step within a stretch.
use super::Evaluator;
use super::leaf::cost;
use crate::expr::{At, Subquery};
use crate::range::Window;
use crate::{Element, EvalError};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::histogram::ResetHint;
use faultline_model::{Histogram, Labels, Millis, Number, Sample};

/// The values of one label set, rising in time.
#[derive(Default)]
pub(super) struct Points {
    pub(super) floats: Vec<Sample>,
    pub(super) histograms: Vec<(Millis, Arc<Histogram>)>,
}

impl Subquery {
    /// The stretch that it is evaluated in.
    pub(super) fn window(&self, at: Millis) -> Window {
        let end = At::resolve(self.at, at).plus(self.offset.saturating_neg());
        Window { start: end.plus(self.range.saturating_neg()), end, at }
    }
}

impl Evaluator<'_> {
    /// Every label set with its values, in label order.
    pub(super) fn subquery(
        &mut self,
        subquery: &Subquery,
        at: Millis,
    ) -> Result<(Window, BTreeMap<Labels, Points>), EvalError> {
        let window = subquery.window(at);
        let Window { start, end, .. } = window;
        let step = subquery.step.unwrap_or(self.options.subquery_step_ms).max(1);
        // The first multiple after the start, which is itself excluded.
        let mut when = start.0.div_euclid(step).saturating_add(1).saturating_mul(step);
        let mut found: BTreeMap<Labels, Points> = BTreeMap::new();
        while when <= end.0 {
            let elements = self.vector(&subquery.of, Millis(when))?;
            let cost = |element: &Element| element.value.histogram().map_or(1, |histogram| cost(histogram));
            self.spend(1 + elements.iter().map(cost).sum::<u64>())?;
            for element in elements {
                let points = found.entry(element.labels).or_default();
                match element.value {
                    Number::Float(x) => points.floats.push(Sample::new(Millis(when), x)),
                    // What was known of the one before in the series says nothing of the one before here.
                    Number::Histogram(histogram) => points.histograms.push((Millis(when), unknown_reset(histogram))),
                }
            }
            when = when.saturating_add(step);
        }
        Ok((window, found))
    }
}

fn unknown_reset(histogram: Arc<Histogram>) -> Arc<Histogram> {
    match histogram.hint {
        ResetHint::Unknown | ResetHint::Gauge => histogram,
        ResetHint::Reset | ResetHint::NotReset => {
            Arc::new(Histogram { hint: ResetHint::Unknown, ..Histogram::clone(&histogram) })
        }
    }
}
