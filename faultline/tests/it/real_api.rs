//! The same samples written to a real Prometheus and to us, the same requests to both: the same answers, errors included.
use crate::real_tools::{Faultline, Service, escaped, wanted};
use bytes::Bytes;
use faultline_formats::encode;
use faultline_model::histogram::{Buckets, CUSTOM_SCHEMA};
use faultline_model::{Encoding, Histogram, HistogramSample, Labels, Millis, Sample};
use faultline_sinks::http::{Limits, Url, request};
use http::Method;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from one sample of a series to the next.
const STEP: i64 = 15;
/// How long ago the first sample is, in seconds.
const LONG: i64 = 9_000;
/// Samples of each series in one request.
const EACH: i64 = 40;

/// Writes samples as a sender would, rising in time.
pub fn write(base: &str, body: &[(Labels, Vec<Sample>)]) {
    send(base, &encode::write_request(body.iter().map(|(labels, samples)| (labels, &samples[..]))));
}

/// Writes native histograms in the same way.
pub fn write_histograms(base: &str, body: &[(Labels, Vec<HistogramSample>)]) {
    let series = body.iter().map(|(labels, samples)| (labels, &[][..], &samples[..]));
    send(base, &encode::write_request_with_histograms(series));
}

pub fn send(base: &str, plain: &[u8]) {
    let body = encode::compress(plain, Encoding::Snappy);
    let url = Url::parse(&format!("{base}/api/v1/write")).expect("an address");
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let answer = request(Method::POST, &url, &headers, Bytes::from(body), Limits::default()).expect("an answer");
    assert!(answer.status.is_success(), "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
}

/// Series of three metrics, one of them a classic histogram, one that ends.
pub fn series(start: i64, from: i64) -> Vec<(Labels, Vec<Sample>)> {
    let mut all: Vec<(Labels, Vec<Sample>)> = Vec::new();
    let mut add = |pairs: &[(&str, &str)], value: &dyn Fn(i64) -> Option<f64>| {
        let samples =
            (from..from + EACH).filter_map(|n| Some(Sample::new(Millis((start + n * STEP) * 1_000), value(n)?)));
        all.push((Labels::new(pairs.iter().copied()), samples.collect()));
    };
    for (i, instance) in ["a", "b", "c"].into_iter().enumerate() {
        let k = i as i64 + 1;
        for (j, path) in ["/", "/x", "/ä"].into_iter().enumerate() {
            let j = j as i64;
            // Resets now and then.
            let total = move |n: i64| Some(((n % (97 + j)) * k) as f64);
            let labels = [("__name__", "hits_total"), ("job", "web"), ("instance", instance), ("path", path)];
            add(&labels, &total);
        }
        for (place, le) in ["0.1", "1", "+Inf"].into_iter().enumerate() {
            let labels = [("__name__", "took_seconds_bucket"), ("instance", instance), ("le", le)];
            add(&labels, &move |n| Some((n * k * (place as i64 + 1)) as f64));
        }
        let ends = move |n: i64| (i < 2 || n < 100).then_some((n * n % 1_000) as f64 / 7.0 - 50.0);
        add(&[("__name__", "level"), ("instance", instance)], &ends);
    }
    all.retain(|(_, samples)| !samples.is_empty());
    all
}

/// Native histograms of three instances, which reset now and then, end now and then, and become coarser; and one with bounds of
/// its own.
pub fn histograms(start: i64, from: i64) -> Vec<(Labels, Vec<HistogramSample>)> {
    let mut all = Vec::new();
    for (k, instance) in (1_i64..).zip(["a", "b", "c"]) {
        let native = |n: i64| {
            let (schema, total) = (if n < 300 { 2 } else { 1 }, n % (150 + k));
            let positive = Buckets::new((0..6).map(|i| (i * 2, (total * (i64::from(i) + k)) as f64)));
            let negative = Buckets::new([(0, total as f64)]);
            let count = positive.counts().iter().chain(negative.counts()).sum::<f64>() + 3.0;
            let (zero_count, zero_threshold, sum) = (3.0, 0.001, total as f64 * 2.5);
            Histogram { schema, zero_threshold, zero_count, count, sum, positive, negative, ..Histogram::default() }
        };
        let custom = |n: i64| {
            let positive = Buckets::new((0..4).map(|i| (i, (n * (i64::from(i) + k)) as f64)));
            let (count, bounds) = (positive.counts().iter().sum(), [0.1, 1.0, 10.0].into());
            Histogram { schema: CUSTOM_SCHEMA, count, sum: n as f64, positive, bounds, ..Histogram::default() }
        };
        let ends = |n: i64| n % 200 == 150;
        let made: [(&str, &dyn Fn(i64) -> Histogram); 2] = [("waited_seconds", &native), ("size_bytes", &custom)];
        for (name, value) in made {
            let sample = |n: i64| HistogramSample {
                time: Millis((start + n * STEP) * 1_000),
                histogram: (!ends(n)).then(|| value(n).into()),
            };
            let labels = Labels::new([("__name__", name), ("instance", instance)]);
            all.push((labels, (from..from + EACH).map(sample).collect()));
        }
    }
    all
}

/// What an address answers: its status, and its text.
pub fn asked(base: &str, path: &str) -> (u16, String) {
    let url = Url::parse(&format!("{base}{path}")).expect("an address");
    let answer = request(Method::GET, &url, &[], Bytes::new(), Limits::default()).expect("an answer");
    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
}

/// An answer with what has no order of its own in one.
pub fn ordered(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    let mut answer: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let is_vector = answer["data"]["resultType"] == "vector";
    let list = if is_vector { answer.pointer_mut("/data/result") } else { answer.pointer_mut("/data") };
    if let Some(Value::Array(list)) = list {
        list.sort_by_key(ToString::to_string);
    }
    answer
}

#[test]
fn prometheus_and_we_give_the_same_answers() {
    if !wanted(&["prometheus"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let prometheus = Service::start("prometheus", dir.path(), &[]);
    let ours = Faultline::start(dir.path(), &["--no-builtin-rules"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let (start, mut sent) = ((now - LONG) / STEP * STEP, 0);
    while sent * STEP < LONG {
        let body = series(start, sent);
        write(&prometheus.url, &body);
        write(&ours.api, &body);
        let body = histograms(start, sent);
        write_histograms(&prometheus.url, &body);
        write_histograms(&ours.api, &body);
        sent += EACH;
    }
    let end = start + (sent - 1) * STEP;
    let last = format!("/api/v1/query?query={}&time={end}", escaped("count(hits_total)"));
    let begun = std::time::Instant::now();
    let histograms = format!("/api/v1/query?query=count(size_bytes)&time={end}");
    while !asked(&ours.api, &last).1.contains("\"9\"") || !asked(&ours.api, &histograms).1.contains("\"3\"") {
        assert!(begun.elapsed() < Duration::from_secs(20), "what was acknowledged is shown");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mid = start + LONG / 2;
    let mut wrong = Vec::new();
    for request in requests(start, mid, end) {
        let (theirs, our) = (asked(&prometheus.url, &request), asked(&ours.api, &request));
        if theirs.0 != our.0 || ordered(&theirs.1) != ordered(&our.1) {
            let cut = |text: &str| text.chars().take(1_200).collect::<String>();
            wrong.push(format!("{request}\n  {} {}\n  {} {}", theirs.0, cut(&theirs.1), our.0, cut(&our.1)));
        }
    }
    assert!(wrong.is_empty(), "{} differ, theirs first:\n{}", wrong.len(), wrong.join("\n"));
    drop(prometheus);
    ours.stop_and_verify();
}

fn requests(start: i64, mid: i64, end: i64) -> Vec<String> {
    let query = |text: &str, rest: &str| format!("/api/v1/query?query={}{rest}", escaped(text));
    let range = |text: &str, from: i64, to: i64, rest: &str| {
        format!("/api/v1/query_range?query={}&start={from}&end={to}{rest}", escaped(text))
    };
    let mut all = Vec::new();
    for text in [
        "hits_total",
        "hits_total{path=~\"/.+\",instance!=\"b\"}",
        "hits_total{path!~\"/x?\"}",
        "{instance=\"a\",job=\"\"}",
        "sum by (instance) (rate(hits_total[5m]))",
        "level offset 10m",
        "level[1m]",
        "max_over_time(level[10m:1m])",
        "histogram_quantile(0.9, sum by (le) (rate(took_seconds_bucket[5m])))",
        "nothing",
        "1 / 3",
        "\"a text\"",
        "absent(nothing{a=\"b\"})",
        "level < bool 0",
        "topk(2, hits_total)",
        "level @ start() - level @ end()",
        "hits_total * on() group_left level",
        "sum(",
        "level{",
        "rate(level)",
        "level + hits_total[5m]",
        "waited_seconds",
        "size_bytes{instance!=\"a\"}",
        "waited_seconds[2m]",
        "sum(rate(waited_seconds[5m]))",
        // Powers of two come from another library there: the last bit may differ.
        "round(histogram_quantile(0.9, sum by (instance) (rate(waited_seconds[5m]))), 1e-9)",
        "histogram_avg(size_bytes) + histogram_count(size_bytes)",
        "histogram_fraction(0, 2, waited_seconds)",
        "increase(size_bytes[10m:1m])",
        "{instance=\"a\"}",
        "count_over_time(waited_seconds[5m])",
        "waited_seconds + level",
        "resets(waited_seconds[1h])",
    ] {
        for at in [mid, end, end + 240, end + 4_000] {
            all.push(query(text, &format!("&time={at}")));
        }
        all.push(range(text, mid, end, "&step=60"));
        all.push(range(text, start - 600, mid, "&step=7m"));
        all.push(range(text, end - 100, end + 500, "&step=13"));
    }
    let at = format!("&time={mid}");
    for rest in [
        "&limit=2",
        "&limit=0",
        "&limit=-1",
        "&limit=x",
        "&timeout=x",
        "&timeout=1m",
        "&lookback_delta=10s",
        "&lookback_delta=x",
        "&lookback_delta=0",
    ] {
        all.push(query("level", &format!("{at}{rest}")));
        all.push(range("level", mid, end, &format!("&step=60{rest}")));
    }
    all.extend([query("level", "&time=x"), query("level", "&time=2026-13-01T00:00:00Z"), query("", &at)]);
    for rest in ["", "&step=0", "&step=-1", "&step=x", "&step=1e20", "&step=0.1", "&step=1", "&step=1d"] {
        all.push(range("level", start, start + 11_000, rest));
    }
    all.extend([
        range("level", end, mid, "&step=60"),
        "/api/v1/query_range?query=level&start=x&end=5&step=5".into(),
        "/api/v1/query_range?query=level&start=5&step=5".into(),
    ]);
    let selectors =
        ["level", "waited_seconds", "{instance=~\"a|b\"}", "{path=\"/ä\"}", "nothing", "{}", "level{", "{a=~\".*\"}"];
    let stretches = [String::new(), format!("start={start}&end={end}"), format!("start={}&end={end}", mid + 1_000)];
    for stretch in &stretches {
        for selector in selectors {
            let one = format!("match[]={}&{stretch}", escaped(selector));
            all.push(format!("/api/v1/series?{one}"));
            all.push(format!("/api/v1/series?{one}&match[]=level"));
            all.push(format!("/api/v1/labels?{one}"));
            // Within a window Prometheus does not look at when a series ended; we do.
            if !stretch.contains(&(mid + 1_000).to_string()) {
                all.push(format!("/api/v1/label/instance/values?{one}"));
            }
        }
        all.push(format!("/api/v1/labels?{stretch}"));
        for name in ["__name__", "job", "path", "none", "U__job"] {
            all.push(format!("/api/v1/label/{name}/values?{stretch}"));
        }
    }
    for path in
        ["series?match[]=level&", "labels?", "label/instance/values?", "metadata?", "query_exemplars?query=level&"]
    {
        for rest in ["", "limit=2", "limit=-1", "limit=x", "start=x", "end=x", "start=10&end=5"] {
            all.push(format!("/api/v1/{path}{rest}"));
        }
    }
    for text in ["sum by(a)(rate(b_total{c=\"d\"}[5m]))", "level  +on ( instance ) hits_total", "sum(", ""] {
        all.push(format!("/api/v1/format_query?query={}", escaped(text)));
    }
    all.extend(
        ["series", "query_exemplars", "query_exemplars?query=sum(", "targets", "scrape_pools", "alertmanagers"]
            .map(|path| format!("/api/v1/{path}")),
    );
    all
}
