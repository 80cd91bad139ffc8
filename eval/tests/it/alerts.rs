//! A sample of what `cargo xtask eval alerts --data ../shared/data/alert-rules` compares: rule files that ship.
use faultline_eval::alerts::promtool::{Promtool, unit_test};
use faultline_eval::alerts::search::{Missed, find};
use faultline_eval::alerts::{AlertsArgs, Counts, compare, subject};
use faultline_eval::promql::prometheus::services;
use faultline_model::RuleFile;
use faultline_model::facts::AlertState::{Firing, Ok, Pending};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Nothing where promtool is not there and need not be.
fn compared(folder: &str, seeds: u64, tries: u32) -> Option<Counts> {
    if services(&["need", "promtool"]).expect("xtask runs").trim() != "yes" {
        return None;
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let counts = compare(&AlertsArgs { data, seeds, first_seed: 1, rule: None, tries, keep: None }).expect("a run");
    eprintln!("{}", counts.table());
    assert!(counts.differ.is_empty(), "{}", counts.differ.join("\n"));
    Some(counts)
}

/// Every way that an alert goes has been compared.
fn assert_all_ways(counts: &Counts) {
    for way in [(Ok, Pending), (Pending, Ok), (Pending, Firing), (Ok, Firing), (Firing, Ok)] {
        assert!(counts.transitions.get(&way).is_some_and(|count| *count > 5), "{way:?}: {:?}", counts.transitions);
    }
}

#[test]
fn published_rules_fire_and_resolve_as_in_promtool() {
    let Some(counts) = compared("../core/rules/tests/files", 1, 600) else { return };
    assert_eq!(counts.missed, []);
    assert_eq!((counts.rules, counts.resolved), (86, 86));
    assert_all_ways(&counts);
}

#[test]
fn rules_of_every_form_fire_and_resolve_as_in_promtool() {
    let Some(counts) = compared("tests/it/rules", 2, 600) else { return };
    let missed: Vec<(&str, &str)> = counts
        .missed
        .iter()
        .map(|(rule, why)| {
            let why = match why {
                Missed::Labels => "labels",
                Missed::Fails(_) => "fails",
                Missed::Empty => "empty",
                Missed::Always => "always",
                Missed::Waits => "waits",
            };
            (&**rule, why)
        })
        .collect();
    let never = [
        ("never.yml:NoSuchCount", "empty"),
        ("never.yml:NoSuchLabel", "labels"),
        ("never.yml:AlwaysThere", "always"),
        ("never.yml:ManyToOne", "fails"),
    ];
    assert_eq!(missed, never);
    assert_all_ways(&counts);
}

/// What is compared would be seen if it differed: each of these changes to a unit test that passes is.
#[test]
fn promtool_sees_each_kind_of_difference() {
    if services(&["need", "promtool"]).expect("xtask runs").trim() != "yes" {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/rules/made_up.yml");
    let file = RuleFile { name: path.display().to_string(), text: fs::read_to_string(&path).expect("a rule file") };
    let set = subject::load(&file).expect("it loads");
    let all = subject::subjects(&set);
    let it = all.iter().find(|it| it.alert == "ManyErrors").expect("it is there");
    let found = find(it, &file, 1, 600).expect("it fires and resolves");
    let good: Value = serde_json::from_str(&unit_test("t", &path, &found.drawing, &found.played)).expect("JSON");
    let fires = |it: &Value| it["alertname"] == "ManyErrors" && it["exp_alerts"][0].is_object();
    let test = &good["tests"][0];
    let alert = test["alert_rule_test"].as_array().expect("a list").iter().position(fires).expect("it fires");
    let shows = |it: &Value| it["exp_samples"][1].is_object();
    let shown = test["promql_expr_test"].as_array().expect("a list").iter().position(shows).expect("it is shown");
    let (alert, shown) = (format!("/tests/0/alert_rule_test/{alert}"), format!("/tests/0/promql_expr_test/{shown}"));
    let changes = [
        (format!("{alert}/exp_alerts"), json!([])),
        (format!("{alert}/exp_alerts/0/exp_labels/severity"), json!("other")),
        (format!("{alert}/exp_alerts/0/exp_annotations/summary"), json!("other")),
        (format!("{shown}/exp_samples"), json!([])),
        (format!("{shown}/exp_samples/0/labels"), json!("ALERTS{alertname=\"Other\"}")),
        (format!("{shown}/exp_samples/1/value"), json!(1.5)),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let write = |number: usize, test: &Value| {
        let path = folder.path().join(format!("{number}.yml"));
        fs::write(&path, test.to_string()).expect("a file");
        path
    };
    let mut files = vec![write(0, &good)];
    for (number, (place, value)) in (1..).zip(&changes) {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap_or_else(|| panic!("{place} is there")) = value.clone();
        files.push(write(number, &bad));
    }
    let failing = Promtool::install().expect("it is there").failing(&files).expect("it runs");
    let failing: Vec<_> = failing.into_iter().map(|(path, _)| path).collect();
    assert_eq!(failing, files[1..]);
}
