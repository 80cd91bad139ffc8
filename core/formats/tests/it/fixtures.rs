//! Bytes that Google's protobuf and Snappy wrote (`tests/fixtures/generate.py`), against what Prometheus 3.15 makes of them.
use crate::support::{all_labels, decoded, lines, metrics, rejects};
use faultline_formats::{Decoded, PointFlags, Scope, SpanKind, SpanStatus};
use faultline_model::{Encoding, EventTime, Format, float};
use std::fmt::Write;

const METRICS: &[u8] = include_bytes!("../fixtures/metrics.bin");
const SDK: &[u8] = include_bytes!("../fixtures/sdk.bin");
const DRAWN: &[u8] = include_bytes!("../fixtures/drawn.bin");
const REFUSED: &[u8] = include_bytes!("../fixtures/refused.bin");
const LOGS: &[u8] = include_bytes!("../fixtures/logs.bin");
const TRACES: &[u8] = include_bytes!("../fixtures/traces.bin");
const WRITE: &[u8] = include_bytes!("../fixtures/write.bin");

const T: i64 = 1_795_000_000_123_456_789;

/// The points in the words of `tests/fixtures/oracle.go`.
fn as_oracle(decoded: &Decoded) -> String {
    let mut out = String::new();
    for (point, labels) in decoded.events.points.iter().zip(all_labels(decoded)) {
        let value = match point.flags.has(PointFlags::STALE) {
            true => "stale".to_string(),
            false => format!("{:x}", point.value.to_bits()),
        };
        write!(out, "{} {value}", point.time.0).unwrap();
        for (name, value) in labels.iter() {
            write!(out, " [{},{}]", json(name), json(value)).unwrap();
        }
        out.push('\n');
    }
    out
}

/// Go's JSON with HTML escapes, as the oracle prints names and values.
pub fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\0'..='\u{1f}' => write!(out, "\\u{:04x}", c as u32).unwrap(),
            c => out.push(c),
        }
    }
    out + "\""
}

#[test]
fn metrics_become_the_series_of_prometheus() {
    for (body, expected) in [
        (METRICS, include_str!("../fixtures/metrics.expected")),
        (SDK, include_str!("../fixtures/sdk.expected")),
        (DRAWN, include_str!("../fixtures/drawn.expected")),
    ] {
        let decoded = metrics(body);
        assert_eq!(rejects(&decoded), "");
        let found = as_oracle(&decoded);
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.lines().count(), expected.lines().count());
    }
}

#[test]
fn delta_points_say_so() {
    let decoded = metrics(METRICS);
    let delta: Vec<String> = lines(&decoded).into_iter().filter(|line| line.ends_with("delta")).collect();
    assert_eq!(delta.len(), 1 + 5, "{delta:#?}");
    assert!(delta.iter().all(|line| line.starts_with("disk_io_bytes") || line.starts_with("batch_seconds")));
}

#[test]
fn what_is_refused_is_counted_by_reason() {
    let decoded = metrics(REFUSED);
    assert_eq!(
        rejects(&decoded),
        "empty-name=1 bad-temporality=1 time-out-of-range=5 no-value=1 \
         bad-label-name=2 too-deep=1 bad-bounds=2 unknown-kind=1"
    );
    assert!(decoded.rejects.iter().all(|reject| reject.reason.scope() == Scope::Item));
    assert_eq!(decoded.rejects[0].detail, "metric \"@#$%\"");
    assert_eq!(decoded.events.histograms.len(), 3);
    assert_eq!(
        lines(&decoded),
        [
            "sum_mary_sum{job=\"s\"} 3@1795000000123",
            "sum_mary_count{job=\"s\"} 2@1795000000123",
            "sum_mary{job=\"s\", quantile=\"0.5\"} 1@1795000000123",
            "sum_mary_sum{job=\"s\"} 3@1795000000123",
            "sum_mary_count{job=\"s\"} 2@1795000000123",
            "sum_mary{job=\"s\", quantile=\"0.5\"} 1@1795000000123",
            "times{job=\"s\", t=\"31536000000000000\"} 1@31536000000",
            "times{job=\"s\", t=\"7258118399999999999\"} 1@7258118399999",
            "values{job=\"s\", key_=\"ok\"} 1@1795000000123",
        ]
    );
}

