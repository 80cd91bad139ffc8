//! `faultline rules explain`: why an alert fires or does not, on a server's own journal while it runs and after.
use crate::real_api::write;
use crate::real_tools::{Faultline, asked_within};
use faultline_model::{Labels, Millis, Sample};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Of two services one is over the limit; the other rules fail to fire for a reason each.
const RULES: &str = "groups:
- name: g
  interval: 1s
  rules:
  - {alert: Hot, expr: 'load > 5'}
  - {alert: Elsewhere, expr: 'load{env=\"prod\"} > 5'}
  - {alert: Waits, expr: 'load > 5', for: 1h}
  - {alert: Apart, expr: 'load > 5 and on (service) other'}
  - {alert: Few, expr: 'rate(load[10s] offset 1h) > 5'}
  - {alert: Doubled, expr: 'sum without (service) (label_replace(load, \"service\", \"\", \"\", \"\")) > 5'}
";

fn explain(data: &Path, words: &[&str]) -> Output {
    rules(data, "explain", words)
}

fn rules(data: &Path, what: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultline"));
    command.args(["rules", what]).args(words).arg("--data").arg(data).output().expect("the binary was built")
}

fn json(data: &Path, words: &[&str]) -> Value {
    let output = explain(data, &[words, &["-o", "json"]].concat());
    assert!(output.status.success(), "{words:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn loads(server: &Faultline, loads: [f64; 2]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let series = |name: &str, service: &str, value| {
        (Labels::new([("__name__", name), ("service", service)]), vec![Sample::new(Millis(now), value)])
    };
    write(&server.api, &[series("load", "a", loads[0]), series("load", "b", loads[1]), series("other", "c", 1.0)]);
}

#[test]
fn why_an_alert_fires_and_why_others_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("r.yml"), RULES).expect("it can be written");
    let server = Faultline::start(folder.path(), &["--no-builtin-rules", "--rules", "r.yml", "--evaluation", "stream"]);
    let data = folder.path().join("data");
    let fires = || {
        let alerts = server.get("/api/v1/alerts")["data"]["alerts"].to_string();
        (alerts.contains("\"Hot\""), alerts.contains("\"Waits\""))
    };
    loads(&server, [7.0, 3.0]);
    asked_within(fires, &(true, true));

    // While the server runs.
    let hot = json(&data, &["Hot"]);
    let rule = &hot["rules"][0];
    assert_eq!((&rule["state"], &rule["alerts"][0]["labels"]["service"]), (&"firing".into(), &"a".into()), "{hot}");
    let load = &rule["parts"][1];
    assert_eq!((&load["text"], &load["elements"], &load["reads"]["series"]), (&"load".into(), &2.into(), &2.into()));
    let brought = load["reads"]["first"][0]["samples"][0]["record"].as_str().expect("a record");
    assert_eq!(rule["alerts"][0]["began"], *brought, "a stream rule fires at the record that brings the sample: {hot}");
    assert!(hot["rules_version"]["record"].is_string() && hot["rules_version"]["sha256"].is_string(), "{hot}");
    let fired = hot["transitions"][0]["effect"].as_str().expect("an effect").to_owned();
    assert!(fired.starts_with(brought), "{fired} is not caused by {brought}");

    let check = |words: &[&str], code: i32, says: &[&str]| {
        let output = explain(&data, words);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        says.iter().for_each(|says| assert!(text.contains(says), "{words:?}: {text} does not say {says:?}"));
    };
    check(&["Hot"], 0, &["firing  {alertname=\"Hot\", service=\"a\"}", &format!("(record {brought})"), "ok -> firing"]);
    check(&["Hot", "--not-fired"], 1, &["it does: {alertname=\"Hot\", service=\"a\"}"]);
    check(
        &["Hot{service=\"b\"}", "--not-fired"],
        0,
        &["no element passes: load > 5 (with other labels: 1 element)", "load gives 2 elements: load{service=\"b\"} 3"],
    );
    check(&["Elsewhere"], 0, &["no series matches load{env=\"prod\"}", "2 series would, were it not for env=\"prod\""]);
    check(&["Waits"], 0, &["pending", "and must for 1h: until"]);
    check(&["Apart"], 0, &["no element is left of both sides", "other{service=\"c\"} 1"]);
    check(&["Few"], 0, &["load[10s] offset 1h finds 2 series, none with a sample after"]);
    check(&["Doubled"], 0, &["its last evaluation failed: "]);
    check(&["hot"], 2, &["no rule is called hot at ", "there is Hot"]);
    check(&["Hot{"], 2, &["say which alert, such as HighErrors"]);
    check(&["{service=\"a\"}"], 2, &["names no alert"]);

    // What is over is explained as it was.
    loads(&server, [2.0, 3.0]);
    asked_within(fires, &(false, false));
    std::thread::sleep(Duration::from_millis(300));
    server.stop_and_verify();
    check(&["Hot"], 0, &["why it does not fire", "no element passes: load > 5\n", "firing -> ok"]);
    check(&["Hot", "--at", brought], 0, &["firing  {alertname=\"Hot\", service=\"a\"}"]);
    let before = brought.split_once('/').and_then(|(_, n)| n.parse::<u64>().ok()).expect("an offset") - 1;
    check(&["Hot", "--at", &format!("0/{before}"), "--not-fired"], 0, &["no series matches load"]);

    // Each time that they were active, from the ledger alone.
    let history = |words: &[&str]| -> Value {
        let output = rules(&data, "history", &[words, &["-o", "json"]].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let hot = history(&["Hot"]);
    assert_eq!(hot["occurrences"].as_array().map(Vec::len), Some(1), "{hot}");
    let it = &hot["occurrences"][0];
    assert_eq!(
        (&it["labels"]["service"], &it["state"], &it["value"]),
        (&"a".into(), &"ok".into(), &7.0.into()),
        "{hot}"
    );
    assert!(it["told"]["fired_at"].is_string() && it["told"]["resolved_at"].is_string(), "{hot}");
    assert_eq!((&it["occurrence"], &it["rules_record"]), (&brought.into(), &hot["rules"][0]["record"]), "{hot}");
    let waits = history(&["Waits"]);
    assert!(waits["occurrences"][0]["told"]["fired_at"].is_null(), "it was pending only: {waits}");
    assert_eq!(history(&["Hot{service=\"b\"}"])["occurrences"], Value::Array(Vec::new()));
    let page = String::from_utf8(rules(&data, "history", &["Hot"]).stdout).expect("text");
    assert!(page.contains("Hot  active 1 times, fired 1 of them") && page.contains("after 0 ms"), "{page}");
    let none = String::from_utf8(rules(&data, "history", &["Elsewhere"]).stdout).expect("text");
    assert!(none.contains("nothing was decided"), "{none}");
}
