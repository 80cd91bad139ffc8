//! In which order rules are tried, from when on, and which of them one instant after the other.
use crate::rules::circles::components;
use faultline_model::Millis;
use faultline_promql::{MatchOp, Options, Selector};
use faultline_rules::{Reading, RuleKind, Trial, readings};
use std::collections::BTreeMap;

/// Rules that are evaluated together: mostly one.
#[derive(Debug)]
pub struct Unit {
    /// Their numbers, rising.
    pub rules: Vec<usize>,
    /// Whether one instant comes after the other: they read each other, or look at what is not there yet.
    pub by_steps: bool,
    /// The units whose series they read, all of them before this one.
    pub reads: Vec<usize>,
    /// Units whose `level` is the same read nothing of each other, and of lower levels alone.
    pub level: usize,
    /// The first instant at which they are evaluated.
    pub begin: Millis,
    /// How long what they append is to be kept, in ms; nothing where nobody else reads it.
    pub kept_ms: Option<i64>,
}

/// The units, writers before readers. Recording rules that no alert depends on are in none.
///
/// - `first`: time of the oldest sample.
/// - `from`: when firings begin to count.
pub fn units(trials: &[Trial], set: &faultline_rules::RuleSet, first: Millis, from: Millis) -> Vec<Unit> {
    let mut reads: BTreeMap<usize, Vec<Reading>> = BTreeMap::new();
    for reading in readings(set) {
        reads.entry(reading.reader).or_default().push(reading);
    }
    let mut units: Vec<Unit> = Vec::new();
    let mut unit_of: BTreeMap<usize, usize> = BTreeMap::new();
    for rules in together(trials, &reads) {
        let own = |rule: usize| rules.binary_search(&rule).is_ok();
        let read = || rules.iter().filter_map(|rule| reads.get(rule)).flatten();
        let by_steps =
            read().any(|reading| own(reading.writer)) || rules.iter().any(|rule| is_of_its_instant(&trials[*rule]));
        let mut others: Vec<usize> = read().filter_map(|it| unit_of.get(&it.writer)).copied().collect();
        others.sort();
        others.dedup();
        let level = others.iter().map(|unit| units[*unit].level + 1).max().unwrap_or(0);
        unit_of.extend(rules.iter().map(|rule| (*rule, units.len())));
        units.push(Unit { rules, by_steps, reads: others, level, begin: Millis(i64::MAX), kept_ms: None });
    }
    for number in (0..units.len()).rev() {
        let mut begin = units[number].begin;
        let mut back = 0;
        for trial in units[number].rules.iter().map(|rule| &trials[*rule]) {
            if let Some(own) = warm_up_ms(trial).filter(|_| !units[number].by_steps) {
                let interval = trial.group().interval_ms;
                let own = from.plus(own.saturating_add(interval.saturating_mul(2)).saturating_neg());
                begin = if trial.rule().kind == RuleKind::Record { begin } else { begin.min(own) };
            } else {
                begin = first;
            }
            let selectors = trial.rule().expr.selectors();
            back = selectors.iter().map(|it| back_ms(it, trial)).max().unwrap_or(0).max(back);
        }
        units[number].begin = begin.max(first);
        for read in units[number].reads.clone() {
            let unit = &mut units[read];
            unit.begin = unit.begin.min(begin.plus(back.saturating_neg()));
            unit.kept_ms = unit.kept_ms.max(Some(back));
        }
    }
    units
}

/// How far before an instant a selector looks, in ms, the look-back included.
pub fn back_ms(selector: &Selector, trial: &Trial) -> i64 {
    // What reads at a fixed instant reads what the pieces before left, and that is all.
    let history = selector.history_ms().unwrap_or(i64::MAX / 4);
    history.saturating_add(Options::default().lookback_ms).saturating_add(trial.group().query_offset_ms.max(0))
}

/// How long before an instant a rule must have been evaluated so that its alerts are what they would be, had it been there
/// for ever; nothing where no length does.
fn warm_up_ms(trial: &Trial) -> Option<i64> {
    let for_state = |selector: &Selector| {
        let named = |m: &faultline_promql::Matcher| m.op == MatchOp::Equal && m.name == "__name__";
        let other = selector.matchers.iter().find(|m| named(m)).is_some_and(|m| m.value != "ALERTS_FOR_STATE");
        !other && selector.matchers.iter().all(|m| m.name != "__name__" || m.matches("ALERTS_FOR_STATE"))
    };
    let selectors = trial.rule().expr.selectors();
    if selectors.iter().any(|it| it.history_ms().is_none() || for_state(it)) {
        return None;
    }
    match &trial.rule().kind {
        RuleKind::Record => Some(0),
        // An alert that is kept firing may have begun at any time.
        RuleKind::Alert(alerting) => (alerting.keep_firing_for_ms == 0).then_some(alerting.for_ms),
    }
}

/// Whether a rule's value at an instant can be told at that instant alone.
fn is_of_its_instant(trial: &Trial) -> bool {
    trial.rule().expr.is_of_its_instant() || trial.group().query_offset_ms < 0
}

/// The rules that alerts depend on, by which of them must be evaluated together: those that read each other in a circle, or
/// before it is written. Writers come before their readers.
fn together(trials: &[Trial], reads: &BTreeMap<usize, Vec<Reading>>) -> Vec<Vec<usize>> {
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); trials.len()];
    for reading in reads.values().flatten() {
        edges[reading.reader].push(reading.writer);
        if !reading.in_order || is_of_its_instant(&trials[reading.reader]) {
            edges[reading.writer].push(reading.reader);
        }
    }
    let alerts = (0..trials.len()).filter(|rule| trials[*rule].rule().kind != RuleKind::Record);
    components(&edges, alerts)
}
