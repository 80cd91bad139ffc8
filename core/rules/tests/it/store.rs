//! Series in memory, as the engine would hold them for the rules: what a rule reads back and the newest before, and always two.
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use faultline_promql::{Matcher, SeriesView, parse};
use faultline_rules::{RuleSelector, RuleSeries, Rules, SelectorId, Sight};
use std::collections::BTreeMap;

/// Series by their labels, and which selector of which rule is about which matchers.
#[derive(Default)]
pub struct Store {
    series: BTreeMap<Labels, (u32, Vec<Sample>)>,
    histograms: BTreeMap<Labels, Vec<HistogramSample>>,
    names: Vec<Labels>,
    selectors: Vec<RuleSelector>,
    /// Series whose sources are silent.
    pub silent: Vec<Labels>,
    /// What the rules appended since it was last taken.
    pub appended: Vec<(Labels, Sample)>,
}

impl Store {
    /// Serves the selectors of the rules now in force.
    pub fn serve(&mut self, rules: &Rules) {
        self.selectors = rules.selectors();
    }

    /// Adds a sample; says which selectors of `stream` rules are about it, and the series' number.
    pub fn push(&mut self, labels: &Labels, sample: Sample) -> (Vec<SelectorId>, u32) {
        let next = self.names.len() as u32;
        let entry = self.series.entry(labels.clone()).or_insert((next, Vec::new()));
        if entry.0 == next {
            self.names.push(labels.clone());
        }
        // A rule that is evaluated twice at one instant writes the same sample once, as a time-series database does.
        match entry.1.last_mut() {
            Some(last) if last.time() >= sample.time() => *last = sample,
            _ => entry.1.push(sample),
        }
        let reading = self.selectors.iter().filter(|s| meets(labels, &s.matchers));
        let horizon = sample.time().plus(-reading.map(|s| s.history_ms).max().unwrap_or(0));
        let spare = entry.1.len().saturating_sub(2);
        let old = entry.1.partition_point(|s| s.time() <= horizon).saturating_sub(1).min(spare);
        entry.1.drain(..old);
        let number = entry.0;
        let about = |s: &&RuleSelector| s.stream && meets(labels, &s.matchers);
        (self.selectors.iter().filter(about).map(|s| s.id).collect(), number)
    }

    /// Adds a histogram, in the same way; those of a series are all kept.
    pub fn push_histogram(&mut self, labels: &Labels, sample: HistogramSample) -> (Vec<SelectorId>, u32) {
        let next = self.names.len() as u32;
        let number = self.series.entry(labels.clone()).or_insert((next, Vec::new())).0;
        if number == next {
            self.names.push(labels.clone());
        }
        self.histograms.entry(labels.clone()).or_default().push(sample);
        let about = |s: &&RuleSelector| s.stream && meets(labels, &s.matchers);
        (self.selectors.iter().filter(about).map(|s| s.id).collect(), number)
    }

    /// Forgets a series, where it is there, and gives its number to another, which has no samples yet.
    pub fn replace(&mut self, labels: &Labels, other: &Labels) {
        if let Some((number, _)) = self.series.remove(labels) {
            self.series.insert(other.clone(), (number, Vec::new()));
            self.names[number as usize] = other.clone();
        }
    }

    /// Forgets a series.
    pub fn remove(&mut self, labels: &Labels) {
        self.series.remove(labels);
        self.histograms.remove(labels);
    }

    fn visit(&self, matchers: &[Matcher], visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.series.keys().filter(|labels| meets(labels, matchers)).for_each(|labels| visit(self.of(labels)));
    }

    fn of(&self, labels: &Labels) -> SeriesView<'_> {
        let (labels, (id, samples)) = self.series.get_key_value(labels).expect("a series of the store");
        let histograms = self.histograms.get(labels).map_or(&[][..], |all| all);
        SeriesView { id: *id, labels, samples, histograms, starts: None, marks: None }
    }
}

fn meets(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| m.matches(labels.get(&m.name)))
}

impl RuleSeries for Store {
    fn begun(&self) -> bool {
        !self.series.is_empty()
    }

    fn whole_since(&self, matchers: &[Matcher]) -> Option<Millis> {
        let mut since = None;
        self.visit(matchers, &mut |series| {
            if let [oldest, _, ..] = series.samples {
                since = since.max(Some(oldest.time()));
            }
        });
        since
    }

    fn select(&self, id: SelectorId, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let selector = self.selectors.iter().find(|s| s.id == id).expect("the rule in force has this selector");
        self.visit(&selector.matchers, visit);
    }

    fn query(&self, matchers: &[Matcher], visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.visit(matchers, visit);
    }

    fn silent(&self, id: SelectorId, sight: Sight, visit: &mut dyn FnMut(&Labels)) {
        let lost = |series: SeriesView<'_>| {
            let newest = series.samples.last().map(Sample::time);
            if self.silent.contains(series.labels) && newest.is_some_and(|newest| sight.misses(newest)) {
                visit(series.labels);
            }
        };
        self.select(id, &mut { lost });
    }

    fn view(&self, series: u32) -> SeriesView<'_> {
        self.of(&self.names[series as usize])
    }

    fn append(&mut self, labels: &Labels, sample: Sample) {
        self.push(labels, sample);
        self.appended.push((labels.clone(), sample));
    }

    fn append_histogram(&mut self, _: &Labels, _: HistogramSample) {
        unreachable!("these rules record numbers")
    }
}

/// Labels written as a selector, `up{job="a"}`.
pub fn labels(text: &str) -> Labels {
    let expr = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let [selector] = expr.selectors() else { panic!("{text}: one series") };
    Labels::new(selector.matchers.iter().map(|m| (&m.name, &m.value)))
}

/// A sample at a time; `stale` ends the series.
pub fn sample(at: Millis, value: &str) -> Sample {
    match value {
        "stale" => Sample::stale(at),
        value => Sample::new(at, value.parse().unwrap_or_else(|_| panic!("{value}: a number"))),
    }
}
