//! How fast bodies decode on one core: `cargo run --release -p faultline-formats --example rate`.
//!
//! Each line is the median of 21 runs over one body, SHA-256 of the body and all checks included, with the share of
//! SHA-256 said beside it.
// Core reads no clock; what measures core has to.
#![allow(clippy::disallowed_types)]

use bytes::Bytes;
use faultline_formats::encode::{
    self, Attributes, Data, HistogramPoint, Log, Metric, Number, NumberPoint, Span, Value,
};
use faultline_formats::{Decoded, Exemplar, SpanKind, SpanStatus, decode, label_sets};
use faultline_model::{
    Clock, Digest, Encoding, EventTime, Format, HashSeed, Kind, Labels, Millis, Payload, Sample, SourceId, TenantId,
};
use std::hint::black_box;
use std::time::Instant;

const T: i64 = 1_795_000_000_123_456_789;

fn resource() -> Attributes {
    let pairs = [
        ("service.name", "checkout"),
        ("service.namespace", "shop"),
        ("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
        ("service.version", "1.4.2"),
        ("k8s.pod.name", "checkout-7d9f8c6b5-x2x4z"),
    ];
    pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn attributes(count: usize, i: usize) -> Attributes {
    let pair = |k: usize| {
        let name =
            ["http.request.method", "http.route", "http.response.status_code", "server.address", "net.peer.name"]
                [k % 5];
        let value = format!("{}-{:05}", ["GET", "/api/v1/orders", "200", "node"][k % 4], i * (k + 1) % 100_000);
        (if k < 5 { name.to_string() } else { format!("{name}.{k}") }, Value::Text(value))
    };
    (0..count).map(pair).collect()
}

/// - `each`: points of a metric.
fn numbers(count: usize, attribute_count: usize, each: usize) -> Vec<u8> {
    let points = |base: usize, n: usize| {
        let point = |i| NumberPoint {
            attributes: attributes(attribute_count, base + i),
            time: EventTime(T + i as i64),
            value: Number::Double(i as f64 * 0.5),
        };
        (0..n).map(point).collect::<Vec<_>>()
    };
    let metrics = (0..count / each).map(|m| Metric {
        name: format!("http.server.requests.{m}"),
        unit: "{request}".into(),
        data: Data::Sum { points: points(m * each, each), delta: false, monotonic: true },
    });
    encode::metrics(&[encode::ResourceMetrics { resource: resource(), metrics: metrics.collect() }])
}

fn histograms(count: usize) -> Vec<u8> {
    let points = (0..count).map(|i| HistogramPoint {
        attributes: attributes(4, i),
        time: EventTime(T),
        count: 150,
        sum: Some(12.5),
        bounds: (0..14).map(|b| f64::from(b) * 0.5).collect(),
        counts: vec![10; 15],
    });
    let data = Data::Histogram { points: points.collect(), delta: false };
    let metric = Metric { name: "http.server.request.duration".into(), unit: "s".into(), data };
    encode::metrics(&[encode::ResourceMetrics { resource: resource(), metrics: vec![metric] }])
}

fn logs(count: usize) -> Vec<u8> {
    let logs = (0..count).map(|i| Log {
        time: EventTime(T + i as i64),
        observed: EventTime(T),
        severity: 9,
        body: format!("request {i} to /api/v1/orders took 12 ms and returned 200 to 10.0.0.{}", i % 256),
        attributes: attributes(3, i),
        event: String::new(),
    });
    encode::logs(&[encode::ResourceLogs { resource: resource(), logs: logs.collect() }])
}

fn spans(count: usize) -> Vec<u8> {
    let spans = (0..count).map(|i| Span {
        trace: 0x0102_0304_0506_0708 << 64 | (i as u128 + 1),
        id: i as u64 + 1,
        parent: i as u64,
        state: String::new(),
        flags: 0x101,
        name: "GET /api/v1/orders".into(),
        kind: SpanKind::Client,
        start: EventTime(T),
        end: EventTime(T + 1_000_000),
        status: SpanStatus::Unset,
        attributes: attributes(4, i),
    });
    encode::traces(&[encode::ResourceSpans { resource: resource(), spans: spans.collect() }])
}

fn series(count: usize) -> Vec<(Labels, [Sample; 1])> {
    let labels = |i: usize| {
        let pairs = attributes(4, i).into_iter().map(|(name, value)| match value {
            Value::Text(text) => (name.replace('.', "_"), text),
            _ => unreachable!("attributes are text"),
        });
        let fixed = [("__name__", "http_requests_total"), ("job", "shop/checkout")];
        let fixed = fixed.map(|(name, value)| (name.to_string(), value.to_string()));
        (Labels::new(pairs.chain(fixed)), [Sample::new(Millis(T / 1_000_000), i as f64)])
    };
    (0..count).map(labels).collect()
}

/// The id of the trace and of the span.
fn exemplar(i: usize) -> Exemplar {
    let labels = [("trace_id", format!("{:032x}", i + 1)), ("span_id", format!("{i:016x}"))];
    Exemplar { time: Millis(T / 1_000_000), value: i as f64, labels: Labels::new(labels) }
}

fn payload(format: Format, encoding: Encoding, plain: &[u8]) -> Payload {
    let kind = Kind::Telemetry { source: SourceId::default(), format, encoding, clock: Clock::Live };
    Payload { tenant: TenantId(0), kind, body: Bytes::from(encode::compress(plain, encoding)) }
}

/// Median seconds of 21 runs.
fn median<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut seconds: Vec<f64> = (0..21)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[10]
}

fn measure(name: &str, format: Format, encoding: Encoding, plain: &[u8]) -> Decoded {
    let payload = payload(format, encoding, plain);
    let decoded = decode(payload.clone(), HashSeed(7));
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    let events = &decoded.events;
    let count = (events.points.len() + events.logs.len() + events.spans.len()) as f64;
    let whole = median(|| decode(payload.clone(), HashSeed(7)));
    let digest = median(|| Digest::of(&payload.body));
    println!(
        "{name:32} {:5.0} B/event  {:6.2} M/s  {:6.1} ns/event, of which SHA-256 {:5.1}; without it {:6.2} M/s",
        plain.len() as f64 / count,
        count / whole / 1e6,
        whole / count * 1e9,
        digest / count * 1e9,
        count / (whole - digest) / 1e6,
    );
    decoded
}

fn main() {
    use Encoding::{Gzip, Identity, Snappy, Zstd};
    let four = numbers(10_000, 4, 20);
    let decoded = measure("metric points, 4 attributes", Format::OtlpMetrics, Identity, &four);
    measure("  in gzip", Format::OtlpMetrics, Gzip, &four);
    measure("  in zstd", Format::OtlpMetrics, Zstd, &four);
    measure("metric points, 10 attributes", Format::OtlpMetrics, Identity, &numbers(10_000, 10, 20));
    measure("metrics of one point each", Format::OtlpMetrics, Identity, &numbers(10_000, 4, 1));
    measure("histogram samples, 17 a point", Format::OtlpMetrics, Identity, &histograms(2_000));
    let all = series(10_000);
    let write = encode::write_request(all.iter().map(|(labels, samples)| (labels, &samples[..])));
    measure("remote write samples, 6 labels", Format::RemoteWrite1, Identity, &write);
    measure("  in snappy", Format::RemoteWrite1, Snappy, &write);
    let exemplars: Vec<_> = (0..all.len()).map(|i| [exemplar(i)]).collect();
    let with = all.iter().zip(&exemplars).map(|((labels, samples), one)| (labels, &samples[..], &one[..]));
    let with = encode::write_request_with_exemplars(with, &[]);
    measure("  each with an exemplar", Format::RemoteWrite1, Identity, &with);
    measure("log records, 3 attributes", Format::OtlpLogs, Identity, &logs(10_000));
    measure("spans, 4 attributes", Format::OtlpTraces, Identity, &spans(10_000));
    let places: Vec<u32> = (0..decoded.events.points.len() as u32).collect();
    let seconds = median(|| label_sets(&decoded, &places));
    println!("{:32} {:6.2} M/s", "label sets, 4 attributes", places.len() as f64 / seconds / 1e6);
}
