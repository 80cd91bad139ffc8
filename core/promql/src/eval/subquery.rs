//! `vector[range:step]`: an expression evaluated at every multiple of the step within a stretch.
use super::Evaluator;
use super::columns::merged;
use super::leaf::cost;
use crate::EvalError;
use crate::expr::{At, Subquery};
use crate::range::Window;
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

/// Instants that are evaluated together: few enough to hold the values of all series at each of them.
const TOGETHER: usize = 1024;

/// Every multiple of a step within windows that move forward, rising. The start of a window is not within it.
fn multiples(windows: &[Window], step: i64) -> impl Iterator<Item = Millis> {
    let mut next = i64::MIN;
    windows.iter().flat_map(move |Window { start, end, .. }| {
        let first = start.0.div_euclid(step).saturating_add(1).saturating_mul(step).max(next);
        if first <= end.0 {
            next = end.0.div_euclid(step).saturating_add(1).saturating_mul(step);
        }
        // Steps are of at least 1 ms and at most what an `i64` holds.
        (first..=end.0).step_by(step as usize).map(Millis)
    })
}

impl Evaluator<'_> {
    /// Every label set with its values at all instants that any of these windows holds, in label order.
    pub(super) fn points(
        &mut self,
        subquery: &Subquery,
        windows: &[Window],
    ) -> Result<BTreeMap<Labels, Points>, EvalError> {
        let step = subquery.step.unwrap_or(self.options.subquery_step_ms).max(1);
        let (mut instants, outer) = (multiples(windows, step).peekable(), (self.place, self.in_range));
        self.in_range = instants.peek().copied() != windows.last().map(|window| window.end);
        let mut found: BTreeMap<Labels, Points> = BTreeMap::new();
        loop {
            let together: Vec<Millis> = instants.by_ref().take(TOGETHER).collect();
            if together.is_empty() {
                break;
            }
            self.spend(together.len() as u64)?;
            for row in merged(self.columns(&subquery.of, &together)?)? {
                let mut touched = 0;
                let points = found.entry(row.labels.clone()).or_default();
                for (place, when) in together.iter().enumerate() {
                    match row.at(place) {
                        Some(Number::Float(x)) => {
                            touched += 1;
                            points.floats.push(Sample::new(*when, x));
                        }
                        // What was known of the one before in the series says nothing of the one before here.
                        Some(Number::Histogram(histogram)) => {
                            touched += cost(&histogram);
                            points.histograms.push((*when, unknown_reset(histogram)));
                        }
                        None => {}
                    }
                }
                self.spend(touched)?;
            }
        }
        (self.place, self.in_range) = outer;
        Ok(found)
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
