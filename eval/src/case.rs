//! One case: what was true, what the server decided, and how well the two agree.
use crate::server::Watch;
use faultline_estate::Truth;
use faultline_model::facts::{AlertState, Decision, Evidence, IncidentPhase, Verdict};
use faultline_model::{IncidentId, Millis};
use std::collections::BTreeMap;

/// What a case came to. Times are ms after the onset on the simulated clock; negative ones came before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The seed.
    pub seed: u64,
    /// What was true.
    pub truth: Truth,
    /// The first alert that fired at or after the onset.
    pub first_alert: Option<i64>,
    /// When the fault reached an incident: the first to open or to take in alerts at or after the onset. That one is judged.
    pub opened: Option<i64>,
    /// The first right verdict on it.
    pub first_right: Option<i64>,
    /// The verdict on it that was right and stayed right.
    pub stayed: Option<i64>,
    /// The last verdict on it.
    pub verdict: Option<Named>,
    /// Whether the last verdicts of all incidents together believe in each culprit.
    pub all_named: bool,
    /// Incidents that opened, merged ones not counted.
    pub incidents: usize,
    /// Those of them that opened before the onset, or without any.
    pub false_incidents: usize,
    /// Alerts that fired before the onset, or without any.
    pub false_alerts: usize,
}

/// What a verdict said.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The first cause.
    pub entity: String,
    /// Its kind.
    pub kind: String,
    /// Its posterior.
    pub posterior: f64,
    /// Whether the verdict said that it does not know.
    pub unknown: bool,
    /// Whether the first cause is a culprit, whatever `unknown` says.
    pub hit: bool,
    /// Best place of a culprit among the causes, from 1.
    pub rank: Option<usize>,
    /// Posterior of that culprit; 0 where none is among the causes.
    pub culprit_posterior: f64,
}

impl Named {
    fn of(verdict: &Verdict, truth: &Truth) -> Named {
        let place = verdict.causes.iter().position(|cause| truth.blames(&cause.entity));
        let first = verdict.causes.first();
        Named {
            entity: first.map_or(String::new(), |cause| cause.entity.clone()),
            kind: first.map_or(String::new(), |cause| cause.kind.clone()),
            posterior: first.map_or(0.0, |cause| cause.posterior),
            unknown: verdict.unknown || first.is_none(),
            hit: place == Some(0),
            rank: place.map(|place| place + 1),
            culprit_posterior: place.map_or(0.0, |place| verdict.causes[place].posterior),
        }
    }

    /// It names the culprit and stands by it.
    pub fn right(&self) -> bool {
        self.hit && !self.unknown
    }
}

impl Case {
    /// Whether the case ended well: the culprit named, or, without a fault, nothing opened.
    pub fn right(&self) -> bool {
        match self.truth.culprits.is_empty() {
            false => self.verdict.as_ref().is_some_and(Named::right),
            true => self.incidents == 0,
        }
    }
}

/// What the server decided, in order, imported telemetry left out.
#[derive(Debug, Default)]
pub struct Decided {
    /// Alerts, anomalies, incidents and verdicts.
    pub decisions: Vec<(Millis, Decision)>,
    /// Evidence that verdicts rest on.
    pub evidence: Vec<(Millis, Evidence)>,
}

impl Watch for Decided {
    fn decided(&mut self, at: Millis, decision: &Decision) {
        let counts = match decision {
            Decision::Alert(transition) => !transition.imported,
            Decision::Incident(update) => !update.imported,
            Decision::Anomaly(_) | Decision::Verdict(_) | Decision::Change(_) | Decision::RulesRefused(_) => true,
            _ => false,
        };
        if counts {
            self.decisions.push((at, decision.clone()));
        }
    }

    fn asked(&mut self, at: Millis, evidence: &Evidence) {
        self.evidence.push((at, evidence.clone()));
    }
}

/// Culprits in which a verdict believes rather than not.
fn believed(verdict: &Verdict, truth: &Truth) -> Vec<String> {
    let causes = verdict.causes.iter().filter(|cause| cause.posterior > 0.5 && truth.blames(&cause.entity));
    causes.map(|cause| cause.entity.clone()).collect()
}

