//! Dropping metric names, and what may not happen when they are gone.
use crate::{Element, EvalError};
use alloc::string::ToString;
use alloc::vec::Vec;
use faultline_model::Labels;
use faultline_model::labels::NAME;

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
