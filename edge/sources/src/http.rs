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
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
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
    let outcome = match receiver.read(sender, &head.headers, body, 0).await {
        Ok(body) => receiver.receive(sender, Reading { format: way.format, encoding, clock: way.clock }, body).await,
        Err(outcome) => outcome,
    };
    match outcome {
        Outcome::Taken(rejects) => answer(StatusCode::OK, encode::answer(&rejects)),
        Outcome::Bad(text) => failed(StatusCode::BAD_REQUEST, &text),
        Outcome::TooLarge(text) => failed(StatusCode::PAYLOAD_TOO_LARGE, &text),
        Outcome::TooSlow(text) => closing(failed(StatusCode::SERVICE_UNAVAILABLE, &text)),
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

/// The last of its connection: what is left of the body is not read (RFC 9110 15.5.9).
pub(crate) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::Slow;
    use crate::receiver::tests::{LIMITS, receiver};
    use crate::remote_write;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    /// The answer to a body on either path: status, `Retry-After`, `Connection`, text.
    async fn ask(receiver: &Receiver, path: &str, encoding: &str, body: Body) -> (u16, String, String, String) {
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let request = http::Request::post(path)
            .header(CONTENT_TYPE, PROTOBUF)
            .header(CONTENT_ENCODING, encoding)
            .extension(ConnectInfo(peer))
            .body(body)
            .expect("a request");
        let router = router(receiver.clone()).merge(remote_write::router(receiver.clone()));
        let (head, body) = router.oneshot(request).await.expect("an answer").into_parts();
        let header = |name| head.headers.get(name).map_or("", |value| value.to_str().expect("ASCII")).to_owned();
        let text = body.collect().await.expect("a whole answer").to_bytes();
        (head.status.as_u16(), header(RETRY_AFTER), header(CONNECTION), String::from_utf8_lossy(&text).into_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_and_a_full_door_have_their_answers() {
        for (path, encoding) in [("/v1/metrics", "gzip"), ("/api/v1/write", "snappy")] {
            let (receiver, _intake, told) = receiver();
            let slow = Body::new(Slow::new(3, Duration::from_secs(11)));
            let (status, later, connection, text) = ask(&receiver, path, encoding, slow).await;
            assert_eq!((status, &*later, &*connection), (503, "", "close"), "{path}: {text}");
            assert!(text.contains("too slowly"), "{path}: {text}");
            let mut others = receiver.inlet.reading();
            others.grow(LIMITS.reading).expect("room");
            let (status, later, connection, text) = ask(&receiver, path, encoding, Body::from("x")).await;
            assert_eq!((status, &*later, &*connection), (429, "3", ""), "{path}: {text}");
            drop(others);
            let _room = receiver.inlet.reserve(LIMITS.bytes).expect("room");
            let (status, later, ..) = ask(&receiver, path, encoding, Body::from("x")).await;
            assert_eq!((status, &*later), (429, "3"), "{path}");
            // The one of which nothing was read is told when its first bytes have come.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut told = told.lock().expect("no panic").clone();
            told.sort();
            assert_eq!(told, [AwayReason::TooSlow, AwayReason::Busy, AwayReason::Busy], "{path}");
        }
    }
}
