//! A case told in full: what was decided when, and the evidence that the last verdict rests on.
use crate::case::Decided;
use faultline::render::{duration, table};
use faultline_estate::Story;
use faultline_model::Millis;
use faultline_model::facts::{Decision, Evidence, Shift, Verdict};
use std::fmt::Write;

/// The whole case for people.
pub fn tell(story: &Story, decided: &Decided) -> String {
    let truth = story.truth();
    let mut text = format!("truth: {}\n", truth.fault.word());
    for culprit in &story.culprits {
        let service = &story.plan.services[culprit.service];
        let _ = writeln!(text, "{} on {}: {}", service.name, story.plan.hosts[service.host], culprit.trouble.words());
    }
    text.push('\n');
    for (at, decision) in &decided.decisions {
        if let Some(line) = line(decision) {
            let _ = writeln!(text, "{:>9}  {line}", after(*at, truth.onset));
        }
    }
    if let Some((at, evidence)) = decided.evidence.last() {
        let _ = writeln!(text, "\nevidence frozen at {}", after(*at, truth.onset));
        text.push_str(&frozen(evidence, truth.onset));
    }
    let mut verdicts = decided.decisions.iter().rev().filter_map(|(_, decision)| match decision {
        Decision::Verdict(verdict) => Some(verdict),
        _ => None,
    });
    if let Some(verdict) = verdicts.next() {
        text.push_str(&reasons(verdict, truth.onset));
    }
    text
}

fn after(at: Millis, onset: Millis) -> String {
    let ms = at.since(onset);
    if ms < 0 { format!("-{}", duration(-ms)) } else { format!("+{}", duration(ms)) }
}

fn line(decision: &Decision) -> Option<String> {
    Some(match decision {
        Decision::Alert(t) => format!("alert    {} {} -> {} ({:.3})", t.labels, t.from.word(), t.to.word(), t.value),
        Decision::Anomaly(a) => {
            format!("anomaly  {} {} {:.2}, expected {:.2}, z {:.1}", a.entity, a.signal.word(), a.seen, a.expected, a.z)
        }
        Decision::Incident(i) => format!("incident {} {} {}", i.id, i.phase.word(), i.entities.join(" ")),
        Decision::Verdict(v) => {
            let causes: Vec<String> =
                v.causes.iter().map(|c| format!("{} {} {:.3}", c.entity, c.kind, c.posterior)).collect();
            format!("verdict  {} {}{}", v.incident, if v.unknown { "unknown; " } else { "" }, causes.join(", "))
        }
        Decision::Change(c) => format!("change   {} {} {}", c.entity, c.kind, c.version),
        Decision::RulesRefused(r) => format!("rules refused: {}:{} {}", r.file, r.line, r.reason),
        _ => return None,
    })
}

fn frozen(evidence: &Evidence, onset: Millis) -> String {
    let shift = |s: &Shift| format!("{:.2}>{:.2} z{:.1} n{:.0}", s.expected, s.seen, s.z, s.count);
    let name = |index: u32| evidence.nodes[index as usize].entity.clone();
    let hosts = |index: u32| {
        let runs = evidence.hosts.iter().filter(|host| host.services.iter().any(|placed| placed.node == index));
        runs.map(|host| &*host.name).collect::<Vec<_>>().join(" ")
    };
    let nodes: Vec<Vec<String>> = evidence
        .nodes
        .iter()
        .enumerate()
        .map(|(index, n)| {
            vec![
                format!("{}{}", if evidence.targets.contains(&(index as u32)) { "*" } else { " " }, n.entity),
                format!("{:?}", n.telemetry),
                shift(&n.traffic),
                shift(&n.latency),
                shift(&n.self_time),
                shift(&n.errors),
                shift(&n.own_errors),
                n.onset.map_or(String::new(), |at| after(at, onset)),
                n.alerts.join(" "),
                hosts(index as u32),
            ]
        })
        .collect();
    let edges: Vec<Vec<String>> = evidence
        .edges
        .iter()
        .map(|e| {
            let kind = if e.asynchronous { "queue" } else { "call" };
            let shifts = [&e.traffic, &e.latency, &e.errors, &e.gap].map(shift);
            [name(e.client), name(e.server), kind.into()].into_iter().chain(shifts).collect()
        })
        .collect();
    let headings =
        ["service", "telemetry", "traffic", "latency", "self time", "errors", "own errors", "onset", "alerts", "host"];
    format!(
        "onset {}, window {} ms; * violated; expected>seen, robust z, requests\n{}\n{}",
        after(evidence.onset, onset),
        evidence.window,
        table(&headings, &nodes),
        table(&["client", "server", "kind", "traffic", "latency", "errors", "gap"], &edges)
    )
}

fn reasons(verdict: &Verdict, onset: Millis) -> String {
    let mut text = format!("\n{}\n{}\n{}\n", verdict.summary, verdict.why_not_second, verdict.method);
    for cause in &verdict.causes {
        let began = cause.onset.map_or("at no known time".into(), |at| after(at, onset));
        let _ = writeln!(
            text,
            "{} {}: posterior {:.4}, responsibility {:.4}, share {:.2}, began {began}",
            cause.entity, cause.kind, cause.posterior, cause.responsibility, cause.share
        );
        for step in &cause.path {
            let _ = writeln!(text, "    path {} -> {} explains {:.2}", step.client, step.server, step.explained);
        }
        for piece in &cause.evidence {
            let _ = writeln!(text, "    {:+.2} nats  {}", piece.nats, piece.what);
        }
    }
    text
}
