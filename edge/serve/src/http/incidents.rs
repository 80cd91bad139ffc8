//! `/api/faultline/v1/incidents` and `/api/faultline/v1/incidents/{id}`.
use super::Api;
use super::answer::{Problem, covers, json};
use super::params::Params;
use super::shapes::{
    AnomalyShape, ChangeShape, CoverageShape, FeedbackShape, Placed, TransitionShape, VerdictShape, maybe, text,
};
use crate::store::book::{Book, Entry};
use crate::store::incident::{IncidentStory, Revision, Step};
use crate::view::View;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use faultline_model::facts::{AlertState, Transition};
use faultline_model::{ChangeEvent, EffectId, IncidentId, Millis};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Changes of this long before an incident are shown with it, in ms.
const CHANGES_BEFORE_MS: i64 = 4 * 3_600_000;
/// Changes shown with one incident, newest.
const CHANGES_MAX: usize = 100;

/// Incidents, newest first; `state=open|resolved|merged`, `alert` (an alert's id), `limit` up to 1,000 (100).
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    list_answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

/// All that is known of one incident.
pub async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>, uri: Uri) -> Response {
    one_answer(&api, &id, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

async fn list_answer(api: &Api, uri: &Uri) -> Result<Response, Problem> {
    let params = Params::of(uri).only(&["state", "alert", "limit"])?;
    let limit = params.limit(100, 1_000)?;
    let (state, alert) = (params.get("state"), params.get("alert"));
    if state.is_some_and(|state| !["open", "resolved", "merged"].contains(&state)) {
        return Err(Problem::bad("bad-state", "state must be open, resolved or merged"));
    }
    let view = api.covered(&params).await?;
    // Shared pieces out of the lock; the text is made after it.
    let (stories, open) = {
        let book = api.store.book();
        let chosen = book.incidents().filter(|story| {
            state.is_none_or(|state| story.state() == state)
                && alert.is_none_or(|alert| story.alerts.keys().any(|id| id.hex() == alert))
        });
        (chosen.take(limit).cloned().collect::<Vec<_>>(), book.open_count())
    };
    let incidents = stories.iter().map(|story| Row::from(&**story)).collect();
    Ok(covers(json(StatusCode::OK, &Rows { open, incidents }), view.covers))
}

async fn one_answer(api: &Api, id: &str, uri: &Uri) -> Result<Response, Problem> {
    let params = Params::of(uri).only(&[])?;
    let unknown = |what: &str| {
        let detail = format!("there is no incident {id:?}: {what}");
        Problem::new(StatusCode::NOT_FOUND, "unknown-incident", detail)
    };
    let parsed = EffectId::parse(id).ok_or_else(|| unknown("an id has the form partition/offset.ordinal"))?;
    let view = api.covered(&params).await?;
    let (story, alias_of, changes) = {
        let book = api.store.book();
        let story =
            book.incident_of(parsed).ok_or_else(|| unknown("it never was, or it is too old to be kept here"))?;
        (Arc::clone(story), alias_of(&book, story), changes_of(&book, story))
    };
    Ok(covers(json(StatusCode::OK, &Whole::new(&view, &story, alias_of, &changes)), view.covers))
}

/// The incident that a merged one lives on in.
fn alias_of(book: &Book, story: &IncidentStory) -> Option<IncidentId> {
    let mut seen = BTreeSet::from([story.id]);
    let mut end = story.now.merged_into?;
    while let Some(next) = book.incident_of(end).and_then(|story| story.now.merged_into) {
        // What merges is older each time; a circle would be a fault, and must not hold the book.
        if !seen.insert(end) {
            break;
        }
        end = next;
    }
    Some(end)
}

/// Changes on the services that the incident or its verdict names, newest first.
fn changes_of(book: &Book, story: &IncidentStory) -> Vec<Arc<Entry<ChangeEvent>>> {
    let mut services: BTreeSet<&str> = story.now.entities.iter().map(|entity| &**entity).collect();
    for cause in story.verdict.iter().flat_map(|entry| &entry.what.causes) {
        services.insert(&cause.entity);
        services.extend(cause.path.iter().flat_map(|step| [&*step.client, &*step.server]));
    }
    let from = story.onset().plus(-CHANGES_BEFORE_MS);
    let to = story.resolved_at.unwrap_or(Millis(i64::MAX));
    let chosen =
        book.changes().filter(|entry| (from..=to).contains(&entry.what.at) && services.contains(&*entry.what.entity));
    chosen.take(CHANGES_MAX).cloned().collect()
}

#[derive(Serialize)]
struct Rows<'a> {
    open: usize,
    incidents: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(serialize_with = "text")]
    id: IncidentId,
    state: &'a str,
    imported: bool,
    #[serde(serialize_with = "text")]
    onset: Millis,
    #[serde(serialize_with = "text")]
    opened_at: Millis,
    #[serde(serialize_with = "maybe")]
    resolved_at: Option<Millis>,
    #[serde(serialize_with = "maybe")]
    merged_into: Option<IncidentId>,
    entities: &'a [String],
    alert_names: &'a [String],
    alerts: usize,
    firing: usize,
    summary: &'a str,
    unknown: bool,
    cause: Option<RowCause<'a>>,
}

#[derive(Serialize)]
struct RowCause<'a> {
    entity: &'a str,
    kind: &'a str,
    posterior: f64,
}

