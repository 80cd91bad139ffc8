//! `/api/v1/query` and `/api/v1/query_range`: PromQL over the recent store.
use super::Api;
use super::answer::{PromError, Told, json_answer, written_body};
use super::params::Params;
use super::source::{Outcome, RecentSource};
use super::time;
use super::values::QueryData;
use super::work::Share;
use crate::store::Store;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use faultline_model::Millis;
use faultline_promql::{Annotations, EvalError, Expr, Level, Options, Range, Type, evaluate_annotated, evaluate_range};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a query may take, and does where it asks for more.
const TIMEOUT: Duration = Duration::from_secs(120);
/// A query that reads more series or samples than these takes half a millisecond and more, and is left to threads that run when
/// nothing else does.
const FEW_SERIES: usize = 200;
const FEW_SAMPLES: u64 = 20_000;
/// Instants of a range query, less one, as in Prometheus.
const STEPS_MAX: i64 = 11_000;
/// Warnings told of a query, and infos.
const ANNOTATIONS_MAX: usize = 10;

/// GET, or POST with the parameters as a form.
pub async fn instant(State(api): State<Arc<Api>>, request: Request) -> Response {
    let answer = async {
        let params = Params::with_body(request).await?;
        let limit = params.prometheus_limit()?;
        let at = params.time("time")?;
        let asked = Asked::of(&api, &params, limit)?;
        let view = api.covered_prometheus(&params).await?;
        let at = at.unwrap_or(view.at);
        let begun = Instant::now();
        let work = move |store: &Store, share| {
            Some(value_at(store, &asked, at, share)?.map(|done| asked.written(done, begun.elapsed())))
        };
        Ok(json_answer(api.work(work).await??, view.covers))
    };
    answer.await.unwrap_or_else(PromError::into_response)
}

/// GET, or POST with the parameters as a form.
pub async fn range(State(api): State<Arc<Api>>, request: Request) -> Response {
    let answer = async {
        let params = Params::with_body(request).await?;
        let limit = params.prometheus_limit()?;
        let steps = steps(&params)?;
        let asked = Asked::of(&api, &params, limit)?;
        if !matches!(asked.expr.result_type(), Type::Scalar | Type::Vector) {
            let kind = if asked.expr.result_type() == Type::Matrix { "range vector" } else { "string" };
            let why = format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector");
            return Err(PromError::bad("query", why));
        }
        let view = api.covered_prometheus(&params).await?;
        let begun = Instant::now();
        let work = move |store: &Store, share| {
            Some(values_over(store, &asked, steps, share)?.map(|done| asked.written(done, begun.elapsed())))
        };
        Ok(json_answer(api.work(work).await??, view.covers))
    };
    answer.await.unwrap_or_else(PromError::into_response)
}

/// What both kinds of query say.
struct Asked {
    text: String,
    expr: Expr,
    limit: usize,
    lookback_ms: i64,
    timeout: Duration,
    stats: String,
}

impl Asked {
    fn of(api: &Api, params: &Params, limit: usize) -> Result<Asked, PromError> {
        let timeout = match params.get("timeout").filter(|text| !text.is_empty()) {
            None => TIMEOUT,
            Some(text) => {
                let ms = time::duration_ms(text).map_err(|why| PromError::bad("timeout", why))?;
                Duration::from_millis(ms.max(0) as u64).min(TIMEOUT)
            }
        };
        let lookback_ms = match params.get("lookback_delta").filter(|text| !text.is_empty()) {
            None => Options::default().lookback_ms,
            Some(text) => {
                let ms = time::duration_ms(text);
                let ms = ms.map_err(|why| PromError::data(format!("error parsing lookback delta duration: {why}")))?;
                // As in Prometheus, none or less is as if nothing were said.
                if ms > 0 { ms } else { Options::default().lookback_ms }
            }
        };
        let text = params.get("query").unwrap_or("").to_owned();
        let expr = api.parse(&text);
        let expr = expr.map_err(|error| PromError::bad("query", PromError::expression(&text, &error)))?;
        let stats = params.get("stats").unwrap_or("").to_owned();
        Ok(Asked { text, expr, limit, lookback_ms, timeout, stats })
    }

    fn options(&self) -> Options {
        Options { lookback_ms: self.lookback_ms, ..Options::default() }
    }

    /// The body of the answer.
    fn written(&self, done: Done, took: Duration) -> Vec<u8> {
        let Done { data, outcome, notes } = done;
        let (result, cut) = data.limited(self.limit);
        let mut told = told(&notes, &self.text);
        told.warnings.extend(outcome.warnings);
        if cut {
            told.warnings.push("results truncated due to limit".into());
        }
        if !matches!(&*self.stats, "" | "true" | "all") {
            let stats = format!("{:?}", self.stats);
            told.warnings.push(format!(
                "value {stats} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \
                 \"true\" or \"all\""
            ));
        }
        let stats = (!self.stats.is_empty()).then(|| Stats::of(took, outcome.samples));
        let put = |out: &mut Vec<u8>| {
            out.push(b'{');
            result.put(out);
            if let Some(stats) = stats {
                out.extend_from_slice(b",\"stats\":");
                serde_json::to_writer(&mut *out, &stats).expect("memory takes all");
            }
            out.push(b'}');
        };
        written_body(put, &told)
    }
}

