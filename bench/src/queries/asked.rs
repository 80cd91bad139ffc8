//! What is asked, and whether two answers are equal.
use super::estate::{Estate, name};
use faultline_model::Millis;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How far two numbers may be apart, as a part of the greater.
const APART: f64 = 1e-9;
/// Instants are so long before the end of the samples, so that each series has a newer one.
const BEFORE_END_MS: i64 = 60_000;
/// Bytes of an answer that an error shows.
const SHOWN: usize = 200;

/// A question.
#[derive(Clone, Debug)]
pub struct Query {
    pub name: &'static str,
    /// Path and parameters.
    pub path: String,
}

/// The list, from small to large.
pub fn all(estate: &Estate) -> Vec<Query> {
    let at = estate.end().plus(-BEFORE_END_MS);
    let instant = |name, query: &str| Query {
        name,
        path: format!("/api/v1/query?query={}&time={}", escaped(query), seconds(at)),
    };
    let range = |name, hours: u32, step: u32, query: &str| {
        let start = at.plus(-i64::from(hours.min(estate.hours)) * 3_600_000);
        let (query, start, end) = (escaped(query), seconds(start), seconds(at));
        Query { name, path: format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}") }
    };
    let look = |name, path: &str, selector: &str| {
        let (start, end) = (seconds(at.plus(-3_600_000)), seconds(at));
        let selector = if selector.is_empty() { String::new() } else { format!("&match[]={}", escaped(selector)) };
        Query { name, path: format!("/api/v1/{path}?start={start}&end={end}{selector}") }
    };
    let [level, bucket, total] = [0, 1, 2].map(name);
    let every = "{__name__=~\"bench_.*\"}[5m]";
    vec![
        instant("instant, 1 series", &format!("{total}{{instance=\"10.0.0.7:9090\"}}")),
        instant("instant, 1,000 series", &level),
        instant("instant, sum of 1,000 rates", &format!("sum by (job) (rate({total}[5m]))")),
        instant("instant, sum of all rates", &format!("sum by (job) (rate({every}))")),
        instant("instant, ten highest of 1,000", &format!("topk(10, {total})")),
        range("1 h at 15 s, 1 series", 1, 15, &format!("{total}{{instance=\"10.0.0.7:9090\"}}")),
        range("24 h at 5 min, 100 rates", 24, 300, &format!("rate({total}{{job=\"job-3\"}}[5m])")),
        range("6 h at 1 min, sum of 1,000 rates", 6, 60, &format!("sum by (job) (rate({total}[5m]))")),
        range(
            "6 h at 1 min, quantile of 1,000",
            6,
            60,
            &format!("histogram_quantile(0.99, sum by (le, job) (rate({bucket}[5m])))"),
        ),
        look("values of a label", "label/instance/values", ""),
        look("  of one metric", "label/instance/values", &total),
        look("series of one metric", "series", &total),
    ]
}

fn seconds(at: Millis) -> String {
    format!("{:.3}", at.0 as f64 / 1e3)
}

/// Text as a parameter's value (RFC 3986 2.1).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// What an answer holds that must be equal: all but its order, which is of series and of labels.
///
/// - Returns how many parts it has. Fails with a sentence that says how they differ.
pub fn compare(ours: &[u8], theirs: &[u8]) -> Result<usize, String> {
    let [ours, theirs] = [parts(ours)?, parts(theirs)?];
    if let Some(one) = ours.keys().find(|key| !theirs.contains_key(*key)) {
        return Err(format!("only our answer has {one}"));
    }
    if let Some(one) = theirs.keys().find(|key| !ours.contains_key(*key)) {
        return Err(format!("only Prometheus' answer has {one}"));
    }
    for (key, our) in &ours {
        let their = &theirs[key];
        if our.len() != their.len() {
            return Err(format!("{key} has {} values here, {} there", our.len(), their.len()));
        }
        let differ = |((a, b), (c, d)): &(&(f64, f64), &(f64, f64))| a != c || !is_near(*b, *d);
        if let Some(((at, a), (_, b))) = our.iter().zip(their).find(differ) {
            return Err(format!("{key} is {a} at {at} here, {b} there"));
        }
    }
    Ok(ours.len())
}

