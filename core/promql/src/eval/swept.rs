//! A selector's series at many instants: each is read once, by windows that move over it.
use super::Evaluator;
use super::chain::Step;
use super::columns::{ABSENT, Row, drop_names, drop_names_of_stretches, nameless};
use super::leaf::{Leaf, Read, cost, live};
use super::remarks;
use crate::expr::{At, Extent, Selector};
use crate::function::Func;
use crate::range::{Factors, Window};
use crate::{EvalError, SeriesView};
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::{Millis, Sample, float};

/// How many series are read between two questions whether to go on.
const ASK_EVERY: u64 = 64;

/// Steps that are done to a value as it is read, so that what they throw away never takes room.
#[derive(Clone, Copy)]
pub(super) struct Fused<'s> {
    /// All steps, the same at every instant; none where they are not.
    pub(super) steps: &'s [Step],
    /// How many there are up to the first that drops the metric's name, or all.
    pub(super) named: usize,
}

impl<'s> Fused<'s> {
    /// Those that may be done before rows lose their names: rows that become one must not be missed, even where a later step
    /// throws all of their values away. Rows of one metric are different without it.
    fn steps(self, one_metric: bool, read_drops_name: bool) -> &'s [Step] {
        if self.steps.iter().any(|step| step.trims()) {
            return &[];
        }
        match (one_metric, read_drops_name) {
            (true, _) => self.steps,
            (false, true) => &[],
            (false, false) => &self.steps[..self.named.min(self.steps.len())],
        }
    }
}

impl Evaluator<'_> {
    /// Reads a selector's series; says whether they are all of one metric, and how many steps have been done to them.
    ///
    /// - `reads`: what to read at each instant, or one for all of them.
    pub(super) fn swept(
        &mut self,
        index: usize,
        reads: &[Read],
        fused: Fused<'_>,
        instants: &[Millis],
    ) -> Result<(Vec<Row>, bool, usize), EvalError> {
        let selector: &Selector = &self.selectors[index];
        let (one_metric, drops) = (selector.metric().is_some(), reads[0].drops_name());
        let steps = fused.steps(one_metric, drops);
        let leaves: Vec<Leaf<'_>> = instants
            .iter()
            .enumerate()
            .map(|(place, at)| {
                let read = reads.get(place).copied().unwrap_or(reads[0]);
                let leaf = Leaf::new(read, &[], selector, *at, self.options.lookback_ms);
                leaf.annotated(self.reading, self.reads_alone(index))
            })
            .collect();
        // What is read at a fixed instant is the same at all of them, unless it looks at when it is asked.
        let asks_when = |read: &Read| matches!(read, Read::Stretch(range) if range.func == Func::PredictLinear);
        let once = matches!(selector.at, Some(At::Time(_))) && reads.len() == 1 && !reads.iter().any(asks_when);
        let sweep = if once { &leaves[..1] } else { &leaves[..] };
        let spans: Vec<(Millis, Millis)> = sweep.iter().map(Leaf::span).collect();
        let windows: Vec<Window> = sweep.iter().map(|leaf| leaf.window).collect();
        let plain = match reads {
            [read] if selector.extent == Extent::Within => Some(Plain { read: *read, windows: &windows, steps }),
            _ => None,
        };
        let limit = self.options.samples_max;
        let cancelled = self.cancelled;
        let (mut touched, mut seen, mut stop) = (self.touched, 0_u64, false);
        let (scratch, notes, reading) = (&mut self.scratch, &mut *self.notes, self.reading);
        let mut values = vec![0.0; instants.len()];
        let mut found = Vec::new();
        self.source.select(index, selector, &mut |series| {
            seen += 1;
            stop |= seen.is_multiple_of(ASK_EVERY) && cancelled();
            if touched > limit || stop {
                return;
            }
            let name = series.labels.name();
            let row = match plain.filter(|_| series.histograms.is_empty() && series.starts.is_none()) {
                Some(plain) => {
                    let swept = plain.sweep(series, scratch, &mut values);
                    touched = touched.saturating_add(swept.touched as u64);
                    if !swept.any {
                        return;
                    }
                    remarks::read(notes, plain.read, true, name, reading);
                    swept.kept.then(|| Row::of_floats(series.labels.clone(), &values))
                }
                None => {
                    let mut row = Row::new(series.labels.clone(), instants.len());
                    let mut moving = Moving::default();
                    for (place, (leaf, span)) in sweep.iter().zip(&spans).enumerate() {
                        let view = moving.to(series, *span);
                        if let (Some(value), _) = leaf.value(view, scratch, notes) {
                            row.put(place, value);
                        }
                    }
                    touched = touched.saturating_add(moving.read(series) as u64);
                    if row.is_empty() {
                        return;
                    }
                    for (place, read) in reads.iter().enumerate() {
                        let is_float = if reads.len() == 1 { row.has_floats() } else { row.float(place).is_some() };
                        remarks::read(notes, *read, is_float, name, reading);
                    }
                    row.apply(|_| steps, notes);
                    Some(row)
                }
            };
            touched = touched.saturating_add(instants.len() as u64);
            found.extend(row.map(|row| if once { row.repeated() } else { row }));
        });
        self.touched = touched;
        self.spend(0)?;
        if stop {
            return Err(EvalError::Cancelled);
        }
        let found = match (drops, one_metric) {
            (true, true) => found.into_iter().map(nameless).collect(),
            (true, false) if matches!(reads[0], Read::Stretch(_)) => drop_names_of_stretches(found)?,
            (true, false) => drop_names(found)?,
            (false, _) => found,
        };
        Ok((found, one_metric, steps.len()))
    }
}

