//! OTLP over HTTP: `/v1/metrics`, `/v1/logs`, `/v1/traces`, binary protobuf (OTLP specification, "OTLP/HTTP").
use crate::body::Seen;
use crate::receiver::{Outcome, Reading, Receiver, Sender, retry_after_seconds};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::post;
use faultline_formats::encode;
use faultline_host::AwayReason;
use faultline_model::{Clock, Encoding, Format};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::net::SocketAddr;
use std::time::Duration;

const PROTOBUF: &str = "application/x-protobuf";

const LISTENER: &str = "otlp-http";
/// Bytes shown of a path that is not served.
pub(crate) const PATH_SHOWN: usize = 200;

const SIGNALS: [(&str, Format); 3] =
    [("/v1/metrics", Format::OtlpMetrics), ("/v1/logs", Format::OtlpLogs), ("/v1/traces", Format::OtlpTraces)];

/// The three OTLP paths, and an answer that names them to every other. Needs `ConnectInfo<SocketAddr>`.
pub fn router(receiver: Receiver) -> Router {
    routes("", Clock::Live).fallback(unknown_path).with_state(receiver)
}

/// The same under `/api/faultline/v1/import`: telemetry of the past, taken before any live record. Its rules run on event
/// time, and nothing of it reaches a sink.
pub fn import_router(receiver: Receiver) -> Router {
    routes("/api/faultline/v1/import", Clock::Import).with_state(receiver)
}

fn routes(prefix: &str, clock: Clock) -> Router<Receiver> {
    SIGNALS.into_iter().fold(Router::new(), |router, (path, format)| {
        let handler = move |state, peer, request| export(state, peer, Way { format, clock }, request);
        router.route(&format!("{prefix}{path}"), post(handler))
    })
}

/// What a path takes.
#[derive(Clone, Copy)]
struct Way {
    format: Format,
    clock: Clock,
}

async fn export(
    State(receiver): State<Receiver>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    way: Way,
    request: Request,
) -> Response {
    let sender = Sender { listener: LISTENER, peer: peer.ip() };
    let (head, body) = request.into_parts();
    let refuse = |reason, text: &str, body| {
        receiver.turn_away(sender, reason, text, Seen::nothing(&head.headers, body));
        failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    };
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !kind.starts_with(PROTOBUF.as_bytes()) {
        let text = "content-type must be application/x-protobuf; OTLP as JSON is not taken yet";
        return refuse(AwayReason::ContentType, text, body);
    }
    let encoding = match head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Encoding::Identity,
        Some(b"gzip") => Encoding::Gzip,
        Some(b"zstd") => Encoding::Zstd,
        Some(_) => {
            return refuse(AwayReason::ContentEncoding, "content-encoding must be identity, gzip or zstd", body);
        }
    };
    let body = match receiver.read(sender, &head.headers, body, 0).await {
        Ok(body) => body,
        Err((AwayReason::TooLarge, text)) => return failed(StatusCode::PAYLOAD_TOO_LARGE, &text),
        Err((_, text)) => return failed(StatusCode::BAD_REQUEST, &text),
    };
    match receiver.receive(sender, Reading { format: way.format, encoding, clock: way.clock }, body).await {
        Outcome::Taken(rejects) => answer(StatusCode::OK, encode::answer(&rejects)),
        Outcome::Bad(text) => failed(StatusCode::BAD_REQUEST, &text),
        Outcome::TooLarge(text) => failed(StatusCode::PAYLOAD_TOO_LARGE, &text),
        Outcome::Busy(delay, text) | Outcome::DiskFull(delay, text) => {
            later(failed(StatusCode::TOO_MANY_REQUESTS, &text), delay)
        }
        Outcome::Unavailable(delay, text) => later(failed(StatusCode::SERVICE_UNAVAILABLE, &text), delay),
    }
}

async fn unknown_path(
    State(receiver): State<Receiver>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let [metrics, logs, traces] = SIGNALS.map(|(path, _)| path);
    let path = &head.uri.path()[..head.uri.path().floor_char_boundary(PATH_SHOWN)];
    let text = format!("`{path}` is not served here; this port takes OTLP over HTTP on {metrics}, {logs} and {traces}");
    let sender = Sender { listener: LISTENER, peer: peer.ip() };
    receiver.turn_away(sender, AwayReason::UnknownPath, &text, Seen::nothing(&head.headers, body));
    failed(StatusCode::NOT_FOUND, &text)
}

/// With when to come back.
pub(crate) fn later(mut response: Response, delay: Duration) -> Response {
    let seconds = HeaderValue::from_str(&retry_after_seconds(delay)).expect("digits");
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

/// An error as the specification asks: `google.rpc.Status` in protobuf.
fn failed(status: StatusCode, text: &str) -> Response {
    answer(status, encode::status(0, text, None))
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    response
}
