//! How the first causes went: requests, failures and time, before and after the onset, in lines that a glance takes in.
//!
//! Asked of the server's recent store, so that it is there for every service whose calls anyone traced: its own spans, else its
//! callers'. A server that has nothing of that time leaves the section out.
use super::section as titled;
use crate::client::Server;
use crate::client::shape::{Shape, shortened};
use crate::render::{Paint, duration, sparkline};
use serde_json::{Value, json};

/// Causes shown.
const CAUSES: usize = 2;
/// Time shown before the onset, in ms, and after it at least and at most.
const BEFORE_MS: i64 = 10 * 60_000;
const AFTER_MS: (i64, i64) = (2 * 60_000, 30 * 60_000);
/// Points of a line.
const POINTS: i64 = 48;
/// Shortest window of a rate, in ms: a series that does not change is sent twice a minute.
const WINDOW_MS: i64 = 40_000;

/// How a figure is written.
type Figure = fn(f64) -> String;

/// What is asked, and how its figures are written.
const LINES: [(&str, Figure); 3] = [
    ("requests/s", |value| format!("{value:.1}")),
    ("failing", |value| format!("{:.1} %", value * 100.0)),
    ("mean time", |value| duration_of(value)),
];

/// `12.3 ms`, `1.2 s`.
fn duration_of(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.1} ms") } else { duration(ms as i64) }
}

/// Expressions of the lines, each without labels.
fn expressions(service: &str, window_ms: i64) -> [String; 3] {
    // A JSON string is a string of PromQL.
    let service = Value::from(service).to_string();
    let own = format!(r#"service_name={service}, span_kind=~"SPAN_KIND_(SERVER|CONSUMER)""#);
    let sum = |name: &str, matchers: &str| format!("sum(rate({name}{{{matchers}}}[{window_ms}ms]))");
    let spans = |name: &str, matchers: &str| sum(&format!("traces_span_metrics_{name}"), matchers);
    let calls = |name: &str| sum(&format!("traces_service_graph_request_{name}"), &format!("server={service}"));
    let failed = spans("calls_total", &format!(r#"{own}, status_code="STATUS_CODE_ERROR""#));
    let (mine, theirs) = (spans("calls_total", &own), calls("total"));
    let took = [spans("duration_milliseconds_sum", &own), spans("duration_milliseconds_count", &own)];
    let waited = [calls("client_seconds_sum"), calls("client_seconds_count")];
    [
        format!("{mine} or {theirs}"),
        // Without a failure there is no such series.
        format!("({failed} or 0 * {mine}) / {mine} or ({} or 0 * {theirs}) / {theirs}", calls("failed_total")),
        format!("{} / {} or 1000 * {} / {}", took[0], took[1], waited[0], waited[1]),
    ]
}

/// Asks how the first causes of an incident went; null where that is not to be had.
///
/// - `now`: rule time, ms.
pub(super) fn ask(server: &Server, incident: Shape<'_>, now: Option<i64>) -> Value {
    let Some(onset) = incident.at("onset").time() else { return Value::Null };
    let now = incident.at("resolved_at").time().or(now).unwrap_or(onset);
    let after = (now - onset).clamp(AFTER_MS.0, AFTER_MS.1);
    let step = ((BEFORE_MS + after) / POINTS).max(1_000);
    let before = BEFORE_MS / step;
    let start = onset - before * step;
    let points = before + after / step + 1;
    let mut services = Vec::new();
    let causes: Vec<Shape<'_>> = incident.at("verdict.causes").list().collect();
    for cause in causes.iter().take(CAUSES) {
        let name = cause.at("entity").text();
        let lines: Option<Vec<Value>> = expressions(&name, step.max(WINDOW_MS))
            .iter()
            .map(|expression| {
                let answer = server.query_range(expression, start, start + (points - 1) * step, step).ok()?;
                Some(line(Shape::of(&answer.value), start, step, points))
            })
            .collect();
        // What nothing is known of, such as a way between two services, has no line.
        let lines = lines.filter(|lines| lines.iter().any(|line| line.as_array().is_some_and(|line| !line.is_empty())));
        services.extend(lines.map(|lines| json!({ "service": name, "lines": lines })));
    }
    json!({ "before": before, "step_ms": step, "services": services })
}

/// The one series of an answer, a value or null for each step; empty where there is none.
fn line(answer: Shape<'_>, start: i64, step: i64, points: i64) -> Value {
    let Some(series) = answer.at("data.result").list().next() else { return json!([]) };
    let mut values = vec![Value::Null; points as usize];
    for point in series.at("values").list() {
        let mut pair = point.list();
        let at = pair.next().and_then(|at| at.number());
        let value = pair.next().and_then(|value| value.text().parse::<f64>().ok());
        if let (Some(at), Some(value)) = (at, value.filter(|value| value.is_finite())) {
            let place = ((at * 1_000.0).round() as i64 - start) / step;
            if let Some(slot) = usize::try_from(place).ok().and_then(|place| values.get_mut(place)) {
                *slot = Value::from(value);
            }
        }
    }
    Value::from(values)
}

/// The lines, the onset between both halves, then what was usual and what is now.
pub(super) fn section(course: Shape<'_>, paint: Paint) -> String {
    let before = course.at("before").count() as usize;
    let step = course.at("step_ms").whole().unwrap_or(0);
    let mut body = String::new();
    let services: Vec<Shape<'_>> = course.at("services").list().collect();
    let width = services.iter().map(|it| shortened(&it.at("service").text(), 40).chars().count()).max().unwrap_or(0);
    let mut most = 0;
    for service in services {
        let mut name = shortened(&service.at("service").text(), 40);
        for ((what, figure), line) in LINES.iter().zip(service.at("lines").list()) {
            let values: Vec<Option<f64>> = line.list().map(Shape::number).collect();
            if values.iter().all(Option::is_none) {
                continue;
            }
            most = most.max(values.len());
            let (then, since) = values.split_at(before.min(values.len()));
            let said = |value: Option<f64>| value.map_or("nothing".to_string(), figure);
            let (usual, last) = (median(then), since.last().copied().flatten());
            let drawn = sparkline(&values);
            let cut = drawn.char_indices().nth(then.len()).map_or(drawn.len(), |(at, _)| at);
            let pad = " ".repeat(width - name.chars().count());
            let (early, late) = (&drawn[..cut], paint.bold(&drawn[cut..]));
            body.push_str(&format!("{name}{pad}  {what:<10}  {early}|{late}  {} -> {}\n", said(usual), said(last)));
            name.clear();
        }
    }
    let (before_ms, after_ms) = (before as i64 * step, most.saturating_sub(before + 1) as i64 * step);
    let title =
        format!("BEFORE AND AFTER, {} | {} since the onset; usual -> now", duration(before_ms), duration(after_ms));
    titled(&title, &body, paint)
}

fn median(values: &[Option<f64>]) -> Option<f64> {
    let mut known: Vec<f64> = values.iter().copied().flatten().collect();
    known.sort_by(f64::total_cmp);
    known.get(known.len() / 2).copied()
}
