//! Expressions: parsed, printed and parsed again, evaluated over a few series, kept up to date by a stream.
use crate::Target;
use crate::small::{NOW, Series};
use faultline_promql::{Features, Options, ParseError, Stream, Value, evaluate, format_query, parse_with};

/// The target.
pub const TARGET: Target = Target { name: "promql", size_max: 2 << 10, run, seeds };

/// Little enough that the slowest expression ends within a moment.
const OPTIONS: Options =
    Options { lookback_ms: 300_000, subquery_step_ms: 60_000, samples_max: 20_000, elements_max: 1_000 };

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parse = |text: &str| parse_with(text, Features::additions());
    let Ok(expr) = parse(text) else { return };
    let printed = expr.to_string();
    match parse(&printed) {
        Ok(again) => {
            assert!(again == expr, "{text:?} is printed as {printed:?}, which is another expression");
            assert_eq!(again.to_string(), printed, "printing is stable");
        }
        Err(error) => panic!("{text:?} is printed as {printed:?}, which does not parse: {error}"),
    }
    let formatted = format_query(&expr);
    if let Err(error @ ParseError::Syntax { .. }) = parse(&formatted) {
        panic!("{text:?} is formatted as {formatted:?}, which does not parse: {error}");
    }
    let series = Series::default();
    let value = evaluate(&expr, NOW, &series, &OPTIONS);
    // As text: NaN is not equal to itself.
    assert_eq!(format!("{value:?}"), format!("{:?}", evaluate(&expr, NOW, &series, &OPTIONS)));
    let Ok(mut stream) = Stream::compile(&expr) else { return };
    let mut changes = Vec::new();
    let refreshed = stream.refresh(&expr, NOW, &series, &OPTIONS, &mut changes);
    if let (Ok(Value::Vector(elements)), Ok(())) = (&value, &refreshed) {
        assert!(changes.is_sorted_by(|a, b| a.labels < b.labels), "changes come in label order");
        let mut expected: Vec<_> = elements.iter().map(|e| (&e.labels, Some(&e.value))).collect();
        expected.sort_by_key(|(labels, _)| *labels);
        let found: Vec<_> = changes.iter().map(|c| (&c.labels, c.value.as_ref())).collect();
        assert_eq!(found, expected, "{text:?}: the stream is what the evaluation is");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "a",
        "rate(a[1m * 2 + step()] anchored) + fill_left(0) increase(b[max_of(1m, range())] smoothed offset -(5s))",
        "info(a, {i=\"0\"}) or limit_ratio(-0.5, b) unless limitk(2, sort_by_label(c, \"i\"))",
        "rate(a[1m]) > 1",
        "sum by (i) (rate(a{i=~\"0|1\"}[2m] offset 30s)) / on (i) group_left b",
        "histogram_quantile(0.9, sum by (le) (b))",
        "topk(2, a) or bottomk(1, c) unless absent(d)",
        "label_replace(a, \"x\", \"$1\", \"i\", \"(.*)\")",
        "max_over_time(sum(a)[5m:30s] @ 1700000000)",
        "quantile_over_time(0.5, a[2m]) and -a ^ 2 % 3 atan2 1",
        "a @ start() + ignoring (i) b @ end()",
        "{__name__=~\"a|b\", i!=\"\"} == bool 1",
        "predict_linear(a[1m], 3600) >= 0x1F + 1e-3 + Inf",
        "count_values without (le) (\"v\", b)",
        "sort_desc(clamp(a, 0, 1)) # a comment\n * time()",
        "absent_over_time(nope{i=\"0\"}[1m]) + vector(pi()) + scalar(c)",
        "label_join(a, \"x\", \"-\", \"i\", \"le\")",
        "stddev(a) + stdvar_over_time(b[1h30m]) - day_of_week(vector(0))",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
