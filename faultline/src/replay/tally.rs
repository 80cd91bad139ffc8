//! What a replay came upon, counted; and two lists of firings held against each other.
use faultline_model::Millis;
use faultline_model::facts::{AlertState, Decision, IncidentPhase};
use serde::Serialize;
use std::collections::BTreeMap;

/// Alerts named of each kind of difference.
const NAMED: usize = 10;

/// What was decided.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Alerts that began to fire.
    pub fired: u64,
    /// Alerts that were over after they had fired.
    pub resolved: u64,
    /// Incidents that opened.
    pub incidents: u64,
    /// Verdicts.
    pub verdicts: u64,
    /// Every decision, these among them.
    pub decisions: u64,
    /// When each alert began to fire, by its labels.
    #[serde(skip)]
    firings: BTreeMap<String, Vec<Millis>>,
}

impl Tally {
    /// Counts a decision.
    pub fn count(&mut self, decision: &Decision) {
        self.decisions += 1;
        match decision {
            Decision::Alert(it) if it.to == AlertState::Firing => {
                self.fired += 1;
                self.firings.entry(it.labels.to_string()).or_default().push(it.at);
            }
            Decision::Alert(it) if it.to == AlertState::Ok && it.from != AlertState::Pending => self.resolved += 1,
            Decision::Incident(it) => self.incidents += u64::from(it.phase == IncidentPhase::Opened),
            Decision::Verdict(_) => self.verdicts += 1,
            _ => {}
        }
    }
}

/// Firings under other rules against those that were. An alert is known by its labels, `alertname` among them: a rule may stand
/// in another file. Its first firing is held against the first, its second against the second.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Firings in both at the same instant.
    pub same: u64,
    /// Firings in both, at another instant.
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
        let none = Vec::new();
        let (mut moved, mut only_here, mut only_there) = (Vec::new(), Vec::new(), Vec::new());
        let mut all: Vec<&String> = here.firings.keys().chain(there.firings.keys()).collect();
        all.sort();
        all.dedup();
        for labels in all {
            let of = |tally: &Tally| tally.firings.get(labels).unwrap_or(&none).clone();
            let (mine, theirs) = (of(here), of(there));
            for (mine, theirs) in mine.iter().zip(&theirs) {
                match mine.since(*theirs) {
                    0 => it.same += 1,
                    ms => {
                        it.moved += 1;
                        let word = if ms > 0 { "later" } else { "earlier" };
                        let by = crate::render::duration(ms.saturating_abs());
                        moved.push(format!("{by} {word}: {labels} at {mine}, was {theirs}"));
                    }
                }
            }
            let both = mine.len().min(theirs.len());
            it.only_here += (mine.len() - both) as u64;
            it.only_there += (theirs.len() - both) as u64;
            only_here.extend(mine[both..].iter().map(|at| format!("only here: {labels} at {at}")));
            only_there.extend(theirs[both..].iter().map(|at| format!("only there: {labels} at {at}")));
        }
        for list in [only_here, only_there, moved] {
            it.examples.extend(list.into_iter().take(NAMED));
        }
        it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(firings: &[(&str, &[i64])]) -> Tally {
        let at = |(name, at): &(&str, &[i64])| (name.to_string(), at.iter().copied().map(Millis).collect());
        Tally { firings: firings.iter().map(at).collect(), ..Tally::default() }
    }

    #[test]
    fn firings_are_held_against_each_other_one_by_one() {
        let here = tally(&[("a", &[5, 9]), ("b", &[1]), ("c", &[1_500, 3])]);
        let there = tally(&[("a", &[5]), ("c", &[1_000, 2_003]), ("d", &[0, 1])]);
        let found = Comparison::of(&here, &there);
        assert_eq!((found.same, found.moved, found.only_here, found.only_there), (1, 2, 2, 2));
        let begins: Vec<&str> = found.examples.iter().map(|it| it.split(" at ").next().unwrap_or("")).collect();
        let expected =
            ["only here: a", "only here: b", "only there: d", "only there: d", "500 ms later: c", "2.0 s earlier: c"];
        assert_eq!(begins, expected);
        assert_eq!(Comparison::of(&there, &there).examples, Vec::<String>::new());
    }
}
