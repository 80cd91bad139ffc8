//! Rules tried on a past that is there as a whole: somebody evaluates their expressions, here values become alerts and series.
//!
//! What is done at each instant is what [`crate::Rules`] does at it. Instants without elements at which nothing is active
//! are passed over, and the series of a recording rule are made of whole columns: the same as one instant after the other.
use crate::grid::{instant_after, instant_at_or_before, offset_ms};
use crate::judge::Judge;
use crate::resume::resumed;
use crate::series::{RuleSeries, SelectorId, elements};
use crate::set::{Group, Rule, RuleKind, RuleSet};
use crate::state::{RuleState, Timers};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use faultline_model::facts::Transition;
use faultline_model::{AlertId, HistogramSample, Labels, Millis, Position, Sample, TenantId};
use faultline_promql::{Column, Element, Matcher, Options, SeriesView, Value};

/// One rule and what it remembers.
#[derive(Clone, Debug)]
pub struct Trial {
    set: Arc<RuleSet>,
    group: usize,
    rule: usize,
    number: u32,
    shown: bool,
    state: RuleState,
    options: Options,
    /// Evaluations, and of those the ones that failed.
    counted: (u64, u64),
    /// Why the last of those failed.
    failed: Option<String>,
}

/// What was appended to a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// Rising time, stale markers in it.
    pub samples: Vec<Sample>,
    /// The same of histograms.
    pub histograms: Vec<HistogramSample>,
}

/// What comes of a rule's values.
#[derive(Debug, Default)]
pub struct Came {
    /// Changes of alerts, in time order.
    pub transitions: Vec<Transition>,
    /// Samples of series that others may read.
    pub appended: BTreeMap<Labels, Appended>,
    /// A template asked a question of its own (`query`), which was answered with nothing.
    pub queried: Cell<bool>,
}

impl Trial {
    /// The rules of a set, in its order, each with nothing remembered. Annotations are left out: no alert depends on them.
    pub fn all(mut set: RuleSet) -> Vec<Trial> {
        for rule in set.groups.iter_mut().flat_map(|group| &mut group.rules) {
            if let RuleKind::Alert(alerting) = &mut rule.kind {
                (alerting.annotations, alerting.templates) = Default::default();
            }
        }
        let set = Arc::new(set);
        let places = set.groups.iter().enumerate().flat_map(|(g, group)| (0..group.rules.len()).map(move |r| (g, r)));
        let trial = |(number, (group, rule))| Trial {
            set: set.clone(),
            group,
            rule,
            number,
            shown: false,
            state: RuleState::default(),
            options: Options::default(),
            counted: (0, 0),
            failed: None,
        };
        (0_u32..).zip(places).map(trial).collect()
    }

    /// Of an alerting rule: appends `ALERTS` and its like, because somebody reads them.
    pub fn show(&mut self) {
        self.shown = true;
    }

    /// The rule's group.
    pub fn group(&self) -> &Group {
        &self.set.groups[self.group]
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.group().rules[self.rule]
    }

    /// The rule as a set of its own.
    pub fn alone(&self) -> RuleSet {
        let group = Group { rules: Vec::from([self.rule().clone()]), ..self.group().clone() };
        RuleSet { groups: Vec::from([group]), ..(*self.set).clone() }
    }

    /// How often it was evaluated.
    pub fn evaluations(&self) -> u64 {
        self.counted.0
    }

    /// How often that failed, and why the last time.
    pub fn failures(&self) -> Option<(u64, &str)> {
        Some((self.counted.1, self.failed.as_deref()?))
    }

    /// The instants of its group within `from..=to`.
    pub fn instants(&self, from: Millis, to: Millis) -> Vec<Millis> {
        let group = self.group();
        let offset = offset_ms(&group.file, &group.name, group.interval_ms);
        let first = instant_after(from.plus(-1), offset, group.interval_ms);
        let next = |at: &Millis| Some(at.plus(group.interval_ms));
        core::iter::successors(Some(first), next).take_while(|at| *at <= to).collect()
    }

    /// The same, without those that a server passed over.
    ///
    /// - `gaps`: stretches in which nothing ran, first instant excluded: of each the latest instant was made up for.
    pub fn instants_but(&self, from: Millis, to: Millis, gaps: &[(Millis, Millis)]) -> Vec<Millis> {
        let group = self.group();
        let offset = offset_ms(&group.file, &group.name, group.interval_ms);
        let mut all = self.instants(from, to);
        for &(begin, end) in gaps {
            let made_up_for = instant_at_or_before(end, offset, group.interval_ms);
            all.retain(|at| *at <= begin || *at >= made_up_for);
        }
        all
    }

    /// Begins with an alert that is active. False where its labels are none that the rule's alerts can leave with.
    ///
    /// - `labels`: as they leave.
    pub fn resume(&mut self, alert: AlertId, labels: &Labels, active_at: Millis, fires: bool) -> bool {
        let resumed = resumed(&self.set, self.group(), self.rule(), alert, labels, active_at, fires);
        let Some((own, alert)) = resumed else { return false };
        self.state.alerts.insert(own, alert);
        true
    }

