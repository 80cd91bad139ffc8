//! What rules of a group read at one instant: what several of them read of a selector's series is read once.
use crate::Selector;
use crate::eval::Read;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::Millis;

/// Most selectors that are remembered at once: the newest.
const KEPT_MAX: usize = 4;

/// What was read of all series of some selectors. To be given up once a series has another sample.
///
/// Memory: 24 bytes for each series that gives something, of at most four selectors.
#[derive(Debug, Default)]
pub struct Readings {
    kept: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    read: Read,
    selector: Selector,
    at: Millis,
    whole: Arc<Whole>,
}

/// What was read of all series of a selector, before any step.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// By number of series; those that give something.
    pub(super) values: Vec<Reading>,
    /// Samples that this touched.
    pub(super) touched: u64,
}

/// What was read of one series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) series: u32,
    /// Where its labels lie.
    pub(super) place: usize,
    pub(super) value: f64,
}

impl Readings {
    /// Series may have other samples than when they were read.
    pub fn forget(&mut self) {
        self.kept.clear();
    }

    pub(super) fn find(&self, read: Read, selector: &Selector, at: Millis) -> Option<Arc<Whole>> {
        let known = self.kept.iter().find(|it| it.read == read && it.at == at && it.selector == *selector);
        known.map(|known| known.whole.clone())
    }

    pub(super) fn keep(&mut self, read: Read, selector: &Selector, at: Millis, whole: &Arc<Whole>) {
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { read, selector: selector.clone(), at, whole: whole.clone() });
    }
}
