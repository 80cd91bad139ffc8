//! `faultline why`: one incident in the order in which the person who was paged needs it.
mod course;
pub mod graph;
mod next;
mod requests;
mod times;
mod verdict;

use crate::cli::{Output, WhyArgs};
use crate::client::lists::{headed, lasted};
use crate::client::overview::told_lacks;
use crate::client::shape::{Shape, against_onset, listed, moment, pretty, shortened};
use crate::client::{Server, say};
use crate::render::{Paint, duration};
use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;

/// Incidents among which a prefix is looked for: as many as the server lists at once.
const LISTED_MAX: usize = 1_000;
/// Alerts shown of an incident.
const ALERTS_SHOWN: usize = 10;
/// Changes shown of an incident.
const CHANGES_SHOWN: usize = 10;
/// Owners, runbooks and dashboards shown.
const OWNERS_SHOWN: usize = 4;
/// Names listed in a line.
const NAMES_SHOWN: usize = 12;

/// Why no incident was chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// No id begins so.
    #[error("no incident's id begins with {given:?}; there is {there}")]
    None {
        /// What was given.
        given: String,
        /// Ids that there are.
        there: String,
    },
    /// Several do: give more of it.
    #[error("{given:?} begins the ids of several incidents: {ids}")]
    Several {
        /// What was given.
        given: String,
        /// Their ids.
        ids: String,
    },
}