#[test]
fn logs_keep_their_time_and_severity() {
    let decoded = decoded(Format::OtlpLogs, Encoding::Identity, LOGS);
    let events = &decoded.events;
    let logs: Vec<_> = events.logs.iter().map(|log| (log.resource, log.time.0 - T, log.severity)).collect();
    let first = [(0, 0, 0), (0, 1, 9), (0, 2, 17), (0, 3, 24)];
    let second = [(1, 0, 0), (1, 1, 9), (1, 2, 17), (1, 3, 24), (1, 5, 13)];
    assert_eq!(logs, [&first[..], &second].concat());
    let resource = events.resources[1];
    assert_eq!(
        [resource.service, resource.namespace, resource.instance, resource.version].map(|text| decoded.text(text)),
        ["cart", "shop", "", "2"]
    );
    assert_eq!(rejects(&decoded), "time-out-of-range=1");
    assert_ne!(events.resources[0].key, resource.key);
}

#[test]
fn spans_keep_what_the_graph_needs() {
    let decoded = decoded(Format::OtlpTraces, Encoding::Identity, TRACES);
    let spans = &decoded.events.spans;
    let texts: Vec<_> = spans.iter().map(|span| (decoded.text(span.name), decoded.text(span.peer))).collect();
    assert_eq!(texts, [("GET /", ""), ("SELECT", "orders"), ("send", "queue")]);
    let shape: Vec<_> = spans.iter().map(|span| (span.id, span.parent, span.kind, span.status)).collect();
    assert_eq!(
        shape,
        [
            (1, 0, SpanKind::Server, SpanStatus::Error),
            (2, 1, SpanKind::Client, SpanStatus::Unset),
            (3, 0, SpanKind::Producer, SpanStatus::Ok),
        ]
    );
    assert!(spans.iter().all(|span| span.trace == 0x0102030405060708090a0b0c0d0e0f10 && span.start == EventTime(T)));
    assert_eq!(spans.iter().map(|span| span.end.0 - T).collect::<Vec<_>>(), [5_000_000, 1_000_000, -1]);
    let sampled: Vec<_> =
        spans.iter().map(|span| (span.sampled.said, span.sampled.flag, span.sampled.weight())).collect();
    assert_eq!(sampled, [(false, true, 1.0), (true, false, 2.0), (false, false, 1.0)]);
    assert_eq!(rejects(&decoded), "bad-id=3 time-out-of-range=1");
    assert_eq!(decoded.text(decoded.events.resources[0].instance), "i-1");
}

#[test]
fn remote_write_keeps_labels_as_they_are() {
    let decoded = decoded(Format::RemoteWrite1, Encoding::Snappy, WRITE);
    assert_eq!(
        lines(&decoded),
        [
            "up{instance=\"a:1\", job=\"node\"} 1@1795000000123",
            "up{instance=\"a:1\", job=\"node\"} 0@1795000001123",
            "up{instance=\"a:1\", job=\"node\"} 0@1795000002123 stale",
            "unsorted{job=\"node\"} NaN@1795000000123",
            "unsorted{job=\"node\"} -inf@1795000000123",
            "dötted.näme{q.x=\"é\"} 2.5@1795000000123",
            "early{a=\"1\"} 7@1795000000123",
        ]
    );
    assert_eq!(
        rejects(&decoded),
        "bad-exemplar=1 bad-histogram=2 empty-name=2 duplicate-label=1 bad-label-name=1 time-out-of-range=2"
    );
    let points = &decoded.events.points;
    assert_eq!(points[0].key, points[2].key);
    assert_eq!(points[3].value.to_bits(), float::NAN.to_bits());
    assert!(decoded.events.resources.is_empty());
}
