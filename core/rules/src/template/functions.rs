//! The functions that a template may call: those of Go's `text/template` and those of Prometheus.
use super::value::{Sample, Value, bounded, four_digits, samples, time};
use super::{Context, printf, quote, url};
use crate::duration;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;
use faultline_model::float;
use regex::{Regex, RegexBuilder};

/// What a parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `interface {}`.
    Any,
    /// Go's `reflect.Value`: anything, absent values included.
    Reflected,
    Text,
    Samples,
    Sample,
}

/// Parameters of a function: the fixed ones, and the kind of any number of further ones.
pub(super) struct Signature {
    pub name: &'static str,
    pub fixed: &'static [Kind],
    pub more: Option<Kind>,
}

const fn of(name: &'static str, fixed: &'static [Kind], more: Option<Kind>) -> Signature {
    Signature { name, fixed, more }
}

use Kind::{Any, Reflected, Text};

/// In name order. `call` and `js` of Go are known and refused at the call: no alert has a use for them.
static SIGNATURES: &[Signature] = &[
    of("and", &[Reflected], Some(Reflected)),
    of("args", &[], Some(Any)),
    of("call", &[Reflected], Some(Reflected)),
    of("eq", &[Reflected], Some(Reflected)),
    of("externalURL", &[], None),
    of("first", &[Kind::Samples], None),
    of("ge", &[Reflected, Reflected], None),
    of("graphLink", &[Text], None),
    of("gt", &[Reflected, Reflected], None),
    of("html", &[], Some(Any)),
    of("humanize", &[Any], None),
    of("humanize1024", &[Any], None),
    of("humanizeDuration", &[Any], None),
    of("humanizePercentage", &[Any], None),
    of("humanizeTimestamp", &[Any], None),
    of("index", &[Reflected], Some(Reflected)),
    of("js", &[], Some(Any)),
    of("label", &[Text, Kind::Sample], None),
    of("le", &[Reflected, Reflected], None),
    of("len", &[Reflected], None),
    of("lt", &[Reflected, Reflected], None),
    of("match", &[Text, Text], None),
    of("ne", &[Reflected, Reflected], None),
    of("not", &[Reflected], None),
    of("now", &[], None),
    of("or", &[Reflected], Some(Reflected)),
    of("parseDuration", &[Text], None),
    of("pathPrefix", &[], None),
    of("print", &[], Some(Any)),
    of("printf", &[Text], Some(Any)),
    of("println", &[], Some(Any)),
    of("query", &[Text], None),
    of("reReplaceAll", &[Text, Text, Text], None),
    of("safeHtml", &[Text], None),
    of("slice", &[Reflected], Some(Reflected)),
    of("sortByLabel", &[Text, Kind::Samples], None),
    of("stripDomain", &[Text], None),
    of("stripPort", &[Text], None),
    of("strvalue", &[Kind::Sample], None),
    of("tableLink", &[Text], None),
    of("title", &[Text], None),
    of("toDuration", &[Any], None),
    of("toLower", &[Text], None),
    of("toTime", &[Any], None),
    of("toUpper", &[Text], None),
    of("urlQueryEscape", &[Text], None),
    of("urlquery", &[], Some(Any)),
    of("value", &[Kind::Sample], None),
];

/// The function of a name.
pub(super) fn signature(name: &str) -> Option<&'static Signature> {
    SIGNATURES.binary_search_by(|s| s.name.cmp(name)).ok().map(|i| &SIGNATURES[i])
}

/// Whether a word is a function.
pub(super) fn is_function(name: &str) -> bool {
    signature(name).is_some()
}

/// Deepest nesting of `args` in `args`: printing and dropping such a value recurse.
const ARGS_DEPTH_MAX: u32 = 8;

