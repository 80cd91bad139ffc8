//! `/api/v1/query`: PromQL over the recent store, at the current instant.
use super::Api;
use super::answer::{PromError, query_answer};
use super::number;
use super::params::{Params, Uncovered};
use super::shapes::labels;
use super::time;
use crate::store::Store;
use axum::extract::{Form, FromRequest, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use faultline_model::histogram::Bucket;
use faultline_model::{Histogram, Labels, Millis, Number, Sample};
use faultline_promql::{Expr, Options, Selector, SeriesView, Source, Value, evaluate, parse};
use serde::Serialize;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// How far a client's `time` may lie from rule time and still mean "now", in ms.
const NOW_MS: i64 = 60_000;
/// How long a query waits for others to end.
const WAIT: Duration = Duration::from_secs(1);
/// Series that one selector may match.
const SERIES_MAX: usize = 100_000;
/// Samples that one query may touch.
const SAMPLES_MAX: u64 = 10_000_000;

/// GET, or POST with the parameters as a form.
pub async fn query(State(api): State<Arc<Api>>, request: Request) -> Response {
    answer(&api, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: &Api, request: Request) -> Result<Response, PromError> {
    let mut params = Params::of(request.uri());
    if request.method() == Method::POST {
        let form = Form::<Vec<(String, String)>>::from_request(request, &()).await;
        params = params.with_form(form.map_err(|error| PromError::bad("query", error.body_text()))?.0);
    }
    let text = params.get("query").unwrap_or("");
    let expr = parse(text).map_err(|error| PromError::bad("query", error))?;
    let limit = match params.get("limit").map(str::parse::<usize>) {
        None | Some(Ok(0)) => usize::MAX,
        Some(Ok(limit)) => limit,
        Some(Err(error)) => return Err(PromError::bad("limit", error)),
    };
    if params.get("lookback_delta").is_some() {
        return Err(PromError::bad("lookback_delta", "it cannot be chosen here; it is 5 minutes"));
    }
    let view = api.covered(&params).await.map_err(|uncovered| match uncovered {
        Uncovered::Bad(why) => PromError::bad("min_offset", why),
        Uncovered::Behind(why) => PromError::unavailable(why),
    })?;
    if let Some(text) = params.get("time") {
        let words = "invalid time value for 'time': cannot parse";
        let at = time::prometheus(text)
            .ok_or_else(|| PromError::bad("time", format!("{words} {text:?} to a valid timestamp")))?;
        if view.at.since(at).saturating_abs() > NOW_MS {
            let why = format!(
                "only the current instant can be asked for: now is {}, {at} lies more than a minute from it",
                view.at
            );
            return Err(PromError::bad("time", why));
        }
    }
    let permit = tokio::time::timeout(WAIT, Arc::clone(&api.queries).acquire_owned()).await;
    let Ok(Ok(permit)) = permit else {
        return Err(PromError::unavailable("too many queries at once; ask again".into()));
    };
    let (store, at) = (api.store.clone(), view.at);
    // Evaluation is long arithmetic: on a thread where it holds up no other answer.
    let value = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        value_of(&store, &expr, at)
    });
    let value = value.await.map_err(|_| PromError::internal("the evaluation broke; this is our fault".into()))??;
    let (data, cut) = QueryData::new(value, at, limit);
    let warnings = if cut { vec!["results truncated due to limit".to_owned()] } else { Vec::new() };
    Ok(query_answer(data, warnings, view.covers))
}

fn value_of(store: &Store, expr: &Expr, at: Millis) -> Result<Value, PromError> {
    let options = Options { samples_max: SAMPLES_MAX, ..Options::default() };
    let source = RecentSource { store, at, lookback_ms: options.lookback_ms, refused: RefCell::default() };
    let value = evaluate(expr, at, &source, &options);
    // What could not be read comes first: without it the evaluation saw less than it asked for.
    if let Some(refused) = source.refused.into_inner() {
        return Err(PromError::execution(refused));
    }
    value.map_err(|error| PromError::execution(error.to_string()))
}

/// The recent store as what supplies series. Why it could not supply all of them is in `refused`.
struct RecentSource<'a> {
    store: &'a Store,
    at: Millis,
    lookback_ms: i64,
    refused: RefCell<Option<String>>,
}

impl RecentSource<'_> {
    fn refuse(&self, why: String) {
        self.refused.borrow_mut().get_or_insert(why);
    }
}

