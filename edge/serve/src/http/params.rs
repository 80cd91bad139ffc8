//! Parameters of a request, and the wait until a position is covered.
use super::Api;
use super::answer::{Problem, PromError};
use super::time;
use crate::view::View;
use axum::extract::{Form, FromRequest, Query, Request};
use axum::http::{Method, StatusCode, Uri};
use faultline_model::{Millis, Position};
use std::sync::Arc;
use std::time::Duration;

/// How long a reader waits for the position that it asks for.
const WAIT: Duration = Duration::from_secs(1);

/// Parameters in the order in which they were given.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of a path; ones that cannot be read are taken as none.
    pub fn of(uri: &Uri) -> Params {
        Query::<Vec<(String, String)>>::try_from_uri(uri).map_or_else(|_| Params::default(), |query| Params(query.0))
    }

    /// The parameters of a path, and ahead of them, as in Go, those of a form that was posted.
    pub async fn with_body(request: Request) -> Result<Params, PromError> {
        let params = Params::of(request.uri());
        if request.method() != Method::POST {
            return Ok(params);
        }
        let form = Form::<Vec<(String, String)>>::from_request(request, &()).await;
        let form =
            form.map_err(|error| PromError::data(format!("error parsing form values: {}", error.body_text())))?;
        Ok(Params(form.0.into_iter().chain(params.0).collect()))
    }

    /// All values given to a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| &**value)
    }

    /// `limit` as Prometheus takes it: none and 0 are none.
    pub fn prometheus_limit(&self) -> Result<usize, PromError> {
        let Some(text) = self.get("limit").filter(|text| !text.is_empty()) else { return Ok(usize::MAX) };
        match text.parse::<i64>() {
            Ok(0) => Ok(usize::MAX),
            Ok(limit) if limit < 0 => Err(PromError::bad("limit", "limit must be non-negative")),
            Ok(limit) => Ok(usize::try_from(limit).unwrap_or(usize::MAX)),
            Err(_) => Err(PromError::bad("limit", format!("strconv.Atoi: parsing {text:?}: invalid syntax"))),
        }
    }

    /// An instant, where one is given.
    pub fn time(&self, name: &str) -> Result<Option<Millis>, PromError> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let time = time::prometheus(text);
        time.map(Some).map_err(|why| PromError::bad(name, format!("invalid time value for '{name}': {why}")))
    }

    /// The first value given to a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| &**value)
    }

    /// Refuses names that the path does not know, which are mostly misspelt.
    pub fn only(self, known: &[&str]) -> Result<Params, Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&&**name) && name != "min_offset") {
            None => Ok(self),
            Some((name, _)) => {
                let detail = format!("there is no parameter {name:?} here; there is {}, min_offset", known.join(", "));
                Err(Problem::bad("unknown-parameter", detail))
            }
        }
    }

    /// `limit`, at most `most`; `usual` where none is given.
    pub fn limit(&self, usual: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(usual) };
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(Problem::bad("bad-limit", format!("limit must be a number from 1 to {most}, not {text:?}"))),
        }
    }
}

/// Why the snapshot asked for cannot be had.
#[derive(Debug)]
pub enum Uncovered {
    /// `min_offset` is not a position of this journal.
    Bad(String),
    /// It is not covered yet.
    Behind(String),
}

impl From<Uncovered> for Problem {
    fn from(uncovered: Uncovered) -> Problem {
        match uncovered {
            Uncovered::Bad(detail) => Problem::bad("bad-min-offset", format!("min_offset {detail}")),
            Uncovered::Behind(detail) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-covered", detail).retry_after(WAIT)
            }
        }
    }
}

impl Api {
    /// [`Api::covered`], refused as Prometheus refuses.
    pub async fn covered_prometheus(&self, params: &Params) -> Result<Arc<View>, PromError> {
        self.covered(params).await.map_err(|uncovered| match uncovered {
            Uncovered::Bad(why) => PromError::bad("min_offset", why),
            Uncovered::Behind(why) => PromError::unavailable(why),
        })
    }

    /// The newest snapshot; with `min_offset` one that covers it, for which this waits up to [`WAIT`].
    ///
    /// `min_offset` is `partition/offset`, as `X-Faultline-Covers` gives it, or an offset of partition 0.
    pub async fn covered(&self, params: &Params) -> Result<Arc<View>, Uncovered> {
        let Some(text) = params.get("min_offset") else { return Ok(self.store.view()) };
        let position = match text.parse() {
            Ok(offset) => Some(Position { partition: 0, offset }),
            Err(_) => Position::parse(text),
        };
        let position =
            position.ok_or_else(|| Uncovered::Bad(format!("must be an offset or partition/offset, not {text:?}")))?;
        let partition = self.store.view().covers.partition;
        if position.partition != partition {
            let why = format!("names partition {}; here is partition {partition}", position.partition);
            return Err(Uncovered::Bad(why));
        }
        let mut views = self.store.views();
        let found = tokio::time::timeout(WAIT, views.wait_for(|view| view.covers >= position)).await;
        if let Ok(Ok(view)) = found {
            return Ok(Arc::clone(&view));
        }
        let covers = self.store.view().covers;
        Err(Uncovered::Behind(format!("position {position} is not covered yet; the answer would cover {covers}")))
    }
}
