//! Closing an incident: read, journalled, refused.
use super::served::*;
use axum::http::StatusCode;
use faultline_formats::{Reason, Reject};
use faultline_model::{Canonical, Control, EffectId, Feedback, Kind};
use std::time::Duration;

const PATH: &str = "/api/faultline/v1/feedback";

#[test]
fn what_an_operator_says_becomes_a_record_and_its_refusal_an_answer() {
    let body = r#"{"incident":"0/3.1","cause":"pay","note":"a full disk","by":"night shift"}"#;
    for refused in [None, Some("incident 0/3.1 is closed already, with cart as its cause")] {
        let mut served = small_book();
        let intake = served.intake.take().unwrap();
        let journal = std::thread::spawn(move || {
            let mut group = intake.take_group(Duration::from_secs(10), 1 << 20, 1);
            let submitted = group.pop().unwrap();
            let payload = submitted.decoded.payload.clone();
            let reject = |detail: &str| Reject { reason: Reason::BadFeedback, count: 1, detail: detail.into() };
            let rejects = refused.iter().map(|detail| reject(detail)).collect();
            submitted.reply.send(Ok(faultline_host::Answer { at: at(77), rejects }));
            payload
        });
        let answer = run(served.post(PATH, "application/json", body));
        match refused {
            None => {
                assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
                let begins = r#"{"position":"0/77","feedback":{"incident":"0/3.1","cause":"pay","note":"a full disk""#;
                assert!(answer.text.starts_with(begins), "{}", answer.text);
            }
            Some(why) => {
                assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.text);
                assert!(answer.text.contains(why), "{}", answer.text);
            }
        }
        let payload = journal.join().unwrap();
        assert_eq!(payload.kind, Kind::Control(Control::Feedback));
        let feedback = Feedback::from_bytes(&payload.body).unwrap();
        let said = (EffectId::parse("0/3.1"), "pay", "a full disk", "night shift");
        assert_eq!((Some(feedback.incident), &*feedback.cause, &*feedback.note, &*feedback.by), said);
    }
}

#[test]
fn wrong_feedback_is_told_field_by_field() {
    let served = small_book();
    let json = "application/json";
    for (kind, body, status, words) in [
        ("text/plain", "{}", 415, &["application/json"][..]),
        (json, "[]", 400, &["must be a JSON object"]),
        (json, "{}", 400, &[r#""field":"incident""#, r#""field":"cause""#]),
        (json, r#"{"incident":"x","cause":"a"}"#, 400, &["partition/offset.ordinal"]),
        (json, r#"{"incident":"0/3.1","cause":" "}"#, 400, &["is empty"]),
        (json, r#"{"incident":"0/3.1","cause":"a","service":"a"}"#, 400, &[r#""field":"service""#]),
    ] {
        let answer = run(served.post(PATH, kind, body));
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        words.iter().for_each(|word| assert!(answer.text.contains(word), "{word}: {}", answer.text));
    }
    assert_eq!(served.inlet.load(), (0, 0));
}
