//! Bad input to a running server: each gets the documented answer, is counted with its reason, and the server goes on.
use bytes::Bytes;
use faultline::config::Config;
use faultline::run::{Addresses, Server, start};
use faultline_formats::encode::{self, Data, Metric, Number, NumberPoint, ResourceMetrics, Value};
use faultline_formats::{Scope, decode, limits};
use faultline_model::{
    Clock, Encoding, Evaluation, EventTime, Format, HashSeed, Kind, Labels, Millis, Payload, Sample, SourceId, TenantId,
};
use faultline_sinks::http::{Client, Limits, Response, Url};
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most series of the server under test.
const SERIES_MAX: u64 = 2_000;
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn config(data: &Path) -> Config {
    Config {
        evaluation: Evaluation::Stream,
        journal_bytes: Some(1 << 30),
        series_max: Some(SERIES_MAX),
        ..Config::on_free_ports(data.to_path_buf())
    }
}

/// A server, and one connection to it.
struct Target {
    addresses: Addresses,
    client: Client,
}

impl Target {
    fn new(server: &Server) -> Target {
        let limits = Limits { overall: Duration::from_secs(30), ..Limits::default() };
        Target { addresses: server.addresses, client: Client::new(limits).expect("a runtime") }
    }

    fn call(&self, method: Method, to: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
        let url = Url::parse(&format!("http://{to}{path}")).expect("an address");
        self.client.request(method, &url, headers, body.into()).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn otlp(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
        self.call(Method::POST, self.addresses.otlp_http, path, headers, body)
    }

    fn metrics(&self, body: Vec<u8>) -> Response {
        self.otlp("/v1/metrics", &[PROTOBUF], body)
    }

    fn write(&self, body: Vec<u8>) -> Response {
        let headers = [PROTOBUF, ("content-encoding", "snappy")];
        self.call(Method::POST, self.addresses.http, "/api/v1/write", &headers, body)
    }

    fn get(&self, path: &str) -> serde_json::Value {
        let answer = self.call(Method::GET, self.addresses.http, path, &[], Vec::new());
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The value of the one series that a query finds; none where it finds none. What was answered is seen a moment later.
    fn value(&self, query: &str, expected: Option<&str>) {
        let look = || self.get(&format!("/api/v1/query?query={query}"))["data"]["result"][0]["value"][1].clone();
        for _ in 0..200 {
            if look().as_str() == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(look().as_str(), expected, "{query}");
    }

    /// Items refused so far, by reason, and requests that were turned away: `away` and the reason.
    fn counts(&self) -> BTreeMap<String, u64> {
        let rejects = self.get("/api/faultline/v1/rejects");
        let of = |name: &str, before: &str| -> Vec<(String, u64)> {
            let counts = rejects[name].as_object().expect("an object").iter();
            counts.map(|(reason, count)| (format!("{before}{reason}"), count.as_u64().unwrap_or(0))).collect()
        };
        of("counts", "").into_iter().chain(of("turned_away_counts", "away ")).collect()
    }

    /// Checks what was counted since `before`. Answers go out a moment before the view is there, and a request that is
    /// turned away is counted when its first bytes have come.
    fn counted(&self, before: &BTreeMap<String, u64>, expected: &[(&str, u64)]) {
        let settled = || {
            let mut after = self.counts();
            after.retain(|reason, count| {
                *count -= before.get(reason).copied().unwrap_or(0);
                *count > 0
            });
            after
        };
        let expected: BTreeMap<String, u64> = expected.iter().map(|(r, n)| (r.to_string(), *n)).collect();
        let found = (0..200).map(|_| settled()).find(|found| {
            let same = *found == expected;
            if !same {
                std::thread::sleep(Duration::from_millis(10));
            }
            same
        });
        assert_eq!(found.unwrap_or_else(settled), expected, "counted");
    }

    /// Sends something bad; checks the answer, what is counted, and that the server still takes something good.
    fn check(
        &self,
        case: &str,
        send: impl FnOnce() -> Response,
        status: u16,
        says: &str,
        counted: Option<(&str, u64)>,
    ) {
        let before = self.counts();
        let answer = send();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status.as_u16(), status, "{case}: {text}");
        assert!(text.contains(says), "{case}: {text:?} does not say {says:?}");
        self.counted(&before, counted.as_slice());
        let good = self.metrics(gauges("good", [("a".to_string(), now(), Number::Int(1))]));
        assert_eq!((good.status.as_u16(), &good.body[..]), (200, &b""[..]), "after {case}");
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64
}

/// A body of gauge points: value of the attribute `which`, time in ns, value.
fn gauges(name: &str, points: impl IntoIterator<Item = (String, i64, Number)>) -> Vec<u8> {
    let point = |(which, time, value)| NumberPoint {
        attributes: vec![("which".into(), Value::Text(which))],
        time: EventTime(time),
        value,
    };
    let data = Data::Gauge(points.into_iter().map(point).collect());
    let metrics = vec![Metric { name: name.into(), unit: String::new(), data }];
    let resource = vec![("service.name".into(), Value::Text("odd".into()))];
    encode::metrics(&[ResourceMetrics { resource, metrics }])
}

fn one(name: &str, time: i64, value: f64) -> Vec<u8> {
    gauges(name, [("a".to_string(), time, Number::Double(value))])
}

/// A gauge whose one attribute is `value`.
fn with_attribute(value: Value) -> Vec<u8> {
    let point = NumberPoint { attributes: vec![("odd".into(), value)], time: EventTime(now()), value: Number::Int(1) };
    let metrics = vec![Metric { name: "odd".into(), unit: String::new(), data: Data::Gauge(vec![point]) }];
    encode::metrics(&[ResourceMetrics { resource: Vec::new(), metrics }])
}

/// What a decoder says of a body: the answer's status follows from it.
fn status_of(body: &[u8]) -> u16 {
    let kind = Kind::Telemetry {
        source: SourceId([0; 16]),
        format: Format::OtlpMetrics,
        encoding: Encoding::Identity,
        clock: Clock::Live,
    };
    let decoded = decode(Payload { tenant: TenantId(0), kind, body: body.to_vec().into() }, HashSeed(1));
    if decoded.rejects.iter().any(|reject| reject.reason.scope() == Scope::Body) { 400 } else { 200 }
}

#[test]
fn bad_input_is_answered_counted_and_survived() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let server = start(&config(&temporary.path().join("data"))).expect("free ports and a new folder");
    let target = Target::new(&server);
    bodies(&target);
    types_and_encodings(&target);
    samples(&target);
    remote_write(&target);
    grpc(&target);
    too_many_series(&target);
    assert!(!server.ended());
    server.stop().expect("a clean end");
    let report = faultline::verify::check(&temporary.path().join("data"));
    assert!(report.ok, "{report:?}");
}

#[test]
fn a_body_that_stops_coming_ends_its_connection() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let server = start(&config(&temporary.path().join("data"))).expect("free ports and a new folder");
    let target = Target::new(&server);
    let to = target.addresses.otlp_http;
    let send = || {
        let mut stream = TcpStream::connect(to).expect("it listens");
        let head = "content-type: application/x-protobuf\r\ncontent-length: 100";
        write!(stream, "POST /v1/metrics HTTP/1.1\r\nhost: {to}\r\n{head}\r\n\r\nwithin").expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer, and the end of the connection");
        let status = answer[9..12].parse().expect("a status line");
        Response { status, body: answer.into() }
    };
    let says = "after 6 bytes the body came too slowly";
    target.check("it stops amid its body", send, 503, says, Some(("away too-slow", 1)));
    server.stop().expect("a clean end");
}

fn bodies(target: &Target) {
    let good = one("whole", now(), 1.0);
    let cut = good[..good.len() - 3].to_vec();
    target.check("truncated", || target.metrics(cut), 400, "bad-protobuf", Some(("bad-protobuf", 1)));
    let (mut fine, mut bad) = (0, 0);
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        let expected = status_of(&flipped);
        let answer = target.metrics(flipped);
        assert_eq!(answer.status.as_u16(), expected, "bit {} of byte {at}", at % 8);
        *if expected == 200 { &mut fine } else { &mut bad } += 1;
    }
    assert!(fine > 10 && bad > 10, "{fine} bodies with a flipped bit still read, {bad} do not");
    let gzip = [PROTOBUF, ("content-encoding", "gzip")];
    let mut zipped = encode::compress(&good, Encoding::Gzip);
    let middle = zipped.len() / 2;
    zipped[middle] ^= 0x10;
    let send = || target.otlp("/v1/metrics", &gzip, zipped);
    target.check("gzip with a flipped bit", send, 400, "bad-encoding", Some(("bad-encoding", 1)));
    let bomb = encode::compress(&vec![0; limits::PLAIN_SIZE + 1], Encoding::Gzip);
    let send = || target.otlp("/v1/metrics", &gzip, bomb);
    target.check("gzip bomb", send, 400, "inflates to more than 67108864 bytes", Some(("too-large", 1)));
    let bomb = encode::compress(&vec![0; 32 << 20], Encoding::Zstd);
    let send = || target.otlp("/v1/metrics", &[PROTOBUF, ("content-encoding", "zstd")], bomb);
    target.check("zstd bomb", send, 400, "bomb", Some(("bomb", 1)));
    oversized(target);
}

