//! Each limit at its edge: the last that is taken, and the first that is not.
use crate::support::{SEED, all_labels, decoded, metrics, rejects};
use faultline_formats::encode::{
    self, Attributes, Data, HistogramPoint, Log, Metric, Number, NumberPoint, ResourceLogs, ResourceMetrics,
    ResourceSpans, Span, Value,
};
use faultline_formats::{SpanKind, SpanStatus, decode, label_sets, limits};
use faultline_model::{
    BodyDigest, Clock, Control, EffectId, Encoding, EventTime, Format, Kind, Labels, Millis, Payload, Sample, TenantId,
};

const T: EventTime = EventTime(1_795_000_000_000_000_000);

fn text(pairs: impl IntoIterator<Item = (String, String)>) -> Attributes {
    pairs.into_iter().map(|(name, value)| (name, Value::Text(value))).collect()
}

fn gauge(name: &str, unit: &str, attributes: Attributes) -> Metric {
    let point = NumberPoint { attributes, time: T, value: Number::Int(1) };
    Metric { name: name.into(), unit: unit.into(), data: Data::Gauge(vec![point]) }
}

fn body(resource: Attributes, metrics: Vec<Metric>) -> Vec<u8> {
    encode::metrics(&[ResourceMetrics { resource, metrics }])
}

#[test]
fn names_and_labels_end_where_they_say() {
    let of = |size: usize| "x".repeat(size);
    let one = |name: usize, value: usize| text([(of(name), of(value))]);
    let many = |count: usize, size: usize| text((0..count).map(|i| (format!("k{i}"), of(size))));
    let map = |size: usize| vec![("m".to_string(), Value::Map(text([("k".to_string(), of(size))])))];
    for (metric, expected) in [
        (gauge(&of(limits::NAME_SIZE - 2), "ms", vec![]), ""),
        (gauge(&of(limits::NAME_SIZE - 1), "ms", vec![]), "name-too-long=1"),
        (gauge("m", "", one(limits::NAME_SIZE, 1)), ""),
        (gauge("m", "", one(limits::NAME_SIZE + 1, 1)), "label-too-long=1"),
        (gauge("m", "", one(1, limits::VALUE_SIZE)), ""),
        (gauge("m", "", one(1, limits::VALUE_SIZE + 1)), "label-too-long=1"),
        (gauge("m", "", one(1, 1 << 20)), "label-too-long=1"),
        (gauge("m", "", map(limits::VALUE_SIZE)), "label-too-long=1"),
        // As JSON it could be six times as large.
        (gauge("m", "", map(limits::VALUE_SIZE - 20)), "labels-too-large=1"),
        (gauge("m", "", map(limits::ATTRIBUTES_SIZE / 6 - 20)), ""),
        (gauge("m", "", many(limits::ATTRIBUTES, 1)), ""),
        (gauge("m", "", many(limits::ATTRIBUTES + 1, 1)), "too-many-labels=1"),
        (gauge("m", "", many(4, 16_000)), ""),
        (gauge("m", "", many(5, 16_000)), "labels-too-large=1"),
    ] {
        let decoded =
            metrics(body(text([("service.name".into(), "s".into())]), vec![metric, gauge("after", "", vec![])]));
        assert_eq!(rejects(&decoded), expected);
        assert_eq!(decoded.events.points.len(), if expected.is_empty() { 2 } else { 1 });
        assert!(all_labels(&decoded).iter().all(|labels| labels.len() <= limits::LABELS));
    }
}

#[test]
fn a_resource_that_cannot_be_named_takes_its_points_with_it() {
    let long = text([("service.name".into(), "x".repeat(limits::VALUE_SIZE + 1))]);
    let points = vec![gauge("a", "", vec![]), gauge("b", "", vec![])];
    let refused = metrics(body(long, points.clone()));
    assert_eq!(rejects(&refused), "label-too-long=2");
    assert!(refused.events.resources.is_empty());
    // What only target_info would have carried costs no point.
    let odd = text([("service.name".into(), "s".into()), ("x".into(), "y".repeat(limits::VALUE_SIZE + 1))]);
    let taken = metrics(body(odd, points));
    assert_eq!(rejects(&taken), "target-info=1");
    assert_eq!(taken.rejects[0].detail, "target_info of service s: label-too-long");
    assert_eq!(taken.events.points.len(), 2);
}

