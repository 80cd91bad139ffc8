//! Answers to an instant query, ours and Prometheus', in one shape, and what is different between two.
use faultline_model::{Histogram, Labels, Millis, Number};
use faultline_promql::{Annotations, Features, Options, Source, Value as Found, evaluate_annotated, parse_with};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Largest difference between two numbers that are held for equal, as a share of the larger one.
const TOLERANCE: f64 = 1e-9;
/// Most texts of a level that Prometheus shows.
const TEXTS_MAX: usize = 10;

/// What an instant query is answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Nothing, for this reason.
    Failed(String),
    /// A value.
    Is {
        /// `vector` or `scalar`.
        kind: String,
        /// By labels, whatever the order; a scalar has none.
        values: BTreeMap<Labels, Cell>,
        /// Warnings and infos with their places, as Prometheus prints them.
        notes: BTreeSet<String>,
    },
}

/// One number of an answer.
#[derive(Clone, Debug)]
pub enum Cell {
    /// A float.
    Float(f64),
    /// A histogram: count, sum, then of each populated bucket how it ends, both bounds and the count.
    Histogram(Vec<f64>),
}

/// How two answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One has a value and the other fails.
    Error,
    /// The values.
    Value,
    /// Warnings or infos.
    Annotations,
}

/// Our answer.
pub fn ours(text: &str, features: Features, at: Millis, store: &impl Source) -> Answer {
    let expr = match parse_with(text, features) {
        Ok(expr) => expr,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let mut notes = Annotations::default();
    let (kind, values) = match evaluate_annotated(&expr, at, store, &Options::default(), &mut notes) {
        Err(error) => return Answer::Failed(error.to_string()),
        Ok(Found::Scalar(x)) => ("scalar", BTreeMap::from([(Labels::default(), Cell::Float(x))])),
        Ok(Found::Vector(all)) => ("vector", all.into_iter().map(|e| (e.labels, Cell::of(&e.value))).collect()),
        Ok(other) => return Answer::Failed(format!("neither a vector nor a scalar: {other:?}")),
    };
    let notes = notes.iter().map(|note| {
        // Lines and columns are counted from 1; expressions are of one line.
        format!("{note} (1:{})", note.at.start + 1)
    });
    Answer::Is { kind: kind.into(), values, notes: notes.collect() }
}

impl Answer {
    /// Prometheus' answer, of the API's JSON.
    ///
    /// Fails where the JSON has not that shape.
    pub fn theirs(json: &Value) -> Result<Answer, String> {
        if json["status"] != "success" {
            let error = json["error"].as_str().ok_or_else(|| format!("neither a success nor an error: {json}"))?;
            return Ok(Answer::Failed(error.into()));
        }
        let odd = || format!("not an answer to an instant query: {json}");
        let (kind, result) = (json["data"]["resultType"].as_str().ok_or_else(odd)?, &json["data"]["result"]);
        let values = match kind {
            "scalar" => BTreeMap::from([(Labels::default(), Cell::Float(number(&result[1]).ok_or_else(odd)?))]),
            _ => result.as_array().ok_or_else(odd)?.iter().map(element).collect::<Option<_>>().ok_or_else(odd)?,
        };
        let texts = [&json["warnings"], &json["infos"]].into_iter().filter_map(Value::as_array).flatten();
        let notes = texts.filter_map(Value::as_str).map(String::from).collect();
        Ok(Answer::Is { kind: kind.into(), values, notes })
    }

    /// What is different.
    pub fn differs(&self, other: &Answer) -> Option<Kind> {
        match (self, other) {
            (Answer::Failed(_), Answer::Failed(_)) => None,
            (Answer::Is { kind: k1, values: v1, notes: n1 }, Answer::Is { kind: k2, values: v2, notes: n2 }) => {
                let same = |((l1, c1), (l2, c2)): ((&Labels, &Cell), (&Labels, &Cell))| l1 == l2 && c1.equals(c2);
                if k1 != k2 || v1.len() != v2.len() || !v1.iter().zip(v2).all(same) {
                    return Some(Kind::Value);
                }
                // Which ones Prometheus leaves out is chance.
                let shown = n1.len().min(n2.len()) < TEXTS_MAX;
                (shown && n1 != n2).then_some(Kind::Annotations)
            }
            _ => Some(Kind::Error),
        }
    }
}

impl Cell {
    fn of(number: &Number) -> Cell {
        match number {
            Number::Float(x) => Cell::Float(*x),
            Number::Histogram(h) => Cell::Histogram(flat(h)),
        }
    }

    fn equals(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Float(x), Cell::Float(y)) => equal(*x, *y),
            (Cell::Histogram(x), Cell::Histogram(y)) => {
                x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(*x, *y))
            }
            _ => false,
        }
    }
}