/// A body that is too large is refused by its declared length or by what arrives, and a client that writes all of it
/// before it reads sees the answer, too.
fn oversized(target: &Target) {
    const LARGE: usize = 200 << 20;
    let protobuf = "content-type: application/x-protobuf\r\n";
    let says = "the body exceeds 16777216 bytes";
    let too_large = Some(("away too-large", 1));
    let http = target.addresses.otlp_http;
    let one_more = format!("{protobuf}content-length: {}\r\n", limits::BODY_SIZE + 1);
    target.check("declared only", || raw(http, &one_more, 0, false), 413, says, too_large);
    let expecting = format!("{one_more}expect: 100-continue\r\n");
    target.check("asks before it sends", || raw(http, &expecting, 0, false), 413, says, too_large);
    let all = format!("{protobuf}content-length: {LARGE}\r\n");
    target.check("writes all of it first", || raw(http, &all, LARGE, false), 413, says, too_large);
    let chunked = format!("{protobuf}transfer-encoding: chunked\r\n");
    target.check("in chunks", || raw(http, &chunked, LARGE, true), 413, says, too_large);
    let text = format!("content-type: text/plain\r\ncontent-length: {LARGE}\r\n");
    let wrong = Some(("away content-type", 1));
    target.check("writes all of a wrong type", || raw(http, &text, LARGE, false), 415, "x-protobuf", wrong);
    let rejects = target.get("/api/faultline/v1/rejects?reason=content-type");
    let row = &rejects["turned_away"][0];
    assert_eq!((&row["body_size"], &row["journalled"]), (&LARGE.into(), &false.into()), "{row}");
    assert_eq!((&row["source"]["listener"], &row["source"]["peer"]), (&"otlp-http".into(), &"127.0.0.1".into()));
    let start = row["body_start_hex"].as_str().expect("a text");
    assert!(start.len() > 2_000 && start.bytes().all(|byte| byte == b'0'), "{start}");
}

