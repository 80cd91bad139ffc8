//! What goes into an evaluation and what comes out.
use crate::{Marks, Selector};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::{HistogramSample, Labels, Millis, Number, Sample};

/// A series as the holder of series shows it.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    /// The holder's number of the series, the same for as long as the series lives.
    pub id: u32,
    /// The series' labels, its name among them.
    pub labels: &'a Labels,
    /// Rising time, stale markers in it; may reach further on either side than the evaluation looks.
    pub samples: &'a [Sample],
    /// The same of histograms; no time is in both, for a series may change from one to the other.
    pub histograms: &'a [HistogramSample],
    /// When samples and histograms began to be counted, as their senders say it: by their times, rising, none of those of which
    /// it is not said; nothing where no sender says it or nobody asked for it.
    pub starts: Option<&'a [(Millis, Millis)]>,
    /// Those of the samples, where the holder keeps them: so long stretches are read faster.
    pub marks: Option<&'a Marks>,
}

impl SeriesView<'_> {
    /// Time of the newest sample or histogram, and whether it is a stale marker.
    pub fn newest(&self) -> Option<(Millis, bool)> {
        let float = self.samples.last().map(|sample| (sample.time(), sample.is_stale()));
        let histogram = self.histograms.last().map(|sample| (sample.time, sample.histogram.is_none()));
        float.max(histogram)
    }
}

/// Whatever can supply series: the engine, the recent store, history, a test.
pub trait Source {
    /// Every series of selector `index` (its place in [`crate::Expr::selectors`]), in label order.
    fn select(&self, index: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>));
    /// Of these series at least those with these numbers, in any order: what a stream reads again. A holder that tells a stream of
    /// samples too late for this, as of what rules appended at this very instant, shows those series too.
    fn select_some(&self, index: usize, selector: &Selector, _: &BTreeSet<u32>, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.select(index, selector, visit);
    }
}

/// Bounds and the look-back of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How far back an instant selector looks for a sample, in ms, `> 0`; the instant itself counts, the far end does not.
    pub lookback_ms: i64,
    /// Step of a subquery that names none, in ms, `> 0`.
    pub subquery_step_ms: i64,
    /// Most samples that one evaluation may touch.
    pub samples_max: u64,
    /// Most elements that one stream may hold.
    pub elements_max: usize,
}

impl Default for Options {
    /// Prometheus' look-back of 5 minutes, step of 1 minute and 50 million samples; a million elements.
    fn default() -> Self {
        Options { lookback_ms: 300_000, subquery_step_ms: 60_000, samples_max: 50_000_000, elements_max: 1_000_000 }
    }
}

/// The value of an expression at an instant.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(f64),
    /// One number per label set; in label order, except where the expression sorts.
    Vector(Vec<Element>),
    /// A text.
    Text(String),
    /// A stretch of each series, of a bare range selector.
    Matrix(Vec<Series>),
}

/// One number of a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// What it belongs to.
    pub labels: Labels,
    /// The number; every NaN has one bit pattern.
    pub value: Number,
}

/// A stretch of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The series' labels.
    pub labels: Labels,
    /// Rising time, no stale markers.
    pub samples: Vec<(Millis, Number)>,
}
