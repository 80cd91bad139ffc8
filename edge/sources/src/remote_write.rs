//! Prometheus remote write 1.0 and 2.0 on `/api/v1/write` (prometheus.io, "Remote-Write 1.0 specification" and "2.0").
use crate::body::Seen;
use crate::http::{closing, later};
use crate::receiver::{Outcome, Reading, Receiver, Sender, Written};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::post;
use faultline_formats::{Scope, summary};
use faultline_host::AwayReason;
use faultline_model::{Clock, Encoding, Format};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
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
    let format = match (first, second) {
        (_, true) => Format::RemoteWrite2,
        (true, false) => Format::RemoteWrite1,
        (false, false) => {
            let text = "remote write is application/x-protobuf, proto=io.prometheus.write.v2.Request or \
                        prometheus.WriteRequest, with content-encoding snappy";
            receiver.turn_away(sender, AwayReason::ContentType, text, Seen::nothing(&head.headers, body));
            return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
    };
    let reading = Reading { format, encoding: Encoding::Snappy, clock: Clock::Live };
    let outcome = match receiver.read(sender, &head.headers, body, 0).await {
        Ok(body) => receiver.receive(sender, reading, body).await,
        Err(outcome) => outcome,
    };
    let written = match &outcome {
        Outcome::Taken(_, written) => *written,
        _ => Written::default(),
    };
    let mut response = told(outcome);
    if format == Format::RemoteWrite2 {
        let Written { samples, histograms, exemplars } = written;
        for (name, count) in [("samples", samples), ("histograms", histograms), ("exemplars", exemplars)] {
            let name = HeaderName::try_from(format!("x-prometheus-remote-write-{name}-written")).expect("ASCII");
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}

fn told(outcome: Outcome) -> Response {
    match outcome {
        // What could be taken was taken and is durable; 400 tells of the rest and forbids a retry.
        Outcome::Taken(rejects, _) if rejects.iter().any(|r| r.reason.scope() == Scope::Item) => {
            answer(StatusCode::BAD_REQUEST, &summary(&rejects, Scope::Item))
        }
        Outcome::Taken(..) => answer(StatusCode::NO_CONTENT, ""),
        Outcome::Bad(text) => answer(StatusCode::BAD_REQUEST, &text),
        Outcome::TooLarge(text) => answer(StatusCode::PAYLOAD_TOO_LARGE, &text),
        Outcome::TooSlow(text) => closing(answer(StatusCode::SERVICE_UNAVAILABLE, &text)),
        Outcome::Busy(delay, text) | Outcome::DiskFull(delay, text) => {
            later(answer(StatusCode::TOO_MANY_REQUESTS, &text), delay)
        }
        Outcome::Unavailable(delay, text) => later(answer(StatusCode::SERVICE_UNAVAILABLE, &text), delay),
    }
}

/// Whether the headers are those of remote write 1.0, and whether they are those of 2.0: the parameter `proto` of the content type
/// says which, 1.0 where it is missing.
fn versions(headers: &HeaderMap) -> (bool, bool) {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("");
    if text(CONTENT_ENCODING) != "snappy" {
        return (false, false);
    }
    let mut parts = text(CONTENT_TYPE).split(';').map(str::trim);
    if parts.next() != Some("application/x-protobuf") {
        return (false, false);
    }
    match parts.find_map(|part| part.strip_prefix("proto=")) {
        None | Some("prometheus.WriteRequest") => (true, false),
        Some("io.prometheus.write.v2.Request") => (false, true),
        Some(_) => (false, false),
    }
}

fn answer(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}
