//! The shape of TVDiag's sets: per incident the instances, who talks to whom, and alerts that others raised on metrics, traces and logs.
//!
//! An alert becomes an event that its instance tells of (an OTLP log record with a name): of a metric its name and which way it went; of a
//! call one at each end; of a log its template. Each instance also writes an ordinary record, so that it is known to be there. The edges
//! and who calls whom in the traces become declared calls. There is neither an entry nor an objective: somebody is paged for the whole,
//! which is declared to call every instance.
//!
//! What events mean is learned from the causes of other incidents, which are confirmed as a user does it. So cases are played one after
//! another on one server: those that are learned from, each closed with its cause, and then those that are judged, none of which is.
//! Source: Xie et al., "TVDiag", TOSEM 2025.
use super::names::Names;
use super::play::ranking;
use super::recording::Body;
use super::{RcaArgs, line, table};
use crate::packed;
use crate::server::{Server, Setup, Watch};
use faultline::world::control;
use faultline_formats::encode::{Log, ResourceLogs, Value as Attribute};
use faultline_host::Random;
use faultline_model::facts::{Decision, Evidence, IncidentPhase, Verdict};
use faultline_model::{
    Canonical, Clock, Control, EventTime, Feedback, HashSeed, IncidentId, Labels, Millis, RuleFile, Sample, Setting,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Folds, and the seed of their drawing.
const FOLDS: usize = 5;
const DRAWN: u64 = 5;
/// What somebody is paged for.
const WHOLE: &str = "the-whole-estate";
/// From one case to the next, in ms: the incident before is over by then, and its events are too old to be counted.
const APART: i64 = 240_000;
/// How often a tick comes between two cases.
const BETWEEN: Duration = Duration::from_secs(10);
/// When the first case begins.
const BEGINS: Millis = Millis(1_700_000_000_000);
const SEED: HashSeed = HashSeed(1);
/// Pages while somebody says that all is not well.
const RULES: &str = "groups:\n- name: page\n  interval: 60s\n  rules:\n  - alert: NotWell\n    expr: not_well > 0\n    labels: {service: the-whole-estate}\n";

/// One incident.
#[derive(Debug)]
struct Case {
    id: String,
    instances: Vec<String>,
    calls: BTreeSet<(String, String)>,
    /// Instance and event.
    events: Vec<(String, String)>,
    truth: String,
}

/// Plays a set, by five folds or with the cases of `--train` to learn from.
pub fn run(args: &RcaArgs, names: &mut Names) -> Result<ExitCode, Box<dyn Error>> {
    if args.normal {
        return Err("this set has no windows without an incident".into());
    }
    let wanted = |case: &Case| args.only.as_ref().is_none_or(|only| case.id == *only);
    let cases = cases(&args.data, names)?;
    let mut judged = Vec::new();
    let mut slowest = Duration::ZERO;
    match &args.train {
        Some(folder) => {
            let lessons = self::cases(folder, names)?;
            let (all, judge): (Vec<&Case>, Vec<&Case>) = (lessons.iter().collect(), cases.iter().collect());
            slowest = play(&all, &judge, args.explain, &mut judged)?.max(slowest);
        }
        None => {
            let drawn = drawn(cases.len());
            for fold in 0..FOLDS {
                let of = |keep: bool| -> Vec<&Case> {
                    let places = drawn.iter().enumerate().filter(|(place, _)| (place % FOLDS == fold) == keep);
                    places.map(|(_, &at)| &cases[at]).collect()
                };
                let judge: Vec<&Case> = of(true).into_iter().filter(|case| wanted(case)).collect();
                if !judge.is_empty() {
                    slowest = play(&of(false), &judge, args.explain, &mut judged)?.max(slowest);
                    eprintln!("fold {} of {FOLDS}: {} cases judged", fold + 1, judge.len());
                }
            }
        }
    }
    judged.sort_by_key(|it| cases.iter().position(|case| case.id == it.case.id));
    if let Some(path) = &args.out {
        let mut out = BufWriter::new(File::create(path)?);
        for it in &judged {
            writeln!(out, "{}", line(&it.case.id, &it.ranking, names))?;
        }
        out.flush()?;
    }
    let counted: Vec<Option<usize>> = judged.iter().map(|it| by_count(it.case)).collect();
    let places: Vec<Option<usize>> = judged.iter().map(Judged::place).collect();
    let named: Vec<&Judged> = judged.iter().filter(|it| it.named).collect();
    let right = named.iter().filter(|it| it.place() == Some(1)).count() as f64 / named.len().max(1) as f64;
    let rows = [row("most alerts", &counted), row("learned", &places)];
    print!("{}", faultline::render::table(&["ranking", "cases", "top-1", "top-3", "mrr"], &rows));
    println!("{} causes named, of these right {right:.2}; learning took {slowest:?} at most", named.len());
    Ok(ExitCode::SUCCESS)
}

fn row(name: &str, places: &[Option<usize>]) -> Vec<String> {
    let count = places.len().max(1) as f64;
    let within = |most: usize| places.iter().filter(|place| place.is_some_and(|place| place <= most)).count() as f64;
    let mrr: f64 = places.iter().flatten().map(|place| 1.0 / *place as f64).sum::<f64>() + 0.0;
    let share = |sum: f64| format!("{:.3}", sum / count);
    vec![name.into(), places.len().to_string(), share(within(1)), share(within(3)), share(mrr)]
}

/// Place of the truth where the instance with most alerts is named first; equals in name order.
fn by_count(case: &Case) -> Option<usize> {
    let mut counts: BTreeMap<&str, usize> = case.instances.iter().map(|name| (name.as_str(), 0)).collect();
    case.events.iter().filter_map(|(instance, _)| counts.get_mut(instance.as_str()).map(|n| *n += 1)).for_each(drop);
    let mut ranked: Vec<(&str, usize)> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ranked.iter().position(|(name, _)| *name == case.truth).map(|place| place + 1)
}

/// The numbers below `count` in an order drawn once and for all.
fn drawn(count: usize) -> Vec<usize> {
    let (mut random, mut order) = (Random::seeded(DRAWN), (0..count).collect::<Vec<_>>());
    for at in (1..count).rev() {
        order.swap(at, random.below(at as u64 + 1) as usize);
    }
    order
}

/// A case that was judged.
struct Judged<'a> {
    case: &'a Case,
    /// Instances, likeliest first, with scores that fall.
    ranking: Vec<(String, f64)>,
    named: bool,
}

