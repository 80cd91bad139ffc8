//! What was asked of the recent store before a stop or a kill is answered the same after it.
use crate::real_api::{asked, histograms, series, write, write_histograms};
use crate::real_tools::{Faultline, escaped};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[test]
fn answers_stay_the_same_over_a_stop_and_a_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    // Of more than a window: its first hours go to a block.
    let (start, mut sent) = ((now - 6 * 3_600) / 7_200 * 7_200, 0);
    let query = |text: &str| format!("/api/v1/query_range?query={}&start={start}&end={now}&step=60", escaped(text));
    let requests = [
        "sum by (instance) (hits_total)",
        "level",
        "count({__name__=~\".+\"})",
        "waited_seconds",
        "rate(size_bytes[5m])",
    ]
    .map(query);
    let mut before: Option<[String; 5]> = None;
    for round in 0..4 {
        let server = Faultline::start(dir.path(), &["--no-builtin-rules"]);
        if let Some(before) = before.take() {
            let after = requests.each_ref().map(|path| asked(&server.api, path).1);
            assert_eq!(after, before, "round {round}");
        }
        for _ in 0..9 {
            write(&server.api, &series(start, sent));
            write_histograms(&server.api, &histograms(start, sent));
            sent += 40;
        }
        let last = format!("/api/v1/query?query={}&time={}", escaped("count(hits_total)"), start + (sent - 1) * 15);
        wait(|| asked(&server.api, &last).1.contains("\"9\""));
        let last = format!("/api/v1/query?query=count(size_bytes)&time={}", start + (sent - 1) * 15);
        wait(|| asked(&server.api, &last).1.contains("\"3\""));
        if round == 1 {
            wait(|| server.get("/api/faultline/v1/status")["recent"]["blocks"].as_u64() > Some(0));
        }
        before = Some(requests.each_ref().map(|path| asked(&server.api, path).1));
        match round % 2 {
            0 => drop(server.stop_and_verify()),
            _ => drop(server),
        }
    }
}

fn wait(until: impl Fn() -> bool) {
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}
