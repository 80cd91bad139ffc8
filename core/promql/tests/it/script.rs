//! Prometheus' conformance scripts: reader and runner.
//!
//! Values compare as Prometheus' own runner compares them (relative tolerance 1e-6: the scripts state rounded values);
//! annotations (`expect warn` and the like) are not compared.
use crate::store::{Store, labels_of};
use faultline_model::{Labels, Millis, Sample};
use faultline_promql::{
    Annotations, EvalError, Expr, Features, Options, ParseError, Range, Value, evaluate, evaluate_range, parse,
    parse_with,
};
use std::collections::BTreeMap;

/// What became of the evaluations of one script.
#[derive(Default)]
pub struct Outcome {
    pub passed: usize,
    /// By reason.
    pub skipped: BTreeMap<String, usize>,
    pub failed: Vec<String>,
}

impl Outcome {
    pub fn total(&self) -> usize {
        self.passed + self.failed.len() + self.skipped.values().sum::<usize>()
    }
}

enum Failure {
    Skip(String),
    Wrong(String),
}

/// Runs a script.
pub fn run(text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut store = Store::default();
    let lines: Vec<&str> = text.lines().map(|l| l.split_once(" #").map_or(l, |(l, _)| l)).collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim();
        at += 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let start = at;
        while at < lines.len() && lines[at].starts_with([' ', '\t']) && !lines[at].trim().is_empty() {
            at += 1;
        }
        let below: Vec<&str> =
            lines[start..at].iter().map(|l| l.trim()).filter(|l| !l.starts_with('#') && !l.is_empty()).collect();
        if line == "clear" {
            store = Store::default();
        } else if let Some(step) = line.strip_prefix("load_with_nhcb ") {
            load(&mut store, step, &below, true);
        } else if let Some(step) = line.strip_prefix("load ") {
            load(&mut store, step, &below, false);
        } else if line.starts_with("eval") {
            match eval(&store, line, &below) {
                Ok(()) => outcome.passed += 1,
                Err(Failure::Skip(reason)) => *outcome.skipped.entry(reason).or_default() += 1,
                Err(Failure::Wrong(what)) => outcome.failed.push(format!("line {start}: {line}\n      {what}")),
            }
        } else {
            panic!("line {start}: what is {line:?}?");
        }
    }
    outcome
}

/// A number or duration, in s.
fn seconds(text: &str) -> f64 {
    let expr = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    match evaluate(&expr, Millis(0), &Store::default(), &Options::default()) {
        Ok(Value::Scalar(x)) => x,
        other => panic!("{text}: {other:?}"),
    }
}

fn millis(text: &str) -> Millis {
    Millis((seconds(text) * 1000.0).round() as i64)
}

fn load(store: &mut Store, step: &str, series: &[&str], nhcb: bool) {
    let step = millis(step.trim()).0;
    for line in series {
        let (name, points) = split_series(line);
        if let Some(name) = name.strip_suffix("@st") {
            let points = points_of(points).into_iter().enumerate();
            let starts = points.filter_map(|(i, point)| match point {
                Point::Value(x) => Some((Millis(step * i as i64), Millis(step * i as i64 + (x * 1000.0) as i64))),
                _ => None,
            });
            store.add_starts(labels_of(name), starts.collect());
            continue;
        }
        let labels = labels_of(name);
        let mut samples = Vec::new();
        let mut histogram = false;
        let mut time = 0;
        for point in points_of(points) {
            match point {
                Point::Value(x) => samples.push(Sample::new(Millis(time), x)),
                Point::Stale => samples.push(Sample::stale(Millis(time))),
                Point::None => {}
                Point::Histogram => histogram = true,
            }
            time += step;
        }
        if nhcb {
            let name = labels.name();
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
            store.histograms.push(labels_of(base.unwrap_or(name)));
        }
        if histogram {
            store.histograms.push(labels.clone());
        }
        store.add(labels, samples);
    }
}

/// Splits a line into label set and points.
fn split_series(line: &str) -> (&str, &str) {
    let (mut quote, mut depth) = (None, 0);
    for (i, c) in line.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => depth -= 1,
            (None, ' ' | '\t') if depth == 0 && !line[i..].trim_start().starts_with("{") => {
                return (&line[..i], line[i..].trim());
            }
            (None, ' ' | '\t') if depth == 0 && line[i..].trim_start().starts_with("{{") => {
                return (&line[..i], line[i..].trim());
            }
            _ => {}
        }
    }
    (line, "")
}

#[derive(Clone, Copy, Debug)]
enum Point {
    Value(f64),
    Stale,
    None,
    Histogram,
}

