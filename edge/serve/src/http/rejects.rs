//! `/api/faultline/v1/rejects`: what was refused, why, from whom, with the first bytes.
//!
//! Two lists: `rejects` are of records, which the journal holds whole; `turned_away` are requests that never became one.
use super::Api;
use super::answer::{Problem, covers, json};
use super::params::Params;
use super::shapes::{maybe, text};
use crate::store::rejects::Refusal;
use crate::store::turned_away::Row;
use crate::view::View;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use faultline_model::ids::hex;
use faultline_model::{Millis, Position, SourceId, TenantId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
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
    let (away, turned_away_counts) = {
        let away = api.store.away();
        let chosen = away.newest().into_iter().filter(|row| {
            reason.is_none_or(|reason| row.newest.reason.word() == reason)
                && source.is_none_or(|source| source_of(row).hex() == source)
        });
        (chosen.take(limit).cloned().collect::<Vec<_>>(), away.counts())
    };
    let turned_away = away.iter().map(AwayShape::from).collect();
    let body = Rejects { counts, rejects, turned_away_counts, turned_away };
    Ok(covers(json(StatusCode::OK, &body), view.covers))
}

#[derive(Serialize)]
struct Rejects<'a> {
    /// Items refused since the start, by reason.
    counts: BTreeMap<&'static str, u64>,
    rejects: Vec<RefusalShape<'a>>,
    /// Requests since the start that never became a record, by reason.
    turned_away_counts: BTreeMap<&'static str, u64>,
    turned_away: Vec<AwayShape<'a>>,
}

#[derive(Serialize)]
struct RefusalShape<'a> {
    #[serde(serialize_with = "text")]
    position: Position,
    /// `null` before rule time begins.
    #[serde(serialize_with = "maybe")]
    seen_at: Option<Millis>,
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

/// Requests of one sender that were turned away for one reason.
#[derive(Serialize)]
struct AwayShape<'a> {
    reason: &'static str,
    count: u64,
    /// Wall time of the first and of the newest.
    #[serde(serialize_with = "text")]
    first_seen_at: Millis,
    #[serde(serialize_with = "text")]
    seen_at: Millis,
    /// What the newest was told.
    detail: &'a str,
    source: AwaySource<'a>,
    /// Size of the newest's body in bytes, as declared or received.
    body_size: Option<u64>,
    body_start_hex: String,
    /// Always `false`: no journal holds it, no replay sees it.
    journalled: bool,
}

#[derive(Serialize)]
struct AwaySource<'a> {
    id: String,
    listener: &'a str,
    #[serde(serialize_with = "text")]
    peer: IpAddr,
}

/// The id that the sender's source has, or would have.
fn source_of(row: &Row) -> SourceId {
    SourceId::of_sender(TenantId(0), row.newest.listener, &row.newest.peer.to_string())
}

impl<'a> From<&'a Row> for AwayShape<'a> {
    fn from(row: &'a Row) -> AwayShape<'a> {
        let newest = &row.newest;
        AwayShape {
            reason: newest.reason.word(),
            count: row.count,
            first_seen_at: row.first,
            seen_at: row.last,
            detail: &newest.detail,
            source: AwaySource { id: source_of(row).hex(), listener: newest.listener, peer: newest.peer },
            body_size: newest.size,
            body_start_hex: hex(&newest.start),
            journalled: false,
        }
    }
}
