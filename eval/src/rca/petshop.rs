//! The shape of PetShop: per scenario a call graph, a normal reference, and incidents of some five-minute rows each.
//!
//! Every node has mean latency (s), availability (%) and requests of each row, and nobody counted single calls: that is what
//! Istio's standard metrics say of destinations whose callers are unknown, with the calls declared. The objective that an incident
//! violates is named by the set; its threshold is what nine of ten rows of the reference kept.
//! Source: Hardt et al., "The PetShop Dataset", CLeaR 2024, arXiv 2311.04806.
use super::names::Names;
use super::recording::{Body, Recording};
use super::table;
use super::{folders, name};
use crate::packed;
use faultline_model::{Labels, Millis, RuleFile, Sample, Setting};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// Share of the reference's rows that kept an objective.
const KEPT: f64 = 0.9;
/// Names of the alerts that page.
const ALERTS: [&str; 3] = ["ObjectiveLatency", "ObjectiveAvailability", "Always"];
/// Rows of the reference that are sent before an incident: a day. What baselines know is younger than that.
const DAY: usize = 288;
/// Windows without an incident lie this many rows apart.
const APART: usize = 15;
/// Rows of a window without an incident, as many as an incident has.
const ROWS: usize = 5;

/// What each node did in each row.
#[derive(Debug, Default)]
struct Figures {
    /// Start of each row, in s.
    times: Vec<i64>,
    /// By node: mean latency in s, availability in %, requests; NaN where nothing was seen.
    nodes: BTreeMap<String, [Vec<f64>; 3]>,
}

/// The objective that is violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Objective {
    Latency,
    Availability,
}

/// Every incident of every scenario that has a reference.
pub fn incidents(data: &Path, names: &mut Names) -> Result<Vec<Recording>, Box<dyn Error>> {
    let mut recordings = Vec::new();
    for scenario in folders(data)? {
        let Some((calls, normal)) = reference(&scenario)? else { continue };
        for split in ["train", "test"] {
            for issue in folders(&scenario.join(split))? {
                let figures = figures(&packed::text(&issue.join("metrics.csv"))?)?;
                let told: Value = serde_json::from_str(&packed::text(&issue.join("target.json"))?)?;
                let text = |part: &str, key: &str| told[part][key].as_str().map(str::to_string);
                let missing = || format!("{}: no target", issue.display());
                let target = text("target", "node").ok_or_else(missing)?;
                let metric = text("target", "metric").ok_or_else(missing)?;
                let objective = if metric == "latency" { Objective::Latency } else { Objective::Availability };
                let case = format!("{}/{split}/{}", name(&scenario), name(&issue));
                let mut recording = record(case, &calls, (&normal, normal.times.len()), &figures, names)?;
                recording.rules = vec![rule(&[objective], &target, &normal, normal.times.len(), names)?];
                recording.truth = text("root_cause", "node");
                recording.group = metric;
                recordings.push(recording);
            }
        }
    }
    Ok(recordings)
}

/// Windows of the second half of each reference, with all of it before as theirs: once with both objectives, once with an alarm that
/// always fires. Whose objective it is is taken from the scenario's incidents.
pub fn calm(data: &Path, names: &mut Names) -> Result<Vec<Recording>, Box<dyn Error>> {
    let mut recordings = Vec::new();
    for scenario in folders(data)? {
        let Some((calls, normal)) = reference(&scenario)? else { continue };
        let Some(issue) = folders(&scenario.join("train"))?.into_iter().next() else { continue };
        let told: Value = serde_json::from_str(&packed::text(&issue.join("target.json"))?)?;
        let target = told["target"]["node"].as_str().ok_or("an incident without a target")?;
        let first = normal.times.len() / 2;
        for from in (first..normal.times.len().saturating_sub(ROWS - 1)).step_by(APART) {
            let window = normal.rows(from, from + ROWS);
            for group in ["objectives", "always paged"] {
                let case = format!("{}/noissue/{from}/{group}", name(&scenario));
                let mut recording = record(case, &calls, (&normal, from), &window, names)?;
                recording.rules = vec![match group {
                    "objectives" => rule(&[Objective::Latency, Objective::Availability], target, &normal, from, names)?,
                    _ => always(target, names),
                }];
                recording.group = group.to_string();
                recordings.push(recording);
            }
        }
    }
    Ok(recordings)
}

