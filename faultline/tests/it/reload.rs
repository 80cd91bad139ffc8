//! `POST /-/reload`: the answer comes once changed rule files are in force, or says why they are not.
use crate::real_tools::Faultline;
use bytes::Bytes;
use faultline_sinks::http::{Limits, Url, request};
use http::Method;
use std::fs;

#[test]
fn a_reload_answers_once_the_files_are_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("r.yml");
    let write = |rule: &str| {
        let text = format!("groups:\n- name: g\n  rules:\n  - {{alert: {rule}}}\n");
        fs::write(&file, text).expect("it can be written");
    };
    write("First, expr: up");
    let server = Faultline::start(folder.path(), &["--no-builtin-rules", "--rules", "r.yml"]);
    let url = Url::parse(&format!("{}/-/reload", server.api)).expect("an address");
    let names = || {
        // Nobody has sent anything yet, and rule time has not begun.
        let rules = server.get("/api/v1/rules")["data"]["groups"][0]["rules"].clone();
        rules.as_array().into_iter().flatten().map(|rule| rule["name"].to_string()).collect::<Vec<_>>()
    };
    for (method, rule, status, says, in_force) in [
        (Method::POST, "First, expr: up", 200, "", "First"),
        (Method::PUT, "Second, expr: up", 200, "", "Second"),
        (Method::POST, "Third, expr: up +", 500, "failed to reload config: r.yml:4: ", "Second"),
        (Method::POST, "Third, expr: up +", 500, "failed to reload config: r.yml:4: ", "Second"),
        (Method::POST, "Third, expr: up", 200, "", "Third"),
    ] {
        write(rule);
        let answer = request(method, &url, &[], Bytes::new(), Limits::default()).expect("an answer");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status.as_u16() == status && text.starts_with(says), "{rule}: {} {text}", answer.status);
        // Readers follow within milliseconds.
        crate::real_tools::asked_within(names, &vec![format!("\"{in_force}\"")]);
    }
    server.stop_and_verify();
}
