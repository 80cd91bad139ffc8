//! Dropping metric names, and what may not happen when they are gone.
//!
//! With `promql-delayed-name-removal` an element keeps the name that it is to lose until the evaluation is over, and a mark that it is:
//! a label with an empty name, as no series has one. Where Prometheus looks at labels the mark is none of them.
use crate::{Element, EvalError};
use alloc::string::ToString;
use alloc::vec::Vec;
use faultline_model::Labels;
use faultline_model::labels::NAME;

/// The name of the label that marks elements whose metric's name is to be dropped in the end.
const DROPPED: &str = "";

/// Labels that say which metric a series is, and nothing about where it comes from.
pub(crate) fn is_metadata(name: &str) -> bool {
    matches!(name, NAME | "__type__" | "__unit__")
}

/// Labels without those that say which metric it is; `None` if there are none of these.
pub(crate) fn without_metadata(labels: &Labels) -> Option<Labels> {
    labels.names().any(is_metadata).then(|| labels.filter(|name| !is_metadata(name)))
}

/// Fails if two of the label sets are equal.
pub(crate) fn check_unique<'a>(labels: impl Iterator<Item = &'a Labels>) -> Result<(), EvalError> {
    let mut sorted: Vec<&Labels> = labels.collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(EvalError::SameLabels { labels: pair[0].to_string() }),
        None => Ok(()),
    }
}

/// Whether a label is the mark of elements that lose their metric's name in the end.
pub(crate) fn is_mark(name: &str) -> bool {
    name == DROPPED
}

/// Whether an element of these labels is to lose its metric's name in the end.
pub(crate) fn is_marked(labels: &Labels) -> bool {
    !labels.get(DROPPED).is_empty()
}

/// Labels of an element that is to lose its metric's name in the end.
pub(crate) fn marked(labels: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    builder.set(DROPPED, "1");
    builder.build()
}

/// The same of an element that is not, after all.
pub(crate) fn unmarked(labels: &Labels) -> Labels {
    if is_marked(labels) { labels.filter(|name| !is_mark(name)) } else { labels.clone() }
}

/// Labels as they are once the evaluation is over.
pub(crate) fn settled(labels: &Labels) -> Labels {
    if is_marked(labels) { labels.filter(|name| !is_mark(name) && !is_metadata(name)) } else { labels.clone() }
}

/// Drops the metrics' names from all elements, or marks that they are to be dropped.
pub(crate) fn lose_names(elements: &mut [Element], delayed: bool) -> Result<(), EvalError> {
    if !delayed {
        return drop_names(elements);
    }
    elements.iter_mut().for_each(|element| element.labels = marked(&element.labels));
    Ok(())
}

/// Drops the metrics' names from all elements.
pub(crate) fn drop_names(elements: &mut [Element]) -> Result<(), EvalError> {
    let mut dropped = false;
    for element in elements.iter_mut() {
        if let Some(labels) = without_metadata(&element.labels) {
            element.labels = labels;
            dropped = true;
        }
    }
    if dropped { check_unique(elements.iter().map(|e| &e.labels)) } else { Ok(()) }
}