fn equal(x: f64, y: f64) -> bool {
    // Of an infinite one every number would be within a share.
    let near = x.is_finite() && y.is_finite() && (x - y).abs() <= TOLERANCE * x.abs().max(y.abs());
    x == y || (x.is_nan() && y.is_nan()) || near
}

/// As the API shows a histogram, with bounds by `MarshalHistogram`: 0 for `(]`, 1 for `[)`, 2 for `()`, 3 for `[]`.
fn flat(h: &Histogram) -> Vec<f64> {
    let mut numbers = vec![h.count, h.sum];
    for bucket in h.buckets() {
        let ends = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => 0.0,
            (true, false) => 1.0,
            (false, false) => 2.0,
            (true, true) => 3.0,
        };
        numbers.extend([ends, bucket.lower, bucket.upper, bucket.count]);
    }
    numbers
}

fn element(json: &Value) -> Option<(Labels, Cell)> {
    let labels = json["metric"].as_object()?.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let labels = Labels::new(labels.collect::<Option<Vec<_>>>()?);
    if let Some(value) = json.get("value") {
        return Some((labels, Cell::Float(number(&value[1])?)));
    }
    let histogram = &json["histogram"][1];
    let mut numbers = vec![number(&histogram["count"])?, number(&histogram["sum"])?];
    for bucket in histogram["buckets"].as_array().map(Vec::as_slice).unwrap_or_default() {
        numbers.push(bucket[0].as_f64()?);
        numbers.extend([number(&bucket[1])?, number(&bucket[2])?, number(&bucket[3])?]);
    }
    Some((labels, Cell::Histogram(numbers)))
}

/// A number, which the API writes as a text.
fn number(json: &Value) -> Option<f64> {
    json.as_str()?.parse().ok()
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Failed(why) => write!(f, "fails: {why}"),
            Answer::Is { kind, values, notes } => {
                write!(f, "{kind}")?;
                for (labels, cell) in values {
                    match cell {
                        Cell::Float(x) => write!(f, "\n      {labels} {x:?}")?,
                        Cell::Histogram(x) => write!(f, "\n      {labels} {x:?}")?,
                    }
                }
                notes.iter().try_for_each(|note| write!(f, "\n      {note}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vector(value: &Value, warnings: &[&str]) -> Answer {
        let data = json!({"resultType": "vector", "result": [value]});
        Answer::theirs(&json!({"status": "success", "data": data, "warnings": warnings})).expect("an answer")
    }

    #[test]
    fn what_differs_is_seen() {
        let float = |x: &str| vector(&json!({"metric": {"i": "0"}, "value": [1, x]}), &[]);
        let histogram = |buckets: Value| {
            vector(&json!({"metric": {}, "histogram": [1, {"count": "3", "sum": "2", "buckets": buckets}]}), &[])
        };
        let failed = Answer::theirs(&json!({"status": "error", "error": "no"})).expect("an answer");
        for (a, b, expected) in [
            (float("1"), float("1.0000000001"), None),
            (float("1"), float("1.00000001"), Some(Kind::Value)),
            (float("NaN"), float("NaN"), None),
            (float("+Inf"), float("-Inf"), Some(Kind::Value)),
            (float("1"), failed.clone(), Some(Kind::Error)),
            (failed.clone(), failed, None),
            (float("1"), vector(&json!({"metric": {"i": "1"}, "value": [1, "1"]}), &[]), Some(Kind::Value)),
            (float("1"), vector(&json!({"metric": {"i": "0"}, "value": [1, "1"]}), &["w"]), Some(Kind::Annotations)),
            (histogram(json!([[0, "0", "1", "3"]])), histogram(json!([[0, "0", "1", "3"]])), None),
            (histogram(json!([[0, "0", "1", "3"]])), histogram(json!([[3, "0", "1", "3"]])), Some(Kind::Value)),
        ] {
            assert_eq!(a.differs(&b), expected, "{a}\n{b}");
        }
    }
}