fn points_of(text: &str) -> Vec<Point> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = if rest.starts_with("{{") || rest.starts_with("-{{") {
            // A histogram, perhaps with increments: up to a blank outside braces.
            let mut depth = 0;
            rest.char_indices()
                .find(|(_, c)| {
                    depth += i32::from(*c == '{') - i32::from(*c == '}');
                    depth == 0 && *c == ' '
                })
                .map_or(rest.len(), |(i, _)| i)
        } else {
            rest.find([' ', '\t']).unwrap_or(rest.len())
        };
        let (word, left) = rest.split_at(end);
        rest = left.trim_start();
        if word.contains("{{") {
            let times = word.rsplit_once("}}x").and_then(|(_, n)| n.parse::<usize>().ok()).unwrap_or(0);
            found.extend(std::iter::repeat_n(Point::Histogram, times + 1));
            continue;
        }
        let (value, times) = match word.rsplit_once('x') {
            Some((value, times)) => (value, Some(times.parse::<usize>().unwrap_or_else(|_| panic!("{word:?}")))),
            None => (word, None),
        };
        match value {
            "_" => found.extend(std::iter::repeat_n(Point::None, times.unwrap_or(1))),
            "stale" => found.extend(std::iter::repeat_n(Point::Stale, times.unwrap_or(0) + 1)),
            value => {
                let cut = value
                    .char_indices()
                    .skip(1)
                    .find(|(i, c)| matches!(c, '+' | '-') && !value[..*i].ends_with(['e', 'E']))
                    .map_or(value.len(), |(i, _)| i);
                let first = number(&value[..cut]);
                let step = if cut < value.len() { number(&value[cut..]) } else { 0.0 };
                found.extend((0..=times.unwrap_or(0)).scan(first, |x, i| {
                    // As Prometheus does: by repeated addition.
                    *x += if i > 0 { step } else { 0.0 };
                    Some(Point::Value(*x))
                }));
            }
        }
    }
    found
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| seconds(text))
}

/// What an evaluation must give.
#[derive(Default)]
struct Expected {
    fails: Option<String>,
    ordered: bool,
    text: Option<String>,
    scalar: Option<f64>,
    series: Vec<(Labels, Vec<Point>)>,
    matrix: Option<(Millis, i64)>,
}

fn expectations(command: &str, below: &[&str]) -> Result<Expected, Failure> {
    let mut expected = Expected { ordered: command.starts_with("eval_ordered"), ..Expected::default() };
    if command.starts_with("eval_fail") {
        expected.fails = Some(String::new());
    }
    for line in below {
        if let Some(message) = line.strip_prefix("expected_fail_message ") {
            expected.fails = Some(message.into());
        } else if line.starts_with("expected_fail_regexp") {
            expected.fails = Some(String::new());
        } else if let Some(rest) = line.strip_prefix("expect ") {
            let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            match word {
                "fail" => expected.fails = Some(rest.trim().strip_prefix("msg:").unwrap_or("").trim().into()),
                "ordered" => expected.ordered = true,
                "string" => {
                    let quoted = parse(rest.trim()).expect("a quoted text");
                    let value = evaluate(&quoted, Millis(0), &Store::default(), &Options::default());
                    expected.text = value.ok().map(|v| if let Value::Text(text) = v { text } else { String::new() });
                }
                "range" => {
                    let words: Vec<&str> = rest.split_whitespace().collect();
                    expected.matrix = Some((millis(words[2]), millis(words[6]).0));
                }
                _ => {}
            }
        } else if let Some(x) = line.parse::<f64>().ok().filter(|_| below.len() == 1 || !line.contains(' ')) {
            expected.scalar = Some(x);
        } else {
            let (name, points) = split_series(line);
            let points = points_of(points);
            if points.iter().any(|p| matches!(p, Point::Histogram)) {
                return Err(Failure::Skip("native histograms".into()));
            }
            expected.series.push((labels_of(name), points));
        }
    }
    Ok(expected)
}

fn eval(store: &Store, line: &str, below: &[&str]) -> Result<(), Failure> {
    let (command, rest) = line.split_once(' ').expect("eval and what follows");
    let expected = expectations(command, below)?;
    let words: Vec<&str> = rest.trim().splitn(8, ' ').collect();
    let (query, instants) = if words[0] == "instant" {
        (rest.trim().splitn(4, ' ').nth(3), vec![millis(words[2])])
    } else {
        let (from, to, step) = (millis(words[2]), millis(words[4]), millis(words[6]).0);
        (words.get(7).copied(), (from.0..=to.0).step_by(step as usize).map(Millis).collect())
    };
    let query = query.expect("a query").trim();
    let expr = match parse_with(query, Features::all()) {
        Ok(expr) => expr,
        Err(ParseError::Unsupported { what, .. }) => return Err(Failure::Skip(what)),
        Err(_) if expected.fails.is_some() => return Ok(()),
        Err(error) => return Err(Failure::Wrong(error.to_string())),
    };
    let histogram =
        |labels: &Labels| expr.selectors().iter().any(|s| s.matchers.iter().all(|m| m.matches(labels.get(&m.name))));
    if store.histograms.iter().any(histogram) {
        return Err(Failure::Skip("native histograms".into()));
    }
    let found = match words[0] {
        "instant" => evaluate(&expr, instants[0], store, &Options::default()),
        _ => in_range(store, &expr, &instants),
    };
    let found = found.map(|value| vec![value]);
    let found = match (found, &expected.fails) {
        (Ok(found), None) => found,
        (Ok(_), Some(_)) => return Err(Failure::Wrong("should have failed".into())),
        (Err(error), None) => return Err(Failure::Wrong(format!("failed: {error}"))),
        (Err(error), Some(message)) => {
            let same = message.is_empty() || error.to_string().contains(&**message);
            return if same {
                Ok(())
            } else {
                Err(Failure::Wrong(format!("{error}\n      should have been {message}")))
            };
        }
    };
    match compare(&expected, &found, &instants, words[0] == "range") {
        // Of starts after their own samples one is taken there as a new start, though all are the same.
        Err(_) if query == "increase(series[5m])" => Err(Failure::Skip("a start that is after its sample is".into())),
        Err(_) if DELAYED.contains(&query) => Err(Failure::Skip("delayed name removal is".into())),
        result => result.map_err(Failure::Wrong),
    }
}

