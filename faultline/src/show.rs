//! What readers are shown of a released group. On a thread of its own: answers and alerts must not wait for it.
use crate::published::{Published, RejectedBody};
use bytes::Bytes;
use faultline_engine::{Effect, Effects, Overview};
use faultline_formats::{Events, Record};
use faultline_host::Extent;
use faultline_model::{Millis, Position};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Groups that may wait to be shown: past it the release waits, and with it the senders.
const DEPTH: usize = 4;

/// Inflated bodies that may wait to be asked what they say beside their samples, in bytes: of more that is passed over. What is said of
/// metrics comes again with the next body; of requests there are others.
const SAID_BYTES: usize = 64 << 20;

/// What bodies of a group say beside their samples: of their metrics, and of requests.
#[derive(Default)]
pub struct Said {
    bodies: Vec<Body>,
    /// How many are passed over.
    unheard: usize,
}

/// A body, held until it is looked at.
struct Body {
    events: Events,
    plain: Bytes,
    size: usize,
    waiting: Arc<AtomicUsize>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.size, Ordering::Relaxed);
    }
}

impl Said {
    /// Takes it out of a group's records.
    ///
    /// - `waiting`: bytes of bodies that wait, of all groups.
    pub fn of(records: &mut [Record], waiting: &Arc<AtomicUsize>) -> Said {
        Said::within(SAID_BYTES, records, waiting)
    }

    fn within(most: usize, records: &mut [Record], waiting: &Arc<AtomicUsize>) -> Said {
        let mut said = Said::default();
        let says = |events: &Events| !events.metadata.is_empty() || !events.spans.is_empty();
        for record in records.iter_mut().filter(|record| says(&record.decoded.events)) {
            let plain = record.decoded.plain.clone();
            let from = &mut record.decoded.events;
            let (metadata, spans) = (std::mem::take(&mut from.metadata), std::mem::take(&mut from.spans));
            let resources = std::mem::take(&mut from.resources);
            let events = Events { metadata, spans, resources, ..Events::default() };
            let size = plain.len() + size_of_val(&events.spans[..]);
            let before = waiting.fetch_add(size, Ordering::Relaxed);
            let body = Body { events, plain, size, waiting: waiting.clone() };
            match before > 0 && before + size > most {
                true => said.unheard += 1,
                false => said.bodies.push(body),
            }
        }
        said
    }
}

/// A durable group, for readers.
pub struct Shown {
    /// What it brought about, asks apart.
    pub effects: Effects,
    /// Number of its first leaf.
    pub first_leaf: u64,
    /// What decoders and `step` refused of it.
    pub rejected: Vec<RejectedBody>,
    /// What it says beside its samples.
    pub said: Said,
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
    groups.into_iter().for_each(|group| show_one(group, published));
}

/// Shows a group.
pub fn show_one(group: Shown, published: &Published) {
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
    let Said { bodies, unheard } = group.said;
    bodies.iter().for_each(|body| published.said(&body.events, &body.plain));
    (0..unheard).for_each(|_| published.store().said_unheard());
    drop(bodies);
    published.journal(group.extent);
    if let Some(last) = group.last {
        published.store().recent().covers(last);
        published.covers((!group.behind).then_some(last), group.records, group.view);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::control;
    use faultline_formats::{Decoded, MetricType, decode, encode};
    use faultline_model::{Clock, Control, Encoding, Format, HashSeed, Hlc, Kind, Labels, Payload, SourceId, TenantId};

    fn record(offset: u64, decoded: Decoded) -> Record {
        Record { at: Position { partition: 0, offset }, stamp: Hlc::default(), decoded }
    }

    fn telling(help: &str) -> Decoded {
        let metadata = [(MetricType::Counter, "a_total", help, "")];
        let plain = encode::write_request_with_exemplars([] as [(&Labels, &[_], &[_]); 0], &metadata);
        let (source, format, encoding) = (SourceId::default(), Format::RemoteWrite1, Encoding::Identity);
        let kind = Kind::Telemetry { source, format, encoding, clock: Clock::Live };
        decode(Payload { tenant: TenantId(0), kind, body: plain.into() }, HashSeed(7))
    }

    #[test]
    fn bodies_that_wait_are_bounded() {
        let waiting = Arc::default();
        let small = || record(2, telling("Help."));
        let (size, most) = (small().decoded.plain.len(), 1_000);
        let mut records = [record(1, control(Control::Started, Vec::new(), HashSeed(7))), small(), small()];
        let first = Said::within(most, &mut records, &waiting);
        assert_eq!((first.bodies.len(), first.unheard, waiting.load(Ordering::Relaxed)), (2, 0, 2 * size));
        // Others wait: what would go beyond the bound is passed over, and takes no room.
        let mut large = [record(3, telling(&"x".repeat(most - 2 * size))), small()];
        let second = Said::within(most, &mut large, &waiting);
        assert_eq!((second.bodies.len(), second.unheard, waiting.load(Ordering::Relaxed)), (1, 1, 3 * size));
        drop((first, second));
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
        // Where none waits, any body may.
        assert_eq!(Said::within(1, &mut [small()], &waiting).bodies.len(), 1);
    }
}
