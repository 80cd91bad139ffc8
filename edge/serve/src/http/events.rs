//! `/api/faultline/v1/events`: decisions as they become durable, as server-sent events (WHATWG HTML, section 9.2).
use super::Api;
use super::answer::Problem;
use super::shapes::DecisionShape;
use crate::store::stream::{LISTENERS_MAX, Listening, QUEUE_MAX};
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use faultline_model::facts::Decision;
use faultline_model::{EffectId, Millis};
use hyper::body::Frame;
use serde::Serialize;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// A comment goes out after this long without an event, so that a dead connection is noticed.
const QUIET: Duration = Duration::from_secs(15);

/// Everything decided from now on, until the reader goes or falls behind.
pub async fn stream(State(api): State<Arc<Api>>) -> Response {
    let Some(listening) = api.store.listeners().listen() else {
        let detail = format!("there are {LISTENERS_MAX} listeners already");
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-listeners", detail);
        return problem.retry_after(QUIET).into_response();
    };
    let stream = EventStream { listening, quiet: Box::pin(sleep(QUIET)), stage: Stage::Greeting };
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")], Body::new(stream)).into_response()
}

/// One decision as an event: `id` is its effect id, `event` its kind, `data` one line of JSON.
pub fn text(id: EffectId, leaf: u64, at: Option<Millis>, decision: &Decision) -> Bytes {
    #[derive(Serialize)]
    struct Event<'a> {
        id: String,
        leaf: u64,
        decided_at: Option<String>,
        #[serde(flatten)]
        decision: DecisionShape<'a>,
    }
    let decision = DecisionShape::from(decision);
    let kind = decision.word();
    let event = Event { id: id.to_string(), leaf, decided_at: at.map(|at| at.to_string()), decision };
    // JSON escapes line breaks, so whatever telemetry says stays on the line.
    let data = serde_json::to_string(&event).expect("our own shapes have text keys only");
    format!("id: {id}\nevent: {kind}\ndata: {data}\n\n").into()
}

enum Stage {
    Greeting,
    Listening,
    Ended,
}

struct EventStream {
    listening: Listening,
    quiet: Pin<Box<Sleep>>,
    stage: Stage,
}

impl HttpBody for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let text = match this.stage {
            // Headers reach some readers only with the first bytes of the body.
            Stage::Greeting => {
                this.stage = Stage::Listening;
                Bytes::from_static(b"retry: 1000\n\n")
            }
            Stage::Listening => match this.listening.poll(context) {
                Poll::Ready(Some(text)) => text,
                Poll::Ready(None) => {
                    this.stage = Stage::Ended;
                    if !this.listening.lagged() {
                        return Poll::Ready(None);
                    }
                    let why = format!("{{\"detail\":\"more than {QUEUE_MAX} events were waiting; read again\"}}");
                    format!("event: lagged\ndata: {why}\n\n").into()
                }
                Poll::Pending => match this.quiet.as_mut().poll(context) {
                    Poll::Ready(()) => Bytes::from_static(b": quiet\n\n"),
                    Poll::Pending => return Poll::Pending,
                },
            },
            Stage::Ended => return Poll::Ready(None),
        };
        this.quiet.as_mut().reset(Instant::now() + QUIET);
        Poll::Ready(Some(Ok(Frame::data(text))))
    }
}
