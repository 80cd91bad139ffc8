//! Series: found by key, indexed by label, kept as rings, handed to selections in label order.
use crate::postings::Postings;
use crate::replicas::{ReplicaLabels, Replicas};
use crate::ring::{LOOKBACK_MS, Ring, SampleCounts, UNREAD};
use crate::{mesh, resource};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;
use faultline_formats::Exemplar;
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{
    Canonical, CodecError, HashSeed, HistogramSample, Labels, Millis, Reader, Sample, Table, Writer,
};
use faultline_promql::{MatchOp, Matcher, SeriesView};
use hashbrown::HashTable;
use row::Row;

mod apply;
mod exemplars;
mod recall;
mod row;

/// Most samples ahead of rule time that is still believed: a sender's clock may be this wrong.
pub const AHEAD_MAX_MS: i64 = 10 * 60_000;
/// Most samples in all rings together, 16 bytes each: 512 MiB, and twice that with the room that rings hold at worst.
///
/// Three quarters are for whoever comes first. Once they are taken, a ring that grows past its share of the last quarter
/// (that quarter divided by the number of series) is thinned, so that every series keeps a stretch and none starves
/// another. Two samples of each series are kept whatever the bound.
pub const SAMPLES_ALL_MAX: usize = 32 << 20;
/// Most bytes of histograms in all rings together, as [`crate::histograms::bytes_of`] counts them.
///
/// Three quarters are for whoever comes first, then a ring that grows past its share is thinned, as with floats. A histogram for
/// which there is still no room is refused: one may be larger than a thousand floats.
pub const HISTOGRAM_BYTES_MAX: usize = 256 << 20;
/// A series without samples for this long is forgotten, unless a rule reads further back.
pub const IDLE_MS: i64 = 3_600_000;
/// An idle series is found within this time.
const SWEEP_MS: i64 = 600_000;
/// Name of the rows' table.
const TABLE: &str = "series";
/// Marks a point whose series has no id.
const UNKNOWN: u32 = u32::MAX;
/// Of a series whose rings are whole from their oldest samples on.
const WHOLE: Millis = Millis(i64::MIN);
/// Stands for the source of samples that nobody sent: of rules and of the graph.
pub const NO_SOURCE: u32 = u32::MAX;

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

/// Series that are touched together before they are read.
const AHEAD: usize = 32;

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
    /// Histograms accepted, with their series.
    pub histograms: Vec<(u32, HistogramSample)>,
    /// Exemplars of series that are there.
    pub exemplars: Vec<(u32, Exemplar)>,
    /// Exemplars of others, and of replicas that are not heard.
    pub strays: u64,
    /// Series first seen, with their labels, before any sample of theirs.
    pub created: Vec<(u32, Labels)>,
    /// Series forgotten. Their ids may come again in a later `created`.
    pub evicted: Vec<u32>,
    /// New samples of series of standard metrics ([`crate::mesh`]), which the service graph reads.
    pub metered: Vec<(u32, Sample)>,
    /// Members of told selections that got a sample; may repeat.
    pub touches: Vec<Touch>,
    /// Counts of this record alone.
    pub counts: SampleCounts,
    /// Histograms of this record for which there was no room.
    pub no_room: u64,
}

impl Applied {
    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.histograms.clear();
        self.no_room = 0;
        self.exemplars.clear();
        self.strays = 0;
        self.created.clear();
        self.evicted.clear();
        self.metered.clear();
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
    samples_max: usize,
    /// Time of the newest sample of all series that were forgotten.
    forgotten: Option<Millis>,
    replicas: Replicas,
    /// The source whose record is being applied.
    speaks: u32,
    /// Whether it is noted where a ring is not whole.
    notes_holes: bool,
    // From here on derived, built again on restore.
    /// Samples in all rings.
    held: usize,
    /// Bytes of histograms in all rings, and how many series have any.
    histogram_bytes: usize,
    histogram_series: usize,
    histogram_bytes_max: usize,
    keys: HashTable<(u128, Named)>,
    by_labels: HashTable<u32>,
    postings: Postings,
    selections: Vec<Selection>,
    by_name: BTreeMap<String, Vec<u32>>,
    any_name: Vec<u32>,
    ids: Vec<Named>,
}

/// The series that a key names, and the number of the replica that sends it under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    id: u32,
    replica: u32,
}

/// What is written beside the rows.
struct Rest {
    series_max: u64,
    counts: SampleCounts,
    swept: Millis,
    sweep_page: u64,
    forgotten: Option<Millis>,
    /// Written where it says something: states from before it have five fields.
    replicas: Replicas,
}

