//! Exemplars and metadata are those that Prometheus' own translator and decoders find (`tests/fixtures/exemplars.go`), and what is
//! wrong with them costs nothing else.
use crate::support::{decoded, metrics, rejects};
use faultline_formats::encode::compress;
use faultline_formats::{Decoded, Reason, Told, decode, exemplar_series, limits};
use faultline_model::{Encoding, Format, HashSeed, Labels};
use std::collections::BTreeSet;
use std::fmt::Write;

const OTLP: &[u8] = include_bytes!("../fixtures/exemplars.bin");
const JSON: &[u8] = include_bytes!("../fixtures/exemplars.json");
const ONE: &[u8] = include_bytes!("../fixtures/exemplars1.bin");
const TWO: &[u8] = include_bytes!("../fixtures/exemplars2.bin");

fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out + "\""
}

fn pairs(labels: &Labels) -> String {
    labels.iter().fold(String::new(), |mut out, (name, value)| {
        write!(out, " [{},{}]", json(name), json(value)).unwrap();
        out
    })
}

/// Exemplars with their series, in the order of the body.
fn exemplars(decoded: &Decoded) -> Vec<String> {
    let all = &decoded.events.exemplars;
    let series = exemplar_series(decoded, &(0..all.len() as u32).collect::<Vec<_>>());
    let line = |(it, series): (&faultline_formats::ExemplarPoint, Labels)| {
        let it = &it.exemplar;
        format!("{} {:x}{} |{}", it.time.0, it.value.to_bits(), pairs(&it.labels), pairs(&series))
    };
    all.iter().zip(series).map(line).collect()
}

/// What is said of metrics, in the order of the body.
fn told(decoded: &Decoded) -> Vec<String> {
    let line = |told: Told<'_>| {
        let (family, unit) = (told.family().expect("a name"), told.unit());
        format!("[{},{},{},{}]", json(&family), json(told.kind().word()), json(&unit), json(told.help))
    };
    decoded.events.metadata.iter(&decoded.plain).map(line).collect()
}

fn count(decoded: &Decoded, reason: Reason) -> usize {
    decoded.rejects.iter().filter(|reject| reject.reason == reason).map(|reject| reject.count as usize).sum()
}

