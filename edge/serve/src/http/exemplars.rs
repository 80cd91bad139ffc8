//! `/api/v1/query_exemplars`: exemplars of the series that an expression reads.
use super::Api;
use super::answer::{PromError, Told, covers, query_answer};
use super::number::plain;
use super::params::Params;
use super::shapes::labels;
use super::work::Share;
use crate::store::Store;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use faultline_formats::Exemplar;
use faultline_model::{Labels, Millis};
use faultline_promql::Matcher;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// GET, or POST with the parameters as a form.
pub async fn query(State(api): State<Arc<Api>>, request: Request) -> Response {
    let answer = async {
        let params = Params::with_body(request).await?;
        let span = (params.time("start")?.unwrap_or(Millis(i64::MIN)), params.time("end")?.unwrap_or(Millis(i64::MAX)));
        if span.1 < span.0 {
            return Err(PromError::data("end timestamp must not be before start timestamp".into()));
        }
        let text = params.get("query").unwrap_or("");
        let expr = api.parse(text).map_err(|error| PromError::data(PromError::expression(text, &error)))?;
        let sets: Vec<Vec<Matcher>> = expr.written_matchers().into_iter().map(<[Matcher]>::to_vec).collect();
        let view = api.covered_prometheus(&params).await?;
        if sets.is_empty() {
            // Nothing to look for: Prometheus answers without a body.
            return Ok(covers(StatusCode::NO_CONTENT.into_response(), view.covers));
        }
        let found = api.work(move |store, share| (share == Share::All).then(|| found(store, &sets, span))).await?;
        Ok(query_answer(found, Told::default(), view.covers))
    };
    answer.await.unwrap_or_else(PromError::into_response)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    #[serde(serialize_with = "labels")]
    series_labels: Labels,
    #[serde(serialize_with = "exemplars")]
    exemplars: Vec<Exemplar>,
}

#[derive(Serialize)]
struct Shape<'a> {
    #[serde(serialize_with = "labels")]
    labels: &'a Labels,
    value: String,
    /// In ms, which the writer of answers turns into seconds.
    timestamp: f64,
}

fn exemplars<S: Serializer>(exemplars: &[Exemplar], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(exemplars.iter().map(|it| Shape {
        labels: &it.labels,
        value: plain(it.value),
        timestamp: it.time.0 as f64,
    }))
}

/// Of each series that all matchers of one of `sets` accept, a page at a time: meanwhile more may come.
fn found(store: &Store, sets: &[Vec<Matcher>], span: (Millis, Millis)) -> Vec<Found> {
    let accepts = |series: &Labels, set: &[Matcher]| set.iter().all(|it| it.matches(series.get(&it.name)));
    let wanted = |series: &Labels| sets.iter().any(|set| accepts(series, set));
    let (mut out, mut after) = (Vec::new(), None);
    loop {
        after = store.exemplars().page(after.as_ref(), wanted, span, &mut out);
        if after.is_none() {
            break;
        }
    }
    out.into_iter().map(|(series_labels, exemplars)| Found { series_labels, exemplars }).collect()
}
