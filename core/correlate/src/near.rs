//! Which entities are near one another: by calls, in the directions in which faults travel.
use crate::limits::{HOPS_MAX, NEIGHBOURS_MAX};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Who calls whom, as known at this moment.
pub trait Topology {
    /// Calls `visit` with each entity that `entity` calls, in name order; none for an unknown one.
    fn callees(&self, entity: &str, visit: &mut dyn FnMut(&str));
    /// Calls `visit` with each entity that calls `entity`, in name order; none for an unknown one.
    fn callers(&self, entity: &str, visit: &mut dyn FnMut(&str));
}

/// The entities near one and how many calls away each is.
#[derive(Debug)]
pub(crate) struct Near {
    pub hops: BTreeMap<String, u32>,
    /// Whether the bound left some out.
    pub cut: bool,
}

/// Entities within [`HOPS_MAX`] calls of `entity`, itself included at 0.
///
/// Near are: what it reaches by calls, what reaches it, and what shares a callee with it, for a fault of that callee
/// degrades both, even when the callee itself is silent. Sharing a caller does not count: two callees of one gateway have
/// nothing to do with one another.
pub(crate) fn near(entity: &str, topology: &dyn Topology) -> Near {
    let mut near = Near { hops: BTreeMap::from([(entity.to_owned(), 0)]), cut: false };
    let mut levels = alloc::vec![Vec::from([entity.to_owned()])];
    for hops in 1..=HOPS_MAX {
        let mut next = Vec::new();
        for from in &levels[hops as usize - 1] {
            topology.callees(from, &mut |name| near.reach(name, hops, &mut next));
        }
        levels.push(next);
    }
    // Upwards from everything reached, never down again: that way lies the shared caller.
    for hops in 1..=HOPS_MAX {
        let mut next = Vec::new();
        for from in &levels[hops as usize - 1] {
            topology.callers(from, &mut |name| near.reach(name, hops, &mut next));
        }
        levels[hops as usize].extend(next);
    }
    near
}

impl Near {
    /// Notes `name` at `hops` calls unless it is known to be as near.
    fn reach(&mut self, name: &str, hops: u32, next: &mut Vec<String>) {
        match self.hops.get(name) {
            Some(&known) if known <= hops => return,
            None if self.hops.len() >= NEIGHBOURS_MAX => {
                self.cut = true;
                return;
            }
            _ => {}
        }
        self.hops.insert(name.to_owned(), hops);
        next.push(name.to_owned());
    }
}
