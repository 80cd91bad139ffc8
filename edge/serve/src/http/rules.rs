//! `/api/v1/rules` and `/api/v1/alerts`, as Prometheus answers them, with a few keys of our own at the end.
use super::Api;
use super::answer::{PromAnswer, PromError, Told};
use super::number;
use super::params::Params;
use super::shapes::{labels, maybe, pairs, text};
use crate::view::{ActiveAlert, Health, Rule, RuleGroup, RuleKind, View};
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use faultline_model::facts::AlertState;
use faultline_model::{Evaluation, Labels, Millis};
use serde::Serialize;
use std::sync::Arc;

/// `type=alert|record` leaves the other kind out.
pub async fn rules(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    rules_answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

/// Every alert that is not `ok`, but for those of groups that are tried only.
pub async fn alerts(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    alerts_answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

async fn rules_answer(api: &Api, uri: &Uri) -> Result<Response, PromError> {
    let params = Params::of(uri);
    let only = match params.get("type") {
        None | Some("") => None,
        Some("alert") => Some(RuleKind::Alert),
        Some("record") => Some(RuleKind::Record),
        Some(other) => return Err(PromError::bad("type", format!("not supported value {other:?}"))),
    };
    let view = api.covered_prometheus(&params).await?;
    let groups = view.groups.iter().enumerate().map(|(i, group)| GroupShape::new(&view, i, group, only));
    // Like Prometheus, no group of which nothing is left.
    let groups = groups.filter(|group| only.is_none() || !group.rules.is_empty()).collect();
    Ok(PromAnswer::new(Groups { groups }, Told::default()).at(view.covers))
}

async fn alerts_answer(api: &Api, uri: &Uri) -> Result<Response, PromError> {
    let view = api.covered_prometheus(&Params::of(uri)).await?;
    let is_told = |alert: &&ActiveAlert| view.groups.get(alert.group as usize).is_none_or(|group| !group.dry_run);
    let alerts = view.alerts.iter().filter(is_told).map(AlertShape::from).collect();
    Ok(PromAnswer::new(Alerts { alerts }, Told::default()).at(view.covers))
}

#[derive(Serialize)]
struct Groups<'a> {
    groups: Vec<GroupShape<'a>>,
}

#[derive(Serialize)]
struct Alerts<'a> {
    alerts: Vec<AlertShape<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupShape<'a> {
    name: &'a str,
    file: &'a str,
    rules: Vec<RuleShape<'a>>,
    interval: Seconds,
    limit: u32,
    #[serde(serialize_with = "maybe", skip_serializing_if = "Option::is_none")]
    last_evaluation: Option<Millis>,
    evaluation: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// A duration in ms, shown in seconds: whole ones without decimals.
struct Seconds(i64);

impl Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % 1000 {
            0 => serializer.serialize_i64(self.0 / 1000),
            _ => serializer.serialize_f64(self.0 as f64 / 1000.0),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum RuleShape<'a> {
    Alert(AlertingShape<'a>),
    Record(RecordingShape<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertingShape<'a> {
    state: &'static str,
    name: &'a str,
    query: &'a str,
    duration: Seconds,
    keep_firing_for: Seconds,
    #[serde(serialize_with = "pairs")]
    labels: &'a [(String, String)],
    #[serde(serialize_with = "pairs")]
    annotations: &'a [(String, String)],
    alerts: Vec<AlertShape<'a>>,
    #[serde(flatten)]
    went: Went<'a>,
    r#type: &'static str,
}

#[derive(Serialize)]
struct RecordingShape<'a> {
    name: &'a str,
    query: &'a str,
    #[serde(serialize_with = "pairs")]
    labels: &'a [(String, String)],
    #[serde(flatten)]
    went: Went<'a>,
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Went<'a> {
    health: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_error: &'a str,
    #[serde(serialize_with = "maybe", skip_serializing_if = "Option::is_none")]
    last_evaluation: Option<Millis>,
    #[serde(skip_serializing_if = "str::is_empty")]
    why_grid: &'a str,
    #[serde(serialize_with = "maybe", skip_serializing_if = "Option::is_none")]
    unknown_until: Option<Millis>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertShape<'a> {
    #[serde(serialize_with = "labels")]
    labels: &'a Labels,
    #[serde(serialize_with = "pairs")]
    annotations: &'a [(String, String)],
    state: &'static str,
    #[serde(serialize_with = "text")]
    active_at: Millis,
    value: String,
    #[serde(serialize_with = "maybe", skip_serializing_if = "Option::is_none")]
    unknown_until: Option<Millis>,
    #[serde(serialize_with = "maybe", skip_serializing_if = "Option::is_none")]
    silent_since: Option<Millis>,
}

impl<'a> From<&'a ActiveAlert> for AlertShape<'a> {
    fn from(alert: &'a ActiveAlert) -> AlertShape<'a> {
        AlertShape {
            labels: &alert.labels,
            annotations: &alert.annotations,
            state: word(alert.state),
            active_at: alert.active_at,
            value: number::exponent(alert.value),
            unknown_until: alert.unknown_until,
            silent_since: alert.silent_since,
        }
    }
}

fn word(state: AlertState) -> &'static str {
    match state {
        AlertState::Ok => "inactive",
        other => other.word(),
    }
}

impl<'a> GroupShape<'a> {
    fn new(view: &'a View, place: usize, group: &'a RuleGroup, only: Option<RuleKind>) -> GroupShape<'a> {
        // Grouped by group and rule: those of one group are a stretch.
        let start = view.alerts.partition_point(|alert| (alert.group as usize) < place);
        let end = view.alerts.partition_point(|alert| (alert.group as usize) <= place);
        let rules = group.rules.iter().enumerate().filter(|(_, rule)| only.is_none_or(|kind| kind == rule.kind));
        GroupShape {
            name: &group.name,
            file: &group.file,
            rules: rules.map(|(i, rule)| RuleShape::new(group, i, rule, &view.alerts[start..end])).collect(),
            interval: Seconds(group.interval_ms),
            limit: 0,
            last_evaluation: group.last_evaluation,
            evaluation: match group.evaluation {
                Evaluation::Grid => "grid",
                Evaluation::Stream => "stream",
            },
            dry_run: group.dry_run,
        }
    }
}

