//! What an evaluation costs: `cargo run --release -p faultline-promql --example speed`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a measurement reads a clock")]
use faultline_model::{Labels, Millis, Sample};
use faultline_promql::{
    Annotations, Expr, Options, Range, Selector, SeriesView, Source, Stream, evaluate, evaluate_range, parse,
};
use std::time::Instant;

/// A thousand series of one metric, 30 samples each: what a maintained list of series hands to a rule.
struct List(Vec<(Labels, Vec<Sample>)>);

impl Source for List {
    fn select(&self, _: usize, _: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for (id, (labels, samples)) in self.0.iter().enumerate() {
            visit(SeriesView { id: id as u32, labels, samples, histograms: &[], starts: None, marks: None });
        }
    }
}

const SERIES: usize = 1000;
const AT: Millis = Millis(300_000);

fn list() -> List {
    let series = |i: usize| {
        let i = format!("{i:04}");
        let labels = Labels::new([("__name__", "metric"), ("instance", &*i), ("job", "node"), ("region", "eu-west-1")]);
        let samples = (1..=30).map(|t| Sample::new(Millis(t * 10_000), (t % 5) as f64)).collect();
        (labels, samples)
    };
    List((0..SERIES).map(series).collect())
}

fn report(what: &str, count: usize, unit: &str, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    println!("{what:<58} {:>9.1} ns/{unit}", start.elapsed().as_nanos() as f64 / count as f64);
}

fn main() {
    let (list, options) = (list(), Options::default());
    let compiled = |text: &str| -> (Expr, Stream) {
        let expr = parse(text).expect("an expression");
        let stream = Stream::compile(&expr).expect("incremental");
        (expr, stream)
    };
    let texts =
        ["metric > 5", "metric > 2", "rate(metric[5m]) > 5", "rate(metric[5m]) > 0.01", "sum by (job) (metric)"];
    for text in texts {
        let (expr, mut stream) = compiled(text);
        let rules = 1000;
        report(&format!("grid     {text}"), rules * SERIES, "series", || {
            for _ in 0..rules {
                std::hint::black_box(evaluate(&expr, AT, &list, &options).expect("a value"));
            }
        });
        let mut out = Vec::new();
        report(&format!("refresh  {text}"), rules * SERIES, "series", || {
            for _ in 0..rules {
                stream.refresh(&expr, AT, &list, &options, &mut out).expect("a value");
            }
        });
    }
    // Rising and falling values, so that every touch changes what the second of each pair lets through.
    for text in texts {
        let (expr, mut stream) = compiled(text);
        let mut out = Vec::new();
        stream.refresh(&expr, AT, &list, &options, &mut out).expect("a value");
        let rounds = 1000;
        let mut moving = list.0.clone();
        report(&format!("touch    {text}"), rounds * SERIES, "touch", || {
            for round in 0..rounds as i64 {
                let at = AT.plus(round + 1);
                for (id, (labels, samples)) in moving.iter_mut().enumerate() {
                    let last = samples.len() - 1;
                    samples[last] = Sample::new(at, 3.0 + (round % 2) as f64 / 2.0);
                    let series =
                        SeriesView { id: id as u32, labels, samples, histograms: &[], starts: None, marks: None };
                    out.clear();
                    stream.touch(&expr, at, 0, series, &options, &mut out).expect("a value");
                }
            }
        });
    }
    // An hour by the quarter minute over a thousand series with a sample every quarter minute.
    let long = List(list.0.iter().map(|(labels, _)| (labels.clone(), hour())).collect());
    let range = Range { start: Millis(300_000), end: Millis(3_900_000), step_ms: 15_000 };
    let points = range.instants().count() * SERIES;
    for text in [
        "metric",
        "rate(metric[5m])",
        "sum by (job) (rate(metric[5m]))",
        "sum by (instance) (metric)",
        "metric / on (instance) metric",
        "topk(5, metric)",
        "max_over_time(metric[5m]) > 3",
    ] {
        let expr = parse(text).expect("an expression");
        report(&format!("range    {text}"), points, "point", || {
            let notes = &mut Annotations::default();
            std::hint::black_box(evaluate_range(&expr, range, &long, &options, notes, &|| false).expect("a value"));
        });
    }
}

fn hour() -> Vec<Sample> {
    (1..=260).map(|t| Sample::new(Millis(t * 15_000), t as f64)).collect()
}
