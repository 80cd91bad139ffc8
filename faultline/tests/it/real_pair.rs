//! A highly available pair of real Prometheus servers that scrape one another, native histograms among it, and both write to us: one in
//! remote write 1.0, one in 2.0. One is heard, to the bit what it has itself; when it is stopped, the other is.
use crate::real_tools::{Faultline, Service, asked_within, escaped, get, post, wanted};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Questions whose answers hang on each bucket, count and sum, of floats and of native histograms; `B` picks one target.
const QUESTIONS: [&str; 6] = [
    "prometheus_http_request_duration_seconds{B}",
    "histogram_quantile(0.9, sum by (handler) (rate(prometheus_http_request_duration_seconds{B}[10s])))",
    "histogram_count(rate(prometheus_http_request_duration_seconds{B}[10s]))",
    "sum by (handler) (rate(prometheus_http_requests_total{B}[10s]))",
    "go_goroutines{B}",
    "count_over_time(up{B}[10s]) <= 11",
];

/// The pair's configuration file of one replica.
fn configure(dir: &Path, replica: &str, message: &str, targets: &[&str], ours: &str) {
    let targets: Vec<String> = targets.iter().map(|url| format!("\"{}\"", url.trim_start_matches("http://"))).collect();
    let text = format!(
        "global: {{scrape_interval: 1s, scrape_native_histograms: true, external_labels: {{cluster: eu, __replica__: {replica}}}}}\n\
         scrape_configs:\n- job_name: pair\n  static_configs: [{{targets: [{}]}}]\n\
         remote_write:\n- url: {ours}/api/v1/write\n  protobuf_message: {message}\n  send_native_histograms: true\n  \
         queue_config: {{batch_send_deadline: 100ms}}\n",
        targets.join(", ")
    );
    fs::write(dir.join("prometheus.yml"), text).expect("a file");
}

/// Elements of an instant query by their labels, that of the pair's cluster left out. Histograms are told to the last digit, what is worked
/// out of them to the twelfth: sums go in another order there.
fn elements(base: &str, query: &str, at: u64) -> Vec<String> {
    let answer = get(base, &format!("/api/v1/query?time={at}&query={}", escaped(query)));
    let mut all: Vec<String> = answer["data"]["result"]
        .as_array()
        .unwrap_or_else(|| panic!("{query}: {answer}"))
        .iter()
        .map(|element| {
            let mut element: Value = element.clone();
            element["metric"].as_object_mut().expect("labels").remove("cluster");
            if let Some(value) = element["value"][1].as_str().and_then(|text| text.parse::<f64>().ok()) {
                element["value"][1] = format!("{value:.12e}").into();
            }
            element.to_string()
        })
        .collect();
    all.sort();
    all
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// What the heard one answers of a moment ago is what we answer, and no scrape counts twice.
///
/// - `target`: of what it scraped.
fn same(theirs: &str, ours: &str, target: &str) {
    let (at, matcher) = (now() - 3, format!("instance=\"{}\"", target.trim_start_matches("http://")));
    for query in QUESTIONS.map(|query| query.replace('B', &matcher)) {
        let (theirs, ours) = (elements(theirs, &query, at), elements(ours, &query, at));
        assert_eq!(theirs, ours, "{query} at {at}");
        assert!(!ours.is_empty(), "{query} at {at}");
    }
}

#[test]
fn a_pair_of_prometheus_counts_once() {
    if !wanted(&["prometheus"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    for folder in [&first, &second] {
        fs::create_dir(folder).expect("a folder");
    }
    let server = Faultline::start(dir.path(), &["--no-builtin-rules"]);
    let messages = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];
    configure(&first, "a", messages[0], &[], &server.api);
    configure(&second, "b", messages[1], &[], &server.api);
    let heard = || server.get("/api/faultline/v1/status")["replicas"].clone();

    // The first to write is heard; targets are known once both are up.
    let a = Service::start("prometheus", &first, &[]);
    configure(&first, "a", messages[0], &[&a.url], &server.api);
    post(&format!("{}/-/reload", a.url));
    asked_within(heard, &json!({"eu": "a"}));
    let b = Service::start("prometheus", &second, &[]);
    for (folder, replica, message, url) in [(&first, "a", messages[0], &a.url), (&second, "b", messages[1], &b.url)] {
        configure(folder, replica, message, &[&a.url, &b.url], &server.api);
        post(&format!("{url}/-/reload"));
    }
    thread::sleep(Duration::from_secs(16));
    assert_eq!(heard(), json!({"eu": "a"}));
    same(&a.url, &server.api, &a.url);
    same(&a.url, &server.api, &b.url);
    let dropped = || server.get("/api/faultline/v1/status")["counts"]["replica_samples_dropped"].as_u64();
    assert!(dropped() > Some(1_000), "what the other sends is counted: {:?}", dropped());

    // Stopped: after half a minute the other is heard, and all that it has from then on.
    drop(a);
    asked_within(heard, &json!({"eu": "b"}));
    let (since, before) = (Instant::now(), dropped());
    thread::sleep(Duration::from_secs(14));
    // Of the other's own target it has a stale marker that came before it was heard.
    same(&b.url, &server.api, &b.url);
    assert_eq!(dropped(), before, "nothing is dropped of the one that is heard, in {:?}", since.elapsed());
    assert_eq!(server.get("/api/faultline/v1/status")["rejects"], json!({}));
    drop(b);
    server.stop_and_verify();
}