type Calls = Vec<(String, String)>;

/// A scenario's calls and its normal reference, where it has both.
fn reference(scenario: &Path) -> Result<Option<(Calls, Figures)>, Box<dyn Error>> {
    let (graph, normal) = (scenario.join("graph.csv"), scenario.join("noissue").join("metrics.csv"));
    if !graph.is_file() || !normal.is_file() {
        return Ok(None);
    }
    Ok(Some((calls(&packed::text(&graph)?)?, figures(&packed::text(&normal)?)?)))
}

/// Calls of an adjacency matrix: a row calls a column.
fn calls(text: &str) -> Result<Calls, Box<dyn Error>> {
    let rows = table::rows(text)?;
    let Some((head, rows)) = rows.split_first() else { return Ok(Vec::new()) };
    let of_row = |row: &Vec<String>| {
        let calls = head.iter().zip(row).skip(1).filter(|(_, cell)| cell.parse().is_ok_and(|weight: f64| weight > 0.0));
        calls.map(|(server, _)| (row[0].clone(), server.clone())).collect::<Vec<_>>()
    };
    Ok(rows.iter().filter(|row| !row.is_empty()).flat_map(of_row).collect())
}

/// A table with three lines of heading: node, metric, statistic.
fn figures(text: &str) -> Result<Figures, Box<dyn Error>> {
    let rows = table::rows(text)?;
    let [nodes, metrics, statistics, rest @ ..] = &rows[..] else { return Err("a table without its heading".into()) };
    let mut figures = Figures::default();
    let rows: Vec<(i64, &Vec<String>)> =
        rest.iter().filter_map(|row| Some((row.first()?.parse::<f64>().ok()? as i64, row))).collect();
    figures.times = rows.iter().map(|(time, _)| *time).collect();
    for column in 1..nodes.len().min(metrics.len()).min(statistics.len()) {
        let place = match (&*metrics[column], &*statistics[column]) {
            ("latency", "Average") => 0,
            ("availability", "Average") => 1,
            ("requests", "Sum") => 2,
            _ => continue,
        };
        let count = rows.len();
        let node = figures.nodes.entry(nodes[column].clone()).or_insert_with(|| [0; 3].map(|_| vec![f64::NAN; count]));
        for (at, (_, row)) in rows.iter().enumerate() {
            node[place][at] = row.get(column).and_then(|cell| cell.parse().ok()).unwrap_or(f64::NAN);
        }
    }
    Ok(figures)
}

impl Figures {
    /// Some of the rows.
    fn rows(&self, from: usize, to: usize) -> Figures {
        let nodes = self.nodes.iter().map(|(name, node)| (name.clone(), [0, 1, 2].map(|i| node[i][from..to].to_vec())));
        Figures { times: self.times[from..to].to_vec(), nodes: nodes.collect() }
    }

    /// Time between rows, in s.
    fn step(&self) -> i64 {
        self.times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0).min().unwrap_or(300)
    }
}

/// Counters of one node: requests answered and failed, and their time in ms.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    answered: f64,
    failed: f64,
    ms: f64,
}

