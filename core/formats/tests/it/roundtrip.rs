//! What is encoded decodes to itself; keys and label sets tell the same series apart; the order on the wire does not matter.
use crate::support::{SEED, all_labels, decoded, lines, metrics, rejects};
use faultline_formats::encode::{
    self, Attributes, Data, HistogramPoint, Log, Metric, Number, NumberPoint, ResourceLogs, ResourceMetrics,
    ResourceSpans, Span, Value,
};
use faultline_formats::{Decoded, PointFlags, Reason, Reject, SpanKind, SpanStatus, decode, label_sets};
use faultline_model::ids::hex;
use faultline_model::{Encoding, EventTime, Format, HashSeed, Labels, Millis, Sample};
use std::collections::BTreeMap;

const T: i64 = 1_795_000_000_000_000_000;

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn attributes(&mut self) -> Attributes {
        let names = ["zone", "method", "code", "path", "a_longer_name_than_the_others"];
        let mut out = Attributes::new();
        for name in names.into_iter().skip(self.next(5) as usize) {
            let value = match self.next(4) {
                0 => Value::Int(self.next(5) as i64 - 2),
                1 => Value::Bool(self.next(2) == 0),
                2 => Value::Text("é".repeat(self.next(100) as usize + 1)),
                _ => Value::Text(format!("v{}", self.next(3))),
            };
            out.push((name.into(), value));
        }
        out
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(name, value)| (name.to_string(), Value::from(*value))).collect()
}

fn expected_labels(name: &str, job: &str, attributes: &Attributes, le: Option<&str>) -> Labels {
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        _ => unreachable!("not drawn"),
    };
    let own = attributes.iter().map(|(name, value)| (name.clone(), text(value)));
    let fixed = [("__name__", Some(name)), ("job", Some(job)), ("instance", Some("i")), ("le", le)];
    Labels::new(own.chain(fixed.map(|(name, value)| (name.to_string(), value.unwrap_or("").to_string()))))
}

/// Labels, value, milliseconds and flags of a point.
type Expected = (Labels, f64, i64, PointFlags);

/// A body of random gauges, sums and histograms, and the lines that it must become.
fn random_metrics(random: &mut Random) -> (Vec<ResourceMetrics>, Vec<Expected>) {
    let (mut resources, mut expected) = (Vec::new(), Vec::new());
    for r in 0..random.next(3) + 1 {
        let job = format!("shop/service{r}");
        let service = format!("service{r}");
        let resource =
            attributes(&[("service.name", &service), ("service.instance.id", "i"), ("service.namespace", "shop")]);
        let mut list = Vec::new();
        for m in 0..random.next(5) {
            let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
            let (kind, delta, monotonic) = (random.next(3), random.next(2) == 0, random.next(2) == 0);
            let name = format!("metric{m}");
            let flags = if delta && kind > 0 { PointFlags::DELTA } else { PointFlags::NONE };
            for _ in 0..random.next(4) {
                let own = random.attributes();
                let ms = T / 1_000_000 + random.next(1000) as i64;
                let time = EventTime(ms * 1_000_000 + 999_999);
                if kind < 2 {
                    let name = if kind == 1 && monotonic {
                        format!("{name}_seconds_total")
                    } else {
                        format!("{name}_seconds")
                    };
                    let labels = expected_labels(&name, &job, &own, None);
                    let (value, number, flags) = match random.next(3) {
                        0 => (Number::Int(-7), -7.0, flags),
                        1 => (Number::Double(0.25), 0.25, flags),
                        _ => (Number::Gone, 0.0, flags.with(PointFlags::STALE)),
                    };
                    expected.push((labels, number, ms, flags));
                    numbers.push(NumberPoint { attributes: own, time, value });
                } else {
                    let mut push = |part: &str, le, value| {
                        let labels = expected_labels(&format!("{name}_seconds_{part}"), &job, &own, le);
                        expected.push((labels, value, ms, flags));
                    };
                    push("sum", None, 2.5);
                    push("count", None, 6.0);
                    push("bucket", Some("0.5"), 1.0);
                    push("bucket", Some("10"), 3.0);
                    push("bucket", Some("+Inf"), 6.0);
                    let (bounds, counts) = (vec![0.5, 10.0], vec![1, 2, 3]);
                    histograms.push(HistogramPoint { attributes: own, time, count: 6, sum: Some(2.5), bounds, counts });
                }
            }
            let data = match kind {
                0 => Data::Gauge(numbers),
                1 => Data::Sum { points: numbers, delta, monotonic },
                _ => Data::Histogram { points: histograms, delta },
            };
            list.push(Metric { name, unit: "s".into(), data });
        }
        resources.push(ResourceMetrics { resource, metrics: list });
    }
    (resources, expected)
}

