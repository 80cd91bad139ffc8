//! `/api/v1/metadata` and `/api/v1/targets/metadata`: help, type and unit of metrics.
use super::Api;
use super::about::answer;
use super::answer::PromError;
use super::params::Params;
use super::series::any_selector;
use super::work::Share;
use crate::store::Store;
use crate::store::metadata::About;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use faultline_formats::{MetricType, series_suffixes};
use faultline_promql::Matcher;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Families read under one hold of the lock.
const PAGE: usize = 256;
/// Labels that name a target.
const TARGET: [&str; 2] = ["instance", "job"];

#[derive(Serialize)]
struct Shape {
    r#type: &'static str,
    help: Box<str>,
    unit: Box<str>,
}

impl From<About> for Shape {
    fn from(about: About) -> Shape {
        Shape { r#type: about.kind.word(), help: about.help, unit: about.unit }
    }
}

/// A number as Prometheus takes limits here; below 0 for none.
fn number(params: &Params, name: &str) -> Result<i64, PromError> {
    match params.get(name).filter(|text| !text.is_empty()) {
        None => Ok(-1),
        Some(text) => text.parse().map_err(|_| PromError::data(format!("{name} must be a number"))),
    }
}

/// By family.
pub async fn metadata(State(api): State<Arc<Api>>, request: Request) -> Response {
    let found = async {
        let params = Params::with_body(request).await?;
        let (limit, each) = (number(&params, "limit")?, number(&params, "limit_per_metric")?);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let each = usize::try_from(each).ok().filter(|each| *each > 0).unwrap_or(usize::MAX);
        let metric = params.get("metric").unwrap_or("").to_owned();
        api.covered_prometheus(&params).await?;
        let families =
            api.work(move |store, share| (share == Share::All).then(|| families(store, &metric, limit))).await?;
        let shapes = |list: Vec<About>| list.into_iter().take(each).map(Shape::from).collect::<Vec<_>>();
        Ok(families.into_iter().map(|(family, list)| (family, shapes(list))).collect::<BTreeMap<_, _>>())
    };
    match found.await {
        Ok(found) => answer(&api, found),
        Err(error) => PromError::into_response(error),
    }
}

/// Those named so, or all, at most `limit`.
fn families(store: &Store, metric: &str, limit: usize) -> Vec<(Box<str>, Vec<About>)> {
    if !metric.is_empty() {
        return store.metadata().of(metric).into_iter().take(limit).collect();
    }
    let mut all: Vec<(Box<str>, Vec<About>)> = Vec::new();
    while all.len() < limit {
        let page = store.metadata().page(all.last().map(|(family, _)| &**family), PAGE.min(limit - all.len()));
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    all
}

#[derive(Serialize)]
struct OfTarget {
    target: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    metric: Box<str>,
    #[serde(flatten)]
    shape: Shape,
}

/// By target: `instance` and `job` of the series in memory that belong to the family. Whose words of several they are is not known, so
/// each target has all.
pub async fn of_targets(State(api): State<Arc<Api>>, request: Request) -> Response {
    let found = async {
        let params = Params::with_body(request).await?;
        let limit = usize::try_from(number(&params, "limit")?).unwrap_or(usize::MAX);
        let matchers = match params.get("match_target").filter(|text| !text.is_empty()) {
            None => Vec::new(),
            Some(text) => any_selector(text, api.features).map_err(|why| PromError::bad("match_target", why))?,
        };
        let metric = params.get("metric").unwrap_or("").to_owned();
        api.covered_prometheus(&params).await?;
        api.work(move |store, share| (share == Share::All).then(|| by_target(store, &metric, &matchers, limit))).await
    };
    match found.await {
        Ok(found) => answer(&api, found),
        Err(error) => PromError::into_response(error),
    }
}

/// As in Prometheus, all of a target are told or none, and once there are `limit` no further target is begun.
fn by_target(store: &Store, metric: &str, matchers: &[Matcher], limit: usize) -> Vec<OfTarget> {
    let families = families(store, metric, usize::MAX);
    let mut targets: BTreeMap<[String; 2], Vec<usize>> = BTreeMap::new();
    for (i, (family, list)) in families.iter().enumerate() {
        let mut of_family = BTreeSet::new();
        for suffix in list.iter().flat_map(|about| suffixes(about.kind)).collect::<BTreeSet<_>>() {
            of_family.extend(store.recent().pairs(&[family, suffix].concat(), TARGET));
        }
        of_family.into_iter().for_each(|target| targets.entry(target).or_default().push(i));
    }
    let mut out = Vec::new();
    for (values, of_target) in targets {
        if out.len() >= limit {
            break;
        }
        let value = |name: &str| TARGET.iter().position(|it| *it == name).map_or("", |i| &*values[i]);
        if !matchers.iter().all(|it| it.matches(value(&it.name))) {
            continue;
        }
        let pairs = TARGET.into_iter().zip(&values).filter(|(_, value)| !value.is_empty());
        let target: BTreeMap<&str, String> = pairs.map(|(name, value)| (name, value.clone())).collect();
        for (family, list) in of_target.into_iter().map(|i| &families[i]) {
            // Asked for by its name, a metric is told without it.
            let metric = if metric.is_empty() { family.clone() } else { Box::default() };
            let told = |about: &About| OfTarget {
                target: target.clone(),
                metric: metric.clone(),
                shape: about.clone().into(),
            };
            out.extend(list.iter().map(told));
        }
    }
    out
}

/// What series of a family of this type may have behind its name: a counter or info of OpenMetrics has its own.
fn suffixes(kind: MetricType) -> impl Iterator<Item = &'static str> {
    let own = match kind {
        MetricType::Counter => "_total",
        MetricType::Info => "_info",
        _ => "",
    };
    ["", own].into_iter().chain(series_suffixes(kind).iter().copied())
}
