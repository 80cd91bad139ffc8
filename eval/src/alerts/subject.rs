//! An alerting rule to be made fire and resolve: what it reads, and what its expression tells of the values that matter.
use faultline_model::{Labels, Millis, RuleFile, RuleFiles, labels};
use faultline_promql::{Expr, Matcher, Options, Selector, SeriesView, Source, Tree, Type, Value, evaluate};
use faultline_rules::{RuleKind, RuleSet, parse, readings};
use std::collections::BTreeSet;

/// Most constants of an expression that guide values, products and ratios of two included.
const CONSTANTS_MAX: usize = 40;

/// One alerting rule of a file.
#[derive(Debug)]
pub struct Subject {
    /// Its place among the rules of the file, from 0.
    pub number: usize,
    /// The name of its group.
    pub group: String,
    /// Its name.
    pub alert: String,
    /// `for` and `keep_firing_for`, in ms.
    pub waits_ms: i64,
    /// Its expression.
    pub expr: Expr,
    /// What that is made of and has a value at an instant, itself left out.
    pub parts: Vec<Expr>,
    /// Whether it reads what other rules of the file append.
    pub chained: bool,
    /// What it reads that no rule of the file appends, each once.
    pub wants: Vec<Wanted>,
    /// Numbers that its expression compares and computes with.
    pub constants: Vec<f64>,
    /// Labels that are named in its expression or its templates.
    pub labels: Vec<String>,
    /// Labels by which elements are joined or put together.
    pub joins: BTreeSet<String>,
    /// Whether missing data may make it hold.
    pub asks_absence: bool,
}

/// Series that are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What their labels must meet.
    pub matchers: Vec<Matcher>,
    /// How far back they are read at most, in ms.
    pub history_ms: i64,
    /// The length of the stretch that is read, in ms; 0 for an instant.
    pub range_ms: i64,
    /// Whether they are the buckets of a classic histogram.
    pub buckets: bool,
}

/// The rules of a file, parsed.
///
/// Fails with the reason where it does not load.
pub fn load(file: &RuleFile) -> Result<RuleSet, String> {
    let files = RuleFiles { files: vec![file.clone()], default_interval: 60_000, ..RuleFiles::default() };
    parse(&files).map_err(|error| format!("{}:{}: {}", error.file, error.line, error.reason))
}

/// Every alerting rule of a set.
pub fn subjects(set: &RuleSet) -> Vec<Subject> {
    let places = set.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
    let rules: Vec<_> = places.collect();
    let readings = readings(set);
    let writers = |reader: usize| readings.iter().filter(move |it| it.reader == reader && it.writer != reader);
    let mut found = Vec::new();
    for (number, (group, rule)) in rules.iter().enumerate() {
        let RuleKind::Alert(alerting) = &rule.kind else { continue };
        let mut told = Told::default();
        let (mut open, mut known, mut asks_absence) = (vec![number], BTreeSet::from([number]), false);
        while let Some(reader) = open.pop() {
            let rule = rules[reader].1;
            told.take(&rule.expr);
            asks_absence |= rule.asks_absence;
            let own: Vec<usize> = writers(reader).map(|it| it.writer).collect();
            let appended = |selector: &Selector| {
                let name = selector.metric().unwrap_or_default();
                own.iter().any(|writer| {
                    let (_, writer) = rules[*writer];
                    let alerts = writer.kind != RuleKind::Record && name.starts_with("ALERTS");
                    alerts || writer.kind == RuleKind::Record && *writer.name == *name
                })
            };
            let buckets = buckets(&rule.expr);
            for (place, selector) in rule.expr.selectors().iter().enumerate() {
                let wanted = Wanted {
                    matchers: selector.matchers.clone(),
                    history_ms: selector.history_ms().unwrap_or(selector.range),
                    range_ms: selector.range,
                    buckets: buckets.get(place).copied().unwrap_or(false),
                };
                let same = |it: &&mut Wanted| it.matchers == wanted.matchers;
                match told.wants.iter_mut().find(same) {
                    _ if appended(selector) => {}
                    Some(it) => {
                        it.history_ms = it.history_ms.max(wanted.history_ms);
                        it.buckets |= wanted.buckets;
                        if wanted.range_ms > 0 && (it.range_ms == 0 || wanted.range_ms < it.range_ms) {
                            it.range_ms = wanted.range_ms;
                        }
                    }
                    None => told.wants.push(wanted),
                }
            }
            open.extend(own.into_iter().filter(|writer| known.insert(*writer)));
        }
        let templates =
            alerting.annotations.iter().map(|(_, text)| text).chain(rule.labels.iter().map(|(_, text)| text));
        templates.for_each(|text| told.labels.extend(named_in(text)));
        let matched = told.wants.iter().flat_map(|it| &it.matchers).map(|it| it.name.clone());
        told.labels.extend(matched.filter(|name| name != labels::NAME));
        told.labels.extend(["instance".to_string(), "job".to_string()]);
        found.push(Subject {
            number,
            group: group.name.clone(),
            alert: rule.name.to_string(),
            waits_ms: alerting.for_ms + alerting.keep_firing_for_ms,
            expr: rule.expr.clone(),
            parts: parts(&rule.expr),
            chained: known.len() > 1,
            constants: told.constants(),
            wants: told.wants,
            labels: told.labels.into_iter().collect(),
            joins: told.joins,
            asks_absence,
        });
    }
    found
}