fn is_near(a: f64, b: f64) -> bool {
    let apart = (a - b).abs();
    a == b || a.is_nan() && b.is_nan() || apart.is_finite() && apart <= APART * a.abs().max(b.abs())
}

/// Times and values by series; of a list of labels or label sets, each without any.
fn parts(body: &[u8]) -> Result<BTreeMap<String, Vec<(f64, f64)>>, String> {
    let shown = || String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
    let answer: Value = serde_json::from_slice(body).map_err(|error| format!("{error}: {}", shown()))?;
    if answer["status"] != "success" {
        return Err(shown());
    }
    let data = &answer["data"];
    let Some(list) = data.as_array().or_else(|| data["result"].as_array()) else { return Err(shown()) };
    let mut all = BTreeMap::new();
    for one in list {
        let values = one["values"].as_array().cloned().unwrap_or_else(|| vec![one["value"].clone()]);
        let point = |point: &Value| Some((point[0].as_f64()?, number(point[1].as_str()?)?));
        // Keys of an object come in order here.
        let (key, values) = match one.get("metric") {
            Some(metric) => (metric.to_string(), values.iter().map(point).collect()),
            None => (one.to_string(), Some(Vec::new())),
        };
        if all.insert(key.clone(), values.ok_or_else(shown)?).is_some() {
            return Err(format!("{key} comes twice"));
        }
    }
    Ok(all)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_reads() {
        for query in all(&Estate::new(10_000, 24, Millis(1_790_000_000_000))) {
            assert!(query.path.is_ascii() && !query.path.contains([' ', '"', '{', '\r']), "{}", query.path);
        }
        assert_eq!(escaped("a{b=\"c d\"}[5m]"), "a%7Bb%3D%22c%20d%22%7D%5B5m%5D");
    }

    #[test]
    fn answers_are_equal_but_for_order_and_roundings() {
        let vector =
            |text: &str| format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{text}]}}}}"#);
        let one = |job: &str, value: &str| format!(r#"{{"metric":{{"job":"{job}"}},"value":[1.5,"{value}"]}}"#);
        let both = vector(&[one("a", "1"), one("b", "NaN")].join(","));
        let check = |ours: &str, theirs: &str| compare(ours.as_bytes(), theirs.as_bytes());
        assert_eq!(check(&both, &vector(&[one("b", "NaN"), one("a", "1.0000000001")].join(","))), Ok(2));
        for other in [
            vector(&one("a", "1")),
            vector(&[one("a", "1"), one("c", "NaN")].join(",")),
            vector(&[one("a", "1.00001"), one("b", "NaN")].join(",")),
            vector(&[one("a", "1"), one("b", "0")].join(",")),
            vector(&[one("a", "1"), one("a", "1")].join(",")),
            both.replace("1.5", "2.5"),
            both.replace("success", "error"),
        ] {
            assert!(check(&both, &other).is_err() && check(&other, &both).is_err(), "{other}");
        }
        let matrix = r#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,"2"],[2,"+Inf"]]}]}}"#;
        assert_eq!(check(matrix, matrix), Ok(1));
        assert!(check(matrix, &matrix.replace("+Inf", "-Inf")).is_err());
        assert!(check(matrix, &matrix.replace(r#",[2,"+Inf"]"#, "")).is_err());
        let labels = r#"{"status":"success","data":["a","b"]}"#;
        assert_eq!(check(labels, r#"{"status":"success","data":["b","a"]}"#), Ok(2));
        assert!(check(labels, r#"{"status":"success","data":["b"]}"#).is_err());
    }
}
