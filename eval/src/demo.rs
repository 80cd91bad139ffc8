//! `eval demo`: cases drawn anew from each seed, on a simulated clock.
use crate::case::{Case, Decided, judge};
use crate::score::{Score, score};
use crate::senders::send;
use crate::server::Server;
use crate::story::{FAULT_MS, LIVE, drawn};
use crate::transcript;
use clap::Args;
use clap::builder::TypedValueParser;
use faultline::cli::{FaultArg, Output};
use faultline::render::{duration, table};
use faultline_estate::Fault;
use faultline_estate::plan::SITES;
use faultline_model::HashSeed;
use serde_json::{Value, json};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Share of right verdicts below which `--gate` fails, for each fault: what seeds 21 to 40 reached, less two of twenty.
const FLOOR: f64 = 0.9;
/// Median of onset to the verdict that stayed above which `--gate` fails, in ms.
const STAYED_MS_MAX: i64 = 10_000;

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How many seeds of each fault.
    #[arg(long, default_value_t = 5)]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub first_seed: u64,
    /// This fault only [default: each, and one seed without any].
    #[arg(long, value_enum)]
    pub fault: Option<FaultArg>,
    /// How long an estate without a fault is watched, in simulated minutes.
    #[arg(long, default_value_t = 1_440)]
    pub minutes: i64,
    /// Sites of the estate, with two services each beside 16 that all share: 492 make 1,000 services.
    #[arg(long, default_value_t = SITES, value_parser = clap::value_parser!(u16).range(1..=2_000).map(usize::from))]
    pub sites: usize,
    /// Output.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Exit code 1 below the stated floors: right verdicts 0.9 of each fault, median time 10 s, no false incident.
    #[arg(long)]
    pub gate: bool,
    /// Tell this one seed in full instead: decisions, the last evidence and the reasons of the last verdict.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "first_seed", "gate"])]
    pub explain: Option<u64>,
}

/// Runs the cases; exit code 0 unless a gate is asked for and not passed.
pub fn run(args: &DemoArgs) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(seed) = args.explain {
        let fault = args.fault.map_or(Fault::Silent, Fault::from);
        let (_, decided) = play(seed, fault, args)?;
        print!("{}", transcript::tell(&drawn(seed, fault, args.sites), &decided));
        return Ok(ExitCode::SUCCESS);
    }
    let seeds = args.first_seed..args.first_seed + args.seeds;
    let faults: Vec<(Fault, u64)> = match args.fault {
        Some(fault) => seeds.map(|seed| (Fault::from(fault), seed)).collect(),
        None => {
            let each = Fault::ALL.into_iter().flat_map(|fault| seeds.clone().map(move |seed| (fault, seed)));
            each.chain([(Fault::None, args.first_seed)]).collect()
        }
    };
    let mut cases = Vec::new();
    for (fault, seed) in faults {
        let (case, _) = play(seed, fault, args)?;
        eprintln!("{}", line(&case));
        cases.push(case);
    }
    let faults = Fault::ALL.into_iter().chain([Fault::None]);
    let scores: Vec<Score> = faults.map(|fault| score(fault, &cases)).filter(|s| s.cases > 0).collect();
    match args.output {
        Output::Table => print!("{}", summary(&scores)),
        Output::Json => println!("{:#}", as_json(&scores, &cases)),
    }
    let passed = !args.gate || scores.iter().all(passes);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// One case, from the import to the end of the fault, or `--minutes` without one.
fn play(seed: u64, fault: Fault, args: &DemoArgs) -> Result<(Case, Decided), Box<dyn Error>> {
    let began = Instant::now();
    let story = drawn(seed, fault, args.sites);
    let truth = story.truth();
    let end = if fault == Fault::None { LIVE.plus(args.minutes * 60_000) } else { truth.onset.plus(FAULT_MS) };
    let hash = HashSeed(seed.max(1));
    let mut server = Server::start(LIVE, hash)?;
    let (mut decided, mut events, mut told) = (Decided::default(), 0, Instant::now());
    for step in send(story, LIVE, end, hash)? {
        events += step.events;
        server.take(step.at, step.records, &mut decided)?;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("  {} seed {seed}: {} live", fault.word(), duration(step.at.since(LIVE)));
        }
    }
    eprintln!(
        "  {} seed {seed}: {events} events in {}, slowest explanation {:.1} ms",
        fault.word(),
        duration(began.elapsed().as_millis() as i64),
        server.slowest_explanation().as_secs_f64() * 1e3
    );
    Ok((judge(seed, truth, &decided), decided))
}