/// A recording of `figures`, with the first rows of a reference, whose times are shifted to end where they begin.
fn record(
    case: String,
    calls: &Calls,
    (normal, rows): (&Figures, usize),
    figures: &Figures,
    names: &mut Names,
) -> Result<Recording, Box<dyn Error>> {
    let step = normal.step();
    let (Some(&begins), Some(&last)) = (figures.times.first(), figures.times.last()) else {
        return Err(format!("{case}: no rows").into());
    };
    let shift = begins - step - normal.times[rows - 1];
    let mut counters: BTreeMap<&str, Counters> = BTreeMap::new();
    let mut sent = Vec::new();
    let shifted = (rows.saturating_sub(DAY)..rows)
        .map(|row| (normal, row, shift))
        .chain((0..figures.times.len()).map(|row| (figures, row, 0)));
    for (figures, row, shift) in shifted {
        // Counters stand where they stand at the end of the row.
        let at = Millis((figures.times[row] + shift + step) * 1000);
        let mut samples = Vec::new();
        for (node, [latency, availability, requests]) in &figures.nodes {
            let count = requests[row];
            let seen = counters.entry(node).or_default();
            if count > 0.0 {
                let good = if availability[row].is_finite() { availability[row] / 100.0 } else { 1.0 };
                let failed = (count * (1.0 - good)).round();
                seen.answered += count - failed;
                seen.failed += failed;
                seen.ms += if latency[row].is_finite() { count * latency[row] * 1000.0 } else { 0.0 };
            }
            let name = names.give(node);
            let series = |metric: &str, code: &str| {
                let reporter = ("reporter", "destination");
                let (from, to) = (("source_workload", "unknown"), ("destination_workload", &*name));
                Labels::new([("__name__", metric), reporter, from, to, ("response_code", code)])
            };
            samples.push((series("istio_requests_total", "200"), Sample::new(at, seen.answered)));
            samples.push((series("istio_requests_total", "503"), Sample::new(at, seen.failed)));
            samples.push((series("istio_request_duration_milliseconds_sum", "200"), Sample::new(at, seen.ms)));
        }
        sent.push((at, Body::Metrics(samples)));
    }
    let declared: Vec<String> =
        calls.iter().map(|(client, server)| format!("{} -> {}", names.give(client), names.give(server))).collect();
    Ok(Recording {
        case,
        group: String::new(),
        truth: None,
        rules: Vec::new(),
        alerts: ALERTS.map(str::to_string).into(),
        settings: vec![Setting { name: "graph.calls".into(), value: declared.join("\n") }],
        live: Millis((begins + step) * 1000 - 1000),
        sent,
        end: Millis((last + 2 * step) * 1000 - 1000),
    })
}

/// Rules that page where objectives of `target` are violated, with thresholds from the first `rows` rows of the reference.
fn rule(
    objectives: &[Objective],
    target: &str,
    normal: &Figures,
    rows: usize,
    names: &mut Names,
) -> Result<RuleFile, Box<dyn Error>> {
    let name = names.give(target);
    let node = normal.nodes.get(target).ok_or_else(|| format!("the reference does not know {target}"))?;
    let rules = objectives.iter().map(|objective| {
        let (alert, expr) = match objective {
            Objective::Latency => {
                let kept = quantile(node[0][..rows].iter().map(|seconds| seconds * 1000.0));
                (
                    "ObjectiveLatency",
                    format!(
                        "{} / {} > {kept}",
                        rate("istio_request_duration_milliseconds_sum", &name, ""),
                        rate("istio_requests_total", &name, "")
                    ),
                )
            }
            Objective::Availability => {
                let kept = quantile(node[1][..rows].iter().map(|percent| 1.0 - percent / 100.0));
                (
                    "ObjectiveAvailability",
                    format!(
                        "{} / {} > {kept}",
                        rate("istio_requests_total", &name, ", response_code=~\"5..\""),
                        rate("istio_requests_total", &name, "")
                    ),
                )
            }
        };
        (alert, expr)
    });
    Ok(file(&name, rules))
}

/// A rule that pages whatever happens.
fn always(target: &str, names: &mut Names) -> RuleFile {
    let name = names.give(target);
    let expr = format!("{} >= 0", rate("istio_requests_total", &name, ""));
    file(&name, [("Always", expr)].into_iter())
}

fn rate(metric: &str, target: &str, more: &str) -> String {
    let target = target.replace('\\', "\\\\").replace('"', "\\\"");
    format!("sum(rate({metric}{{reporter=\"destination\", destination_workload=\"{target}\"{more}}}[10m]))")
}

fn file(target: &str, rules: impl Iterator<Item = (&'static str, String)>) -> RuleFile {
    let quoted = |text: &str| Value::String(text.to_string()).to_string();
    let mut text = String::from("groups:\n- name: objectives\n  interval: 60s\n  rules:\n");
    for (alert, expr) in rules {
        text.push_str(&format!(
            "  - alert: {alert}\n    expr: {}\n    labels: {{service: {}}}\n",
            quoted(&expr),
            quoted(target)
        ));
    }
    RuleFile { name: "objectives.yml".into(), text }
}

/// What [`KEPT`] of the values do not exceed.
fn quantile(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let place = ((sorted.len() as f64 * KEPT).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).copied().unwrap_or(0.0)
}
