//! A `stream` rule that comes upon native histograms is evaluated on the grid while they are there, and says so.
use crate::store::{Store, labels};
use faultline_model::facts::{AlertState, Transition};
use faultline_model::table::PageBytes;
use faultline_model::{
    Evaluation, Histogram, HistogramSample, Labels, Millis, Position, Reader, RuleFile, RuleFiles, Sample, TenantId,
    Writer,
};
use faultline_rules::Rules;

const RULE: &str = "groups:\n- name: g\n  interval: 60s\n  rules:\n  \
    - {alert: High, expr: 'sum by (i) (level) > 5', for: 10s}\n  - {alert: Raw, expr: 'level > 5', for: 10s}\n";

/// Rules of one way of evaluation over series of their own.
struct World {
    rules: Rules,
    store: Store,
    out: Vec<Transition>,
}

impl World {
    fn new(default_evaluation: Evaluation) -> World {
        let files = vec![RuleFile { name: "t.yml".into(), text: RULE.into() }];
        let files = RuleFiles { files, default_evaluation, ..RuleFiles::default() };
        let (mut rules, mut store, mut out) = (Rules::new(TenantId(0)), Store::default(), Vec::new());
        rules.load(&files, Millis(0), Position::default(), &mut store, &mut out).expect("good rules");
        store.serve(&rules);
        World { rules, store, out }
    }

    fn advance(&mut self, at: Millis) {
        self.rules.advance(at, Position::default(), &mut self.store, &mut self.out);
    }

    /// A sample of a series, or a histogram.
    fn push(&mut self, labels: &Labels, at: Millis, value: Option<f64>) {
        self.advance(at);
        let (selectors, series) = match value {
            Some(value) => self.store.push(labels, Sample::new(at, value)),
            None => {
                let histogram = Some(Histogram { count: 9.0, ..Histogram::default() }.into());
                self.store.push_histogram(labels, HistogramSample { time: at, histogram })
            }
        };
        for selector in selectors {
            self.rules.touch_all(&[selector], &[series], at, Position::default(), &self.store, &mut self.out);
        }
        self.written_back();
    }

    /// State is read back as it was written, whatever the rule stands on.
    fn written_back(&mut self) {
        let written = |rules: &mut Rules| {
            let mut w = Writer::default();
            rules.write_rest(&mut w);
            (w.into_bytes(), PageBytes::of(rules.tables()))
        };
        let (rest, pages) = written(&mut self.rules);
        let mut again = Rules::read(&mut Reader::new(&rest), &mut pages.clone()).expect("it was just written");
        assert!(written(&mut again) == (rest, pages));
        self.rules = again;
    }

    /// How its rules are evaluated, in words.
    fn explained(&self) -> Vec<String> {
        self.rules.groups()[0].rules.iter().map(|rule| rule.explain()).collect()
    }

    /// Active alerts: name, labels, state, since when.
    fn active(&self) -> Vec<(String, Labels, AlertState, Millis)> {
        self.rules.active().map(|it| (it.name, it.labels, it.state, it.active_at)).collect()
    }

    fn count(&self, state: AlertState) -> usize {
        self.active().iter().filter(|it| it.2 == state).count()
    }
}

#[test]
fn a_stream_that_meets_histograms_stands_on_the_grid_while_they_are_there() {
    let [a, b] = ["level{i=\"a\"}", "level{i=\"b\"}"].map(labels);
    let (mut stream, mut grid) = (World::new(Evaluation::Stream), World::new(Evaluation::Grid));
    let first = stream.rules.due().expect("a group has a next instant");
    assert_eq!(grid.rules.due(), Some(first));
    let at = |seconds: i64| first.plus(seconds * 1_000);
    let is_stream = |world: &World| world.explained().iter().all(|it| it.starts_with("stream"));
    let both = |worlds: [&mut World; 2], labels: &Labels, at: Millis, value: Option<f64>| {
        worlds.into_iter().for_each(|world| world.push(labels, at, value));
    };

    both([&mut stream, &mut grid], &a, at(1), Some(1.0));
    both([&mut stream, &mut grid], &a, at(31), Some(9.0));
    assert!(is_stream(&stream));
    assert_eq!((stream.count(AlertState::Pending), grid.count(AlertState::Pending)), (2, 0), "at the sample");

    // A histogram: what is pending stays so, although its time passes, until the grid's next instant.
    both([&mut stream, &mut grid], &b, at(32), None);
    let why = "grid: a selector finds native histograms, which streams do not follow";
    assert_eq!(stream.explained(), [why, why]);
    both([&mut stream, &mut grid], &a, at(50), Some(10.0));
    assert_eq!(stream.count(AlertState::Pending), 2);
    [&mut stream, &mut grid].into_iter().for_each(|world| world.advance(at(60)));
    assert_eq!((stream.count(AlertState::Firing), grid.count(AlertState::Pending)), (2, 2), "pending since 31 s");

    // On the grid alone: at each instant what the grid says, at a sample nothing.
    both([&mut stream, &mut grid], &a, at(70), Some(1.0));
    assert_eq!(stream.count(AlertState::Firing), 2);
    [&mut stream, &mut grid].into_iter().for_each(|world| world.advance(at(120)));
    assert_eq!((stream.active(), grid.active()), (vec![], vec![]));
    both([&mut stream, &mut grid], &a, at(130), Some(7.0));
    for minute in 3..6 {
        [&mut stream, &mut grid].into_iter().for_each(|world| world.advance(at(60 * minute)));
        assert_eq!((stream.active().len(), stream.active()), (2, grid.active()));
        assert!(stream.rules.groups()[0].rules.iter().all(|rule| rule.record.failures == 0));
    }

    // Gone: from the next instant on each sample counts again.
    [&mut stream, &mut grid].into_iter().for_each(|world| world.store.remove(&b));
    [&mut stream, &mut grid].into_iter().for_each(|world| world.advance(at(360)));
    assert!(is_stream(&stream));
    assert_eq!(stream.active(), grid.active());
    both([&mut stream, &mut grid], &a, at(365), Some(0.0));
    assert_eq!((stream.active().len(), grid.active().len()), (0, 2));
    both([&mut stream, &mut grid], &a, at(366), Some(8.0));
    [&mut stream, &mut grid].into_iter().for_each(|world| world.advance(at(377)));
    assert_eq!(stream.count(AlertState::Firing), 2, "by a timer");
}
