//! The series that rules read and append to, as the engine shows them, and how an expression reads them.
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use faultline_promql::{Element, Expr, Features, Matcher, Options, Selector, SeriesView, Source, Value, evaluate};

/// One selector of one rule: the engine maintains the list of series that match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectorId {
    /// Number of the rule among all rules in force, from 0; another set of rules numbers anew.
    pub rule: u32,
    /// Number of the selector in the rule's expression.
    pub index: u32,
}

/// What the engine must know of a selector to serve it.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSelector {
    /// By which name the rule asks for it.
    pub id: SelectorId,
    /// All must hold.
    pub matchers: Vec<Matcher>,
    /// How long samples must be kept for it, in ms back from now, together with the newest sample before that. A fixed
    /// instant (`@`) may lie further back: such a selector reads what is still there.
    pub history_ms: i64,
    /// Whether [`crate::Rules::touch`] is to be told of each new sample of its series.
    pub stream: bool,
}

/// What a selector sees at an instant of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The newest time that it sees.
    pub at: Millis,
    /// For how long nothing was heard of a series that it misses, in ms.
    pub missed_ms: i64,
    /// For how long its source has then been silent, in ms.
    pub quiet_ms: i64,
    /// Length of a range selector, else 0.
    pub range_ms: i64,
}

impl Sight {
    /// - `range_ms`: of a range selector, else 0.
    ///
    /// An instant selector misses a series once it looks no further back. A range tells less and less as its end stays empty,
    /// long before it is empty itself.
    pub fn new(at: Millis, range_ms: i64, lookback_ms: i64) -> Sight {
        match range_ms {
            0 => Sight { at, missed_ms: lookback_ms, quiet_ms: lookback_ms / 2, range_ms },
            _ => {
                let half = range_ms.min(lookback_ms) / 2;
                Sight { at, missed_ms: half, quiet_ms: half, range_ms }
            }
        }
    }

    /// Whether it misses a series whose newest sample is of this time.
    pub fn misses(&self, newest: Millis) -> bool {
        newest <= self.at.plus(-self.missed_ms)
    }

    /// Whether its range begins with a stretch without samples that lets what is left tell too little.
    ///
    /// - `times`: of a series' samples, rising.
    pub fn is_cut_short(&self, times: impl DoubleEndedIterator<Item = Millis>) -> bool {
        let start = self.at.plus(self.range_ms.saturating_neg());
        let oldest = times.rev().take_while(|time| *time > start).last();
        self.range_ms > 0 && oldest.is_some_and(|oldest| oldest.since(start) > self.missed_ms)
    }
}

/// The engine's series, as rules use them.
pub trait RuleSeries {
    /// Whether any sample was ever taken. A rule that is there before the first has missed nothing.
    fn begun(&self) -> bool;
    /// The time from which on no sample is missing of any series that meets the matchers; nothing where none ever was.
    fn whole_since(&self, matchers: &[Matcher]) -> Option<Millis>;
    /// Every series of a rule's selector, in label order, those appended a moment ago included.
    fn select(&self, id: SelectorId, visit: &mut dyn FnMut(SeriesView<'_>));
    /// Of the series of a rule's selector at least those with these numbers and those appended since rules were last told of
    /// samples, in any order.
    fn select_some(&self, id: SelectorId, _: &BTreeSet<u32>, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.select(id, visit);
    }
    /// Every series that meets the matchers, in label order: for `query` in templates.
    fn query(&self, matchers: &[Matcher], visit: &mut dyn FnMut(SeriesView<'_>));
    /// Shows the labels of every series of a rule's selector that this misses though nobody ended it: the source that sent it
    /// is silent, or its target is down. Nothing where sources are not known.
    fn silent(&self, _: SelectorId, _: Sight, _: &mut dyn FnMut(&Labels)) {}
    /// Whether a series ended only because Prometheus could not reach its target, and says so.
    fn is_down(&self, _: u32) -> bool {
        false
    }
    /// One series, by the number that its view carries.
    fn view(&self, series: u32) -> SeriesView<'_>;
    /// Appends a sample: a recording rule's result, `ALERTS`, `ALERTS_FOR_STATE`, or a stale marker of one of these.
    fn append(&mut self, labels: &Labels, sample: Sample);
    /// Appends a histogram: a recording rule's result.
    fn append_histogram(&mut self, labels: &Labels, sample: HistogramSample);
}

/// A rule's selectors as the source of its expression.
pub(crate) struct OfRule<'a> {
    pub rule: u32,
    pub series: &'a dyn RuleSeries,
}

impl Source for OfRule<'_> {
    fn select(&self, index: usize, _: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.series.select(SelectorId { rule: self.rule, index: index as u32 }, visit);
    }

    fn select_some(&self, index: usize, _: &Selector, numbers: &BTreeSet<u32>, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.series.select_some(SelectorId { rule: self.rule, index: index as u32 }, numbers, visit);
    }
}

/// Any series by its labels, as the source of an expression that is no rule's.
struct ByLabels<'a>(&'a dyn RuleSeries);

impl Source for ByLabels<'_> {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.0.query(&selector.matchers, visit);
    }
}

/// A rule's result as Prometheus takes it: a scalar is one element without labels.
pub(crate) fn elements(value: Value) -> Result<Vec<Element>, String> {
    match value {
        Value::Vector(elements) => Ok(elements),
        Value::Scalar(value) => Ok(alloc::vec![Element { labels: Labels::default(), value: value.into() }]),
        Value::Text(_) | Value::Matrix(_) => Err("rule result is not a vector or scalar".to_string()),
    }
}

/// Evaluates a rule's expression.
pub(crate) fn result(expr: &Expr, at: Millis, source: &OfRule<'_>, options: &Options) -> Result<Vec<Element>, String> {
    evaluate(expr, at, source, options).map_err(|e| e.to_string()).and_then(elements)
}

/// Answers a template's `query`.
pub(crate) fn query(
    text: &str,
    at: Millis,
    series: &dyn RuleSeries,
    options: &Options,
    features: Features,
) -> Result<Vec<(Labels, f64)>, String> {
    let expr = faultline_promql::parse_with(text, features).map_err(|e| format!("{e}"))?;
    let value = evaluate(&expr, at, &ByLabels(series), options).map_err(|e| format!("{e}"))?;
    Ok(elements(value)?.into_iter().map(|e| (e.labels, e.value.float_or_zero())).collect())
}
