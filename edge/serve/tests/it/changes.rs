//! A posted change becomes a record; a wrong one is told field by field. Decisions reach the stream of events.
use super::served::*;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use faultline_model::facts::Decision;
use faultline_model::{Canonical, ChangeEvent, Control, Kind, Millis};
use http_body_util::BodyExt;
use std::time::Duration;
use tower::ServiceExt;

const PATH: &str = "/api/faultline/v1/changes";

#[test]
fn a_change_becomes_a_record_and_answers_its_position() {
    for (body, expected) in [
        (
            r#"{"service":"pay","kind":"deploy","title":"v2 \"é\"","version":"2","at":"2026-11-21T00:00:00Z","by":"ci"}"#,
            ChangeEvent {
                entity: "pay".into(),
                kind: "deploy".into(),
                title: "v2 \"é\"".into(),
                version: "2".into(),
                at: Millis(1_795_219_200_000),
                by: "ci".into(),
            },
        ),
        (
            r#"{"entity":"pay","kind":"flag","title":"on","at":1795219200000,"version":null}"#,
            ChangeEvent {
                entity: "pay".into(),
                kind: "flag".into(),
                title: "on".into(),
                version: String::new(),
                at: Millis(1_795_219_200_000),
                by: String::new(),
            },
        ),
    ] {
        let mut served = small_book();
        let intake = served.intake.take().unwrap();
        let journal = std::thread::spawn(move || {
            let mut group = intake.take_group(Duration::from_secs(10), 1 << 20, 1);
            let submitted = group.pop().unwrap();
            let payload = submitted.decoded.payload.clone();
            submitted.reply.send(Ok(faultline_host::Answer { at: at(77), rejects: Vec::new() }));
            payload
        });
        let answer = run(served.post(PATH, "application/json; charset=utf-8", body));
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        assert!(answer.text.starts_with(r#"{"position":"0/77","change":{"entity":"pay""#), "{}", answer.text);
        let payload = journal.join().unwrap();
        assert_eq!(payload.kind, Kind::Control(Control::Change));
        assert_eq!(ChangeEvent::from_bytes(&payload.body), Ok(expected));
    }
}

#[test]
fn a_wrong_change_is_told_field_by_field() {
    let served = small_book();
    let json = "application/json";
    let long = format!(r#"{{"service":"{}","kind":"k","title":"t"}}"#, "x".repeat(257));
    let deep = "[".repeat(10_000);
    let large = format!(r#"{{"service":"{}"}}"#, "x".repeat(300_000));
    for (kind, body, status, words) in [
        ("text/plain", "{}", 415, &["application/json"][..]),
        (json, "", 400, &["not JSON"]),
        (json, "[]", 400, &["must be a JSON object"]),
        (json, &deep, 400, &["recursion limit"]),
        (json, &large, 413, &["bad-body"]),
        (json, "{}", 400, &[r#""field":"service""#, r#""field":"kind""#, r#""field":"title""#]),
        (json, &long, 400, &[r#"{"field":"service","detail":"is longer than 256 bytes"}"#]),
        (json, r#"{"service":"a","entity":"a","kind":"k","title":"t"}"#, 400, &["means the same"]),
        (json, r#"{"service":"a","kind":1,"title":"t"}"#, 400, &[r#"{"field":"kind","detail":"must be a text"}"#]),
        (json, r#"{"service":"a","kind":" ","title":"t\u0000"}"#, 400, &["is empty", "control character"]),
        (json, r#"{"service":"a","kind":"k","title":"t","at":12}"#, 400, &["before 1971"]),
        (json, r#"{"service":"a","kind":"k","title":"t","at":"yesterday"}"#, 400, &["RFC 3339"]),
        (json, r#"{"service":"a","kind":"k","title":"t","at":1e400}"#, 400, &["not JSON"]),
        (json, r#"{"service":"a","kind":"k","title":"t","titel":"t"}"#, 400, &[r#""field":"titel""#]),
    ] {
        let answer = run(served.post(PATH, kind, body));
        assert_eq!(
            (answer.status.as_u16(), answer.kind.as_str()),
            (status, "application/problem+json"),
            "{}",
            answer.text
        );
        words.iter().for_each(|word| assert!(answer.text.contains(word), "{word}: {}", answer.text));
    }
    assert_eq!(served.inlet.load(), (0, 0));
}

#[test]
fn a_full_or_stopping_inlet_is_an_answer() {
    let mut served = small_book();
    let good = r#"{"service":"a","kind":"k","title":"t"}"#;
    let decoded = || {
        let kind = Kind::Tick;
        let payload = faultline_model::Payload { tenant: Default::default(), kind, body: Default::default() };
        faultline_formats::decode(payload, faultline_model::HashSeed(1))
    };
    let waiting: Vec<_> = std::iter::from_fn(|| served.inlet.offer(decoded()).ok()).collect();
    let answer = run(served.post(PATH, "application/json", good));
    assert_eq!((answer.status, answer.retry_after.as_str()), (StatusCode::TOO_MANY_REQUESTS, "2"));
    drop(served.intake.take());
    let answer = run(served.post(PATH, "application/json", good));
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(waiting);
}

#[test]
fn events_are_told_as_they_come_and_a_slow_reader_is_told_that_it_lagged() {
    let served = small_book();
    let events = |served: &Served| {
        let request = Request::get("/api/faultline/v1/events").body(Body::empty()).unwrap();
        run(served.router.clone().oneshot(request)).unwrap()
    };
    let tell =
        |n: u64| served.store.decided(effect(50, n as u32), n, None, &Decision::Change(change("a\r\n\ndata: x", 0)));
    let response = events(&served);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    tell(1);
    served.store.end_streams();
    let text = run(response.into_body().collect()).unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    let data = r#"{"id":"0/50.1","leaf":1,"decided_at":null,"kind":"change","change":{"entity":"a\r\n\ndata: x","kind":"deploy","title":"roll out","version":"1.2","at":"2026-11-21T00:54:16.050Z","by":""}}"#;
    assert_eq!(text, format!("retry: 1000\n\nid: 0/50.1\nevent: change\ndata: {data}\n\n"));

    let slow = events(&served);
    (0..1_025).for_each(tell);
    let text = run(slow.into_body().collect()).unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    assert_eq!(text.matches("event: change").count(), 1_024);
    assert!(text.contains("event: lagged\ndata: {"));
}