#[test]
fn text_that_is_not_utf_8_costs_its_own_item() {
    let service = text([("service.name".into(), "shop".into()), ("é".into(), "ü".into())]);
    let good = gauge("metric", "unit", text([("key".into(), "value".into())]));
    let body = body(service, vec![good, gauge("other", "", vec![])]);
    for (word, expected, left) in [
        ("metric", "bad-utf8=1", 2),
        ("unit", "bad-utf8=1", 2),
        ("key", "bad-utf8=1", 2),
        ("value", "bad-utf8=1", 2),
        ("shop", "bad-utf8=2", 0),
        ("é", "target-info=1", 2),
    ] {
        let at = body.windows(word.len()).position(|window| window == word.as_bytes()).unwrap();
        let mut bad = body.clone();
        bad[at] = 0xff;
        let decoded = metrics(bad);
        assert_eq!((&*rejects(&decoded), decoded.events.points.len()), (expected, left), "{word}");
    }
}

#[test]
fn points_are_counted_as_the_samples_that_they_become() {
    let histogram = |buckets: usize| HistogramPoint {
        attributes: vec![],
        time: T,
        count: 1,
        sum: Some(1.0),
        bounds: (0..buckets - 1).map(|bound| bound as f64).collect(),
        counts: vec![1; buckets],
    };
    let with = |points: Vec<HistogramPoint>| {
        let data = Data::Histogram { points, delta: false };
        metrics(body(vec![], vec![Metric { name: "h".into(), unit: String::new(), data }]))
    };
    // A sum and a count beside the buckets; a point is taken whole or not at all.
    let full = limits::POINTS / 4 - 2;
    let taken = with((0..4).map(|_| histogram(full)).collect());
    assert_eq!((&*rejects(&taken), taken.events.points.len()), ("", limits::POINTS));
    let over = with((0..6).map(|_| histogram(full)).collect());
    assert_eq!((&*rejects(&over), over.events.points.len()), ("too-many-points=2", limits::POINTS));
    let one = with(vec![histogram(limits::POINTS + 10), histogram(2)]);
    assert_eq!((&*rejects(&one), one.events.points.len()), ("too-many-points=1", 4));
}

#[test]
fn what_a_body_says_once_is_counted_on_every_point() {
    let service = text([("service.name".into(), "s".repeat(limits::VALUE_SIZE))]);
    let point = NumberPoint { attributes: vec![], time: T, value: Number::Int(1) };
    let data = Data::Gauge(vec![point; 20_000]);
    let decoded = metrics(body(service, vec![Metric { name: "m".into(), unit: String::new(), data }]));
    let taken = limits::LABEL_BYTES / (limits::VALUE_SIZE + 33);
    assert_eq!(decoded.events.points.len(), taken);
    assert_eq!(rejects(&decoded), format!("too-many-label-bytes={}", 20_000 - taken));
}

#[test]
fn items_and_resources_are_counted() {
    let log = Log { time: T, observed: T, severity: 9, body: String::new(), attributes: vec![], event: String::new() };
    let logs = encode::logs(&[ResourceLogs { resource: vec![], logs: vec![log.clone(); limits::LOGS + 3] }]);
    let logs = decoded(Format::OtlpLogs, Encoding::Identity, logs);
    assert_eq!((&*rejects(&logs), logs.events.logs.len()), ("too-many-logs=3", limits::LOGS));

    let resources = vec![ResourceLogs { resource: vec![], logs: vec![log; 2] }; limits::RESOURCES + 3];
    let many = decoded(Format::OtlpLogs, Encoding::Identity, encode::logs(&resources));
    assert_eq!((&*rejects(&many), many.events.logs.len()), ("too-many-resources=6", limits::RESOURCES * 2));

    let metric = ResourceMetrics { resource: vec![], metrics: vec![gauge("m", "", vec![])] };
    let many = metrics(encode::metrics(&vec![metric; limits::RESOURCES + 1]));
    assert_eq!((&*rejects(&many), many.events.points.len()), ("too-many-resources=1", limits::RESOURCES));

    // Two bytes make a resource: what is empty must not cost more memory than it is allowed to.
    let empty = [0x0a, 0x00].repeat(1 << 20);
    let empty = decoded(Format::OtlpTraces, Encoding::Identity, empty);
    assert_eq!((empty.events.resources.len(), empty.rejects.len()), (limits::RESOURCES, 0));
}

