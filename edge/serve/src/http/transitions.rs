//! `/api/faultline/v1/transitions`: every change of every alert, oldest first, for tools that follow.
use super::Api;
use super::answer::{Problem, covers, json};
use super::params::Params;
use super::shapes::{Placed, TransitionShape, maybe};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use faultline_model::EffectId;
use serde::Serialize;
use std::sync::Arc;

/// `after=<id>` (exclusive), `limit` up to 1,000 (100).
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: &Api, uri: &Uri) -> Result<Response, Problem> {
    let params = Params::of(uri).only(&["after", "limit"])?;
    let limit = params.limit(100, 1_000)?;
    let after = match params.get("after") {
        None => None,
        Some(text) => Some(EffectId::parse(text).ok_or_else(|| {
            Problem::bad("bad-after", format!("after must be an id as partition/offset.ordinal, not {text:?}"))
        })?),
    };
    let view = api.covered(&params).await?;
    let (list, incomplete) = api.store.book().transitions(after, limit);
    let body = Transitions {
        transitions: list.iter().map(|entry| Placed::of(&**entry)).collect(),
        next: list.last().map(|entry| entry.id).or(after),
        incomplete,
    };
    Ok(covers(json(StatusCode::OK, &body), view.covers))
}

#[derive(Serialize)]
struct Transitions<'a> {
    transitions: Vec<Placed<TransitionShape<'a>>>,
    /// What to give as `after` next.
    #[serde(serialize_with = "maybe")]
    next: Option<EffectId>,
    /// Whether older ones than these, after `after`, may be no longer kept.
    incomplete: bool,
}
