//! Alerting rules whose past can be looked at again, by the name of their alert.
//!
//! Alerts are told apart by group, name and labels, not by the rule that raises them: rules of one name are looked at together.
use crate::grid::{instant_at_or_before, offset_ms};
use crate::judge::alert_id;
use crate::rules::Rules;
use crate::series::SelectorId;
use crate::set::{Group, RuleKind, RuleSet};
use crate::view::ActiveAlert;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::{AlertId, Evaluation, Millis};
use faultline_promql::Options;

/// `file;group` and the alert's name.
pub type UnitKey = (String, String);

/// Alerting rules of one name in a group.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Place of the group in the set.
    pub group: usize,
    /// Time between evaluations, in ms.
    pub interval_ms: i64,
    /// Whether its group is a `stream` one.
    pub streams: bool,
    /// How far its instants lie behind the multiples of its interval, in ms.
    offset_ms: i64,
    /// Whether it is tried only.
    pub dry_run: bool,
    /// Whether missing data can make an expression hold.
    pub asks_absence: bool,
    /// The longest `keep_firing_for`, in ms.
    pub keep_firing_for_ms: i64,
    /// Whether some selector reads at a fixed instant.
    pub is_fixed: bool,
    /// What the rules read.
    pub reads: Vec<Reads>,
    /// Places of the rules in the group.
    rules: Vec<usize>,
}

/// A selector, and which instants see a sample.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    /// The selector.
    pub selector: SelectorId,
    /// The first instant that sees it lies this long after a sample, in ms; negative for before.
    pub first_ms: i64,
    /// The last lies this long after it at most, in ms.
    pub last_ms: i64,
}

impl Rules {
    /// Those of the rules in force.
    ///
    /// - `streams`: whether rules of `stream` groups are among them.
    pub fn units(&self, streams: bool) -> BTreeMap<UnitKey, Unit> {
        let mut all: BTreeMap<UnitKey, Unit> = BTreeMap::new();
        for (number, &(g, r)) in self.places.iter().enumerate() {
            let (group, rule) = (&self.set.groups[g], &self.set.groups[g].rules[r]);
            let RuleKind::Alert(alerting) = &rule.kind else { continue };
            if group.evaluation != Evaluation::Grid && !streams {
                continue;
            }
            let unit = all.entry((group.key(), rule.name.to_string())).or_insert_with(|| Unit {
                group: g,
                interval_ms: group.interval_ms,
                streams: group.evaluation != Evaluation::Grid,
                offset_ms: offset_ms(&group.file, &group.name, group.interval_ms),
                dry_run: group.dry_run,
                asks_absence: false,
                keep_firing_for_ms: 0,
                is_fixed: false,
                reads: Vec::new(),
                rules: Vec::new(),
            });
            unit.rules.push(r);
            unit.asks_absence |= rule.asks_absence;
            unit.keep_firing_for_ms = unit.keep_firing_for_ms.max(alerting.keep_firing_for_ms);
            for (index, selector) in rule.expr.selectors().iter().enumerate() {
                let (history, offset) = (selector.history_ms(), group.query_offset_ms);
                unit.is_fixed |= history.is_none();
                let selector_id = SelectorId { rule: number as u32, index: index as u32 };
                let history = history.unwrap_or(i64::MAX / 4);
                unit.reads.push(Reads {
                    selector: selector_id,
                    first_ms: selector.offset.min(0).saturating_add(offset.min(0)),
                    last_ms: history.saturating_add(Options::default().lookback_ms).saturating_add(offset).max(0),
                });
            }
        }
        all
    }

    /// The rules of a unit as a set of their own, in which nothing else stands that their alerts hang on.
    pub fn unit_set(&self, unit: &Unit) -> RuleSet {
        let group = &self.set.groups[unit.group];
        let mut rules: Vec<_> = unit.rules.iter().map(|r| group.rules[*r].clone()).collect();
        // Where it stands in the file changes nothing.
        rules.iter_mut().for_each(|rule| rule.line = 0);
        RuleSet {
            groups: Vec::from([Group {
                file: group.file.clone(),
                name: group.name.clone(),
                interval_ms: group.interval_ms,
                query_offset_ms: group.query_offset_ms,
                limit: group.limit,
                evaluation: group.evaluation,
                dry_run: group.dry_run,
                rules,
            }]),
            external_labels: self.set.external_labels.clone(),
            external_url: self.set.external_url.clone(),
            features: self.set.features,
        }
    }

    /// The instant at which a unit was evaluated last.
    pub fn unit_last(&self, unit: &Unit) -> Option<Millis> {
        self.groups[unit.group].last
    }

    /// The instant until which a rule of a unit is unknown.
    pub fn unit_unknown_until(&self, unit: &Unit) -> Option<Millis> {
        let numbers = unit.reads.iter().map(|reads| reads.selector.rule as usize);
        numbers.filter_map(|number| self.state(number).unknown_until).max()
    }

    /// Active alerts of a unit.
    pub fn unit_active<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = AlertId> + 'a {
        let first = self.places.partition_point(|(group, _)| *group < unit.group);
        let (group, key) = (&self.set.groups[unit.group], self.set.groups[unit.group].key());
        let all =
            unit.rules.iter().flat_map(move |r| self.state(first + r).alerts.keys().map(move |labels| (*r, labels)));
        all.map(move |(r, labels)| alert_id(self.tenant, &key, &group.rules[r].name, labels))
    }

    /// Active alerts of all units.
    ///
    /// - `streams`: whether rules of `stream` groups are among those.
    pub fn active_of_units(&self, streams: bool) -> impl Iterator<Item = ActiveAlert> + '_ {
        self.active().filter(move |alert| {
            let (g, _) = self.places[alert.rule as usize];
            streams || self.set.groups[g].evaluation == Evaluation::Grid
        })
    }
}

impl Unit {
    /// The latest instant of its group at or before `at`.
    pub fn instant_at_or_before(&self, at: Millis) -> Millis {
        instant_at_or_before(at, self.offset_ms, self.interval_ms)
    }
}
