//! OTLP over HTTP: `/v1/metrics`, `/v1/logs`, `/v1/traces`, binary protobuf (OTLP specification, "OTLP/HTTP").
use crate::receiver::{Outcome, ReadBodyError, Receiver, read_body, retry_after_seconds};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::post;
use faultline_formats::encode;
use faultline_model::{Clock, Encoding, Format};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::net::SocketAddr;

const PROTOBUF: &str = "application/x-protobuf";

const SIGNALS: [(&str, Format); 3] =
    [("/v1/metrics", Format::OtlpMetrics), ("/v1/logs", Format::OtlpLogs), ("/v1/traces", Format::OtlpTraces)];

/// The three OTLP paths. Needs `ConnectInfo<SocketAddr>`.
pub fn router(receiver: Receiver) -> Router {
    routes("", Clock::Live).with_state(receiver)
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
    let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !kind.starts_with(PROTOBUF.as_bytes()) {
        let text = "content-type must be application/x-protobuf; OTLP as JSON is not taken yet";
        return failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    let encoding = match request.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Encoding::Identity,
        Some(b"gzip") => Encoding::Gzip,
        Some(b"zstd") => Encoding::Zstd,
        Some(_) => {
            return failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding must be identity, gzip or zstd");
        }
    };
    let body = match read_body(request.into_body(), 0).await {
        Ok(body) => body,
        Err(error @ ReadBodyError::TooLarge { .. }) => {
            return failed(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string());
        }
        Err(error) => return failed(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match receiver.receive("otlp-http", peer.ip(), way.format, encoding, way.clock, body).await {
        Outcome::Taken(rejects) => answer(StatusCode::OK, encode::answer(&rejects)),
        Outcome::Bad(text) => failed(StatusCode::BAD_REQUEST, &text),
        Outcome::TooLarge(text) => failed(StatusCode::PAYLOAD_TOO_LARGE, &text),
        Outcome::Busy(delay, text) => {
            let mut response = failed(StatusCode::TOO_MANY_REQUESTS, &text);
            let seconds = HeaderValue::from_str(&retry_after_seconds(delay)).expect("digits");
            response.headers_mut().insert(RETRY_AFTER, seconds);
            response
        }
        Outcome::Stopping => failed(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
    }
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