    /// Takes the rule's value at an instant, or why there is none.
    pub fn take(&mut self, at: Millis, value: Result<Value, String>, came: &mut Came) {
        self.take_elements(at, value.and_then(elements), came);
    }

    fn take_elements(&mut self, at: Millis, value: Result<Vec<Element>, String>, came: &mut Came) {
        let mut state = core::mem::take(&mut self.state);
        let mut transitions = core::mem::take(&mut came.transitions);
        let result = value.and_then(|elements| {
            let judge = self.judge(at);
            judge.given(&mut state, &mut Timers::new(), at, elements, self.shown, came, &mut transitions)
        });
        self.counted = (self.counted.0 + 1, self.counted.1 + u64::from(result.is_err()));
        if let Err(why) = &result {
            self.failed = Some(why.clone());
        }
        (self.state, came.transitions) = (state, transitions);
    }

    /// Takes the rule's values at these instants.
    pub fn take_columns(&mut self, instants: &[Millis], columns: &[Column], came: &mut Came) {
        if self.rule().kind == RuleKind::Record && self.record_columns(instants, columns, came).is_some() {
            return;
        }
        let mut present = alloc::vec![Vec::new(); instants.len()];
        for (number, column) in columns.iter().enumerate() {
            let there = |place: &usize| column.float(*place).is_some() || column.at(*place).is_some();
            (0..instants.len()).filter(there).for_each(|place| present[place].push(number));
        }
        for ((place, at), present) in instants.iter().enumerate().zip(present) {
            if present.is_empty() && self.state.alerts.is_empty() && self.state.appended.is_empty() {
                self.counted.0 += 1;
                continue;
            }
            let element = |number: usize| {
                let value = columns[number].at(place)?;
                Some(Element { labels: columns[number].labels().clone(), value })
            };
            self.take_elements(*at, Ok(present.into_iter().filter_map(element).collect()), came);
        }
    }

    /// The series of a recording rule, column by column; nothing where it has to be looked at what there is at each instant.
    fn record_columns(&mut self, instants: &[Millis], columns: &[Column], came: &mut Came) -> Option<()> {
        let (Some(first), Some(last)) = (instants.first(), instants.last()) else { return Some(()) };
        let judge = self.judge(*last);
        let labels: Vec<Labels> = columns.iter().map(|column| judge.recorded_as(column.labels())).collect();
        let different: BTreeSet<&Labels> = labels.iter().collect();
        if self.group().limit > 0 || different.len() < labels.len() || columns.iter().any(Column::has_histograms) {
            return None;
        }
        let offset = self.group().query_offset_ms;
        let mut appended = BTreeMap::new();
        for gone in self.state.appended.keys().filter(|labels| !different.contains(labels)) {
            came.append(gone, Sample::stale(first.plus(-offset)));
        }
        for (labels, column) in labels.iter().zip(columns) {
            let mut there = self.state.appended.get(labels).is_some();
            let samples = &mut came.appended.entry(labels.clone()).or_default().samples;
            samples.reserve(instants.len());
            for (place, at) in instants.iter().enumerate() {
                match column.float(place) {
                    Some(x) => samples.push(Sample::new(at.plus(-offset), x)),
                    None if there => samples.push(Sample::stale(at.plus(-offset))),
                    None => {}
                }
                there = column.float(place).is_some();
            }
            if there {
                appended.insert(labels.clone(), ());
            }
        }
        self.state.appended.replace(appended);
        self.counted.0 += instants.len() as u64;
        Some(())
    }

    fn judge(&self, at: Millis) -> Judge<'_> {
        Judge {
            tenant: TenantId(0),
            set: &self.set,
            options: &self.options,
            suspended: false,
            // No journal: an instant stands for its record.
            cause: Position { partition: 0, offset: at.0.max(0) as u64 },
            group: self.group(),
            rule: self.rule(),
            number: self.number,
        }
    }
}

/// Rules append here; what they read was evaluated by somebody else.
impl RuleSeries for Came {
    fn begun(&self) -> bool {
        true
    }

    fn whole_since(&self, _: &[Matcher]) -> Option<Millis> {
        None
    }

    fn select(&self, _: SelectorId, _: &mut dyn FnMut(SeriesView<'_>)) {}

    fn query(&self, _: &[Matcher], _: &mut dyn FnMut(SeriesView<'_>)) {
        self.queried.set(true);
    }

    fn view(&self, _: u32) -> SeriesView<'_> {
        unreachable!("only streams look at one series")
    }

    fn append(&mut self, labels: &Labels, sample: Sample) {
        self.appended.entry(labels.clone()).or_default().samples.push(sample);
    }

    fn append_histogram(&mut self, labels: &Labels, sample: HistogramSample) {
        self.appended.entry(labels.clone()).or_default().histograms.push(sample);
    }
}
