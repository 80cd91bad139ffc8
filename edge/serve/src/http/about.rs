//! What Grafana and other clients of Prometheus ask about the server itself, in Prometheus' shapes. What we do not have,
//! as scraping, is answered as empty, which is true.
use super::Api;
use super::answer::{PromAnswer, PromError, Told};
use super::params::Params;
use super::shapes::text;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use faultline_host::machine_name;
use faultline_model::Millis;
use faultline_promql::Tree;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most rows of each list of the status of the store.
const ROWS_MAX: usize = 10_000;

pub(super) fn answer(api: &Api, data: impl Serialize) -> Response {
    PromAnswer::new(data, Told::default()).at(api.store.view().covers)
}

/// There is no configuration in Prometheus' form.
pub async fn config(State(api): State<Arc<Api>>) -> Response {
    answer(&api, json!({ "yaml": "" }))
}

/// Of Prometheus' flags there is one.
pub async fn flags(State(api): State<Arc<Api>>) -> Response {
    let features: Vec<_> = api.features.names().collect();
    answer(&api, json!({ "enable-feature": features.join(",") }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    #[serde(serialize_with = "text")]
    start_time: Millis,
    #[serde(rename = "CWD")]
    folder: String,
    hostname: String,
    #[serde(serialize_with = "text")]
    server_time: Millis,
    reload_config_success: bool,
    #[serde(serialize_with = "text")]
    last_config_time: Millis,
    corruption_count: u64,
    goroutine_count: u64,
    #[serde(rename = "GOMAXPROCS")]
    cores: usize,
    #[serde(rename = "GOMEMLIMIT")]
    memory: i64,
    #[serde(rename = "GOGC")]
    gc: String,
    #[serde(rename = "GODEBUG")]
    debug: String,
    storage_retention: String,
}

/// The process.
pub async fn runtime(State(api): State<Arc<Api>>) -> Response {
    let (view, limits) = (api.store.view(), *api.store.recent().limits());
    let taken = api.store.book().rules().and_then(|rules| rules.at);
    let runtime = Runtime {
        start_time: view.started,
        folder: String::new(),
        hostname: machine_name(),
        server_time: api.clock.now(),
        reload_config_success: api.store.book().refused().is_none(),
        last_config_time: taken.unwrap_or(view.started),
        corruption_count: api.store.recent().fill().damaged,
        goroutine_count: 0,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: i64::MAX,
        gc: String::new(),
        debug: String::new(),
        storage_retention: format!("{}d or {}MiB", limits.retention_ms / 86_400_000, limits.disk >> 20),
    };
    answer(&api, runtime)
}

/// What is in memory, and what it is most of.
pub async fn tsdb(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    let limit = match Params::of(&uri).get("limit").filter(|text| !text.is_empty()).map(str::parse::<usize>) {
        None => 10,
        Some(Ok(limit)) if limit > ROWS_MAX => {
            return PromError::data(format!("limit must not exceed {ROWS_MAX}")).into_response();
        }
        Some(Ok(limit)) if limit > 0 => limit,
        Some(_) => return PromError::data("limit must be a positive number".into()).into_response(),
    };
    let store = api.store.clone();
    let counted = tokio::task::spawn_blocking(move || {
        let recent = store.recent();
        (recent.fill(), recent.span(), recent.cardinality(limit))
    });
    let Ok((fill, span, lists)) = counted.await else {
        return PromError::internal("the look-up broke; this is our fault".into()).into_response();
    };
    let [by_metric, by_label, memory, by_pair] = lists
        .map(|list| list.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Value>());
    let (first, last) = span.unwrap_or_default();
    let data = json!({
        "headStats": {
            "numSeries": fill.series,
            "numLabelPairs": fill.pairs,
            "chunkCount": fill.chunks,
            "minTime": first.0,
            "maxTime": last.0,
        },
        "seriesCountByMetricName": by_metric,
        "labelValueCountByLabelName": by_label,
        "memoryInBytesByLabelName": memory,
        "seriesCountByLabelValuePair": by_pair,
    });
    answer(&api, data)
}

/// Nothing is scraped.
pub async fn targets(State(api): State<Arc<Api>>) -> Response {
    answer(&api, json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {} }))
}

/// Nothing is scraped.
pub async fn scrape_pools(State(api): State<Arc<Api>>) -> Response {
    answer(&api, json!({ "scrapePools": [] }))
}

/// Alertmanagers are sinks here, and no part of what this interface shows.
pub async fn alertmanagers(State(api): State<Arc<Api>>) -> Response {
    answer(&api, json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }))
}

/// The expression, spread over several lines where it is long.
pub async fn format_query(State(api): State<Arc<Api>>, request: Request) -> Response {
    let formatted = async {
        let params = Params::with_body(request).await?;
        let text = params.get("query").unwrap_or("");
        let expr = api.parse(text).map_err(|error| PromError::bad("query", PromError::expression(text, &error)))?;
        Ok(faultline_promql::format_query(&expr))
    };
    match formatted.await {
        Ok(formatted) => answer(&api, formatted),
        Err(error) => PromError::into_response(error),
    }
}

/// The expression as a tree.
pub async fn parse_query(State(api): State<Arc<Api>>, request: Request) -> Response {
    let parsed = async {
        let params = Params::with_body(request).await?;
        let text = params.get("query").unwrap_or("");
        let expr = api.parse(text).map_err(|error| PromError::bad("query", PromError::expression(text, &error)))?;
        Ok(Shown(expr.tree()))
    };
    match parsed.await {
        Ok(tree) => answer(&api, tree),
        Err(error) => PromError::into_response(error),
    }
}

/// A tree as JSON.
struct Shown(Tree);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn show<S: Serializer>(tree: &Tree, serializer: S) -> Result<S::Ok, S::Error> {
            match tree {
                Tree::Null => serializer.serialize_unit(),
                Tree::Bool(value) => serializer.serialize_bool(*value),
                Tree::Whole(number) => serializer.serialize_i64(*number),
                Tree::Number(number) => serializer.serialize_f64(*number),
                Tree::Text(text) => serializer.serialize_str(text),
                Tree::List(list) => serializer.collect_seq(list.iter().map(Ref)),
                Tree::Object(fields) => serializer.collect_map(fields.iter().map(|(name, tree)| (name, Ref(tree)))),
            }
        }
        struct Ref<'a>(&'a Tree);
        impl Serialize for Ref<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                show(self.0, serializer)
            }
        }
        show(&self.0, serializer)
    }
}