/// What expressions tell.
#[derive(Default)]
struct Told {
    wants: Vec<Wanted>,
    numbers: Vec<f64>,
    labels: BTreeSet<String>,
    joins: BTreeSet<String>,
}

impl Told {
    fn take(&mut self, expr: &Expr) {
        self.walk(&expr.tree());
        for part in expr.parts().iter().filter(|part| part.expr.result_type() == Type::Scalar) {
            // `time()` is a number, too, and none to compare with.
            let at = |ms: i64| evaluate(&part.expr, Millis(ms), &Nothing, &Options::default());
            if let (Ok(Value::Scalar(x)), Ok(Value::Scalar(y))) = (at(0), at(60_000))
                && x == y
            {
                self.numbers.push(x);
            }
        }
    }

    /// Numbers and labels, wherever they stand.
    fn walk(&mut self, tree: &Tree) {
        let Tree::Object(fields) = tree else {
            if let Tree::List(list) = tree {
                list.iter().for_each(|it| self.walk(it));
            }
            return;
        };
        let is_number =
            fields.iter().any(|(name, value)| *name == "type" && *value == Tree::Text("numberLiteral".into()));
        for (name, value) in fields {
            match (*name, value) {
                ("val", Tree::Text(text)) if is_number => self.numbers.extend(text.parse::<f64>().ok()),
                ("grouping" | "labels" | "include", Tree::List(list)) => {
                    let texts =
                        list.iter().filter_map(|it| if let Tree::Text(text) = it { Some(text.clone()) } else { None });
                    let texts: Vec<String> = texts.collect();
                    self.labels.extend(texts.iter().cloned());
                    self.joins.extend(texts);
                }
                (_, value) => self.walk(value),
            }
        }
    }

    /// Numbers, and what comes of two of them: thresholds are multiplied and divided on the way.
    fn constants(&self) -> Vec<f64> {
        let plain: Vec<f64> = self.numbers.iter().copied().filter(|x| x.is_finite()).collect();
        let pairs = plain.iter().flat_map(|x| plain.iter().map(move |y| (*x, *y)));
        let made = pairs.flat_map(|(x, y)| [x * y, x / y]);
        let mut found = Vec::new();
        for x in plain.iter().copied().chain(made).filter(|x| x.is_finite()) {
            if found.len() < CONSTANTS_MAX && !found.contains(&x) {
                found.push(x);
            }
        }
        found
    }
}

fn parts(expr: &Expr) -> Vec<Expr> {
    let parts = expr.parts().into_iter().skip(1).map(|part| part.expr);
    parts.filter(|part| part.result_type() == Type::Vector).collect()
}

/// Which of the selectors, in reading order, a quantile of classic histograms is made of.
fn buckets(expr: &Expr) -> Vec<bool> {
    fn walk(tree: &Tree, within: bool, found: &mut Vec<bool>) {
        match tree {
            Tree::List(list) => list.iter().for_each(|it| walk(it, within, found)),
            Tree::Object(fields) => {
                let text = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
                if let Some(Tree::Text(kind)) = text("type")
                    && matches!(&**kind, "vectorSelector" | "matrixSelector")
                {
                    found.push(within);
                    return;
                }
                let called = |names: &[&str]| match text("func") {
                    Some(Tree::Object(func)) => func.iter().any(|(name, value)| {
                        *name == "name" && names.iter().any(|it| *value == Tree::Text((*it).into()))
                    }),
                    _ => false,
                };
                let within = within || called(&["histogram_quantile", "histogram_fraction", "histogram_quantiles"]);
                fields.iter().for_each(|(_, value)| walk(value, within, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(&expr.tree(), false, &mut found);
    found
}

/// Labels that a template names: `$labels.x`, `.Labels.x`.
fn named_in(text: &str) -> Vec<String> {
    let after = text.split("abels.").skip(1);
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    after.map(name).filter(|name| !name.is_empty()).collect()
}

/// No series at all.
struct Nothing;

impl Source for Nothing {
    fn select(&self, _: usize, _: &Selector, _: &mut dyn FnMut(SeriesView<'_>)) {}
}

/// Whether labels meet every matcher.
pub fn meets(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_tell_what_they_read_and_compare_with() {
        let text = r#"
groups:
- name: g
  rules:
  - record: job:errors:rate
    expr: sum by (job) (rate(errors_total{code=~"5.."}[2m])) * 60
  - alert: A
    expr: job:errors:rate > 2 * 3 and on (job) histogram_quantile(0.9, sum by (le, job) (rate(d_bucket[5m]))) > 0.5
    for: 3m
    annotations: {summary: "{{ $labels.site }}"}
"#;
        let set = load(&RuleFile { name: "f".into(), text: text.into() }).expect("it loads");
        let [it] = &subjects(&set)[..] else { panic!("one alert") };
        assert!(it.chained && it.waits_ms == 180_000 && it.number == 1);
        let wants: Vec<_> = it.wants.iter().map(|w| (&*w.matchers[0].value, w.range_ms, w.buckets)).collect();
        assert_eq!(wants, [("d_bucket", 300_000, true), ("errors_total", 120_000, false)]);
        assert!([6.0, 0.5, 60.0, 0.9].iter().all(|x| it.constants.contains(x)), "{:?}", it.constants);
        assert_eq!(it.labels, ["code", "instance", "job", "le", "site"]);
    }
}
