//! Series: found by key, indexed by label, kept as rings, handed to selections in label order.
use crate::postings::Postings;
use crate::ring::{Pushed, Ring, SampleCounts};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_formats::{Decoded, PointFlags, label_sets};
use faultline_model::canonical_struct;
use faultline_model::{Canonical, CodecError, HashSeed, Labels, Millis, Reader, Sample, SeriesKey, Table, Writer};
use faultline_promql::{MatchOp, Matcher, SeriesView};
use hashbrown::HashTable;

/// Most samples ahead of rule time that is still believed: a sender's clock may be this wrong.
pub const AHEAD_MAX_MS: i64 = 10 * 60_000;
/// A series without samples for this long is forgotten, unless a rule reads further back.
pub const IDLE_MS: i64 = 3_600_000;
/// An idle series is found within this time.
const SWEEP_MS: i64 = 600_000;
/// Marks a point whose series has no id.
const UNKNOWN: u32 = u32::MAX;

/// One series.
#[derive(Debug)]
struct Row {
    labels: Labels,
    ring: Ring,
    /// Rule time of the last sample: what idleness is counted from.
    seen: Millis,
    /// Running total of a delta series.
    total: f64,
    /// Selections it belongs to: derived.
    selections: Vec<u32>,
    /// Longest range among them, in ms: derived.
    keep: i64,
}

impl Canonical for Row {
    fn write(&self, w: &mut Writer) {
        w.array(4);
        self.labels.write(w);
        self.ring.write(w);
        self.seen.write(w);
        self.total.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(4)?;
        Ok(Row {
            labels: Canonical::read(r)?,
            ring: Canonical::read(r)?,
            seen: Canonical::read(r)?,
            total: Canonical::read(r)?,
            selections: Vec::new(),
            keep: 0,
        })
    }
}

/// A set of series that somebody reads again and again: what one selector of a rule matches, kept up to date.
#[derive(Debug)]
struct Selection {
    matchers: Vec<Matcher>,
    /// How far back it is read, in ms.
    keep: i64,
    /// Its series, in label order.
    members: Vec<u32>,
    /// Whether each new sample of a member is to be told.
    told: bool,
}

/// A sample that a `stream` rule reads: the selection and the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touch {
    /// The selection.
    pub selection: u32,
    /// The series.
    pub series: u32,
}

/// What applying a record's points brought about, beside the state.
#[derive(Debug, Default)]
pub struct Applied {
    /// Samples accepted, with their series: for the recent store.
    pub samples: Vec<(u32, Sample)>,
    /// Series first seen, with their labels, before any sample of theirs.
    pub created: Vec<(u32, Labels)>,
    /// Series forgotten. Their ids may come again in a later `created`.
    pub evicted: Vec<u32>,
    /// Members of told selections that got a sample; may repeat.
    pub touches: Vec<Touch>,
    /// Counts of this record alone.
    pub counts: SampleCounts,
}

impl Applied {
    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.created.clear();
        self.evicted.clear();
        self.touches.clear();
        self.counts = SampleCounts::default();
    }
}

/// Every series of the estate.
#[derive(Debug)]
pub struct SeriesStore {
    seed: HashSeed,
    series_max: usize,
    rows: Table<Row>,
    counts: SampleCounts,
    swept: Millis,
    sweep_page: u64,
    // From here on derived, built again on restore.
    keys: HashTable<(u128, u32)>,
    by_labels: HashTable<u32>,
    postings: Postings,
    selections: Vec<Selection>,
    by_name: BTreeMap<String, Vec<u32>>,
    any_name: Vec<u32>,
    ids: Vec<u32>,
}

/// What is written beside the rows.
struct Rest {
    series_max: u64,
    counts: SampleCounts,
    swept: Millis,
    sweep_page: u64,
    pages: u64,
}
canonical_struct!(Rest { series_max, counts, swept, sweep_page, pages });

