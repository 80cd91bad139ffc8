//! The page against fixed answers, golden; and against answers with anything missing.
use super::*;
use crate::client::shape::tests::{golden, plain, served, without_each_field};
use serde_json::json;

/// A story with everything in it.
fn story() -> Value {
    let text = r#"{
        "id": "0/812.3", "state": "open", "imported": false, "alias_of": null, "merged_into": null,
        "onset": "2026-11-21T00:54:13.550Z", "opened_at": "2026-11-21T00:54:16.050Z", "resolved_at": null,
        "entities": ["gateway", "payments"], "alert_names": ["TooManyErrors"], "alerts": 2, "firing": 1,
        "summary": "short", "unknown": false,
        "cause": {"entity": "mainframe", "kind": "stopped", "posterior": 0.9375},
        "verdict": {
            "id": "0/840.0", "leaf": 109, "decided_at": "2026-11-21T00:54:46.080Z", "incident": "0/812.3",
            "revision": 2, "frozen_at": "2026-11-21T00:54:46.070Z", "unknown": false, "calibrated": false,
            "summary": "mainframe no longer completes its work: served 40/s -> 0/s; gateway and 1 more suffer from it, 1 call away (posterior 94 %, not calibrated).",
            "why_not_second": "mainframe: served 40/s -> 0/s (+12.5); no single piece of evidence turns the order.",
            "causes": [
                {"entity": "mainframe", "kind": "stopped", "posterior": 0.9375, "responsibility": 0.9, "share": 0.75,
                 "onset": "2026-11-21T00:54:13.550Z",
                 "path": [{"client": "payments", "server": "gateway", "explained": 0.5, "lag_ms": -40},
                          {"client": "gateway", "server": "mainframe", "explained": 0.75, "lag_ms": 1200}],
                 "evidence": [{"what": "served 40/s -> 0/s (z -38)", "nats": 12.5},
                              {"what": "only its callers tell of it", "nats": -0.25}]},
                {"entity": "gateway", "kind": "slow", "posterior": 0.03125, "responsibility": 0.03, "share": 0.25,
                 "onset": null, "path": [], "evidence": []}
            ],
            "what_ifs": [
                {"entity": "mainframe", "violated": 2, "well": 1,
                 "services": [{"entity": "payments", "degraded": 0.75}, {"entity": "gateway", "degraded": 0.0625}]}
            ],
            "checks": [
                {"entity": "ledger-db", "question": "is it at fault itself? It sends nothing, only its callers tell of it",
                 "likely": 0.25, "cut": 0.5, "yes": {"entity": "ledger-db", "posterior": 1.0},
                 "no": {"entity": "mainframe", "posterior": 0.96875}}
            ],
            "unseen": ["ledger-db is seen by its callers only"],
            "method": "junction tree, 9 variables, 40 entries"
        },
        "times": {
            "onset": "2026-11-21T00:54:13.550Z", "first_anomaly": "2026-11-21T00:54:14.550Z",
            "opened": "2026-11-21T00:54:16.050Z", "first_verdict": "2026-11-21T00:54:16.060Z",
            "settled_verdict": "2026-11-21T00:54:46.080Z", "resolved": null
        },
        "alert_list": [
            {"id": "0/811.0", "leaf": 103, "to": "ok", "active_at": "2026-11-21T00:54:14.900Z", "name": "TooManyErrors",
             "labels": {"alertname": "TooManyErrors", "service": "payments"}, "annotations": {}, "value": "0.01"},
            {"id": "0/812.0", "leaf": 104, "to": "firing", "active_at": "2026-11-21T00:54:15.050Z",
             "name": "TooManyErrors", "labels": {"alertname": "TooManyErrors", "service": "gate\u001b[2Jway", "team": "payments core"},
             "annotations": {"summary": "gateway fails", "runbook_url": "https://wiki.example/gateway\u001b[2J"}, "value": "0.25"}
        ],
        "changes": [
            {"id": "0/5.0", "leaf": 101, "entity": "mainframe", "kind": "deploy", "title": "roll out 1.2", "version": "1.2",
             "at": "2026-11-21T00:51:13.550Z", "by": "ci"}
        ],
        "verdicts": [
            {"id": "0/813.0", "leaf": 106, "revision": 1, "cause": "payments"},
            {"id": "0/840.0", "leaf": 109, "revision": 2, "cause": "mainframe"}
        ],
        "verdicts_count": 2,
        "coverage": {"unseen": ["ledger-db"], "silent": [], "unpaired": 0.25, "sampling_unknown": false},
        "leaves": [{"leaf": 104, "id": "0/812.0"}, {"leaf": 109, "id": "0/840.0"}]
    }"#;
    serde_json::from_str(text).expect("JSON")
}

