//! `/api/faultline/v1/rejects`: what was refused, why, from whom, with the first bytes.
use super::Api;
use super::answer::{Problem, covers, json};
use super::params::Params;
use super::shapes::text;
use crate::store::rejects::Refusal;
use crate::view::View;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use faultline_model::ids::hex;
use faultline_model::{Millis, Position, SourceId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Newest first; `reason`, `source` (an id), `limit` up to 1,000 (100).
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: &Api, uri: &Uri) -> Result<Response, Problem> {
    let params = Params::of(uri).only(&["reason", "source", "limit"])?;
    let limit = params.limit(100, 1_000)?;
    let (reason, source) = (params.get("reason"), params.get("source"));
    let view = api.covered(&params).await?;
    let (list, counts) = {
        let rejects = api.store.rejects();
        let chosen = rejects.newest().filter(|refusal| {
            reason.is_none_or(|reason| refusal.reason == reason)
                && source.is_none_or(|source| refusal.source.is_some_and(|id| id.hex() == source))
        });
        (chosen.take(limit).cloned().collect::<Vec<_>>(), rejects.counts().clone())
    };
    let rejects = list.iter().map(|refusal| RefusalShape::new(&view, refusal)).collect();
    Ok(covers(json(StatusCode::OK, &Rejects { counts, rejects }), view.covers))
}

#[derive(Serialize)]
struct Rejects<'a> {
    /// Items refused since the start, by reason.
    counts: BTreeMap<&'static str, u64>,
    rejects: Vec<RefusalShape<'a>>,
}

#[derive(Serialize)]
struct RefusalShape<'a> {
    #[serde(serialize_with = "text")]
    position: Position,
    #[serde(serialize_with = "text")]
    seen_at: Millis,
    reason: &'static str,
    count: u64,
    detail: &'a str,
    source: Option<SourceShape<'a>>,
    /// Size of the whole body in bytes, as received.
    body_size: Option<usize>,
    /// Its first bytes, at most 4 KiB, in hexadecimal.
    body_start_hex: String,
}

#[derive(Serialize)]
struct SourceShape<'a> {
    id: String,
    /// `null` where the snapshot does not know the source.
    listener: Option<&'a str>,
    peer: Option<&'a str>,
}

impl<'a> RefusalShape<'a> {
    fn new(view: &'a View, refusal: &'a Refusal) -> RefusalShape<'a> {
        let source = |id: SourceId| {
            let known = view.sources.binary_search_by(|source| source.id.cmp(&id)).ok().map(|i| &view.sources[i]);
            SourceShape { id: id.hex(), listener: known.map(|s| &*s.listener), peer: known.map(|s| &*s.peer) }
        };
        RefusalShape {
            position: refusal.at,
            seen_at: refusal.seen_at,
            reason: refusal.reason,
            count: refusal.count,
            detail: &refusal.detail,
            source: refusal.source.map(source),
            body_size: refusal.size,
            body_start_hex: hex(&refusal.body),
        }
    }
}
