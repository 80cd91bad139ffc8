//! Native histograms, exponential ones and summaries, against what Prometheus 3.15's own code makes of the same bytes
//! (`tests/fixtures/histograms.go`).
use crate::fixtures::json;
use crate::support::{decoded, metrics};
use faultline_formats::{Decoded, PointFlags, Reason, label_sets};
use faultline_model::histogram::ResetHint;
use faultline_model::{Encoding, Format, Histogram};
use std::fmt::Write;

const EXPONENTIAL: &[u8] = include_bytes!("../fixtures/exponential.bin");
const NATIVE: &[u8] = include_bytes!("../fixtures/native.bin");
const NATIVE2: &[u8] = include_bytes!("../fixtures/native2.bin");

/// A histogram in the words of `histograms.go`.
fn text(h: &Histogram) -> String {
    let [threshold, zero, count, sum] = [h.zero_threshold, h.zero_count, h.count, h.sum].map(f64::to_bits);
    let mut out = format!("schema={} threshold={threshold:x} zero={zero:x} count={count:x} sum={sum:x}", h.schema);
    for (name, side) in [('+', &h.positive), ('-', &h.negative)] {
        side.iter().for_each(|(index, count)| write!(out, " {name}{index}:{:x}", count.to_bits()).unwrap());
    }
    h.bounds.iter().for_each(|bound| write!(out, " le{:x}", bound.to_bits()).unwrap());
    out + match h.hint {
        ResetHint::Reset => " reset",
        ResetHint::Gauge => " gauge",
        ResetHint::Unknown | ResetHint::NotReset => "",
    }
}

/// Floats and histograms in the order of the body.
fn lines(decoded: &Decoded) -> Vec<String> {
    let events = &decoded.events;
    let floats = events.points.iter().map(|point| {
        let stale = point.flags.has(PointFlags::STALE);
        let value = if stale { "stale".to_string() } else { format!("{:x}", point.value.to_bits()) };
        (point.place, point.time, value)
    });
    let histograms = events
        .histograms
        .iter()
        .map(|point| (point.place, point.time, point.histogram.as_deref().map_or("stale".to_string(), text)));
    let mut all: Vec<_> = floats.chain(histograms).collect();
    all.sort();
    assert!(all.iter().zip(0..).all(|(point, place)| point.0 == place), "places count both");
    let places: Vec<u32> = (0..all.len() as u32).collect();
    let line = |((_, time, value), labels): ((u32, _, String), faultline_model::Labels)| {
        let time: faultline_model::Millis = time;
        let mut out = format!("{} {value}", time.0);
        labels.iter().for_each(|(name, value)| write!(out, " [{},{}]", json(name), json(value)).unwrap());
        out
    };
    all.into_iter().zip(label_sets(decoded, &places)).map(line).collect()
}

/// Compares line by line, for the first difference in a readable size; returns how many are refused.
fn check(decoded: &Decoded, expected: &str) -> u64 {
    let found = lines(decoded);
    let taken: Vec<&str> = expected.lines().filter(|line| !line.contains(" refused ")).collect();
    for (found, expected) in found.iter().zip(&taken) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), taken.len());
    (expected.lines().count() - taken.len()) as u64
}

fn refused(decoded: &Decoded, reason: Reason) -> u64 {
    decoded.rejects.iter().filter(|reject| reject.reason == reason).map(|reject| reject.count).sum()
}

#[test]
fn exponential_histograms_and_summaries_are_those_of_prometheus() {
    let decoded = metrics(EXPONENTIAL);
    // What does not add up Prometheus refuses when it stores it; it is not among what is expected.
    check(&decoded, include_str!("../fixtures/exponential.expected"));
    assert!(decoded.events.histograms.len() > 50 && refused(&decoded, Reason::BadHistogram) > 5);
    assert_eq!(decoded.rejects.len(), 1, "{:?}", decoded.rejects);
}

#[test]
fn native_histograms_are_those_of_prometheus() {
    let expected = include_str!("../fixtures/native.expected");
    let mut events = Vec::new();
    for (format, body) in [(Format::RemoteWrite1, NATIVE), (Format::RemoteWrite2, NATIVE2)] {
        let decoded = decoded(format, Encoding::Identity, body);
        let refused_there = check(&decoded, expected);
        let here = refused(&decoded, Reason::BadHistogram) + refused(&decoded, Reason::BadSchema);
        assert_eq!((here, decoded.rejects.len()), (refused_there, 2), "{:?}", decoded.rejects);
        assert!(refused_there > 20 && decoded.events.histograms.len() > 200);
        events.push(lines(&decoded));
    }
    assert_eq!(events[0], events[1], "both versions say the same");
}
