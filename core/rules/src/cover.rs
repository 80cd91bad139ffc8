//! Which rules of a set that came into force live are *unknown*, and until when.
//!
//! A rule that reads `rate(x[5m])` and came a moment ago would judge five minutes by what happens to be there. It is left
//! alone until its value is what it would be, had the rule been there from the start. What was kept tells when that is:
//! - A series is whole from its oldest sample on: rings drop from that end only. A range is covered once it begins there.
//! - A rule of the old set that read the same matchers as far or further proves what no ring shows: that what is missing
//!   was never sent.
//! - A recording rule that is new, or unknown itself, wrote nothing before its first evaluation. Whoever may read it waits
//!   for that, and then for its own range on top. Samples that an older text of the rule wrote are history like any other.
use crate::grid::{instant_after, offset_ms};
use crate::rules::Rules;
use crate::series::{RuleSelector, RuleSeries, SelectorId};
use crate::set::{Rule, RuleKind};
use crate::state::Standing;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::facts::UnknownRule;
use faultline_model::{Millis, labels};
use faultline_promql::{MatchOp, Matcher};

/// Rounds in which waiting is handed on from recording rules to their readers. One is enough where rules stand in the
/// order in which they read each other; recording rules that read one another in a circle end here.
const ROUNDS_MAX: usize = 8;
/// Most unknown rules that a decision names; the others are counted.
const NAMED_MAX: usize = 100;
/// Nothing to wait for.
const AT_ONCE: Millis = Millis(i64::MIN);

/// A rule that may read what another records.
struct Reading {
    reader: usize,
    recorder: usize,
    /// How far back, in ms.
    history_ms: i64,
}

/// Says of a selector, by its matchers and how far back it reads, in ms, from when on all is there.
pub type Covered<'a> = dyn Fn(SelectorId, &[Matcher], i64) -> Option<Millis> + 'a;

/// A range that a rule lacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Lacking {
    /// The rule's number.
    pub rule: u32,
    /// Which series.
    pub matchers: Vec<Matcher>,
    /// How far back from now, in ms.
    pub history_ms: i64,
    /// From here on all samples are there.
    pub until: Millis,
}

impl Rules {
    /// What rules lacked when they came into force, in their order: told once.
    pub fn take_lacking(&mut self) -> Vec<Lacking> {
        core::mem::take(&mut self.lacking)
    }

    /// Says of each rule until when it is unknown, after it took the place of `old` at `at`.
    pub(crate) fn cover(&mut self, old: &Rules, at: Millis, series: &dyn RuleSeries) {
        self.take_over_recorded(old, at, series);
        let selectors = self.selectors();
        let mut known_from: Vec<Option<Millis>> =
            self.kept_from(old, &selectors, series).into_iter().map(Some).collect();
        self.hand_on(&mut known_from, at, &selectors);
        for (number, from) in known_from.into_iter().enumerate() {
            if let Some(live) = self.state_mut(number).live.as_mut().filter(|_| from > Some(at)) {
                live.standing = Standing::Unread;
            }
        }
    }

    /// Ranges of unknown rules were put back at `at`: says of each until when it is unknown now, no longer than before.
    ///
    /// - `covered`: nothing where it is not known: a rule that reads such a selector stays as it is.
    pub fn recalled(&mut self, at: Millis, covered: &Covered<'_>) {
        let selectors = self.selectors();
        let is_unknown = |number| self.state(number).unknown_until.is_some();
        let mut known_from: Vec<Option<Millis>> =
            (0..self.rules.len()).map(|number| is_unknown(number).then_some(AT_ONCE)).collect();
        for selector in &selectors {
            let known = &mut known_from[selector.id.rule as usize];
            if let Some(before) = *known {
                let from = covered(selector.id, &selector.matchers, selector.history_ms);
                *known = from.map(|from| from.max(before));
            }
        }
        let helped = (0..known_from.len()).filter(|number| known_from[*number].is_some());
        let before: Vec<_> = helped.map(|number| (number, self.state(number).unknown_until)).collect();
        for &(number, _) in &before {
            let (g, r) = self.places[number];
            let group = &self.set.groups[g];
            if group.rules[r].kind == RuleKind::Record {
                let first = first_sample(group.query_offset_ms, self.groups[g].next);
                self.state_mut(number).written_from = Some(first);
            }
        }
        self.hand_on(&mut known_from, at, &selectors);
        for (number, unknown_until) in before {
            let state = self.state_mut(number);
            if state.unknown_until > unknown_until {
                state.unknown_until = unknown_until;
            }
        }
    }