/// The answer to a request with a body of `size` zero bytes, all of it written before the answer is read.
fn raw(to: SocketAddr, headers: &str, size: usize, chunked: bool) -> Response {
    let mut stream = TcpStream::connect(to).expect("it listens");
    let head = format!("POST /v1/metrics HTTP/1.1\r\nhost: {to}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).expect("it listens");
    let (part, mut left) = (vec![0; 1 << 20], size);
    while left > 0 {
        let now = &part[..left.min(part.len())];
        left -= now.len();
        if chunked {
            write!(stream, "{:x}\r\n", now.len()).expect("it reads on");
        }
        stream.write_all(now).unwrap_or_else(|error| panic!("{left} bytes before the end: {error}"));
        if chunked {
            stream.write_all(if left > 0 { b"\r\n" } else { b"\r\n0\r\n\r\n" }).expect("it reads on");
        }
    }
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let mut answer = vec![0; 4_096];
    let read = stream.read(&mut answer).expect("an answer comes");
    answer.truncate(read);
    let status = String::from_utf8_lossy(&answer)[9..12].parse().expect("a status line");
    Response { status, body: answer.into() }
}

fn types_and_encodings(target: &Target) {
    let text = [("content-type", "text/plain")];
    let send = || target.otlp("/v1/metrics", &text, b"{}".to_vec());
    target.check("wrong content-type", send, 415, "application/x-protobuf", Some(("away content-type", 1)));
    let send = || target.otlp("/v1/metrics", &[], one("odd", now(), 1.0));
    target.check("no content-type", send, 415, "application/x-protobuf", Some(("away content-type", 1)));
    let send = || target.otlp("/v1/metrics", &[PROTOBUF, ("content-encoding", "br")], Vec::new());
    let away = Some(("away content-encoding", 1));
    target.check("unknown encoding", send, 415, "identity, gzip or zstd", away);
    let send = || target.otlp("/v1/profiles", &[PROTOBUF], Vec::new());
    target.check("unknown path", send, 404, "`/v1/profiles` is not served here", Some(("away unknown-path", 1)));
    let long = with_attribute(Value::Text("x".repeat(1 << 20)));
    target.check("label of 1 MiB", || target.metrics(long), 200, "label-too-long", Some(("label-too-long", 1)));
    let deep = (0..40).fold(Value::Int(1), |inner, _| Value::List(vec![inner]));
    target.check("nested too deep", || target.metrics(with_attribute(deep)), 200, "too-deep", Some(("too-deep", 1)));
}

fn samples(target: &Target) {
    let second = 1_000_000_000;
    let out = Some(("time-out-of-range", 1));
    target.check("1970", || target.metrics(one("t", 5 * second, 1.0)), 200, "time-out-of-range", out);
    target.check("2262", || target.metrics(one("t", i64::MAX - 5, 1.0)), 200, "time-out-of-range", out);
    let ahead = now() + 3_600 * second;
    target.check("an hour ahead", || target.metrics(one("t", ahead, 1.0)), 200, "future", Some(("future", 1)));
    for (which, value, shown) in
        [("nan", f64::NAN, "NaN"), ("inf", f64::INFINITY, "+Inf"), ("neg", f64::NEG_INFINITY, "-Inf")]
    {
        let name = format!("odd_{which}");
        target.check(which, || target.metrics(one(&name, now(), value)), 200, "", None);
        target.value(&name, Some(shown));
    }
    let at = now();
    target.check("a value", || target.metrics(one("gone", at, 5.0)), 200, "", None);
    target.value("gone", Some("5"));
    let stale = gauges("gone", [("a".to_string(), at + 1_000_000, Number::Gone)]);
    target.check("stale marker", || target.metrics(stale), 200, "", None);
    target.value("gone", None);
    let body = one("twice", at, 1.0);
    target.check("once", || target.metrics(body.clone()), 200, "", None);
    target.check("the same body again", || target.metrics(body), 200, "", None);
    let again = gauges("twice", [("a".to_string(), at, Number::Double(1.0)), ("b".to_string(), at, Number::Int(1))]);
    target.check("the same sample in another body", || target.metrics(again), 200, "", None);
    let other = one("twice", at, 2.0);
    target.check("another value for the time", || target.metrics(other), 200, "conflict", Some(("conflict", 1)));
    // No rule reads the series, so the engine keeps its newest samples only; a query sees the late one in its place.
    let late = one("twice", at - second, 7.0);
    target.check("a second late", || target.metrics(late), 200, "", None);
    target.value("twice", Some("1"));
    target.value("max_over_time(twice%5B1m%5D)", Some("7"));
    let late = one("twice", at - 301 * second, 7.0);
    target.check("five minutes late", || target.metrics(late), 200, "too-old", Some(("too-old", 1)));
    let late = one("twice", at - 40 * 24 * 3_600 * second, 7.0);
    target.check("forty days late", || target.metrics(late), 200, "too-old", Some(("too-old", 1)));
}

fn remote_write(target: &Target) {
    let labels = Labels::new([("__name__", "written"), ("job", "node")]);
    let at = Millis(now() / 1_000_000);
    let body = |samples: &[Sample]| encode::write_request([(&labels, samples)]);
    let snappy = |plain: &[u8]| encode::compress(plain, Encoding::Snappy);
    target.check("good", || target.write(snappy(&body(&[Sample::new(at, 1.0)]))), 204, "", None);
    target.check(
        "not snappy",
        || target.write(body(&[Sample::new(at, 2.0)])),
        400,
        "",
        as_decoded(&body(&[Sample::new(at, 2.0)])),
    );
    let other = snappy(&body(&[Sample::new(at, 3.0)]));
    target.check("another value", || target.write(other), 400, "conflict", Some(("conflict", 1)));
    let far = snappy(&body(&[Sample::new(Millis(5), 3.0)]));
    target.check("1970", || target.write(far), 400, "time-out-of-range", Some(("time-out-of-range", 1)));
    let second = [
        ("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"),
        ("content-encoding", "snappy"),
    ];
    let send = || target.call(Method::POST, target.addresses.http, "/api/v1/write", &second, Vec::new());
    let away = Some(("away content-type", 1));
    target.check("version 3", send, 415, "io.prometheus.write.v2.Request", away);
    let send = || target.call(Method::POST, target.addresses.http, "/api/v1/write", &[PROTOBUF], Vec::new());
    target.check("no encoding", send, 415, "snappy", away);
}

/// What bytes that are no snappy are counted as: the block's own lie about its size decides.
fn as_decoded(body: &[u8]) -> Option<(&'static str, u64)> {
    let kind = Kind::Telemetry {
        source: SourceId([0; 16]),
        format: Format::RemoteWrite1,
        encoding: Encoding::Snappy,
        clock: Clock::Live,
    };
    let decoded = decode(Payload { tenant: TenantId(0), kind, body: body.to_vec().into() }, HashSeed(1));
    decoded.rejects.first().map(|reject| (reject.reason.word(), reject.count))
}

fn too_many_series(target: &Target) {
    let most = SERIES_MAX + 500;
    let points = (0..most).map(|i| (format!("n{i}"), now(), Number::Int(1)));
    let answer = target.metrics(gauges("many", points));
    assert_eq!(answer.status.as_u16(), 200);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("cardinality") && text.contains("limits.series"), "{text}");
    let counted = || target.counts().get("cardinality").copied().unwrap_or(0);
    assert!((0..200).any(|_| (500..most).contains(&counted()) || {
        std::thread::sleep(Duration::from_millis(10));
        false
    }));
    let row = &target.get("/api/faultline/v1/rejects?reason=cardinality")["rejects"][0];
    assert_eq!((&row["source"]["listener"], row["body_size"].is_u64()), (&"otlp-http".into(), true), "{row}");
    let known = target.metrics(gauges("many", [("n0".to_string(), now(), Number::Int(2))]));
    assert_eq!((known.status.as_u16(), &known.body[..]), (200, &b""[..]), "known series go on");
}

