//! Warnings and infos, and where they point.
use faultline_model::{Labels, Millis, Sample};
use faultline_promql::{Annotations, Features, Options, Range, evaluate_annotated, evaluate_range, parse_with};
use faultline_promqltest::store::Store;

fn texts(notes: &Annotations) -> Vec<(String, usize)> {
    notes.iter().map(|note| (note.to_string(), note.at.start)).collect()
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let mut store = Store::default();
    for name in ["a", "a_total"] {
        let samples = (0..20).map(|t| Sample::new(Millis(t * 10_000), t as f64)).collect();
        store.add(Labels::new([("__name__", name), ("i", "0")]), samples);
    }
    let counter = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"a\"";
    let quantile = "PromQL warning: quantile value should be between 0 and 1, got";
    let ratio = "PromQL warning: ratio value should be between -1 and 1, got";
    let sorting = "PromQL warning: sort is ineffective for range queries since results are always ordered by labels";
    let trim = "PromQL info: incompatible sample types encountered for binary operator \"</\": float </ float";
    let bucket = "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\"";
    for (text, expected, only_in_ranges) in [
        ("rate(a_total[1m])", vec![], false),
        ("rate(a[1m])", vec![(counter.to_string(), 5)], false),
        ("rate(a[1m]) > 100", vec![(counter.to_string(), 5)], false),
        ("delta(a[1m])", vec![], false),
        ("quantile(1.5, a)", vec![(format!("{quantile} 1.5"), 9)], false),
        ("quantile(NaN, a)", vec![(format!("{quantile} NaN"), 9)], false),
        ("quantile_over_time(-1, a[1m])", vec![(format!("{quantile} -1"), 19)], false),
        ("limit_ratio(1.1, a)", vec![(format!("{ratio} 1.1, capping to 1"), 12)], false),
        ("limit_ratio(-2, a)", vec![(format!("{ratio} -2, capping to -1"), 12)], false),
        ("sort(a)", vec![(sorting.to_string(), 0)], true),
        ("max_over_time(sort(a)[15s:10s])", vec![(sorting.to_string(), 14)], false),
        ("max_over_time(sort(a)[5s:10s])", vec![(sorting.to_string(), 14)], true),
        // Found by random questions beside a real Prometheus.
        ("rate((a)[1m:10s])", vec![(counter.to_string(), 0)], false),
        ("rate(a[10s])", vec![], false),
        ("rate(a[15s] anchored)", vec![(counter.to_string(), 5)], false),
        ("quantile((((1.5))), a)", vec![(format!("{quantile} 1.5"), 12)], false),
        ("quantile_over_time(-1, a[1m]) </ 0", vec![(format!("{quantile} -1"), 19), (trim.to_string(), 0)], false),
        ("histogram_quantile(0.5, ((a)))", vec![(bucket.to_string(), 26)], false),
    ] {
        let expr = parse_with(text, Features::additions()).expect(text);
        let (mut instant, mut range) = (Annotations::default(), Annotations::default());
        let options = Options::default();
        let one = evaluate_annotated(&expr, Millis(100_000), &store, &options, &mut instant);
        let over = Range { start: Millis(60_000), end: Millis(120_000), step_ms: 10_000 };
        let many = evaluate_range(&expr, over, &store, &options, &mut range, &|| false);
        assert!(one.is_ok() && many.is_ok(), "{text}");
        assert_eq!(texts(&range), expected, "{text} over a range");
        assert_eq!(texts(&instant), if only_in_ranges { vec![] } else { expected }, "{text}");
    }
}

/// A text that is about several histograms tells of all of them.
#[test]
fn repaired_histograms_are_told_of_together() {
    let mut store = Store::default();
    for (i, counts) in [("0", [5.0, 3.0, 9.0]), ("1", [2.0, 4.0, 1.0])] {
        for (le, count) in ["0.5", "1", "+Inf"].into_iter().zip(counts) {
            let samples = vec![Sample::new(Millis(0), count), Sample::new(Millis(10_000), count)];
            store.add(Labels::new([("__name__", "lat"), ("i", i), ("le", le)]), samples);
        }
    }
    let text = "input to histogram_quantile needed to be fixed for monotonicity (see \
                https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
    for (query, samples, to) in
        [("histogram_quantile(0.9, lat)", 2, 10), ("histogram_quantiles(lat, \"q\", 0.9, 1)", 2, 10)]
    {
        let expr = parse_with(query, Features::additions()).expect(query);
        let mut notes = Annotations::default();
        let found = evaluate_annotated(&expr, Millis(10_000), &store, &Options::default(), &mut notes);
        assert!(found.is_ok(), "{query}");
        let expected = format!(
            "PromQL info: {text}, from buckets 1 to +Inf, with a max diff of 3, over {samples} samples from \
             1970-01-01T00:00:{to}Z to 1970-01-01T00:00:{to}Z"
        );
        let all: Vec<String> = notes.iter().map(|note| note.to_string()).collect();
        assert_eq!(all, [expected], "{query}");
    }
}
