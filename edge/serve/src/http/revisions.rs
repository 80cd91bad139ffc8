//! `/api/faultline/v1/revisions`: what samples that came late make of alerts that were decided without them, newest first.
use super::Api;
use super::answer::{Problem, covers, json};
use super::params::Params;
use super::shapes::{DecisionShape, Placed, labels, maybe, text};
use crate::store::book::REVISIONS_MAX;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use faultline_model::facts::{Decision, Late, Outcome, Revision, Stretch, Unrevised};
use faultline_model::{Labels, Millis, Occurrence};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `alert=<name>`, `limit` up to 1,000 (100).
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: &Api, uri: &Uri) -> Result<Response, Problem> {
    let params = Params::of(uri).only(&["alert", "limit"])?;
    let limit = params.limit(100, REVISIONS_MAX)?;
    let alert = params.get("alert");
    let view = api.covered(&params).await?;
    let (chosen, counts): (Vec<_>, _) = {
        let book = api.store.book();
        let of_alert = book.revisions().filter(|entry| alert.is_none_or(|alert| name(&entry.what) == alert));
        (of_alert.take(limit).cloned().collect(), book.revision_counts())
    };
    let revisions = chosen.iter().map(|entry| Placed::of(&**entry)).collect();
    Ok(covers(json(StatusCode::OK, &Revisions { revisions, counts: counts.into_iter().collect() }), view.covers))
}

fn name(decision: &Decision) -> &str {
    match decision {
        Decision::Revision(it) => &it.name,
        Decision::Unrevised(it) => &it.name,
        _ => "",
    }
}

#[derive(Serialize)]
struct Revisions<'a> {
    revisions: Vec<Placed<DecisionShape<'a>>>,
    /// By outcome, of all that were decided or read back since the start.
    counts: BTreeMap<&'static str, u64>,
}

/// A stretch in which an alert is active.
#[derive(Serialize)]
struct StretchShape {
    #[serde(serialize_with = "text")]
    active_at: Millis,
    #[serde(serialize_with = "maybe")]
    fired_at: Option<Millis>,
    #[serde(serialize_with = "maybe")]
    resolved_at: Option<Millis>,
}

impl From<Stretch> for StretchShape {
    fn from(it: Stretch) -> Self {
        let Stretch { active_at, fired_at, resolved_at } = it;
        StretchShape { active_at, fired_at, resolved_at }
    }
}

#[derive(Serialize)]
struct LateShape<'a> {
    samples: u64,
    #[serde(serialize_with = "text")]
    first: Millis,
    #[serde(serialize_with = "text")]
    last: Millis,
    series: Vec<LateSeriesShape<'a>>,
}

#[derive(Serialize)]
struct LateSeriesShape<'a> {
    #[serde(serialize_with = "labels")]
    labels: &'a Labels,
    samples: u64,
    #[serde(serialize_with = "text")]
    first: Millis,
    #[serde(serialize_with = "text")]
    last: Millis,
}

impl<'a> From<&'a Late> for LateShape<'a> {
    fn from(it: &'a Late) -> Self {
        let one = |it: &'a faultline_model::facts::LateSeries| LateSeriesShape {
            labels: &it.labels,
            samples: it.samples,
            first: it.first,
            last: it.last,
        };
        LateShape { samples: it.samples, first: it.first, last: it.last, series: it.series.iter().map(one).collect() }
    }
}

/// What an occurrence would have been.
#[derive(Serialize)]
pub struct RevisionShape<'a> {
    outcome: &'static str,
    alert: String,
    #[serde(serialize_with = "maybe")]
    occurrence: Option<Occurrence>,
    group: &'a str,
    name: &'a str,
    #[serde(serialize_with = "labels")]
    labels: &'a Labels,
    before: Option<StretchShape>,
    after: Option<StretchShape>,
    #[serde(serialize_with = "text")]
    as_of: Millis,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    late: LateShape<'a>,
}

impl<'a> From<&'a Revision> for RevisionShape<'a> {
    fn from(it: &'a Revision) -> Self {
        RevisionShape {
            outcome: it.outcome.word(),
            alert: it.alert.hex(),
            occurrence: it.occurrence,
            group: &it.group,
            name: &it.name,
            labels: &it.labels,
            before: it.before.map(StretchShape::from),
            after: it.after.map(StretchShape::from),
            as_of: it.as_of,
            dry_run: it.dry_run,
            late: (&it.late).into(),
        }
    }
}

/// Instants of which nobody can say what would have been.
#[derive(Serialize)]
pub struct UnrevisedShape<'a> {
    group: &'a str,
    name: &'a str,
    #[serde(serialize_with = "text")]
    from: Millis,
    #[serde(serialize_with = "text")]
    to: Millis,
    reason: &'a str,
    late: LateShape<'a>,
}

impl<'a> From<&'a Unrevised> for UnrevisedShape<'a> {
    fn from(it: &'a Unrevised) -> Self {
        let Unrevised { group, name, from, to, reason, late } = it;
        UnrevisedShape { group, name, from: *from, to: *to, reason, late: late.into() }
    }
}

/// The words that revisions are counted by, the last for what nobody can say.
pub fn words() -> impl Iterator<Item = &'static str> {
    Outcome::ALL.into_iter().map(Outcome::word).chain(["unknown"])
}