fn shown(incident: &Value, at: &str) -> String {
    plain(&page(
        Shape::of(incident),
        Shape::of(&json!({ "at": at })),
        [&course(), &requests()].map(Shape::of),
        Paint::stdout(),
    ))
}

/// Requests of two services, one of which sends nothing.
fn requests() -> Value {
    let request = |name: &str, seen_by: Value, ms: f64, failed: bool| {
        json!({ "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": name, "service": "s", "seen_by": seen_by,
                "name": name, "start": "2026-11-21T00:54:20.123Z", "took_ms": ms, "failed": failed })
    };
    json!([
        { "service": "gateway", "failed": request("POST /pay\u{1b}[2J", Value::Null, 12.5, true),
          "slowest": request("GET /x", Value::Null, 2_310.0, false) },
        { "service": "payments -> mainframe", "failed": request("MQPUT", json!("payments"), 30_000.0, true),
          "slowest": request("MQPUT", json!("payments"), 30_000.0, true) },
    ])
}

/// How two causes went: one fully known, one by little.
fn course() -> Value {
    json!({
        "before": 4, "step_ms": 15_000,
        "services": [
            {"service": "mainframe", "lines": [
                [40.0, 41.0, 39.0, 40.0, 20.0, 0.0, 0.0], [0.0, 0.0, 0.01, 0.0, 0.5, null, null],
                [12.5, 12.0, 12.5, 13.0, 1_700.0, null, null]
            ]},
            {"service": "gate\u{1b}[2Jway", "lines": [[], [null, null, null, null, null, 0.25, 0.5], []]}
        ]
    })
}

#[test]
fn the_page_reads_from_the_sentence_to_the_proof() {
    golden("why.txt", &shown(&story(), "2026-11-21T00:56:16.050Z"));
}

#[test]
fn without_a_verdict_it_says_so_and_what_is_not_seen() {
    let mut story = story();
    for gone in ["verdict", "summary", "cause", "verdicts", "changes", "leaves"] {
        story.as_object_mut().expect("an object").remove(gone);
    }
    let text = shown(&story, "");
    assert!(text.starts_with("No verdict yet on gateway, payments: ask again in a moment.\nincident 0/812.3 is open, opened 2026-11-21 00:54:16 UTC\n"), "{text}");
    assert!(text.contains("NOT SEEN\nservices that only their callers tell of: ledger-db\n"), "{text}");
    assert!(!text.contains("CAUSES") && !text.contains("PROOF") && !text.contains("CHANGES"), "{text}");
}

