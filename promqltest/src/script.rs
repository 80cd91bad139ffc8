//! Prometheus' conformance scripts: reader and runner.
//!
//! Values compare as Prometheus' own runner compares them (relative tolerance 1e-6: the scripts state rounded values), and so do
//! annotations (`expect warn` and the like).
use crate::store::Store;
use faultline_model::histogram::{Buckets, CUSTOM_SCHEMA};
use faultline_model::{Histogram, HistogramSample, Labels, Millis, Number, Sample};
use faultline_promql::notation::{self, Entry};
use faultline_promql::{
    Annotations, EvalError, Expr, Feature, Features, Level, Options, ParseError, Range, Value, evaluate,
    evaluate_annotated, evaluate_range, parse, parse_with, stored_hint,
};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of the evaluations of one script.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many gave what the script says.
    pub passed: usize,
    /// How many were not evaluated, by reason.
    pub skipped: BTreeMap<String, usize>,
    /// Those that gave something else: place, evaluation, what was found.
    pub failed: Vec<String>,
}

impl Outcome {
    /// How many there are.
    pub fn total(&self) -> usize {
        self.passed + self.failed.len() + self.skipped.values().sum::<usize>()
    }
}

/// When an evaluation drops names of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// In the end (`promql-delayed-name-removal`): so Prometheus runs its scripts.
    InTheEnd,
    /// Where what they name is changed, as everybody runs it. What hangs on the other is skipped, and some annotations then tell of no
    /// metric.
    AtOnce,
}

enum Failure {
    Skip(String),
    Wrong(String),
}