#[test]
fn metrics_decode_to_what_was_encoded_and_keys_agree_with_labels() {
    let mut random = Random(42);
    let mut points = 0;
    for round in 0..300 {
        let (resources, expected) = random_metrics(&mut random);
        let decoded = metrics(encode::metrics(&resources));
        assert_eq!(rejects(&decoded), "");
        let labels = all_labels(&decoded);
        let found = decoded.events.points.iter().zip(&labels);
        let found: Vec<_> = found.map(|(p, labels)| (labels.clone(), p.value, p.time.0, p.flags)).collect();
        assert!(found == expected, "round {round}\n{found:#?}\n{expected:#?}");
        check_keys(&decoded, &labels);
        let some: Vec<u32> = (0..labels.len() as u32).filter(|_| random.next(3) == 0).collect();
        let picked: Vec<Labels> = some.iter().map(|place| labels[*place as usize].clone()).collect();
        assert_eq!(label_sets(&decoded, &some), picked);
        points += labels.len();
    }
    assert!(points > 3000, "{points}");
}

/// One key, one label set; and in one spelling, kind and temporality also one label set, one key.
fn check_keys(decoded: &Decoded, labels: &[Labels]) {
    let (mut by_key, mut by_labels) = (BTreeMap::new(), BTreeMap::new());
    for (point, labels) in decoded.events.points.iter().zip(labels) {
        assert_eq!(by_key.entry(point.key).or_insert(labels), &labels);
        let delta = point.flags.has(PointFlags::DELTA);
        assert_eq!(by_labels.entry((labels.clone(), delta)).or_insert(point.key), &point.key);
    }
}

#[test]
fn pieces_of_a_key_do_not_run_into_one_another() {
    let point = |pairs: &[(&str, &str)]| NumberPoint {
        attributes: attributes(pairs),
        time: EventTime(T),
        value: Number::Int(1),
    };
    let gauge =
        |name: &str, unit: &str, points| Metric { name: name.into(), unit: unit.into(), data: Data::Gauge(points) };
    let of = |resource: &[(&str, &str)], metrics| ResourceMetrics { resource: attributes(resource), metrics };
    let pairs =
        || vec![point(&[("a", "bc")]), point(&[("ab", "c")]), point(&[("a", "b"), ("c", "")]), point(&[("a", "")])];
    let split = |name: &str, unit: &str, lead: u64| {
        let bounds = vec![1.0, 2.0];
        let histogram = HistogramPoint {
            attributes: vec![],
            time: EventTime(T),
            count: lead,
            sum: None,
            bounds,
            counts: vec![lead, 1, 2],
        };
        Metric { name: name.into(), unit: unit.into(), data: Data::Histogram { points: vec![histogram], delta: false } }
    };
    let list = || vec![gauge("ab", "c", pairs()), gauge("a", "bc", pairs()), split("ab", "c", 1), split("abc", "", 2)];
    let body = encode::metrics(&[
        of(&[("service.name", "ab"), ("service.instance.id", "c")], list()),
        of(&[("service.name", "a"), ("service.instance.id", "bc")], list()),
        of(&[("service.name", "b"), ("service.namespace", "a")], list()),
        of(&[("service.name", "abc")], list()),
        of(&[("service.instance.id", "abc")], list()),
        of(&[], list()),
    ]);
    let decoded = metrics(body.clone());
    let labels = all_labels(&decoded);
    let mut keys = BTreeMap::new();
    for (point, labels) in decoded.events.points.iter().zip(&labels) {
        assert_eq!(keys.entry(point.key).or_insert(labels), &labels);
    }
    assert_eq!(keys.len(), decoded.events.points.len());
    // The seed decides the keys, and nothing else.
    let other = decode(decoded.payload.clone(), HashSeed(SEED.0 + 1));
    assert!(other.events.points.iter().all(|point| !keys.contains_key(&point.key)));
    assert_eq!(all_labels(&other), labels);
    assert!(metrics(body).events == decoded.events);
}

#[test]
fn content_encodings_change_nothing() {
    let plain = encode::metrics(&random_metrics(&mut Random(7)).0);
    let whole = metrics(plain.clone());
    for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Snappy] {
        let packed = decoded(Format::OtlpMetrics, encoding, encode::compress(&plain, encoding));
        assert!(packed.events == whole.events && packed.plain == whole.plain, "{encoding:?}");
        assert_ne!(packed.digest, whole.digest);
    }
}

/// A field of wire type 2.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

