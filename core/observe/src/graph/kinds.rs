//! Kinds of log records: which a service has written, since when, and how many came anew of late.
//!
//! A fault in code shows where nothing else does: in a line that was never written before. How often that happens anyway is
//! known from the minutes before.
use super::index::{Index, mix};
use super::limits::{LOG_KINDS, outlived};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{CodecError, Millis, Reader, Table, Writer, canonical_struct, float, freeze_by_copy};

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

/// Name of the table.
pub const TABLE: &str = "log-kinds";

/// All kinds.
#[derive(Debug, Default)]
pub struct LogKinds {
    rows: Table<LogKind>,
    index: Index,
    seed: u64,
}

impl LogKinds {
    /// None yet.
    pub fn new(seed: u64) -> LogKinds {
        LogKinds { seed, ..LogKinds::default() }
    }

    /// Whether there never was one: then nothing of them is written.
    pub fn is_empty(&self) -> bool {
        self.rows.page_count() == 0
    }

    /// Notes a record at rule time `at`; `kind` 0 is none. `counts` says whether it is counted how often it comes.
    pub fn note(&mut self, service: u32, kind: u64, severity: u8, counts: bool, at: Millis) {
        if kind == 0 {
            return;
        }
        let (hash, rows) = (mix(self.seed, u64::from(service), kind), &self.rows);
        let known = |row: u32| rows.get(row).is_some_and(|it| (it.service, it.kind) == (service, kind));
        if let Some(row) = self.index.find(hash, known) {
            let it = self.rows.row_mut(row);
            (it.last, it.times) = (at, it.times.saturating_add(u32::from(counts)));
            return;
        }
        if self.rows.len() >= LOG_KINDS {
            // Then nothing is new: evidence is missing, never wrong.
            return;
        }
        let row = self.rows.insert(LogKind {
            service,
            kind,
            warns: severity >= WARN,
            first: at,
            last: at,
            times: u32::from(counts),
        });
        let (rows, seed) = (&self.rows, self.seed);
        self.index.insert(hash, row, |row| hash_of(rows, seed, row));
    }

    /// New kinds of each service in the window `from..to`, where any came then or in the minutes before.
    pub fn novelty(&self, from: Millis, to: Millis) -> BTreeMap<u32, Novelty> {
        let (before, window) = (from.plus(-BEFORE), to.since(from).max(1) as f64);
        let mut novelty: BTreeMap<u32, Novelty> = BTreeMap::new();
        for (_, it) in self.rows.iter().filter(|(_, it)| it.first >= before && it.first < to) {
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

    /// Evicts what has not been used for long among the rows of one phase.
    pub fn sweep(&mut self, phase: u32, step: usize, now: Millis) {
        for row in (phase..self.rows.end()).step_by(step) {
            let last = self.rows.get(row).map(|it| it.last);
            if last.is_some_and(|last| outlived(last, now, self.rows.len(), LOG_KINDS)) {
                self.remove(row);
            }
        }
    }

    /// Forgets services, whose ids may be given again. `gone` rises.
    pub fn forget(&mut self, gone: &[u32]) {
        let of_gone = |it: &LogKind| gone.binary_search(&it.service).is_ok();
        let rows: Vec<u32> = self.rows.iter().filter(|(_, it)| of_gone(it)).map(|(row, _)| row).collect();
        rows.into_iter().for_each(|row| self.remove(row));
    }

    fn remove(&mut self, row: u32) {
        self.index.remove(hash_of(&self.rows, self.seed, row), row);
        self.rows.remove(row);
    }

    /// The rows.
    pub fn table(&mut self) -> &mut dyn Paged {
        &mut self.rows
    }

    /// Appends what is beside them.
    pub fn write(&self, w: &mut Writer) {
        self.rows.write_rest(w);
    }

    /// Reads them back.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes, seed: u64) -> Result<LogKinds, CodecError> {
        let rows: Table<LogKind> = Table::read(r, TABLE, pages)?;
        let mut index = Index::default();
        for (row, _) in rows.iter() {
            index.insert(hash_of(&rows, seed, row), row, |row| hash_of(&rows, seed, row));
        }
        Ok(LogKinds { rows, index, seed })
    }
}

fn hash_of(rows: &Table<LogKind>, seed: u64, row: u32) -> u64 {
    let it = rows.get(row).expect("indexed rows exist");
    mix(seed, u64::from(it.service), it.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (bytes, mut pages) = (w.into_bytes(), PageBytes::of([(TABLE, kinds.table())]));
        let mut read = LogKinds::read(&mut Reader::new(&bytes), &mut pages, seed).expect("it was just written");
        read.note(1, 7, 17, false, minute(41));
        assert_eq!(read.novelty(minute(41), minute(42)).get(&1).map(|of| of.seen), Some(0.0));
        read.sweep(0, 1, minute(60 * 30));
        assert!(read.rows.is_empty());
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
