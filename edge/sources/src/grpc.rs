//! OTLP over gRPC: unary calls framed here, on hyper's HTTP/2.
//!
//! The framing is ours because the usual server inflates before its codec sees the bytes, and the journal keeps bytes as
//! received. Protocol: grpc.io "gRPC over HTTP2"; errors as the OTLP specification ("OTLP/gRPC response") asks.
use crate::body::{Held, Seen};
use crate::http::PATH_SHOWN;
use crate::receiver::{Outcome, Reading, Receiver, Sender};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use faultline_formats::encode;
use faultline_host::AwayReason;
use faultline_model::{Clock, Encoding, Format};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Streams that one connection may have open: the outstanding cap of the usual exporters is far below.
const STREAMS_MAX: u32 = 128;
const PREFIX: usize = 5;
const LISTENER: &str = "otlp-grpc";
/// What is read of a client that speaks no HTTP/2, so that it sees the answer: bytes and time.
const UNGREETED_MAX: u64 = 64 << 20;
const UNGREETED_FOR: Duration = Duration::from_secs(5);

/// Status codes of gRPC that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unavailable = 14,
}

/// Serves OTLP/gRPC on `listener` until `stop` turns true; calls under way are finished first.
pub async fn serve(listener: TcpListener, receiver: Receiver, mut stop: watch::Receiver<bool>) {
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: waiting is better than spinning.
                tracing::warn!(%error, "cannot accept an OTLP connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (receiver, greeted) = (receiver.clone(), receiver.clone());
        let service = service_fn(move |request| {
            let receiver = receiver.clone();
            async move { Ok::<_, Infallible>(call(&receiver, peer.ip(), request).await) }
        });
        let (watcher, mut stopped) = (graceful.watcher(), stop.clone());
        tokio::spawn(async move {
            // Who says nothing must not hold up the end.
            let stream = tokio::select! {
                stream = greeted_in_http2(stream, &greeted, peer.ip()) => stream,
                _ = stopped.wait_for(|stop| *stop) => None,
            };
            let Some(stream) = stream else { return };
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20)
                .max_frame_size(1 << 20)
                .keep_alive_interval(Some(Duration::from_secs(60)))
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, %peer, "OTLP connection ended");
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
}

/// The connection, if its client begins as HTTP/2 does (RFC 9113 3.4). A client of OTLP over HTTP that took the wrong one of
/// the two ports is told so in its own protocol, and counted.
async fn greeted_in_http2(mut stream: TcpStream, receiver: &Receiver, peer: IpAddr) -> Option<TcpStream> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut start = [0; 256];
    let size = stream.peek(&mut start).await.ok()?;
    let start = &start[..size];
    let known = size.min(PREFACE.len());
    if start[..known] == PREFACE[..known] {
        return Some(stream);
    }
    let text = match start {
        [0x16, 3, ..] => "this port takes OTLP over gRPC without TLS",
        _ => "this port takes OTLP over gRPC (HTTP/2); OTLP over HTTP has a port of its own, 4318 by default",
    };
    let sender = Sender { listener: LISTENER, peer };
    receiver.turn_away(sender, AwayReason::BadFraming, text, Seen::<Incoming>::start(start));
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    // Best effort: whoever is there may not listen.
    let _gone = stream.write_all(answer.as_bytes()).await;
    let _gone = stream.shutdown().await;
    let (mut rest, mut nowhere) = (stream.take(UNGREETED_MAX), tokio::io::sink());
    let _late = tokio::time::timeout(UNGREETED_FOR, tokio::io::copy(&mut rest, &mut nowhere)).await;
    None
}

type Reply = Response<BoxBody<Bytes, Infallible>>;

async fn call(receiver: &Receiver, peer: IpAddr, request: Request<Incoming>) -> Reply {
    let sender = Sender { listener: LISTENER, peer };
    let (head, body) = request.into_parts();
    let refuse = |code, reason, text: &str, seen| {
        receiver.turn_away(sender, reason, text, seen);
        failed(code, text, None)
    };
    let format = match head.uri.path() {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Format::OtlpMetrics,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Format::OtlpLogs,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Format::OtlpTraces,
        other => {
            let other = &other[..other.floor_char_boundary(PATH_SHOWN)];
            let text = format!("`{other}` is not served here; this port takes OTLP metrics, logs and traces");
            let seen = Seen::nothing(&head.headers, body);
            return refuse(Code::Unimplemented, AwayReason::UnknownPath, &text, seen);
        }
    };
    let named = head.headers.get("grpc-encoding").map(HeaderValue::as_bytes);
    let encoding = match named {
        None | Some(b"identity") => Encoding::Identity,
        Some(b"gzip") => Encoding::Gzip,
        Some(b"zstd") => Encoding::Zstd,
        Some(_) => {
            let seen = Seen::nothing(&head.headers, body);
            let text = "grpc-encoding must be identity, gzip or zstd";
            return refuse(Code::Unimplemented, AwayReason::ContentEncoding, text, seen);
        }
    };
    let Held { bytes, room } = match receiver.read(sender, &head.headers, body, PREFIX).await {
        Ok(body) => body,
        Err(outcome) => return answered(outcome),
    };
    let (encoding, message) = match unframe(&bytes, encoding) {
        Ok(message) => message,
        Err(text) => return refuse(Code::InvalidArgument, AwayReason::BadFraming, text, Seen::whole(&bytes)),
    };
    let reading = Reading { format, encoding, clock: Clock::Live };
    answered(receiver.receive(sender, reading, Held { bytes: message, room }).await)
}

