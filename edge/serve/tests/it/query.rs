//! `/api/v1/query` in Prometheus' shape, and `min_offset`.
use super::served::*;
use axum::http::StatusCode;
use faultline_host::MemoryDisk;
use faultline_model::{Labels, Millis, Sample};
use faultline_serve::Store;
use faultline_serve::recent::Limits;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn values_and_errors_have_prometheus_shape() {
    let served = small_book();
    let a = r#"{"__name__":"up","evil":"<&>\"\n","instance":"a"}"#;
    let b = r#"{"__name__":"up","evil":"<&>\"\n","instance":"b"}"#;
    let vector =
        |result: &str| format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#);
    let scalar = |value: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":[1795222456.050,"{value}"]}}}}"#)
    };
    let error = |kind: &str, text: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#);
    for (query, rest, status, body) in [
        // The same text as Prometheus 3 gives: labels and elements in order, instants with three decimals, shortest floats.
        (
            "up",
            "",
            200,
            vector(&format!(
                r#"{{"metric":{a},"value":[1795222456.050,"NaN"]}},{{"metric":{b},"value":[1795222456.050,"1"]}}"#
            )),
        ),
        ("nothing", "", 200, vector("")),
        ("vector(1e-7)", "", 200, vector(r#"{"metric":{},"value":[1795222456.050,"1e-07"]}"#)),
        ("1/0", "", 200, scalar("+Inf")),
        ("-1e21", "", 200, scalar("-1e+21")),
        ("1", "&time=1795222456.05", 200, scalar("1")),
        ("1", "&time=2026-11-21T00:54:00Z", 200, scalar("1").replace("456.050", "440")),
        (
            "\"a\\\"b\"",
            "",
            200,
            r#"{"status":"success","data":{"resultType":"string","result":[1795222456.050,"a\"b"]}}"#.into(),
        ),
        (
            "up[1s]",
            "",
            200,
            format!(
                r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{b},"values":[[1795222456.050,"1"]]}}]}}}}"#
            ),
        ),
        (
            "sum(rate(hits_total[10s])) by (instance)",
            "",
            200,
            vector(r#"{"metric":{"instance":"a"},"value":[1795222456.050,"2"]}"#),
        ),
        (
            "up",
            "&limit=1",
            200,
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{a},"value":[1795222456.050,"NaN"]}}]}},"warnings":["results truncated due to limit"]}}"#
            ),
        ),
        (
            "up{",
            "",
            400,
            error(
                "bad_data",
                r#"invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces"#,
            ),
        ),
        (
            "1",
            "&time=abc",
            400,
            error(
                "bad_data",
                r#"invalid parameter \"time\": invalid time value for 'time': cannot parse \"abc\" to a valid timestamp"#,
            ),
        ),
        ("up + on() up", "", 422, String::new()),
    ] {
        let get = run(served.get(&format!("/api/v1/query?query={}{rest}", encoded(query))));
        let form = "application/x-www-form-urlencoded";
        let post = run(served.post("/api/v1/query", form, &format!("query={}{rest}", encoded(query))));
        for answer in [get, post] {
            assert_eq!(
                (answer.status.as_u16(), answer.kind.as_str()),
                (status, "application/json"),
                "{query}: {}",
                answer.text
            );
            match body.is_empty() {
                true => assert!(answer.text.contains("found duplicate series for the match group"), "{}", answer.text),
                false => assert_eq!(answer.text, body, "{query}"),
            }
            assert_eq!(answer.covers, if status == 200 { "0/14" } else { "" });
        }
    }
    let missing = run(served.get("/api/v1/query"));
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert!(missing.text.contains("no expression found in input"), "{}", missing.text);
}