#[test]
fn fields_may_stand_in_any_order() {
    let pair = |name: &str, value: &str| [field(1, name.as_bytes()), field(2, &field(1, value.as_bytes()))].concat();
    let backwards =
        |name: &str, value: &str| [field(2, &field(1, value.as_bytes())), field(1, name.as_bytes())].concat();
    let time = [&[3 << 3 | 1][..], &(T as u64).to_le_bytes()].concat();
    let value = [&[4 << 3 | 1][..], &2.5f64.to_le_bytes()].concat();
    let unknown = [&[0x98, 0x06, 0x01][..], &field(14, b"later")].concat();
    let usual = [time.clone(), value.clone(), field(7, &pair("a", "1")), field(7, &pair("b", "2"))].concat();
    let scattered = [field(7, &pair("a", "1")), time, field(7, &pair("b", "2")), unknown.clone(), value].concat();
    let resource = field(1, &field(1, &backwards("service.name", "s")));
    let metric =
        |point: &[u8]| [field(7, &[&[0x18, 1, 0x10, 2][..], &field(1, point)].concat()), field(1, b"m")].concat();
    let body =
        |point: &[u8]| field(1, &[field(2, &field(2, &metric(point))), resource.clone(), unknown.clone()].concat());
    let bodies =
        [metrics(body(&usual)), metrics(body(&scattered)), metrics([body(&scattered), unknown.clone()].concat())];
    for decoded in &bodies {
        assert_eq!(lines(decoded), ["m_total{a=\"1\", b=\"2\", job=\"s\"} 2.5@1795000000000"]);
        // Scattered or not, the same attributes in the same spelling are one series.
        assert_eq!(decoded.events.points[0].key, bodies[0].events.points[0].key);
        assert_eq!(decoded.text(decoded.events.resources[0].service), "s");
    }
    let twice = field(1, &[resource.clone(), resource.clone()].concat());
    assert_eq!(rejects(&metrics(twice)), "bad-protobuf=1");
    let both = field(1, &field(2, &field(2, &[field(5, b""), field(7, b"")].concat())));
    assert_eq!(rejects(&metrics(both)), "bad-protobuf=1");
}

#[test]
fn a_resource_told_twice_has_one_target_info() {
    let resource = attributes(&[("service.name", "s"), ("zone", "z")]);
    let gauge = |time| {
        let points = vec![NumberPoint { attributes: vec![], time: EventTime(time), value: Number::Int(1) }];
        ResourceMetrics {
            resource: resource.clone(),
            metrics: vec![Metric { name: "m".into(), unit: String::new(), data: Data::Gauge(points) }],
        }
    };
    let decoded = metrics(encode::metrics(&[gauge(T), gauge(T), gauge(T + 5_000_000)]));
    let info: Vec<_> = lines(&decoded).into_iter().filter(|line| line.starts_with("target_info")).collect();
    assert_eq!(
        info,
        ["target_info{job=\"s\", zone=\"z\"} 1@1795000000000", "target_info{job=\"s\", zone=\"z\"} 1@1795000000005"]
    );
}

#[test]
fn logs_and_spans_decode_to_what_was_encoded() {
    let resource = attributes(&[("service.name", "checkout"), ("service.version", "3")]);
    let logs: Vec<Log> = (0..30)
        .map(|i| Log {
            time: EventTime(if i % 3 == 0 { 0 } else { T + i }),
            observed: EventTime(T - i),
            severity: (i % 25) as u8,
            body: "text".into(),
            attributes: attributes(&[("k", "v")]),
            event: if i % 2 == 0 { String::new() } else { format!("event.{i}") },
        })
        .collect();
    let body = encode::logs(&[ResourceLogs { resource: resource.clone(), logs: logs.clone() }]);
    let found = decoded(Format::OtlpLogs, Encoding::Identity, body);
    for (log, sent) in found.events.logs.iter().zip(&logs) {
        let time = if sent.time.0 == 0 { sent.observed } else { sent.time };
        assert_eq!((log.resource, log.time, log.severity), (0, time, sent.severity));
        assert_eq!(found.text(log.event), sent.event);
    }
    assert_eq!((found.events.logs.len(), &*rejects(&found)), (30, ""));

    let kinds = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    let statuses = [SpanStatus::Unset, SpanStatus::Ok, SpanStatus::Error];
    let spans: Vec<Span> = (0..36u64)
        .map(|i| Span {
            trace: u128::from(i + 1) << 64 | 5,
            id: i + 1,
            parent: i,
            state: if i % 2 == 0 { "ot=th:c".into() } else { String::new() },
            flags: (i % 2) as u32,
            name: format!("operation {}", i % 4),
            kind: kinds[i as usize % 6],
            start: EventTime(T),
            end: EventTime(T + i as i64),
            status: statuses[i as usize % 3],
            attributes: attributes(&[("db.system", "mysql"), ("peer.service", if i % 5 == 0 { "" } else { "ledger" })]),
        })
        .collect();
    let body = encode::traces(&[ResourceSpans { resource, spans: spans.clone() }]);
    let found = decoded(Format::OtlpTraces, Encoding::Identity, body);
    assert_eq!((found.events.spans.len(), &*rejects(&found)), (36, ""));
    for (span, sent) in found.events.spans.iter().zip(&spans) {
        assert_eq!((span.trace, span.id, span.parent), (sent.trace, sent.id, sent.parent));
        assert_eq!((span.kind, span.status, span.start, span.end), (sent.kind, sent.status, sent.start, sent.end));
        let peer = if sent.id % 5 == 1 { "mysql" } else { "ledger" };
        assert_eq!((found.text(span.name), found.text(span.peer)), (&*sent.name, peer));
        let weight = if sent.state.is_empty() { 1.0 } else { 4.0 };
        assert_eq!((span.sampled.weight(), span.sampled.flag), (weight, sent.flags == 1));
        let first = found.events.spans.iter().find(|other| found.text(other.name) == sent.name).unwrap();
        assert_eq!(span.name_key, first.name_key);
    }
}

