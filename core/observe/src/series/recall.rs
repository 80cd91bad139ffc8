//! Samples that the recent store kept, put back before those that rings hold.
use super::{AHEAD_MAX_MS, Applied, Row, SeriesStore, WHOLE};
use crate::histograms::{HistogramRing, bytes_of};
use crate::ring::SAMPLES_MAX;
use alloc::vec::Vec;
use faultline_model::{HistogramSample, Millis, RecalledSeries, Sample};

impl SeriesStore {
    /// Puts what was kept of a series before what its rings hold, at rule time `now`. Samples that are there stay as they are, and
    /// none is told: they are old. The series is made where it was forgotten. False where there is no room.
    ///
    /// - `since`: from here on `kept` has every sample that was accepted before the rings begin.
    pub fn recall(&mut self, kept: &RecalledSeries, since: Millis, now: Millis, out: &mut Applied) -> bool {
        let (samples, histograms) =
            (from(&kept.samples, since, Sample::time), from(&kept.histograms, since, |s| s.time));
        let bytes: usize = histograms.iter().map(bytes_of).sum();
        let full =
            self.held + samples.len() > self.samples_max || self.histogram_bytes + bytes > self.histogram_bytes_max;
        if full || samples.is_empty() && histograms.is_empty() {
            return !full;
        }
        let known = self.find_labels(&kept.labels);
        let Some(id) = known.or_else(|| self.intern(&kept.labels, out)) else { return false };
        let row = self.rows.row_mut(id);
        if known.is_none() {
            let newest = samples.last().map(Sample::time).max(histograms.last().map(|sample| sample.time));
            row.seen = newest.map_or(now, |newest| newest.min(now));
        }
        let thinned = out.counts.thinned;
        let bound = now.plus(AHEAD_MAX_MS);
        let before = row.ring.len();
        let of_histograms = row.histograms.as_ref();
        let samples: Vec<Sample> =
            samples.iter().filter(|s| !of_histograms.is_some_and(|ring| ring.has(s.time()))).copied().collect();
        let whole_from = row.ring.samples().first().map_or(bound, |first| first.time().max(row.since));
        row.ring.recall(&samples, whole_from, now, row.keep);
        let is_number = |time: Millis| row.ring.samples().binary_search_by_key(&time, Sample::time).is_ok();
        let histograms: Vec<HistogramSample> = histograms.iter().filter(|s| !is_number(s.time)).cloned().collect();
        if !histograms.is_empty() {
            let mut ring = row.histograms.take().unwrap_or_default();
            let (was_empty, held) = (ring.is_empty(), ring.bytes());
            let whole_from = ring.samples().first().map_or(bound, |first| first.time.max(row.since));
            ring.recall(&histograms, whole_from, now, row.keep);
            if ring.len() > SAMPLES_MAX {
                out.counts.thinned += ring.thin() as u64;
            }
            self.histogram_bytes = self.histogram_bytes + ring.bytes() - held;
            self.histogram_series += usize::from(was_empty);
            self.histogram_series -= usize::from(ring.is_empty());
            row.histograms = (!ring.is_empty()).then_some(ring);
        }
        row.filled(since);
        let len = row.ring.len();
        self.held = self.held + len - before;
        if len > before && (len > SAMPLES_MAX || self.held > self.samples_max / 4 * 3) {
            self.thin(id, out);
        }
        self.counts.thinned += out.counts.thinned - thinned;
        true
    }
}

/// Those of rising samples at `since` or later.
fn from<T>(samples: &[T], since: Millis, time: impl Fn(&T) -> Millis) -> &[T] {
    &samples[samples.partition_point(|sample| time(sample) < since)..]
}

impl Row {
    /// Time of the oldest sample of either kind.
    fn oldest(&self) -> Option<Millis> {
        let of_histograms = |ring: &HistogramRing| ring.samples().first().map(|sample| sample.time);
        let (number, histogram) =
            (self.ring.samples().first().map(Sample::time), self.histograms.as_deref().and_then(of_histograms));
        number.into_iter().chain(histogram).min()
    }

    /// Nothing is missing from `since` on.
    fn filled(&mut self, since: Millis) {
        if self.since > since {
            self.since = if self.oldest().is_some_and(|oldest| oldest < since) { since } else { WHOLE };
        }
    }

    /// Forgets a hole that lies before all that is kept.
    pub(super) fn forget_hole(&mut self) {
        if self.since != WHOLE && self.oldest().is_none_or(|oldest| oldest >= self.since) {
            self.since = WHOLE;
        }
    }
}
