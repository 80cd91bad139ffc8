//! OTLP over HTTP: `/v1/metrics`, `/v1/logs`, `/v1/traces`, protobuf or JSON (OTLP specification, "OTLP/HTTP").
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
const JSON: &str = "application/json";

const LISTENER: &str = "otlp-http";
/// Bytes shown of a path that is not served.
pub(crate) const PATH_SHOWN: usize = 200;

/// A signal: its path, its formats in protobuf and JSON, what its items are called in an answer in JSON.
type Signal = (&'static str, [Format; 2], &'static str);
const METRICS: Signal = ("/v1/metrics", [Format::OtlpMetrics, Format::OtlpMetricsJson], "rejectedDataPoints");
const LOGS: Signal = ("/v1/logs", [Format::OtlpLogs, Format::OtlpLogsJson], "rejectedLogRecords");
const TRACES: Signal = ("/v1/traces", [Format::OtlpTraces, Format::OtlpTracesJson], "rejectedSpans");
const SIGNALS: [Signal; 3] = [METRICS, LOGS, TRACES];

/// The three OTLP paths, and an answer that names them to every other. Needs `ConnectInfo<SocketAddr>`.
pub fn router(receiver: Receiver) -> Router {
    routes("", &SIGNALS, Clock::Live).fallback(unknown_path).with_state(receiver)
}

/// The same under `/api/faultline/v1/import`: telemetry of the past, taken before any live record. Its rules run on event
/// time, and nothing of it reaches a sink.
pub fn import_router(receiver: Receiver) -> Router {
    routes("/api/faultline/v1/import", &SIGNALS, Clock::Import).with_state(receiver)
}

/// Metrics where Prometheus takes them: `/api/v1/otlp/v1/metrics`.
pub fn prometheus_router(receiver: Receiver) -> Router {
    routes("/api/v1/otlp", &[METRICS], Clock::Live).with_state(receiver)
}

fn routes(prefix: &str, signals: &[Signal], clock: Clock) -> Router<Receiver> {
    signals.iter().fold(Router::new(), |router, &(path, formats, items)| {
        let handler = move |state, peer, request| export(state, peer, Way { formats, items, clock }, request);
        router.route(&format!("{prefix}{path}"), post(handler))
    })
}

/// What a path takes.
#[derive(Clone, Copy)]
struct Way {
    formats: [Format; 2],
    items: &'static str,
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
        failed(Shape::Protobuf, StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    };
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let shape = match kind.split(';').next().unwrap_or("").trim() {
        PROTOBUF => Shape::Protobuf,
        JSON => Shape::Json,
        _ => {
            let text = "content-type must be application/x-protobuf or application/json";
            return refuse(AwayReason::ContentType, text, body);
        }
    };
    let Way { formats, items, clock } = way;
    let format = formats[shape as usize];
    let encoding = match head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Encoding::Identity,
        Some(b"gzip") => Encoding::Gzip,
        Some(b"zstd") => Encoding::Zstd,
        Some(_) => {
            return refuse(AwayReason::ContentEncoding, "content-encoding must be identity, gzip or zstd", body);
        }
    };
    let outcome = match receiver.read(sender, &head.headers, body, 0).await {
        Ok(body) => receiver.receive(sender, Reading { format, encoding, clock }, body).await,
        Err(outcome) => outcome,
    };
    match outcome {
        Outcome::Taken(rejects, _) => match shape {
            Shape::Protobuf => answer(shape, StatusCode::OK, encode::answer(&rejects)),
            Shape::Json => answer(shape, StatusCode::OK, encode::answer_json(&rejects, items).into()),
        },
        Outcome::Bad(text) => failed(shape, StatusCode::BAD_REQUEST, &text),
        Outcome::TooLarge(text) => failed(shape, StatusCode::PAYLOAD_TOO_LARGE, &text),
        Outcome::TooSlow(text) => closing(failed(shape, StatusCode::SERVICE_UNAVAILABLE, &text)),
        Outcome::Busy(delay, text) | Outcome::DiskFull(delay, text) => {
            later(failed(shape, StatusCode::TOO_MANY_REQUESTS, &text), delay)
        }
        Outcome::Unavailable(delay, text) => later(failed(shape, StatusCode::SERVICE_UNAVAILABLE, &text), delay),
    }
}

