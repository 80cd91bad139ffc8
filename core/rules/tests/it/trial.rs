//! Rules tried on whole columns do what they do at one instant after the other; who reads whom.
use crate::dice::Dice;
use crate::store::labels;
use faultline_model::{Labels, Millis, RuleFile, RuleFiles, Sample};
use faultline_promql::{Matcher, Options, Selector, SeriesView, Source, evaluate, evaluate_columns};
use faultline_rules::{Came, RuleSet, Trial, parse, readings};

const RULES: &str = "groups:
- name: g
  interval: 30s
  query_offset: 7s
  rules:
  - {alert: High, expr: x > 5, for: 70s}
  - {alert: Kept, expr: x > 7, keep_firing_for: 2m}
  - {alert: Templated, expr: x > 6, labels: {l: '{{ if gt $value 8.0 }}a{{ end }}'}}
  - {alert: Rate, expr: 'rate(c[2m]) > 0.1'}
  - {alert: Gone, expr: 'absent(x{i=\"0\"})', for: 1m}
  - {alert: Same, expr: 'x > 8 or c > 300', labels: {i: one}}
  - {record: all, expr: x}
  - {record: some, expr: 'x > 4', labels: {made: here}}
  - {record: same, expr: 'sum without (i) (x > 6) or x', labels: {i: ''}}
  - {record: total, expr: 'sum(c) / 3'}
- name: limited
  interval: 30s
  limit: 1
  rules:
  - {alert: Limited, expr: x > 4, for: 30s}
  - {record: limited, expr: 'x > 4'}
";

struct Held(Vec<(Labels, Vec<Sample>)>);

impl Source for Held {
    fn select(&self, _: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let meets = |labels: &Labels| selector.matchers.iter().all(|m: &Matcher| m.matches(labels.get(&m.name)));
        for (id, (labels, samples)) in (0..).zip(&self.0).filter(|(_, (labels, _))| meets(labels)) {
            visit(SeriesView { id, labels, samples, histograms: &[], starts: None, marks: None });
        }
    }
}

fn set(text: &str) -> RuleSet {
    let files = vec![RuleFile { name: "t.yml".into(), text: text.into() }];
    parse(&RuleFiles { files, default_interval: 60_000, ..RuleFiles::default() }).unwrap_or_else(|e| panic!("{e:?}"))
}

fn drawn(seed: u64) -> Held {
    let mut dice = Dice(seed);
    let mut series = Vec::new();
    for name in ["c", "x"] {
        for i in 0..3 {
            let (mut samples, mut total) = (Vec::new(), 0.0);
            for n in 0..400_i64 {
                total += dice.roll(6) as f64;
                let value = if name == "x" { dice.roll(10) as f64 } else { total };
                let at = Millis(n * 11_000 + i * 100);
                match dice.roll(25) {
                    0 => samples.push(Sample::stale(at)),
                    1 => total = 0.0,
                    _ if (n / 40 + i) % 4 == 0 => {}
                    _ => samples.push(Sample::new(at, value)),
                }
            }
            series.push((labels(&format!("{name}{{i=\"{i}\"}}")), samples));
        }
    }
    Held(series)
}

#[test]
fn columns_do_what_instants_do() {
    let mut count = 0;
    for seed in 0..20 {
        let source = drawn(seed);
        for mut trial in Trial::all(set(RULES)) {
            trial.show();
            let mut other = trial.clone();
            let (mut columns, mut steps) = (Came::default(), Came::default());
            let name = format!("seed {seed}, {}", trial.rule().name);
            let mut from = 0;
            // In pieces of any length.
            for to in [1_000_000, 1_029_000, 1_060_000, 3_000_000, 4_500_000] {
                let instants = trial.instants(Millis(from), Millis(to));
                let seen: Vec<Millis> = instants.iter().map(|at| at.plus(-trial.group().query_offset_ms)).collect();
                let expr = trial.rule().expr.clone();
                let found = evaluate_columns(&expr, &seen, &source, &Options::default(), &|| false);
                trial.take_columns(&instants, &found.expect("it has values"), &mut columns);
                for (at, seen) in instants.iter().zip(&seen) {
                    let value = evaluate(&expr, *seen, &source, &Options::default());
                    other.take(*at, value.map_err(|error| error.to_string()), &mut steps);
                }
                from = to + 1;
            }
            assert_eq!(columns.transitions, steps.transitions, "{name}");
            assert_eq!(columns.appended, steps.appended, "{name}");
            assert_eq!((trial.evaluations(), trial.failures()), (other.evaluations(), other.failures()), "{name}");
            count += columns.transitions.len() + columns.appended.len();
        }
    }
    assert!(count > 5_000, "{count}");
}

/// `reader<writer` where all is there when it is read, `reader!writer` where it is not.
#[test]
fn who_reads_whom() {
    let check = |rules: &str, expected: &str| {
        let set = set(&format!("groups:\n{rules}"));
        let names: Vec<&str> = set.groups.iter().flat_map(|g| &g.rules).map(|rule| &*rule.name).collect();
        let found: Vec<String> = readings(&set)
            .iter()
            .map(|it| format!("{}{}{}", names[it.reader], if it.in_order { "<" } else { "!" }, names[it.writer]))
            .collect();
        assert_eq!(found.join(" "), expected, "{rules}");
    };
    let group =
        |name: &str, more: &str, rules: &str| format!("- {{name: {name}, interval: 1m{more}, rules: [{rules}]}}\n");
    let (a, b) = ("{record: a, expr: x}", "{record: b, expr: a + 1}");
    check(&group("g", "", &format!("{a}, {b}")), "b<a");
    check(&group("g", "", &format!("{b}, {a}")), "b!a");
    check(&group("g", "", "{record: a, expr: a + 1 or x}"), "a!a");
    check(&(group("g", "", a) + &group("h", "", b)), "b<a");
    // These two never meet at one instant; with a later look the reader would see what is not appended yet.
    check(&(group("h", "", b) + &group("g", "", a)), "b<a");
    check(&(group("g", ", query_offset: 10s", a) + &group("h", "", b)), "b!a");
    check(&(group("g", "", a) + &group("h", ", query_offset: 10s", b)), "b<a");
    let alert = "{alert: A, expr: x}";
    check(&group("g", "", &format!("{alert}, {{alert: B, expr: 'ALERTS{{alertname=\"A\"}}'}}")), "B<A");
    check(&group("g", "", &format!("{alert}, {{alert: B, expr: 'y{{alertname=\"A\"}}'}}")), "");
    let labelled = |value: &str| format!("{{record: a, expr: x, labels: {{l: {value}}}}}");
    let reads = "{alert: R, expr: 'a{l=\"1\"}'}";
    check(&group("g", "", &format!("{}, {}, {reads}", labelled("1"), labelled("2"))), "R<a");
    check(&group("g", "", &format!("{}, {a}, {reads}", labelled("1"))), "a!a a!a R<a R<a");
}
