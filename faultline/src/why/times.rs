//! Since when, and how long after the onset each stage came.
use super::section as titled;
use crate::client::shape::{Shape, apart, moment, time_of_day};
use crate::render::Paint;

/// What a stage is called, and its instant in ms.
type Stage = (&'static str, Option<i64>);

/// A line for each stage that was reached.
pub(super) fn section(incident: Shape<'_>, paint: Paint) -> String {
    titled("WHEN", &body(incident), paint)
}

fn body(incident: Shape<'_>) -> String {
    let times = incident.at("times");
    let either = |name: &str, other: &str| times.at(name).time().or(incident.at(other).time());
    let Some(onset) = either("onset", "onset") else { return String::new() };
    let alerts = incident.at("alert_list").list().filter_map(|alert| alert.at("active_at").time());
    let mut stages: Vec<Stage> = Vec::from([
        ("first anomaly", times.at("first_anomaly").time()),
        ("first alert active", alerts.min()),
        ("incident opened", either("opened", "opened_at")),
        ("first verdict", times.at("first_verdict").time()),
        ("verdict that stayed", times.at("settled_verdict").time()),
        ("resolved", either("resolved", "resolved_at")),
    ]);
    // In the order of time; stages of one instant stay in the order of cause.
    stages.sort_by_key(|(_, at)| *at);
    let mut text = format!("{}  {:<20} {} UTC\n", time_of_day(onset), "onset", moment(onset));
    for (name, at) in stages {
        let Some(at) = at else { continue };
        let after = at.saturating_sub(onset);
        let sign = if after >= 0 { "+" } else { "" };
        let what = match name {
            "first verdict" => first_cause(incident),
            "verdict that stayed" => settled_cause(incident),
            _ => String::new(),
        };
        let line = format!("{}  {name:<20} {:<14}{what}", time_of_day(at), format!("{sign}{}", apart(after)));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn first_cause(incident: Shape<'_>) -> String {
    incident.at("verdicts").list().next().map_or(String::new(), |first| first.at("cause").text_or("unknown"))
}

fn settled_cause(incident: Shape<'_>) -> String {
    let revisions = incident.at("verdicts_count").count();
    let last = incident.at("verdicts").list().last();
    let cause = last.map_or(String::new(), |last| last.at("cause").text_or("unknown"));
    if revisions > 1 { format!("{cause} (of {revisions} verdicts)") } else { cause }
}
