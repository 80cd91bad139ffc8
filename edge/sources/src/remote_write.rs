//! Prometheus remote write 1.0 on `/api/v1/write` (prometheus.io, "Remote-Write 1.0 specification").
use crate::body::Seen;
use crate::http::{closing, later};
use crate::receiver::{Outcome, Reading, Receiver, Sender};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::post;
use faultline_formats::{Scope, summary};
use faultline_host::AwayReason;
use faultline_model::{Clock, Encoding, Format};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::net::SocketAddr;

/// The one path of remote write. Needs `ConnectInfo<SocketAddr>`.
pub fn router(receiver: Receiver) -> Router {
    Router::new().route("/api/v1/write", post(write)).with_state(receiver)
}

async fn write(
    State(receiver): State<Receiver>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let sender = Sender { listener: "remote-write", peer: peer.ip() };
    let (head, body) = request.into_parts();
    let (first, second) = versions(&head.headers);
    if second || !first {
        // Of 2.0 this is the specification's answer to a message that is not known, on which senders fall back to 1.0.
        let text = match second {
            true => "remote write 2.0 is not taken yet; use prometheus.WriteRequest",
            false => "remote write 1.0 is application/x-protobuf with content-encoding snappy",
        };
        receiver.turn_away(sender, AwayReason::ContentType, text, Seen::nothing(&head.headers, body));
        return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    let reading = Reading { format: Format::RemoteWrite1, encoding: Encoding::Snappy, clock: Clock::Live };
    let outcome = match receiver.read(sender, &head.headers, body, 0).await {
        Ok(body) => receiver.receive(sender, reading, body).await,
        Err(outcome) => outcome,
    };
    match outcome {
        // What could be taken was taken and is durable; 400 tells of the rest and forbids a retry.
        Outcome::Taken(rejects) if rejects.iter().any(|r| r.reason.scope() == Scope::Item) => {
            answer(StatusCode::BAD_REQUEST, &summary(&rejects, Scope::Item))
        }
        Outcome::Taken(_) => answer(StatusCode::NO_CONTENT, ""),
        Outcome::Bad(text) => answer(StatusCode::BAD_REQUEST, &text),
        Outcome::TooLarge(text) => answer(StatusCode::PAYLOAD_TOO_LARGE, &text),
        Outcome::TooSlow(text) => closing(answer(StatusCode::SERVICE_UNAVAILABLE, &text)),
        Outcome::Busy(delay, text) | Outcome::DiskFull(delay, text) => {
            later(answer(StatusCode::TOO_MANY_REQUESTS, &text), delay)
        }
        Outcome::Unavailable(delay, text) => later(answer(StatusCode::SERVICE_UNAVAILABLE, &text), delay),
    }
}

/// Whether the headers are those of remote write 1.0, and whether they are those of 2.0.
fn versions(headers: &HeaderMap) -> (bool, bool) {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("");
    let second = text(CONTENT_TYPE).contains("io.prometheus.write.v2");
    (text(CONTENT_TYPE).starts_with("application/x-protobuf") && text(CONTENT_ENCODING) == "snappy", second)
}

fn answer(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}