impl Canonical for Rest {
    fn write(&self, w: &mut Writer) {
        let alone = self.replicas == Replicas::default();
        w.array(if alone { 5 } else { 6 });
        self.series_max.write(w);
        self.counts.write(w);
        self.swept.write(w);
        self.sweep_page.write(w);
        self.forgotten.write(w);
        if !alone {
            self.replicas.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let refused = r.invalid("what is beside the series");
        let fields = r.array()?;
        let mut rest = Rest {
            series_max: Canonical::read(r)?,
            counts: Canonical::read(r)?,
            swept: Canonical::read(r)?,
            sweep_page: Canonical::read(r)?,
            forgotten: Canonical::read(r)?,
            replicas: Replicas::default(),
        };
        if fields == 6 {
            rest.replicas = Canonical::read(r)?;
        }
        // One value has one form.
        let expected = if rest.replicas == Replicas::default() { 5 } else { 6 };
        if fields == expected && rest.replicas.is_sound() { Ok(rest) } else { Err(refused) }
    }
}

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
            samples_max: SAMPLES_ALL_MAX,
            held: 0,
            histogram_bytes: 0,
            histogram_series: 0,
            histogram_bytes_max: HISTOGRAM_BYTES_MAX,
            forgotten: None,
            replicas: Replicas::default(),
            speaks: NO_SOURCE,
            notes_holes: true,
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

    /// Samples kept for rules, in all series together: at most [`SAMPLES_ALL_MAX`] and two of each series.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Bytes of histograms kept for rules, in all series together: at most [`HISTOGRAM_BYTES_MAX`].
    pub fn histogram_bytes(&self) -> usize {
        self.histogram_bytes
    }

    /// Servers that send the same series.
    pub fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// Changes the labels that name them; keys are told apart anew.
    pub fn set_replica_labels(&mut self, labels: ReplicaLabels) {
        if *self.replicas.labels() != labels {
            self.replicas.set_labels(labels);
            self.keys.clear();
        }
    }

    /// Whether it is noted from here on that a late sample stands before a hole. What is unknown for how long hangs on it.
    pub fn note_holes(&mut self, notes: bool) {
        self.notes_holes = notes;
    }

    /// Changes the most series held; those there stay.
    pub fn set_series_max(&mut self, series_max: usize) {
        self.series_max = series_max;
    }

    /// The id of a label set that is there.
    fn find_labels(&self, labels: &Labels) -> Option<u32> {
        let (hash, rows) = (labels.key(self.seed).0 as u64, &self.rows);
        self.by_labels.find(hash, |&id| row(rows, id).labels == *labels).copied()
    }