impl Source for RecentSource<'_> {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let recent = self.store.recent();
        let Some(found) = recent.find(&selector.matchers, SERIES_MAX) else {
            return self
                .refuse(format!("a selector matches more than {SERIES_MAX} series; name a metric or more labels"));
        };
        let (from, to) = stretch(selector, self.at, self.lookback_ms);
        recent.copy(&found, from, to, |samples, series| {
            let samples = &samples[series.samples.clone()];
            if let Some(dropped) = series.dropped.filter(|dropped| lacks(selector, samples, *dropped, from)) {
                self.refuse(format!(
                    "{} is no longer here as far back as the query reads: only what follows {dropped} is kept; \
                     shorten the range or the offset",
                    found[series.index].labels
                ));
            }
            if !samples.is_empty() {
                let series = &found[series.index];
                visit(SeriesView {
                    id: series.id,
                    labels: &series.labels,
                    samples,
                    histograms: &[],
                    starts: None,
                    marks: None,
                });
            }
        });
    }
}

/// The stretch of time that a selector can read in an evaluation at `at`, both ends within.
fn stretch(selector: &Selector, at: Millis, lookback_ms: i64) -> (Millis, Millis) {
    if selector.reach == i64::MAX {
        return (Millis(i64::MIN), Millis(i64::MAX));
    }
    let base = match selector.at {
        Some(faultline_promql::At::Time(time)) => time,
        Some(_) | None => at,
    };
    let to = Millis(base.0.saturating_sub(selector.offset));
    let own = if selector.range > 0 { selector.range } else { lookback_ms };
    (to.plus(own.saturating_add(selector.reach).saturating_neg()), to)
}

/// Whether a sample that was given up could have changed what the selector reads.
fn lacks(selector: &Selector, samples: &[Sample], dropped: Millis, from: Millis) -> bool {
    // An instant selector reads the newest sample only, and that one is there.
    let newest_suffices = selector.range == 0 && selector.reach == 0 && !samples.is_empty();
    dropped >= from && !newest_suffices
}

/// The data of an answer. Instants are floats in ms, which [`query_answer`] writes in seconds.
#[derive(Serialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum QueryData {
    Scalar((f64, String)),
    String((f64, String)),
    Vector(Vec<VectorElement>),
    Matrix(Vec<MatrixSeries>),
}

#[derive(Serialize)]
struct VectorElement {
    #[serde(serialize_with = "labels")]
    metric: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<(f64, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<(f64, Distribution)>,
}

#[derive(Serialize)]
struct MatrixSeries {
    #[serde(serialize_with = "labels")]
    metric: Labels,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<(f64, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    histograms: Vec<(f64, Distribution)>,
}

/// A histogram. Its buckets begin with which of their bounds belong to them: 0 the upper, 1 the lower, 2 neither, 3 both.
#[derive(Serialize)]
struct Distribution {
    count: String,
    sum: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    buckets: Vec<(u8, String, String, String)>,
}

impl Distribution {
    fn of(histogram: &Histogram) -> Distribution {
        let bucket = |b: Bucket| {
            let bounds = match (b.lower_inclusive, b.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            (bounds, number::plain(b.lower), number::plain(b.upper), number::plain(b.count))
        };
        let (count, sum) = (number::plain(histogram.count), number::plain(histogram.sum));
        Distribution { count, sum, buckets: histogram.buckets().map(bucket).collect() }
    }
}

impl QueryData {
    /// The first `limit` elements of a value, and whether there are more.
    fn new(value: Value, at: Millis, limit: usize) -> (QueryData, bool) {
        let stamp = at.0 as f64;
        match value {
            Value::Scalar(value) => (QueryData::Scalar((stamp, number::plain(value))), false),
            Value::Text(text) => (QueryData::String((stamp, text)), false),
            Value::Vector(list) => {
                let cut = list.len() > limit;
                let element = |element: faultline_promql::Element| VectorElement {
                    metric: element.labels,
                    value: element.value.float().map(|x| (stamp, number::plain(x))),
                    histogram: element.value.histogram().map(|h| (stamp, Distribution::of(h))),
                };
                (QueryData::Vector(list.into_iter().take(limit).map(element).collect()), cut)
            }
            Value::Matrix(list) => {
                let cut = list.len() > limit;
                let series = |series: faultline_promql::Series| {
                    let (mut values, mut histograms) = (Vec::new(), Vec::new());
                    for (time, value) in &series.samples {
                        match value {
                            Number::Float(x) => values.push((time.0 as f64, number::plain(*x))),
                            Number::Histogram(h) => histograms.push((time.0 as f64, Distribution::of(h))),
                        }
                    }
                    MatrixSeries { metric: series.labels, values, histograms }
                };
                (QueryData::Matrix(list.into_iter().take(limit).map(series).collect()), cut)
            }
        }
    }
}
