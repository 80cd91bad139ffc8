//! What is probably not meant by numbers and names, in Prometheus' words.
use super::leaf::Read;
use crate::Annotations;
use crate::expr::Span;
use crate::function::Func;
use alloc::format;
use faultline_model::{Number, float};

/// A quantile that is none.
pub(super) fn quantile(notes: &mut Annotations, q: f64, at: Span) {
    if !(0.0..=1.0).contains(&q) {
        notes.warn(format!("quantile value should be between 0 and 1, got {}", float::general(q)), at);
    }
}

/// A ratio that is none.
pub(super) fn ratio(notes: &mut Annotations, ratio: f64, at: Span) {
    if float::abs(ratio) > 1.0 {
        let to = if ratio > 0.0 { 1 } else { -1 };
        let text = format!("ratio value should be between -1 and 1, got {}, capping to {to}", float::general(ratio));
        notes.warn(text, at);
    }
}

/// What there is to say of what a function of a stretch gave.
///
/// - `is_float`: whether it gave a number.
pub(super) fn read(notes: &mut Annotations, read: Read, is_float: bool, metric: &str, at: Span) {
    // Asked of each series: what most evaluations answer comes first.
    let Read::Stretch(range) = read else { return };
    if !notes.listens() || !is_float {
        return;
    }
    match range.func {
        Func::Rate | Func::Increase => counter(notes, metric, at),
        Func::QuantileOverTime => quantile(notes, range.parameters[0], at),
        _ => {}
    }
}

/// A rate, of floats, of what is not named like a counter.
fn counter(notes: &mut Annotations, metric: &str, at: Span) {
    let named = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| metric.ends_with(suffix));
    if !named && !metric.is_empty() {
        let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        notes.info(format!("{text} {metric:?}"), at);
    }
}

/// Sorting where the order is by labels whatever is asked for.
pub(super) fn sorting(notes: &mut Annotations, func: Func, at: Span) {
    if matches!(func, Func::Sort | Func::SortDesc | Func::SortByLabel | Func::SortByLabelDesc) {
        notes.warn("sort is ineffective for range queries since results are always ordered by labels", at);
    }
}

/// Whether a value is a number, not a histogram or nothing.
pub(super) fn is_float(value: &Option<Number>) -> bool {
    matches!(value, Some(Number::Float(_)))
}
