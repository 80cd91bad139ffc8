//! OTLP names in Prometheus' alphabet, as Prometheus 3 writes them by default (`UnderscoreEscapingWithSuffixes`).
//!
//! Source: prometheus/otlptranslator v1.0.0 as Prometheus 3.15 calls it, with `label_name_underscore_sanitization` and
//! `label_name_preserve_multiple_underscores` on (their defaults). `tests/it/naming.txt` holds that code's own answers.
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// Kinds of metric, as far as names depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MetricKind {
    /// Unit `1` becomes `ratio`.
    Gauge = 0,
    /// Ends in `_total`.
    Counter = 1,
    /// A sum that may fall.
    Sum = 2,
    /// Explicit buckets.
    Histogram = 3,
    /// Quantiles.
    Summary = 4,
    /// Exponential buckets.
    Exponential = 5,
}

/// The metric's name in Prometheus; `None` where nothing of it is left.
pub fn metric(name: &str, unit: &str, kind: MetricKind) -> Option<String> {
    let mut tokens: Vec<&str> = name.split(|c: char| !metric_char(c)).filter(|token| !token.is_empty()).collect();
    let (main, per) = unit_suffixes(unit);
    let (mut main, mut per) = (clean_unit(&main), clean_unit(&per));
    if tokens.contains(&&*main) {
        main.clear();
    }
    if per == "per_" {
        per.clear();
    } else {
        trim_underscore(&mut per);
        if tokens.contains(&&*per) {
            per.clear();
        }
    }
    if !per.is_empty() {
        trim_underscore(&mut main);
    }
    tokens.extend([&*main, &*per].into_iter().filter(|suffix| !suffix.is_empty()));
    if kind == MetricKind::Counter {
        move_to_end(&mut tokens, "total");
    }
    if kind == MetricKind::Gauge && unit == "1" {
        move_to_end(&mut tokens, "ratio");
    }
    let mut out = String::new();
    for (i, token) in tokens.iter().enumerate() {
        if i > 0 {
            out.push('_');
        }
        out.push_str(token);
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out.contains(|c| c != '_').then_some(out)
}

/// A unit in Prometheus' words, as metadata tells it: empty where there is nothing to tell.
///
/// Source: `UnitNamer.Build` of prometheus/otlptranslator v1.0.0.
pub fn unit(unit: &str) -> String {
    let (main, per) = unit_suffixes(unit);
    // What is said per is `per_` and the unit, and `per_` alone where it is not said; there it is nothing.
    let [main, per] = [main, per].map(|half| clean_unit(&half));
    let mut out = match (&*main, &*per) {
        ("", "") => String::new(),
        (_, "") => main,
        ("", _) => per,
        (main, per) => [main, "_", per].concat(),
    };
    trim_underscore(&mut out);
    out
}

/// The label's name in Prometheus; `None` where nothing of it is left. Borrowed where it is already one.
pub fn label(name: &str) -> Option<Cow<'_, str>> {
    let first = *name.as_bytes().first()?;
    if first.is_ascii_alphabetic() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Some(Cow::Borrowed(name));
    }
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if first.is_ascii_digit() {
        out.insert_str(0, "key_");
    } else if out.starts_with('_') && !out.starts_with("__") {
        out.insert_str(0, "key");
    }
    out.contains(|c| c != '_').then_some(Cow::Owned(out))
}

/// Whether [`label`] gives a name. Bytes that are not UTF-8 get no better answer than their ASCII half.
#[inline(always)]
pub(crate) fn label_works(name: &[u8]) -> bool {
    match name {
        [] => false,
        [first, ..] if first.is_ascii_alphanumeric() => true,
        // A single underscore in front gets `key` before it; only underscores, two or more, are no name.
        _ => label(crate::any::str(name)).is_some(),
    }
}

fn metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn move_to_end<'a>(tokens: &mut Vec<&'a str>, word: &'a str) {
    tokens.retain(|token| *token != word);
    tokens.push(word);
}

fn trim_underscore(text: &mut String) {
    if text.ends_with('_') {
        text.pop();
    }
}

/// Main and per halves of a UCUM unit, in words: `By/s` is `bytes` and `per_second`.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (main.trim(), per.trim());
    let known = |half: &str| !half.is_empty() && !half.contains(['{', '}']);
    let main = if known(main) { main_unit(main).into() } else { String::new() };
    let mut out = String::new();
    if known(per) {
        out.push_str("per_");
        out.push_str(per_unit(per));
    }
    (main, out)
}

/// Every character that a name cannot hold as an underscore, runs of them as one, none in front.
fn clean_unit(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if metric_char(c) { c } else { '_' };
        if c != '_' || !(out.is_empty() || out.ends_with('_')) {
            out.push(c);
        }
    }
    out
}

fn main_unit(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        // Not a slip of ours: Prometheus says it so.
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

fn per_unit(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}
