//! `rules: {dry_run: [...]}`: alerts of such a group are decided and kept, and nobody is told.
use crate::real_api::write;
use crate::real_tools::{Faultline, asked_within};
use faultline_model::{Labels, Millis, Sample};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn a_group_that_is_tried_reaches_the_ledger_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = "groups:\n- {name: live, interval: 1s, rules: [{alert: Told, expr: load > 5}]}\n\
                 - {name: new, interval: 1s, rules: [{alert: Tried, expr: load > 5}]}\n";
    fs::write(folder.path().join("r.yml"), rules).expect("it can be written");
    fs::write(folder.path().join("faultline.yaml"), "rules: {dry_run: [new]}\n").expect("it can be written");
    let server = Faultline::start(folder.path(), &["--no-builtin-rules", "--rules", "r.yml"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let labels = Labels::new([("__name__", "load"), ("service", "a")]);
    write(&server.api, &[(labels, vec![Sample::new(Millis(now), 7.0)])]);

    // Both are decided, and both are to be seen where rules are looked at.
    let decided = || {
        let all = server.get("/api/faultline/v1/transitions")["transitions"].clone();
        let all = all.as_array().expect("a list").iter();
        let mut all: Vec<(String, bool)> =
            all.map(|it| (it["name"].as_str().expect("a name").into(), it["dry_run"] == true)).collect();
        all.sort();
        all
    };
    asked_within(decided, &vec![("Told".into(), false), ("Tried".into(), true)]);
    let groups = server.get("/api/v1/rules")["data"]["groups"].clone();
    let shown = |place: usize| (groups[place]["dryRun"].clone(), groups[place]["rules"][0]["state"].clone());
    asked_within(|| server.get("/api/v1/alerts")["data"]["alerts"].as_array().map(Vec::len), &Some(1));
    assert_eq!((shown(0).0, shown(1).0), (serde_json::Value::Null, true.into()), "{groups}");
    // Only the other is in a series and in an incident.
    let series = server.query("ALERTS").into_iter().map(|it| it["metric"]["alertname"].to_string());
    assert_eq!(series.collect::<Vec<_>>(), ["\"Told\""]);
    let incidents = server.get("/api/faultline/v1/incidents")["incidents"].clone();
    assert_eq!(
        (incidents.as_array().map(Vec::len), &incidents[0]["alert_names"]),
        (Some(1), &serde_json::json!(["Told"]))
    );
    server.stop_and_verify();
}
