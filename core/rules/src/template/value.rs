//! Values that a template computes with, and how Go prints them.
use super::number::{exact, shortest};
use super::{TEXT_MAX, quote};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::time::civil_from_days;
use faultline_model::{Histogram, Labels, Number, float};

/// One element of a query's result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub labels: Labels,
    pub value: f64,
}

/// What the alert hands to its templates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Data {
    pub labels: Labels,
    pub external_labels: Labels,
    pub external_url: String,
    pub value: Number,
}

/// A value. What is Go's in name (`int` against `float64`) matters: comparisons and `printf` tell them apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Go's absent value: a missing key, nil.
    Nothing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// Of `safeHtml`: prints as text, is not a `string` to functions.
    Html(Rc<str>),
    Labels(Labels),
    /// Of `args`, with its depth.
    Map(Rc<BTreeMap<String, Value>>, u32),
    Samples(Rc<[Sample]>),
    Sample(Rc<Sample>),
    /// Nanoseconds since 1970.
    Time(i64),
    /// Nanoseconds.
    Duration(i64),
    Data(Rc<Data>),
    /// Go's `*histogram.FloatHistogram`.
    Histogram(Arc<Histogram>),
}

impl Value {
    pub fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    /// The name of Go's type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nothing => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Html(_) => "template.HTML",
            Value::Labels(_) => "map[string]string",
            Value::Map(..) => "map[string]interface {}",
            Value::Samples(_) => "template.queryResult",
            Value::Sample(_) => "*template.sample",
            Value::Time(_) => "*time.Time",
            Value::Duration(_) => "*time.Duration",
            Value::Data(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
            }
            Value::Histogram(_) => "*histogram.FloatHistogram",
        }
    }

    /// What `if` makes of it.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nothing => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) | Value::Html(text) => !text.is_empty(),
            Value::Labels(labels) => !labels.is_empty(),
            Value::Map(map, _) => !map.is_empty(),
            Value::Samples(samples) => !samples.is_empty(),
            Value::Sample(_) | Value::Time(_) | Value::Duration(_) | Value::Data(_) | Value::Histogram(_) => true,
        }
    }

    /// Appends the value as `%v` prints it; fails once `out` is too long.
    pub fn print(&self, out: &mut String) -> Result<(), String> {
        match self {
            Value::Nothing => out.push_str("<nil>"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Float(value) => out.push_str(&shortest(*value)),
            Value::Text(text) | Value::Html(text) => out.push_str(text),
            Value::Labels(labels) => print_labels(labels, out),
            Value::Map(map, _) => {
                out.push_str("map[");
                for (i, (key, value)) in map.iter().enumerate() {
                    out.push_str(if i > 0 { " " } else { "" });
                    out.push_str(key);
                    out.push(':');
                    value.print(out)?;
                }
                out.push(']');
            }
            // Go prints the addresses of the samples here; the samples themselves are the same on every run.
            Value::Samples(samples) => {
                out.push('[');
                for (i, sample) in samples.iter().enumerate() {
                    out.push_str(if i > 0 { " " } else { "" });
                    print_sample(sample, out);
                    bounded(out)?;
                }
                out.push(']');
            }
            Value::Sample(sample) => print_sample(sample, out),
            Value::Time(ns) => out.push_str(&time(*ns)),
            Value::Duration(ns) => out.push_str(&duration(*ns)),
            Value::Data(data) => {
                out.push('{');
                print_labels(&data.labels, out);
                out.push(' ');
                print_labels(&data.external_labels, out);
                out.push_str(&format!(" {} {}}}", data.external_url, number(&data.value)));
            }
            Value::Histogram(histogram) => out.push_str(&histogram.to_string()),
        }
        bounded(out)
    }

    /// The number that the `humanize` functions see. Source: `ConvertToFloat` of prometheus/common v0.71.
    pub fn to_float(&self) -> Result<f64, String> {
        match self {
            Value::Float(value) => Ok(*value),
            Value::Int(value) => Ok(*value as f64),
            Value::Text(text) => parse_float(text),
            other => Err(format!("can't convert {} to float", other.type_name())),
        }
    }
}

/// Fails once a text is longer than a template may make.
pub(super) fn bounded(text: &str) -> Result<(), String> {
    if text.len() > TEXT_MAX { Err(format!("text longer than {TEXT_MAX} bytes")) } else { Ok(()) }
}

fn print_labels(labels: &Labels, out: &mut String) {
    out.push_str("map[");
    for (i, (name, value)) in labels.iter().enumerate() {
        out.push_str(if i > 0 { " " } else { "" });
        out.push_str(name);
        out.push(':');
        out.push_str(value);
    }
    out.push(']');
}

fn number(value: &Number) -> String {
    match value {
        Number::Float(x) => shortest(*x),
        Number::Histogram(histogram) => histogram.to_string(),
    }
}

fn print_sample(sample: &Sample, out: &mut String) {
    out.push('{');
    print_labels(&sample.labels, out);
    out.push(' ');
    out.push_str(&shortest(sample.value));
    out.push('}');
}

/// Go's `strconv.ParseFloat`, for decimal numbers, infinities and NaN.
fn parse_float(text: &str) -> Result<f64, String> {
    let failed = |why: &str| Err(format!("strconv.ParseFloat: parsing {}: {why}", quote(text)));
    let (sign, body) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match body.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => return Ok(sign * f64::INFINITY),
        "nan" if body.len() == text.len() => return Ok(float::NAN),
        _ => {}
    }
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return failed("invalid syntax");
    }
    match body.parse::<f64>() {
        Ok(value) if value.is_infinite() => failed("value out of range"),
        Ok(value) => Ok(sign * value),
        Err(_) => failed("invalid syntax"),
    }
}

/// A time in UTC as Go prints it, `2015-06-23 13:19:44.128 +0000 UTC`.
pub(super) fn time(ns: i64) -> String {
    let (days, in_day) = (ns.div_euclid(86_400_000_000_000), ns.rem_euclid(86_400_000_000_000));
    let (year, month, day) = civil_from_days(days);
    let seconds = in_day / 1_000_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    let fraction = in_day % 1_000_000_000;
    if fraction > 0 {
        text.push('.');
        text.push_str(format!("{fraction:09}").trim_end_matches('0'));
    }
    text.push_str(" +0000 UTC");
    text
}

/// A duration as Go prints it, `1h2m3.5s`.
fn duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let fraction = |unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", ns / unit, ns % unit);
        format!("{sign}{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match ns {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{ns}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let (hours, minutes) = (ns / 3_600_000_000_000, ns / 60_000_000_000 % 60);
            let seconds = format!("{}.{:09}", ns / 1_000_000_000 % 60, ns % 1_000_000_000);
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Four significant digits, as the `humanize` functions print (`%.4g`).
pub(super) fn four_digits(value: f64) -> String {
    exact(value, 'g', Some(4))
}

/// The elements as samples of a template.
pub(super) fn samples(elements: impl IntoIterator<Item = (Labels, f64)>) -> Value {
    Value::Samples(elements.into_iter().map(|(labels, value)| Sample { labels, value }).collect::<Vec<_>>().into())
}
