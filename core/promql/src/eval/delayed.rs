//! `promql-delayed-name-removal` over many instants: one after the other, since what a name hides may differ between them.
use super::Evaluator;
use super::columns::{Row, merged};
use super::names::{check_unique, settled};
use crate::EvalError;
use crate::expr::Node;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis};

impl Evaluator<'_> {
    /// The values of a vector at these instants; names that are to be dropped are marked.
    pub(super) fn columns_one_by_one(&mut self, node: &Node, instants: &[Millis]) -> Result<Vec<Row>, EvalError> {
        let mut rows: BTreeMap<Labels, Row> = BTreeMap::new();
        for (place, at) in instants.iter().enumerate() {
            if (self.cancelled)() {
                return Err(EvalError::Cancelled);
            }
            let elements = self.vector(node, *at)?;
            check_unique(elements.iter().map(|element| &element.labels))?;
            for element in elements {
                let fresh = || Row::new(element.labels.clone(), instants.len());
                rows.entry(element.labels.clone()).or_insert_with(fresh).put(place, element.value);
            }
        }
        Ok(rows.into_values().collect())
    }

    /// Rows as they are once the evaluation is over, in label order. Fails where two become one that have a value at the same instant.
    pub(super) fn settled_rows(&self, mut rows: Vec<Row>) -> Result<Vec<Row>, EvalError> {
        if self.delays_names {
            rows.iter_mut().for_each(|row| row.labels = settled(&row.labels));
        }
        merged(rows)
    }
}
