//! `faultline rules test`: promtool's unit tests for rules, run as promtool runs them.
//!
//! Source: `cmd/promtool/unittest.go` of Prometheus 3.15. At each step of the play alerts that fire are compared, and at the
//! end values of expressions.
use super::play::{Play, Setting};
use super::unit_file::{AlertTest, ExprTest, Span, Start, UnitFile, UnitTest};
use crate::rule_files::read_one;
use faultline_model::{Histogram, Labels, Number, RuleFile};
use faultline_promql::notation::{self, Entry};
use faultline_promql::{Element, Features};
use std::collections::BTreeSet;
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
    let mut named = BTreeSet::new();
    if let Some(name) = file.group_eval_order.iter().find(|name| !named.insert(*name)) {
        return Err(format!("group name repeated in evaluation order: {name}"));
    }
    if file.evaluation_interval.0 < 1 {
        return Err("evaluation_interval must be longer than nothing".into());
    }
    let rules = rule_files(path.parent().unwrap_or(Path::new("")), &file.rule_files)?;
    let mut outcomes = Vec::new();
    for (place, test) in file.tests.iter().enumerate() {
        let name = if test.name.is_empty() { format!("unnamed#{place}") } else { test.name.clone() };
        if wanted(&test.name) {
            let run = Run { file: &file, test, features };
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
    features: Features,
}

impl Run<'_> {
    /// What is not as expected; an error ends the test.
    fn all(&self, files: &[RuleFile]) -> Result<Vec<String>, String> {
        if let Some(test) = self.test.alert_rule_test.iter().find(|test| test.alertname.is_empty()) {
            return Err(format!("an item under alert_rule_test lacks alertname at eval_time {}", test.eval_time));
        }
        let interval = self.test.interval.filter(|interval| interval.0 > 0).unwrap_or(self.file.evaluation_interval);
        let step = self.file.evaluation_interval.0;
        let Start(start) = self.test.start_timestamp;
        let setting = Setting {
            start,
            step_ms: step,
            sample_ms: interval.0,
            order: self.file.group_eval_order.clone(),
            external_labels: self.test.external_labels.clone().into_iter().collect(),
            external_url: self.test.external_url.clone(),
            features: self.features,
        };
        let inputs = self.test.input_series.iter().map(|input| (&*input.series, &*input.values));
        let mut play = Play::new(&setting, files, inputs)?;
        let times = self.test.alert_rule_test.iter().map(|test| test.eval_time);
        let end = times.chain(self.test.promql_expr_test.iter().map(|test| test.eval_time)).max().unwrap_or_default();
        if end.0 / step > EVALUATIONS_MAX {
            return Err(format!("{end} at an interval of {} is more than {EVALUATIONS_MAX} evaluations", Span(step)));
        }
        let mut failures = Vec::new();
        for _ in 0..=end.0 / step {
            let (passed, _) = play.step();
            let broken = play.broken();
            if !broken.is_empty() {
                failures.extend(broken.iter().map(ToString::to_string));
                return Ok(failures);
            }
            let now = |test: &&AlertTest| (passed..passed + step).contains(&test.eval_time.0);
            let tests = self.test.alert_rule_test.iter().filter(now);
            failures.extend(tests.filter_map(|test| alerts_differ(test, &play)));
        }
        let values = self.test.promql_expr_test.iter();
        failures.extend(values.filter_map(|test| self.value_differs(test, &play)));
        Ok(failures)
    }

    fn value_differs(&self, test: &ExprTest, play: &Play) -> Option<String> {
        let failed = |what: String| Some(format!("expr: {:?}, time: {}: {what}", test.expr, test.eval_time));
        let mut found = match play.ask(&test.expr, test.eval_time.0) {
            Ok(found) => found,
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

/// Labels and annotations of alerts, in order.
type Alerts = Vec<(Labels, Labels)>;

/// Whether other alerts fire than those that must.
fn alerts_differ(test: &AlertTest, play: &Play) -> Option<String> {
    let firing = play.firing().filter(|(name, ..)| *name == test.alertname);
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
