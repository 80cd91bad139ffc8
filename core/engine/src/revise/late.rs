//! Which instants of which rules a late sample was missing from.
use super::{LATE_MS, SETTLE_MAX_MS, Touched, unrevised};
use crate::effect::Emitter;
use crate::engine::Engine;
use alloc::collections::BTreeMap;
use alloc::format;
use faultline_model::Millis;
use faultline_model::facts::{Late, LateSeries};
use faultline_rules::UnitKey;

impl Engine {
    /// Notes the late ones of the samples of a record that were accepted a moment ago.
    pub(crate) fn note_late(&mut self, emit: &mut Emitter<'_>) {
        if !self.revisions.on || !self.live {
            return;
        }
        let (now, bound) = (self.now, self.now.plus(-LATE_MS));
        let samples = self.applied.samples.iter().map(|(id, sample)| (*id, sample.time()));
        let histograms = self.applied.histograms.iter().map(|(id, sample)| (*id, sample.time));
        let mut late: BTreeMap<u32, (u64, Millis, Millis)> = BTreeMap::new();
        for (id, time) in samples.chain(histograms).filter(|(_, time)| *time < bound) {
            let (count, first, last) = late.entry(id).or_insert((0, time, time));
            (*count, *first, *last) = (*count + 1, time.min(*first), time.max(*last));
        }
        let mut touched: BTreeMap<&UnitKey, Touched> = BTreeMap::new();
        for (id, (samples, first, last)) in late {
            self.revisions.kept.late += samples;
            // Several of its selectors may read the same series.
            let mut spans: BTreeMap<&UnitKey, (Millis, Millis)> = BTreeMap::new();
            for selection in self.series.selections_of(id) {
                for (key, first_ms, last_ms) in self.revisions.reads.get(*selection as usize).into_iter().flatten() {
                    let (from, to) = (first.plus(*first_ms), last.plus(*last_ms).min(now));
                    let span = spans.entry(key).or_insert((from, to));
                    *span = (span.0.min(from), span.1.max(to));
                }
            }
            if spans.is_empty() {
                continue;
            }
            let late = Late::of(LateSeries { labels: self.series.view(id).labels.clone(), samples, first, last });
            for (key, (from, to)) in spans {
                let it = Touched { from, to, begun: now, newest: now, late: late.clone() };
                match touched.get_mut(key) {
                    Some(known) => known.add(&it),
                    None => drop(touched.insert(key, it)),
                }
            }
        }
        let touched: alloc::vec::Vec<(UnitKey, Touched)> =
            touched.into_iter().map(|(key, it)| (key.clone(), it)).collect();
        for (key, it) in touched {
            if self.revisions.touch(key.clone(), it.clone()) {
                continue;
            }
            let since = self.revisions.since(&key, now);
            if now.since(since) >= SETTLE_MAX_MS {
                self.revisions.raise(&key, now, now);
                let why = format!("{} rules wait to be looked at again", super::TOUCHED_MAX);
                unrevised(key, it, why, emit);
            }
        }
    }
}