    /// The id of a label set, new or not; nothing where there is no room.
    fn intern(&mut self, labels: &Labels, out: &mut Applied) -> Option<u32> {
        if let Some(id) = self.find_labels(labels) {
            return Some(id);
        }
        if self.rows.len() >= self.series_max {
            return None;
        }
        let id = self.rows.insert(Row {
            labels: labels.clone(),
            ring: Ring::default(),
            histograms: None,
            seen: Millis(0),
            total: 0.0,
            source: NO_SOURCE,
            since: WHOLE,
            selections: Vec::new(),
            keep: UNREAD,
            metered: false,
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
        if mesh::is_standard(labels.name()) || resource::is_standard(labels.name()) {
            self.rows.row_mut(id).metered = true;
        }
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
        let it = row(&self.rows, id);
        let newest = it.ring.samples().last().map(|sample| sample.time());
        let newest_histogram = it.histograms.as_ref().and_then(|ring| ring.samples().last()).map(|sample| sample.time);
        self.forgotten = self.forgotten.max(newest).max(newest_histogram);
        if let Some(ring) = &it.histograms {
            self.histogram_bytes -= ring.bytes();
            self.histogram_series -= 1;
        }
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
        self.held -= row(&self.rows, id).ring.len();
        self.rows.remove(id);
        out.evicted.push(id);
    }

    /// Registers what somebody reads again and again; the number names it in [`SeriesStore::members`].
    ///
    /// - `keep`: how far back it is read, in ms; the newest sample before that is kept too.
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
                row.keep = UNREAD;
            }
        }
    }

    /// Visits a selection's series in label order.
    pub fn members(&self, selection: u32, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for ids in self.selections[selection as usize].members.chunks(AHEAD) {
            self.fetch(ids);
            ids.iter().for_each(|&id| visit(self.view(id)));
        }
    }

    /// Touches series that are about to be read, which must be in use: they lie all over memory, and waiting for several at once
    /// takes little longer than waiting for one.
    pub fn fetch(&self, ids: &[u32]) {
        for ids in ids.chunks(AHEAD) {
            let mut all: [&[Sample]; AHEAD] = [&[]; AHEAD];
            for (samples, &id) in all.iter_mut().zip(ids) {
                *samples = row(&self.rows, id).ring.samples();
            }
            let ends = all.iter().filter_map(|samples| Some((samples.first()?.time(), samples.last()?.time())));
            black_box(ends.fold(0, |all, (first, last)| all ^ first.0 ^ last.0));
        }
    }

    /// Whether there is a series of this number, and a selection has it.
    pub fn is_member(&self, id: u32, selection: u32) -> bool {
        self.rows.get(id).is_some_and(|row| row.selections.contains(&selection))
    }

    /// A selection's series, in label order.
    pub fn ids(&self, selection: u32) -> &[u32] {
        &self.selections[selection as usize].members
    }

    /// The selections that a series belongs to.
    pub fn selections_of(&self, id: u32) -> &[u32] {
        &row(&self.rows, id).selections
    }

    /// Who sent a series' newest sample (a row of the sources, or [`NO_SOURCE`]), and at which rule time.
    pub fn heard(&self, id: u32) -> (u32, Millis) {
        let row = row(&self.rows, id);
        (row.source, row.seen)
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

    /// The time from which on no sample is missing of any series that the matchers accept, had each been read from its
    /// first sample on; nothing where none can be missing.
    ///
    /// A ring is whole from its oldest sample on, unless a late one stands before a hole, and one with fewer than two is whole: two
    /// are never dropped. Of series that were forgotten nobody knows which they were: they count for all, as long as an instant
    /// selector sees them. A thinned ring counts as whole: who read it all along reads the same.
    pub fn whole_since(&self, matchers: &[Matcher]) -> Option<Millis> {
        let mut oldest = None;
        for id in self.find(matchers) {
            let SeriesView { samples, histograms, .. } = self.view(id);
            if let [first, _, ..] = samples {
                oldest = oldest.max(Some(first.time()));
            }
            if let [first, _, ..] = histograms {
                oldest = oldest.max(Some(first.time));
            }
            let since = row(&self.rows, id).since;
            oldest = oldest.max(Some(since).filter(|since| *since != WHOLE));
        }
        oldest.max(self.forgotten.map(|newest| newest.plus(LOOKBACK_MS)))
    }

    /// A series by id, which must be in use.
    pub fn view(&self, id: u32) -> SeriesView<'_> {
        let row = row(&self.rows, id);
        let histograms = row.histograms.as_ref().map_or(&[][..], |ring| ring.samples());
        let (samples, marks) = (row.ring.samples(), row.ring.marks());
        SeriesView { id, labels: &row.labels, samples, histograms, starts: None, marks }
    }

    /// Every series, in id order.
    pub fn iter(&self) -> impl Iterator<Item = SeriesView<'_>> {
        self.rows.iter().map(|(id, _)| self.view(id))
    }

    /// The rows, by the name of their table: with [`SeriesStore::write_rest`], all of the state.
    pub fn tables(&mut self) -> [(&'static str, &mut dyn Paged); 1] {
        [(TABLE, &mut self.rows)]
    }

    /// Writes what is beside the rows.
    pub fn write_rest(&self, w: &mut Writer) {
        w.array(2);
        self.rows.write_rest(w);
        Rest {
            series_max: self.series_max as u64,
            counts: self.counts,
            swept: self.swept,
            sweep_page: self.sweep_page,
            forgotten: self.forgotten,
            replicas: self.replicas.clone(),
        }
        .write(w);
    }

    /// Reads what is beside the rows from `r` and the rows from `pages`, and builds everything derived, selections
    /// excepted.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes, seed: HashSeed) -> Result<SeriesStore, CodecError> {
        r.array_of(2)?;
        let rows = Table::read(r, TABLE, pages)?;
        let rest = Rest::read(r)?;
        let mut store = SeriesStore {
            rows,
            counts: rest.counts,
            swept: rest.swept,
            sweep_page: rest.sweep_page,
            forgotten: rest.forgotten,
            replicas: rest.replicas,
            ..SeriesStore::new(seed, rest.series_max as usize)
        };
        for id in 0..store.rows.end() {
            if let Some(row) = store.rows.get(id) {
                store.held += row.ring.len();
                if let Some(ring) = &row.histograms {
                    store.histogram_bytes += ring.bytes();
                    store.histogram_series += 1;
                }
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

#[cfg(test)]
mod tests;
