//! `faultline rules test`: promtool's unit tests for rules, run as promtool runs them.
//!
//! Source: `cmd/promtool/unittest.go` of Prometheus 3.15. Rules are evaluated at each multiple of the evaluation interval
//! from the test's start, whatever their groups' own intervals are; then alerts that fire are compared, and at the end
//! values of expressions.
use super::held::HeldSeries;
use super::unit_file::{AlertTest, ExprTest, Span, Start, UnitFile, UnitTest};
use crate::rule_files::read_one;
use faultline_model::{
    Histogram, HistogramSample, Labels, Millis, Number, Position, RuleFile, RuleFiles, Sample, TenantId,
};
use faultline_promql::notation::{self, Entry};
use faultline_promql::{Element, Features, Options, Value, evaluate, parse_with, stored_hint};
use faultline_rules::{Health, Rules};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most evaluations of one test: a day at a second's interval, or two months at a minute's.
const EVALUATIONS_MAX: i64 = 100_000;

/// How one test went.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name, or its place in the file.
    pub name: String,
    /// What was not as expected, each a text of some lines; none where it passed.
    pub failures: Vec<String>,
}

/// Runs the tests of a file whose names `wanted` takes. An error is about the file as a whole, or its rule files.
pub fn run_file(path: &Path, features: Features, wanted: impl Fn(&str) -> bool) -> Result<Vec<Outcome>, String> {
    let text = read_one(path).map_err(|error| crate::render::chain(&error))?;
    let file: UnitFile = serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
    let mut order = BTreeMap::new();
    for (place, name) in file.group_eval_order.iter().enumerate() {
        if order.insert(&**name, place).is_some() {
            return Err(format!("group name repeated in evaluation order: {name}"));
        }
    }
    if file.evaluation_interval.0 < 1 {
        return Err("evaluation_interval must be longer than nothing".into());
    }
    let rules = rule_files(path.parent().unwrap_or(Path::new("")), &file.rule_files)?;
    let mut outcomes = Vec::new();
    for (place, test) in file.tests.iter().enumerate() {
        let name = if test.name.is_empty() { format!("unnamed#{place}") } else { test.name.clone() };
        if wanted(&test.name) {
            let run = Run { file: &file, test, order: &order, features };
            let failures = run.all(&rules).unwrap_or_else(|error| vec![error]);
            outcomes.push(Outcome { name, failures });
        }
    }
    Ok(outcomes)
}

/// The files that the patterns name, in order.
fn rule_files(folder: &Path, patterns: &[String]) -> Result<Vec<RuleFile>, String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let pattern = folder.join(pattern);
        let found =
            glob::glob(&pattern.to_string_lossy()).map_err(|error| format!("{}: {error}", pattern.display()))?;
        let found: Vec<PathBuf> = found.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        if found.is_empty() {
            return Err(format!("no rule file matches {}", pattern.display()));
        }
        paths.extend(found);
    }
    paths.sort();
    paths.dedup();
    let read = |path: &PathBuf| {
        let text = read_one(path).map_err(|error| crate::render::chain(&error))?;
        Ok(RuleFile { name: path.display().to_string(), text })
    };
    paths.iter().map(read).collect()
}

struct Run<'a> {
    file: &'a UnitFile,
    test: &'a UnitTest,
    /// Places of groups that are evaluated in a given order; others come first.
    order: &'a BTreeMap<&'a str, usize>,
    features: Features,
}

/// An input series and how far it is taken.
struct Input {
    labels: Labels,
    entries: Vec<Entry>,
    taken: usize,
}