/// Calls a function whose arguments have been checked against its signature. `and` and `or` are the caller's.
pub(super) fn call(name: &str, args: &[Value], context: &mut Context<'_>) -> Result<Value, String> {
    let text = |i: usize| match &args[i] {
        Value::Text(text) => &**text,
        other => unreachable!("{name} was given a {} for a string", other.type_name()),
    };
    let list = |i: usize| match &args[i] {
        Value::Samples(samples) => samples.clone(),
        _ => Rc::from([]), // A nil slice.
    };
    let made = |text: String| bounded(&text).map(|()| Value::text(&text));
    match name {
        "args" => arguments(args),
        "eq" => equal_any(args).map(Value::Bool),
        "ne" => equal_any(args).map(|equal| Value::Bool(!equal)),
        "lt" => less(&args[0], &args[1]).map(Value::Bool),
        "le" => less_or_equal(args).map(Value::Bool),
        "gt" => less_or_equal(args).map(|x| Value::Bool(!x)),
        "ge" => less(&args[0], &args[1]).map(|x| Value::Bool(!x)),
        "not" => Ok(Value::Bool(!args[0].truth())),
        "len" => length(&args[0]),
        "index" => index(args),
        "slice" => slice(args),
        "print" => print(args).and_then(made),
        "println" => println(args).and_then(made),
        "printf" => printf::printf(text(0), &args[1..]).and_then(made),
        "html" => print(args).and_then(|text| made(url::escape_html(&text))),
        "urlquery" => print(args).and_then(|text| made(url::escape_query(&text))),
        "query" => (context.query)(text(0)).map(samples),
        "first" => match list(0).first() {
            Some(sample) => Ok(Value::Sample(Rc::new(sample.clone()))),
            None => Err("first() called on vector with no elements".into()),
        },
        "label" => sample(&args[1]).map(|s| Value::text(s.labels.get(text(0)))),
        "value" => sample(&args[0]).map(|s| Value::Float(s.value)),
        "strvalue" => sample(&args[0]).map(|s| Value::text(s.labels.get("__value__"))),
        "sortByLabel" => {
            let mut sorted: Vec<Sample> = list(1).to_vec();
            sorted.sort_by(|a, b| a.labels.get(text(0)).cmp(b.labels.get(text(0))));
            Ok(Value::Samples(sorted.into()))
        }
        "reReplaceAll" => {
            let regex = regex(text(0)).map_err(|e| format!("regexp: Compile({}): {e}", quote(text(0))))?;
            replace_all(&regex, text(1), text(2)).and_then(made)
        }
        "match" => regex(text(0)).map(|regex| Value::Bool(regex.is_match(text(1)))),
        "safeHtml" => Ok(Value::Html(text(0).into())),
        "title" => made(title(text(0))),
        "toUpper" => made(map_chars(text(0), char::to_uppercase)),
        "toLower" => made(map_chars(text(0), char::to_lowercase)),
        "graphLink" => made(format!("/graph?g0.expr={}&g0.tab=0", url::escape_query(text(0)))),
        "tableLink" => made(format!("/graph?g0.expr={}&g0.tab=1", url::escape_query(text(0)))),
        "urlQueryEscape" => made(url::escape_query(text(0))),
        "stripPort" => made(url::strip_port(text(0)).to_owned()),
        "stripDomain" => made(url::strip_domain(text(0))),
        "externalURL" => Ok(Value::text(context.external_url)),
        "pathPrefix" => Ok(Value::text(url::path(context.external_url))),
        "now" => Ok(Value::Float(context.at.0 as f64 / 1000.0)),
        "parseDuration" => duration::parse_signed_ns(text(0)).map(|ns| Value::Float(ns as f64 / 1e9)),
        "toTime" => args[0].to_float().and_then(nanoseconds).map(Value::Time),
        "toDuration" => args[0].to_float().map(|seconds| Value::Duration((seconds * 1e9) as i64)),
        "humanize" => args[0].to_float().map(humanize).and_then(made),
        "humanize1024" => args[0].to_float().map(humanize_1024).and_then(made),
        "humanizeDuration" => args[0].to_float().map(humanize_duration).and_then(made),
        "humanizePercentage" => args[0].to_float().map(|v| format!("{}%", four_digits(v * 100.0))).and_then(made),
        "humanizeTimestamp" => match args[0].to_float()? {
            v if !v.is_finite() => made(four_digits(v)),
            v => nanoseconds(v).map(time).and_then(made),
        },
        _ => Err("not supported in alert templates".into()),
    }
}

fn arguments(args: &[Value]) -> Result<Value, String> {
    let depth = 1 + args.iter().map(|v| if let Value::Map(_, depth) = v { *depth } else { 0 }).fold(0, Ord::max);
    if depth > ARGS_DEPTH_MAX {
        return Err(format!("args nested more than {ARGS_DEPTH_MAX} deep"));
    }
    let map: BTreeMap<String, Value> = args.iter().enumerate().map(|(i, v)| (format!("arg{i}"), v.clone())).collect();
    Ok(Value::Map(Rc::new(map), depth))
}

