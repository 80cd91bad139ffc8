//! `/api/faultline/v1/feedback`: an operator closes an incident and says what its cause was.
use super::answer::{Problem, json};
use super::changes::{is_json, refused};
use super::fields::Fields;
use super::shapes::{FeedbackShape, text};
use super::{Api, not_ready};
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use faultline_formats::{Reason, decode};
use faultline_model::{Canonical, Control, EffectId, Feedback, Kind, Millis, Payload, Position, TenantId};
use serde::Serialize;
use std::sync::Arc;

/// Takes what an operator says; answers with its position once it is durable, or with why it was not taken.
pub async fn add(State(api): State<Arc<Api>>, request: Request) -> Response {
    answer(&api, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: &Api, request: Request) -> Result<Response, Problem> {
    is_json(request.headers())?;
    let body = Bytes::from_request(request, &()).await;
    let body = body.map_err(|error| Problem::new(error.status(), "bad-body", error.body_text()))?;
    let feedback = read(&body, api.clock.now())?;
    let merged = api.store.book().incident_of(feedback.incident).and_then(|story| story.now.merged_into);
    if let Some(other) = merged {
        let detail = format!("incident {} joined {other}: close that one", feedback.incident);
        return Err(Problem::new(StatusCode::CONFLICT, "merged-incident", detail));
    }
    let kind = Kind::Control(Control::Feedback);
    let payload = Payload { tenant: TenantId(0), kind, body: feedback.to_bytes().into() };
    let seed = *api.seed.get().ok_or_else(|| not_ready(&api.store.view()))?;
    let answer = api.inlet.submit(decode(payload, seed)).await.map_err(refused)?;
    if let Some(reject) = answer.rejects.iter().find(|reject| reject.reason == Reason::BadFeedback) {
        return Err(Problem::new(StatusCode::CONFLICT, "bad-feedback", reject.detail.clone()));
    }
    Ok(json(StatusCode::CREATED, &Added { position: answer.at, feedback: (&feedback).into() }))
}

#[derive(Serialize)]
struct Added<'a> {
    /// Give it as `min_offset` to read answers that take account of it.
    #[serde(serialize_with = "text")]
    position: Position,
    feedback: FeedbackShape<'a>,
}

/// Reads what is said, and names everything that is wrong with it at once.
fn read(body: &[u8], now: Millis) -> Result<Feedback, Problem> {
    let mut fields = Fields::read(body)?;
    let incident = fields.required("incident", 64, "the incident's id");
    let parsed = EffectId::parse(&incident);
    if parsed.is_none() && !incident.is_empty() {
        fields.wrong("incident", "is no id: one has the form partition/offset.ordinal");
    }
    let feedback = Feedback {
        incident: parsed.unwrap_or_default(),
        cause: fields.required("cause", 256, "the service that was at fault"),
        note: fields.text("note", 4_096).unwrap_or_default(),
        at: now,
        by: fields.text("by", 256).unwrap_or_default(),
    };
    let errors = fields.finish("is not a field of feedback: incident, cause, note, by");
    match errors.is_empty() {
        true => Ok(feedback),
        false => Err(Problem::bad("bad-feedback", "the feedback was not taken").fields(errors)),
    }
}