impl Run<'_> {
    /// What is not as expected; an error ends the test.
    fn all(&self, files: &[RuleFile]) -> Result<Vec<String>, String> {
        if let Some(test) = self.test.alert_rule_test.iter().find(|test| test.alertname.is_empty()) {
            return Err(format!("an item under alert_rule_test lacks alertname at eval_time {}", test.eval_time));
        }
        let interval = self.test.interval.filter(|interval| interval.0 > 0).unwrap_or(self.file.evaluation_interval);
        let mut inputs = self.inputs()?;
        let mut series = HeldSeries::default();
        let mut rules = self.rules(files, interval, &mut series)?;
        let Start(start) = self.test.start_timestamp;
        let times = self.test.alert_rule_test.iter().map(|test| test.eval_time);
        let end = times.chain(self.test.promql_expr_test.iter().map(|test| test.eval_time)).max().unwrap_or_default();
        let step = self.file.evaluation_interval.0;
        if end.0 / step > EVALUATIONS_MAX {
            return Err(format!("{end} at an interval of {} is more than {EVALUATIONS_MAX} evaluations", Span(step)));
        }
        let (groups, mut failures) = (self.groups(&rules), Vec::new());
        for passed in (0..=end.0).step_by(step as usize) {
            let at = start.plus(passed);
            inputs.iter_mut().for_each(|input| input.take_until(passed, interval, start, &mut series));
            for &group in &groups {
                rules.evaluate_group(group, at, Position::default(), &mut series, &mut Vec::new());
            }
            let broken = broken(&rules, passed);
            if !broken.is_empty() {
                failures.extend(broken);
                return Ok(failures);
            }
            let now = |test: &&AlertTest| (passed..passed + step).contains(&test.eval_time.0);
            let tests = self.test.alert_rule_test.iter().filter(now);
            failures.extend(tests.filter_map(|test| alerts_differ(test, &rules)));
        }
        let values = self.test.promql_expr_test.iter();
        failures.extend(values.filter_map(|test| self.value_differs(test, start.plus(test.eval_time.0), &series)));
        Ok(failures)
    }

    fn inputs(&self) -> Result<Vec<Input>, String> {
        let input = |input: &super::unit_file::InputSeries| {
            let named = |error: &dyn std::fmt::Display| format!("input series {}: {error}", input.series);
            let labels = notation::labels(&input.series).map_err(|error| named(&error))?;
            let entries = notation::entries(&input.values).map_err(|error| named(&error))?;
            Ok(Input { labels, entries, taken: 0 })
        };
        self.test.input_series.iter().map(input).collect()
    }

    fn rules(&self, files: &[RuleFile], interval: Span, series: &mut HeldSeries) -> Result<Rules, String> {
        let files = RuleFiles {
            files: files.to_vec(),
            default_interval: interval.0,
            external_labels: self.test.external_labels.clone().into_iter().collect(),
            external_url: self.test.external_url.clone(),
            features: self.features.names().map(str::to_string).collect(),
            ..RuleFiles::default()
        };
        let mut rules = Rules::new(TenantId(0));
        let loaded = rules.load(&files, Millis(i64::MIN / 2), Position::default(), series, &mut Vec::new());
        loaded.map_err(|refused| format!("{}:{}: {}", refused.file, refused.line, refused.reason))?;
        series.serve(&rules);
        Ok(rules)
    }

    /// Numbers of the groups in the order of their evaluation.
    fn groups(&self, rules: &Rules) -> Vec<usize> {
        let mut groups: Vec<(usize, usize)> = rules
            .groups()
            .iter()
            .enumerate()
            .map(|(number, group)| (self.order.get(&*group.name).copied().unwrap_or(0), number))
            .collect();
        groups.sort_unstable();
        groups.into_iter().map(|(_, number)| number).collect()
    }

    fn value_differs(&self, test: &ExprTest, at: Millis, series: &HeldSeries) -> Option<String> {
        let failed = |what: String| Some(format!("expr: {:?}, time: {}: {what}", test.expr, test.eval_time));
        let options = Options { subquery_step_ms: self.file.evaluation_interval.0, ..Options::default() };
        let value = parse_with(&test.expr, self.features).map_err(|error| error.to_string());
        let value = value.and_then(|expr| evaluate(&expr, at, series, &options).map_err(|error| error.to_string()));
        let found = match value {
            Ok(Value::Vector(elements)) => elements,
            Ok(Value::Scalar(value)) => vec![Element { labels: Labels::default(), value: value.into() }],
            Ok(Value::Matrix(_) | Value::Text(_)) => return failed("rule result is not a vector or scalar".into()),
            Err(error) => return failed(error),
        };
        let expected: Result<Vec<Element>, String> = test
            .exp_samples
            .iter()
            .map(|sample| {
                let labels = if sample.labels.trim().is_empty() {
                    Ok(Labels::default())
                } else {
                    notation::labels(&sample.labels)
                };
                let labels = labels.map_err(|error| error.to_string())?;
                let value = match &*sample.histogram {
                    "" => Number::from(sample.value),
                    text => Number::Histogram(histogram(text)?),
                };
                Ok(Element { labels, value })
            })
            .collect();
        let mut expected = match expected {
            Ok(expected) => expected,
            Err(error) => return failed(error),
        };
        let mut found = found;
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        let same = |(a, b): (&Element, &Element)| a.labels == b.labels && self.same(&a.value, &b.value);
        if expected.len() == found.len() && expected.iter().zip(&found).all(same) {
            return None;
        }
        let list = |elements: &[Element]| {
            elements.iter().fold(String::new(), |mut all, element| {
                let _never = write!(all, "\n    {} {}", element.labels, element.value);
                all
            })
        };
        failed(format!("\n  expected:{}\n  found:{}", list(&expected), list(&found)))
    }

    fn same(&self, a: &Number, b: &Number) -> bool {
        match (a, b) {
            (Number::Float(a), Number::Float(b)) => {
                a == b || self.file.fuzzy_compare && (a.next_up() == *b || a.next_down() == *b)
            }
            (Number::Histogram(a), Number::Histogram(b)) => a == b,
            _ => false,
        }
    }
}