fn sample(value: &Value) -> Result<&Sample, String> {
    match value {
        Value::Sample(sample) => Ok(sample),
        _ => Err("runtime error: invalid memory address or nil pointer dereference".into()),
    }
}

// ---- comparison, as in Go's text/template/funcs.go

fn basic(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Html(_))
}

fn equal_any(args: &[Value]) -> Result<bool, String> {
    let [first, rest @ ..] = args else { return Err("missing argument for comparison".into()) };
    if rest.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in rest {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a) | Value::Html(a), Value::Text(b) | Value::Html(b)) => Ok(a == b),
        (Value::Nothing, Value::Nothing) => Ok(true),
        (Value::Nothing, _) | (_, Value::Nothing) => Ok(false),
        (a, b) if basic(a) || basic(b) => {
            Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
        }
        (_, b) => {
            let mut shown = String::new();
            b.print(&mut shown)?;
            Err(format!("non-comparable type {shown}: {}", b.type_name()))
        }
    }
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a < b),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Text(a) | Value::Html(a), Value::Text(b) | Value::Html(b)) => Ok(a < b),
        (a, b) if basic(a) && basic(b) && (a.type_name() != b.type_name()) => {
            Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
        }
        _ => Err("invalid type for comparison".into()),
    }
}

fn less_or_equal(args: &[Value]) -> Result<bool, String> {
    Ok(less(&args[0], &args[1])? || equal(&args[0], &args[1])?)
}

// ---- collections

fn length(value: &Value) -> Result<Value, String> {
    let count = match value {
        Value::Text(text) | Value::Html(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Map(map, _) => map.len(),
        Value::Samples(samples) => samples.len(),
        Value::Nothing => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        other => return Err(format!("len of type {}", other.type_name().trim_start_matches('*'))),
    };
    Ok(Value::Int(count as i64))
}

/// An index into something of `count` items; one past the end where `inclusive`.
fn position(value: &Value, count: usize, inclusive: bool) -> Result<usize, String> {
    let at = match value {
        Value::Int(at) => *at,
        Value::Nothing => return Err("cannot index slice/array with nil".into()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    match usize::try_from(at) {
        Ok(at) if at < count || (inclusive && at == count) => Ok(at),
        _ => Err(format!("index out of range: {at}")),
    }
}

fn index(args: &[Value]) -> Result<Value, String> {
    let mut item = args[0].clone();
    if item == Value::Nothing {
        return Err("index of untyped nil".into());
    }
    for key in &args[1..] {
        item = match (&item, key) {
            (Value::Labels(labels), Value::Text(name)) => Value::text(labels.get(name)),
            (Value::Map(map, _), Value::Text(name)) => map.get(&**name).cloned().unwrap_or(Value::Nothing),
            (Value::Labels(_) | Value::Map(..), Value::Nothing) => {
                return Err("value is nil; should be of type string".into());
            }
            (Value::Labels(_) | Value::Map(..), other) => {
                return Err(format!("value has type {}; should be string", other.type_name()));
            }
            (Value::Samples(samples), key) => {
                Value::Sample(Rc::new(samples[position(key, samples.len(), false)?].clone()))
            }
            (Value::Text(text), key) => Value::Int(i64::from(text.as_bytes()[position(key, text.len(), false)?])),
            (Value::Nothing, _) => return Err("index of nil pointer".into()),
            (other, _) => {
                return Err(format!("can't index item of type {}", other.type_name().trim_start_matches('*')));
            }
        };
    }
    Ok(item)
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let count = match &args[0] {
        Value::Text(text) => text.len(),
        Value::Samples(samples) => samples.len(),
        Value::Nothing => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.type_name().trim_start_matches('*'))),
    };
    if args.len() > 3 {
        return Err(format!("too many slice indexes: {}", args.len() - 1));
    }
    let from = args.get(1).map_or(Ok(0), |v| position(v, count, true))?;
    let to = args.get(2).map_or(Ok(count), |v| position(v, count, true))?;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match &args[0] {
        // Go slices bytes; a cut inside a character leaves half of it, which no text of ours may hold.
        Value::Text(text) => Ok(Value::text(&String::from_utf8_lossy(&text.as_bytes()[from..to]))),
        Value::Samples(samples) => Ok(Value::Samples(samples[from..to].into())),
        _ => unreachable!("refused above"),
    }
}

// ---- text

/// Go's `fmt.Sprint`: a blank between two values neither of which is a text.
fn print(args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut after_text = true;
    for (i, value) in args.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_) | Value::Html(_));
        if i > 0 && !is_text && !after_text {
            out.push(' ');
        }
        value.print(&mut out)?;
        after_text = is_text;
    }
    Ok(out)
}

