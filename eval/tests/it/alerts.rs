//! A sample of what `cargo xtask eval alerts --data ../shared/data/alert-rules` compares: rule files that ship.
use faultline_eval::alerts::search::Missed;
use faultline_eval::alerts::{AlertsArgs, Counts, compare};
use faultline_eval::promql::prometheus::services;
use faultline_model::facts::AlertState::{Firing, Ok, Pending};
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
    let Some(counts) = compared("tests/it/rules", 3, 600) else { return };
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
