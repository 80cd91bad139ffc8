//! The stream law's last sentence: a rule added or edited live has, once it is known, the value of the same rule there
//! from the start, bit for bit.
use crate::dice::Dice;
use crate::store::labels;
use crate::story::Story;
use faultline_model::{Labels, Millis, Sample};
use std::collections::BTreeSet;

/// Rules by group; those that read what others record stand before and behind them.
const RULES: [(&str, &[&str]); 2] = [
    (
        "- name: g\n  interval: 5s\n  rules:\n",
        &[
            "{alert: First, expr: total > 1}",
            "{record: total, expr: sum(x)}",
            "{record: steep, expr: 'rate(c[20s])'}",
            "{alert: High, expr: 'max_over_time(x[15s]) > 5'}",
            "{alert: Rate, expr: 'rate(c[40s]) > 0.2', labels: {l: '{{ if gt $value 2.0 }}a{{ end }}'}}",
            "{alert: Few, expr: 'count_over_time(x[30s]) < 8'}",
            "{alert: Gone, expr: 'absent_over_time(y[20s])'}",
            "{alert: Now, expr: x > 3}",
            "{alert: All, expr: sum by (i) (x) + 1 > 3}",
            "{alert: Before, expr: x offset 25s > 3}",
            "{alert: Total, expr: 'avg_over_time(total[25s]) > 1'}",
            "{alert: Steep, expr: 'max_over_time(steep[15s]) > 0.1'}",
            "{alert: Sub, expr: 'max_over_time(rate(c[10s])[20s:5s]) > 0'}",
            "{alert: Shifted, expr: 'sum_over_time(shifted[16s]) > 0'}",
        ],
    ),
    (
        "- name: h\n  interval: 4s\n  query_offset: 3s\n  rules:\n",
        &[
            "{alert: Behind, expr: 'avg_over_time(total[12s]) > 1'}",
            "{record: shifted, expr: 'count_over_time(x[10s])'}",
        ],
    ),
];
/// As long as the longest chain of ranges looks back, and more.
const REACH_MS: i64 = 60_000;

/// The rules, each as `choose` has it.
fn file(stream: bool, mut choose: impl FnMut(&str) -> Option<String>) -> String {
    let mut text = String::from(if stream { "rules stream\ngroups:\n" } else { "rules\ngroups:\n" });
    for (head, rules) in RULES {
        text.push_str(head);
        // A group without rules is one of which nothing is left.
        text.push_str("  - {alert: Stays, expr: never > 0}\n");
        rules.iter().filter_map(|rule| choose(rule)).for_each(|rule| text.push_str(&format!("  - {rule}\n")));
    }
    text + "end\n"
}

/// Rules that are known and were evaluated after `loaded`.
fn known(story: &Story, loaded: Millis) -> BTreeSet<String> {
    let rules = story.rules.groups().into_iter().flat_map(|group| group.rules);
    let known = rules.filter(|r| r.unknown_until.is_none() && r.record.last_at.is_some_and(|at| at > loaded));
    known.map(|rule| rule.name.to_string()).collect()
}

/// What some rules hold, and what they recorded at `at` or since.
fn values(story: &Story, of: &BTreeSet<String>, since: Millis) -> BTreeSet<(String, Labels, i64, u64)> {
    let held = story.rules.active().filter(|a| of.contains(&a.name)).map(|a| (a.name, a.labels, 0, a.value.to_bits()));
    let recorded = story.written.iter().rev().take_while(|(_, sample)| sample.time() >= since.plus(-5_000));
    // What was not there before needs no marker that it has gone.
    let recorded = recorded.filter(|(labels, sample)| of.contains(labels.name()) && !sample.is_stale());
    let recorded = recorded.filter(|(_, sample)| sample.time() >= since);
    let recorded =
        recorded.map(|(labels, sample)| (String::new(), labels.clone(), sample.time().0, sample.value().to_bits()));
    held.chain(recorded).collect()
}

/// Plays one story twice, with all rules from the start and with some of them added or edited at some time. Says how many
/// rules were unknown at first.
fn check(seed: u64, stream: bool) -> usize {
    let mut dice = Dice(seed);
    let (mut whole, mut added) = (Story::new(false), Story::new(seed % 2 == 1));
    whole.tell(&file(stream, |rule| Some(rule.into())));
    let before = file(stream, |rule| match dice.roll(3) {
        0 => Some(rule.into()),
        // An edited alert; what an edited recording rule wrote before stays what it was.
        1 if rule.starts_with("{alert") => Some(format!("{}, expr: 'x > 1'}}", rule.split(',').next().unwrap())),
        _ => None,
    });
    added.tell(&before);
    let start = whole.rules.groups()[0].next_at;
    let loaded = start.plus(dice.roll(60_000) as i64 + 1);
    let (mut at, mut pending, mut unknown, mut out) = (start, true, 0, String::new());
    let mut counts = [0.0_f64; 3];
    while at < loaded.plus(2 * REACH_MS) {
        at = at.plus(dice.roll(3_000) as i64 + 1);
        if pending && at > loaded {
            for story in [&mut whole, &mut added] {
                story.step_to(loaded, &mut out);
                story.tell(&file(stream, |rule| Some(rule.into())));
            }
            let rules = added.rules.groups().into_iter().flat_map(|group| group.rules);
            unknown = rules.filter(|rule| rule.unknown_until.is_some()).count();
            pending = false;
        }
        while let Some(due) = whole.rules.due().filter(|due| *due < at) {
            assert_eq!(added.rules.due().map(|own| own <= due), Some(true), "seed {seed}: the same grid");
            whole.step_to(due, &mut out);
            added.step_to(due, &mut out);
            if !pending {
                let of = known(&added, loaded);
                let what = format!("seed {seed}, stream {stream}, {} ms after the load", due.since(loaded));
                assert_eq!(values(&whole, &of, due), values(&added, &of, due), "{what}");
            }
        }
        let i = dice.roll(3) as usize;
        counts[i] += dice.roll(9) as f64;
        let name = ["x", "x", "c", "c", "y"][dice.roll(if at < loaded { 5 } else { 4 }) as usize];
        let series = labels(&format!("{name}{{i=\"{i}\"}}"));
        let sample = match (name, dice.roll(12)) {
            (_, 0) => Sample::stale(at),
            ("c", _) => Sample::new(at, counts[i]),
            _ => Sample::new(at, dice.roll(10) as f64),
        };
        whole.sample(at, &series, sample, &mut out);
        added.sample(at, &series, sample, &mut out);
        if stream && !pending {
            let of = known(&added, loaded);
            assert_eq!(values(&whole, &of, at), values(&added, &of, at), "seed {seed}, at a sample");
        }
    }
    assert_eq!(known(&added, loaded).len(), RULES.iter().map(|(_, rules)| rules.len()).sum::<usize>() + 1);
    unknown
}

#[test]
fn once_known_a_rule_added_live_is_as_one_from_the_start() {
    let unknown: usize = (0..60).map(|seed| check(seed, false) + check(seed, true)).sum();
    println!("{unknown} rules were unknown at first");
    assert!(unknown > 300, "{unknown}: most loads leave something unknown");
}