/// Holds what was decided against the truth.
pub fn judge(seed: u64, truth: Truth, decided: &Decided) -> Case {
    // Without a fault everything comes before it.
    let onset = if truth.culprits.is_empty() { Millis(i64::MAX) } else { truth.onset };
    let (mut opened, mut homes): (Vec<(Millis, IncidentId)>, BTreeMap<IncidentId, IncidentId>) = Default::default();
    let mut judged = None;
    let (mut first_alert, mut false_alerts) = (None, 0);
    for (at, decision) in &decided.decisions {
        match decision {
            Decision::Alert(transition) if transition.to == AlertState::Firing => {
                if *at < onset {
                    false_alerts += 1;
                } else {
                    first_alert.get_or_insert(at.since(truth.onset));
                }
            }
            Decision::Incident(update) => {
                if matches!(update.phase, IncidentPhase::Opened | IncidentPhase::Grew) && *at >= onset {
                    judged.get_or_insert((*at, update.id));
                }
                match update.phase {
                    IncidentPhase::Opened => opened.push((*at, update.id)),
                    IncidentPhase::Merged => homes.extend(update.merged_into.map(|home| (update.id, home))),
                    IncidentPhase::Grew | IncidentPhase::Resolved => {}
                }
            }
            _ => {}
        }
    }
    let home_of = |mut id: IncidentId| {
        while let Some(&home) = homes.get(&id) {
            id = home;
        }
        id
    };
    let judged = judged.map(|(at, id)| (at, home_of(id)));
    let verdicts: Vec<(i64, Named)> = decided
        .decisions
        .iter()
        .filter_map(|(at, decision)| match decision {
            Decision::Verdict(v) if judged.is_some_and(|(from, id)| *at >= from && home_of(v.incident) == id) => {
                Some((at.since(truth.onset), Named::of(v, &truth)))
            }
            _ => None,
        })
        .collect();
    let rights = verdicts.iter().rev().take_while(|(_, named)| named.right());
    let mut last: BTreeMap<IncidentId, Vec<String>> = BTreeMap::new();
    for (at, decision) in &decided.decisions {
        if let Decision::Verdict(v) = decision
            && *at >= onset
        {
            last.insert(home_of(v.incident), believed(v, &truth));
        }
    }
    let alive: Vec<Millis> = opened.iter().filter(|(_, id)| !homes.contains_key(id)).map(|&(at, _)| at).collect();
    Case {
        seed,
        first_alert,
        opened: judged.map(|(at, _)| at.since(truth.onset)),
        first_right: verdicts.iter().find(|(_, named)| named.right()).map(|&(at, _)| at),
        stayed: rights.last().map(|&(at, _)| at),
        verdict: verdicts.last().map(|(_, named)| named.clone()),
        all_named: truth.culprits.iter().all(|culprit| last.values().flatten().any(|named| named == culprit)),
        incidents: alive.len(),
        false_incidents: alive.iter().filter(|&&at| at < onset).count(),
        false_alerts,
        truth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_estate::Fault;
    use faultline_model::facts::{Cause, IncidentUpdate};
    use faultline_model::{EffectId, Position};

    fn id(offset: u64) -> IncidentId {
        EffectId { cause: Position { partition: 0, offset }, ordinal: 0 }
    }

    /// `3 open 1`, `4 grow 1`, `4 verdict 1 culprit 0.9`, `5 unknown 1 culprit 0.4`, `6 merge 2 1`, a line each; times in s.
    fn decided(text: &str) -> Decided {
        let mut decided = Decided::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let at = Millis(1_000_000).plus(words[0].parse::<i64>().expect("seconds") * 1_000);
            let incident = id(words[2].parse().expect("a number"));
            let update = |phase, merged_into| {
                Decision::Incident(IncidentUpdate {
                    id: incident,
                    phase,
                    at,
                    opened_at: at,
                    alerts: Vec::new(),
                    entities: Vec::new(),
                    alert_names: Vec::new(),
                    merged_into,
                    imported: false,
                })
            };
            let decision = match words[1] {
                "open" => update(IncidentPhase::Opened, None),
                "grow" => update(IncidentPhase::Grew, None),
                "merge" => update(IncidentPhase::Merged, Some(id(words[3].parse().expect("a number")))),
                word => {
                    let cause = |entity: &str, posterior| Cause {
                        entity: entity.into(),
                        kind: "slow".into(),
                        posterior,
                        responsibility: posterior,
                        share: 0.0,
                        onset: None,
                        path: Vec::new(),
                        evidence: Vec::new(),
                    };
                    let posterior = words[4].parse().expect("a number");
                    Decision::Verdict(Verdict {
                        incident,
                        revision: 1,
                        at,
                        unknown: word == "unknown",
                        calibrated: false,
                        causes: vec![cause(words[3], posterior), cause("second", 0.1)],
                        summary: String::new(),
                        why_not_second: String::new(),
                        method: String::new(),
                        unseen: Vec::new(),
                        what_ifs: Vec::new(),
                        checks: Vec::new(),
                        reliability: None,
                        passed: Vec::new(),
                    })
                }
            };
            decided.decisions.push((at, decision));
        }
        decided
    }

    /// `first_right`, `stayed`, rank, incidents, false incidents of a case whose culprit fails at second 0.
    fn check(culprit: Option<&str>, text: &str, expected: (Option<i64>, Option<i64>, Option<usize>, usize, usize)) {
        let fault = if culprit.is_some() { Fault::Latency } else { Fault::None };
        let truth =
            Truth { culprits: culprit.into_iter().map(str::to_string).collect(), fault, onset: Millis(1_000_000) };
        let case = judge(1, truth, &decided(text));
        let rank = case.verdict.as_ref().and_then(|named| named.rank);
        let found = (case.first_right, case.stayed, rank, case.incidents, case.false_incidents);
        assert_eq!(found, expected, "{text}");
        assert_eq!(case.right(), case.stayed.is_some() || culprit.is_none() && case.incidents == 0, "{text}");
    }

    #[test]
    fn the_verdict_that_stayed_is_the_first_of_the_last_right_ones() {
        check(Some("a"), "", (None, None, None, 0, 0));
        check(Some("a"), "3 open 1\n3 verdict 1 a 0.9\n4 verdict 1 a 0.9", (Some(3_000), Some(3_000), Some(1), 1, 0));
        let changed = "3 open 1\n3 verdict 1 a 0.9\n4 verdict 1 b 0.9\n6 verdict 1 a 0.9\n8 verdict 1 a 0.9";
        check(Some("a"), changed, (Some(3_000), Some(6_000), Some(1), 1, 0));
        check(Some("a"), "3 open 1\n3 verdict 1 a 0.9\n4 unknown 1 a 0.4", (Some(3_000), None, Some(1), 1, 0));
        check(Some("second"), "3 open 1\n3 verdict 1 a 0.9", (None, None, Some(2), 1, 0));
    }

    #[test]
    fn only_the_incident_of_the_fault_is_judged_and_others_are_counted() {
        let joined = "-9 open 1\n-9 verdict 1 b 0.9\n3 grow 1\n3 verdict 1 a 0.9";
        check(Some("a"), joined, (Some(3_000), Some(3_000), Some(1), 1, 1));
        check(Some("a"), "-9 open 1\n-9 verdict 1 a 0.9\n3 open 2\n3 verdict 2 b 0.9", (None, None, None, 2, 1));
        check(
            Some("a"),
            "3 open 1\n3 verdict 1 a 0.9\n5 open 2\n5 verdict 2 b 0.9",
            (Some(3_000), Some(3_000), Some(1), 2, 0),
        );
        check(
            Some("a"),
            "3 open 1\n4 open 2\n4 verdict 2 a 0.9\n5 merge 2 1",
            (Some(4_000), Some(4_000), Some(1), 1, 0),
        );
        check(None, "3 open 1\n3 verdict 1 a 0.9", (None, None, None, 1, 1));
    }
}
