//! What is written, and what it stands for.
use super::*;
use alloc::string::ToString;
use alloc::vec;
use faultline_model::histogram::{Buckets, CUSTOM_SCHEMA, ResetHint};

fn floats(text: &str) -> Vec<f64> {
    let float = |entry| match entry {
        Entry::Float(x) => x,
        other => panic!("{text}: {other:?}"),
    };
    entries(text).expect(text).into_iter().map(float).collect()
}

#[test]
fn floats_are_repeated_and_rise() {
    for (text, expected) in [
        ("1 2.5 -3", &[1.0, 2.5, -3.0][..]),
        ("1x2", &[1.0, 1.0, 1.0]),
        ("1+2x2", &[1.0, 3.0, 5.0]),
        ("-2-4x1", &[-2.0, -6.0]),
        ("1e-3", &[0.001]),
        ("1e+2-1e1x2", &[100.0, 90.0, 80.0]),
        ("Inf -inf +Inf", &[f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY]),
        ("0x1", &[0.0, 0.0]),
        ("  1\t 2  ", &[1.0, 2.0]),
        ("5+0x0", &[5.0]),
    ] {
        assert_eq!(floats(text), expected, "{text}");
    }
    assert!(floats("nan")[0].is_nan());
    let missing = vec![Entry::Missing, Entry::Missing, Entry::Missing, Entry::Stale, Entry::Float(1.0)];
    assert_eq!(entries("_ _x2 stale 1"), Ok(missing));
    assert_eq!(entries("stalex1").map(|all| all.len()), Ok(2));
}

#[test]
fn histograms_are_read_and_added_up() {
    let read = |text: &str| match &entries(text).expect(text)[..] {
        [Entry::Histogram { histogram, hint_given }] => (Histogram::clone(histogram), *hint_given),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(read("{{}}"), (Histogram::default(), false));
    let text = "{{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 7] offset:-3 n_buckets:[4.1 5] n_offset:-5 \
                counter_reset_hint:gauge}}";
    let expected = Histogram {
        hint: ResetHint::Gauge,
        schema: 1,
        sum: -0.3,
        count: 3.1,
        zero_count: 7.1,
        zero_threshold: 0.05,
        positive: Buckets::new([(-3, 5.1), (-2, 10.0), (-1, 7.0)]),
        negative: Buckets::new([(-5, 4.1), (-4, 5.0)]),
        ..Histogram::default()
    };
    assert_eq!(read(text), (expected, true));
    let custom = read("{{schema:-53 custom_values:[5 10] buckets:[1 0 2]}}").0;
    assert_eq!((custom.schema, custom.positive), (CUSTOM_SCHEMA, Buckets::new([(0, 1.0), (2, 2.0)])));
    let counts = |text: &str| -> Vec<f64> {
        let count = |entry: &Entry| match entry {
            Entry::Histogram { histogram, .. } => histogram.count,
            other => panic!("{other:?}"),
        };
        entries(text).expect(text).iter().map(count).collect()
    };
    assert_eq!(counts("{{count:1}} {{count:2}}x1"), [1.0, 2.0, 2.0]);
    assert_eq!(counts("{{count:1}}+{{count:2}}x3"), [1.0, 3.0, 5.0, 7.0]);
    assert_eq!(counts("{{count:9}}-{{count:2 sum:1}}x1"), [9.0, 7.0]);
}

#[test]
fn labels_stand_before() {
    let name = |text| series(text).map(|(labels, all)| (labels.to_string(), all.len()));
    for (text, expected, count) in [
        ("up 1 2", "up{}", 2),
        ("{} 1", "{}", 1),
        ("up{job=\"a b\", x='}'} {{}}", "up{job=\"a b\", x=\"}\"}", 1),
        ("up {job=\"\\\"\"} 1 1 1", "up{job=\"\\\"\"}", 3),
        ("{\"with.dot\", a=\"b\"}", "with.dot{a=\"b\"}", 0),
    ] {
        let (found, entries) = name(text).expect(text);
        assert_eq!(entries, count, "{text}");
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_no_series_is_refused() {
    for text in [
        "up 1x",
        "up 1xa",
        "up 1+1",
        "up 1x99999999999",
        "up one",
        "up {{count}}",
        "up {{count:1 count:2}}",
        "up {{colour:1}}",
        "up {{schema:9}}",
        "up {{buckets:[1 2}}",
        "up {{buckets:[1] offset:2000000000}}",
        "up {{custom_values:[1]}}",
        "up {{count:1}}+{{count:2}}",
        "up {{count:1}}*2",
        "up {{schema:2}}+{{schema:1}}x1",
        "up {{counter_reset_hint:maybe}}",
        "up{job=~\"a\"} 1",
        "sum(up) 1",
        "up[5m] 1",
    ] {
        assert!(series(text).is_err(), "{text}: {:?}", series(text));
    }
}
