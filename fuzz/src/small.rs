//! A handful of series in memory, for expressions and rules to read.
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use faultline_promql::{Matcher, Selector, SeriesView, Source};
use faultline_rules::{RuleSelector, RuleSeries, SelectorId};

/// The instant at which the newest samples stand.
pub const NOW: Millis = Millis(1_700_000_000_000);

/// The series.
pub struct Series {
    rows: Vec<(Labels, Vec<Sample>)>,
    /// What the rules in force read.
    pub selectors: Vec<RuleSelector>,
}

impl Default for Series {
    fn default() -> Series {
        let samples = |values: [f64; 8]| {
            let at = |place: i64| NOW.plus((place - 7) * 15_000);
            (0..).zip(values).map(|(place, value)| Sample::new(at(place), value)).collect::<Vec<_>>()
        };
        let mut gone = samples([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]);
        gone[7] = Sample::stale(gone[7].time());
        let row = |name: &str, i: &str, le: &str| Labels::new([("__name__", name), ("i", i), ("le", le)]);
        let mut rows = vec![
            (row("a", "0", ""), samples([0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 0.0, 1.0])),
            (row("a", "1", ""), samples([1e308, -1e308, 0.5, -0.0, f64::INFINITY, f64::NAN, 7.0, 0.1])),
            (row("b", "0", "1"), samples([1.0; 8])),
            (row("b", "0", "+Inf"), samples([2.0; 8])),
            (row("c", "", ""), gone),
        ];
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        Series { rows, selectors: Vec::new() }
    }
}

impl Series {
    fn visit(&self, matchers: &[Matcher], visit: &mut dyn FnMut(SeriesView<'_>)) {
        for (id, (labels, samples)) in self.rows.iter().enumerate() {
            if matchers.iter().all(|m| m.matches(labels.get(&m.name))) {
                visit(SeriesView { id: id as u32, labels, samples, histograms: &[], starts: None, marks: None });
            }
        }
    }
}

impl Source for Series {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.visit(&selector.matchers, visit);
    }
}

impl RuleSeries for Series {
    fn select(&self, id: SelectorId, visit: &mut dyn FnMut(SeriesView<'_>)) {
        if let Some(selector) = self.selectors.iter().find(|selector| selector.id == id) {
            self.visit(&selector.matchers, visit);
        }
    }

    fn query(&self, matchers: &[Matcher], visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.visit(matchers, visit);
    }

    fn view(&self, series: u32) -> SeriesView<'_> {
        let (labels, samples) = &self.rows[series as usize];
        SeriesView { id: series, labels, samples, histograms: &[], starts: None, marks: None }
    }

    fn begun(&self) -> bool {
        true
    }

    fn whole_since(&self, _: &[Matcher]) -> Option<Millis> {
        Some(NOW.plus(-60_000))
    }

    // What rules write is not read back here: `step` does that, with the real store.
    fn append(&mut self, _: &Labels, _: Sample) {}

    fn append_histogram(&mut self, _: &Labels, _: HistogramSample) {}
}
