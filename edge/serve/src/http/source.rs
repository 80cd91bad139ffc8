//! The recent store as what supplies series to an evaluation.
use super::answer::PromError;
use crate::recent::select::{Points, SERIES_MAX, Want};
use crate::recent::{Recent, SelectError, Selected};
use faultline_model::{HistogramSample, Labels, Millis};
use faultline_promql::{At, Expr, Extent, Selector, SeriesView, Source};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Samples that one query may hold at a time: Prometheus' bound is 50 million, at 16 bytes each.
pub const SAMPLES_MAX: u64 = 20_000_000;
/// Series between two looks at the clock.
const LOOK: usize = 64;

/// What one query reads, between its first and its last instant. What could not be read is in the outcome.
pub struct RecentSource<'a> {
    recent: &'a Recent,
    first: Millis,
    last: Millis,
    lookback_ms: i64,
    deadline: Instant,
    /// What was looked up before the evaluation, by selector.
    looked_up: RefCell<BTreeMap<usize, Selected<'a>>>,
    /// What a query of many instants reads, by selector.
    loaded: RefCell<BTreeMap<usize, Arc<[Series]>>>,
    refused: RefCell<Option<PromError>>,
    touched: Cell<u64>,
    warnings: RefCell<Vec<String>>,
}

struct Series {
    id: u32,
    labels: Labels,
    points: Points,
}

/// What an evaluation could not be told, and what it read.
pub struct Outcome {
    /// Why it was told less than it asked for.
    pub refused: Option<PromError>,
    /// What the reader should know.
    pub warnings: Vec<String>,
    /// Samples that were read.
    pub samples: u64,
}

impl<'a> RecentSource<'a> {
    /// For a query at one instant.
    pub fn instant(recent: &'a Recent, at: Millis, lookback_ms: i64, deadline: Instant) -> RecentSource<'a> {
        RecentSource {
            recent,
            first: at,
            last: at,
            lookback_ms,
            deadline,
            looked_up: RefCell::default(),
            loaded: RefCell::default(),
            refused: RefCell::default(),
            touched: Cell::new(0),
            warnings: RefCell::default(),
        }
    }

    /// For a query at many instants: everything is read once.
    pub fn range(
        recent: &'a Recent,
        (first, last): (Millis, Millis),
        lookback_ms: i64,
        deadline: Instant,
    ) -> RecentSource<'a> {
        RecentSource { last, ..RecentSource::instant(recent, first, lookback_ms, deadline) }
    }

    /// Looks up what the selectors of a query read: how many samples that is, at most; nothing where one matches more series than
    /// `series_max`.
    pub fn look_up(&self, expr: &Expr, series_max: usize) -> Option<u64> {
        let mut samples = 0_u64;
        for (index, selector) in expr.selectors().iter().enumerate() {
            match self.select(selector, series_max) {
                Ok(selected) => {
                    samples = samples.saturating_add(selected.samples());
                    self.looked_up.borrow_mut().insert(index, selected);
                }
                Err(SelectError::TooMany) => return None,
                Err(error) => self.refuse(refusal(&error)),
            }
        }
        Some(samples)
    }

    /// Why something was refused so far.
    pub fn refused(&self) -> Option<PromError> {
        self.refused.borrow_mut().take()
    }

