//! When alerts fired, and two such histories held against each other.
use faultline_model::Millis;
use faultline_model::facts::{AlertState, Transition};
use serde::Serialize;
use std::collections::BTreeMap;

/// An alert that fires again within this long of its end flaps, in ms.
pub const FLAP_MS: i64 = 10 * 60_000;

/// A stretch in which an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Firing {
    /// When it began.
    #[serde(serialize_with = "as_text")]
    pub from: Millis,
    /// When it ended; nothing where it goes on at the end of the history.
    #[serde(serialize_with = "as_optional_text")]
    pub to: Option<Millis>,
}

fn as_text<S: serde::Serializer>(time: &Millis, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(time)
}

fn as_optional_text<S: serde::Serializer>(time: &Option<Millis>, s: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => s.collect_str(time),
        None => s.serialize_none(),
    }
}

impl Firing {
    fn overlaps(&self, other: &Firing) -> bool {
        let ends = |it: &Firing| it.to.unwrap_or(Millis(i64::MAX));
        self.from <= ends(other) && other.from <= ends(self)
    }
}

/// Firings by alert: its labels, `alertname` among them. A rule may stand in another file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firings {
    by_alert: BTreeMap<String, Vec<Firing>>,
    /// Alerts that were pending and never fired.
    pub pending_only: u64,
}

impl Firings {
    /// Takes the next transition; says whether a firing begins with it.
    pub fn take(&mut self, it: &Transition) -> bool {
        match (it.from, it.to) {
            (_, AlertState::Firing) => {
                let firings = self.by_alert.entry(it.labels.to_string()).or_default();
                // One that has not ended goes on: where imported telemetry goes live, alerts begin anew.
                if firings.last().is_none_or(|last| last.to.is_some()) {
                    firings.push(Firing { from: it.at, to: None });
                    return true;
                }
            }
            (AlertState::Pending, AlertState::Ok) => self.pending_only += 1,
            // Its source is silent: whether it goes on is to be seen.
            (AlertState::Firing, AlertState::Unknown) => {}
            (AlertState::Firing | AlertState::Unknown, _) => {
                let last = self.by_alert.get_mut(&it.labels.to_string()).and_then(|firings| firings.last_mut());
                match last.filter(|last| last.to.is_none()) {
                    Some(last) => last.to = Some(it.at),
                    None if it.to == AlertState::Ok => self.pending_only += 1,
                    None => {}
                }
            }
            _ => {}
        }
        false
    }

    /// Alerts that fired, in order.
    pub fn alerts(&self) -> impl Iterator<Item = (&str, &[Firing])> {
        self.by_alert.iter().map(|(labels, firings)| (&**labels, &**firings))
    }

    /// How often alerts fired.
    pub fn count(&self) -> u64 {
        self.by_alert.values().map(|firings| firings.len() as u64).sum()
    }
}

/// How often an alert fires soon after it was over.
pub fn flaps(firings: &[Firing]) -> u64 {
    let soon = |pair: &&[Firing]| pair[0].to.is_some_and(|ended| pair[1].from.since(ended) <= FLAP_MS);
    firings.windows(2).filter(soon).count() as u64
}

/// How long alerts fired in all and at most, in ms, where the history ends at `end`.
pub fn lengths(firings: &[Firing], end: Millis) -> (i64, i64) {
    let lengths = firings.iter().map(|it| it.to.unwrap_or(end).since(it.from).max(0));
    lengths.fold((0, 0), |(all, longest), it| (all + it, longest.max(it)))
}

/// What became of a firing under other rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is new.
    Appears,
    /// It is gone.
    Vanishes,
    /// It begins or ends at another time.
    Moves,
    /// It is the same.
    Same,
}

/// A firing before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// What became of it.
    pub fate: Fate,
    /// The alert's labels.
    pub alert: String,
    /// Under the rules of before.
    pub before: Option<Firing>,
    /// Under those of after.
    pub after: Option<Firing>,
}

/// Every firing of either history, those of an alert that overlap as one: in the order of alerts and time.
pub fn compare(before: &Firings, after: &Firings) -> Vec<Pair> {
    let none = Vec::new();
    let mut alerts: Vec<&String> = before.by_alert.keys().chain(after.by_alert.keys()).collect();
    alerts.sort();
    alerts.dedup();
    let mut pairs = Vec::new();
    for alert in alerts {
        let of = |firings: &Firings| firings.by_alert.get(alert).unwrap_or(&none).clone();
        let (old, new) = (of(before), of(after));
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let (before, after) = match (old.peek(), new.peek()) {
                (Some(a), Some(b)) if a.overlaps(b) => (old.next(), new.next()),
                (Some(a), Some(b)) if b.from < a.from => (None, new.next()),
                (Some(_), _) => (old.next(), None),
                (None, Some(_)) => (None, new.next()),
                (None, None) => break,
            };
            let fate = match (before, after) {
                (Some(a), Some(b)) if a == b => Fate::Same,
                (Some(_), Some(_)) => Fate::Moves,
                (None, _) => Fate::Appears,
                (_, None) => Fate::Vanishes,
            };
            pairs.push(Pair { fate, alert: alert.clone(), before, after });
        }
    }
    pairs
}