async fn unknown_path(
    State(receiver): State<Receiver>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let [metrics, logs, traces] = SIGNALS.map(|(path, ..)| path);
    let path = &head.uri.path()[..head.uri.path().floor_char_boundary(PATH_SHOWN)];
    let text = format!("`{path}` is not served here; this port takes OTLP over HTTP on {metrics}, {logs} and {traces}");
    let sender = Sender { listener: LISTENER, peer: peer.ip() };
    receiver.turn_away(sender, AwayReason::UnknownPath, &text, Seen::nothing(&head.headers, body));
    failed(Shape::Protobuf, StatusCode::NOT_FOUND, &text)
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

/// How a body is written, and its answer.
#[derive(Clone, Copy)]
enum Shape {
    Protobuf = 0,
    Json = 1,
}

/// An error as the specification asks: a `google.rpc.Status`.
fn failed(shape: Shape, status: StatusCode, text: &str) -> Response {
    match shape {
        Shape::Protobuf => answer(shape, status, encode::status(0, text, None)),
        Shape::Json => answer(shape, status, encode::status_json(text).into()),
    }
}

fn answer(shape: Shape, status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(if let Shape::Json = shape { JSON } else { PROTOBUF }));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::Slow;
    use crate::receiver::tests::{LIMITS, receiver};
    use crate::remote_write;
    use faultline_host::{Answer, Limits, Submitted, inlet};
    use faultline_model::{HashSeed, Position};
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

    /// Answers to a body on any path with these headers: status, content type, what is written of it, text.
    async fn send(receiver: &Receiver, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String, String) {
        let mut request = http::Request::post(path).extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let router = router(receiver.clone())
            .merge(remote_write::router(receiver.clone()))
            .merge(prometheus_router(receiver.clone()));
        let answer = router.oneshot(request.body(Body::from(body)).expect("a request")).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let kept = |name: &str| name == "content-type" || name.ends_with("-written");
        let told = head.headers.iter().filter(|(name, _)| kept(name.as_str()));
        let told: Vec<String> =
            told.map(|(name, value)| format!("{name}={}", value.to_str().expect("ASCII"))).collect();
        let text = body.collect().await.expect("a whole answer").to_bytes();
        (head.status.as_u16(), told.join(" "), String::from_utf8_lossy(&text).into_owned())
    }

    #[tokio::test]
    async fn every_format_has_its_own_answer() {
        const NATIVE: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/native2.bin");
        let limits = Limits { bytes: 8 << 20, reading: 8 << 20, ..LIMITS };
        let (inlet, intake) = inlet(limits);
        let receiver = Receiver::new(inlet, std::sync::Arc::new(HashSeed(1).into()), std::sync::Arc::new(|_| {}));
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let until = done.clone();
        let taker = std::thread::spawn(move || {
            while !until.load(std::sync::atomic::Ordering::Relaxed) {
                for Submitted { reply, .. } in intake.take_group(Duration::from_millis(10), 1 << 30, 100) {
                    reply.send(Ok(Answer { at: Position::default(), rejects: Vec::new() }));
                }
            }
        });
        let two = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
        let snappy = ("content-encoding", "snappy");
        let body = encode::compress(NATIVE, Encoding::Snappy);
        let (status, told, text) = send(&receiver, "/api/v1/write", &[two, snappy], body).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("bad-histogram: ") && text.contains("bad-schema: "), "{text}");
        assert!(told.contains("x-prometheus-remote-write-samples-written=80"), "{told}");
        assert!(told.contains("x-prometheus-remote-write-exemplars-written=400"), "{told}");
        let other = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request");
        let (status, ..) = send(&receiver, "/api/v1/write", &[other, snappy], Vec::new()).await;
        assert_eq!(status, 415);
        let json = ("content-type", "application/json; charset=utf-8");
        for path in ["/v1/metrics", "/api/v1/otlp/v1/metrics"] {
            let good = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[
                {"timeUnixNano":"1795000000123456789","asInt":"7"},{"timeUnixNano":0,"asDouble":1.5}]}}]}]}]}"#;
            let (status, told, text) = send(&receiver, path, &[json], good.to_vec()).await;
            assert_eq!((status, &*told), (200, "content-type=application/json"));
            let expected =
                r#"{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"time-out-of-range: 1 (metric \"m\")"}}"#;
            assert_eq!(text, expected);
        }
        let (status, told, text) = send(&receiver, "/v1/logs", &[json], b"{\"resourceLogs\":7}".to_vec()).await;
        assert_eq!((status, &*told), (400, "content-type=application/json"), "{text}");
        assert!(text.starts_with("{\"message\":\"bad-json: 1"), "{text}");
        let (status, _, text) = send(&receiver, "/v1/traces", &[json], b"{}".to_vec()).await;
        assert_eq!((status, &*text), (200, "{}"));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        taker.join().expect("it does not panic");
    }
}
