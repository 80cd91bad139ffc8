//! Answers to every path over the small book, compared with the files in `tests/golden`; `UPDATE=1` rewrites them.
use super::served::*;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use faultline_model::facts::*;
use faultline_serve::Store;
use std::path::Path;

const CASES: &[(&str, &str)] = &[
    ("incidents", "/api/faultline/v1/incidents"),
    ("incident", "/api/faultline/v1/incidents/0/11.2"),
    ("incident_unknown", "/api/faultline/v1/incidents/0/99.0"),
    ("transitions", "/api/faultline/v1/transitions?after=0/11.0&limit=5"),
    ("rejects", "/api/faultline/v1/rejects?reason=cardinality"),
    ("rejects_turned_away", "/api/faultline/v1/rejects?reason=too-large"),
    ("changes", "/api/faultline/v1/changes?limit=1"),
    ("traces", "/api/faultline/v1/traces?service=payments"),
    ("traces_failed", "/api/faultline/v1/traces?service=payments&failed=true&limit=1"),
    ("traces_of_none", "/api/faultline/v1/traces"),
    ("status", "/api/faultline/v1/status"),
    ("prom_rules", "/api/v1/rules"),
    ("prom_alerts", "/api/v1/alerts"),
    ("prom_exemplars", "/api/v1/query_exemplars?query=up%20or%20hits_total"),
    ("prom_metadata", "/api/v1/metadata?limit_per_metric=1"),
    ("prom_targets_metadata", "/api/v1/targets/metadata"),
    (
        "prom_tree",
        "/api/v1/parse_query?query=sum%20by%20(a)%20(rate(up%7Bb%3D~%22c%22%7D%5B5m%5D%20offset%201m))%20%3E%201",
    ),
    ("prom_buildinfo", "/api/v1/status/buildinfo"),
    ("unknown_path", "/api/v1/nope"),
    ("metrics", "/metrics"),
];

#[test]
fn answers_are_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let served = small_book();
    let mut differ = Vec::new();
    for (name, path) in CASES {
        let answer = run(served.get(path));
        let json = answer.kind.ends_with("json");
        let body = match json {
            // Pretty-printed for the reader of a difference; the order of keys is that of the answer.
            true => pretty(&answer.text),
            false => answer.text.clone(),
        };
        let seen =
            format!("GET {path}\n{} {} covers={}\n\n{body}\n", answer.status.as_u16(), answer.kind, answer.covers);
        let file = folder.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &seen).unwrap();
        } else if std::fs::read_to_string(&file).unwrap_or_default() != seen {
            differ.push(format!("{name}:\n{seen}"));
        }
    }
    assert!(differ.is_empty(), "differs from tests/golden (UPDATE=1 rewrites):\n{}", differ.join("\n"));
}

/// Line breaks and indents, outside of texts.
fn pretty(json: &str) -> String {
    let (mut out, mut depth, mut text, mut escaped) = (String::new(), 0, false, false);
    for c in json.chars() {
        if text {
            out.push(c);
            text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        };
        match c {
            '{' | '[' => {
                depth += 1;
                out.push(c);
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            _ => {
                text = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let served = small_book();
    for (path, status, word) in [
        ("/api/faultline/v1/incidents?state=closed", 400, "bad-state"),
        ("/api/faultline/v1/incidents?limit=0", 400, "bad-limit"),
        ("/api/faultline/v1/incidents?limit=1001", 400, "bad-limit"),
        ("/api/faultline/v1/incidents?limt=1", 400, "limt"),
        ("/api/faultline/v1/incidents/%22%0d%0aX-Evil:1", 404, "unknown-incident"),
        ("/api/faultline/v1/transitions?after=7", 400, "bad-after"),
        ("/api/faultline/v1/status?min_offset=x", 400, "bad-min-offset"),
        ("/api/faultline/v1/status?min_offset=3/1", 400, "partition 3"),
        ("/api/v1/rules?type=x", 400, r#"invalid parameter \"type\": not supported value \"x\""#),
        ("/", 404, "/api/faultline/v1/incidents"),
    ] {
        let answer = run(served.get(path));
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        assert!(answer.text.contains(word), "{path}: {}", answer.text);
        assert!(answer.kind.ends_with("json"), "{path}: {}", answer.kind);
    }
    let answer = run(served.ask(Request::delete("/api/v1/query").body(Body::empty()).unwrap()));
    assert_eq!((answer.status, answer.kind.as_str()), (StatusCode::METHOD_NOT_ALLOWED, "application/problem+json"));
}

#[test]
fn escaped_ids_filters_and_merged_incidents() {
    let served = small_book();
    let get = |path: &str| run(served.get(path));
    assert_eq!(get("/api/faultline/v1/incidents/0%2F11.2").status, StatusCode::OK);
    assert!(get("/api/faultline/v1/incidents?state=open").text.contains("0/11.2"));
    assert!(!get("/api/faultline/v1/incidents?state=resolved").text.contains("0/11.2"));
    // A younger incident merges into the first, and takes no alert away from it.
    let young = effect(20, 1);
    let decide = |n: u64, decision| served.store.decided(effect(20, n as u32), 200 + n, None, &decision);
    decide(1, Decision::Incident(incident(young, IncidentPhase::Opened, &[2], 40)));
    decide(2, Decision::Incident(incident(effect(11, 2), IncidentPhase::Grew, &[0, 1, 2], 50)));
    decide(3, Decision::Incident(incident(young, IncidentPhase::Merged, &[2], 50)));
    decide(4, Decision::Alert(transition(2, AlertState::Ok, 60)));
    let merged = get("/api/faultline/v1/incidents/0/20.1").text;
    assert!(merged.contains(r#""state":"merged""#) && merged.contains(r#""alias_of":"0/11.2""#), "{merged}");
    let first = get("/api/faultline/v1/incidents/0/11.2").text;
    assert!(first.contains(r#""to":"ok","at":"2026-11-21T00:54:16.110Z""#), "{first}");
    decide(5, Decision::Incident(incident(effect(11, 2), IncidentPhase::Resolved, &[0, 1, 2], 70)));
    assert!(get("/api/faultline/v1/incidents?state=resolved").text.contains(r#""open":0"#));
}

#[test]
fn readiness_has_its_reason() {
    let served = served(Store::default());
    let answer = run(served.get("/-/ready"));
    assert_eq!((answer.status, answer.text.contains("starting")), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(run(served.get("/-/healthy")).status, StatusCode::OK);
    for (path, status) in [
        ("/api/v1/query?query=up", 503),
        ("/api/v1/alerts", 503),
        ("/api/faultline/v1/incidents", 503),
        ("/api/faultline/v1/status", 200),
        ("/api/v1/status/buildinfo", 200),
        ("/metrics", 200),
        ("/nope", 404),
    ] {
        let answer = run(served.get(path));
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        assert_eq!(answer.retry_after, if status == 503 { "2" } else { "" }, "{path}");
    }
    // Rule time has not begun: no instant, and not 1970.
    assert!(run(served.get("/api/faultline/v1/status")).text.contains(r#","at":null,"#));
    served.store.publish(view(3));
    assert_eq!(run(served.get("/-/ready")).status, StatusCode::OK);
}