/// Status, message and body of a unary call over HTTP/2 without TLS.
pub async fn unary(to: SocketAddr, path: &str, encoding: &str, framed: Vec<u8>) -> (String, String, Bytes) {
    let stream = tokio::net::TcpStream::connect(to).await.expect("it listens");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{to}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .body(Full::new(Bytes::from(framed)))
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    let headers = answer.headers().clone();
    let body = answer.into_body().collect().await.expect("a whole answer");
    let trailers = body.trailers().cloned().unwrap_or_default();
    let find = |name: &str| {
        let value = headers.get(name).or(trailers.get(name));
        value.map_or(String::new(), |value| value.to_str().expect("ASCII").to_string())
    };
    (find("grpc-status"), find("grpc-message"), body.to_bytes())
}

fn framed(compressed: u8, message: &[u8]) -> Vec<u8> {
    let mut out = vec![compressed];
    out.extend((message.len() as u32).to_be_bytes());
    out.extend(message);
    out
}

fn grpc(target: &Target) {
    const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let call = |path: &str, encoding: &str, framed| {
        runtime.block_on(unary(target.addresses.otlp_grpc, path, encoding, framed))
    };
    let good = one("over_grpc", now(), 4.0);
    let (status, message, body) = call(METRICS, "identity", framed(0, &good));
    assert_eq!((&*status, &*message, &body[..]), ("0", "", &[0, 0, 0, 0, 0][..]));
    // Another value for the same millisecond would be a conflict, and the first one would stay.
    std::thread::sleep(Duration::from_millis(2));
    let (status, ..) =
        call(METRICS, "gzip", framed(1, &encode::compress(&one("over_grpc", now(), 5.0), Encoding::Gzip)));
    assert_eq!(status, "0");
    target.value("over_grpc", Some("5"));
    let before = target.counts();
    let (status, message, _) = call(METRICS, "identity", framed(0, &good[..good.len() - 2]));
    assert!(status == "3" && message.contains("bad-protobuf"), "{status} {message}");
    let counted = || target.counts()["bad-protobuf"] == before["bad-protobuf"] + 1;
    assert!((0..200).any(|_| counted() || {
        std::thread::sleep(Duration::from_millis(10));
        false
    }));
    for size in [limits::BODY_SIZE + 1, 200 << 20] {
        let before = target.counts();
        let (status, message, _) = call(METRICS, "identity", framed(0, &vec![0; size]));
        assert!(status == "8" && message.contains("exceeds"), "{status} {message}");
        target.counted(&before, &[("away too-large", 1)]);
    }
    let before = target.counts();
    let wrong_port = raw(target.addresses.otlp_grpc, "content-length: 40000000\r\n", 40_000_000, false);
    assert!(wrong_port.status == 400 && String::from_utf8_lossy(&wrong_port.body).contains("a port of its own"));
    target.counted(&before, &[("away bad-framing", 1)]);
    let (status, message, body) = call(METRICS, "identity", framed(0, &one("t", 5, 1.0)));
    let partial = String::from_utf8_lossy(&body).into_owned();
    assert!(
        status == "0" && message.is_empty() && partial.contains("time-out-of-range"),
        "{status} {message} {partial}"
    );
    for (path, encoding, bytes, code, away) in [
        ("/no.such.Service/Export", "identity", framed(0, &good), "12", "away unknown-path"),
        (METRICS, "br", framed(0, &good), "12", "away content-encoding"),
        (METRICS, "identity", framed(1, &good), "3", "away bad-framing"),
        (METRICS, "identity", vec![0, 0, 0, 0, 9, 1], "3", "away bad-framing"),
    ] {
        let before = target.counts();
        assert_eq!(call(path, encoding, bytes).0, code, "{path} {encoding}");
        target.counted(&before, &[(away, 1)]);
    }
}
