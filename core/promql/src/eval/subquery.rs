//! `vector[range:step]`: an expression evaluated at every multiple of the step within a stretch.
use super::Evaluator;
use crate::EvalError;
use crate::expr::{At, Subquery};
use crate::range::Window;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, Sample};

impl Evaluator<'_> {
    /// Every label set with its values, in label order.
    pub(super) fn subquery(
        &mut self,
        subquery: &Subquery,
        at: Millis,
    ) -> Result<(Window, BTreeMap<Labels, Vec<Sample>>), EvalError> {
        let end = At::resolve(subquery.at, at).plus(subquery.offset.saturating_neg());
        let start = end.plus(subquery.range.saturating_neg());
        let step = subquery.step.unwrap_or(self.options.subquery_step_ms).max(1);
        // The first multiple after the start, which is itself excluded.
        let mut when = start.0.div_euclid(step).saturating_add(1).saturating_mul(step);
        let mut found: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
        while when <= end.0 {
            let elements = self.vector(&subquery.of, Millis(when))?;
            self.spend(1 + elements.len() as u64)?;
            for element in elements {
                let samples = found.entry(element.labels).or_default();
                samples.push(Sample::new(Millis(when), element.value));
            }
            when = when.saturating_add(step);
        }
        Ok((Window { start, end, at }, found))
    }
}
