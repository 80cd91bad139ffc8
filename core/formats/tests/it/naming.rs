//! Names against otlptranslator's own answers (`tests/fixtures/naming.expected`: kind, name, unit, answer).
use faultline_formats::naming::{MetricKind, label, metric};

#[test]
fn names_are_those_of_prometheus() {
    let mut count = 0;
    for line in include_str!("../fixtures/naming.expected").lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [kind, name, unit, expected] = cells[..] else { panic!("{line}") };
        let kind = match kind {
            "label" => {
                assert_eq!(label(name).as_deref().unwrap_or(""), expected, "{line}");
                continue;
            }
            "gauge" => MetricKind::Gauge,
            "counter" => MetricKind::Counter,
            "sum" => MetricKind::Sum,
            "histogram" => MetricKind::Histogram,
            _ => panic!("{line}"),
        };
        assert_eq!(metric(name, unit, kind).as_deref().unwrap_or(""), expected, "{line}");
        count += 1;
    }
    assert!(count > 500);
}
