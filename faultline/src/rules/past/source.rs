//! The series that rules read within a piece of time: from blocks, unpacked as they are asked for, and from other rules.
use faultline_model::{Labels, Millis};
use faultline_promql::{Marks, Selector, SeriesView, Source};
use faultline_rules::Appended;
use faultline_serve::recent::past::{Cursor, Past, PastSeries};
use faultline_serve::recent::select::Points;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;

/// Most bytes of samples that one source holds.
pub const HELD_BYTES: u64 = 256 << 20;
/// Bytes of a sample.
const SAMPLE: u64 = 16;

/// Series by their labels.
pub type Given = BTreeMap<Labels, Appended>;

/// What one selector reads.
pub struct Chosen<'a> {
    /// In label order.
    series: Vec<One<'a>>,
    from: Millis,
    to: Millis,
    is_range: bool,
}

enum One<'a> {
    Past(PastSeries),
    Given(&'a Labels, &'a Appended),
}

impl One<'_> {
    fn labels(&self) -> &Labels {
        match self {
            One::Past(series) => &series.labels,
            One::Given(labels, _) => labels,
        }
    }
}

impl<'a> Chosen<'a> {
    /// The series of a selector: of blocks, and those that other rules gave.
    pub fn new(
        series: Vec<PastSeries>,
        selector: &Selector,
        given: &[&'a Given],
        from: Millis,
        to: Millis,
    ) -> Chosen<'a> {
        let matchers = &selector.matchers;
        let mut all: Vec<One<'a>> = series.into_iter().map(One::Past).collect();
        let meets = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(&m.name)));
        for (labels, appended) in given.iter().flat_map(|given| given.iter()).filter(|(labels, _)| meets(labels)) {
            all.push(One::Given(labels, appended));
        }
        if !given.is_empty() {
            all.sort_by(|a, b| a.labels().cmp(b.labels()));
        }
        Chosen { series: all, from, to, is_range: selector.range > 0 }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Those of blocks.
    fn past(&self) -> impl Iterator<Item = &PastSeries> {
        self.series.iter().filter_map(|one| match one {
            One::Past(series) => Some(series),
            One::Given(..) => None,
        })
    }

    /// Bytes of the samples within a stretch, or some more.
    fn bytes(&self, from: Millis, to: Millis) -> u64 {
        let of = |one: &One<'_>| match one {
            One::Past(series) => series.count(from, to) * SAMPLE,
            One::Given(..) => 0,
        };
        self.series.iter().map(of).sum()
    }
}

/// The selectors of one rule, for a part of the stretch that they were chosen for.
pub struct PieceSource<'a> {
    past: &'a Past,
    chosen: Vec<&'a Chosen<'a>>,
    /// The ends of what each reads.
    ends: Vec<(Millis, Millis)>,
    held: Vec<OnceCell<Vec<Points>>>,
    asked: Vec<Cell<u32>>,
    cursor: RefCell<Cursor>,
    points: RefCell<Points>,
    /// Nothing after this is there yet.
    pub now: Cell<Millis>,
    /// Samples that were unpacked.
    pub read: Cell<u64>,
}

impl<'a> PieceSource<'a> {
    /// - `cut`: how much of the stretch is left out at its start and at its end, in ms.
    pub fn new(past: &'a Past, chosen: Vec<&'a Chosen<'a>>, cut: (i64, i64)) -> PieceSource<'a> {
        PieceSource {
            past,
            ends: chosen.iter().map(|it| (it.from.plus(cut.0), it.to.plus(-cut.1))).collect(),
            held: chosen.iter().map(|_| OnceCell::new()).collect(),
            asked: chosen.iter().map(|_| Cell::new(0)).collect(),
            cursor: RefCell::new(past.cursor(chosen.iter().flat_map(|it| it.past()))),
            chosen,
            points: RefCell::default(),
            now: Cell::new(Millis(i64::MAX)),
            read: Cell::new(0),
        }
    }

    /// Whether all of it may be held.
    pub fn fits(&self) -> bool {
        self.bytes() <= HELD_BYTES
    }

    fn bytes(&self) -> u64 {
        self.chosen.iter().zip(&self.ends).map(|(chosen, (from, to))| chosen.bytes(*from, *to)).sum()
    }

    /// Says that everything is asked for many times.
    pub fn hold(&self) {
        self.asked.iter().for_each(|asked| asked.set(1));
    }

    /// Shows the series of a selector and these others, in label order.
    pub fn visit(&self, index: usize, others: &[(&Labels, &Appended)], visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.asked[index].set(self.asked[index].get() + 1);
        if self.asked[index].get() > 1 && self.held[index].get().is_none() && self.fits() {
            let _first = self.held[index].set(self.load(index));
        }
        let held = self.held[index].get();
        let (mut others, mut id) = (others.iter().peekable(), 0);
        // What is held is asked for at one instant after the other, which looks at little of it.
        let is_range = self.chosen[index].is_range && held.is_none();
        let mut show = |labels: &Labels, samples: &[_], histograms: &[_]| {
            let marks = is_range.then(|| Marks::of_past(samples));
            let view = SeriesView { id, labels, samples, histograms, starts: None, marks: marks.as_ref() };
            visit(self.until_now(view));
            id += 1;
        };
        for (number, one) in self.chosen[index].series.iter().enumerate() {
            while let Some((labels, it)) = others.next_if(|(labels, _)| *labels < one.labels()) {
                show(labels, &it.samples, &it.histograms);
            }
            match (one, held) {
                (One::Given(labels, it), _) => show(labels, &it.samples, &it.histograms),
                (One::Past(series), Some(held)) => {
                    show(&series.labels, &held[number].samples, &held[number].histograms)
                }
                (One::Past(series), None) => {
                    let mut points = self.points.borrow_mut();
                    self.read(index, series, &mut points);
                    if !points.is_empty() {
                        show(&series.labels, &points.samples, &points.histograms);
                    }
                }
            }
        }
        others.for_each(|(labels, it)| show(labels, &it.samples, &it.histograms));
    }

    /// What of a series is there by now.
    fn until_now<'s>(&self, series: SeriesView<'s>) -> SeriesView<'s> {
        let now = self.now.get();
        if now == Millis(i64::MAX) {
            return series;
        }
        let samples = series.samples.partition_point(|sample| sample.time() <= now);
        let histograms = series.histograms.partition_point(|sample| sample.time <= now);
        SeriesView { samples: &series.samples[..samples], histograms: &series.histograms[..histograms], ..series }
    }

    fn load(&self, index: usize) -> Vec<Points> {
        let load = |one: &One<'_>| {
            let mut points = Points::default();
            if let One::Past(series) = one {
                self.read(index, series, &mut points);
                points.samples.shrink_to_fit();
            }
            points
        };
        self.chosen[index].series.iter().map(load).collect()
    }

    fn read(&self, index: usize, series: &PastSeries, points: &mut Points) {
        let (from, to) = self.ends[index];
        self.past.read(series, from, to, &mut self.cursor.borrow_mut(), points);
        self.read.set(self.read.get() + (points.samples.len() + points.histograms.len()) as u64);
    }
}

impl Source for PieceSource<'_> {
    fn select(&self, index: usize, _: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.visit(index, &[], visit);
    }
}