/// The cluster's name of a node before the host's own, which is the container's there; what is no text, or too long, is none.
#[test]
fn a_resource_tells_where_it_runs() {
    let long = "x".repeat(1 << 17);
    for (told, expected) in [
        (&[("host.name", "box-7")][..], "box-7"),
        (&[("host.name", "cart-5d9f"), ("k8s.node.name", "node-3")], "node-3"),
        (&[("k8s.node.name", "node-3"), ("k8s.node.name", "node-4")], "node-3"),
        (&[("host.id", "1")], ""),
        (&[("host.name", &long)], ""),
        (&[], ""),
    ] {
        let told: Vec<(&str, &str)> = [("service.name", "cart")].into_iter().chain(told.iter().copied()).collect();
        let log = Log {
            time: EventTime(T),
            observed: EventTime(T),
            severity: 9,
            body: "text".into(),
            attributes: Vec::new(),
            event: String::new(),
        };
        let body = encode::logs(&[ResourceLogs { resource: attributes(&told), logs: vec![log] }]);
        let found = decoded(Format::OtlpLogs, Encoding::Identity, body);
        let resource = found.events.resources[0];
        assert_eq!((found.text(resource.service), found.text(resource.host)), ("cart", expected));
    }
}

#[test]
fn remote_write_decodes_to_what_was_encoded() {
    let series: Vec<(Labels, Vec<Sample>)> = (0..50)
        .map(|i| {
            let labels = Labels::new([("__name__", "m".to_string()), ("i", i.to_string()), ("job", "j".to_string())]);
            let at = Millis(T / 1_000_000 + i);
            (
                labels,
                vec![Sample::new(at, i as f64 / 3.0), Sample::stale(at.plus(1)), Sample::new(at.plus(2), f64::NAN)],
            )
        })
        .collect();
    let body = encode::write_request(series.iter().map(|(labels, samples)| (labels, &samples[..])));
    let found = decoded(Format::RemoteWrite1, Encoding::Snappy, encode::compress(&body, Encoding::Snappy));
    let labels = all_labels(&found);
    check_keys(&found, &labels);
    let sent = series.iter().flat_map(|(labels, samples)| samples.iter().map(move |sample| (labels, sample)));
    for ((point, labels), (sent_labels, sample)) in found.events.points.iter().zip(&labels).zip(sent) {
        assert_eq!((labels, point.time), (sent_labels, sample.time()));
        assert_eq!(point.flags.has(PointFlags::STALE), sample.is_stale());
        assert_eq!(point.value.to_bits(), sample.value().to_bits());
    }
    assert_eq!(found.events.points.len(), 150);
}

#[test]
fn answers_are_those_of_the_official_encoders() {
    // Bytes from opentelemetry-proto 1.45.2 (all three ExportXServiceResponse) and googleapis-common-protos.
    let reject = |reason, count, detail: &str| Reject { reason, count, detail: detail.into() };
    let summary = reject(Reason::TooOld, 300, "metric \"m\"");
    let expected = "0a1e08ac021219746f6f2d6f6c643a2033303020286d657472696320226d2229";
    assert_eq!(hex(&encode::answer(std::slice::from_ref(&summary))), expected);
    assert_eq!(hex(&encode::answer(&[reject(Reason::TargetInfo, 1, "x"), summary])), expected);
    assert!(encode::answer(&[]).is_empty());
    // A warning: no count, only words.
    assert_eq!(encode::answer(&[reject(Reason::TargetInfo, 2, "x")]), b"\x0a\x14\x12\x12target-info: 2 (x)");
    let throttled = "0808120a71756575652066756c6c1a350a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e\
                     5265747279496e666f12090a0708011080e59a77";
    assert_eq!(hex(&encode::status(8, "queue full", Some(1250))), throttled);
    assert_eq!(encode::status(3, "no", None), b"\x08\x03\x12\x02no");
}
