//! Telemetry bodies: every format under every encoding, and inflating alone.
use crate::Target;
use crate::input::Input;
use bytes::Bytes;
use faultline_formats::encode::compress;
use faultline_formats::{Decoded, Reason, Scope, decode, label_sets, limits};
use faultline_model::{Canonical, Clock, Encoding, Format, HashSeed, Histogram, Kind, Payload, SourceId, TenantId};

/// The target.
pub const TARGET: Target = Target { name: "decode", size_max: 16 << 10, run, seeds };

const SEED: HashSeed = HashSeed(7);
/// Bit of the first byte: the bytes are the plain body, which is compressed here; so flips reach what lies beneath.
const PACK: u8 = 32;

fn payload(format: Format, encoding: Encoding, body: &[u8]) -> Payload {
    let kind = Kind::Telemetry { source: SourceId([0; 16]), format, encoding, clock: Clock::Live };
    Payload { tenant: TenantId(0), kind, body: Bytes::copy_from_slice(body) }
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let choice = input.byte();
    let format = Format::from_number(1 + choice % 8).expect("eight formats");
    let encoding = Encoding::from_number(choice / 8 % 4).expect("four encodings");
    let body = input.rest();
    let packed = choice & PACK != 0;
    let sent = if packed { compress(body, encoding) } else { body.to_vec() };
    let decoded = decode(payload(format, encoding, &sent), SEED);
    check(&decoded);
    assert_eq!(decode(payload(format, encoding, &sent), SEED), decoded, "the same bytes give the same events");
    let json = matches!(format, Format::OtlpMetricsJson | Format::OtlpLogsJson | Format::OtlpTracesJson);
    if packed && !json {
        assert_eq!(&decoded.plain[..], body, "inflating undoes deflating");
    }
    if decoded.plain.len() <= 64 << 10 {
        // What is JSON was rewritten: it says the same as protobuf.
        let rewritten = match format {
            Format::OtlpMetricsJson => Format::OtlpMetrics,
            Format::OtlpLogsJson => Format::OtlpLogs,
            Format::OtlpTracesJson => Format::OtlpTraces,
            format => format,
        };
        let plain = decode(payload(rewritten, Encoding::Identity, &decoded.plain), SEED);
        let refused = decoded.rejects.iter().any(|reject| reject.reason.scope() == Scope::Body);
        if !refused {
            assert_eq!(plain.events, decoded.events, "the encoding changes nothing");
        }
    }
}

/// What holds of any decoded body at all.
fn check(decoded: &Decoded) {
    let events = &decoded.events;
    assert!(decoded.plain.len() <= limits::PLAIN_SIZE);
    assert!(events.points.len() <= limits::POINTS && events.resources.len() <= limits::RESOURCES);
    assert!(decoded.rejects.len() <= Reason::ALL.len());
    assert!(decoded.rejects.iter().all(|reject| reject.count > 0 && reject.detail.len() <= limits::DETAIL_SIZE));
    if decoded.rejects.iter().any(|reject| reject.reason.scope() == Scope::Body) {
        assert_eq!((decoded.rejects.len(), events.count()), (1, 0), "of a body that is refused nothing is taken");
    }
    let mut places: Vec<u32> = events.points.iter().map(|point| point.place).collect();
    places.extend(events.histograms.iter().map(|point| point.place));
    places.sort();
    assert!(places.iter().zip(0..).all(|(place, expected)| *place == expected), "places count floats and histograms");
    let labels = label_sets(decoded, &places);
    assert_eq!(labels.len(), places.len());
    for point in &events.histograms {
        let Some(histogram) = &point.histogram else { continue };
        assert_eq!(histogram.validate(), Ok(()));
        assert_eq!(Histogram::from_bytes(&histogram.to_bytes()).as_ref(), Ok(&**histogram));
    }
    for point in &events.points {
        let labels = &labels[point.place as usize];
        assert!((limits::TIME_MIN..limits::TIME_END).contains(&point.time.0));
        assert!(!labels.name().is_empty() && labels.len() <= limits::LABELS);
    }
    if let Some(last) = places.last() {
        assert_eq!(label_sets(decoded, &[*last])[0], labels[*last as usize], "a place's labels are its own");
    }
    for resource in &events.resources {
        for text in [resource.service, resource.instance, resource.namespace, resource.version] {
            assert_eq!(decoded.text(text).len(), text.size as usize);
        }
    }
    assert!(events.logs.iter().all(|log| (log.resource as usize) < events.resources.len() && log.severity <= 24));
    for span in &events.spans {
        assert!((span.resource as usize) < events.resources.len() && span.trace != 0 && span.id != 0);
        assert!(span.sampled.weight() >= 1.0);
        assert_eq!(
            decoded.text(span.name).len() + decoded.text(span.peer).len(),
            (span.name.size + span.peer.size) as usize
        );
    }
}

fn seeds() -> Vec<Vec<u8>> {
    const METRICS: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/metrics.bin");
    const REFUSED: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/refused.bin");
    const SDK: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/sdk.bin");
    const LOGS: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/logs.bin");
    const TRACES: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/traces.bin");
    const WRITE: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/write.bin");
    let plain_write = decode(payload(Format::RemoteWrite1, Encoding::Snappy, WRITE), SEED).plain;
    const METRICS_JSON: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/metrics.json");
    const LOGS_JSON: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/logs.json");
    // A histogram with both sides, and the same in version 2.
    const ONE: &[u8] = b"\x0a\x4a\x0a\x0d\x0a\x08__name__\x12\x01h\x22\x39\x08\x06\x19\0\0\0\0\0\0\xf8?\x20\x06\x30\x01\x42\x04\x08\x02\x10\x01\
        \x4a\x01\x02\x5a\x04\x08\x01\x10\x02\x62\x02\x04\x00\x70\x01\x78\xfb\xc4\xed\xc5\x9e\x34";
    let bodies = [
        (0, METRICS),
        (0, REFUSED),
        (0, SDK),
        (1, LOGS),
        (2, TRACES),
        (3, &plain_write[..]),
        (3, ONE),
        (5, METRICS_JSON),
        (6, LOGS_JSON),
        (7, b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"5b8efff798038103d269b633813fc60c\"}]}]}]}"),
    ];
    let mut seeds = Vec::new();
    for (format, body) in bodies {
        seeds.push([&[format], body].concat());
        for encoding in 1..4 {
            let packed = compress(body, Encoding::from_number(encoding).expect("four encodings"));
            seeds.push([&[format + 8 * encoding], &packed[..]].concat());
        }
        seeds.push([&[format + 8 + PACK], body].concat());
    }
    seeds
}
