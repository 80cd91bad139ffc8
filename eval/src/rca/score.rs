//! What cases of a set came to: shares by group, never pooled over systems, and how far posteriors can be believed.
use super::names::Names;
use super::play::Outcome;
use super::recording::Recording;
use faultline::render::table;
use std::collections::BTreeMap;

/// One case, judged.
#[derive(Debug)]
pub struct Case {
    case: String,
    group: String,
    truth: String,
    /// Place of the truth; the worst of its ties.
    rank: Option<usize>,
    first: String,
    posterior: f64,
    verdict: bool,
    named: bool,
    incidents: usize,
}

impl Case {
    /// Holds what came of a recording against its truth.
    pub fn new(recording: &Recording, outcome: &Outcome, names: &Names) -> Case {
        let ranking = outcome.ranking();
        let truth = recording.truth.clone().unwrap_or_default();
        let score = ranking.iter().find(|(entity, _)| names.back(entity) == truth).map(|(_, score)| *score);
        Case {
            case: recording.case.clone(),
            group: recording.group.clone(),
            rank: score.map(|score| ranking.iter().filter(|(_, other)| *other >= score).count()),
            truth,
            first: ranking.first().map_or(String::new(), |(entity, _)| names.back(entity).to_string()),
            posterior: outcome
                .verdict
                .as_ref()
                .and_then(|verdict| verdict.causes.first())
                .map_or(0.0, |cause| cause.posterior),
            verdict: outcome.verdict.is_some(),
            named: outcome.names_a_cause(),
            incidents: outcome.incidents,
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let said = match (self.verdict, self.named) {
            (false, _) => "no verdict".to_string(),
            (true, named) => {
                format!("{}{} {:.3}", if named { "" } else { "unknown, rather " }, self.first, self.posterior)
            }
        };
        if self.truth.is_empty() {
            return format!("{}: {} incidents; {said}", self.case, self.incidents);
        }
        let rank = self.rank.map_or("not among the causes".to_string(), |rank| format!("rank {rank}"));
        let mark = if self.rank == Some(1) { "right" } else { "WRONG" };
        format!("{mark} {} {}: {said}; {} {rank}; {} incidents", self.case, self.group, self.truth, self.incidents)
    }
}

/// Figures by group and of all.
pub fn summary(cases: &[Case]) -> String {
    let mut groups: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        groups.entry(&case.group).or_default().push(case);
    }
    let mut rows: Vec<Vec<String>> = groups.iter().map(|(group, cases)| row(group, cases)).collect();
    rows.push(row("all", &cases.iter().collect::<Vec<_>>()));
    let headings = ["group", "cases", "top-1", "top-3", "mrr", "named", "of these right", "brier", "no incident"];
    let mut text = table(&headings, &rows);
    text.push_str("\nposterior of the first cause, and how often it was right\n");
    text.push_str(&table(&["posterior", "cases", "mean", "right"], &reliability(cases)));
    text
}

fn row(group: &str, cases: &[&Case]) -> Vec<String> {
    let count = cases.len().max(1) as f64;
    let share = |holds: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| holds(case)).count() as f64 / count;
    let mrr: f64 = cases.iter().map(|case| case.rank.map_or(0.0, |rank| 1.0 / rank as f64)).sum::<f64>() / count + 0.0;
    let verdicts: Vec<&&Case> = cases.iter().filter(|case| case.verdict).collect();
    let brier = verdicts.iter().map(|case| (case.posterior - f64::from(u8::from(case.rank == Some(1)))).powi(2));
    let named: Vec<&&Case> = cases.iter().filter(|case| case.named).collect();
    let right = named.iter().filter(|case| case.rank == Some(1)).count();
    vec![
        group.to_string(),
        cases.len().to_string(),
        format!("{:.2}", share(&|case| case.rank == Some(1))),
        format!("{:.2}", share(&|case| case.rank.is_some_and(|rank| rank <= 3))),
        format!("{mrr:.2}"),
        named.len().to_string(),
        format!("{:.2}", right as f64 / named.len().max(1) as f64),
        format!("{:.3}", brier.sum::<f64>() / verdicts.len().max(1) as f64),
        cases.iter().filter(|case| case.incidents == 0).count().to_string(),
    ]
}

/// Cases with a verdict, by the posterior of their first cause.
fn reliability(cases: &[Case]) -> Vec<Vec<String>> {
    const BINS: [(f64, f64); 5] = [(0.0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.97), (0.97, 1.01)];
    let bins = BINS.iter().map(|&(low, high)| {
        let within: Vec<&Case> =
            cases.iter().filter(|case| case.verdict && (low..high).contains(&case.posterior)).collect();
        let count = within.len().max(1) as f64;
        let mean = within.iter().map(|case| case.posterior).sum::<f64>() / count;
        let right = within.iter().filter(|case| case.rank == Some(1)).count() as f64 / count;
        let figure = |x: f64| if within.is_empty() { "-".to_string() } else { format!("{x:.2}") };
        vec![format!("{low} to {}", high.min(1.0)), within.len().to_string(), figure(mean), figure(right)]
    });
    bins.collect()
}

/// Windows without an incident: how often no cause was named.
pub fn calm(cases: &[Case]) -> String {
    let mut groups: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        groups.entry(&case.group).or_default().push(case);
    }
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|(group, cases)| {
            let opened = cases.iter().filter(|case| case.incidents > 0).count();
            let silent = cases.iter().filter(|case| !case.named).count();
            let share = silent as f64 / cases.len().max(1) as f64;
            vec![group.to_string(), cases.len().to_string(), opened.to_string(), format!("{share:.2}")]
        })
        .collect();
    table(&["group", "windows", "with an incident", "no cause named"], &rows)
}
