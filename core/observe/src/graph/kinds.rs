//! Kinds of log records: which a service has written, since when, and how many came anew of late.
//!
//! A fault in code shows where nothing else does: in a line that was never written before. How often that happens anyway is
//! known from the minutes before.
use super::index::mix;
use super::keyed::{About, Keyed};
use super::limits::LOG_KINDS;
use alloc::collections::BTreeMap;
use faultline_model::{Millis, canonical_struct, float, freeze_by_copy};

/// Stretch before a window from which the usual rate of new kinds is taken, in ms.
const BEFORE: i64 = 600_000;
/// OTLP's severity number from which on a record warns.
const WARN: u8 = 13;
/// How many kinds a new one that warns counts for (algorithms.md 1.4).
const WARNS: f64 = 3.0;
/// The most that it weighs by how often it came: six times and more.
const OFTEN: f64 = 2.0;

/// One kind of one service's records.
#[derive(Clone, Debug)]
pub struct LogKind {
    service: u32,
    kind: u64,
    warns: bool,
    first: Millis,
    last: Millis,
    /// How often it came; 0 in states of before engine version 9, which counted none.
    times: u32,
}
canonical_struct!(LogKind { service, kind, warns, first, last; times });
freeze_by_copy!(LogKind);

impl LogKind {
    /// What it weighs by how often it came: a fault writes its line at every request, chance once.
    fn often(&self) -> f64 {
        if self.times == 0 { 1.0 } else { float::min(float::ln(1.0 + f64::from(self.times)), OFTEN) }
    }
}

/// New kinds of a service in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Novelty {
    /// How many come in such a window anyway.
    pub expected: f64,
    /// How many came, those that warn three times.
    pub seen: f64,
    /// How many came.
    pub count: f64,
}

impl About for LogKind {
    const TABLE: &'static str = "log-kinds";
    const MOST: usize = LOG_KINDS;

    fn hash(&self, seed: u64) -> u64 {
        mix(seed, u64::from(self.service), self.kind)
    }

    fn service(&self) -> u32 {
        self.service
    }

    fn used(&self) -> Millis {
        self.last
    }
}

/// All kinds.
pub type LogKinds = Keyed<LogKind>;

impl LogKinds {
    /// Notes a record at rule time `at`; `kind` 0 is none. `counts` says whether it is counted how often it comes.
    pub fn note(&mut self, service: u32, kind: u64, severity: u8, counts: bool, at: Millis) {
        if kind == 0 {
            return;
        }
        let hash = mix(self.seed(), u64::from(service), kind);
        if let Some(row) = self.find(hash, |it| (it.service, it.kind) == (service, kind)) {
            let it = self.row_mut(row);
            (it.last, it.times) = (at, it.times.saturating_add(u32::from(counts)));
            return;
        }
        // Where there is no room nothing is new: evidence is missing, never wrong.
        if !self.is_full() {
            let (warns, times) = (severity >= WARN, u32::from(counts));
            self.insert(LogKind { service, kind, warns, first: at, last: at, times });
        }
    }

    /// New kinds of each service in the window `from..to`, where any came then or in the minutes before.
    pub fn novelty(&self, from: Millis, to: Millis) -> BTreeMap<u32, Novelty> {
        let (before, window) = (from.plus(-BEFORE), to.since(from).max(1) as f64);
        let mut novelty: BTreeMap<u32, Novelty> = BTreeMap::new();
        for (_, it) in self.iter().filter(|(_, it)| it.first >= before && it.first < to) {
            let of = novelty.entry(it.service).or_default();
            let weight = if it.warns { WARNS } else { 1.0 } * it.often();
            if it.first >= from {
                of.seen += weight;
                of.count += 1.0;
            } else {
                of.expected += weight * window / BEFORE as f64;
            }
        }
        novelty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_model::table::PageBytes;
    use faultline_model::{Reader, Writer};

    #[test]
    fn what_comes_anew_is_told_beside_how_often_that_happens() {
        let mut kinds = LogKinds::new(7);
        let minute = |m: i64| Millis(m * 60_000);
        // Service 1 has written five kinds from the start; service 2 brings a new one every minute.
        (0..40).for_each(|m| (1..6).for_each(|kind| kinds.note(1, kind, 9, false, minute(m))));
        (0..40).for_each(|m| kinds.note(2, 100 + m as u64, 9, false, minute(m)));
        kinds.note(1, 6, 9, false, minute(40));
        kinds.note(1, 7, 17, false, minute(40));
        kinds.note(1, 0, 17, false, minute(40));
        kinds.note(2, 200, 9, false, minute(40));
        let novelty = kinds.novelty(minute(40), minute(41));
        assert_eq!(novelty[&1], Novelty { expected: 0.0, seen: 4.0, count: 2.0 });
        assert_eq!((novelty[&2].seen, novelty[&2].count), (1.0, 1.0));
        assert!((novelty[&2].expected - 1.0).abs() < 1e-9);
        kinds.forget(&[2]);
        assert_eq!(kinds.novelty(minute(40), minute(41)).len(), 1);
        let (mut w, seed) = (Writer::default(), 7);
        kinds.write(&mut w);
        let (bytes, mut pages) = (w.into_bytes(), PageBytes::of([(LogKinds::TABLE, kinds.table())]));
        let mut read = LogKinds::read(&mut Reader::new(&bytes), &mut pages, seed).expect("it was just written");
        read.note(1, 7, 17, false, minute(41));
        assert_eq!(read.novelty(minute(41), minute(42)).get(&1).map(|of| of.seen), Some(0.0));
        read.sweep(0, 1, minute(60 * 30));
        assert!(read.iter().next().is_none());
    }
    #[test]
    fn what_comes_at_every_request_weighs_more_than_what_came_once() {
        for (times, severity, weight) in [(1, 9, 0.693), (2, 9, 1.099), (6, 9, 1.946), (7, 9, 2.0), (500, 17, 6.0)] {
            let mut kinds = LogKinds::new(7);
            (0..times).for_each(|_| kinds.note(1, 5, severity, true, Millis(1_000)));
            let novelty = kinds.novelty(Millis(0), Millis(60_000))[&1];
            assert!((novelty.seen - weight).abs() < 1e-3 && novelty.count == 1.0, "{times}: {novelty:?}");
        }
    }
}