/// Compares line by line, for the first difference in a readable size.
fn check(found: &[String], expected: &str) {
    let expected: Vec<&str> = expected.lines().filter(|line| *line != "too long").collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn exemplars_and_metadata_of_otlp_are_those_of_prometheus() {
    for (format, body) in [(Format::OtlpMetrics, OTLP), (Format::OtlpMetricsJson, JSON)] {
        let decoded = decoded(format, Encoding::Identity, body);
        check(&exemplars(&decoded), include_str!("../fixtures/exemplars.expected"));
        check(&told(&decoded), include_str!("../fixtures/metadata.expected"));
        assert_eq!(rejects(&decoded), "");
        assert!(decoded.events.exemplars.len() > 100);
    }
}

#[test]
fn exemplars_and_metadata_of_remote_write_are_those_of_prometheus() {
    let expected = include_str!("../fixtures/exemplars_written.expected");
    let long = expected.lines().filter(|line| *line == "too long").count();
    assert!(long > 20);
    for (format, body) in [(Format::RemoteWrite1, ONE), (Format::RemoteWrite2, TWO)] {
        let decoded = decoded(format, Encoding::Identity, body);
        check(&exemplars(&decoded), expected);
        check(&told(&decoded), include_str!("../fixtures/metadata_written.expected"));
        assert_eq!((count(&decoded, Reason::ExemplarTooLong), decoded.rejects.len()), (long, 1));
    }
}

#[test]
fn a_series_of_a_metric_tells_its_family() {
    // Symbols, then a series with a float and the metadata of a histogram, of a counter, of one without a suffix, and of nothing.
    let symbols = ["", "__name__", "a_bucket", "a_total", "_sum", "Help.", "s"];
    let mut body: Vec<u8> = symbols.iter().flat_map(|s| [&[0x22, s.len() as u8], s.as_bytes()].concat()).collect();
    let mut series = |name: u8, metadata: &[u8]| {
        let mut message = vec![0x0a, 2, 1, name, 0x12, 9, 0x10];
        message.extend(varint(1_795_000_000_123));
        message[5] = message.len() as u8 - 6;
        message.extend([0x2a, metadata.len() as u8]);
        message.extend(metadata);
        body.extend([0x2a, message.len() as u8]);
        body.extend(message);
    };
    let (histogram, counter, summary) = ([8, 3, 0x18, 5, 0x20, 6], [8, 1, 0x18, 5], [8, 5]);
    series(2, &histogram);
    series(2, &histogram);
    series(3, &counter);
    series(4, &summary);
    series(3, &[]);
    series(3, &[8, 1, 0x18, 99]);
    series(3, &[8, 1, 0x18]);
    let decoded = decoded(Format::RemoteWrite2, Encoding::Identity, body);
    let expected = [
        "[\"a\",\"histogram\",\"s\",\"Help.\"]",
        "[\"a_total\",\"counter\",\"\",\"Help.\"]",
        "[\"_sum\",\"summary\",\"\",\"\"]",
    ];
    assert_eq!(told(&decoded), expected);
    assert_eq!((decoded.events.points.len(), rejects(&decoded).as_str()), (7, "bad-metadata=2"));
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A message in a field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn label(name: &str, value: &[u8]) -> Vec<u8> {
    field(1, &[field(1, name.as_bytes()), field(2, value)].concat())
}

/// A series of remote write 1.0 with one sample and these exemplars.
fn series(exemplars: &[Vec<u8>]) -> Vec<u8> {
    let sample = [vec![0x10], varint(1_795_000_000_123)].concat();
    let exemplars: Vec<u8> = exemplars.iter().flat_map(|it| field(3, it)).collect();
    field(1, &[label("__name__", b"a"), exemplars, field(2, &sample)].concat())
}

fn at(time: u64) -> Vec<u8> {
    [vec![0x18], varint(time)].concat()
}

#[test]
fn what_is_wrong_with_an_exemplar_costs_no_point() {
    let now = at(1_795_000_000_123);
    let wrong: [(&str, Vec<u8>); 8] = [
        ("no time", label("trace_id", b"a")),
        ("a time of before 1971", [label("trace_id", b"a"), at(1)].concat()),
        ("not UTF-8", [label("trace_id", b"\xff"), now.clone()].concat()),
        ("a name that is not", [field(1, &[field(1, b"\xc3"), field(2, b"a")].concat()), now.clone()].concat()),
        ("no name", [label("", b"a"), now.clone()].concat()),
        ("a label twice", [label("a", b"a"), label("a", b"b"), now.clone()].concat()),
        ("not well formed", vec![0x0a, 0x7f]),
        ("another wire type", vec![0x08, 1]),
    ];
    for (what, bytes) in &wrong {
        let decoded = decoded(Format::RemoteWrite1, Encoding::Identity, series(std::slice::from_ref(bytes)));
        assert_eq!((decoded.events.points.len(), decoded.events.exemplars.len()), (1, 0), "{what}");
        assert_eq!(rejects(&decoded), "bad-exemplar=1", "{what}");
    }
    // 128 characters are taken, whatever their size in bytes; an empty label counts for nothing.
    let fits = [label("a", "ä".repeat(127).as_bytes()), label("b", b""), now.clone()].concat();
    let long = [label("a", "ä".repeat(128).as_bytes()), now.clone()].concat();
    let decoded = decoded(Format::RemoteWrite1, Encoding::Identity, series(&[fits, long, now]));
    assert_eq!((decoded.events.exemplars.len(), rejects(&decoded).as_str()), (2, "exemplar-too-long=1"));
    assert_eq!(decoded.events.exemplars[0].exemplar.labels.len(), 1);
    // A field of another wire type is none, as any field that is not known.
    let sample = [vec![0x10], varint(1_795_000_000_123)].concat();
    let body = field(1, &[label("__name__", b"a"), vec![0x18, 1], field(2, &sample)].concat());
    let decoded = crate::support::decoded(Format::RemoteWrite1, Encoding::Identity, body);
    assert_eq!((decoded.events.points.len(), rejects(&decoded).as_str()), (1, ""));
}

#[test]
fn json_that_does_not_read_as_an_exemplar_costs_no_point() {
    let body = |exemplars: &str, description: &str| {
        format!(
            "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"a\",\"description\":{description},\"sum\":{{\
             \"aggregationTemporality\":2,\"dataPoints\":[{{\"timeUnixNano\":\"1795000000123000000\",\"asInt\":1,\
             \"exemplars\":{exemplars}}}]}}}}]}}]}}]}}"
        )
    };
    let good = "{\"timeUnixNano\":\"1795000000123000000\",\"asDouble\":0.5}";
    for (exemplars, taken, refused) in [
        (format!("[{good}]"), 1, ""),
        (format!("[{good},{{\"traceId\":\"xyz\"}},{good}]"), 2, "bad-exemplar=1"),
        (format!("[7,\"text\",{good},null]"), 1, "bad-exemplar=3"),
        ("{\"a\":1}".into(), 0, ""),
        ("null".into(), 0, ""),
        ("\"text\"".into(), 0, ""),
    ] {
        let decoded = decoded(Format::OtlpMetricsJson, Encoding::Identity, body(&exemplars, "\"What.\""));
        assert_eq!((decoded.events.points.len(), decoded.events.exemplars.len()), (1, taken), "{exemplars}");
        assert_eq!(rejects(&decoded), refused, "{exemplars}");
        assert_eq!(told(&decoded), ["[\"a\",\"gauge\",\"\",\"What.\"]"]);
    }
    let decoded = decoded(Format::OtlpMetricsJson, Encoding::Identity, body("[]", "{\"no\":[\"text\"]}"));
    assert_eq!((told(&decoded), decoded.events.points.len()), (vec!["[\"a\",\"gauge\",\"\",\"\"]".to_string()], 1));
}

#[test]
fn metadata_is_bounded_and_told_apart() {
    let metadata = |name: &str, help: &[u8]| field(3, &[field(2, name.as_bytes()), field(4, help)].concat());
    let many: Vec<u8> = (0..limits::METADATA + 5).flat_map(|i| metadata(&i.to_string(), b"")).collect();
    let some = decoded(Format::RemoteWrite1, Encoding::Snappy, compress(&many, Encoding::Snappy));
    assert_eq!((some.events.metadata.len(), count(&some, Reason::TooMuchMetadata)), (limits::METADATA, 5));
    let long = decoded(Format::RemoteWrite1, Encoding::Identity, metadata("a", "ä".repeat(600).as_bytes()));
    let told: Vec<_> = long.events.metadata.iter(&long.plain).map(|told| (told.cut, told.help.len())).collect();
    assert_eq!(told, [(true, limits::HELP_SIZE)]);
    let wrong = [metadata("", b"a"), metadata("a", b"\xff"), metadata(&"a".repeat(1_025), b""), vec![0x1a, 1, 0x0a]];
    let wrong = decoded(Format::RemoteWrite1, Encoding::Identity, wrong.concat());
    assert_eq!(rejects(&wrong), "bad-metadata=4");
    // What is not the same has another key, also where the texts are the same one behind the other.
    let parts = [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("abcd", "", ""), ("", "", "abcd")];
    let body = |(name, unit, help): (&str, &str, &str)| {
        field(3, &[field(2, name.as_bytes()), field(5, unit.as_bytes()), field(4, help.as_bytes())].concat())
    };
    let all: Vec<u8> = parts[..4].iter().copied().flat_map(body).chain([0x1a, 5, 8, 1, 0x12, 1, b'a']).collect();
    let all = decoded(Format::RemoteWrite1, Encoding::Identity, all);
    let keys = |seed| all.events.metadata.iter(&all.plain).map(|told| told.key(seed)).collect::<BTreeSet<u64>>();
    assert_eq!((keys(1).len(), keys(1).is_disjoint(&keys(2))), (5, true));
}

#[test]
fn exemplars_are_bounded() {
    let one = at(1_795_000_000_123);
    let series = series(&vec![one; limits::EXEMPLARS + 9]);
    let decoded = decoded(Format::RemoteWrite1, Encoding::Snappy, compress(&series, Encoding::Snappy));
    let (taken, refused) = (decoded.events.exemplars.len(), count(&decoded, Reason::TooManyExemplars));
    assert_eq!((taken + refused, decoded.events.points.len()), (limits::EXEMPLARS + 9, 1));
    assert!(taken <= limits::EXEMPLARS && taken > limits::EXEMPLARS / 2);
}

#[test]
fn cut_and_flipped_bodies_name_the_series_of_every_exemplar() {
    for (format, body) in [(Format::OtlpMetrics, OTLP), (Format::RemoteWrite1, ONE), (Format::RemoteWrite2, TWO)] {
        for i in (0..body.len()).step_by(97) {
            let mut flipped = body.to_vec();
            flipped[i] ^= 1 << (i % 8);
            for bytes in [&flipped[..], &body[..i]] {
                let decoded = decoded(format, Encoding::Identity, bytes.to_vec());
                assert_eq!(exemplars(&decoded).len(), decoded.events.exemplars.len());
                told(&decoded);
                let again = decode(decoded.payload.clone(), HashSeed(0x5eed));
                assert!(again == decoded, "the same bytes give the same events");
            }
        }
    }
    assert!(!metrics(OTLP).events.exemplars.is_empty());
}