/// `alert from-to from-to; alert from-`, in ms.
#[cfg(test)]
pub(crate) fn firings(text: &str) -> Firings {
    let mut it = Firings::default();
    for alert in text.split(';').filter(|alert| !alert.trim().is_empty()) {
        let (name, stretches) = alert.trim().split_once(' ').expect("name and stretches");
        let stretch = |text: &str| {
            let (from, to) = text.split_once('-').expect("from-to");
            Firing { from: Millis(from.parse().expect("a number")), to: to.parse().ok().map(Millis) }
        };
        it.by_alert.insert(name.into(), stretches.split(' ').map(stretch).collect());
    }
    it
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_model::{AlertId, Labels, Occurrence, Position};

    fn check(before: &str, after: &str, expected: &str) {
        let found: Vec<String> = compare(&firings(before), &firings(after))
            .iter()
            .map(|pair| {
                let text = |it: Option<Firing>| {
                    it.map_or("none".into(), |it| {
                        format!("{}-{}", it.from.0, it.to.map_or(String::new(), |to| to.0.to_string()))
                    })
                };
                format!("{:?} {} {} {}", pair.fate, pair.alert, text(pair.before), text(pair.after))
            })
            .collect();
        assert_eq!(found.join("; "), expected, "{before} | {after}");
    }

    #[test]
    fn firings_that_overlap_are_one() {
        check("a 1-2 5-9", "a 1-2 5-9", "Same a 1-2 1-2; Same a 5-9 5-9");
        check("a 1-2 5-9", "a 5-9", "Vanishes a 1-2 none; Same a 5-9 5-9");
        check("a 5-9", "a 1-2 6-9", "Appears a none 1-2; Moves a 5-9 6-9");
        check("a 1-9", "a 1-3 5-9", "Moves a 1-9 1-3; Appears a none 5-9");
        check("a 5-", "a 7-; b 1-2", "Moves a 5- 7-; Appears b none 1-2");
        check("", "", "");
    }

    /// `states` are those that an alert goes through, a second apart, from ok on.
    fn take(states: &[AlertState], firing: &str, pending_only: u64) {
        let (mut it, mut from) = (Firings::default(), AlertState::Ok);
        for (second, to) in (1..).zip(states.iter().copied()) {
            let (at, labels) = (Millis(second), Labels::new([("alertname", "a")]));
            let began = Occurrence { began: Position::default(), ordinal: 0 };
            it.take(&Transition {
                alert: AlertId::of_parts(&[b"a"]),
                occurrence: began,
                from,
                to,
                at,
                active_at: at,
                group: "g".into(),
                name: "a".into(),
                labels,
                annotations: Vec::new(),
                value: 0.0,
                imported: false,
                dry_run: false,
            });
            from = to;
        }
        let all: Vec<&Firing> = it.alerts().flat_map(|(_, firings)| firings).collect();
        let text = |it: &&Firing| format!("{}-{}", it.from.0, it.to.map_or(String::new(), |to| to.0.to_string()));
        assert_eq!(all.iter().map(text).collect::<Vec<_>>().join(" "), firing, "{states:?}");
        assert_eq!(it.pending_only, pending_only, "{states:?}");
    }

    #[test]
    fn silence_ends_no_firing() {
        use AlertState::{Firing, Ok, Pending, Unknown};
        take(&[Pending, Firing, Unknown, Firing, Ok], "2-5", 0);
        take(&[Pending, Firing, Unknown, Ok, Firing], "2-4 5-", 0);
        take(&[Pending, Unknown, Ok], "", 1);
        take(&[Pending, Unknown, Firing, Pending, Ok], "3-4", 1);
    }

    #[test]
    fn flaps_and_lengths() {
        let all = firings("a 0-1000 2000-3000 900000-");
        let (_, firings) = all.alerts().next().expect("one");
        assert_eq!((flaps(firings), lengths(firings, Millis(1_000_000))), (1, (102_000, 100_000)));
    }
}