fn answered(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Taken(rejects, _) => succeeded(&encode::answer(&rejects)),
        Outcome::Bad(text) => failed(Code::InvalidArgument, &text, None),
        // Not retryable without RetryInfo (OTLP specification): the same body would be refused again.
        Outcome::TooLarge(text) => failed(Code::ResourceExhausted, &text, None),
        Outcome::TooSlow(text) => failed(Code::DeadlineExceeded, &text, None),
        Outcome::Busy(delay, text) | Outcome::DiskFull(delay, text) => {
            failed(Code::ResourceExhausted, &text, Some(delay))
        }
        Outcome::Unavailable(delay, text) => failed(Code::Unavailable, &text, Some(delay)),
    }
}

/// The one message of a unary call, and how it is encoded.
fn unframe(body: &Bytes, encoding: Encoding) -> Result<(Encoding, Bytes), &'static str> {
    let Some((prefix, message)) = body.split_first_chunk::<PREFIX>() else {
        return Err("the call carries no message");
    };
    let size = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if size != message.len() {
        return Err("the message's length is not what its prefix says");
    }
    match (prefix[0], encoding) {
        (0, _) => Ok((Encoding::Identity, body.slice(PREFIX..))),
        (1, Encoding::Identity) => Err("the message is compressed but grpc-encoding does not say how"),
        (1, encoding) => Ok((encoding, body.slice(PREFIX..))),
        _ => Err("the message's compression flag is neither 0 nor 1"),
    }
}

fn succeeded(message: &[u8]) -> Reply {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    let body = Full::new(framed.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(BodyExt::boxed(body));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A trailers-only answer; with a delay it carries `google.rpc.RetryInfo`.
fn failed(code: Code, text: &str, delay: Option<Duration>) -> Reply {
    let mut response = Response::new(BodyExt::boxed(Empty::new()));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code as u8 as u16));
    let message = HeaderValue::from_str(&percent_encoded(text)).expect("percent encoding leaves visible ASCII");
    headers.insert(HeaderName::from_static("grpc-message"), message);
    let details = STANDARD_NO_PAD.encode(encode::status(code as u32, text, delay.map(|d| d.as_millis() as u64)));
    let details = HeaderValue::from_str(&details).expect("base64 is visible ASCII");
    headers.insert(HeaderName::from_static("grpc-status-details-bin"), details);
    response
}

/// gRPC's percent encoding of `grpc-message`: everything but visible ASCII, and `%`.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::Slow;
    use crate::receiver::tests::{LIMITS, receiver};

    #[test]
    fn frames_come_apart_or_say_why_not() {
        let of = |bytes: &'static [u8], encoding| unframe(&Bytes::from_static(bytes), encoding);
        assert_eq!(of(b"\0\0\0\0\x02ab", Encoding::Gzip), Ok((Encoding::Identity, Bytes::from_static(b"ab"))));
        assert_eq!(of(b"\x01\0\0\0\x02ab", Encoding::Gzip), Ok((Encoding::Gzip, Bytes::from_static(b"ab"))));
        assert_eq!(of(b"\0\0\0\0\0", Encoding::Identity), Ok((Encoding::Identity, Bytes::new())));
        for wrong in [&b"\x01\0\0\0\x02ab"[..], b"\0\0\0\0\x03ab", b"\0\0\0", b"\x02\0\0\0\x02ab", b""] {
            assert!(of(wrong, Encoding::Identity).is_err(), "{wrong:?}");
        }
    }

    /// Status and details of a call with a body that may pause, over HTTP/2 in memory.
    async fn ask(receiver: &Receiver, body: Slow) -> (String, Vec<u8>) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let receiver = receiver.clone();
        let peer = IpAddr::from([127, 0, 0, 1]);
        let service = service_fn(move |request| {
            let receiver = receiver.clone();
            async move { Ok::<_, Infallible>(call(&receiver, peer, request).await) }
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(far), service));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.expect("HTTP/2");
        tokio::spawn(connection);
        let path = "http://here/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
        let request = Request::post(path).header("grpc-encoding", "gzip").body(body).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        let header = |name: &str| answer.headers()[name].to_str().expect("ASCII").to_owned();
        (header("grpc-status"), STANDARD_NO_PAD.decode(header("grpc-status-details-bin")).expect("base64"))
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_and_a_full_door_have_their_answers() {
        let (receiver, _intake, told) = receiver();
        let retry_info = |details: &[u8]| details.windows(9).any(|window| window == b"RetryInfo");
        let (status, details) = ask(&receiver, Slow::new(9, Duration::from_secs(11))).await;
        assert_eq!((&*status, retry_info(&details)), ("4", false));
        let mut others = receiver.inlet.reading();
        others.grow(LIMITS.reading).expect("room");
        let (status, details) = ask(&receiver, Slow::new(9, Duration::from_millis(1))).await;
        assert_eq!((&*status, retry_info(&details)), ("8", true));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*told.lock().expect("no panic"), [AwayReason::TooSlow, AwayReason::Busy]);
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encoded("50% é\n"), "50%25 %C3%A9%0A");
    }
}
