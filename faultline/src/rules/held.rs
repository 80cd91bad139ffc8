//! Series in memory that rules read and append to: of a unit test, or of a stretch of history.
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use faultline_promql::{Marks, Matcher, Selector, SeriesView, Source};
use faultline_rules::{RuleSelector, RuleSeries, Rules, SelectorId};
use std::collections::BTreeMap;

/// Series by their labels. Nothing is dropped: whoever fills it bounds it.
#[derive(Default)]
pub struct HeldSeries {
    ids: BTreeMap<Labels, u32>,
    series: Vec<Held>,
    selectors: BTreeMap<SelectorId, RuleSelector>,
}

struct Held {
    labels: Labels,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
    marks: Marks,
}

impl HeldSeries {
    /// Serves the selectors of the rules now in force.
    pub fn serve(&mut self, rules: &Rules) {
        self.selectors = rules.selectors().into_iter().map(|selector| (selector.id, selector)).collect();
    }

    /// Adds a sample. One that is not newer than what its series holds is left out, as a time-series database leaves it out.
    pub fn push(&mut self, labels: &Labels, sample: Sample) {
        let id = self.id(labels) as usize;
        let held = &mut self.series[id];
        if held.newest().is_none_or(|newest| newest < sample.time()) {
            held.marks.inserted(held.samples.last().copied(), sample, None);
            held.samples.push(sample);
        }
    }

    /// Adds a histogram, in the same way.
    pub fn push_histogram(&mut self, labels: &Labels, sample: HistogramSample) {
        let id = self.id(labels) as usize;
        let held = &mut self.series[id];
        if held.newest().is_none_or(|newest| newest < sample.time) {
            held.histograms.push(sample);
        }
    }

    /// The newest histogram of a series.
    pub fn newest_histogram(&self, labels: &Labels) -> Option<&HistogramSample> {
        self.series[*self.ids.get(labels)? as usize].histograms.last()
    }

    /// The number of a series.
    pub fn id(&mut self, labels: &Labels) -> u32 {
        let id = *self.ids.entry(labels.clone()).or_insert(self.series.len() as u32);
        if id as usize == self.series.len() {
            let (samples, histograms, marks) = (Vec::new(), Vec::new(), Marks::default());
            self.series.push(Held { labels: labels.clone(), samples, histograms, marks });
        }
        id
    }

    fn visit(&self, matchers: &[Matcher], visit: &mut dyn FnMut(SeriesView<'_>)) {
        let meets = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)));
        self.ids.iter().filter(|(labels, _)| meets(labels)).for_each(|(_, id)| visit(self.view(*id)));
    }
}

impl Held {
    fn newest(&self) -> Option<Millis> {
        self.samples.last().map(Sample::time).max(self.histograms.last().map(|sample| sample.time))
    }
}

impl Source for HeldSeries {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.visit(&selector.matchers, visit);
    }
}

impl RuleSeries for HeldSeries {
    fn begun(&self) -> bool {
        !self.series.is_empty()
    }

    fn whole_since(&self, matchers: &[Matcher]) -> Option<Millis> {
        let mut since = None;
        self.visit(matchers, &mut |series| since = since.max(series.samples.first().map(Sample::time)));
        since
    }

    fn select(&self, id: SelectorId, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.visit(&self.selectors[&id].matchers, visit);
    }

    fn query(&self, matchers: &[Matcher], visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.visit(matchers, visit);
    }

    fn view(&self, series: u32) -> SeriesView<'_> {
        let Held { labels, samples, histograms, marks } = &self.series[series as usize];
        SeriesView { id: series, labels, samples, histograms, starts: None, marks: Some(marks) }
    }

    fn append(&mut self, labels: &Labels, sample: Sample) {
        self.push(labels, sample);
    }

    fn append_histogram(&mut self, labels: &Labels, sample: HistogramSample) {
        self.push_histogram(labels, sample);
    }
}