fn println(args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    for (i, value) in args.iter().enumerate() {
        out.push_str(if i > 0 { " " } else { "" });
        value.print(&mut out)?;
    }
    out.push('\n');
    Ok(out)
}

fn regex(pattern: &str) -> Result<Regex, String> {
    // The pattern comes from a label as easily as from the file: bound what it may cost.
    let built = RegexBuilder::new(pattern).size_limit(1 << 20).dfa_size_limit(1 << 20).nest_limit(100).build();
    built.map_err(|_| format!("error parsing regexp: `{pattern}`"))
}

fn replace_all(regex: &Regex, with: &str, text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut last = 0;
    for captures in regex.captures_iter(text) {
        let whole = captures.get(0).expect("group 0 is the whole match");
        out.push_str(&text[last..whole.start()]);
        captures.expand(with, &mut out);
        last = whole.end();
        bounded(&out)?;
    }
    out.push_str(&text[last..]);
    Ok(out)
}

/// Maps each character that maps to one character, as Go's `strings.ToUpper` and `ToLower` do: no `SS` for a sharp s.
fn map_chars<I: Iterator<Item = char>>(text: &str, map: fn(char) -> I) -> String {
    let one = |c: char| {
        let mut mapped = map(c);
        match (mapped.next(), mapped.next()) {
            (Some(single), None) => single,
            _ => c,
        }
    };
    text.chars().map(one).collect()
}

/// Upper-cases the first letter of each word. Source: `cases.Title` of golang.org/x/text with `NoLower`; words by the
/// common case of Unicode TR29: an apostrophe, a full stop or a colon between two letters does not end one.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut within, mut joins, mut titled) = (false, false, false);
    for c in text.chars() {
        let word = c.is_alphanumeric() || c == '_';
        titled &= within || joins;
        if c.is_alphabetic() && !titled {
            out.extend(c.to_uppercase());
            titled = true;
        } else {
            out.push(c);
        }
        joins = within && matches!(c, '\'' | '.' | ':' | '\u{2019}' | '\u{b7}');
        within = word;
    }
    out
}

// ---- numbers, as in prometheus/template/template.go and prometheus/common/helpers/templates

fn scaled(value: f64, over: &[&str], under: &[&str], step: f64) -> (f64, String) {
    let (mut v, mut prefix) = (value, "");
    if float::abs(v) >= 1.0 {
        for p in over {
            if float::abs(v) < step {
                break;
            }
            prefix = p;
            v /= step;
        }
    } else {
        for p in under {
            if float::abs(v) >= 1.0 {
                break;
            }
            prefix = p;
            v *= step;
        }
    }
    (v, prefix.to_string())
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return four_digits(v);
    }
    let (v, prefix) = scaled(v, &["k", "M", "G", "T", "P", "E", "Z", "Y"], &SMALL, 1000.0);
    format!("{}{prefix}", four_digits(v))
}

fn humanize_1024(v: f64) -> String {
    if float::abs(v) <= 1.0 || !v.is_finite() {
        return four_digits(v);
    }
    let (v, prefix) = scaled(v, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"], &[], 1024.0);
    format!("{}{prefix}", four_digits(v))
}

fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return four_digits(v);
    }
    if v == 0.0 {
        return format!("{}s", four_digits(v));
    }
    if float::abs(v) < 1.0 {
        let (v, prefix) = scaled(v, &[], &SMALL, 1000.0);
        return format!("{}{prefix}s", four_digits(v));
    }
    let (sign, v) = if v < 0.0 { ("-", -v) } else { ("", v) };
    let whole = v as i64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four_digits(v)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// Seconds since 1970 as nanoseconds, whole milliseconds of them, as Prometheus' `model.Time` holds them.
fn nanoseconds(v: f64) -> Result<i64, String> {
    if !v.is_finite() {
        return Err("value is NaN or Inf".into());
    }
    let ns = v * 1e9;
    // 2^63 itself does not fit, but Go's comparison is with the float that MaxInt64 rounds to.
    if matches!(float::order(float::abs(ns), 9_223_372_036_854_775_807.0), Ordering::Greater) {
        let shown = super::number::shortest(v);
        return Err(format!("{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"));
    }
    Ok((ns as i64) / 1_000_000 * 1_000_000)
}