impl SeriesStore {
    /// An empty store that holds at most `series_max` series.
    pub fn new(seed: HashSeed, series_max: usize) -> SeriesStore {
        SeriesStore {
            seed,
            series_max,
            rows: Table::default(),
            counts: SampleCounts::default(),
            swept: Millis(0),
            sweep_page: 0,
            keys: HashTable::new(),
            by_labels: HashTable::new(),
            postings: Postings::default(),
            selections: Vec::new(),
            by_name: BTreeMap::new(),
            any_name: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Counts since the journal began.
    pub fn counts(&self) -> SampleCounts {
        self.counts
    }

    /// Changes the most series held; those there stay.
    pub fn set_series_max(&mut self, series_max: usize) {
        self.series_max = series_max;
    }

    /// Applies a record's points at rule time `now`.
    pub fn apply(&mut self, decoded: &Decoded, now: Millis, out: &mut Applied) {
        let before = out.counts;
        let points = &decoded.events.points;
        // Names first, samples second: the order in which samples are applied must not depend on which keys this
        // process happens to remember, or a restored engine would differ from one that ran on.
        let mut ids = core::mem::take(&mut self.ids);
        ids.clear();
        let keys = &self.keys;
        ids.extend(points.iter().map(|point| {
            let key = point.key.0;
            keys.find(key as u64, |known| known.0 == key).map_or(UNKNOWN, |known| known.1)
        }));
        let unknown: Vec<usize> = (0..ids.len()).filter(|&i| ids[i] == UNKNOWN).collect();
        if !unknown.is_empty() {
            let places: Vec<u32> = unknown.iter().map(|&i| points[i].place).collect();
            let sets = label_sets(decoded, &places);
            assert_eq!(sets.len(), places.len(), "a label set for each place");
            for (&i, labels) in unknown.iter().zip(sets) {
                if let Some(id) = self.intern(&labels, out) {
                    self.alias(points[i].key, id);
                    ids[i] = id;
                }
            }
        }
        for (point, &id) in points.iter().zip(&ids) {
            if id == UNKNOWN {
                out.counts.cardinality += 1;
            } else {
                self.put(id, point.time, point.value, point.flags, now, out);
            }
        }
        self.ids = ids;
        add_difference(&mut self.counts, before, out.counts);
    }

    /// Adds one sample by its labels: recording rules and span series.
    pub fn append(&mut self, labels: &Labels, sample: Sample, now: Millis, out: &mut Applied) -> Option<u32> {
        let before = out.counts;
        let id = self.intern(labels, out);
        match id {
            Some(id) => self.push(id, sample, now, out),
            None => out.counts.cardinality += 1,
        }
        add_difference(&mut self.counts, before, out.counts);
        id
    }

    /// Adds one sample to a series that is there.
    pub fn append_to(&mut self, id: u32, sample: Sample, now: Millis, out: &mut Applied) {
        let before = out.counts;
        self.push(id, sample, now, out);
        add_difference(&mut self.counts, before, out.counts);
    }

    /// Remembers that a key names a series. A sender that spells one series in ever new ways costs a lookup by labels
    /// each time, never memory without bound.
    fn alias(&mut self, key: SeriesKey, id: u32) {
        if self.keys.len() >= self.series_max.saturating_mul(2).max(1024) {
            self.keys.clear();
        }
        // One body may name a new series many times.
        if self.keys.find(key.0 as u64, |known| known.0 == key.0).is_none() {
            self.keys.insert_unique(key.0 as u64, (key.0, id), |known| known.0 as u64);
        }
    }

    #[inline]
    fn put(&mut self, id: u32, time: Millis, value: f64, flags: PointFlags, now: Millis, out: &mut Applied) {
        let sample = if flags.has(PointFlags::STALE) {
            Sample::stale(time)
        } else if flags.has(PointFlags::DELTA) {
            let row = self.rows.row_mut(id);
            row.total += value;
            Sample::new(time, row.total)
        } else {
            Sample::new(time, value)
        };
        self.push(id, sample, now, out);
    }

    #[inline]
    fn push(&mut self, id: u32, sample: Sample, now: Millis, out: &mut Applied) {
        if sample.time() > now.plus(AHEAD_MAX_MS) {
            out.counts.future += 1;
            return;
        }
        let row = self.rows.row_mut(id);
        match row.ring.push(sample, now, row.keep) {
            Pushed::Newest | Pushed::Inserted => {}
            Pushed::Duplicate => {
                out.counts.duplicates += 1;
                return;
            }
            Pushed::Conflict => {
                out.counts.conflicts += 1;
                return;
            }
            Pushed::TooOld => {
                out.counts.too_old += 1;
                return;
            }
        }
        row.seen = now;
        out.counts.accepted += 1;
        out.samples.push((id, sample));
        for &selection in &row.selections {
            if self.selections[selection as usize].told {
                out.touches.push(Touch { selection, series: id });
            }
        }
    }

    /// The id of a label set, new or not; nothing where there is no room.
    fn intern(&mut self, labels: &Labels, out: &mut Applied) -> Option<u32> {
        let hash = labels.key(self.seed).0 as u64;
        let rows = &self.rows;
        if let Some(&id) = self.by_labels.find(hash, |&id| row(rows, id).labels == *labels) {
            return Some(id);
        }
        if self.rows.len() >= self.series_max {
            return None;
        }
        let id = self.rows.insert(Row {
            labels: labels.clone(),
            ring: Ring::default(),
            seen: Millis(0),
            total: 0.0,
            selections: Vec::new(),
            keep: 0,
        });
        out.created.push((id, labels.clone()));
        self.index(id);
        Some(id)
    }

    /// Enters a row into everything derived from the rows.
    fn index(&mut self, id: u32) {
        let labels = row(&self.rows, id).labels.clone();
        let (rows, seed) = (&self.rows, self.seed);
        self.by_labels.insert_unique(labels.key(seed).0 as u64, id, |&id| row(rows, id).labels.key(seed).0 as u64);
        self.postings.insert(id, &labels);
        let named = self.by_name.get(labels.name()).map_or(&[][..], |v| v);
        for &selection in named.iter().chain(&self.any_name) {
            let it = &mut self.selections[selection as usize];
            if accepts(&it.matchers, &labels) {
                let at = it.members.partition_point(|&other| row(&self.rows, other).labels < labels);
                it.members.insert(at, id);
                let keep = it.keep;
                join(&mut self.rows, id, selection, keep);
            }
        }
    }

    fn forget(&mut self, id: u32, out: &mut Applied) {
        let labels = row(&self.rows, id).labels.clone();
        for selection in row(&self.rows, id).selections.clone() {
            let members = &mut self.selections[selection as usize].members;
            let at = members.partition_point(|&other| row(&self.rows, other).labels < labels);
            assert_eq!(members[at], id, "members are in label order");
            members.remove(at);
        }
        self.postings.remove(id, &labels);
        if let Ok(entry) = self.by_labels.find_entry(labels.key(self.seed).0 as u64, |&other| other == id) {
            entry.remove();
        }
        self.rows.remove(id);
        out.evicted.push(id);
    }

    /// Forgets idle series, a few pages at a time: the whole table within ten minutes of rule time.
    pub fn sweep(&mut self, now: Millis, out: &mut Applied) {
        let elapsed = now.since(self.swept);
        if elapsed < 1000 {
            return;
        }
        self.swept = now;
        let pages = self.rows.page_count() as u64;
        if pages == 0 {
            return;
        }
        let due = (pages * elapsed.min(SWEEP_MS) as u64).div_ceil(SWEEP_MS as u64);
        let mut idle = Vec::new();
        for _ in 0..due {
            let first = (self.sweep_page % pages) as u32 * 64;
            self.sweep_page = (self.sweep_page + 1) % pages;
            for id in first..(first + 64).min(self.rows.end()) {
                if self.rows.get(id).is_some_and(|row| now.since(row.seen) > IDLE_MS.max(row.keep)) {
                    idle.push(id);
                }
            }
        }
        if !idle.is_empty() {
            idle.iter().for_each(|&id| self.forget(id, out));
            // Keys of forgotten series must not lead to whoever gets the id next.
            let rows = &self.rows;
            self.keys.retain(|(_, id)| rows.get(*id).is_some());
        }
    }

    /// Registers what somebody reads again and again; the number names it in [`SeriesStore::members`].
    ///
    /// - `keep`: how far back it is read, in ms.
    /// - `told`: whether each new sample of a member is to appear in [`Applied::touches`].
    pub fn select(&mut self, matchers: &[Matcher], keep: i64, told: bool) -> u32 {
        let number = self.selections.len() as u32;
        let members = self.find(matchers);
        for &id in &members {
            join(&mut self.rows, id, number, keep);
        }
        match matchers.iter().find(|m| m.op == MatchOp::Equal && m.name == faultline_model::labels::NAME) {
            Some(name) => self.by_name.entry(name.value.clone()).or_default().push(number),
            None => self.any_name.push(number),
        }
        self.selections.push(Selection { matchers: matchers.to_vec(), keep, members, told });
        number
    }

    /// Drops every selection: rules are being replaced.
    pub fn clear_selections(&mut self) {
        self.selections.clear();
        self.by_name.clear();
        self.any_name.clear();
        for id in 0..self.rows.end() {
            if self.rows.get(id).is_some_and(|row| !row.selections.is_empty()) {
                let row = self.rows.row_mut(id);
                row.selections = Vec::new();
                row.keep = 0;
            }
        }
    }

    /// Visits a selection's series in label order.
    pub fn members(&self, selection: u32, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for &id in &self.selections[selection as usize].members {
            visit(self.view(id));
        }
    }

    /// Series that the matchers accept, in label order.
    pub fn find(&self, matchers: &[Matcher]) -> Vec<u32> {
        let accepted = |id: &u32| self.rows.get(*id).is_some_and(|row| accepts(matchers, &row.labels));
        let mut ids: Vec<u32> = match self.postings.candidates(matchers) {
            Some(ids) => ids.into_iter().filter(accepted).collect(),
            None => (0..self.rows.end()).filter(accepted).collect(),
        };
        ids.sort_by(|&a, &b| row(&self.rows, a).labels.cmp(&row(&self.rows, b).labels));
        ids
    }

    /// A series by id, which must be in use.
    pub fn view(&self, id: u32) -> SeriesView<'_> {
        let row = row(&self.rows, id);
        SeriesView { id, labels: &row.labels, samples: row.ring.samples() }
    }

    /// Every series, in id order.
    pub fn iter(&self) -> impl Iterator<Item = SeriesView<'_>> {
        self.rows.iter().map(|(id, row)| SeriesView { id, labels: &row.labels, samples: row.ring.samples() })
    }

