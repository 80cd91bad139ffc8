//! `--enable-feature`: experiments of the language are refused until they are switched on, by rules and by queries alike, and
//! which are on is part of what is replayed.
use crate::real_api::write;
use crate::real_tools::{Faultline, asked_within, escaped};
use faultline_model::{Labels, Millis, Sample};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

const FUNCTIONS: &str = "promql-experimental-functions";
const DURATIONS: &str = "promql-duration-expr";
/// One rule for each of two features, one that asks in a template, and one that needs none.
const RULES: &str = "groups:\n- name: g\n  interval: 1s\n  rules:\n  \
    - {alert: Functions, expr: 'sort_by_label(vector(1), \"a\")', \
       annotations: {first: '{{ with query \"sort_by_label(vector(7), `a`)\" }}{{ . | first | value }}{{ end }}'}}\n  \
    - {alert: Durations, expr: 'vector(2) or rate(up[1m + 1m])'}\n  \
    - {alert: Plain, expr: vector(3)}\n";

fn faultline(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultline"));
    command.current_dir(folder).args(words).output().expect("the binary was built")
}

/// Both streams, and the exit code.
fn said(output: &Output) -> (String, Option<i32>) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.code())
}

#[test]
fn rule_files_are_tried_with_the_features_that_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("r.yml"), RULES).expect("it can be written");
    let test = "rule_files: [r.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  alert_rule_test:\n  \
                - {alertname: Functions, eval_time: 1m, exp_alerts: [{exp_annotations: {first: '7'}}]}\n  \
                promql_expr_test:\n  - {expr: 'sort_by_label(vector(5), \"a\")', eval_time: 1m, exp_samples: [{labels: '', value: 5}]}\n";
    fs::write(folder.path().join("t.yml"), test).expect("it can be written");
    let check = |words: &[&str], code: i32, says: &str| {
        let (text, found) = said(&faultline(folder.path(), words));
        assert!(found == Some(code) && text.contains(says), "{words:?}: {found:?} {text}");
    };
    let both = format!("{FUNCTIONS},{DURATIONS}");
    for (words, file) in [(&["rules", "check"], "r.yml"), (&["rules", "test"], "t.yml")] {
        let with = |more: &[&'static str]| -> Vec<String> {
            words.iter().chain(&[file]).chain(more).map(ToString::to_string).collect()
        };
        let check = |more: &[&'static str], code, says: &str| {
            let words = with(more);
            check(&words.iter().map(|word| &**word).collect::<Vec<_>>(), code, says);
        };
        check(&[], 1, "r.yml:5: group \"g\", rule 1, \"Functions\"");
        check(&["--enable-feature", FUNCTIONS], 1, "r.yml:6: group \"g\", rule 2, \"Durations\"");
        check(&["--enable-feature", FUNCTIONS, "--enable-feature", DURATIONS], 0, "");
        check(
            &["--enable-feature=no-such"],
            2,
            "no feature is called \"no-such\"; there are promql-binop-fill-modifiers, ",
        );
    }
    check(&["rules", "check", "r.yml", "--enable-feature", &both], 0, "1 groups, 3 rules");
    check(
        &["run", "--enable-feature", "exemplar-storage"],
        2,
        "there are promql-binop-fill-modifiers, promql-delayed-name-removal",
    );
    fs::write(folder.path().join("c.yaml"), "features: [promql-duration-exp]\n").expect("it can be written");
    check(&["run", "--config", "c.yaml"], 2, "no feature is called \"promql-duration-exp\"; there are ");
}

/// Names of the alerts that fire, and what the first annotation of `Functions` says.
fn firing(server: &Faultline) -> (Vec<String>, Option<String>) {
    let alerts = server.get("/api/v1/alerts")["data"]["alerts"].as_array().expect("a list").clone();
    let name = |alert: &Value| alert["labels"]["alertname"].as_str().expect("it has a name").to_owned();
    let mut names: Vec<String> = alerts.iter().map(name).collect();
    names.sort();
    let first = alerts.iter().find_map(|alert| alert["annotations"]["first"].as_str());
    (names, first.map(str::to_owned))
}

/// A server that hears something: until then rules rest.
fn started(folder: &Path, options: &[&str]) -> Faultline {
    let server = Faultline::start(folder, options);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    write(&server.api, &[(Labels::new([("__name__", "up")]), vec![Sample::new(Millis(now), 1.0)])]);
    server
}

fn asks(server: &Faultline, text: &str) -> String {
    server.get(&format!("/api/v1/query?query={}", escaped(text))).to_string()
}

#[test]
fn what_is_on_is_a_record_and_changes_with_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("r.yml"), RULES).expect("it can be written");
    let rules = ["--no-builtin-rules", "--rules", "r.yml"];
    let query = "sort_by_label(vector(1), \"a\")";

    // By the configuration file.
    fs::write(folder.path().join("faultline.yaml"), format!("features: [{FUNCTIONS}, {DURATIONS}]\n"))
        .expect("it can be written");
    let server = started(folder.path(), &rules);
    let all = (vec!["Durations".into(), "Functions".into(), "Plain".into()], Some("7".into()));
    asked_within(|| firing(&server), &all);
    assert!(asks(&server, query).contains("\"success\""));
    let flags = server.get("/api/v1/status/flags");
    assert_eq!(flags["data"]["enable-feature"], format!("{DURATIONS},{FUNCTIONS}"));
    server.stop_and_verify();

    // Without, these rules are refused and those of before stay, with what they were read with; queries are refused.
    fs::write(folder.path().join("faultline.yaml"), "").expect("it can be written");
    let server = started(folder.path(), &rules);
    asked_within(|| firing(&server), &all);
    assert!(asks(&server, query).contains("bad_data"));
    let status = server.get("/api/faultline/v1/status");
    assert!(status.to_string().contains("r.yml"), "{status}");
    drop(server);

    // By the flag, which wins over the file; and a replay decides the same although nobody tells it what is on.
    fs::write(folder.path().join("faultline.yaml"), "features: []\n").expect("it can be written");
    let mut more = rules.to_vec();
    let both = format!("{FUNCTIONS},{DURATIONS}");
    more.extend(["--enable-feature", &both]);
    let server = started(folder.path(), &more);
    asked_within(|| firing(&server), &all);
    assert!(asks(&server, query).contains("\"success\""));
    server.stop_and_verify();

    // What is tried says itself what it may use.
    let check = |words: &[&str], code: i32, says: &str| {
        let (text, found) = said(&faultline(folder.path(), &[words, &["--data", "data"]].concat()));
        assert!(found == Some(code) && text.contains(says), "{words:?}: {found:?} {text}");
    };
    check(&["replay"], 0, "");
    for words in [&["rules", "backtest", "r.yml"][..], &["replay", "--no-builtin-rules", "--rules", "r.yml"]] {
        check(words, 2, "r.yml:5: group \"g\", rule 1, \"Functions\"");
        check(&[words, &["--enable-feature", &both]].concat(), 0, "Functions");
    }
    check(&["rules", "diff", "r.yml", "--enable-feature", &both], 0, "0 firings appear, 0 vanish");
}