#[test]
fn how_far_to_trust_is_said() {
    let mut story = story();
    let reliability = |cases: u32, right: u32| {
        json!({"elsewhere": {"cases": cases, "right": right}, "here": {"cases": 2, "right": 1}, "cases_elsewhere": 72,
               "cases_here": 3, "low": 0.5, "high": 0.75})
    };
    for (calibrated, cases, right, expected) in [
        (
            true,
            9,
            7,
            "calibrated on 72 cases elsewhere, 3 here: 8 of 11 verdicts as sure as this one were right (90 % interval 50.0 % to 75.0 %)\n",
        ),
        (
            false,
            4,
            2,
            "UNCALIBRATED: of 72 cases elsewhere, 3 here only 6 were about as sure as this one, 3 of them right;",
        ),
    ] {
        story["verdict"]["calibrated"] = json!(calibrated);
        story["verdict"]["reliability"] = reliability(cases, right);
        let text = shown(&story, "");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn unknown_resolved_merged_and_imported_are_said() {
    let mut story = story();
    story["unknown"] = json!(true);
    story["verdict"]["unknown"] = json!(true);
    story["verdict"]["calibrated"] = json!(true);
    story["state"] = json!("resolved");
    story["resolved_at"] = json!("2026-11-21T00:59:16.050Z");
    story["changes"] = json!([]);
    story["imported"] = json!(true);
    let text = shown(&story, "");
    assert!(
        text.contains(
            "is resolved, opened 2026-11-21 00:54:16 UTC, lasted 5 min 0 s, from imported data: told to nobody"
        ),
        "{text}"
    );
    assert!(text.contains("UNKNOWN: none of these deserves belief") && !text.contains("UNCALIBRATED"), "{text}");
    assert!(text.contains("none was told on these services in the 4 hours before the onset"), "{text}");
    story["state"] = json!("merged");
    story["alias_of"] = json!("0/7.1");
    assert!(shown(&story, "").contains("merged: it goes on as 0/7.1, see `faultline why 0/7.1`"));
}

#[test]
fn whatever_a_server_leaves_out_or_means_otherwise_the_page_is_shown() {
    without_each_field(&story(), &mut |story| {
        let text = shown(story, "2026-11-21T00:56:16.050Z");
        assert!(text.contains("incident"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    });
}

#[test]
fn without_an_id_the_newest_that_lives_on_is_shown() {
    let list =
        json!({"incidents": [{"id": "0/9.0", "state": "merged"}, {"id": "0/8.1", "state": "open"}, {"id": "0/7.1"}]});
    assert_eq!(newest_of(&list).as_deref(), Some("0/8.1"));
    assert_eq!(newest_of(&json!({"incidents": [{"id": "0/9.0", "state": "merged"}]})), None);
    assert_eq!(newest_of(&json!({})), None);
}

#[test]
fn an_incident_is_found_by_id_prefix_or_without_its_partition() {
    let list = json!({"incidents": [{"id": "0/812.3"}, {"id": "0/81.0"}, {"id": "0/90.1"}, {}]});
    for (given, id) in
        [("0/812.3", "0/812.3"), ("0/812", "0/812.3"), ("81.0", "0/81.0"), ("9", "0/90.1"), ("0/81.", "0/81.0")]
    {
        assert_eq!(chosen(&list, given).as_deref(), Ok(id), "{given}");
    }
    let several = chosen(&list, "81").expect_err("two begin so").to_string();
    assert_eq!(several, "\"81\" begins the ids of several incidents: 0/812.3, 0/81.0");
    let none = chosen(&list, "7").expect_err("none begins so").to_string();
    assert!(none.starts_with("no incident's id begins with \"7\"; there is 0/812.3"), "{none}");
    assert!(chosen(&Value::Null, "7").expect_err("there is none").to_string().ends_with("no incident at all"));
}

#[test]
fn values_and_labels_are_cut_to_what_matters() {
    for (value, text) in [
        ("713.37215631", "713"),
        ("0.5614035087", "0.561"),
        ("2", "2"),
        ("12.50", "12.5"),
        ("0", "0"),
        ("NaN", "NaN"),
        ("+Inf", "+Inf"),
        ("-0.0001234567", "-1.235e-4"),
        ("123456789", "1.235e8"),
        ("twelve and a half", "twelve and …"),
    ] {
        assert_eq!(rounded(value), text, "{value}");
    }
    let value = json!({"alertname": "A", "server": "pay", "service": "pay", "severity": "page"});
    assert_eq!(labels(Shape::of(&value)), ["service=pay", "severity=page"]);
}

/// The shape that `edge/serve` really answers with: its own golden file.
#[test]
fn the_page_reads_what_the_api_answers() {
    let answer = served(include_str!("../../../edge/serve/tests/golden/incident.txt"));
    let text = shown(&answer, "2026-11-21T00:54:46.050Z");
    for part in [
        "mainframe stopped\nincident 0/11.2 is open, opened 2026-11-21 00:54:16 UTC, 30.0 s ago\n",
        "00:54:13.550  onset",
        "00:54:16.060  first verdict        +2.5 s        payments\n",
        "00:54:16.080  verdict that stayed  +2.5 s        mainframe (of 2 verdicts)\n",
        "2 of 2 alerts firing\n",
        "2.5 s before the onset",
        "1  mainframe stopped  ███████████████████░  93.8 %  share 50.0 %, since 00:54:13.550, at the onset\n",
        "WHY NOT gateway\ngateway's own work is as usual\n",
        "  +12.5  traffic 40/s -> 0/s (z -38)\n",
        "gateway -> mainframe  explains  75.0 %  gateway shows it 40 ms later\n",
        "NOT SEEN\nledger-db is seen by its callers only\n",
        "leaf 109 of the ledger\n",
        "7 leaves",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}