#[test]
fn span_texts_end_where_they_say() {
    let span = |name: usize, peer: usize| Span {
        trace: 1,
        id: 1,
        parent: 0,
        state: String::new(),
        flags: 0,
        name: "n".repeat(name),
        kind: SpanKind::Client,
        start: T,
        end: T,
        status: SpanStatus::Unset,
        attributes: text([("peer.service".into(), "p".repeat(peer))]),
    };
    let edge = limits::VALUE_SIZE;
    let spans = vec![span(edge, edge), span(edge + 1, 1), span(1, edge + 1)];
    let body = encode::traces(&[ResourceSpans { resource: vec![], spans }]);
    let decoded = decoded(Format::OtlpTraces, Encoding::Identity, body);
    assert_eq!((&*rejects(&decoded), decoded.events.spans.len()), ("label-too-long=2", 1));
}

#[test]
fn remote_write_series_end_where_they_say() {
    let series = |pairs: Vec<(String, String)>| {
        let labels = Labels::new(pairs.into_iter().chain([("__name__".to_string(), "m".to_string())]));
        let samples = [Sample::new(Millis(T.0 / 1_000_000), 1.0), Sample::stale(Millis(T.0 / 1_000_000 + 1))];
        let body = encode::write_request([(&labels, &samples[..])]);
        let decoded = decoded(Format::RemoteWrite1, Encoding::Snappy, encode::compress(&body, Encoding::Snappy));
        if decoded.rejects.is_empty() {
            assert_eq!(all_labels(&decoded), [labels.clone(), labels]);
        }
        rejects(&decoded)
    };
    let of = |size: usize| "x".repeat(size);
    let many = |count: usize, size: usize| (0..count).map(|i| (format!("k{i:03}"), of(size))).collect();
    for (pairs, expected) in [
        (many(limits::LABELS - 1, 1), ""),
        (many(limits::LABELS, 1), "too-many-labels=2"),
        (many(5, 16_000), "labels-too-large=2"),
        (vec![(of(limits::NAME_SIZE), of(limits::VALUE_SIZE))], ""),
        (vec![(of(limits::NAME_SIZE + 1), of(1))], "label-too-long=2"),
        (vec![(of(1), of(limits::VALUE_SIZE + 1))], "label-too-long=2"),
        (vec![(of(1), of(1 << 20))], "label-too-long=2"),
        (vec![("__name__".into(), of(1))], ""),
    ] {
        assert_eq!(series(pairs), expected);
    }
}

#[test]
fn other_records_pass_untouched() {
    for kind in [Kind::Tick, Kind::Control(Control::Rules), Kind::Reply(EffectId::default())] {
        let payload = Payload { tenant: TenantId(3), kind, body: "rules".into() };
        let decoded = decode(payload.clone(), SEED);
        assert_eq!((&decoded.payload, &decoded.plain), (&payload, &payload.body));
        assert_eq!(decoded.digest, BodyDigest::of(b"rules", SEED));
        assert_eq!((decoded.events.points.len(), decoded.rejects.len()), (0, 0));
        assert!(label_sets(&decoded, &[]).is_empty());
    }
    let clock = Clock::Import;
    let kind =
        Kind::Telemetry { source: Default::default(), format: Format::OtlpLogs, encoding: Encoding::Identity, clock };
    let empty = decode(Payload { tenant: TenantId(0), kind, body: "".into() }, SEED);
    assert_eq!((empty.events.logs.len(), empty.rejects.len()), (0, 0));
}