/// Runs a script.
///
/// Panics on what is no script: those are part of the tests.
pub fn run(text: &str, names: Names) -> Outcome {
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
            match eval(&store, line, &below, names) {
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

/// Times of samples and when they began to be counted, of durations relative to these times: `-1m _x2 -30s-15sx4`.
fn starts_of(text: &str, step: i64) -> Vec<(Millis, Millis)> {
    let mut all: Vec<Option<i64>> = Vec::new();
    for item in text.split_whitespace() {
        let (value, times) = match item.split_once('x') {
            Some((value, times)) => (value, Some(times.parse::<usize>().expect(item))),
            None => (item, None),
        };
        if value == "_" {
            all.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
            continue;
        }
        let cut = value.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map_or(value.len(), |(i, _)| i);
        let rise = if cut < value.len() { millis(&value[cut..]).0 } else { 0 };
        all.extend((0..=times.unwrap_or(0) as i64).map(|i| Some(millis(&value[..cut]).0 + i * rise)));
    }
    let at = |(i, start): (usize, Option<i64>)| Some((Millis(step * i as i64), Millis(step * i as i64 + start?)));
    all.into_iter().enumerate().filter_map(at).collect()
}

fn load(store: &mut Store, step: &str, series: &[&str], nhcb: bool) {
    let step = millis(step.trim()).0;
    let mut classic: BTreeMap<Labels, BTreeMap<Millis, Classic>> = BTreeMap::new();
    for line in series {
        if let Some((name, starts)) = line.split_once("@st ") {
            let labels = notation::labels(name).unwrap_or_else(|error| panic!("{line}: {error}"));
            store.add_starts(labels, starts_of(starts, step));
            continue;
        }
        let (labels, entries) = notation::series(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let (mut samples, mut histograms) = (Vec::new(), Vec::new());
        let mut before: Option<Arc<Histogram>> = None;
        for (i, entry) in entries.iter().enumerate() {
            let time = Millis(i as i64 * step);
            match entry {
                Entry::Missing => {}
                Entry::Stale => {
                    samples.push(Sample::stale(time));
                    before = None;
                }
                Entry::Float(x) => {
                    samples.push(Sample::new(time, *x));
                    before = None;
                }
                Entry::Histogram { histogram, .. } => {
                    let stored = Arc::new(stored(before.as_deref(), histogram));
                    histograms.push(HistogramSample { time, histogram: Some(Arc::clone(&stored)) });
                    before = Some(stored);
                }
            }
        }
        if nhcb {
            Classic::collect(&mut classic, &labels, &samples);
        }
        store.add(labels.clone(), samples);
        store.add_histograms(labels, histograms);
    }
    for (labels, all) in classic {
        let mut before: Option<Arc<Histogram>> = None;
        let sample = |(time, classic): (Millis, Classic)| {
            before = Some(Arc::new(stored(before.as_deref(), &classic.convert())));
            HistogramSample { time, histogram: before.clone() }
        };
        store.add_histograms(labels, all.into_iter().map(sample).collect());
    }
}

/// A histogram as it comes back from Prometheus' storage.
pub(crate) fn stored(before: Option<&Histogram>, now: &Histogram) -> Histogram {
    Histogram { hint: stored_hint(before, now), ..now.clone() }
}

/// A classic histogram on its way to a native one with bounds of its own. Source: `util/convertnhcb` of Prometheus 3.15.
#[derive(Default)]
struct Classic {
    /// Upper bound and how many are at most that.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

impl Classic {
    /// Takes in a series, if it is a part of one.
    fn collect(into: &mut BTreeMap<Labels, BTreeMap<Millis, Classic>>, labels: &Labels, samples: &[Sample]) {
        let parts = ["_bucket", "_count", "_sum"];
        let Some((part, base)) = parts.iter().find_map(|p| Some((*p, labels.name().strip_suffix(p)?))) else { return };
        let bound = labels.get("le").parse::<f64>();
        if part == "_bucket" && bound.is_err() {
            return;
        }
        let mut builder = labels.filter(|name| name != "le").to_builder();
        builder.set("__name__", base);
        let all = into.entry(builder.build()).or_default();
        for sample in samples.iter().filter(|s| !s.is_stale()) {
            let classic = all.entry(sample.time()).or_default();
            match part {
                "_bucket" => classic.buckets.push((bound.clone().expect("checked"), sample.value())),
                "_count" => classic.count = Some(sample.value()),
                _ => classic.sum = sample.value(),
            }
        }
    }

    fn convert(mut self) -> Histogram {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by_key(|bucket| bucket.0);
        let count = self.count.unwrap_or_else(|| self.buckets.last().map_or(0.0, |bucket| bucket.1));
        if self.buckets.last().is_none_or(|bucket| bucket.0 != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut before = 0.0;
        let single = self.buckets.iter().map(|bucket| bucket.1 - std::mem::replace(&mut before, bucket.1));
        let positive = Buckets::new((0..).zip(single));
        let bounds = self.buckets.iter().map(|bucket| bucket.0).filter(|bound| bound.is_finite()).collect();
        Histogram { schema: CUSTOM_SCHEMA, count, sum: self.sum, positive, bounds, ..Histogram::default() }
    }
}

/// What an evaluation must give.
#[derive(Default)]
struct Expected {
    fails: Option<String>,
    ordered: bool,
    text: Option<String>,
    scalar: Option<f64>,
    series: Vec<(Labels, Vec<Entry>)>,
    matrix: Option<(Millis, i64)>,
    /// What annotations must be; none of a level that is not here is looked at.
    notes: BTreeMap<Level, Vec<Pattern>>,
    /// Levels of which there must be none.
    silent: Vec<Level>,
}

/// What a text must be.
enum Pattern {
    Any,
    Text(String),
    Regex(Regex),
}

impl Pattern {
    fn new(text: &str) -> Pattern {
        let text = text.trim();
        match (text.strip_prefix("msg:"), text.strip_prefix("regex:")) {
            (Some(text), _) => Pattern::Text(text.trim().into()),
            (_, Some(regex)) => Pattern::Regex(Regex::new(regex.trim()).expect(regex)),
            _ => Pattern::Any,
        }
    }

    fn meets(&self, text: &str, names: Names) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Text(wanted) => wanted == text || names == Names::AtOnce && without_metric(wanted) == text,
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }
}

/// An annotation less the metric that it tells of.
fn without_metric(text: &str) -> String {
    let cut = text.split_once(" for metric name \"").and_then(|(before, rest)| Some((before, rest.split_once('"')?.1)));
    cut.map_or(text.into(), |(before, after)| before.to_owned() + after)
}

fn expectations(command: &str, below: &[&str]) -> Result<Expected, Failure> {
    let mut expected = Expected { ordered: command.starts_with("eval_ordered"), ..Expected::default() };
    match command {
        "eval_fail" => expected.fails = Some(String::new()),
        "eval_warn" => expected.notes.entry(Level::Warning).or_default().push(Pattern::Any),
        "eval_info" => expected.notes.entry(Level::Info).or_default().push(Pattern::Any),
        _ => {}
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
                "warn" => expected.notes.entry(Level::Warning).or_default().push(Pattern::new(rest)),
                "info" => expected.notes.entry(Level::Info).or_default().push(Pattern::new(rest)),
                "no_warn" => expected.silent.push(Level::Warning),
                "no_info" => expected.silent.push(Level::Info),
                _ => panic!("what is {line:?}?"),
            }
        } else if let Some(x) = line.parse::<f64>().ok().filter(|_| below.len() == 1 || !line.contains(' ')) {
            expected.scalar = Some(x);
        } else {
            expected.series.push(notation::series(line).map_err(|e| Failure::Wrong(format!("{line}: {e}")))?);
        }
    }
    Ok(expected)
}

fn eval(store: &Store, line: &str, below: &[&str], names: Names) -> Result<(), Failure> {
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
    if names == Names::AtOnce && DELAYED.contains(&query) {
        return Err(Failure::Skip("names are dropped in the end".into()));
    }
    let features = match names {
        Names::InTheEnd => Features::additions().with(Feature::DelayedNameRemoval),
        Names::AtOnce => Features::additions(),
    };
    let expr = match parse_with(query, features) {
        Ok(expr) => expr,
        Err(ParseError::Unsupported { what, .. }) => return Err(Failure::Skip(what)),
        Err(_) if expected.fails.is_some() => return Ok(()),
        Err(error) => return Err(Failure::Wrong(error.to_string())),
    };
    let mut notes = Annotations::default();
    let found = match words[0] {
        "instant" => evaluate_annotated(&expr, instants[0], store, &Options::default(), &mut notes),
        _ => in_range(store, &expr, &instants, &mut notes),
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
    compare_notes(&expected, &notes, query, names).map_err(Failure::Wrong)?;
    match compare(&expected, &found, &instants, words[0] == "range") {
        // The shared scripts are older than 3.15, whose own say what is computed here: equal starts are no new start.
        Err(_) if query == "increase(series[5m])" => {
            Err(Failure::Skip("starts after their samples, as before Prometheus 3.15, are".into()))
        }
        result => result.map_err(Failure::Wrong),
    }
}

fn in_range(store: &Store, expr: &Expr, instants: &[Millis], notes: &mut Annotations) -> Result<Value, EvalError> {
    let (start, end) = (instants[0], instants[instants.len() - 1]);
    let step_ms = instants.get(1).map_or(1, |second| second.since(start));
    let range = Range { start, end, step_ms };
    evaluate_range(expr, range, store, &Options::default(), notes, &|| false).map(Value::Matrix)
}

/// Annotations as Prometheus prints them, with line and column.
fn compare_notes(expected: &Expected, notes: &Annotations, query: &str, names: Names) -> Result<(), String> {
    let place = |at: usize| {
        let before = &query[..at];
        (before.matches('\n').count() + 1, at - before.rfind('\n').map_or(0, |i| i + 1) + 1)
    };
    let of_level = |level: Level| -> Vec<String> {
        let shown = notes.iter().filter(|note| note.level == level).map(|note| {
            let (line, column) = place(note.at.start);
            format!("{note} ({line}:{column})")
        });
        shown.collect()
    };
    for level in &expected.silent {
        if !of_level(*level).is_empty() {
            return Err(format!("annotations {:?}, but there should be none", of_level(*level)));
        }
    }
    for (level, patterns) in &expected.notes {
        let found = of_level(*level);
        let each_expected = patterns.iter().all(|pattern| found.iter().any(|text| pattern.meets(text, names)));
        let each_found = found.iter().all(|text| patterns.iter().any(|pattern| pattern.meets(text, names)));
        if !each_expected || !each_found {
            let texts = patterns.iter().map(|pattern| match pattern {
                Pattern::Any => "any",
                Pattern::Text(text) => text,
                Pattern::Regex(regex) => regex.as_str(),
            });
            return Err(format!("annotations {found:?}\n      should be {:?}", texts.collect::<Vec<_>>()));
        }
    }
    Ok(())
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
    let mut got: BTreeMap<Labels, BTreeMap<Millis, (Number, bool)>> = BTreeMap::new();
    for (value, at) in found.iter().zip(instants) {
        match value {
            Value::Scalar(x) => {
                got.entry(Labels::default()).or_default().insert(*at, ((*x).into(), false));
            }
            Value::Vector(elements) => {
                for element in elements {
                    let values = got.entry(element.labels.clone()).or_default();
                    let before = values.insert(*at, (element.value.clone(), false));
                    assert!(before.is_none(), "two elements {:?}", element.labels);
                }
            }
            Value::Matrix(series) => {
                for one in series {
                    let values = one.samples.iter().map(|(at, x)| (*at, (x.clone(), false)));
                    got.entry(one.labels.clone()).or_default().extend(values);
                }
            }
            Value::Text(_) => {}
        }
    }
    let step = instants.get(1).map_or(0, |second| second.0 - instants[0].0);
    let (start, step) = expected.matrix.unwrap_or((instants[0], step));
    let mut wanted: BTreeMap<Labels, BTreeMap<Millis, (Number, bool)>> = BTreeMap::new();
    for (labels, entries) in &expected.series {
        let values = wanted.entry(labels.clone()).or_default();
        for (i, entry) in entries.iter().enumerate() {
            let value = match entry {
                Entry::Missing | Entry::Stale => continue,
                Entry::Float(x) => ((*x).into(), false),
                Entry::Histogram { histogram, hint_given } => (Number::Histogram(Arc::clone(histogram)), *hint_given),
            };
            values.insert(Millis(start.0 + step * i as i64), value);
        }
    }
    if let (Some(x), true) = (expected.scalar, range) {
        wanted.entry(Labels::default()).or_default().insert(start, (x.into(), false));
    }
    wanted.retain(|_, values| !values.is_empty());
    let equal = got.len() == wanted.len()
        && got.iter().zip(&wanted).all(|((l1, v1), (l2, v2))| {
            type At<'a> = (&'a Millis, &'a (Number, bool));
            let same = |((t1, (x, _)), (t2, (y, hint))): (At<'_>, At<'_>)| t1 == t2 && same_number(x, y, *hint);
            l1 == l2 && v1.len() == v2.len() && v1.iter().zip(v2).all(same)
        });
    let shown = |all: &BTreeMap<Labels, BTreeMap<Millis, (Number, bool)>>| {
        let values = |values: &BTreeMap<Millis, (Number, bool)>| {
            values.iter().map(|(at, (x, _))| format!("{} at {}", shown(x), at.0)).collect::<Vec<_>>().join("; ")
        };
        all.iter().map(|(labels, all)| format!("\n        {labels}: {}", values(all))).collect::<String>()
    };
    if equal { Ok(()) } else { Err(format!("found {}\n      should be {}", shown(&got), shown(&wanted))) }
}

fn shown(x: &Number) -> String {
    match x {
        Number::Float(x) => format!("{x:?}"),
        Number::Histogram(h) => {
            format!("{h} {:?} schema {} zero {} {:?}", h.hint, h.schema, h.zero_threshold, h.bounds)
        }
    }
}

/// As Prometheus' runner compares; the hint only where it was written.
fn same_number(found: &Number, wanted: &Number, hint: bool) -> bool {
    match (found, wanted) {
        (Number::Float(x), Number::Float(y)) => almost_equal(*x, *y),
        (Number::Histogram(x), Number::Histogram(y)) => {
            let sides = [(&x.positive, &y.positive), (&x.negative, &y.negative)];
            let same = |(x, y): (&f64, &f64)| almost_equal(*x, *y);
            x.schema == y.schema
                && x.bounds == y.bounds
                && x.zero_threshold == y.zero_threshold
                && (!hint || x.hint == y.hint)
                && [(x.count, y.count), (x.sum, y.sum), (x.zero_count, y.zero_count)].iter().all(|(x, y)| same((x, y)))
                && sides.iter().all(|(x, y)| x.spans() == y.spans() && x.counts().iter().zip(y.counts()).all(same))
        }
        _ => false,
    }
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

/// Queries whose stated result hangs on names that are dropped in the end.
const DELAYED: &[&str] = &[
    r#"(http_requests_total{group="canary"} + 1) and http_requests_total{instance="0"}"#,
    r#"(http_requests_total{group="canary"} + 1) or http_requests_total{instance="1"}"#,
    r#"label_replace(rate({env="1"}[10m]), "my_name", "rate_$1", "__name__", "(.+)")"#,
    r#"label_replace(rate({env="1"}[10m]), "__name__", "rate_$1", "__name__", "(.+)")"#,
    r#"label_join(rate({env="1"}[10m]), "my_name", "_", "__name__")"#,
    r#"label_join(rate({env="1"}[10m]), "__name__", "_", "__name__", "env")"#,
    r#"sum(rate({env="1"}[10m])) by (env)"#,
    r#"label_replace(sum by (__name__) (rate(metric_total{env="2"}[5m])), "__name__", "$1", "__name__", "(.+)")"#,
    r#"sum by (__name__) (metric_total{env="1"} or rate(metric_total{env="2"}[5m]))"#,
    r#"sum by (__name__) (rate(metric_total{env="2"}[5m]) or metric_total{env="1"})"#,
];
