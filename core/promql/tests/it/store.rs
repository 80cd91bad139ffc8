//! Series held in memory: what stands in for the engine in tests.
use faultline_model::{Labels, Sample};
use faultline_promql::{Marks, Selector, SeriesView, Source, parse};
use std::collections::BTreeMap;

struct Held {
    id: u32,
    samples: Vec<Sample>,
    marks: Marks,
}

#[derive(Default)]
pub struct Store {
    series: BTreeMap<Labels, Held>,
    next_id: u32,
    /// Label sets of native histograms, which are not evaluated.
    pub histograms: Vec<Labels>,
    /// Whether samples have start times, which are not evaluated.
    pub starts: bool,
}

impl Store {
    /// Appends to a series, which gets a number of its own if it is new.
    pub fn add(&mut self, labels: Labels, samples: Vec<Sample>) {
        self.next_id += 1;
        let none = || Held { id: self.next_id, samples: Vec::new(), marks: Marks::default() };
        let held = self.series.entry(labels).or_insert_with(none);
        held.samples.extend(samples);
        held.samples.sort_by_key(Sample::time);
        held.marks = Marks::of(&held.samples);
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
            self.series.insert(come, Held { id, samples: Vec::new(), marks: Marks::default() });
        }
    }

    /// One series.
    pub fn view(&self, labels: &Labels) -> Option<SeriesView<'_>> {
        self.series.get_key_value(labels).map(|(labels, held)| held.view(labels))
    }
}

impl Held {
    /// Every second series comes with its marks.
    fn view<'a>(&'a self, labels: &'a Labels) -> SeriesView<'a> {
        let marks = self.id.is_multiple_of(2).then_some(&self.marks);
        SeriesView { id: self.id, labels, samples: &self.samples, histograms: &[], marks }
    }
}

/// Whether a selector selects a series of these labels.
pub fn selects(selector: &Selector, labels: &Labels) -> bool {
    selector.matchers.iter().all(|m| m.matches(labels.get(&m.name)))
}

impl Source for Store {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for (labels, held) in self.series.iter().filter(|(labels, _)| selects(selector, labels)) {
            visit(held.view(labels));
        }
    }
}

/// The labels that a selector of equalities names.
pub fn labels_of(text: &str) -> Labels {
    match parse(text) {
        Ok(expr) => Labels::new(expr.selectors()[0].matchers.iter().map(|m| (&m.name, &m.value))),
        Err(_) if text.trim() == "{}" => Labels::default(),
        Err(error) => panic!("{text}: {error}"),
    }
}