impl<'a> From<&'a IncidentStory> for Row<'a> {
    fn from(story: &'a IncidentStory) -> Row<'a> {
        let verdict = story.verdict.as_ref().map(|entry| &entry.what);
        let cause = verdict.and_then(|verdict| verdict.causes.first());
        Row {
            id: story.id,
            state: story.state(),
            imported: story.now.imported,
            onset: story.onset(),
            opened_at: story.now.opened_at,
            resolved_at: story.resolved_at,
            merged_into: story.now.merged_into,
            entities: &story.now.entities,
            alert_names: &story.now.alert_names,
            alerts: story.now.alerts.len(),
            firing: story.alerts.values().filter(|entry| entry.what.to == AlertState::Firing).count(),
            summary: verdict.map_or("", |verdict| &verdict.summary),
            unknown: verdict.is_some_and(|verdict| verdict.unknown),
            cause: cause.map(|cause| RowCause { entity: &cause.entity, kind: &cause.kind, posterior: cause.posterior }),
        }
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    /// Where a merged incident lives on, however often that merged again.
    #[serde(serialize_with = "maybe")]
    alias_of: Option<IncidentId>,
    verdict: Option<Placed<VerdictShape<'a>>>,
    times: Times,
    alert_list: Vec<Placed<TransitionShape<'a>>>,
    anomalies: Vec<Placed<AnomalyShape<'a>>>,
    anomalies_count: u64,
    changes: Vec<Placed<ChangeShape<'a>>>,
    steps: Vec<Placed<StepShape>>,
    steps_count: u64,
    verdicts: Vec<Placed<RevisionShape<'a>>>,
    verdicts_count: u64,
    /// What its cause was, as an operator said.
    closed: Option<Placed<FeedbackShape<'a>>>,
    coverage: CoverageShape<'a>,
    leaves: Vec<LeafShape>,
}

#[derive(Serialize)]
struct LeafShape {
    leaf: u64,
    #[serde(serialize_with = "text")]
    id: EffectId,
}

#[derive(Serialize)]
struct StepShape {
    phase: &'static str,
    #[serde(serialize_with = "text")]
    at: Millis,
    alerts: usize,
}

impl From<&Step> for StepShape {
    fn from(step: &Step) -> StepShape {
        StepShape { phase: step.phase.word(), at: step.at, alerts: step.alerts }
    }
}

#[derive(Serialize)]
struct RevisionShape<'a> {
    revision: u64,
    #[serde(serialize_with = "text")]
    frozen_at: Millis,
    cause: Option<&'a str>,
}

impl<'a> From<&'a Revision> for RevisionShape<'a> {
    fn from(it: &'a Revision) -> RevisionShape<'a> {
        RevisionShape { revision: it.revision, frozen_at: it.frozen_at, cause: it.cause.as_deref() }
    }
}

/// When what happened. `*_verdict` are rule times of the verdicts' own records, or, after a restart, of their evidence.
#[derive(Serialize)]
struct Times {
    #[serde(serialize_with = "text")]
    onset: Millis,
    #[serde(serialize_with = "maybe")]
    first_anomaly: Option<Millis>,
    #[serde(serialize_with = "text")]
    opened: Millis,
    #[serde(serialize_with = "maybe")]
    first_verdict: Option<Millis>,
    /// Since when the first cause has been what it is.
    #[serde(serialize_with = "maybe")]
    settled_verdict: Option<Millis>,
    #[serde(serialize_with = "maybe")]
    resolved: Option<Millis>,
    onset_to_opened_ms: i64,
    onset_to_first_verdict_ms: Option<i64>,
    onset_to_settled_verdict_ms: Option<i64>,
    opened_to_first_verdict_ms: Option<i64>,
}

impl Times {
    fn of(story: &IncidentStory) -> Times {
        let (onset, opened) = (story.onset(), story.now.opened_at);
        let when = |entry: &Entry<Revision>| entry.at.unwrap_or(entry.what.frozen_at);
        let first_verdict = story.verdicts.first().map(when);
        let settled_verdict = story.settled.as_ref().map(when);
        Times {
            onset,
            first_anomaly: story.anomalies.iter().map(|entry| entry.what.at).min(),
            opened,
            first_verdict,
            settled_verdict,
            resolved: story.resolved_at,
            onset_to_opened_ms: opened.since(onset),
            onset_to_first_verdict_ms: first_verdict.map(|at| at.since(onset)),
            onset_to_settled_verdict_ms: settled_verdict.map(|at| at.since(onset)),
            opened_to_first_verdict_ms: first_verdict.map(|at| at.since(opened)),
        }
    }
}

impl<'a> Whole<'a> {
    fn new(
        view: &'a View,
        story: &'a IncidentStory,
        alias_of: Option<IncidentId>,
        changes: &'a [Arc<Entry<ChangeEvent>>],
    ) -> Whole<'a> {
        let mut alerts: Vec<&Entry<Transition>> = story.alerts.values().map(|entry| &**entry).collect();
        alerts.sort_by_key(|entry| (entry.what.active_at, entry.id));
        Whole {
            row: story.into(),
            alias_of,
            verdict: story.verdict.as_ref().map(Placed::of),
            times: Times::of(story),
            alert_list: alerts.into_iter().map(Placed::of).collect(),
            anomalies: story.anomalies.iter().map(Placed::of).collect(),
            anomalies_count: story.anomalies_count,
            changes: changes.iter().map(|entry| Placed::of(&**entry)).collect(),
            steps: story.steps.iter().map(Placed::of).collect(),
            steps_count: story.steps_count,
            verdicts: story.verdicts.iter().map(Placed::of).collect(),
            verdicts_count: story.verdicts_count,
            closed: story.closed.as_ref().map(Placed::of),
            coverage: (&view.lacks).into(),
            leaves: story.leaves().into_iter().map(|(leaf, id)| LeafShape { leaf, id }).collect(),
        }
    }
}
