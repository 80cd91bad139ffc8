//! Series held in memory: what stands in for the engine in tests.
use faultline_model::{Labels, Sample};
use faultline_promql::{Selector, SeriesView, Source, parse};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Store {
    series: BTreeMap<Labels, (u32, Vec<Sample>)>,
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
        let (_, held) = self.series.entry(labels).or_insert((self.next_id, Vec::new()));
        held.extend(samples);
        held.sort_by_key(Sample::time);
    }

    /// Every series' labels, in order.
    pub fn labels(&self) -> Vec<Labels> {
        self.series.keys().cloned().collect()
    }

    /// Forgets a series and gives its number to another one.
    pub fn replace(&mut self, gone: &Labels, come: Labels) {
        if !self.series.contains_key(&come)
            && let Some((id, _)) = self.series.remove(gone)
        {
            self.series.insert(come, (id, Vec::new()));
        }
    }

    /// One series.
    pub fn view(&self, labels: &Labels) -> Option<SeriesView<'_>> {
        self.series.get_key_value(labels).map(|(labels, (id, samples))| SeriesView { id: *id, labels, samples })
    }
}

/// Whether a selector selects a series of these labels.
pub fn selects(selector: &Selector, labels: &Labels) -> bool {
    selector.matchers.iter().all(|m| m.matches(labels.get(&m.name)))
}

impl Source for Store {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for (labels, (id, samples)) in self.series.iter().filter(|(labels, _)| selects(selector, labels)) {
            visit(SeriesView { id: *id, labels, samples });
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
