//! Routes, and what all of them share: bounds, parameters, coverage, errors.
mod about;
mod anchors;
mod answer;
mod changes;
pub(crate) mod events;
mod exemplars;
mod feedback;
mod fields;
mod health;
mod incidents;
mod metadata;
mod metrics;
mod number;
mod params;
mod query;
mod rejects;
mod reload;
pub(crate) mod revisions;
mod rules;
mod series;
mod shapes;
mod source;
mod status;
mod time;
mod traces;
mod transitions;
mod values;
mod work;

use crate::store::Store;
use crate::view::View;
pub use reload::Reload;

use answer::Problem;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use faultline_host::{Clock, Inlet};
use faultline_model::HashSeed;
use faultline_promql::{Expr, Features, ParseError, parse_with};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use work::Queries;

/// Largest request body, in bytes.
const BODY_SIZE_MAX: usize = 256 << 10;
/// When to come back to a server that is starting.
const STARTING_FOR: Duration = Duration::from_secs(2);

const PATHS: &[&str] = &[
    "/api/faultline/v1/incidents",
    "/api/faultline/v1/incidents/{id}",
    "/api/faultline/v1/transitions",
    "/api/faultline/v1/revisions",
    "/api/faultline/v1/rejects",
    "/api/faultline/v1/changes",
    "/api/faultline/v1/traces",
    "/api/faultline/v1/feedback",
    "/api/faultline/v1/status",
    "/api/faultline/v1/events",
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_exemplars",
    "/api/v1/format_query",
    "/api/v1/parse_query",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/label/{name}/values",
    "/api/v1/metadata",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/api/v1/targets",
    "/api/v1/targets/metadata",
    "/api/v1/scrape_pools",
    "/api/v1/alertmanagers",
    "/api/v1/status/buildinfo",
    "/api/v1/status/config",
    "/api/v1/status/flags",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/tsdb",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/metrics",
];

/// What handlers answer from.
pub(crate) struct Api {
    store: Store,
    inlet: Inlet,
    seed: Arc<OnceLock<HashSeed>>,
    clock: Arc<dyn Clock>,
    queries: Queries,
    features: Features,
    reload: Reload,
}

/// Every route of the API.
///
/// - `inlet`, `seed`: where a posted change goes, and record 0's seed to decode it with, known before the first snapshot
///   that is ready. Until then only health, readiness, status and metrics are answered.
/// - `clock`: gives a posted change its time where it states none.
/// - `features`: experimental parts of PromQL that queries may use.
/// - `reload`: has the rule files read again.
pub fn router(
    store: Store,
    inlet: Inlet,
    seed: Arc<OnceLock<HashSeed>>,
    clock: Arc<dyn Clock>,
    features: Features,
    reload: Reload,
) -> Router {
    let queries = Queries::default();
    let api = Arc::new(Api { store, inlet, seed, clock, queries, features, reload });
    let once_ready = Router::new()
        .route("/api/faultline/v1/incidents", get(incidents::list))
        // Ids have a slash in them, which clients may or may not escape.
        .route("/api/faultline/v1/incidents/{*id}", get(incidents::one))
        .route("/api/faultline/v1/transitions", get(transitions::list))
        .route("/api/faultline/v1/revisions", get(revisions::list))
        .route("/api/faultline/v1/rejects", get(rejects::list))
        .route("/api/faultline/v1/changes", get(changes::list).post(changes::add))
        .route("/api/faultline/v1/traces", get(traces::list))
        .route("/api/faultline/v1/feedback", post(feedback::add))
        .route("/api/faultline/v1/anchors", post(anchors::want))
        .route("/api/faultline/v1/events", get(events::stream))
        .route("/-/reload", post(reload::reload).put(reload::reload))
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::range).post(query::range))
        .route("/api/v1/query_exemplars", get(exemplars::query).post(exemplars::query))
        .route("/api/v1/format_query", get(about::format_query).post(about::format_query))
        .route("/api/v1/parse_query", get(about::parse_query).post(about::parse_query))
        .route("/api/v1/series", get(series::series).post(series::series))
        .route("/api/v1/labels", get(series::names).post(series::names))
        .route("/api/v1/label/{name}/values", get(series::values))
        .route("/api/v1/metadata", get(metadata::metadata))
        .route("/api/v1/targets", get(about::targets))
        .route("/api/v1/targets/metadata", get(metadata::of_targets))
        .route("/api/v1/scrape_pools", get(about::scrape_pools))
        .route("/api/v1/alertmanagers", get(about::alertmanagers))
        .route("/api/v1/status/config", get(about::config))
        .route("/api/v1/status/flags", get(about::flags))
        .route("/api/v1/status/runtimeinfo", get(about::runtime))
        .route("/api/v1/status/tsdb", get(about::tsdb))
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/alerts", get(rules::alerts))
        .route_layer(from_fn_with_state(Arc::clone(&api), when_ready));
    Router::new()
        .merge(once_ready)
        .route("/api/faultline/v1/status", get(status::show))
        .route("/api/v1/status/buildinfo", get(status::build_info))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/metrics", get(metrics::show))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_SIZE_MAX))
        .with_state(api)
}

impl Api {
    /// The expression of a text.
    fn parse(&self, text: &str) -> Result<Expr, ParseError> {
        parse_with(text, self.features)
    }
}

/// What is asked while the journal is still being read would be answered from a part of it.
async fn when_ready(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let view = api.store.view();
    match view.ready {
        true => next.run(request).await,
        false => not_ready(&view).into_response(),
    }
}

/// Why nothing but health, readiness, status and metrics is answered yet.
fn not_ready(view: &View) -> Problem {
    let detail = format!("the server is not ready: {}", view.not_ready);
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail).retry_after(STARTING_FOR)
}

async fn unknown_path() -> Response {
    let detail = format!("there is nothing here; there is {}", PATHS.join(", "));
    Problem::new(StatusCode::NOT_FOUND, "unknown-path", detail).into_response()
}

async fn wrong_method(request: Request) -> Response {
    let allowed = match request.uri().path() {
        "/api/faultline/v1/changes"
        | "/api/v1/query"
        | "/api/v1/query_range"
        | "/api/v1/query_exemplars"
        | "/api/v1/format_query"
        | "/api/v1/parse_query"
        | "/api/v1/series"
        | "/api/v1/labels" => "GET and POST",
        "/api/faultline/v1/feedback" => "POST",
        _ => "GET",
    };
    let detail = format!("this path takes {allowed}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", detail).into_response()
}