fn passes(score: &Score) -> bool {
    let floor = if score.fault == Fault::None { 1.0 } else { FLOOR };
    let soon = score.stayed.is_none_or(|(median, _)| median <= STAYED_MS_MAX);
    score.right >= floor && soon && score.false_incidents == 0
}

fn said(ms: Option<i64>) -> String {
    ms.map_or("-".into(), duration)
}

fn line(case: &Case) -> String {
    let mark = if case.right() { "right" } else { "WRONG" };
    let head = format!("{mark} {} seed {}", case.truth.fault.word(), case.seed);
    if case.truth.culprits.is_empty() {
        return format!("{head}: {} incidents, {} alerts fired", case.incidents, case.false_alerts);
    }
    let culprits = case.truth.culprits.join(" and ");
    let verdict = case.verdict.as_ref().map_or("no verdict".to_string(), |v| {
        let unknown = if v.unknown { "unknown, rather " } else { "" };
        let rank = v.rank.map_or("not among the causes".into(), |rank| format!("rank {rank}"));
        format!("{unknown}{} {} {:.3}; {culprits} {rank}", v.entity, v.kind, v.posterior)
    });
    let others = match case.incidents {
        0 | 1 => String::new(),
        n => format!("; {n} INCIDENTS, {} before the fault", case.false_incidents),
    };
    format!(
        "{head}: alert {}, opened {}, first right {}, stayed {}; {verdict}{others}",
        said(case.first_alert),
        said(case.opened),
        said(case.first_right),
        said(case.stayed)
    )
}

fn summary(scores: &[Score]) -> String {
    let rows: Vec<Vec<String>> = scores
        .iter()
        .map(|s| {
            vec![
                s.fault.word().into(),
                s.cases.to_string(),
                format!("{:.2}", s.right),
                s.top3.map_or("-".into(), |share| format!("{share:.2}")),
                s.all_named.map_or("-".into(), |share| format!("{share:.2}")),
                said(s.stayed.map(|(median, _)| median)),
                said(s.stayed.map(|(_, p90)| p90)),
                said(s.first_alert),
                s.brier.map_or("-".into(), |brier| format!("{brier:.3}")),
                s.unknown.to_string(),
                s.silent.to_string(),
                s.split.to_string(),
                s.false_incidents.to_string(),
            ]
        })
        .collect();
    let headings = [
        "fault",
        "cases",
        "right",
        "top 3",
        "all believed",
        "stayed p50",
        "p90",
        "first alert p50",
        "brier",
        "unknown",
        "no verdict",
        "split",
        "false incidents",
    ];
    table(&headings, &rows)
}

fn as_json(scores: &[Score], cases: &[Case]) -> Value {
    let scores = scores.iter().map(|s| {
        json!({
            "fault": s.fault.word(), "cases": s.cases, "right": s.right, "top3": s.top3, "all_believed": s.all_named,
            "stayed_ms_p50": s.stayed.map(|(median, _)| median), "stayed_ms_p90": s.stayed.map(|(_, p90)| p90),
            "first_alert_ms_p50": s.first_alert, "brier": s.brier, "unknown": s.unknown, "no_verdict": s.silent,
            "split": s.split, "false_incidents": s.false_incidents,
        })
    });
    let cases = cases.iter().map(|case| {
        let verdict = case.verdict.as_ref().map(|v| {
            json!({
                "entity": v.entity, "kind": v.kind, "posterior": v.posterior, "unknown": v.unknown,
                "rank": v.rank, "culprit_posterior": v.culprit_posterior,
            })
        });
        json!({
            "seed": case.seed, "fault": case.truth.fault.word(), "culprits": case.truth.culprits, "right": case.right(),
            "all_named": case.all_named,
            "onset_ms": case.truth.onset.0, "first_alert_ms": case.first_alert, "opened_ms": case.opened,
            "first_right_ms": case.first_right, "stayed_ms": case.stayed, "verdict": verdict,
            "incidents": case.incidents, "false_incidents": case.false_incidents, "false_alerts": case.false_alerts,
        })
    });
    json!({ "scores": scores.collect::<Vec<_>>(), "cases": cases.collect::<Vec<_>>() })
}
