//! Why a rule's alerts are what they are: what each part of its expression gives, and what its selectors find.
use crate::rules::Rules;
use crate::series::{OfRule, RuleSeries};
use crate::view::RuleView;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, Number, Sample};
use faultline_promql::{Element, Matcher, Role, Selector, Source, Value, evaluate};

/// Most elements of a part, and most series of a selector, that are told one by one.
pub const TOLD_MAX: usize = 10;

/// A rule, looked at closely at an instant.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The file that holds it.
    pub file: String,
    /// Its group.
    pub group: String,
    /// Whether that is tried only.
    pub dry_run: bool,
    /// Time between the group's evaluations on the grid, in ms.
    pub interval_ms: i64,
    /// The instant the group was evaluated at last.
    pub last_at: Option<Millis>,
    /// The instant it is evaluated at next.
    pub next_at: Millis,
    /// How it stands, its alerts among that.
    pub rule: RuleView,
    /// Whether it is held back: it asks for absence, and senders have not caught up.
    pub held_back: bool,
    /// When its alerts change by time alone, with the labels that the rule gives them.
    pub timers: Vec<(Millis, Labels)>,
    /// The instant that its expression reads, and that the parts are told of.
    pub seen_at: Millis,
    /// The parts of its expression, the whole first, each before those that it is made of.
    pub parts: Vec<PartView>,
}

/// What one part of an expression gives.
#[derive(Clone, Debug)]
pub struct PartView {
    /// How many parts it stands in.
    pub depth: usize,
    /// What becomes of the elements in it.
    pub role: Role,
    /// The part, printed.
    pub text: String,
    /// Its value, or why it has none.
    pub value: Result<Told, String>,
    /// Where it is a selector: what that finds.
    pub reads: Option<Reads>,
}

/// A value as it is told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// A scalar's value.
    pub scalar: Option<f64>,
    /// Number of elements, or of series in a range.
    pub elements: usize,
    /// How many of them agree with what was asked about.
    pub agreeing: usize,
    /// The first of these, at most [`TOLD_MAX`]; none of a range.
    pub first: Vec<Element>,
}

/// What a selector finds.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Series that match, whether or not they have a sample in the stretch.
    pub series: usize,
    /// The stretch: after the first instant, up to the second.
    pub stretch: (Millis, Millis),
    /// Of series that agree with what was asked about, at most [`TOLD_MAX`]: their labels and samples.
    pub first: Vec<SeriesTold>,
    /// Newest sample of all that match, up to the stretch's end.
    pub newest: Option<Millis>,
    /// Where nothing matches: how many series would, were it not for this matcher.
    pub but_for: Vec<(String, usize)>,
}

/// What a series has in a stretch.
#[derive(Clone, Debug)]
pub struct SeriesTold {
    /// Its labels.
    pub labels: Labels,
    /// Its samples in the stretch; a stale marker has no number.
    pub samples: Vec<(Millis, Option<Number>)>,
    /// Its newest sample up to the stretch's end.
    pub newest: Option<(Millis, Option<Number>)>,
}

/// Whether labels could belong to what was asked about: no label that both know says otherwise.
pub fn agree(asked: &[Matcher], labels: &Labels) -> bool {
    asked.iter().all(|matcher| {
        let value = labels.get(&matcher.name);
        value.is_empty() || matcher.matches(value)
    })
}

impl Rules {
    /// Every rule of a name, looked at at `at`, which is rule time or later.
    ///
    /// - `asked`: which elements are told one by one.
    pub fn explain(&self, name: &str, asked: &[Matcher], at: Millis, series: &dyn RuleSeries) -> Vec<Explained> {
        let views = self.groups().into_iter().flat_map(|group| {
            let about = (group.file, group.name, group.interval_ms, group.last_at, group.next_at);
            group.rules.into_iter().map(move |rule| (about.clone(), rule))
        });
        let mut all = Vec::new();
        for ((number, view), &(g, r)) in views.enumerate().zip(&self.places) {
            let ((file, group, interval_ms, last_at, next_at), rule) = view;
            if *rule.name != *name {
                continue;
            }
            let (of_group, of_rule) = (&self.set.groups[g], &self.set.groups[g].rules[r]);
            let seen_at = at.plus(-of_group.query_offset_ms);
            let timers = self.timers.iter().filter(|(_, rule, _)| *rule as usize == number);
            let source = OfRule { rule: number as u32, series };
            let selectors = of_rule.expr.selectors();
            let part = |part: faultline_promql::Part| PartView {
                depth: part.depth,
                role: part.role,
                text: part.expr.to_string(),
                value: evaluate(&part.expr, seen_at, &source, &self.options)
                    .map(|value| told(value, asked))
                    .map_err(|e| e.to_string()),
                reads: match part.role {
                    Role::Reads(index) => Some(self.reads(index, &selectors[index], asked, seen_at, &source)),
                    _ => None,
                },
            };
            all.push(Explained {
                held_back: self.suspended && of_rule.asks_absence,
                timers: timers.map(|(at, _, labels)| (*at, labels.clone())).collect(),
                parts: of_rule.expr.parts().into_iter().map(part).collect(),
                dry_run: of_group.dry_run,
                file,
                group,
                interval_ms,
                last_at,
                next_at,
                rule,
                seen_at,
            });
        }
        all
    }

    fn reads(
        &self,
        index: usize,
        selector: &Selector,
        asked: &[Matcher],
        seen_at: Millis,
        source: &OfRule<'_>,
    ) -> Reads {
        let (after, to) = selector.stretch(seen_at, &self.options);
        let mut reads = Reads { stretch: (after, to), ..Reads::default() };
        source.select(index, selector, &mut |view| {
            reads.series += 1;
            let number = |it: &Sample| (!it.is_stale()).then(|| Number::Float(it.value()));
            let floats = view.samples.iter().map(|it| (it.time(), number(it)));
            let histograms = view.histograms.iter().map(|it| (it.time, it.histogram.clone().map(Number::Histogram)));
            let mut samples: Vec<_> = floats.chain(histograms).filter(|(time, _)| *time <= to).collect();
            samples.sort_by_key(|(time, _)| *time);
            reads.newest = reads.newest.max(samples.last().map(|(time, _)| *time));
            if reads.first.len() < TOLD_MAX && agree(asked, view.labels) {
                let newest = samples.last().cloned();
                samples.retain(|(time, _)| *time > after);
                reads.first.push(SeriesTold { labels: view.labels.clone(), samples, newest });
            }
        });
        if reads.series == 0 {
            for left_out in 0..selector.matchers.len() {
                let mut others = selector.matchers.clone();
                let without = others.remove(left_out);
                let mut count = 0;
                source.series.query(&others, &mut |_| count += 1);
                if count > 0 && !others.is_empty() {
                    reads.but_for.push((without.to_string(), count));
                }
            }
        }
        reads
    }
}

fn told(value: Value, asked: &[Matcher]) -> Told {
    match value {
        Value::Scalar(scalar) => Told { scalar: Some(scalar), ..Told::default() },
        Value::Text(_) => Told::default(),
        Value::Matrix(series) => {
            let agreeing = series.iter().filter(|it| agree(asked, &it.labels)).count();
            Told { elements: series.len(), agreeing, ..Told::default() }
        }
        Value::Vector(elements) => {
            let count = elements.len();
            let mut agreeing: Vec<Element> = elements.into_iter().filter(|it| agree(asked, &it.labels)).collect();
            let (all, _) = (agreeing.len(), agreeing.truncate(TOLD_MAX));
            Told { scalar: None, elements: count, agreeing: all, first: agreeing }
        }
    }
}