#[test]
fn what_is_no_longer_kept_is_an_error_and_never_a_part() {
    let store = Store::within(Limits { memory: 8 * 60, ..Limits::default() });
    let labels = |n: u32| Labels::new([("__name__", "m_total".into()), ("n", n.to_string())]);
    let created = (0..8).map(|n| (n, labels(n))).collect();
    let samples =
        (0..30).flat_map(|s| (0..8).map(move |n| (n, Sample::new(Millis(NOW - 29_000 + s * 1_000), s as f64))));
    store.accepted(created, samples.collect(), Vec::new(), Vec::new());
    store.publish(view(1));
    let served = served(store);
    for (query, status) in [
        ("m_total", 200),
        ("count(m_total) == 8", 200),
        ("rate(m_total[3s])", 200),
        ("rate(m_total[25s])", 422),
        ("m_total offset 3s", 200),
        ("m_total offset 20s", 422),
        ("sum(m_total{n=\"1\"} offset 20s)", 422),
        ("max_over_time(m_total[20s:1s])", 422),
    ] {
        let answer = run(served.get(&format!("/api/v1/query?query={}", encoded(query))));
        let parsed = !answer.text.contains("not supported yet");
        assert!(!parsed || answer.status.as_u16() == status, "{query}: {}", answer.text);
        assert!(
            status == 200 || !parsed || answer.text.contains("no longer here as far back"),
            "{query}: {}",
            answer.text
        );
    }
}

/// Wherever a block is damaged: what is answered is right, or an error; also where half of the question is looked up elsewhere, after the
/// block was set aside.
#[test]
fn damage_is_an_error_also_beside_much() {
    const FOLDER: &str = "data/recent";
    let disk = MemoryDisk::new(1 << 30);
    let opened = |disk: &MemoryDisk| {
        let store = Store::within(Limits::default());
        let refused = store.recent().open(Arc::new(disk.clone()), Path::new(FOLDER)).expect("the disk works");
        (store, refused.is_empty())
    };
    let hours = |hours: i64| Millis(NOW - hours * 3_600_000);
    {
        let (store, _) = opened(&disk);
        let labels =
            |n: u32| Labels::new([("__name__", if n == 0 { "few" } else { "many" }.into()), ("n", n.to_string())]);
        store.accepted((0..=300).map(|n| (n, labels(n))).collect(), Vec::new(), Vec::new(), Vec::new());
        for at in [hours(4), hours(0)] {
            store.accepted(Vec::new(), (0..=300).map(|n| (n, Sample::new(at, 1.0))).collect(), Vec::new(), Vec::new());
        }
        assert_eq!(store.recent().keep().expect("the disk works").written, 1);
    }
    let ask = |disk: &MemoryDisk| {
        let (store, whole) = opened(disk);
        store.publish(view(1));
        let query = format!("/api/v1/query?query={}&time={}", encoded("sum(few) + sum(many)"), hours(4).0 as f64 / 1e3);
        (run(served(store).get(&query)), whole)
    };
    let (good, _) = ask(&disk);
    assert!(good.text.contains("\"301\""), "{}", good.text);
    let path = disk.files().into_iter().find(|path| path.to_string_lossy().contains("block-")).expect("there is one");
    let bytes = disk.content(&path).expect("it is there");
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
        let (bad, mut content) = (disk.copy(), bytes.clone());
        content[at] ^= 1;
        bad.set_content(&path, &content);
        let (answer, whole) = ask(&bad);
        // What is refused as it is opened is missing from then on, and said at the start.
        assert!(!whole || answer.status != StatusCode::OK || answer.text == good.text, "byte {at}: {}", answer.text);
        refused += usize::from(whole && answer.status == StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn min_offset_waits_and_then_answers_or_refuses() {
    let served = small_book();
    for offset in ["14", "0/14", "3"] {
        assert_eq!(run(served.get(&format!("/api/v1/alerts?min_offset={offset}"))).status, StatusCode::OK);
    }
    let begun = Instant::now();
    let answer = run(served.get("/api/v1/query?query=1&min_offset=15"));
    assert!(begun.elapsed() >= Duration::from_millis(950));
    assert_eq!((answer.status, answer.covers.as_str()), (StatusCode::SERVICE_UNAVAILABLE, ""));
    assert!(answer.text.starts_with(r#"{"status":"error","errorType":"unavailable","error":"position 0/15 is not"#));
    let answer = run(async {
        let store = served.store.clone();
        let publisher = async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            store.publish(view(16));
        };
        tokio::join!(served.get("/api/faultline/v1/status?min_offset=0/16"), publisher).0
    });
    assert_eq!((answer.status, answer.covers.as_str()), (StatusCode::OK, "0/16"));
}
