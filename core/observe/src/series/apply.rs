//! Samples into their rings: a record's points, what the engine makes itself, and what goes again.
use super::{AHEAD_MAX_MS, Applied, IDLE_MS, NO_SOURCE, Named, SWEEP_MS, SeriesStore, Touch, UNKNOWN};
use crate::replicas::ALONE;
use crate::ring::{LOOKBACK_MS, Pushed, SAMPLES_MAX, SampleCounts};
use alloc::vec::Vec;
use faultline_formats::{Decoded, PointFlags, label_sets};
use faultline_model::{HistogramSample, Labels, Millis, Sample, SeriesKey};

impl SeriesStore {
    /// Applies a record's points at rule time `now`.
    ///
    /// - `source`: the row of whoever sent it, or [`NO_SOURCE`](super::NO_SOURCE).
    pub fn apply(&mut self, decoded: &Decoded, source: u32, now: Millis, out: &mut Applied) {
        self.speaks = source;
        let before = out.counts;
        let (points, histograms) = (&decoded.events.points, &decoded.events.histograms);
        // Names first, samples second: the order in which samples are applied must not depend on which keys this
        // process happens to remember, or a restored engine would differ from one that ran on.
        let mut ids = core::mem::take(&mut self.ids);
        ids.clear();
        let keys = &self.keys;
        let nothing = Named { id: UNKNOWN, replica: ALONE };
        let known = |key: SeriesKey| keys.find(key.0 as u64, |known| known.0 == key.0).map_or(nothing, |known| known.1);
        ids.extend(points.iter().map(|point| known(point.key)));
        ids.extend(histograms.iter().map(|point| known(point.key)));
        let unknown = (0..ids.len()).filter(|&i| ids[i].id == UNKNOWN);
        let mut unknown: Vec<(u32, SeriesKey, usize)> = unknown
            .map(|i| match points.get(i) {
                Some(point) => (point.place, point.key, i),
                None => (histograms[i - points.len()].place, histograms[i - points.len()].key, i),
            })
            .collect();
        if !unknown.is_empty() {
            if !histograms.is_empty() {
                unknown.sort_by_key(|unknown| unknown.0);
            }
            let places: Vec<u32> = unknown.iter().map(|unknown| unknown.0).collect();
            let sets = label_sets(decoded, &places);
            assert_eq!(sets.len(), places.len(), "a label set for each place");
            for (&(_, key, i), labels) in unknown.iter().zip(sets) {
                let (replica, labels) = self.replicas.tell(labels, now);
                if let Some(id) = self.intern(&labels, out) {
                    ids[i] = Named { id, replica };
                    self.alias(key, ids[i]);
                }
            }
        }
        for (point, &Named { id, replica }) in points.iter().zip(&ids) {
            if id == UNKNOWN {
                out.counts.cardinality += 1;
            } else if self.replicas.hears(replica, now) {
                self.put(id, point.time, point.value, point.flags, now, out);
            }
        }
        for (point, &Named { id, replica }) in histograms.iter().zip(&ids[points.len()..]) {
            if id == UNKNOWN {
                out.counts.cardinality += 1;
            } else if self.replicas.hears(replica, now) {
                let sample = HistogramSample { time: point.time, histogram: point.histogram.clone() };
                self.push_histogram(id, sample, now, out);
            }
        }
        self.ids = ids;
        if !decoded.events.exemplars.is_empty() {
            self.exemplars(decoded, out);
        }
        if self.replicas.is_full() {
            // Keys hold their numbers.
            self.replicas.forget();
            self.keys.clear();
        }
        self.speaks = NO_SOURCE;
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

    /// Adds one histogram by its labels: recording rules.
    pub fn append_histogram(&mut self, labels: &Labels, sample: HistogramSample, now: Millis, out: &mut Applied) {
        let before = out.counts;
        match self.intern(labels, out) {
            Some(id) => self.push_histogram(id, sample, now, out),
            None => out.counts.cardinality += 1,
        }
        add_difference(&mut self.counts, before, out.counts);
    }

    /// Adds one sample to a series that is there.
    pub fn append_to(&mut self, id: u32, sample: Sample, now: Millis, out: &mut Applied) {
        let before = out.counts;
        self.push(id, sample, now, out);
        add_difference(&mut self.counts, before, out.counts);
    }

    /// Remembers that a key names a series. A sender that spells one series in ever new ways costs a lookup by labels
    /// each time, never memory without bound.
    pub(super) fn alias(&mut self, key: SeriesKey, named: Named) {
        if self.keys.len() >= self.series_max.saturating_mul(2).max(1024) {
            self.keys.clear();
        }
        // One body may name a new series many times.
        if self.keys.find(key.0 as u64, |known| known.0 == key.0).is_none() {
            self.keys.insert_unique(key.0 as u64, (key.0, named), |known| known.0 as u64);
        }
    }

    #[inline]
    pub(super) fn put(&mut self, id: u32, time: Millis, value: f64, flags: PointFlags, now: Millis, out: &mut Applied) {
        if flags.has(PointFlags::DELTA) && !flags.has(PointFlags::STALE) {
            return self.put_delta(id, time, value, now, out);
        }
        let sample = if flags.has(PointFlags::STALE) { Sample::stale(time) } else { Sample::new(time, value) };
        self.push(id, sample, now, out);
    }

    /// Adds a delta to its series' running total, which is the sample. A late one has no place among totals that leave it
    /// out: the next sample carries it.
    fn put_delta(&mut self, id: u32, time: Millis, value: f64, now: Millis, out: &mut Applied) {
        let row = self.rows.row_mut(id);
        let samples = row.ring.samples();
        if time > now.plus(AHEAD_MAX_MS) {
            out.counts.future += 1;
        } else if samples.last().is_none_or(|last| last.time() < time) {
            row.total += value;
            let sample = Sample::new(time, row.total);
            self.push(id, sample, now, out);
        } else if samples.binary_search_by_key(&time, Sample::time).is_ok() {
            // Added twice it would count twice; whether it is the same delta again cannot be told from the totals.
            out.counts.conflicts += 1;
        } else if time <= now.plus(-row.keep.max(LOOKBACK_MS)) {
            out.counts.too_old += 1;
        } else {
            row.total += value;
            row.seen = now;
            out.counts.accepted += 1;
        }
    }

    #[inline]
    fn push(&mut self, id: u32, sample: Sample, now: Millis, out: &mut Applied) {
        if sample.time() > now.plus(AHEAD_MAX_MS) {
            out.counts.future += 1;
            return;
        }
        let row = self.rows.row_mut(id);
        if let Some(ring) = &row.histograms {
            let newest = |time: Option<Millis>| time.unwrap_or(Millis(i64::MIN));
            let of_floats = newest(row.ring.samples().last().map(Sample::time));
            if sample.is_stale() && newest(ring.samples().last().map(|sample| sample.time)) > of_floats {
                // Stale markers come as floats; one that ends histograms belongs among them, as in Prometheus.
                let stale = HistogramSample { time: sample.time(), histogram: None };
                return self.push_histogram(id, stale, now, out);
            }
            if ring.has(sample.time()) {
                out.counts.conflicts += 1;
                return;
            }
        }
        let before = row.ring.len();
        let pushed = row.ring.push(sample, now, row.keep);
        let len = row.ring.len();
        self.held = self.held + len - before;
        match pushed {
            Pushed::Newest | Pushed::Inserted => {}
            Pushed::Late => {
                row.seen = now;
                out.counts.accepted += 1;
                out.samples.push((id, sample));
                return;
            }
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
        if pushed == Pushed::Inserted
            && self.notes_holes
            && let [first, next, _, ..] = row.ring.samples()
            && first.time() == sample.time()
        {
            // What came between the two may have been dropped while nobody read the series.
            row.since = row.since.max(next.time());
        }
        row.seen = now;
        row.source = self.speaks;
        out.counts.accepted += 1;
        out.samples.push((id, sample));
        if row.metered {
            out.metered.push((id, sample));
        }
        for &selection in &row.selections {
            if self.selections[selection as usize].told {
                out.touches.push(Touch { selection, series: id });
            }
        }
        if len > before && (len > SAMPLES_MAX || self.held > self.samples_max / 4 * 3) {
            self.thin(id, out);
        }
    }

    /// Adds a histogram to its series.
    fn push_histogram(&mut self, id: u32, sample: HistogramSample, now: Millis, out: &mut Applied) {
        let time = sample.time;
        if time > now.plus(AHEAD_MAX_MS) {
            out.counts.future += 1;
            return;
        }
        let row = self.rows.row_mut(id);
        if row.ring.samples().binary_search_by_key(&time, Sample::time).is_ok() {
            out.counts.conflicts += 1;
            return;
        }
        let mut ring = row.histograms.take().unwrap_or_default();
        let (keep, before, was_empty) = (row.keep, ring.bytes(), ring.is_empty());
        let pushed = ring.push(sample.clone(), now, keep);
        let mut all = self.histogram_bytes + ring.bytes() - before;
        if ring.bytes() > before && (ring.len() > SAMPLES_MAX || all > self.histogram_bytes_max / 4 * 3) {
            let share = self.histogram_bytes_max / 4 / (self.histogram_series + usize::from(was_empty));
            if ring.len() > 2 && (ring.len() > SAMPLES_MAX || ring.bytes() > share) {
                out.counts.thinned += ring.thin() as u64;
                all = self.histogram_bytes + ring.bytes() - before;
            }
        }
        let no_room = ring.bytes() > before && all > self.histogram_bytes_max;
        if no_room {
            ring.remove(time);
        }
        self.histogram_bytes = self.histogram_bytes + ring.bytes() - before;
        self.histogram_series += usize::from(was_empty);
        self.histogram_series -= usize::from(ring.is_empty());
        let row = self.rows.row_mut(id);
        if pushed == Pushed::Inserted
            && self.notes_holes
            && let [first, next, _, ..] = ring.samples()
            && first.time == time
        {
            row.since = row.since.max(next.time);
        }
        row.histograms = (!ring.is_empty()).then_some(ring);
        match pushed {
            _ if no_room => out.no_room += 1,
            Pushed::Duplicate => out.counts.duplicates += 1,
            Pushed::Conflict => out.counts.conflicts += 1,
            Pushed::TooOld => out.counts.too_old += 1,
            Pushed::Newest | Pushed::Inserted | Pushed::Late => {
                row.seen = now;
                out.counts.accepted += 1;
                out.histograms.push((id, sample));
                if pushed != Pushed::Late {
                    row.source = self.speaks;
                    for &selection in &row.selections {
                        if self.selections[selection as usize].told {
                            out.touches.push(Touch { selection, series: id });
                        }
                    }
                }
            }
        }
    }

    /// Thins a ring that has grown past what it may hold.
    #[cold]
    pub(super) fn thin(&mut self, id: u32, out: &mut Applied) {
        let share = self.samples_max / 4 / self.rows.len();
        let ring = &mut self.rows.row_mut(id).ring;
        if ring.len() > share.min(SAMPLES_MAX) {
            let gone = ring.thin();
            self.held -= gone;
            out.counts.thinned += gone as u64;
        }
    }

    /// Forgets idle series, and samples that nothing reads any more of those that rest, a few pages at a time: the whole
    /// table within ten minutes of rule time.
    ///
    /// - `held`: series that somebody appends to by their ids, in any order, with ids of none among them: they stay. Where
    ///   rule time jumps, as over a stop, all of them are idle at once, and what is appended next must find its series.
    pub fn sweep(&mut self, now: Millis, held: &[u32], out: &mut Applied) {
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
                let Some(row) = self.rows.get(id) else { continue };
                if now.since(row.seen) > IDLE_MS.max(row.keep.saturating_add(LOOKBACK_MS)) {
                    idle.push(id);
                } else if row.ring.len() > 2 {
                    let row = self.rows.row_mut(id);
                    self.held -= row.ring.trim(now, row.keep);
                    row.forget_hole();
                }
                if self.rows.get(id).and_then(|row| row.histograms.as_ref()).is_some_and(|ring| ring.len() > 2) {
                    let row = self.rows.row_mut(id);
                    if let Some(ring) = &mut row.histograms {
                        let before = ring.bytes();
                        ring.trim(now, row.keep);
                        self.histogram_bytes -= before - ring.bytes();
                    }
                }
            }
        }
        if !idle.is_empty() {
            let mut held = held.to_vec();
            held.sort();
            idle.retain(|&id| {
                held.binary_search(&id).is_err() || {
                    self.rows.row_mut(id).seen = now;
                    false
                }
            });
        }
        if !idle.is_empty() {
            idle.iter().for_each(|&id| self.forget(id, out));
            // Keys of forgotten series must not lead to whoever gets the id next.
            let rows = &self.rows;
            self.keys.retain(|(_, named)| rows.get(named.id).is_some());
        }
    }
}

pub(super) fn add_difference(total: &mut SampleCounts, before: SampleCounts, after: SampleCounts) {
    total.accepted += after.accepted - before.accepted;
    total.duplicates += after.duplicates - before.duplicates;
    total.conflicts += after.conflicts - before.conflicts;
    total.too_old += after.too_old - before.too_old;
    total.future += after.future - before.future;
    total.cardinality += after.cardinality - before.cardinality;
    total.thinned += after.thinned - before.thinned;
}
