//! Whether there is no element.
use super::Delta;
use crate::Element;
use alloc::vec::Vec;
use faultline_model::{Labels, Number};

#[derive(Clone, Debug)]
pub(super) struct Absent {
    labels: Labels,
    /// How many elements there are.
    count: usize,
}

impl Absent {
    pub(super) fn new(labels: Labels) -> Absent {
        Absent { labels, count: 0 }
    }

    fn value(&self) -> Option<Number> {
        (self.count == 0).then_some(Number::Float(1.0))
    }

    pub(super) fn feed(&mut self, deltas: &[Delta], out: &mut Vec<Delta>) {
        let before = self.value();
        for delta in deltas {
            self.count += usize::from(delta.new.is_some());
            self.count -= usize::from(delta.old.is_some());
        }
        out.extend(Delta::between(&self.labels, before, self.value()));
    }

    pub(super) fn rebuild(&mut self, count: usize) {
        self.count = count;
    }

    pub(super) fn output(&self) -> Vec<Element> {
        self.value().into_iter().map(|value| Element { labels: self.labels.clone(), value }).collect()
    }
}
