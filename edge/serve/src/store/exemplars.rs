//! Exemplars: the newest of all series together, in one ring.
//!
//! What is taken and what is passed is as in Prometheus' `tsdb/exemplar.go`, v3.15, without its window for late ones (its default).
use faultline_formats::Exemplar;
use faultline_model::{Labels, Millis};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// Exemplars kept, of all series together: Prometheus' default.
pub const EXEMPLARS_MAX: usize = 100_000;
/// Series looked at under one hold of the lock.
pub(crate) const PAGE: usize = 64;

/// How many there are, and what became of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExemplarCounts {
    /// Kept.
    pub held: usize,
    /// Series that have any.
    pub series: usize,
    /// Taken since the start.
    pub taken: u64,
    /// Of those, given up for newer ones.
    pub replaced: u64,
    /// Passed: older than the newest of their series.
    pub out_of_order: u64,
    /// Passed: of series that are not there, or of replicas that are not heard.
    pub strays: u64,
}

/// A series, and what is asked for of its exemplars, oldest first.
pub(crate) type Found = (Labels, Vec<Exemplar>);

/// Exemplars by series.
pub(crate) struct Exemplars {
    /// Of each series in order of time.
    by_series: BTreeMap<Labels, VecDeque<Exemplar>>,
    /// Series of all of them in the order in which they came.
    order: VecDeque<Labels>,
    max: usize,
    counts: ExemplarCounts,
}

impl Default for Exemplars {
    fn default() -> Exemplars {
        Exemplars::of_at_most(EXEMPLARS_MAX)
    }
}

impl Exemplars {
    fn of_at_most(max: usize) -> Exemplars {
        let (by_series, order, counts) = Default::default();
        Exemplars { by_series, order, max, counts }
    }

    /// Takes in an exemplar, or nothing where its series has it or a newer one.
    pub fn add(&mut self, series: &Labels, exemplar: Exemplar) {
        if let Some(newest) = self.by_series.get(series).and_then(VecDeque::back) {
            if *newest == exemplar {
                return;
            }
            // Several of one time are told apart so that one that is sent again is known again.
            let tie = exemplar.time == newest.time;
            let lower = exemplar.value < newest.value;
            let same = exemplar.value.to_bits() == newest.value.to_bits();
            if exemplar.time < newest.time || tie && (lower || same && exemplar.labels < newest.labels) {
                self.counts.out_of_order += 1;
                return;
            }
        }
        if self.order.len() == self.max {
            self.drop_oldest();
        }
        let series = match self.by_series.get_key_value(series) {
            Some((known, _)) => known.clone(),
            None => series.clone(),
        };
        self.order.push_back(series.clone());
        self.by_series.entry(series).or_default().push_back(exemplar);
        self.counts.taken += 1;
    }

    fn drop_oldest(&mut self) {
        let Some(series) = self.order.pop_front() else { return };
        let Some(exemplars) = self.by_series.get_mut(&series) else { return };
        // Those of one series come in order of time, so the first that came is the oldest.
        exemplars.pop_front();
        self.counts.replaced += 1;
        if exemplars.is_empty() {
            self.by_series.remove(&series);
        }
    }

    /// Counts exemplars for which there is no series.
    pub fn pass(&mut self, strays: u64) {
        self.counts.strays += strays;
    }

    /// Appends what there is within `from..=to` of the next series behind `after` that are wanted, some at a time; the last
    /// one looked at, or nothing at the end.
    pub fn page(
        &self,
        after: Option<&Labels>,
        wanted: impl Fn(&Labels) -> bool,
        (from, to): (Millis, Millis),
        out: &mut Vec<Found>,
    ) -> Option<Labels> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (series, exemplars) in self.by_series.range((start, Bound::Unbounded)).take(PAGE) {
            last = Some(series);
            let begin = exemplars.partition_point(|it| it.time < from);
            let end = exemplars.partition_point(|it| it.time <= to);
            if begin < end && wanted(series) {
                out.push((series.clone(), exemplars.range(begin..end).cloned().collect()));
            }
        }
        last.cloned()
    }

    /// How many there are.
    pub fn counts(&self) -> ExemplarCounts {
        ExemplarCounts { held: self.order.len(), series: self.by_series.len(), ..self.counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str) -> Labels {
        Labels::new([("__name__", name)])
    }

    fn exemplar(time: i64, value: f64, trace: &str) -> Exemplar {
        Exemplar { time: Millis(time), value, labels: Labels::new([("trace_id", trace)]) }
    }

    /// All within `from..=to`, page after page.
    fn all(exemplars: &Exemplars, from: i64, to: i64) -> String {
        let (mut out, mut after) = (Vec::new(), None);
        loop {
            after = exemplars.page(after.as_ref(), |_| true, (Millis(from), Millis(to)), &mut out);
            if after.is_none() {
                break;
            }
        }
        let text = |(series, found): (Labels, Vec<Exemplar>)| {
            let found: Vec<_> = found.iter().map(|it| format!("{}={}{}", it.time.0, it.value, it.labels)).collect();
            format!("{series}: {}", found.join(" "))
        };
        out.into_iter().map(text).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn repeated_and_older_ones_are_passed() {
        let mut exemplars = Exemplars::of_at_most(10);
        for (time, value, trace) in [
            (10, 1.0, "a"),
            (10, 1.0, "a"),
            (9, 5.0, "b"),
            (10, 2.0, "b"),
            (10, 2.0, "a"),
            (10, 2.0, "c"),
            (10, 1.0, "a"),
            (20, 0.5, "d"),
        ] {
            exemplars.add(&series("a"), exemplar(time, value, trace));
        }
        assert_eq!(
            all(&exemplars, 0, 100),
            "a{}: 10=1{trace_id=\"a\"} 10=2{trace_id=\"b\"} 10=2{trace_id=\"c\"} 20=0.5{trace_id=\"d\"}"
        );
        assert_eq!(all(&exemplars, 11, 20), "a{}: 20=0.5{trace_id=\"d\"}");
        assert_eq!(all(&exemplars, 11, 19), "");
        let counts = exemplars.counts();
        assert_eq!((counts.held, counts.series, counts.taken, counts.out_of_order), (4, 1, 4, 3));
    }

    #[test]
    fn the_oldest_go_first_whatever_their_series() {
        let mut exemplars = Exemplars::of_at_most(3);
        for (i, name) in (0..).zip(["a", "b", "b", "c", "c", "c"]) {
            exemplars.add(&series(name), exemplar(100 - i * i64::from(name == "b"), f64::from(i as i32), ""));
        }
        // `b` came in the wrong order: one of it is passed.
        assert_eq!(all(&exemplars, 0, 200), "c{}: 100=3{} 100=4{} 100=5{}");
        let counts = exemplars.counts();
        assert_eq!((counts.held, counts.series, counts.replaced, counts.out_of_order), (3, 1, 2, 1));
    }

    #[test]
    fn pages_pass_over_no_series() {
        let mut exemplars = Exemplars::default();
        (0..3 * PAGE).for_each(|i| exemplars.add(&series(&format!("m{i}")), exemplar(5, 1.0, "")));
        assert_eq!(all(&exemplars, 5, 5).matches(';').count() + 1, 3 * PAGE);
    }
}
