//! A recording through the server's loop, and what came of it.
use super::recording::Recording;
use crate::case::Decided;
use crate::server::{Server, Setup};
use faultline_model::facts::{Decision, Evidence, IncidentPhase, Verdict};
use faultline_model::{Clock, HashSeed, IncidentId};
use std::error::Error;
use std::fmt::Write;

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    /// Incidents that opened.
    pub incidents: usize,
    /// The last verdict.
    pub verdict: Option<Verdict>,
    /// All decisions, for telling.
    decided: Decided,
}

/// Imports what was before, goes live, and plays the rest to its end.
pub fn play(recording: &Recording) -> Result<Outcome, Box<dyn Error>> {
    let seed = HashSeed(1);
    let setup = Setup { rules: recording.rules.clone(), settings: recording.settings.clone() };
    let mut server = Server::start_with(recording.live, seed, setup)?;
    let mut decided = Decided::default();
    let mut sent = recording.sent.iter().peekable();
    while let Some((_, body)) = sent.next_if(|(at, _)| *at < recording.live) {
        server.take(recording.live, vec![body.record(Clock::Import, seed)], &mut decided)?;
    }
    while let Some((at, body)) = sent.next() {
        let mut records = vec![body.record(Clock::Live, seed)];
        while let Some((_, body)) = sent.next_if(|(next, _)| next == at) {
            records.push(body.record(Clock::Live, seed));
        }
        server.take(*at, records, &mut decided)?;
    }
    server.take(recording.end, Vec::new(), &mut decided)?;
    let incidents = count(&decided);
    let home = paged(&decided, &recording.alerts);
    let about = |verdict: &&Verdict| home.is_none_or(|home| home == verdict.incident);
    let mut verdicts = decided.decisions.iter().filter_map(|(_, decision)| match decision {
        Decision::Verdict(verdict) => Some(verdict),
        _ => None,
    });
    let verdict = verdicts.rfind(about).cloned();
    Ok(Outcome { incidents, verdict, decided })
}

/// Incidents that opened.
fn count(decided: &Decided) -> usize {
    let opened =
        |decision: &Decision| matches!(decision, Decision::Incident(update) if update.phase == IncidentPhase::Opened);
    decided.decisions.iter().filter(|(_, decision)| opened(decision)).count()
}

/// The last incident that somebody was paged for by an alert of these names: others may open beside it.
fn paged(decided: &Decided, alerts: &[String]) -> Option<IncidentId> {
    let mut updates = decided.decisions.iter().filter_map(|(_, decision)| match decision {
        Decision::Incident(update) => Some(update),
        _ => None,
    });
    updates
        .rfind(|update| update.alert_names.iter().any(|name| alerts.contains(name)))
        .map(|update| update.merged_into.unwrap_or(update.id))
}

impl Outcome {
    /// Services, most responsible first, with scores that fall; equal ones are ties. A way between two services counts as the
    /// callee's, and each service once.
    pub fn ranking(&self) -> Vec<(String, f64)> {
        ranking(self.verdict.as_ref())
    }

    /// Whether a cause was named, by a verdict that stands by it.
    pub fn names_a_cause(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| !verdict.unknown && !verdict.causes.is_empty())
    }

    /// What the last verdict rests on.
    pub fn evidence(&self) -> Option<&Evidence> {
        let verdict = self.verdict.as_ref()?;
        let answers =
            |evidence: &&Evidence| (evidence.incident, evidence.revision) == (verdict.incident, verdict.revision);
        self.decided.evidence.iter().map(|(_, evidence)| evidence).find(answers)
    }

    /// The last evidence and verdict in words.
    pub fn told(&self, case: &str) -> String {
        let mut told = format!("== {case}\n");
        for (at, decision) in &self.decided.decisions {
            match decision {
                Decision::Alert(alert) => {
                    let _ = writeln!(told, "{at} {} {:?} -> {:?} {}", alert.name, alert.from, alert.to, alert.value);
                }
                Decision::Incident(update) => {
                    let _ = writeln!(told, "{at} incident {:?} {:?}", update.phase, update.entities);
                }
                Decision::Verdict(verdict) => {
                    let _ = writeln!(told, "{at} verdict {}: {}", verdict.revision, verdict.summary);
                }
                _ => {}
            }
        }
        if let Some(evidence) = self.evidence() {
            let at = evidence.at;
            let _ = writeln!(told, "evidence {at} onset {} window {} ms", evidence.onset, evidence.window);
            for (index, node) in evidence.nodes.iter().enumerate() {
                let target = evidence.targets.contains(&(index as u32));
                let _ = writeln!(
                    told,
                    "  {index:3} {}{} {:?} step {} onset {:?}\n      traffic {:?}\n      latency {:?}\n      self {:?}\n      errors {:?}\n      own {:?}\n      new logs {:?} missing {:?}",
                    if target { "*" } else { "" },
                    node.entity,
                    node.telemetry,
                    node.step,
                    node.onset,
                    node.traffic,
                    node.latency,
                    node.self_time,
                    node.errors,
                    node.own_errors,
                    node.new_logs,
                    node.missing_logs
                );
                for used in &node.resources {
                    let _ = writeln!(
                        told,
                        "      {:?} of {} {:?} limit {}",
                        used.resource, used.instance, used.used, used.limit
                    );
                }
            }
            for edge in &evidence.edges {
                let _ = writeln!(
                    told,
                    "  {} -> {} unmeasured {} {:?} {:?}",
                    edge.client, edge.server, edge.unmeasured, edge.latency, edge.gap
                );
            }
        }
        if let Some(verdict) = &self.verdict {
            let _ = writeln!(
                told,
                "{} {}\nwhy not second: {}",
                verdict.method,
                if verdict.unknown { "UNKNOWN" } else { "" },
                verdict.why_not_second
            );
            for cause in &verdict.causes {
                let _ = writeln!(
                    told,
                    "  {} {} posterior {:.3} responsibility {:.3} share {:.3} path {:?}",
                    cause.entity,
                    cause.kind,
                    cause.posterior,
                    cause.responsibility,
                    cause.share,
                    cause.path.iter().map(|step| (&*step.server, step.explained)).collect::<Vec<_>>()
                );
                for piece in &cause.evidence {
                    let _ = writeln!(told, "      {:+.2} {}", piece.nats, piece.what);
                }
            }
        }
        told
    }
}

/// The services of a verdict as [`Outcome::ranking`] has them.
pub fn ranking(verdict: Option<&Verdict>) -> Vec<(String, f64)> {
    let causes = verdict.map_or(&[][..], |verdict| &verdict.causes);
    let (mut ranking, mut score): (Vec<(String, f64)>, f64) = (Vec::new(), 0.0);
    for (place, cause) in causes.iter().enumerate() {
        // Apart by rounding only is a tie.
        let key = |at: usize| [causes[at].responsibility, causes[at].share, causes[at].posterior];
        let apart = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-9);
        if place == 0 || apart(key(place), key(place - 1)) {
            score = -(place as f64);
        }
        let entity = cause.entity.rsplit(" -> ").next().unwrap_or(&cause.entity);
        if !ranking.iter().any(|(known, _)| known == entity) {
            ranking.push((entity.to_string(), score));
        }
    }
    ranking
}
