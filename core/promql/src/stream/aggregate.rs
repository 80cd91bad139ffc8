//! Aggregations over groups of elements.
use super::Delta;
use crate::Element;
use crate::eval::{Accumulator, group_key};
use crate::expr::{Aggregate, Grouping};
use crate::function::AggOp;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::{Labels, Number, float};

#[derive(Clone, Debug)]
pub(super) struct Aggregated {
    op: AggOp,
    groups: Groups,
}

#[derive(Clone, Debug)]
enum Groups {
    /// Elements come with the numbers and labels of their groups.
    Numbered {
        all: Vec<Held>,
        /// Groups that changed since they were last settled, with their values then.
        touched: Vec<(u32, Option<f64>)>,
    },
    Named {
        by: Grouping,
        all: BTreeMap<Labels, Held>,
    },
}

/// A group: what is in it, and its value.
#[derive(Clone, Debug)]
struct Held {
    labels: Labels,
    terms: Accumulator,
    value: f64,
    touched: bool,
}

impl Held {
    fn new(op: AggOp, labels: &Labels) -> Held {
        Held { labels: labels.clone(), terms: Accumulator::new(op), value: 0.0, touched: false }
    }

    /// Its value as of when it was last settled.
    fn known(&self) -> Option<f64> {
        (!self.terms.is_empty()).then_some(self.value)
    }

    fn shift(&mut self, delta: &Delta) {
        delta.old.iter().filter_map(Number::float).for_each(|x| self.terms.sub(x));
        delta.new.iter().filter_map(Number::float).for_each(|x| self.terms.add(x));
    }

    /// Works out its value; says how it differs from what it was.
    fn settle(&mut self, old: Option<f64>) -> Option<Delta> {
        self.touched = false;
        let new = (!self.terms.is_empty()).then(|| float::canonical(self.terms.value()));
        self.value = new.unwrap_or_default();
        Delta::between(&self.labels, old.map(Number::Float), new.map(Number::Float))
    }
}

/// The group of a number.
fn numbered<'g>(all: &'g mut Vec<Held>, op: AggOp, group: u32, labels: &Labels) -> &'g mut Held {
    let place = group as usize;
    if all.len() <= place {
        all.resize_with(place + 1, || Held::new(op, labels));
    }
    let held = &mut all[place];
    if held.labels != *labels {
        // It stood for nothing until now.
        held.labels = labels.clone();
    }
    held
}

impl Aggregated {
    /// - `numbered`: whether elements come with the numbers and labels of their groups.
    pub(super) fn new(of: &Aggregate, numbered: bool) -> Aggregated {
        let groups = match numbered {
            true => Groups::Numbered { all: Vec::new(), touched: Vec::new() },
            false => Groups::Named { by: of.grouping.clone(), all: BTreeMap::new() },
        };
        Aggregated { op: of.op, groups }
    }

    /// Whether elements come with the numbers and labels of their groups: of many the same ones.
    pub(super) fn is_numbered(&self) -> bool {
        matches!(self.groups, Groups::Numbered { .. })
    }

    /// The operation and the value of each group, by number, where values move as the terms do and elements come with numbers.
    pub(super) fn sums(&self) -> Option<(AggOp, impl Iterator<Item = f64>)> {
        let Groups::Numbered { all, .. } = &self.groups else { return None };
        let known = matches!(self.op, AggOp::Sum | AggOp::Avg) && all.iter().all(|held| held.value.is_finite());
        known.then(|| (self.op, all.iter().map(|held| held.value)))
    }

    /// Takes in changes of elements; appends how groups differ from what they were before all of them.
    pub(super) fn feed(&mut self, deltas: &[Delta], out: &mut Vec<Delta>) {
        match &mut self.groups {
            Groups::Numbered { all, touched } => {
                for delta in deltas {
                    let held = numbered(all, self.op, delta.group, &delta.labels);
                    if !held.touched {
                        touched.push((delta.group, held.known()));
                        held.touched = true;
                    }
                    held.shift(delta);
                }
                out.extend(touched.drain(..).filter_map(|(group, old)| all[group as usize].settle(old)));
            }
            Groups::Named { by, all } => {
                let mut touched: BTreeMap<Labels, Option<f64>> = BTreeMap::new();
                for delta in deltas {
                    let key = group_key(by, &delta.labels);
                    let held = all.entry(key.clone()).or_insert_with(|| Held::new(self.op, &key));
                    touched.entry(key).or_insert_with(|| held.known());
                    held.shift(delta);
                }
                for (key, old) in touched {
                    out.extend(all.get_mut(&key).and_then(|held| held.settle(old)));
                    if all.get(&key).is_some_and(|held| held.terms.is_empty()) {
                        all.remove(&key);
                    }
                }
            }
        }
    }

    /// Works everything out anew, from elements that come with the labels and numbers of their groups.
    pub(super) fn rebuild_numbered<'e>(&mut self, inputs: impl Iterator<Item = (u32, &'e Labels, &'e Number)>) {
        let Groups::Numbered { all, touched } = &mut self.groups else { unreachable!("its elements are numbered") };
        all.clear();
        touched.clear();
        for (group, labels, value) in inputs {
            let Number::Float(x) = value else { continue };
            numbered(all, self.op, group, labels).terms.add(*x);
        }
        all.iter_mut().for_each(|held| drop(held.settle(None)));
    }

    /// Works everything out anew, from elements with labels of their own.
    pub(super) fn rebuild(&mut self, inputs: impl Iterator<Item = Element>) {
        let Groups::Named { by, all } = &mut self.groups else { unreachable!("its elements are not numbered") };
        all.clear();
        for element in inputs {
            let Number::Float(x) = element.value else { continue };
            let key = group_key(by, &element.labels);
            all.entry(key).or_insert_with_key(|key| Held::new(self.op, key)).terms.add(x);
        }
        all.values_mut().for_each(|held| drop(held.settle(None)));
    }

    /// Its groups, in label order.
    pub(super) fn output(&self) -> Vec<Element> {
        let element = |held: &Held| Element { labels: held.labels.clone(), value: held.value.into() };
        match &self.groups {
            Groups::Named { all, .. } => all.values().map(element).collect(),
            Groups::Numbered { all, .. } => {
                let mut found: Vec<Element> = all.iter().filter(|held| !held.terms.is_empty()).map(element).collect();
                found.sort_by(|a, b| a.labels.cmp(&b.labels));
                found
            }
        }
    }
}
