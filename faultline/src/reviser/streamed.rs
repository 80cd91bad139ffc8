//! A rule of a `stream` group on a past that is there as a whole: it is told of one sample after the other, and of instants on the way.
//!
//! A sample is taken to have come at its own time. What is still missing where alerts of the rule were unknown is taken to be missing
//! because its source was silent then, as it was: who sent a series the recent store does not know.
use super::{Found, Held, Unknown, VALUES_MAX, take};
use crate::rules::held::HeldSeries;
use faultline_engine::{COMPARED_MAX, LATE_MS, Revisit};
use faultline_model::facts::Transition;
use faultline_model::{HistogramSample, Labels, Millis, Occurred, Position, Sample};
use faultline_promql::{Matcher, SeriesView};
use faultline_rules::{RuleSeries, Rules, SelectorId, Sight, Trial};
use faultline_serve::recent::select::Points;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::iter::Peekable;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::IntoIter;

/// A sample at an instant costs a stream this many times what it costs where instants are evaluated together.
const COST: usize = 8;

/// Series as they were at an instant of the past.
struct Past<'a> {
    series: HeldSeries,
    now: Millis,
    asked: &'a Revisit,
    /// A template asked a question of its own.
    queried: Cell<bool>,
}

impl Past<'_> {
    fn was_silent(&self) -> bool {
        // The marker that said so took its time to come.
        self.asked.unknown.iter().any(|(begin, end)| begin.plus(-LATE_MS) <= self.now && self.now <= *end)
    }
}

impl RuleSeries for Past<'_> {
    fn begun(&self) -> bool {
        true
    }

    fn whole_since(&self, _: &[Matcher]) -> Option<Millis> {
        None
    }

    fn select(&self, id: SelectorId, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.series.select(id, visit);
    }

    fn query(&self, _: &[Matcher], _: &mut dyn FnMut(SeriesView<'_>)) {
        self.queried.set(true);
    }

    fn silent(&self, id: SelectorId, sight: Sight, visit: &mut dyn FnMut(&Labels)) {
        if !self.was_silent() {
            return;
        }
        self.series.select(id, &mut |view| {
            let is_lost = match view.newest() {
                None => false,
                Some((newest, true)) => newest <= sight.at,
                Some((newest, false)) => {
                    sight.misses(newest)
                        || sight.is_cut_short(view.samples.iter().map(Sample::time))
                        || sight.is_cut_short(view.histograms.iter().map(|sample| sample.time))
                }
            };
            if is_lost {
                visit(view.labels);
            }
        });
    }

    fn is_down(&self, _: u32) -> bool {
        self.was_silent()
    }

    fn view(&self, series: u32) -> SeriesView<'_> {
        self.series.view(series)
    }

    /// What the rule recorded is there.
    fn append(&mut self, _: &Labels, _: Sample) {}

    fn append_histogram(&mut self, _: &Labels, _: HistogramSample) {}
}

/// What is left of a series of a selector.
struct Rest {
    labels: Labels,
    samples: Peekable<IntoIter<Sample>>,
    histograms: Peekable<IntoIter<HistogramSample>>,
}

impl Rest {
    fn next(&mut self) -> Option<Millis> {
        let (float, histogram) = (self.samples.peek().map(Sample::time), self.histograms.peek().map(|it| it.time));
        float.into_iter().chain(histogram).min()
    }

    /// Adds what there is at a time to the past, and says as which series.
    fn push(&mut self, at: Millis, series: &mut HeldSeries) -> u32 {
        let sample = self.samples.next_if(|sample| sample.time() == at);
        let histogram = self.histograms.next_if(|it| it.time == at);
        sample.into_iter().for_each(|it| series.push(&self.labels, it));
        histogram.into_iter().for_each(|it| series.push_histogram(&self.labels, it));
        series.id(&self.labels)
    }
}

/// What is left of all series, in time.
struct Rests {
    /// By selector.
    all: Vec<Vec<Rest>>,
    order: BinaryHeap<Reverse<(Millis, usize, usize)>>,
}

