//! The play of a unit test: series that grow step by step, and rules evaluated over them at each step, as promtool does it.
//!
//! Source: `cmd/promtool/unittest.go` of Prometheus 3.15. Rules are evaluated at each multiple of the evaluation interval
//! from the start, whatever their groups' own intervals are.
use super::held::HeldSeries;
use faultline_model::facts::Transition;
use faultline_model::{Histogram, HistogramSample, Labels, Millis, Position, RuleFile, RuleFiles, Sample, TenantId};
use faultline_promql::notation::{self, Entry};
use faultline_promql::{Element, Features, Options, Value, evaluate, parse_with, stored_hint};
use faultline_rules::{Health, Rules, print_duration_ms};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Under which circumstances a play is given.
#[derive(Debug, Clone)]
pub struct Setting {
    /// When it begins.
    pub start: Millis,
    /// Between two evaluations of the rules, in ms, `> 0`.
    pub step_ms: i64,
    /// Between two samples, in ms, `> 0`.
    pub sample_ms: i64,
    /// Names of groups, in the order in which they are evaluated; others come before them.
    pub order: Vec<String>,
    /// What templates know as `$externalLabels`.
    pub external_labels: Vec<(String, String)>,
    /// What templates know as `$externalURL`.
    pub external_url: String,
    /// Experimental parts of the language that rules may use.
    pub features: Features,
}

/// Rules, series, and how far they have come.
pub struct Play {
    start: Millis,
    step_ms: i64,
    sample_ms: i64,
    features: Features,
    rules: Rules,
    series: HeldSeries,
    inputs: Vec<Input>,
    /// Numbers of the groups in the order of their evaluation.
    groups: Vec<usize>,
    /// Evaluations so far.
    steps: i64,
}

/// An input series and how far it is taken.
struct Input {
    labels: Labels,
    entries: Vec<Entry>,
    taken: usize,
}

/// A rule could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub rule: String,
    /// When, in ms from the start.
    pub passed_ms: i64,
    /// Why.
    pub error: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Broken { rule, passed_ms, error } = self;
        write!(f, "rule: {rule}, time: {}, err: {error}", print_duration_ms(*passed_ms))
    }
}

impl Play {
    /// Loads rules and reads input series, each its labels and its values as promtool writes them.
    ///
    /// Fails on what is neither, naming it.
    pub fn new<'a>(
        setting: &Setting,
        files: &[RuleFile],
        inputs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Play, String> {
        let inputs =
            inputs.into_iter().map(|(series, values)| Input::read(series, values)).collect::<Result<_, _>>()?;
        let Setting { start, step_ms, sample_ms, .. } = *setting;
        let files = RuleFiles {
            files: files.to_vec(),
            default_interval: sample_ms,
            external_labels: setting.external_labels.clone(),
            external_url: setting.external_url.clone(),
            features: setting.features.names().map(str::to_string).collect(),
            ..RuleFiles::default()
        };
        let (mut rules, mut series) = (Rules::new(TenantId(0)), HeldSeries::default());
        let loaded = rules.load(&files, Millis(i64::MIN / 2), Position::default(), &mut series, &mut Vec::new());
        loaded.map_err(|refused| format!("{}:{}: {}", refused.file, refused.line, refused.reason))?;
        series.serve(&rules);
        let groups = in_order(&rules, &setting.order);
        Ok(Play { start, step_ms, sample_ms, features: setting.features, rules, series, inputs, groups, steps: 0 })
    }

    /// Takes the next step, the first at the start: samples up to it, then every group once. Says how far it is from the start, in
    /// ms, and which alerts changed.
    pub fn step(&mut self) -> (i64, Vec<Transition>) {
        let passed = self.steps * self.step_ms;
        let (at, mut out) = (self.start.plus(passed), Vec::new());
        for input in &mut self.inputs {
            input.take_until(passed, self.sample_ms, self.start, &mut self.series);
        }
        for &group in &self.groups {
            self.rules.evaluate_group(group, at, Position::default(), &mut self.series, &mut out);
        }
        self.steps += 1;
        (passed, out)
    }

    /// Rules that failed at the last step.
    pub fn broken(&self) -> Vec<Broken> {
        let passed_ms = (self.steps - 1) * self.step_ms;
        let groups = self.rules.groups();
        let broken = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.record.health == Health::Err);
        broken
            .map(|rule| {
                let error = rule.record.last_error.clone().unwrap_or_default();
                Broken { rule: rule.name.to_string(), passed_ms, error }
            })
            .collect()
    }

    /// Alerts that fire, without external labels: name, labels, annotations.
    pub fn firing(&self) -> impl Iterator<Item = (&str, &Labels, &[(String, String)])> + '_ {
        self.rules.firing()
    }

    /// The value of an expression so many ms after the start; of a scalar one element without labels.
    pub fn ask(&self, expr: &str, passed_ms: i64) -> Result<Vec<Element>, String> {
        let options = Options { subquery_step_ms: self.step_ms, ..Options::default() };
        let expr = parse_with(expr, self.features).map_err(|error| error.to_string())?;
        let value = evaluate(&expr, self.start.plus(passed_ms), &self.series, &options);
        match value.map_err(|error| error.to_string())? {
            Value::Vector(elements) => Ok(elements),
            Value::Scalar(value) => Ok(vec![Element { labels: Labels::default(), value: value.into() }]),
            Value::Matrix(_) | Value::Text(_) => Err("rule result is not a vector or scalar".into()),
        }
    }
}

/// Numbers of the groups in the order of their evaluation.
fn in_order(rules: &Rules, names: &[String]) -> Vec<usize> {
    let places: BTreeMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (&**name, place)).collect();
    let groups = rules.groups();
    let place = |name: &str| places.get(name).copied().unwrap_or(0);
    let mut groups: Vec<(usize, usize)> = groups.iter().enumerate().map(|(n, group)| (place(&group.name), n)).collect();
    groups.sort_unstable();
    groups.into_iter().map(|(_, number)| number).collect()
}

impl Input {
    fn read(series: &str, values: &str) -> Result<Input, String> {
        let named = |error: notation::NotationError| format!("input series {series}: {error}");
        let labels = notation::labels(series).map_err(named)?;
        Ok(Input { labels, entries: notation::entries(values).map_err(named)?, taken: 0 })
    }

    /// Adds what the series holds up to so many ms after the start.
    fn take_until(&mut self, passed: i64, sample_ms: i64, start: Millis, series: &mut HeldSeries) {
        while self.taken as i64 * sample_ms <= passed
            && let Some(entry) = self.entries.get(self.taken)
        {
            let at = start.plus(self.taken as i64 * sample_ms);
            match entry {
                Entry::Missing => {}
                Entry::Stale => series.push(&self.labels, Sample::stale(at)),
                Entry::Float(value) => series.push(&self.labels, Sample::new(at, *value)),
                Entry::Histogram { histogram, .. } => {
                    let histogram = stored(histogram, series.newest_histogram(&self.labels));
                    series.push_histogram(&self.labels, HistogramSample { time: at, histogram: Some(histogram) });
                }
            }
            self.taken += 1;
        }
    }
}

/// A histogram as a time-series database gives it back.
fn stored(histogram: &Arc<Histogram>, before: Option<&HistogramSample>) -> Arc<Histogram> {
    let before = before.and_then(|before| before.histogram.as_deref());
    Arc::new(Histogram { hint: stored_hint(before, histogram), ..(**histogram).clone() })
}
