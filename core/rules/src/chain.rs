//! Which rules of a set may read what which others append, and whether it is there when they do.
use crate::cover::may_give;
use crate::grid::offset_ms;
use crate::set::{Group, Rule, RuleKind, RuleSet};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use faultline_model::labels;
use faultline_promql::Matcher;

/// The series of alerting rules.
const ALERTS: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// One rule may read what another appends. Rules are numbered through the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading {
    /// Who reads.
    pub reader: usize,
    /// Who appends; may be the same.
    pub writer: usize,
    /// Whether every sample of the writer that the reader's time has reached was appended when the reader is evaluated.
    pub in_order: bool,
}

/// All pairs of rules of which one reads what the other appends, by reader and writer.
pub fn reads(set: &RuleSet) -> Vec<Reading> {
    let rules = numbered(set);
    let mut found = Vec::new();
    each_read(&rules, &by_name(&rules), &mut |reading| found.push(reading));
    found.sort();
    found.dedup_by_key(|it| (it.reader, it.writer));
    found
}

/// All pairs of rules that read each other, or append to the same series that somebody reads, by reader and writer.
///
/// Two rules that may append to the same series are said to read one another, out of order: of two samples of one time the first counts.
pub fn readings(set: &RuleSet) -> Vec<Reading> {
    let rules = numbered(set);
    let by_name = by_name(&rules);
    let (mut found, mut read) = (Vec::new(), BTreeSet::new());
    each_read(&rules, &by_name, &mut |reading| {
        read.insert(reading.writer);
        found.push(reading);
    });
    for &first in &read {
        let a = rules[first].2;
        let name = if a.kind == RuleKind::Record { &a.name } else { ALERTS[0] };
        let others = by_name.get(name).into_iter().flatten().copied();
        for second in others.filter(|second| *second != first && same_series(a, rules[*second].2)) {
            found.push(Reading { reader: first, writer: second, in_order: false });
        }
    }
    found.sort();
    found.dedup_by_key(|it| (it.reader, it.writer));
    found
}

/// Rules in the order of their numbers, each with its group and that group's place.
fn numbered(set: &RuleSet) -> Vec<(usize, &Group, &Rule)> {
    let groups = set.groups.iter().enumerate();
    groups.flat_map(|(g, group)| group.rules.iter().map(move |rule| (g, group, rule))).collect()
}

fn each_read(rules: &[(usize, &Group, &Rule)], by_name: &BTreeMap<&str, Vec<usize>>, visit: &mut dyn FnMut(Reading)) {
    for (reader, (reader_group, reads, rule)) in rules.iter().enumerate() {
        for selector in rule.expr.selectors() {
            let named = selector.metric().map(|name| by_name.get(name).map_or(&[][..], |named| named));
            let mut look_at = |writer: usize| {
                let (writer_group, writes, other) = &rules[writer];
                if may_append(other, &selector.matchers) {
                    let in_order = match reader_group == writer_group {
                        true => writer < reader,
                        // Of one instant the group that stands first goes first.
                        false => {
                            writes.query_offset_ms <= reads.query_offset_ms
                                && (writer_group < reader_group || !may_coincide(reads, writes))
                        }
                    };
                    visit(Reading { reader, writer, in_order });
                }
            };
            match named {
                Some(named) => named.iter().for_each(|writer| look_at(*writer)),
                None => (0..rules.len()).for_each(&mut look_at),
            }
        }
    }
}

/// Rules by the names of the series that they append to.
fn by_name<'a>(rules: &[(usize, &Group, &'a Rule)]) -> BTreeMap<&'a str, Vec<usize>> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, (.., rule)) in rules.iter().enumerate() {
        match rule.kind {
            RuleKind::Record => by_name.entry(&rule.name).or_default().push(number),
            RuleKind::Alert(_) => ALERTS.iter().for_each(|name| by_name.entry(name).or_default().push(number)),
        }
    }
    by_name
}

/// Whether two groups have an instant in common.
fn may_coincide(a: &Group, b: &Group) -> bool {
    let offset = |it: &Group| offset_ms(&it.file, &it.name, it.interval_ms);
    let (mut divisor, mut rest) = (a.interval_ms, b.interval_ms);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (offset(a) - offset(b)) % divisor == 0
}

/// Whether a rule may append to a series that the matchers accept.
fn may_append(rule: &Rule, matchers: &[Matcher]) -> bool {
    match rule.kind {
        RuleKind::Record => may_give(rule, matchers),
        // An alert's labels are its element's, and what templates make.
        RuleKind::Alert(_) => matchers.iter().all(|m| match &*m.name {
            labels::NAME => ALERTS.iter().any(|name| m.matches(name)),
            "alertname" => m.matches(&rule.name),
            _ => true,
        }),
    }
}

/// Whether two rules may append to one series.
fn same_series(a: &Rule, b: &Rule) -> bool {
    if (a.kind == RuleKind::Record) != (b.kind == RuleKind::Record) || a.name != b.name {
        return false;
    }
    let differs = |(name, value): &(_, _)| b.labels.iter().any(|(other, its)| other == name && its != value);
    a.kind != RuleKind::Record || !a.labels.iter().any(differs)
}
