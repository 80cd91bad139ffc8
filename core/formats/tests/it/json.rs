//! OTLP as JSON says the same as OTLP in protobuf: the collector's own encoder wrote both (`tests/fixtures/histograms.go`).
use crate::support::{decoded, rejects};
use faultline_formats::{Decoded, PointFlags, Reason, label_sets};
use faultline_model::{Encoding, Format, Labels};

fn labels(decoded: &Decoded) -> Vec<Labels> {
    let events = &decoded.events;
    let places: Vec<u32> = (0..(events.points.len() + events.histograms.len()) as u32).collect();
    label_sets(decoded, &places)
}

#[test]
fn json_and_protobuf_say_the_same() {
    for (name, formats, protobuf, json) in [
        (
            "metrics",
            [Format::OtlpMetrics, Format::OtlpMetricsJson],
            &include_bytes!("../fixtures/metrics.bin")[..],
            &include_bytes!("../fixtures/metrics.json")[..],
        ),
        (
            "exponential",
            [Format::OtlpMetrics, Format::OtlpMetricsJson],
            include_bytes!("../fixtures/exponential.bin"),
            include_bytes!("../fixtures/exponential.json"),
        ),
        (
            "logs",
            [Format::OtlpLogs, Format::OtlpLogsJson],
            include_bytes!("../fixtures/logs.bin"),
            include_bytes!("../fixtures/logs.json"),
        ),
    ] {
        let (mut a, b) =
            (decoded(formats[0], Encoding::Identity, protobuf), decoded(formats[1], Encoding::Identity, json));
        if name == "exponential" {
            // The collector writes fields from the last to the first: its attributes are spelled otherwise, and so their series have
            // other keys; labels are the same.
            a.events.points.iter_mut().zip(&b.events.points).for_each(|(one, other)| one.key = other.key);
            a.events.histograms.iter_mut().zip(&b.events.histograms).for_each(|(one, other)| one.key = other.key);
        }
        assert_eq!(rejects(&a), rejects(&b), "{name}");
        assert!(a.events.count() > 5, "{name}");
        // Keys too, where fields come in the order of their numbers.
        for ((one, other), labels) in a.events.points.iter().zip(&b.events.points).zip(labels(&a)) {
            if one.flags.has(PointFlags::STALE) && other.value.is_nan() {
                // JSON has one NaN: a stale marker that is a value's NaN is none there. The flag says it in both.
                assert_eq!((one.key, one.time), (other.key, other.time));
                continue;
            }
            assert_eq!(one, other, "{name}: {labels}");
        }
        assert_eq!(a.events.points.len(), b.events.points.len());
        assert!(a.events.histograms == b.events.histograms, "{name}");
        assert_eq!(a.events.logs, b.events.logs, "{name}");
        assert_eq!(labels(&a), labels(&b), "{name}");
        assert_eq!(a.events.resources.len(), b.events.resources.len(), "{name}");
        for (one, other) in a.events.resources.iter().zip(&b.events.resources) {
            assert_eq!(a.text(one.service), b.text(other.service), "{name}");
            assert!(one.key == other.key || name == "exponential");
        }
        for size in 0..json.len() {
            // Whatever is cut is no message; nothing of it is taken.
            if size % 7 == 0 {
                let cut = decoded(formats[1], Encoding::Identity, &json[..size]);
                assert_eq!((cut.events.count(), cut.rejects[0].reason), (0, Reason::BadJson), "{name} cut at {size}");
            }
        }
    }
}

/// The example of opentelemetry-proto, `examples/trace.json`, with a status and flags.
#[test]
fn spans_are_read() {
    let json = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},
        "scopeSpans":[{"scope":{"name":"my.library","attributes":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"}]}}}]},
        "spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"EEE19B7EC3C1B173",
        "name":"I'm a s\u0065rver \ud83d\ude00 span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,
        "kind":2,"status":{"code":2},"flags":257,"unknown":{"a":[1,-2.5e3,null,true,"x"]},
        "attributes":[{"key":"peer.service","value":{"stringValue":"db"}}]}]}]}]}"#;
    let decoded = decoded(
        Format::OtlpTracesJson,
        Encoding::Gzip,
        faultline_formats::encode::compress(json.as_bytes(), Encoding::Gzip),
    );
    assert_eq!(rejects(&decoded), "");
    let span = &decoded.events.spans[0];
    assert_eq!((span.trace, span.id), (0x5b8e_fff7_9803_8103_d269_b633_813f_c60c, 0xeee1_9b7e_c3c1_b174));
    assert_eq!(
        (span.parent, span.start.0, span.end.0),
        (0xeee1_9b7e_c3c1_b173, 1_544_712_660_000_000_000, 1_544_712_661_000_000_000)
    );
    assert_eq!((decoded.text(span.name), decoded.text(span.peer)), ("I'm a server \u{1f600} span", "db"));
    assert_eq!((format!("{:?} {:?}", span.kind, span.status), span.sampled.flag), ("Server Error".to_string(), true));
    assert_eq!(decoded.text(decoded.events.resources[0].service), "my.service");
}

#[test]
fn what_is_no_message_is_refused_whole() {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (json, what) in [
        ("", "an object was expected"),
        ("[]", "an object was expected"),
        ("{} {}", "something follows the message"),
        ("{\"resourceMetrics\":{}}", "a list was expected"),
        ("{\"resourceMetrics\":[1]}", "an object was expected"),
        (&deep, "objects are nested too deep"),
        (r#"{"x":"\ud800"}"#, "half a character"),
        (r#"{"x":"\ud800\u0041"}"#, "half a character"),
        (r#"{"x":"\u00"}"#, "no such escape"),
        (r#"{"x":"\é"}"#, "no such escape"),
        ("{\"x\":\"a\nb\"}", "a text does not end"),
        (
            r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"9223372036854775808"}}]}}]}"#,
            "a number does not read",
        ),
        (
            r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":{"doubleValue":"infinity"}}]}}]}"#,
            "a number does not read",
        ),
        (
            r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":{"bytesValue":"*"}}]}}]}"#,
            "text that should be bytes is not",
        ),
    ] {
        let decoded = decoded(Format::OtlpMetricsJson, Encoding::Identity, json.as_bytes().to_vec());
        assert_eq!(rejects(&decoded), "bad-json=1");
        assert!(decoded.rejects[0].detail.starts_with(what), "{json:.80}: {}", decoded.rejects[0].detail);
    }
    let not_text = decoded(Format::OtlpLogsJson, Encoding::Identity, &b"{\"\xff\":1}"[..]);
    assert_eq!(rejects(&not_text), "bad-json=1");
}
