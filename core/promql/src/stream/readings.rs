//! What rules of a group read at one instant: what several of them read of a selector's series is read once.
use crate::eval::{Leaf, Read};
use crate::{Selector, Source};
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

    /// What is read of all series of a selector, before any step; nothing where that takes more than a look at floats, or too many
    /// of them.
    ///
    /// - `index`: of the selector, as `source` knows it.
    /// - `allowed`: most samples that may be touched.
    pub(super) fn whole(
        &mut self,
        leaf: &Leaf<'_>,
        index: usize,
        selector: &Selector,
        at: Millis,
        source: &dyn Source,
        allowed: u64,
    ) -> Option<Arc<Whole>> {
        let known = self.kept.iter().find(|it| it.read == leaf.read && it.at == at && it.selector == *selector);
        if let Some(known) = known {
            return Some(known.whole.clone()).filter(|whole| whole.touched <= allowed);
        }
        let (mut whole, mut scratch, mut goes_on) = (Whole::default(), Vec::new(), true);
        source.select(index, selector, &mut |series| {
            if !goes_on {
                return;
            }
            let Some((value, touched)) = leaf.read_float(series, &mut scratch) else {
                goes_on = false;
                return;
            };
            whole.touched += touched;
            goes_on = whole.touched <= allowed;
            let (series, place) = (series.id, series.labels.place());
            whole.values.extend(value.map(|value| Reading { series, place, value }));
        });
        if !goes_on {
            return None;
        }
        whole.values.sort_by_key(|reading| reading.series);
        let whole = Arc::new(whole);
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { read: leaf.read, selector: selector.clone(), at, whole: whole.clone() });
        Some(whole)
    }
}