impl Input {
    /// Adds what the series holds up to so many ms after the start.
    fn take_until(&mut self, passed: i64, interval: Span, start: Millis, series: &mut HeldSeries) {
        while self.taken as i64 * interval.0 <= passed
            && let Some(entry) = self.entries.get(self.taken)
        {
            let at = start.plus(self.taken as i64 * interval.0);
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

/// Errors of the rules at their last evaluation.
fn broken(rules: &Rules, passed: i64) -> Vec<String> {
    let groups = rules.groups();
    let broken = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.record.health == Health::Err);
    broken
        .map(|rule| {
            format!(
                "rule: {}, time: {}, err: {}",
                rule.name,
                Span(passed),
                rule.record.last_error.as_deref().unwrap_or_default()
            )
        })
        .collect()
}

/// Labels and annotations of alerts, in order.
type Alerts = Vec<(Labels, Labels)>;

/// Whether other alerts fire than those that must.
fn alerts_differ(test: &AlertTest, rules: &Rules) -> Option<String> {
    let firing = rules.firing().filter(|(name, ..)| *name == test.alertname);
    let mut found: Alerts = firing
        .map(|(_, labels, annotations)| (labels.clone(), Labels::new(annotations.iter().map(|(n, v)| (n, v)))))
        .collect();
    let mut expected: Alerts = test
        .exp_alerts
        .iter()
        .map(|alert| {
            let mut labels = alert.exp_labels.clone();
            labels.insert("alertname".into(), test.alertname.clone());
            (Labels::new(labels), Labels::new(&alert.exp_annotations))
        })
        .collect();
    found.sort();
    expected.sort();
    if found == expected {
        return None;
    }
    // What both have is no help.
    let only = |these: &Alerts, those: &Alerts| {
        let only: Vec<&(Labels, Labels)> = these.iter().filter(|alert| !those.contains(alert)).collect();
        only.iter().fold(String::new(), |mut all, (labels, annotations)| {
            let _never = write!(all, "\n    labels      {labels}\n    annotations {annotations}");
            all
        })
    };
    let both = expected.iter().filter(|alert| found.contains(alert)).count();
    let mut text = format!("alertname: {}, time: {}: {both} as expected", test.alertname, test.eval_time);
    for (what, these, those) in
        [("expected and not firing", &expected, &found), ("firing and not expected", &found, &expected)]
    {
        let list = only(these, those);
        if !list.is_empty() {
            text += &format!("\n  {what}:{list}");
        }
    }
    Some(text)
}

/// A histogram that is expected.
fn histogram(text: &str) -> Result<Arc<Histogram>, String> {
    match &notation::entries(text).map_err(|error| error.to_string())?[..] {
        [Entry::Histogram { histogram, .. }] => Ok(histogram.clone()),
        other => Err(format!("expected one histogram, got {} entries: {text}", other.len())),
    }
}

/// A histogram as a time-series database gives it back.
fn stored(histogram: &Arc<Histogram>, before: Option<&HistogramSample>) -> Arc<Histogram> {
    let before = before.and_then(|before| before.histogram.as_deref());
    Arc::new(Histogram { hint: stored_hint(before, histogram), ..(**histogram).clone() })
}