impl Judged<'_> {
    /// Place of the truth, the worst of its ties.
    fn place(&self) -> Option<usize> {
        let score = self.ranking.iter().find(|(name, _)| *name == self.case.truth).map(|(_, score)| *score)?;
        Some(self.ranking.iter().filter(|(_, other)| *other >= score).count())
    }
}

/// Plays `lessons`, each closed with its cause, and then `judge`. Returns how long learning took at most.
fn play<'a>(
    lessons: &[&Case],
    judge: &[&'a Case],
    explain: bool,
    judged: &mut Vec<Judged<'a>>,
) -> Result<Duration, Box<dyn Error>> {
    let rules = vec![RuleFile { name: "page.yml".into(), text: RULES.into() }];
    let mut server = Server::start_with(BEGINS, SEED, Setup { rules, settings: Vec::new() })?;
    let (mut at, mut closed) = (BEGINS.plus(APART), 0);
    for case in lessons {
        let heard = show(&mut server, case, at)?;
        let incident = heard.incident.ok_or_else(|| format!("case {}: no incident", case.id))?;
        let (cause, note, by) = (case.truth.clone(), String::new(), String::new());
        let feedback = Feedback { incident, cause, note, at, by };
        let mut heard = Heard::default();
        server.take(at.plus(5_000), vec![control(Control::Feedback, feedback.to_bytes(), SEED)], &mut heard)?;
        if heard.closed {
            closed += 1;
        } else {
            eprintln!(
                "case {}: its cause, {}, is none of its instances: nothing is learned from it",
                case.id, case.truth
            );
        }
        at = at.plus(APART);
    }
    let mut heard = Heard::default();
    server.learn(&mut heard)?;
    if heard.learned != closed {
        return Err(format!("{} of {closed} closed incidents were learned from", heard.learned).into());
    }
    for &case in judge {
        let verdict = show(&mut server, case, at)?.verdict;
        if explain && let Some(verdict) = &verdict {
            println!("== {} {}: {}", case.id, case.truth, verdict.summary);
            for cause in &verdict.causes {
                println!("  {} {:.3}", cause.entity, cause.posterior);
                cause.evidence.iter().for_each(|piece| println!("    {:+.2} {}", piece.nats, piece.what));
            }
        }
        let mut ranking = ranking(verdict.as_ref());
        ranking.retain(|(name, _)| case.instances.contains(name));
        let named = verdict.is_some_and(|verdict| !verdict.unknown);
        judged.push(Judged { case, ranking, named });
        at = at.plus(APART);
    }
    Ok(server.slowest_learning())
}

/// What the server decided on a case.
#[derive(Default)]
struct Heard {
    incident: Option<IncidentId>,
    verdict: Option<Verdict>,
    closed: bool,
    /// Incidents that the newest weights rest on.
    learned: u64,
}

impl Watch for Heard {
    fn decided(&mut self, _: Millis, decision: &Decision) {
        match decision {
            Decision::Incident(update) if update.phase == IncidentPhase::Opened => self.incident = Some(update.id),
            Decision::Verdict(verdict) => self.verdict = Some(verdict.clone()),
            Decision::Feedback(_) => self.closed = true,
            Decision::Learned(it) => self.learned = it.lessons,
            _ => {}
        }
    }

