//! Templates against what Prometheus' own expander makes of them (`tests/templates.txt`), and their bounds.
use super::{Context, TEXT_MAX, Template, quote, unquote};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::histogram::{Buckets, Histogram};
use faultline_model::{Labels, Millis, Number};
use std::eprintln;

fn query(text: &str) -> Result<Vec<(Labels, f64)>, String> {
    let of = |pairs: &[(&str, &str)]| Labels::new(pairs.iter().copied());
    match text {
        "metric" => Ok(alloc::vec![
            (of(&[("__name__", "metric"), ("instance", "b")]), 21.0),
            (of(&[("__name__", "metric"), ("instance", "a")]), 11.0),
        ]),
        "valued" => Ok(alloc::vec![(of(&[("__name__", "metric"), ("__value__", "a")]), 11.0)]),
        "1.5" => Ok(alloc::vec![(Labels::default(), 1.5)]),
        "bad" => Err("boom".into()),
        _ => Ok(Vec::new()),
    }
}

fn expand(text: &str, value: impl Into<Number>) -> String {
    let template = match Template::parse("test", text) {
        Ok(template) => template,
        Err(error) => return format!("<error expanding template: error parsing template __alert_test: {error}>"),
    };
    let labels = Labels::new([("instance", "localhost:9090"), ("job", "api"), ("path", "a/b c&d"), ("n", "42")]);
    let external_labels = Labels::new([("cluster", "eu")]);
    let mut context = Context {
        at: Millis(1_700_000_000_123),
        external_labels: &external_labels,
        external_url: "http://testhost:9090/path/prefix",
        query: &mut query,
    };
    template.expand(&labels, &value.into(), &mut context)
}

/// Templates of the file that we answer in other words: Go's are about its pointers and interfaces.
const OTHER_WORDS: &[&str] = &["{{ printf \"%s\" (query \"metric\" | first) }}", "{{ .Value.Foo }}"];

#[test]
fn templates_expand_as_in_prometheus() {
    let mut wrong = 0;
    let mut count = 0;
    for line in include_str!("../../tests/templates.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let mut columns = line.split('\t');
        let mut column = || columns.next().expect("three columns");
        let (value, text, expected) = (column(), column(), column());
        let value: f64 = value.parse().expect("a float");
        let (text, expected) = (unquote(text).expect("quoted"), unquote(expected).expect("quoted"));
        count += 1;
        let found = expand(&text, value);
        if found != expected && !OTHER_WORDS.contains(&&*text) {
            wrong += 1;
            eprintln!("{}\n  expected {}\n  found    {}", quote(&text), quote(&expected), quote(&found));
        }
    }
    assert!(count > 480, "the file was read");
    assert_eq!(wrong, 0, "of {count}");
}

#[test]
fn a_template_cannot_take_all_memory_or_time() {
    let doubled = "{{ $x = printf \"%s%s\" $x $x }}".repeat(40);
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    let blocks = format!("{}x{}", "{{ if true }}".repeat(5000), "{{ end }}".repeat(5000));
    for (text, expected) in [
        (format!("{{{{ $x := \"abcdefgh\" }}}}{doubled}"), "text longer than 65536 bytes"),
        ("{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}".into(), "more than 100000 steps"),
        ("{{ range 9223372036854775807 }}{{ end }}".into(), "more than 100000 steps"),
        ("{{ range 100000 }}abcdefghij{{ end }}".into(), "text longer than 65536 bytes"),
        ("{{ printf \"%9999999d\" 1 }}".into(), "text longer than 65536 bytes"),
        (
            "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}".into(),
            "exceeded maximum template depth",
        ),
        (
            "{{ $a := args 1 }}{{ range 100 }}{{ $a = args $a $a }}{{ end }}{{ $a }}".into(),
            "args nested more than 8 deep",
        ),
        ("{{ reReplaceAll \"\" \"aaaaaaaaaaaaaaaa\" (printf \"%60000d\" 1) }}".into(), "text longer than 65536 bytes"),
        ("{{ match \"(a{1000}){1000}\" \"a\" }}".into(), "error parsing regexp"),
        (parentheses, "nested more than 60 deep"),
        (blocks, "nested more than 60 deep"),
    ] {
        let found = expand(&text, 1.0);
        assert!(
            found.contains(expected) && found.len() < TEXT_MAX,
            "{}: {}",
            &text[..60.min(text.len())],
            &found[..200.min(found.len())]
        );
    }
    assert_eq!(expand("{{ ((1)) }}", 1.0), "1");
}

/// Source: `FloatHistogram.String` and `ConvertToFloat` of Prometheus 3.15.
#[test]
fn a_histogram_prints_itself() {
    let histogram = || Histogram { count: 3.0, sum: 2.5, positive: Buckets::new([(1, 3.0)]), ..Histogram::default() };
    assert_eq!(
        expand("{{ $value }} {{ .Value }}", histogram()),
        "{count:3, sum:2.5, (1,2]:3} {count:3, sum:2.5, (1,2]:3}"
    );
    assert_eq!(expand("{{ printf \"%v\" $value }}", histogram()), "{count:3, sum:2.5, (1,2]:3}");
    assert!(expand("{{ humanize $value }}", histogram()).contains("can't convert *histogram.FloatHistogram to float"));
}