/// Runs the command.
pub fn run(args: &WhyArgs) -> Result<ExitCode, Box<dyn Error>> {
    let server = Server::at(&args.ask.url)?;
    let Some(id) = choose(&server, args.incident.as_deref())? else {
        match args.ask.output {
            Output::Json => say("null\n")?,
            Output::Table => say("No incident has opened. `faultline status` shows what comes in.\n")?,
        }
        return Ok(ExitCode::SUCCESS);
    };
    let answer = server.get(&format!("/incidents/{id}"))?;
    if let Some(format) = args.graph {
        say(&graph::graph(Shape::of(&answer.value), format))?;
        return Ok(ExitCode::SUCCESS);
    }
    match args.ask.output {
        Output::Json => say(&pretty(&answer.text))?,
        Output::Table => {
            let status = server.get("/status").map_or(Value::Null, |status| status.value);
            let (incident, status) = (Shape::of(&answer.value), Shape::of(&status));
            let course = course::ask(&server, incident, status.at("at").time());
            let requests = requests::ask(&server, incident);
            let asked = [&course, &requests].map(Shape::of);
            say(&page(incident, status, asked, Paint::stdout()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The id of the incident meant; none where none is named and there is none.
fn choose(server: &Server, given: Option<&str>) -> Result<Option<String>, Box<dyn Error>> {
    let Some(given) = given else {
        let newest = server.get(&format!("/incidents?limit={LISTED_MAX}"))?;
        return Ok(newest_of(&newest.value));
    };
    let list = server.get(&format!("/incidents?limit={LISTED_MAX}"))?;
    match chosen(&list.value, given) {
        // The server may know more incidents than it lists.
        Err(ChoiceError::None { .. }) if faultline_model::EffectId::parse(given).is_some() => Ok(Some(given.into())),
        chosen => Ok(Some(chosen?)),
    }
}

/// The newest incident that lives on: one that joined another is told of there.
fn newest_of(list: &Value) -> Option<String> {
    let mut rows = Shape::of(list).at("incidents").list();
    let id = rows.find(|row| row.at("state").text() != "merged").map(|row| row.at("id").text());
    id.filter(|id| !id.is_empty())
}

/// The one id that is `given` or begins with it, `0/` before it or not.
fn chosen(list: &Value, given: &str) -> Result<String, ChoiceError> {
    let ids: Vec<String> = Shape::of(list).at("incidents").list().map(|row| row.at("id").text()).collect();
    let short = |id: &str| id.split_once('/').map(|(_, rest)| rest.to_string()).unwrap_or_default();
    if let Some(id) = ids.iter().find(|id| *id == given).or(ids.iter().find(|id| short(id) == given)) {
        return Ok(id.clone());
    }
    let begins: Vec<String> =
        ids.iter().filter(|id| id.starts_with(given) || short(id).starts_with(given)).cloned().collect();
    match &begins[..] {
        [id] => Ok(id.clone()),
        [] if ids.is_empty() => Err(ChoiceError::None { given: given.into(), there: "no incident at all".into() }),
        [] => Err(ChoiceError::None { given: given.into(), there: listed(&ids, NAMES_SHOWN) }),
        several => Err(ChoiceError::Several { given: given.into(), ids: listed(several, NAMES_SHOWN) }),
    }
}

/// The page.
///
/// - `incident`: the answer of `/incidents/{id}`.
/// - `status`: that of `/status`, for rule time; may be empty.
/// - `asked`: how the first causes went ([`course::ask`]), and requests to look at ([`requests::ask`]); either may be empty.
fn page(incident: Shape<'_>, status: Shape<'_>, asked: [Shape<'_>; 2], paint: Paint) -> String {
    let [course, requests] = asked;
    let mut sections = Vec::from([summary(incident, status, paint)]);
    sections.push(times::section(incident, paint));
    sections.push(impact(incident, paint));
    sections.push(owner(incident, paint));
    sections.push(changes(incident, paint));
    let [causes, why_not, evidence, path] = verdict::sections(incident, paint);
    sections.extend([causes, course::section(course, paint), requests::section(requests, paint), why_not]);
    sections.extend(next::sections(incident, paint));
    sections.extend([evidence, path]);
    sections.push(unseen(incident, paint));
    sections.push(verdict::proof(incident, paint));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

/// A titled section; empty where there is nothing to tell.
fn section(title: &str, body: &str, paint: Paint) -> String {
    if body.is_empty() { String::new() } else { format!("{}\n{body}", paint.bold(title)) }
}

fn summary(incident: Shape<'_>, status: Shape<'_>, paint: Paint) -> String {
    let verdict = incident.at("verdict");
    let services = listed(&incident.at("entities").texts(), NAMES_SHOWN);
    let sentence = match verdict.at("summary").text_or(&incident.at("summary").text()) {
        text if !text.is_empty() => text,
        _ if verdict.is_there() => "The verdict gives no summary.".to_string(),
        _ => format!("No verdict yet on {services}: ask again in a moment."),
    };
    let sentence = if incident.at("unknown").flag() { paint.yellow(&sentence) } else { paint.bold(&sentence) };
    let state = incident.at("state").text_or("?");
    let state = match incident.at("state").text().as_str() {
        "open" => paint.red("open"),
        "resolved" => paint.green("resolved"),
        _ => state,
    };
    let opened = match incident.at("opened_at").time() {
        Some(at) => format!(", opened {} UTC", moment(at)),
        None => String::new(),
    };
    let lasted = match (lasted(incident, status.at("at").time()), incident.at("state").text().as_str()) {
        (Some(ms), "open") => format!(", {} ago", duration(ms)),
        (Some(ms), _) => format!(", lasted {}", duration(ms)),
        (None, _) => String::new(),
    };
    let home = incident.at("alias_of");
    let moved = if home.is_there() {
        format!(", merged: it goes on as {}, see `faultline why {}`", home.text(), home.text())
    } else {
        String::new()
    };
    let closed = incident.at("closed");
    let closed = if closed.is_there() {
        format!(
            ", closed by {}: the cause was {}",
            closed.at("by").text_or("somebody"),
            closed.at("cause").text_or("?")
        )
    } else {
        String::new()
    };
    let imported = if incident.at("imported").flag() { ", from imported data: told to nobody" } else { "" };
    format!(
        "{sentence}\nincident {} is {state}{opened}{lasted}{moved}{imported}{closed}\n",
        incident.at("id").text_or("?")
    )
}

fn impact(incident: Shape<'_>, paint: Paint) -> String {
    let services = incident.at("entities").texts();
    let mut body = String::new();
    if !services.is_empty() {
        let count = services.len();
        body.push_str(&format!("violated services ({count}): {}\n", listed(&services, NAMES_SHOWN)));
    }
    let (firing, alerts) = (incident.at("firing").figure(), incident.at("alerts").figure());
    body.push_str(&format!("{firing} of {alerts} alerts firing\n"));
    let mut list: Vec<Shape<'_>> = incident.at("alert_list").list().collect();
    list.sort_by_key(|alert| alert.at("to").text() != "firing");
    let more = list.len().saturating_sub(ALERTS_SHOWN);
    let rows: Vec<Vec<String>> = list.into_iter().take(ALERTS_SHOWN).map(alert).collect();
    if !rows.is_empty() {
        body.push_str(&headed(&["ALERT", "STATE", "SINCE (UTC)", "VALUE", "LABELS", "SUMMARY"], &rows, paint));
    }
    if more > 0 {
        body.push_str(&format!("and {more} more: `-o json` has them all\n"));
    }
    section("IMPACT", &body, paint)
}

/// Who answers for it and what to do, as the rules say it: labels and annotations by the names that people give them.
fn owner(incident: Shape<'_>, paint: Paint) -> String {
    let mut body = String::new();
    for (what, field, names) in [
        ("owner", "labels", &["team", "owner", "squad"][..]),
        ("runbook", "annotations", &["runbook_url", "runbook"]),
        ("dashboard", "annotations", &["dashboard_url", "dashboard"]),
    ] {
        let mut told: Vec<String> = Vec::new();
        for alert in incident.at("alert_list").list() {
            let said = names.iter().map(|name| alert.at(field).at(name).text()).find(|text| !text.is_empty());
            told.extend(said.filter(|text| !told.contains(text)));
        }
        if !told.is_empty() {
            body.push_str(&format!("{what:<9}  {}\n", listed(&told, OWNERS_SHOWN)));
        }
    }
    section("OWNER", &body, paint)
}

fn alert(alert: Shape<'_>) -> Vec<String> {
    Vec::from([
        alert.at("name").text_or("?"),
        alert.at("to").text_or("?"),
        alert.at("active_at").moment(),
        rounded(&alert.at("value").text_or("-")),
        shortened(&labels(alert.at("labels")).join(" "), 60),
        shortened(&alert.at("annotations.summary").text(), 100),
    ])
}

/// Labels, the service first; one that says again what another said is left out.
fn labels(labels: Shape<'_>) -> Vec<String> {
    let mut fields: Vec<(String, String)> = labels.fields().map(|(name, value)| (name, value.text())).collect();
    fields.retain(|(name, _)| name != "alertname" && name != "__name__");
    fields.sort_by_key(|(name, _)| name != "service");
    let mut said = BTreeSet::new();
    fields.retain(|(_, value)| said.insert(value.clone()));
    fields.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// A value's text, to the places that a glance takes in.
fn rounded(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(number) if number == 0.0 || !number.is_finite() => shortened(value, 12),
        Ok(number) if number.abs() >= 1e6 || number.abs() < 1e-3 => format!("{number:.3e}"),
        Ok(number) if number.abs() >= 100.0 => format!("{number:.0}"),
        Ok(number) => format!("{number:.3}").trim_end_matches('0').trim_end_matches('.').to_string(),
        Err(_) => shortened(value, 12),
    }
}

fn changes(incident: Shape<'_>, paint: Paint) -> String {
    let onset = incident.at("onset").time();
    let list: Vec<Shape<'_>> = incident.at("changes").list().collect();
    let more = list.len().saturating_sub(CHANGES_SHOWN);
    let rows: Vec<Vec<String>> = list.into_iter().take(CHANGES_SHOWN).map(|it| change(it, onset)).collect();
    if rows.is_empty() {
        let none = "none was told on these services in the 4 hours before the onset\n";
        return section("CHANGES", if incident.at("changes").is_there() { none } else { "" }, paint);
    }
    let mut body = headed(&["WHEN (UTC)", "", "SERVICE", "KIND", "WHAT", "VERSION", "BY"], &rows, paint);
    if more > 0 {
        body.push_str(&format!("and {more} more: `-o json` has them all\n"));
    }
    section("CHANGES", &body, paint)
}

fn change(change: Shape<'_>, onset: Option<i64>) -> Vec<String> {
    let against = change.at("at").time().zip(onset).map(|(at, onset)| against_onset(at, onset));
    Vec::from([
        change.at("at").moment(),
        against.unwrap_or("-".to_string()),
        shortened(&change.at("entity").text_or("?"), 40),
        change.at("kind").text_or("?"),
        shortened(&change.at("title").text(), 60),
        shortened(&change.at("version").text(), 24),
        shortened(&change.at("by").text(), 24),
    ])
}

fn unseen(incident: Shape<'_>, paint: Paint) -> String {
    let verdict = incident.at("verdict");
    let told = match verdict.is_there() {
        true => verdict.at("unseen").texts(),
        false => told_lacks(incident.at("coverage")),
    };
    let body: String = told.iter().map(|line| format!("{line}\n")).collect();
    section("NOT SEEN", &body, paint)
}

#[cfg(test)]
mod tests;