    fn asked(&mut self, _: Millis, _: &Evidence) {}
}

/// Sends a case from `at` on: its topology and events, and a second later the page, which is over after three.
fn show(server: &mut Server, case: &Case, at: Millis) -> Result<Heard, Box<dyn Error>> {
    let mut heard = Heard::default();
    server.wait(at.plus(-1_000), BETWEEN, &mut heard)?;
    let whole = case.instances.iter().map(|instance| format!("{WHOLE} -> {instance}"));
    let calls: Vec<String> = case.calls.iter().map(|(a, b)| format!("{a} -> {b}")).chain(whole).collect();
    let calls = Setting { name: "graph.calls".into(), value: calls.join("\n") };
    let calls = control(Control::Setting, calls.to_bytes(), SEED);
    server.take(at, vec![calls, logs(case, at).record(Clock::Live, SEED)], &mut heard)?;
    for (after, value) in [(1_000, 1.0), (4_000, 0.0)] {
        let at = at.plus(after);
        let said = Body::Metrics(vec![(Labels::new([("__name__", "not_well")]), Sample::new(at, value))]);
        server.take(at, vec![said.record(Clock::Live, SEED)], &mut heard)?;
    }
    Ok(heard)
}

/// Each instance's events, after an ordinary record.
fn logs(case: &Case, at: Millis) -> Body {
    let time = EventTime(at.0 * 1_000_000);
    let record = |event: &str| Log {
        time,
        observed: time,
        severity: 9,
        body: String::new(),
        attributes: Vec::new(),
        event: event.to_string(),
    };
    let of = |instance: &String| {
        let own = case.events.iter().filter(|(of, _)| of == instance).map(|(_, event)| record(event));
        let resource = vec![("service.name".to_string(), Attribute::Text(instance.clone()))];
        ResourceLogs { resource, logs: [record("")].into_iter().chain(own).collect() }
    };
    Body::Logs(case.instances.iter().map(of).collect())
}

/// Every incident of a folder. Alerts of what is no instance (hosts) are left out.
fn cases(data: &Path, names: &mut Names) -> Result<Vec<Case>, Box<dyn Error>> {
    let json = |file: &str| -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&packed::text(&data.join(file))?).map_err(|error| format!("{file}: {error}"))?)
    };
    let (nodes, edges) = (json("nodes.json")?, json("edges.json")?);
    let (metrics, traces, logs) = (json("metrics.json")?, json("traces.json")?, json("logs.json")?);
    let rows = table::rows(&packed::text(&data.join("label.csv"))?)?;
    let (head, rows) = rows.split_first().ok_or("label.csv is empty")?;
    let column = |name: &str| head.iter().position(|it| it == name).ok_or_else(|| format!("label.csv: no {name}"));
    let (index, instance) = (column("index")?, column("instance")?);
    let mut cases = Vec::new();
    for row in rows {
        let (Some(id), Some(truth)) = (row.get(index), row.get(instance)) else { continue };
        let instances = texts(&nodes[id.as_str()]);
        let known = |name: &str| instances.iter().any(|it| it == name);
        let pairs = list(&edges[id.as_str()]).iter().filter_map(|pair| {
            let end = |at: usize| instances.get(usize::try_from(pair[at].as_u64()?).ok()?).cloned();
            Some((end(0)?, end(1)?))
        });
        let mut calls: BTreeSet<(String, String)> = pairs.collect();
        let mut events: Vec<(String, String)> = Vec::new();
        for alert in list(&metrics[id.as_str()]).iter().map(texts) {
            if let [instance, .., metric, way] = &alert[..] {
                events.push((instance.clone(), format!("metric.{metric}.{way}")));
            }
        }
        for alert in list(&traces[id.as_str()]).iter().map(texts) {
            let [caller, callee, _, kind] = &alert[..] else { continue };
            if caller == callee {
                events.push((caller.clone(), format!("trace.internal.{kind}")));
            } else {
                events.push((caller.clone(), format!("trace.called.{kind}")));
                events.push((callee.clone(), format!("trace.served.{kind}")));
                calls.insert((caller.clone(), callee.clone()));
            }
        }
        for alert in list(&logs[id.as_str()]).iter().map(texts) {
            if let [instance, template] = &alert[..] {
                events.push((instance.clone(), format!("log.{template}")));
            }
        }
        events.retain(|(instance, _)| known(instance));
        calls.retain(|(a, b)| a != b && known(a) && known(b));
        let mut give = |name: &String| names.give(name);
        cases.push(Case {
            id: id.clone(),
            calls: calls.iter().map(|(a, b)| (give(a), give(b))).collect(),
            events: events.iter().map(|(instance, event)| (give(instance), give(event))).collect(),
            truth: give(truth),
            instances: instances.iter().map(give).collect(),
        });
    }
    Ok(cases)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A list's texts; numbers as they are written.
fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_string)).collect()
}
