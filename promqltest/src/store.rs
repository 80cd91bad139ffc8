//! Series held in memory: what stands in for the engine in tests.
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use faultline_promql::{Marks, Selector, SeriesView, Source};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
struct Held {
    id: u32,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
    marks: Marks,
    /// When samples began to be counted, by their times, rising.
    starts: Vec<(Millis, Millis)>,
}

/// Series by their labels.
#[derive(Debug, Default)]
pub struct Store {
    series: BTreeMap<Labels, Held>,
    next_id: u32,
    /// Whether it is known of some samples when they began to be counted.
    pub starts: bool,
}

impl Store {
    /// Appends to a series, which gets a number of its own if it is new.
    pub fn add(&mut self, labels: Labels, samples: Vec<Sample>) {
        let held = self.held(labels);
        held.samples.extend(samples);
        held.samples.sort_by_key(Sample::time);
        held.marks = Marks::of(&held.samples);
    }

    /// Says when samples of a series began to be counted: by the samples' times.
    pub fn add_starts(&mut self, labels: Labels, starts: Vec<(Millis, Millis)>) {
        self.starts = true;
        let held = self.held(labels);
        held.starts.extend(starts);
        held.starts.sort();
    }

    /// The same of histograms.
    pub fn add_histograms(&mut self, labels: Labels, histograms: Vec<HistogramSample>) {
        let held = self.held(labels);
        held.histograms.extend(histograms);
        held.histograms.sort_by_key(|sample| sample.time);
    }

    fn held(&mut self, labels: Labels) -> &mut Held {
        self.next_id += 1;
        let id = self.next_id;
        self.series.entry(labels).or_insert_with(|| Held::new(id))
    }

    /// Every series' labels, in order.
    pub fn labels(&self) -> Vec<Labels> {
        self.series.keys().cloned().collect()
    }

    /// Forgets a series and gives its number to another one.
    pub fn replace(&mut self, gone: &Labels, come: Labels) {
        if !self.series.contains_key(&come)
            && let Some(Held { id, .. }) = self.series.remove(gone)
        {
            self.series.insert(come, Held::new(id));
        }
    }

    /// One series.
    pub fn view(&self, labels: &Labels) -> Option<SeriesView<'_>> {
        self.series.get_key_value(labels).map(|(labels, held)| held.view(labels, self.starts))
    }
}

impl Held {
    fn new(id: u32) -> Held {
        Held { id, samples: Vec::new(), histograms: Vec::new(), marks: Marks::default(), starts: Vec::new() }
    }

    /// Every second series comes with its marks.
    fn view<'a>(&'a self, labels: &'a Labels, starts: bool) -> SeriesView<'a> {
        let starts = starts.then_some(&self.starts[..]);
        let marks = self.id.is_multiple_of(2).then_some(&self.marks);
        SeriesView { id: self.id, labels, samples: &self.samples, histograms: &self.histograms, starts, marks }
    }
}

/// Whether a selector selects a series of these labels.
pub fn selects(selector: &Selector, labels: &Labels) -> bool {
    selector.matchers.iter().all(|m| m.matches(labels.get(&m.name)))
}

impl Source for Store {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for (labels, held) in self.series.iter().filter(|(labels, _)| selects(selector, labels)) {
            visit(held.view(labels, self.starts));
        }
    }

    fn select_some(
        &self,
        index: usize,
        selector: &Selector,
        numbers: &BTreeSet<u32>,
        visit: &mut dyn FnMut(SeriesView<'_>),
    ) {
        self.select(index, selector, &mut |series| {
            if numbers.contains(&series.id) {
                visit(series);
            }
        });
    }
}
