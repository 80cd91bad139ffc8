//! What is probably not meant by numbers and names, in Prometheus' words.
use crate::Annotations;
use crate::expr::Span;
use crate::function::Func;
use crate::syntax::format_number;
use alloc::format;
use alloc::string::String;
use faultline_model::float;

/// A number as Go's `%g` prints it.
fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() || (1e-4..1e21).contains(&float::abs(x)) && float::abs(x) < 1e6 {
        return format_number(x);
    }
    let text = format!("{x:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A quantile that is none.
pub(super) fn quantile(notes: &mut Annotations, q: f64, at: Span) {
    if !(0.0..=1.0).contains(&q) {
        notes.warn(format!("quantile value should be between 0 and 1, got {}", short(q)), at);
    }
}

/// A ratio that is none.
pub(super) fn ratio(notes: &mut Annotations, ratio: f64, at: Span) {
    if float::abs(ratio) > 1.0 {
        let to = if ratio > 0.0 { 1 } else { -1 };
        let text = format!("ratio value should be between -1 and 1, got {}, capping to {to}", short(ratio));
        notes.warn(text, at);
    }
}

/// A rate of what is not named like a counter.
pub(super) fn counter(notes: &mut Annotations, func: Func, metric: &str, at: Span) {
    // Asked of each series: what most evaluations answer comes first.
    if !notes.listens() || !matches!(func, Func::Rate | Func::Increase) {
        return;
    }
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

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn numbers_are_printed_as_in_go() {
        for (x, expected) in [
            (1.1, "1.1"),
            (-1.0, "-1"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (1.5e-7, "1.5e-07"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(short(x), expected);
        }
    }
}
