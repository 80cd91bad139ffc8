//! `faultline revisions`: what samples that came late make of alerts that were decided without them.
use super::lists::headed;
use super::shape::{Shape, shortened};
use crate::render::Paint;

/// Revisions, newest first as the server gives them.
pub fn page(answer: Shape<'_>, paint: Paint) -> String {
    let rows: Vec<Vec<String>> = answer.at("revisions").list().map(row).collect();
    if rows.is_empty() {
        return "No late sample has touched an alert.\n".to_string();
    }
    let counts: Vec<String> =
        answer.at("counts").fields().map(|(outcome, count)| format!("{} {outcome}", count.figure())).collect();
    let headings = ["LEAF", "OUTCOME", "ALERT", "FIRED (UTC)", "WOULD HAVE", "LATE SAMPLES"];
    format!("{}\n{}.\n", headed(&headings, &rows, paint), counts.join(", "))
}

fn row(row: Shape<'_>) -> Vec<String> {
    let is_known = row.at("kind").text() == "revision";
    let (outcome, before, after) = if is_known {
        (row.at("outcome").text_or("?"), fired(row.at("before")), fired(row.at("after")))
    } else {
        ("unknown".to_string(), "-".to_string(), shortened(&row.at("reason").text_or("?"), 60))
    };
    let labels: Vec<String> = row
        .at("labels")
        .fields()
        .filter(|(name, _)| name != "alertname")
        .map(|(name, value)| format!("{name}={}", value.text()))
        .collect();
    let alert = format!("{} {}", row.at("name").text_or("?"), labels.join(","));
    let late = row.at("late");
    let series = late.at("series").list().next().map_or(String::new(), |it| it.at("labels").at("__name__").text());
    Vec::from([
        row.at("leaf").figure(),
        outcome,
        shortened(alert.trim(), 60),
        before,
        after,
        format!("{} from {} on {}", late.at("samples").figure(), late.at("first").moment(), shortened(&series, 40)),
    ])
}

/// When it fired, in words.
fn fired(stretch: Shape<'_>) -> String {
    match (stretch.at("fired_at").is_there(), stretch.at("resolved_at").is_there()) {
        (false, _) => "no".to_string(),
        (true, false) => format!("{} on", stretch.at("fired_at").moment()),
        (true, true) => format!("{} to {}", stretch.at("fired_at").moment(), stretch.at("resolved_at").moment()),
    }
}
