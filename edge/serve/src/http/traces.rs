//! `/api/faultline/v1/traces`: requests that a service served, slowest first: of each minute the slowest.
use super::Api;
use super::answer::{Problem, covers, json};
use super::params::Params;
use super::shapes::text;
use super::time;
use crate::store::traces::Example;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use faultline_model::Millis;
use serde::Serialize;
use std::sync::Arc;

/// Most that are answered.
const TRACES_MAX: usize = 240;

/// `service=<name>`, `from`, `to`, `failed=true` for those that failed alone, `limit` up to 240 (10).
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: &Api, uri: &Uri) -> Result<Response, Problem> {
    let params = Params::of(uri).only(&["service", "from", "to", "failed", "limit"])?;
    let Some(service) = params.get("service") else {
        return Err(Problem::bad("no-service", "name one: service=NAME"));
    };
    let failed = match params.get("failed") {
        None | Some("false") => false,
        Some("true") => true,
        Some(text) => return Err(Problem::bad("bad-failed", format!("failed must be true or false, not {text:?}"))),
    };
    let (from, to) = (moment(&params, "from")?, moment(&params, "to")?);
    let limit = params.limit(10, TRACES_MAX)?;
    let view = api.covered(&params).await?;
    let span = (from.unwrap_or(Millis(i64::MIN)), to.unwrap_or(Millis(i64::MAX)));
    let mut found = api.store.traces().of(service, span, failed);
    found.truncate(limit);
    let traces = found.iter().map(|it| TraceShape::of(service, it)).collect();
    Ok(covers(json(StatusCode::OK, &Traces { traces }), view.covers))
}

fn moment(params: &Params, name: &str) -> Result<Option<Millis>, Problem> {
    let Some(text) = params.get(name) else { return Ok(None) };
    time::prometheus(text).map(Some).map_err(|why| Problem::bad("bad-time", format!("{name} {text:?}: {why}")))
}

#[derive(Serialize)]
struct Traces<'a> {
    traces: Vec<TraceShape<'a>>,
}

#[derive(Serialize)]
struct TraceShape<'a> {
    trace_id: String,
    span_id: String,
    service: &'a str,
    /// Who made the request, where that one tells of it.
    seen_by: Option<&'a str>,
    name: &'a str,
    #[serde(serialize_with = "text")]
    start: Millis,
    took_ms: f64,
    failed: bool,
}

impl<'a> TraceShape<'a> {
    fn of(service: &'a str, it: &'a Example) -> TraceShape<'a> {
        TraceShape {
            trace_id: format!("{:032x}", it.trace),
            span_id: format!("{:016x}", it.span),
            service,
            seen_by: it.seen_by.as_deref(),
            name: &it.name,
            start: it.start.millis(),
            took_ms: it.took_ns as f64 / 1e6,
            failed: it.failed,
        }
    }
}