    /// What a selector reads; nothing where it is refused.
    fn selected(&self, selector: &Selector) -> Option<Selected<'a>> {
        let found = self.select(selector, SERIES_MAX);
        found.map_err(|error| self.refuse(refusal(&error))).ok()
    }

    fn select(&self, selector: &Selector, series_max: usize) -> Result<Selected<'a>, SelectError> {
        let (from, to) = stretch(selector, self.first, self.last, self.lookback_ms);
        let want = if self.is_newest(selector) { Want::Newest } else { Want::All };
        self.recent.select_up_to(series_max, &selector.matchers, from, to, want)
    }

    /// Whether a selector reads the newest sample alone.
    fn is_newest(&self, selector: &Selector) -> bool {
        self.first == self.last && selector.range == 0 && selector.reach == 0 && selector.extent == Extent::Within
    }

    /// The series of a selector of a query at many instants.
    fn loaded(&self, index: usize, selector: &Selector) -> Arc<[Series]> {
        if let Some(known) = self.loaded.borrow().get(&index) {
            return known.clone();
        }
        let mut all = Vec::new();
        self.each(index, selector, &mut |id, labels, points| {
            all.push(Series { id, labels: labels.clone(), points: std::mem::take(points) });
        });
        let all: Arc<[Series]> = all.into();
        self.loaded.borrow_mut().insert(index, all.clone());
        all
    }

    /// What came of it.
    pub fn outcome(self) -> Outcome {
        Outcome {
            refused: self.refused.into_inner(),
            warnings: self.warnings.into_inner(),
            samples: self.touched.get(),
        }
    }

    /// Whether nothing stands in the way so far.
    pub fn goes_on(&self) -> bool {
        if Instant::now() >= self.deadline {
            self.refuse(PromError::timeout());
        }
        self.refused.borrow().is_none()
    }

    fn refuse(&self, error: PromError) {
        self.refused.borrow_mut().get_or_insert(error);
    }

    fn warn(&self, text: String) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Shows the series of a selector, each with its samples, which may be taken.
    fn each(&self, index: usize, selector: &Selector, visit: &mut dyn FnMut(u32, &Labels, &mut Points)) {
        if !self.goes_on() {
            return;
        }
        let ((from, _), newest) =
            (stretch(selector, self.first, self.last, self.lookback_ms), self.is_newest(selector));
        let looked_up = self.looked_up.borrow_mut().remove(&index);
        let Some(mut selected) = looked_up.or_else(|| self.selected(selector)) else { return };
        if let Some(gone) = self.recent.gone().filter(|gone| *gone >= from) {
            self.warn(format!("samples up to {gone} are no longer kept"));
        }
        if selected.lost() {
            self.warn("a damaged block of the time asked for was set aside: samples are missing".into());
        }
        let mut points = Points::default();
        for index in 0..selected.len() {
            if let Err(error) = selected.points(index, &mut points) {
                return self.refuse(refusal(&error));
            }
            // The newest sample suffices where it is all that is asked for, and is there.
            let lacks = |at: &Millis| *at >= from && (!newest || points.is_empty());
            if let Some(dropped) = selected.dropped(index).filter(lacks) {
                let labels = selected.labels(index);
                let why = format!(
                    "{labels} is no longer here as far back as the query reads: only what follows {dropped} is kept; \
                     shorten the range or the offset"
                );
                return self.refuse(PromError::execution(why));
            }
            let histograms: u64 = points.histograms.iter().map(weight).sum();
            self.touched.set(self.touched.get() + points.samples.len() as u64 + histograms);
            if self.first < self.last && self.touched.get() > SAMPLES_MAX {
                return self.refuse(PromError::too_many_samples());
            }
            if index % LOOK == 0 && !self.goes_on() {
                return;
            }
            if !points.is_empty() {
                visit(selected.id(index), selected.labels(index), &mut points);
            }
        }
    }
}

impl Source for RecentSource<'_> {
    fn select(&self, index: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        if self.first == self.last {
            return self.each(index, selector, &mut |id, labels, points| visit(view(id, labels, points)));
        }
        for Series { id, labels, points } in &*self.loaded(index, selector) {
            visit(view(*id, labels, points));
        }
    }
}

fn view<'a>(id: u32, labels: &'a Labels, points: &'a Points) -> SeriesView<'a> {
    let Points { samples, histograms } = points;
    SeriesView { id, labels, samples, histograms, starts: None, marks: None }
}

/// How many numbers a histogram counts as: the memory it takes, in samples of 16 bytes, as in Prometheus.
fn weight(sample: &HistogramSample) -> u64 {
    let Some(histogram) = &sample.histogram else { return 1 };
    let sides = [&histogram.positive, &histogram.negative].map(|side| side.len() + side.spans().len());
    (8 + (sides[0] + sides[1] + histogram.bounds.len()) / 2) as u64
}

/// What a reader is told of it.
pub fn refusal(error: &SelectError) -> PromError {
    match error {
        SelectError::TooMany => PromError::execution(error.to_string()),
        SelectError::Block { source, .. } => PromError::internal(format!("{error}: {source}")),
    }
}

/// The stretch of time that a selector can read in an evaluation from `first` to `last`, both ends within.
fn stretch(selector: &Selector, first: Millis, last: Millis, lookback_ms: i64) -> (Millis, Millis) {
    if selector.reach == i64::MAX {
        return (Millis(i64::MIN), Millis(i64::MAX));
    }
    let (from, to) = match selector.at {
        Some(At::Time(time)) => (time, time),
        Some(At::Start) => (first, first),
        Some(At::End) => (last, last),
        None => (first, last),
    };
    let back = |at: Millis| Millis(at.0.saturating_sub(selector.offset));
    let own = if selector.range > 0 { selector.range } else { lookback_ms };
    // What lies beyond the ends is looked for as far as an instant selector looks.
    let (before, after) = match selector.extent {
        Extent::Within => (0, 0),
        Extent::Anchored => (lookback_ms, 0),
        Extent::Smoothed => (lookback_ms, lookback_ms),
    };
    let reach = own.saturating_add(selector.reach).saturating_add(before);
    (back(from).plus(reach.saturating_neg()), back(to).plus(after))
}