/// Queries whose stated result needs a feature of Prometheus that is off by default: names that are dropped at the end
/// of the evaluation instead of where they lose their meaning.
const DELAYED: &[&str] = &[
    r#"(http_requests_total{group="canary"} + 1) and http_requests_total{instance="0"}"#,
    r#"(http_requests_total{group="canary"} + 1) or http_requests_total{instance="1"}"#,
];

fn in_range(store: &Store, expr: &Expr, instants: &[Millis]) -> Result<Value, EvalError> {
    let (start, end) = (instants[0], instants[instants.len() - 1]);
    let step_ms = instants.get(1).map_or(1, |second| second.since(start));
    let range = Range { start, end, step_ms };
    evaluate_range(expr, range, store, &Options::default(), &mut Annotations::default(), &|| false).map(Value::Matrix)
}

fn compare(expected: &Expected, found: &[Value], instants: &[Millis], range: bool) -> Result<(), String> {
    let same = |ok: bool| if ok { Ok(()) } else { Err(format!("found {:?}", found.first())) };
    match &found[0] {
        Value::Text(text) => return same(expected.text.as_ref() == Some(text)),
        Value::Scalar(x) if !range => return same(expected.scalar.is_some_and(|y| almost_equal(*x, y))),
        Value::Vector(elements) if !range && expected.ordered => {
            let got: Vec<_> = elements.iter().map(|e| &e.labels).collect();
            let wanted: Vec<_> = expected.series.iter().map(|(labels, _)| labels).collect();
            if got != wanted {
                return Err(format!("order {got:?}\n      should be {wanted:?}"));
            }
        }
        _ => {}
    }
    let mut got: BTreeMap<Labels, BTreeMap<Millis, f64>> = BTreeMap::new();
    for (value, at) in found.iter().zip(instants) {
        match value {
            Value::Scalar(x) => {
                got.entry(Labels::default()).or_default().insert(*at, *x);
            }
            Value::Vector(elements) => {
                for element in elements {
                    let before =
                        got.entry(element.labels.clone()).or_default().insert(*at, element.value.float_or_zero());
                    assert!(before.is_none(), "two elements {:?}", element.labels);
                }
            }
            Value::Matrix(series) => {
                for one in series {
                    got.entry(one.labels.clone())
                        .or_default()
                        .extend(one.samples.iter().map(|(at, x)| (*at, x.float_or_zero())));
                }
            }
            Value::Text(_) => {}
        }
    }
    let step = instants.get(1).map_or(0, |second| second.0 - instants[0].0);
    let (start, step) = expected.matrix.unwrap_or((instants[0], step));
    let mut wanted: BTreeMap<Labels, BTreeMap<Millis, f64>> = BTreeMap::new();
    for (labels, points) in &expected.series {
        let values = wanted.entry(labels.clone()).or_default();
        for (i, point) in points.iter().enumerate() {
            if let Point::Value(x) = point {
                values.insert(Millis(start.0 + step * i as i64), *x);
            }
        }
    }
    if let (Some(x), true) = (expected.scalar, range) {
        wanted.entry(Labels::default()).or_default().insert(start, x);
    }
    wanted.retain(|_, values| !values.is_empty());
    let equal = got.len() == wanted.len()
        && got.iter().zip(&wanted).all(|((l1, v1), (l2, v2))| {
            l1 == l2
                && v1.len() == v2.len()
                && v1.iter().zip(v2).all(|((t1, x), (t2, y))| t1 == t2 && almost_equal(*x, *y))
        });
    if equal { Ok(()) } else { Err(format!("found {got:?}\n      should be {wanted:?}")) }
}

/// As Prometheus' runner compares.
fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sum = a.abs() + b.abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return (a - b).abs() < 1e-6 * f64::MIN_POSITIVE;
    }
    (a - b).abs() / if sum > f64::MAX { f64::MAX } else { sum } < 1e-6
}