/// The same read at windows that move forward, of series of floats.
#[derive(Clone, Copy)]
struct Plain<'a> {
    read: Read,
    windows: &'a [Window],
    steps: &'a [Step],
}

/// What came of a series.
#[derive(Default)]
struct Swept {
    /// Samples that the windows held.
    touched: usize,
    /// Whether there was any value, and whether any was left after the steps.
    any: bool,
    kept: bool,
}

impl Plain<'_> {
    /// Puts the value of a series at each window into `values`.
    fn sweep(self, series: SeriesView<'_>, scratch: &mut Vec<Sample>, values: &mut [f64]) -> Swept {
        let samples = series.samples;
        let after = self.windows[0].start;
        let first = samples.partition_point(|s| s.time() <= after);
        let (mut swept, mut end) = (Swept::default(), first);
        match self.read {
            Read::Stretch(range) => {
                let (mut from, mut factors) = (first, Factors::default());
                let clean = series.marks.is_some_and(|marks| marks.has_no_stale());
                for (window, value) in self.windows.iter().zip(values) {
                    while samples.get(from).is_some_and(|s| s.time() <= window.start) {
                        from += 1;
                    }
                    end = advanced(samples, end.max(from), window.end);
                    let points = &samples[from..end];
                    let (points, marks) =
                        if clean { (points, series.marks) } else { live(points, series.marks, scratch) };
                    *value = swept.put(range.value_along(points, *window, marks, &mut factors), self.steps);
                }
            }
            read => {
                for (window, value) in self.windows.iter().zip(values) {
                    end = advanced(samples, end, window.end);
                    let newest = samples[..end].last().filter(|s| s.time() > window.start && !s.is_stale());
                    *value = swept.put(newest.and_then(|sample| read.newest(sample)), self.steps);
                }
            }
        }
        swept.touched = end - first;
        swept
    }
}

/// The place after the last sample up to a time, which is not before `end`.
#[inline]
fn advanced(samples: &[Sample], mut end: usize, until: Millis) -> usize {
    while samples.get(end).is_some_and(|s| s.time() <= until) {
        end += 1;
    }
    end
}

impl Swept {
    /// The value after the steps as it stands in a row.
    #[inline]
    fn put(&mut self, value: Option<f64>, steps: &[Step]) -> f64 {
        let absent = f64::from_bits(ABSENT);
        let Some(mut x) = value else { return absent };
        self.any = true;
        for step in steps {
            match step.apply(x) {
                Some(next) => x = next,
                None => return absent,
            }
        }
        self.kept = true;
        float::canonical(x)
    }
}

/// The part of a series' samples that windows which move forward hold.
#[derive(Default)]
struct Moving {
    first: Option<usize>,
    floats: (usize, usize),
    histograms: (usize, usize),
}

impl Moving {
    /// The part of a series after the first and up to the second of these times.
    #[inline]
    fn to<'s>(&mut self, series: SeriesView<'s>, (after, until): (Millis, Millis)) -> SeriesView<'s> {
        let (from, end) = &mut self.floats;
        let samples = series.samples;
        if self.first.is_none() {
            *from = samples.partition_point(|s| s.time() <= after);
            *end = *from;
            self.first = Some(*from);
        }
        while samples.get(*from).is_some_and(|s| s.time() <= after) {
            *from += 1;
        }
        *end = (*end).max(*from);
        while samples.get(*end).is_some_and(|s| s.time() <= until) {
            *end += 1;
        }
        let (h_from, h_end) = &mut self.histograms;
        let histograms = series.histograms;
        while histograms.get(*h_from).is_some_and(|s| s.time <= after) {
            *h_from += 1;
        }
        *h_end = (*h_end).max(*h_from);
        while histograms.get(*h_end).is_some_and(|s| s.time <= until) {
            *h_end += 1;
        }
        SeriesView { samples: &samples[*from..*end], histograms: &histograms[*h_from..*h_end], ..series }
    }

    /// What all the windows held counts as, in samples.
    fn read(&self, series: SeriesView<'_>) -> usize {
        let histograms = series.histograms[..self.histograms.1].iter().filter_map(|s| s.histogram.as_ref());
        let histograms: u64 = histograms.map(|histogram| cost(histogram)).sum();
        self.floats.1 - self.first.unwrap_or(0) + histograms as usize
    }
}
