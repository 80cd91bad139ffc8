//! `/api/faultline/v1/changes`: what changed in the estate, to read and to tell.
use super::answer::{Problem, covers, json};
use super::fields::Fields;
use super::params::Params;
use super::shapes::{ChangeShape, Placed, text};
use super::{Api, not_ready};
use crate::store::book::CHANGES_MAX;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use faultline_formats::decode;
use faultline_host::Refused;
use faultline_model::{Canonical, ChangeEvent, Control, Kind, Millis, Payload, Position, TenantId};
use serde::Serialize;
use std::sync::Arc;

/// Changes, newest first; `entity`, `limit` up to 1,000 (100).
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    list_answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

/// Takes a change; answers with its position once it is durable.
pub async fn add(State(api): State<Arc<Api>>, request: Request) -> Response {
    add_answer(&api, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn list_answer(api: &Api, uri: &Uri) -> Result<Response, Problem> {
    let params = Params::of(uri).only(&["entity", "limit"])?;
    let limit = params.limit(100, CHANGES_MAX)?;
    let entity = params.get("entity");
    let view = api.covered(&params).await?;
    let chosen: Vec<_> = {
        let book = api.store.book();
        let of_entity = book.changes().filter(|entry| entity.is_none_or(|entity| entry.what.entity == entity));
        of_entity.take(limit).cloned().collect()
    };
    let changes = chosen.iter().map(|entry| Placed::of(&**entry)).collect();
    Ok(covers(json(StatusCode::OK, &Changes { changes }), view.covers))
}

async fn add_answer(api: &Api, request: Request) -> Result<Response, Problem> {
    is_json(request.headers())?;
    let body = Bytes::from_request(request, &()).await;
    let body = body.map_err(|error| Problem::new(error.status(), "bad-body", error.body_text()))?;
    let change = read(&body, api.clock.now())?;
    let kind = Kind::Control(Control::Change);
    let payload = Payload { tenant: TenantId(0), kind, body: change.to_bytes().into() };
    let seed = *api.seed.get().ok_or_else(|| not_ready(&api.store.view()))?;
    let answer = api.inlet.submit(decode(payload, seed)).await.map_err(refused)?;
    let body = Added { position: answer.at, change: (&change).into() };
    Ok(json(StatusCode::CREATED, &body))
}

#[derive(Serialize)]
struct Changes<'a> {
    changes: Vec<Placed<ChangeShape<'a>>>,
}

#[derive(Serialize)]
struct Added<'a> {
    /// Give it as `min_offset` to read answers that take account of the change.
    #[serde(serialize_with = "text")]
    position: Position,
    change: ChangeShape<'a>,
}

/// Whether a request says that its body is JSON. A web page of somebody else's can post anything but this type without
/// asking first.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    match kind.split(|byte| *byte == b';').next() {
        Some(b"application/json") => Ok(()),
        _ => {
            let detail = "content-type must be application/json";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad-content-type", detail))
        }
    }
}

/// What a client is told whose record was not taken.
pub(super) fn refused(refused: Refused) -> Problem {
    let detail = refused.to_string();
    match refused {
        Refused::Full { retry_after } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "full", detail).retry_after(retry_after)
        }
        Refused::DiskFull { retry_after } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "disk-full", detail).retry_after(retry_after)
        }
        Refused::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail),
        _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail),
    }
}

/// Reads a change, and names everything that is wrong with it at once.
fn read(body: &[u8], now: Millis) -> Result<ChangeEvent, Problem> {
    let mut fields = Fields::read(body)?;
    let (service, entity) = (fields.text("service", 256), fields.text("entity", 256));
    let entity = match (service, entity) {
        (Some(_), Some(_)) => fields.wrong("entity", "is given beside \"service\", which means the same"),
        (None, None) if fields.is_well() => fields.wrong("service", "is missing: the service that changed"),
        (service, entity) => service.or(entity).unwrap_or_default(),
    };
    let change = ChangeEvent {
        entity,
        kind: fields.required("kind", 64, "`deploy`, `config`, `flag`, `scale` or a word of your own"),
        title: fields.required("title", 1_024, "what was changed, in your words"),
        version: fields.text("version", 256).unwrap_or_default(),
        at: fields.time("at", now),
        by: fields.text("by", 256).unwrap_or_default(),
    };
    let others = "is not a field of a change: service, kind, title, version, at, by";
    let errors = fields.finish(others);
    match errors.is_empty() {
        true => Ok(change),
        false => Err(Problem::bad("bad-change", "the change was not taken").fields(errors)),
    }
}