impl<'a> RuleShape<'a> {
    fn new(group: &'a RuleGroup, place: usize, rule: &'a Rule, alerts: &'a [ActiveAlert]) -> RuleShape<'a> {
        let went = Went {
            health: match rule.health {
                Health::Unknown => "unknown",
                Health::Ok => "ok",
                Health::Failed => "err",
            },
            last_error: &rule.last_error,
            last_evaluation: group.last_evaluation,
            why_grid: &rule.why_grid,
            unknown_until: rule.unknown_until,
        };
        let Rule { name, query, labels, annotations, .. } = rule;
        if rule.kind == RuleKind::Record {
            return RuleShape::Record(RecordingShape { name, query, labels, went, r#type: "recording" });
        }
        let alerts: Vec<&ActiveAlert> = alerts.iter().filter(|alert| alert.rule as usize == place).collect();
        // A rule is what its most advanced alert is.
        let state = alerts.iter().map(|alert| alert.state).max_by_key(|state| match state {
            AlertState::Ok => 0,
            AlertState::Unknown => 1,
            AlertState::Pending => 2,
            AlertState::Firing => 3,
        });
        RuleShape::Alert(AlertingShape {
            state: word(state.unwrap_or(if rule.unknown_until.is_some() {
                AlertState::Unknown
            } else {
                AlertState::Ok
            })),
            name,
            query,
            duration: Seconds(rule.hold_ms),
            keep_firing_for: Seconds(rule.keep_firing_ms),
            labels,
            annotations,
            alerts: alerts.into_iter().map(AlertShape::from).collect(),
            went,
            r#type: "alerting",
        })
    }
}
