//! Aggregations over groups of elements.
use super::Delta;
use crate::Element;
use crate::eval::{Accumulator, group_key};
use crate::expr::{Aggregate, Grouping};
use crate::function::AggOp;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::{Labels, Number, float};

#[derive(Clone, Debug)]
pub(super) struct Aggregated {
    op: AggOp,
    /// How elements are grouped; nothing where they come with the labels of their groups.
    grouping: Option<Grouping>,
    groups: BTreeMap<Labels, Held>,
}

/// A group: what is in it, and its value.
#[derive(Clone, Debug)]
struct Held {
    terms: Accumulator,
    value: f64,
}

impl Aggregated {
    /// - `grouped`: whether elements come with the labels of their groups.
    pub(super) fn new(of: &Aggregate, grouped: bool) -> Aggregated {
        Aggregated { op: of.op, grouping: (!grouped).then(|| of.grouping.clone()), groups: BTreeMap::new() }
    }

    /// Whether elements come with the labels of their groups: of many the same ones.
    pub(super) fn is_grouped(&self) -> bool {
        self.grouping.is_none()
    }

    fn key<'l>(&self, labels: &'l Labels) -> Cow<'l, Labels> {
        match &self.grouping {
            Some(grouping) => Cow::Owned(group_key(grouping, labels)),
            None => Cow::Borrowed(labels),
        }
    }

    fn group(&mut self, labels: &Labels) -> &mut Held {
        if !self.groups.contains_key(labels) {
            self.groups.insert(labels.clone(), Held { terms: Accumulator::new(self.op), value: 0.0 });
        }
        self.groups.get_mut(labels).expect("it is there by now")
    }

    pub(super) fn feed(&mut self, deltas: &[Delta]) -> Vec<Delta> {
        let mut found = Vec::new();
        for delta in deltas {
            let key = self.key(&delta.labels);
            let held = self.group(&key);
            let old = (!held.terms.is_empty()).then_some(held.value);
            delta.old.iter().filter_map(Number::float).for_each(|x| held.terms.sub(x));
            delta.new.iter().filter_map(Number::float).for_each(|x| held.terms.add(x));
            let new = (!held.terms.is_empty()).then(|| float::canonical(held.terms.value()));
            match new {
                Some(x) => held.value = x,
                None => {
                    self.groups.remove(&*key);
                }
            }
            found.extend(Delta::between(&key, old.map(Number::Float), new.map(Number::Float)));
        }
        found
    }

    pub(super) fn rebuild(&mut self, inputs: impl Iterator<Item = Element>) {
        self.groups.clear();
        for element in inputs {
            let Number::Float(x) = element.value else { continue };
            let key = self.key(&element.labels);
            self.group(&key).terms.add(x);
        }
        for held in self.groups.values_mut() {
            held.value = float::canonical(held.terms.value());
        }
    }

    pub(super) fn output(&self) -> Vec<Element> {
        self.groups.iter().map(|(labels, held)| Element { labels: labels.clone(), value: held.value.into() }).collect()
    }
}
