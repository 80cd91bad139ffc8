//! What a replay came upon, counted; and two lists of firings held against each other.
use crate::rules::firings::{Firing, Firings, Pair, compare};
use faultline_model::facts::{AlertState, Decision, IncidentPhase};
use serde::Serialize;

/// Alerts named of each kind of difference.
const NAMED: usize = 10;

/// What was decided.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Firings; one that went on where imported telemetry went live is one.
    pub fired: u64,
    /// Alerts that were over after they had fired.
    pub resolved: u64,
    /// Incidents that opened.
    pub incidents: u64,
    /// Verdicts.
    pub verdicts: u64,
    /// Every decision, these among them.
    pub decisions: u64,
    /// When alerts fired.
    #[serde(skip)]
    firings: Firings,
}

impl Tally {
    /// Counts a decision.
    pub fn count(&mut self, decision: &Decision) {
        self.decisions += 1;
        if let Decision::Alert(it) = decision {
            self.fired += u64::from(self.firings.take(it));
        }
        match decision {
            Decision::Alert(it) if it.to == AlertState::Ok && it.from != AlertState::Pending => self.resolved += 1,
            Decision::Incident(it) => self.incidents += u64::from(it.phase == IncidentPhase::Opened),
            Decision::Verdict(_) => self.verdicts += 1,
            _ => {}
        }
    }
}

/// Firings under other rules against those that were: those of an alert that overlap are one.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Firings in both, of the same length at the same instant.
    pub same: u64,
    /// Firings in both that begin or end at another instant.
    pub moved: u64,
    /// Firings under the other rules alone.
    pub only_here: u64,
    /// Firings in the journal alone.
    pub only_there: u64,
    /// Some of those that differ, in words.
    pub examples: Vec<String>,
}

impl Comparison {
    /// Compares `here`, under other rules, with `there`, what was.
    pub fn of(here: &Tally, there: &Tally) -> Comparison {
        let mut it = Comparison::default();
        let (mut moved, mut only_here, mut only_there) = (Vec::new(), Vec::new(), Vec::new());
        for Pair { alert, before, after, .. } in compare(&there.firings, &here.firings) {
            match (before, after) {
                (Some(was), Some(is)) if was == is => it.same += 1,
                (Some(was), Some(is)) => moved.push(move_of(&alert, &was, &is)),
                (None, Some(is)) => only_here.push(format!("only here: {alert} at {}", is.from)),
                (Some(was), None) => only_there.push(format!("only there: {alert} at {}", was.from)),
                (None, None) => {}
            }
        }
        (it.moved, it.only_here, it.only_there) = (moved.len() as u64, only_here.len() as u64, only_there.len() as u64);
        for list in [only_here, only_there, moved] {
            it.examples.extend(list.into_iter().take(NAMED));
        }
        it
    }
}

/// How a firing moved, in words.
fn move_of(alert: &str, was: &Firing, is: &Firing) -> String {
    let (what, is, was) = match (is.to, was.to) {
        _ if is.from != was.from => ("", is.from, was.from),
        (Some(is), Some(was)) => ("ends ", is, was),
        (Some(is), None) => return format!("ends: {alert} at {is}, went on"),
        (None, _) => return format!("goes on: {alert}, ended"),
    };
    let ms = is.since(was);
    let word = if ms > 0 { "later" } else { "earlier" };
    format!("{what}{} {word}: {alert} at {is}, was {was}", crate::render::duration(ms.saturating_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::firings::firings;

    fn tally(text: &str) -> Tally {
        Tally { firings: firings(text), ..Tally::default() }
    }

    #[test]
    fn firings_that_overlap_are_held_against_each_other() {
        let here = tally("a 5-7 20-21; b 1-2; c 1500-2000 3000-4000");
        let there = tally("a 5-7; c 1000-2000 3000-3500; d 0-1 3-4");
        let found = Comparison::of(&here, &there);
        assert_eq!((found.same, found.moved, found.only_here, found.only_there), (1, 2, 2, 2));
        let begins: Vec<&str> = found.examples.iter().map(|it| it.split(" at ").next().unwrap_or("")).collect();
        let expected = [
            "only here: a",
            "only here: b",
            "only there: d",
            "only there: d",
            "500 ms later: c",
            "ends 500 ms later: c",
        ];
        assert_eq!(begins, expected);
        assert_eq!(Comparison::of(&there, &there).examples, Vec::<String>::new());
    }
}
