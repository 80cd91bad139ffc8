//! Exemplars and metadata beside a real Prometheus: the same body of remote write to both, and what Prometheus scrapes and hands on to us
//! in both versions of remote write. The same requests to both: the same answers.
use crate::real_api::{asked, ordered, send};
use crate::real_tools::{Faultline, Service, escaped, wanted};
use faultline_formats::{Exemplar, encode};
use faultline_model::{Labels, Millis, Sample};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is scraped; `NOW` is a time in seconds.
const PAGE: &str = "\
# TYPE hits counter
# HELP hits Requests, with \"quotes\" and a \\\\.
hits_total{path=\"/\"} 7 # {trace_id=\"0af7\",user=\"ä\"} 1 NOW.250
hits_total{path=\"/x\"} 9 # {trace_id=\"0af8\"} 2.5
# TYPE took_seconds histogram
# UNIT took_seconds seconds
# HELP took_seconds How long it took.
took_seconds_bucket{le=\"0.1\"} 1 # {trace_id=\"1\"} 0.05 NOW
took_seconds_bucket{le=\"1.0\"} 3 # {trace_id=\"2\"} 0.5 NOW
took_seconds_bucket{le=\"+Inf\"} 3
took_seconds_count 3
took_seconds_sum 1.5
# TYPE level gauge
level 4
# TYPE waits summary
# HELP waits Ä.
waits{quantile=\"0.5\"} 1
waits_count 2
waits_sum 3
# TYPE build info
# HELP build What is built.
build_info{version=\"1\"} 1
# HELP anything Of no type.
anything 1
# EOF
";

/// Serves [`PAGE`] for as long as the process lives; its address.
fn exporter(now: i64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    let body = PAGE.replace("NOW", &now.to_string());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let _lines = head.count();
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
            let _sent = write!(stream, "{head}Connection: close\r\n\r\n{body}");
        }
    });
    address
}

/// A body of two series with exemplars of all kinds, one that has exemplars alone, and one that nobody knows.
fn body(now: i64) -> Vec<u8> {
    let at = |ms: i64| Millis(now * 1_000 + ms);
    let exemplar =
        |ms, value, pairs: &[(&str, &str)]| Exemplar { time: at(ms), value, labels: Labels::new(pairs.to_vec()) };
    let series = |name: &str| Labels::new([("__name__", "sent_total"), ("instance", name), ("job", "sent")]);
    let sample = |value| vec![Sample::new(at(0), value)];
    let long = "x".repeat(121);
    let of_a = vec![
        exemplar(0, 1.0, &[("trace_id", "a")]),
        exemplar(0, 1.0, &[("trace_id", "a")]),
        exemplar(-5, 9.0, &[("trace_id", "too old")]),
        exemplar(0, 2.0, &[("trace_id", "b")]),
        exemplar(0, 1.5, &[("trace_id", "below the one before")]),
        exemplar(10, f64::INFINITY, &[("trace_id", "c"), ("empty", "")]),
        exemplar(20, 0.1, &[("trace_id", &long)]),
        exemplar(30, -0.0000001, &[("trace_id", &long[1..])]),
        exemplar(1_500, 4.0, &[]),
    ];
    let alone = vec![exemplar(2_000, 5.0, &[("trace_id", "apart from its sample")])];
    let all = [
        (series("a"), sample(1.0), of_a),
        (series("b"), sample(2.0), vec![exemplar(1, 1e21, &[("é.x", "ü")])]),
        (series("a"), Vec::new(), alone),
        (series("nobody"), Vec::new(), vec![exemplar(0, 1.0, &[("trace_id", "lost")])]),
    ];
    encode::write_request_with_exemplars(all.iter().map(|(labels, samples, own)| (labels, &samples[..], &own[..])), &[])
}

fn differences(theirs: &str, ours: &str, requests: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for request in requests {
        let (theirs, ours) = (asked(theirs, request), asked(ours, request));
        if theirs.0 != ours.0 || ordered(&theirs.1) != ordered(&ours.1) {
            wrong.push(format!("{request}\n  {} {}\n  {} {}", theirs.0, theirs.1, ours.0, ours.1));
        }
    }
    wrong
}

/// Waits until nothing differs.
fn same(theirs: &str, ours: &str, requests: &[String]) {
    let begun = Instant::now();
    loop {
        let wrong = differences(theirs, ours, requests);
        if wrong.is_empty() {
            return;
        }
        let told = format!("{} differ, theirs first:\n{}", wrong.len(), wrong.join("\n"));
        assert!(begun.elapsed() < Duration::from_secs(60), "{told}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn prometheus_and_we_have_the_same_exemplars_and_metadata() {
    if !wanted(&["prometheus"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let [first, second] = ["one", "two"].map(|version| {
        let folder = dir.path().join(version);
        fs::create_dir(&folder).expect("a folder");
        Faultline::start(&folder, &["--no-builtin-rules"])
    });
    let write = |url: &str, message: &str| {
        format!(
            "- url: {url}/api/v1/write\n  protobuf_message: {message}\n  send_exemplars: true\n  queue_config: \
             {{batch_send_deadline: 100ms}}\n  metadata_config: {{send: true, send_interval: 500ms}}\n"
        )
    };
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: \
         [\"{}\"]}}]\nremote_write:\n{}{}",
        exporter(now),
        write(&first.api, "prometheus.WriteRequest"),
        write(&second.api, "io.prometheus.write.v2.Request")
    );
    fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
    let features = "--enable-feature=exemplar-storage";
    let prometheus = Service::start("prometheus", dir.path(), &[features]);

    let query = |text: &str, rest: &str| format!("/api/v1/query_exemplars?query={}{rest}", escaped(text));
    let of_scraped: Vec<String> =
        ["hits_total", "{job=\"shop\"}", "rate(took_seconds_bucket[1m]) + on () hits_total{path=\"/\"}"]
            .iter()
            .map(|text| query(text, ""))
            .collect();
    let begun = Instant::now();
    while asked(&prometheus.url, &of_scraped[1]).1.matches("trace_id").count() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(60), "Prometheus scrapes");
        thread::sleep(Duration::from_millis(100));
    }
    let mut metadata: Vec<String> =
        ["", "?metric=hits", "?metric=nothing", "?limit=0", "?limit=x", "?limit_per_metric=1", "?limit_per_metric=x"]
            .map(|rest| format!("/api/v1/metadata{rest}"))
            .into();
    let of_targets = ["", "?metric=took_seconds", "?metric=nothing", "?limit=0", "?limit=1", "?limit=x"];
    metadata.extend(of_targets.map(|rest| format!("/api/v1/targets/metadata{rest}")));
    for matcher in ["{job=\"shop\"}", "{job!=\"shop\"}", "{job=~\"s.*\",other=\"\"}", "{}", "{", "shop{"] {
        metadata.push(format!("/api/v1/targets/metadata?match_target={}", escaped(matcher)));
    }
    same(&prometheus.url, &first.api, &[&metadata[..], &of_scraped[..]].concat());
    assert!(asked(&first.api, "/api/v1/metadata").1.contains("How long it took."));
    // Metadata it does not send in this version, whatever its features: `Metadata` of every series is empty.
    same(&prometheus.url, &second.api, &of_scraped);

    let body = body(now);
    send(&prometheus.url, &body);
    send(&first.api, &body);
    let mut requests = Vec::new();
    for text in
        ["sent_total", "sent_total{instance=\"b\"}", "{instance=~\"a|b|nobody\"}", "sum(sent_total) or hits_total"]
    {
        for rest in ["", &format!("&start={now}&end={now}.01"), &format!("&start={}", now + 2), &format!("&end={now}")]
        {
            requests.push(query(text, rest));
        }
    }
    requests.extend(["nothing", "1 + 1", "\"a\"", "sum(", "", "time()"].map(|text| query(text, "")));
    requests.extend(["&start=x", "&end=x", "&start=2&end=1"].map(|rest| query("hits_total", rest)));
    same(&prometheus.url, &first.api, &requests);
    assert!(asked(&first.api, &requests[0]).1.contains("apart from its sample"));
    let status = first.get("/api/faultline/v1/status");
    assert_eq!(status["exemplars"]["no_series"], 1, "{}", status["exemplars"]);
    assert_eq!(status["rejects"], serde_json::json!({"exemplar-too-long": 1}));
    drop(prometheus);
    first.stop_and_verify();
    second.stop_and_verify();
}

#[test]
fn prometheus_and_we_parse_queries_to_the_same_tree() {
    if !wanted(&["prometheus"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let names = "promql-experimental-functions,promql-duration-expr,promql-extended-range-selectors,promql-binop-fill-modifiers";
    let features = format!("--enable-feature={names}");
    let prometheus = Service::start("prometheus", dir.path(), &[&features]);
    let ours = Faultline::start(dir.path(), &["--no-builtin-rules", &features]);
    let requests: Vec<String> = include_str!("real_trees.txt")
        .lines()
        .map(|text| format!("/api/v1/parse_query?query={}", escaped(text)))
        .chain(["/api/v1/parse_query".to_string()])
        .collect();
    assert!(requests.len() > 60);
    let wrong = differences(&prometheus.url, &ours.api, &requests);
    assert!(wrong.is_empty(), "{} differ, theirs first:\n{}", wrong.len(), wrong.join("\n"));
    drop(prometheus);
    ours.stop_and_verify();
}
