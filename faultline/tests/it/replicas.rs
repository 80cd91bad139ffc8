//! A highly available pair of Prometheus servers sends everything twice: one is heard, also after a kill, and a rule counts once.
use crate::real_api::write;
use crate::real_tools::{Faultline, asked_within};
use faultline_model::{Labels, Millis, Sample};
use serde_json::Value;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// What one of the pair sends: its own scrape of the same targets, a little earlier or later than the other's.
fn send(server: &Faultline, pair: &str, replica: &str, value: f64) {
    let series = ["x", "y"].map(|instance| {
        let labels = [("__name__", "up"), ("dc", pair), ("instance", instance), ("prometheus_replica", replica)];
        (Labels::new(labels), vec![Sample::new(Millis(now()), value)])
    });
    write(&server.api, &series);
}

fn shown(server: &Faultline, query: &str) -> String {
    let result: Vec<String> = server
        .query(query)
        .iter()
        .map(|element| format!("{} {}", element["metric"], element["value"][1].as_str().unwrap_or("?")))
        .collect();
    result.join("; ")
}

fn counts(server: &Faultline) -> (Value, Value) {
    let status = server.get("/api/faultline/v1/status");
    (status["replicas"].clone(), status["counts"]["replica_samples_dropped"].clone())
}

#[test]
fn one_of_a_pair_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "replicas: {cluster_label: dc, replica_label: prometheus_replica}\n";
    fs::write(folder.path().join("faultline.yaml"), config).expect("it can be written");
    let options = ["--no-builtin-rules"];
    let server = Faultline::start(folder.path(), &options);
    for round in 0..5 {
        send(&server, "eu", "a", f64::from(round));
        send(&server, "eu", "b", 100.0);
        send(&server, "us", "b", 7.0);
    }
    let heard = serde_json::json!({"eu": "a", "us": "b"});
    asked_within(|| counts(&server), &(heard.clone(), 10.into()));
    let all = "{\"dc\":\"eu\"} 4; {\"dc\":\"us\"} 7";
    assert_eq!(shown(&server, "max by (dc) (up)"), all);
    assert_eq!(shown(&server, "count(count_over_time(up[1m]) > 0)"), "{} 4", "the replica's label names no series");
    assert_eq!(shown(&server, "sum by (prometheus_replica) (up)"), "{} 22");
    // Killed: the next process goes on with the one that was heard.
    drop(server);
    let server = Faultline::start(folder.path(), &options);
    send(&server, "eu", "b", 100.0);
    asked_within(|| counts(&server), &(heard, 12.into()));
    assert_eq!(shown(&server, "max by (dc) (up)"), all);
    let metrics = crate::real_tools::text(&format!("{}/metrics", server.api));
    assert!(metrics.contains("\nfaultline_replica_samples_dropped_total 12\n"), "{metrics}");
    server.stop_and_verify();

    // Told otherwise, each is a series of its own.
    fs::write(folder.path().join("faultline.yaml"), "replicas: {replica_label: ''}\n").expect("it can be written");
    let server = Faultline::start(folder.path(), &options);
    send(&server, "eu", "b", 5.0);
    asked_within(
        || shown(&server, "max by (prometheus_replica) (up == 5)"),
        &"{\"prometheus_replica\":\"b\"} 5".into(),
    );
    server.stop_and_verify();
}
