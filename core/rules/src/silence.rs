//! What an alert may have lost its element to: a source that is silent, which resolves nothing.
//!
//! A rule of a `stream` group whose element goes is asked of the series that it, and the recording rules that it reads, no
//! longer see though nobody ended them. One that has the element's labels may be why it went: the alert is then unknown until
//! the series, or its end, comes. Where an expression may make labels, or takes them from several selectors, none that both
//! have may differ.
use crate::cover::may_give;
use crate::judge::Judge;
use crate::series::{RuleSeries, SelectorId, Sight};
use crate::set::{Rule, RuleKind};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::{Evaluation, Labels, Millis, labels};

/// Sets of label names that are kept apart; elements of one rule have one, or few.
const NAMES_MAX: usize = 64;

/// Lost series by the part of their labels whose names an element has too: which of those names, and their values.
type Parts = BTreeMap<Vec<usize>, BTreeSet<Vec<String>>>;

/// A series that is silent.
struct Lost {
    labels: Labels,
    /// Whether an element that was made of it has no other labels.
    whole: bool,
}

/// What is silent of what one rule reads at one instant, looked for once somebody asks.
pub(crate) struct Silence<'a> {
    judge: &'a Judge<'a>,
    series: &'a dyn RuleSeries,
    at: Millis,
    lost: Option<Vec<Lost>>,
    parts: BTreeMap<Vec<String>, Parts>,
}

impl<'a> Silence<'a> {
    pub fn new(judge: &'a Judge<'a>, series: &'a dyn RuleSeries, at: Millis) -> Silence<'a> {
        Silence { judge, series, at, lost: None, parts: BTreeMap::new() }
    }

    /// Whether silence may be why this element is no longer there.
    pub fn took(&mut self, element: &Labels) -> bool {
        if self.judge.group.evaluation == Evaluation::Grid || self.judge.rule.asks_absence {
            return false;
        }
        let (judge, series, at) = (self.judge, self.series, self.at);
        let lost = self.lost.get_or_insert_with(|| lost(judge, series, at));
        if lost.is_empty() {
            return false;
        }
        let names: Vec<String> =
            element.iter().map(|(name, _)| name).filter(|name| *name != labels::NAME).map(String::from).collect();
        if self.parts.len() >= NAMES_MAX && !self.parts.contains_key(&names) {
            self.parts.clear();
        }
        let parts = self.parts.entry(names).or_insert_with_key(|names| parts(lost, names));
        let values: Vec<&str> =
            element.iter().filter(|(name, _)| *name != labels::NAME).map(|(_, value)| value).collect();
        parts.iter().any(|(shared, known)| {
            known.contains(&shared.iter().map(|&place| String::from(values[place])).collect::<Vec<String>>())
        })
    }
}

fn parts(lost: &[Lost], names: &[String]) -> Parts {
    let mut parts = Parts::new();
    for Lost { labels, whole } in lost {
        let shared: Vec<usize> = (0..names.len()).filter(|&place| !labels.get(&names[place]).is_empty()).collect();
        if *whole && shared.len() < names.len() {
            continue;
        }
        let values = shared.iter().map(|&place| String::from(labels.get(&names[place]))).collect();
        parts.entry(shared).or_default().insert(values);
    }
    parts
}

/// All that is silent of what a rule reads, itself or through recording rules.
fn lost(judge: &Judge<'_>, series: &dyn RuleSeries, at: Millis) -> Vec<Lost> {
    let groups = &judge.set.groups;
    let rules: Vec<(i64, &Rule)> =
        groups.iter().flat_map(|group| group.rules.iter().map(|rule| (group.query_offset_ms, rule))).collect();
    let (mut all, mut seen) = (Vec::new(), BTreeSet::from([judge.number as usize]));
    let mut waiting = Vec::from([(judge.number as usize, true)]);
    while let Some((number, whole)) = waiting.pop() {
        let (query_offset_ms, rule) = rules[number];
        let whole = whole && rule.expr.only_drops_labels();
        for (index, selector) in rule.expr.selectors().iter().enumerate() {
            // What is read at one instant for ever does not fall silent.
            if selector.at.is_some() {
                continue;
            }
            let seen_at = at.plus(query_offset_ms.saturating_add(selector.offset).saturating_neg());
            let sight = Sight::new(seen_at, selector.range, judge.options.lookback_ms);
            let own = if rule.kind == RuleKind::Record { &rule.labels[..] } else { &[] };
            series.silent(SelectorId { rule: number as u32, index: index as u32 }, sight, &mut |labels| {
                let mut builder = labels.to_builder();
                for (name, value) in own {
                    builder.set(name, value);
                }
                all.push(Lost { labels: builder.build(), whole });
            });
            for (other, (_, recorder)) in rules.iter().enumerate() {
                let reads = recorder.kind == RuleKind::Record && may_give(recorder, &selector.matchers);
                if reads && seen.insert(other) {
                    waiting.push((other, whole));
                }
            }
        }
    }
    all
}