impl Rests {
    fn of(held: Held) -> Rests {
        let rest = |(labels, points): (Labels, Points)| Rest {
            labels,
            samples: points.samples.into_iter().peekable(),
            histograms: points.histograms.into_iter().peekable(),
        };
        let mut all: Vec<Vec<Rest>> =
            held.selectors.into_iter().map(|series| series.into_iter().map(rest).collect()).collect();
        let mut order = BinaryHeap::new();
        for (selector, series) in all.iter_mut().enumerate() {
            for (number, rest) in series.iter_mut().enumerate() {
                order.extend(rest.next().map(|time| Reverse((time, selector, number))));
            }
        }
        Rests { all, order }
    }

    /// The time of the next sample.
    fn next(&self) -> Option<Millis> {
        self.order.peek().map(|Reverse((time, ..))| *time)
    }

    /// Adds all samples of the next time to the past; says which series those are of, by selector.
    fn push(&mut self, series: &mut HeldSeries) -> BTreeMap<usize, BTreeSet<u32>> {
        let (mut pushed, next) = (BTreeMap::<usize, BTreeSet<u32>>::new(), self.next());
        while self.next() == next
            && let Some(Reverse((time, selector, number))) = self.order.pop()
        {
            let rest = &mut self.all[selector][number];
            pushed.entry(selector).or_default().insert(rest.push(time, series));
            self.order.extend(rest.next().map(|time| Reverse((time, selector, number))));
        }
        pushed
    }
}

/// What one rule's alerts would have been.
pub fn occurrences(trial: &Trial, held: Held, it: &Revisit, stops: &AtomicBool) -> Result<Found, Unknown> {
    let instants = trial.instants_but(it.from, it.until, &it.gaps);
    if instants.len().saturating_mul(held.series()) > VALUES_MAX / COST {
        return Err(Unknown::TooMuch);
    }
    let (mut rules, mut found) = (Rules::from_instant(trial.alone(), it.from), Found::new());
    for Occurred { alert, labels, stretch } in &it.active {
        if rules.resume(*alert, labels, stretch.active_at, stretch.fired_at.is_some()) {
            found.insert(*alert, (labels.clone(), vec![*stretch]));
        }
    }
    let (series, queried) = (HeldSeries::default(), Cell::default());
    let mut past = Past { series, now: it.from, asked: it, queried };
    past.series.serve(&rules);
    let (mut rests, mut transitions) = (Rests::of(held), Vec::new());
    while rests.next().is_some_and(|time| time < it.from) {
        rests.push(&mut past.series);
    }
    while let Some(time) = rests.next().filter(|time| *time <= it.until) {
        run_due(&mut rules, &mut past, time.plus(-1), &mut transitions);
        let pushed = rests.push(&mut past.series);
        past.now = time;
        for (selector, series) in pushed.into_iter().filter(|_| gap_of(it, time).is_none()) {
            let (series, id) = (Vec::from_iter(series), SelectorId { rule: 0, index: selector as u32 });
            rules.touch_all(&[id], &series, time, cause(time), &past, &mut transitions);
        }
        transitions.drain(..).for_each(|it| take(&mut found, &it));
        if stops.load(Ordering::Relaxed) {
            return Err(Unknown::Stops);
        }
    }
    run_due(&mut rules, &mut past, it.until, &mut transitions);
    transitions.drain(..).for_each(|it| take(&mut found, &it));
    match found.values().map(|(_, all)| all.len()).sum::<usize>() {
        _ if past.queried.get() => Err(Unknown::Queries),
        count if count > COMPARED_MAX => Err(Unknown::TooMany),
        _ => Ok(found),
    }
}

/// Does what is due up to an instant. What fell due while nothing ran was made up for at the end of that.
fn run_due(rules: &mut Rules, past: &mut Past<'_>, to: Millis, out: &mut Vec<Transition>) {
    while let Some(due) = rules.due().filter(|due| *due <= to) {
        past.now = match gap_of(past.asked, due) {
            Some(end) if end > to => return,
            Some(end) => {
                rules.read_again();
                end
            }
            None => due,
        };
        rules.advance(past.now, cause(past.now), past, out);
    }
}

/// The end of the stretch, with this instant in it, in which nothing ran.
fn gap_of(it: &Revisit, at: Millis) -> Option<Millis> {
    it.gaps.iter().find(|(begin, end)| *begin < at && at <= *end).map(|(_, end)| *end)
}

/// No journal: an instant stands for its record.
fn cause(at: Millis) -> Position {
    Position { partition: 0, offset: at.0.max(0) as u64 }
}