/// What Prometheus tells of a query's cost. What it measures inside the evaluation is told as one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    timings: Timings,
    samples: SampleStats,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    eval_total_time: serde_json::Number,
    result_sort_time: serde_json::Number,
    query_preparation_time: serde_json::Number,
    inner_eval_time: serde_json::Number,
    exec_queue_time: serde_json::Number,
    exec_total_time: serde_json::Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SampleStats {
    total_queryable_samples: u64,
    peak_samples: u64,
}

impl Stats {
    fn of(took: Duration, samples: u64) -> Stats {
        let seconds = |seconds: f64| serde_json::Number::from_f64(seconds).unwrap_or_else(|| 0.into());
        let (all, none) = (seconds(took.as_secs_f64()), seconds(0.0));
        let timings = Timings {
            eval_total_time: all.clone(),
            result_sort_time: none.clone(),
            query_preparation_time: none.clone(),
            inner_eval_time: all.clone(),
            exec_queue_time: none,
            exec_total_time: all,
        };
        Stats { timings, samples: SampleStats { total_queryable_samples: samples, peak_samples: samples } }
    }
}

/// What an evaluation gives.
struct Done {
    data: QueryData,
    outcome: Outcome,
    notes: Annotations,
}

/// Annotations as Prometheus tells them: with the place, at most ten of each kind.
///
/// Source: Prometheus, `util/annotations/annotations.go`, `AsStrings`.
fn told(notes: &Annotations, query: &str) -> Told {
    let mut told = Told::default();
    for note in notes.iter() {
        let before = &query[..query.floor_char_boundary(note.at.start)];
        let line = before.rsplit('\n').next().unwrap_or(before);
        let text = format!("{note} ({}:{})", before.matches('\n').count() + 1, line.len() + 1);
        match note.level {
            Level::Warning => told.warnings.push(text),
            Level::Info => told.infos.push(text),
        }
    }
    for (list, kind) in [(&mut told.warnings, "warning"), (&mut told.infos, "info")] {
        let more = list.len().saturating_sub(ANNOTATIONS_MAX);
        if more > 0 {
            list.truncate(ANNOTATIONS_MAX);
            list.push(format!("{more} more {kind} annotations omitted"));
        }
    }
    told
}

/// Evaluates; nothing where it would read more than is to be read here.
///
/// - `evaluate`: is given what supplies series; whatever it gives, what could not be read comes first: without that it saw less than it
///   asked for.
fn evaluated<V>(
    asked: &Asked,
    source: RecentSource<'_>,
    share: Share,
    evaluate: impl FnOnce(&RecentSource<'_>, &mut Annotations) -> Result<V, EvalError>,
    shown: impl FnOnce(V) -> QueryData,
) -> Option<Result<Done, PromError>> {
    if share == Share::Little {
        let samples = source.look_up(&asked.expr, FEW_SERIES);
        // Done again, it might not be refused: a damaged block is set aside.
        if let Some(refused) = source.refused() {
            return Some(Err(refused));
        }
        if samples.is_none_or(|samples| samples > FEW_SAMPLES) {
            return None;
        }
    }
    let mut notes = Annotations::default();
    let value = evaluate(&source, &mut notes);
    let mut outcome = source.outcome();
    Some(match outcome.refused.take() {
        Some(refused) => Err(refused),
        None => value.map_err(|error| PromError::execution(error.to_string())).map(|value| {
            let data = shown(value);
            Done { data, outcome, notes }
        }),
    })
}

fn value_at(store: &Store, asked: &Asked, at: Millis, share: Share) -> Option<Result<Done, PromError>> {
    let source = RecentSource::instant(store.recent(), at, asked.lookback_ms, Instant::now() + asked.timeout);
    let options = asked.options();
    let value = |source: &RecentSource<'_>, notes: &mut Annotations| {
        evaluate_annotated(&asked.expr, at, source, &options, notes)
    };
    evaluated(asked, source, share, value, |value| QueryData::at(value, at))
}

fn values_over(store: &Store, asked: &Asked, range: Range, share: Share) -> Option<Result<Done, PromError>> {
    let (recent, deadline) = (store.recent(), Instant::now() + asked.timeout);
    let source = RecentSource::range(recent, (range.start, range.end), asked.lookback_ms, deadline);
    // What is held is bounded where it is read, and the time by the timeout.
    let options = Options { samples_max: u64::MAX, ..asked.options() };
    let values = |source: &RecentSource<'_>, notes: &mut Annotations| {
        evaluate_range(&asked.expr, range, source, &options, notes, &|| !source.goes_on())
    };
    evaluated(asked, source, share, values, QueryData::Matrix)
}

fn steps(params: &Params) -> Result<Range, PromError> {
    let time = |name| {
        let text = params.get(name).unwrap_or("");
        time::prometheus(text).map_err(|why| PromError::bad(name, why))
    };
    let (start, end) = (time("start")?, time("end")?);
    if end < start {
        return Err(PromError::bad("end", "end timestamp must not be before start time"));
    }
    let step_ms = time::duration_ms(params.get("step").unwrap_or("")).map_err(|why| PromError::bad("step", why))?;
    if step_ms <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(PromError::bad("step", why));
    }
    if end.since(start) / step_ms > STEPS_MAX {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                   (?step=XX)";
        return Err(PromError::data(why.into()));
    }
    Ok(Range { start, end, step_ms })
}