    /// Number of pages of rows: with [`SeriesStore::write_page`] and [`SeriesStore::write_rest`], all of the state.
    pub fn page_count(&self) -> usize {
        self.rows.page_count()
    }

    /// Writes one page of rows.
    pub fn write_page(&self, page: usize, w: &mut Writer) {
        self.rows.write_page(page, w);
    }

    /// Writes what is beside the pages.
    pub fn write_rest(&self, w: &mut Writer) {
        self.rows.write_free(w);
        Rest {
            series_max: self.series_max as u64,
            counts: self.counts,
            swept: self.swept,
            sweep_page: self.sweep_page,
            pages: self.rows.page_count() as u64,
        }
        .write(w);
    }

    /// Reads `pages` pages and what is beside them, and builds everything derived, selections excepted.
    pub fn read(r: &mut Reader<'_>, pages: usize, seed: HashSeed) -> Result<SeriesStore, CodecError> {
        let rows = Table::read(r, pages)?;
        let rest = Rest::read(r)?;
        let mut store = SeriesStore {
            rows,
            counts: rest.counts,
            swept: rest.swept,
            sweep_page: rest.sweep_page,
            ..SeriesStore::new(seed, rest.series_max as usize)
        };
        for id in 0..store.rows.end() {
            if store.rows.get(id).is_some() {
                store.index(id);
            }
        }
        Ok(store)
    }
}

#[inline]
fn row(rows: &Table<Row>, id: u32) -> &Row {
    rows.get(id).expect("the id is in use")
}

fn join(rows: &mut Table<Row>, id: u32, selection: u32, keep: i64) {
    let row = rows.row_mut(id);
    row.selections.push(selection);
    row.keep = row.keep.max(keep);
}

fn accepts(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|m| m.matches(labels.get(&m.name)))
}

fn add_difference(total: &mut SampleCounts, before: SampleCounts, after: SampleCounts) {
    total.accepted += after.accepted - before.accepted;
    total.duplicates += after.duplicates - before.duplicates;
    total.conflicts += after.conflicts - before.conflicts;
    total.too_old += after.too_old - before.too_old;
    total.future += after.future - before.future;
    total.cardinality += after.cardinality - before.cardinality;
}

#[cfg(test)]
mod tests;
