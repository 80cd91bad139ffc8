//! Events: log records with a name, counted by service and name in panes of half a minute.
//!
//! An event tells what happened in a word that its sender chose (a pool ran dry, a leader was elected, a check failed): what closed
//! incidents teach is about such words. Panes lie on absolute time, so a count hangs on what came in the window and not on how it came.
//!
//! A record without a name costs a test of that.
use super::index::mix;
use super::keyed::{About, Keyed};
use super::limits::{EVENT_NAME_SIZE, EVENTS, EVENTS_TOLD};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::facts::EventCount;
use faultline_model::{HashSeed, Millis, SeriesKey, canonical_struct, freeze_by_copy};

/// Length of a pane, in ms.
const PANE: i64 = 30_000;
/// Panes kept: a window may reach back a quarter of an hour, and two minutes before that.
const PANES: usize = 36;

/// One name of one service.
#[derive(Clone, Debug)]
pub struct NamedEvent {
    service: u32,
    name: String,
    last: Millis,
    /// Number of the pane and how often, the newest last.
    panes: Vec<(i64, u32)>,
}
canonical_struct!(NamedEvent { service, name, last, panes });
freeze_by_copy!(NamedEvent);

impl About for NamedEvent {
    const TABLE: &'static str = "events";
    const MOST: usize = EVENTS;

    fn hash(&self, seed: u64) -> u64 {
        mix(seed, u64::from(self.service), key(&self.name, seed))
    }

    fn service(&self) -> u32 {
        self.service
    }

    fn used(&self) -> Millis {
        self.last
    }
}

/// All names of all services.
pub type NamedEvents = Keyed<NamedEvent>;

impl NamedEvents {
    /// Notes an event at rule time `at`, `key` a hash of its name; false where there is no room for one more name, or it is too long.
    #[must_use]
    pub fn note(&mut self, service: u32, name: &str, key: u64, at: Millis) -> bool {
        let hash = mix(self.seed(), u64::from(service), key);
        let row = match self.find(hash, |it| it.service == service && it.name == name) {
            Some(row) => row,
            None if self.is_full() || name.len() > EVENT_NAME_SIZE => return false,
            None => self.insert(NamedEvent { service, name: name.into(), last: at, panes: Vec::new() }),
        };
        let it = self.row_mut(row);
        it.last = at;
        let pane = at.0.div_euclid(PANE);
        match it.panes.last_mut() {
            // Rule time does not fall.
            Some((newest, count)) if *newest == pane => *count = count.saturating_add(1),
            _ => {
                if it.panes.len() == PANES {
                    it.panes.remove(0);
                }
                it.panes.push((pane, 1));
            }
        }
        true
    }

    /// What each service told of since `from`, its most frequent names, in name order.
    pub fn since(&self, from: Millis) -> BTreeMap<u32, Vec<EventCount>> {
        let first = from.0.div_euclid(PANE);
        let mut told: BTreeMap<u32, Vec<EventCount>> = BTreeMap::new();
        for (_, it) in self.iter().filter(|(_, it)| it.last >= from) {
            let panes = it.panes.iter().filter(|(pane, _)| *pane >= first);
            let count = panes.fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
            told.entry(it.service).or_default().push(EventCount { name: it.name.clone(), count });
        }
        for events in told.values_mut() {
            events.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
            events.truncate(EVENTS_TOLD);
            events.sort_by(|a, b| a.name.cmp(&b.name));
        }
        told
    }
}

/// Keyed hash of a name.
pub fn key(name: &str, seed: u64) -> u64 {
    SeriesKey::of(name.as_bytes(), HashSeed(seed)).0 as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use faultline_model::table::PageBytes;
    use faultline_model::{Reader, Writer};

    const SEED: u64 = 7;

    fn note(events: &mut NamedEvents, service: u32, name: &str, at: Millis) -> bool {
        events.note(service, name, key(name, SEED), at)
    }

    fn counts(events: &NamedEvents, service: u32, from: Millis) -> Vec<(alloc::string::String, u32)> {
        let told = events.since(from).remove(&service).unwrap_or_default();
        told.into_iter().map(|it| (it.name, it.count)).collect()
    }

    #[test]
    fn names_are_counted_by_service_in_a_window() {
        let mut events = NamedEvents::new(SEED);
        let at = |s: i64| Millis(s * 1_000);
        for s in [10, 20, 40, 3_000, 3_001, 3_030] {
            assert!(note(&mut events, 1, "pool.empty", at(s)));
        }
        assert!(note(&mut events, 2, "pool.empty", at(3_031)) && note(&mut events, 1, "a", at(3_031)));
        assert_eq!(counts(&events, 1, at(3_000)), [("a".into(), 1), ("pool.empty".into(), 3)]);
        assert_eq!(counts(&events, 1, at(3_030)), [("a".into(), 1), ("pool.empty".into(), 1)]);
        assert_eq!(counts(&events, 2, at(0)), [("pool.empty".into(), 1)]);
        assert!(!note(&mut events, 1, &"x".repeat(EVENT_NAME_SIZE + 1), at(3_031)), "too long a name");

        let mut w = Writer::default();
        events.write(&mut w);
        let (bytes, mut pages) = (w.into_bytes(), PageBytes::of([(NamedEvents::TABLE, events.table())]));
        let mut read = NamedEvents::read(&mut Reader::new(&bytes), &mut pages, SEED).expect("it was just written");
        assert!(note(&mut read, 1, "a", at(3_032)));
        assert_eq!(counts(&read, 1, at(3_030)), [("a".into(), 2), ("pool.empty".into(), 1)]);
        read.forget(&[1]);
        assert_eq!((counts(&read, 1, at(0)), counts(&read, 2, at(0)).len()), (vec![], 1));
        read.sweep(0, 1, at(40 * 3_600));
        assert!(read.iter().next().is_none());
    }

    #[test]
    fn a_service_tells_of_its_most_frequent_names_and_keeps_so_many_panes() {
        let mut events = NamedEvents::new(SEED);
        for name in 0..EVENTS_TOLD + 5 {
            // The first names come once, all others twice.
            for _ in 0..=usize::from(name >= 5) {
                assert!(note(&mut events, 1, &format!("{name:03}"), Millis(0)));
            }
        }
        let told = counts(&events, 1, Millis(0));
        assert_eq!((told.len(), &told[0]), (EVENTS_TOLD, &("005".into(), 2)));
        for pane in 0..2 * PANES as i64 {
            assert!(note(&mut events, 2, "often", Millis(pane * PANE)));
        }
        assert_eq!(counts(&events, 2, Millis(0)), [("often".into(), PANES as u32)]);
    }
}
