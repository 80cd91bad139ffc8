//! What readers are shown of a released group. On a thread of its own: answers and alerts must not wait for it.
use crate::published::{Published, RejectedBody};
use faultline_engine::{Effect, Effects, Overview};
use faultline_host::Extent;
use faultline_model::{Millis, Position};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Groups that may wait to be shown: past it the release waits, and with it the senders.
const DEPTH: usize = 4;

/// A durable group, for readers.
pub struct Shown {
    /// What it brought about, asks apart.
    pub effects: Effects,
    /// Number of its first leaf.
    pub first_leaf: u64,
    /// What decoders and `step` refused of it.
    pub rejected: Vec<RejectedBody>,
    /// What readers see from here on.
    pub view: Option<Overview>,
    /// Whether the view that readers have lacks decisions of this group or of one before.
    pub behind: bool,
    /// Rule time after the group.
    pub now: Millis,
    /// What the journal takes.
    pub extent: Extent,
    /// How many records it has.
    pub records: u64,
    /// The group's last record.
    pub last: Option<Position>,
}

/// The two ends of the way from the release to [`show`].
pub fn shown() -> (SyncSender<Shown>, Receiver<Shown>) {
    sync_channel(DEPTH)
}

/// Shows groups until the release ends.
pub fn show(groups: Receiver<Shown>, published: &Published) {
    for group in groups {
        let mut leaf = group.first_leaf;
        for effect in group.effects.list {
            match effect {
                Effect::Decided(id, decision) => {
                    published.decided(id, leaf, Some(group.now), &decision);
                    leaf += 1;
                }
                Effect::Accepted(accepted) => published.accepted(accepted),
                // Told below, with the record's sender and body.
                Effect::Rejected(_) => {}
                Effect::Ask(..) => {}
            }
        }
        for body in group.rejected {
            published.rejected(body);
        }
        published.journal(group.extent);
        if let Some(last) = group.last {
            published.store().recent().covers(last);
            published.covers((!group.behind).then_some(last), group.records, group.view);
        }
    }
}