    /// Hands waiting on from recording rules to their readers, and says of each rule until when it is unknown.
    ///
    /// - `known_from`: when the ranges of each rule are covered; nothing for rules that stay as they are.
    fn hand_on(&mut self, known_from: &mut [Option<Millis>], at: Millis, selectors: &[RuleSelector]) {
        let readings = self.readings(selectors);
        for _ in 0..ROUNDS_MAX {
            let (mut left, mut moved) = (&readings[..], false);
            for (rule, known) in known_from.iter_mut().enumerate() {
                let own = left.partition_point(|reading| reading.reader == rule);
                let (own, others) = left.split_at(own);
                left = others;
                let Some(known) = known else { continue };
                for &Reading { recorder, history_ms, .. } in own {
                    let Some(written_from) = self.state(recorder).written_from else { continue };
                    // At one instant rules are evaluated in their order.
                    let after = i64::from(history_ms == 0 && recorder > rule);
                    let from = written_from.plus(history_ms).plus(after);
                    moved |= from > (*known).max(at);
                    *known = from.max(*known);
                }
                self.wait(rule, *known);
            }
            if !moved {
                break;
            }
        }
    }

    /// The rules that are unknown now, as far as a decision names them, and how many they are.
    pub(crate) fn unknown(&self) -> (Vec<UnknownRule>, u64) {
        let unknown = self.places.iter().enumerate().filter_map(|(number, &(g, r))| {
            let until = self.state(number).unknown_until?;
            let group = &self.set.groups[g];
            Some(UnknownRule { group: group.key(), rule: group.rules[r].name.as_ref().into(), until })
        });
        (unknown.clone().take(NAMED_MAX).collect(), unknown.count() as u64)
    }

    /// Leaves a rule unknown until the first instant of its group at or after `from`. Where that is the next one, there
    /// is nothing to leave out.
    fn wait(&mut self, rule: usize, from: Millis) {
        let (g, r) = self.places[rule];
        let (group, next) = (&self.set.groups[g], self.groups[g].next);
        let first =
            instant_after(from.plus(-1), offset_ms(&group.file, &group.name, group.interval_ms), group.interval_ms);
        let unknown_until = (from > next).then_some(first);
        let written_from = (group.rules[r].kind == RuleKind::Record)
            .then_some(unknown_until)
            .flatten()
            .map(|until| first_sample(group.query_offset_ms, until));
        let state = self.state_mut(rule);
        state.unknown_until = unknown_until;
        state.written_from = written_from.or(state.written_from);
    }

    /// Recording rules take over since when the series of their name and labels are written, whichever group wrote them.
    fn take_over_recorded(&mut self, old: &Rules, at: Millis, series: &dyn RuleSeries) {
        let mut written: BTreeMap<_, VecDeque<Option<Millis>>> = BTreeMap::new();
        for (number, rule) in old.recording() {
            written.entry((&*rule.name, &rule.labels)).or_default().push_back(old.state(number).written_from);
        }
        let begun = series.begun();
        let mut from = Vec::new();
        for (number, rule) in self.recording() {
            let before = written.get_mut(&(&*rule.name, &rule.labels)).and_then(VecDeque::pop_front);
            let g = self.places[number].0;
            let first = first_sample(self.set.groups[g].query_offset_ms, self.groups[g].next);
            from.push(match before {
                Some(Some(planned)) if planned > at => (number, Some(first)),
                Some(before) => (number, before),
                None => (number, begun.then_some(first)),
            });
        }
        for (number, from) in from {
            self.state_mut(number).written_from = from;
        }
    }

