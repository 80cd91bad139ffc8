//! The rules of workload FL-1 as issue 3 scales it: 1,000 thresholds, 300 rates, 60 absences, and those that crossings meet.
//!
//! None but the crossings' ever fires: what is measured is what watching costs.
use crate::load::{CROSSING_LANE, CROSSING_METRIC, GAUGE, Population, Random, Scope};
use std::fmt::Write;

const THRESHOLDS: u32 = 1000;
const RATES: u32 = 300;
const ABSENCES: u32 = 60;
/// Rules of a group: Prometheus evaluates a group's rules in turn, so nobody makes one of a thousand.
const GROUP: u32 = 20;
/// How much a rule selects, and how many of a hundred rules do: about one rule watches each series in the mean.
const SCOPES: [(Scope, u32); 5] =
    [(Scope::Replica, 40), (Scope::Service, 30), (Scope::Team, 20), (Scope::Site, 7), (Scope::Region, 3)];

/// Rules in the file, those of crossings apart.
pub const COUNT: u32 = THRESHOLDS + RATES + ABSENCES;

/// The rule file.
///
/// - `crossings`: how many crossing series there will be.
pub fn file(population: &Population, crossings: u32) -> String {
    let mut random = Random(0x0a1e);
    let mut out = String::from("# Written by faultline-bench.\ngroups:\n");
    group(&mut out, "thresholds", THRESHOLDS, |i, out| {
        let limit = 95 + i % 5;
        let series = selector(population, &mut random, 0);
        let _ = write!(out, "Threshold{i:04}\n    expr: {series} > {limit}\n    for: 30s\n");
    });
    group(&mut out, "rates", RATES, |i, out| {
        let series = selector(population, &mut random, 1);
        let _ = write!(out, "Rate{i:04}\n    expr: rate({series}[1m]) > 1000000\n    for: 30s\n");
    });
    group(&mut out, "absences", ABSENCES, |i, out| {
        let series = selector(population, &mut random, i % 2);
        let _ = write!(out, "Absent{i:04}\n    expr: absent({series})\n    for: 5m\n");
    });
    group(&mut out, "crossings", crossings.div_ceil(CROSSING_LANE), |i, out| {
        let _ = write!(out, "Crossing{i:04}\n    expr: {CROSSING_METRIC}{{lane=\"{i}\"}} > 0.5\n");
    });
    out
}

/// Groups of `count` rules; `rule` writes the name of the `i`th and what follows it.
fn group(out: &mut String, name: &str, count: u32, mut rule: impl FnMut(u32, &mut String)) {
    for i in 0..count {
        if i % GROUP == 0 {
            let _ = writeln!(out, "- name: {name}-{}\n  rules:", i / GROUP);
        }
        out.push_str("  - alert: ");
        rule(i, out);
    }
}

/// A selector of 1 to 1,000 series of a gauge (`kind` 0) or counter (1).
fn selector(population: &Population, random: &mut Random, kind: u32) -> String {
    let place = loop {
        let id = random.below(population.series);
        if (population.place(id).metric + GAUGE) % 2 == kind {
            break id;
        }
    };
    let mut luck = random.below(100);
    let scope = SCOPES.iter().find(|(_, share)| {
        let hit = luck < *share;
        luck = luck.saturating_sub(*share);
        hit
    });
    let scope = scope.expect("the shares are of a hundred").0;
    let name = population.series_name(population.place(place).metric);
    format!("{name}{{{}}}", population.matchers(place, scope))
}
