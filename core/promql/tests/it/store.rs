//! Series held in memory: what stands in for the engine in tests.
use faultline_model::{Labels, Sample};
use faultline_promql::{Selector, SeriesView, Source, parse};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Store {
    series: BTreeMap<Labels, Vec<Sample>>,
    /// Label sets of native histograms, which are not evaluated.
    pub histograms: Vec<Labels>,
    /// Whether samples have start times, which are not evaluated.
    pub starts: bool,
}

impl Store {
    pub fn add(&mut self, labels: Labels, samples: Vec<Sample>) {
        let held = self.series.entry(labels).or_default();
        held.extend(samples);
        held.sort_by_key(Sample::time);
    }
}

impl Source for Store {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for (id, (labels, samples)) in self.series.iter().enumerate() {
            if selector.matchers.iter().all(|m| m.matches(labels.get(&m.name))) {
                visit(SeriesView { id: id as u32, labels, samples });
            }
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