    /// For each rule the instant from which on all is there that its selectors read, as far as it was sent.
    fn kept_from(&mut self, old: &Rules, selectors: &[RuleSelector], series: &dyn RuleSeries) -> Vec<Millis> {
        let name = |selector: &RuleSelector| format!("{:?}", selector.matchers);
        let mut proofs: BTreeMap<String, Vec<RuleSelector>> = BTreeMap::new();
        for selector in old.selectors() {
            proofs.entry(name(&selector)).or_default().push(selector);
        }
        let mut whole: BTreeMap<String, Option<Millis>> = BTreeMap::new();
        let mut known_from = alloc::vec![AT_ONCE; self.rules.len()];
        for selector in selectors {
            let name = name(selector);
            let proofs = proofs.get(&name).into_iter().flatten();
            let proofs = proofs.filter(|proof| proof.history_ms >= selector.history_ms);
            let proven = proofs.map(|p| old.state(p.id.rule as usize).unknown_until.unwrap_or(AT_ONCE)).min();
            if proven == Some(AT_ONCE) {
                continue;
            }
            let whole_since = *whole.entry(name).or_insert_with(|| series.whole_since(&selector.matchers));
            let shown = whole_since.map_or(AT_ONCE, |since| since.plus(selector.history_ms));
            let from = proven.map_or(shown, |proven| proven.min(shown));
            let rule = &mut known_from[selector.id.rule as usize];
            *rule = from.max(*rule);
            let next = self.groups[self.places[selector.id.rule as usize].0].next;
            if let Some(until) = whole_since.filter(|_| from > next) {
                let RuleSelector { id, matchers, history_ms, .. } = selector.clone();
                self.lacking.push(Lacking { rule: id.rule, matchers, history_ms, until });
            }
        }
        known_from
    }

    /// Who may read what which recording rule writes, in the order of readers.
    fn readings(&self, selectors: &[RuleSelector]) -> Vec<Reading> {
        let mut by_name: BTreeMap<&str, Vec<(usize, &Rule)>> = BTreeMap::new();
        for (number, rule) in self.recording() {
            by_name.entry(&rule.name).or_default().push((number, rule));
        }
        let mut all = Vec::new();
        for selector in selectors {
            let reader = selector.id.rule as usize;
            let metric = selector.matchers.iter().find(|m| m.op == MatchOp::Equal && m.name == labels::NAME);
            let named = metric.map(|m| by_name.get(&*m.value).map_or(&[][..], |named| named));
            let mut look_at = |&(recorder, rule): &(usize, &Rule)| {
                if recorder != reader && may_give(rule, &selector.matchers) {
                    all.push(Reading { reader, recorder, history_ms: selector.history_ms });
                }
            };
            match named {
                Some(named) => named.iter().for_each(&mut look_at),
                None => by_name.values().flatten().for_each(&mut look_at),
            }
        }
        all
    }

    fn recording(&self) -> impl Iterator<Item = (usize, &Rule)> {
        let rules = self.set.groups.iter().flat_map(|group| &group.rules).enumerate();
        rules.filter(|(_, rule)| rule.kind == RuleKind::Record)
    }
}

/// Time of the sample that a recording rule appends at an instant; for a negative offset no earlier than what readers
/// may look for by then.
fn first_sample(query_offset_ms: i64, at: Millis) -> Millis {
    at.plus(query_offset_ms.saturating_neg().max(0))
}

/// Whether a recording rule may write a series that the matchers accept. Labels that it does not set are its result's:
/// they may be anything.
pub(crate) fn may_give(rule: &Rule, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| match &*m.name {
        labels::NAME => m.matches(&rule.name),
        name => rule.labels.iter().find(|(own, _)| own == name).is_none_or(|(_, value)| m.matches(value)),
    })
}
