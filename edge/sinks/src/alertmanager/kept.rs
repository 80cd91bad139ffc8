//! What an Alertmanager must be told: each alert that fires, or has resolved lately, in its latest state.
//!
//! The state is a function of the leaves from [`Kept::oldest_leaf`] on, so a cursor held there is all that a restart needs.
use faultline_formats::encode::Alert;
use faultline_model::facts::{AlertState, Transition};
use faultline_model::{AlertId, Labels, Millis, Position};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a resolved alert is sent again; Prometheus' `rules.resolvedRetention`.
const RESOLVED_KEPT: i64 = 15 * 60 * 1000;

/// The alerts of a request, in the order of their bodies.
pub(super) type Batch = Vec<AlertId>;

/// Alerts by id.
pub(super) struct Kept {
    max: usize,
    alerts: BTreeMap<AlertId, Entry>,
    /// When each alert is to be sent next, on the stopwatch; those due at once by the leaf that made them so.
    due: BTreeSet<Due>,
    /// The leaf from which each alert's state can be had again.
    leaves: BTreeSet<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    leaf: u64,
    alert: AlertId,
}

struct Entry {
    occurrence: Position,
    /// The leaf in which this occurrence began to fire.
    leaf: u64,
    fired_at: Millis,
    resolved_at: Option<Millis>,
    labels: Labels,
    annotations: Vec<(String, String)>,
    due: Due,
}

impl Kept {
    pub(super) fn new(max: usize) -> Kept {
        Kept { max, alerts: BTreeMap::new(), due: BTreeSet::new(), leaves: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.alerts.len()
    }

    /// The oldest leaf that is still needed.
    pub(super) fn oldest_leaf(&self) -> Option<u64> {
        self.leaves.first().copied()
    }

    /// Takes a transition. False where there is no room for one more alert.
    pub(super) fn take(&mut self, leaf: u64, transition: Transition, now: Millis) -> bool {
        let known = self.alerts.get(&transition.alert).filter(|entry| entry.occurrence == transition.occurrence);
        let resolved = known.is_some_and(|entry| entry.resolved_at.is_some());
        let firing = known.is_some() && !resolved;
        match transition.to {
            // A second leaf for the same state only brings newer annotations; the next sending carries them.
            AlertState::Firing if firing => {
                let entry = self.alerts.get_mut(&transition.alert).expect("found above");
                entry.annotations = transition.annotations;
                true
            }
            AlertState::Firing if resolved => true,
            AlertState::Firing => self.put(leaf, leaf, transition.at, None, transition),
            AlertState::Ok if firing || (known.is_none() && transition.from == AlertState::Firing) => {
                let ended = transition.at;
                if now.since(ended) > RESOLVED_KEPT {
                    self.remove(transition.alert);
                    return true;
                }
                let (first, fired_at) = known.map_or((leaf, transition.active_at), |e| (e.leaf, e.fired_at));
                self.put(first, leaf, fired_at, Some(ended), transition)
            }
            // Never told of, or silent: what fired before its source fell silent stands until it is heard of again.
            AlertState::Ok | AlertState::Pending | AlertState::Unknown => true,
        }
    }

    fn put(&mut self, first: u64, leaf: u64, fired_at: Millis, resolved_at: Option<Millis>, t: Transition) -> bool {
        self.remove(t.alert);
        if self.alerts.len() >= self.max {
            return false;
        }
        let due = Due { at: Duration::ZERO, leaf, alert: t.alert };
        self.due.insert(due);
        self.leaves.insert(first);
        let labels = t.labels.without_name();
        let Transition { occurrence, annotations, .. } = t;
        let entry = Entry { occurrence, leaf: first, fired_at, resolved_at, labels, annotations, due };
        self.alerts.insert(t.alert, entry);
        true
    }

    fn remove(&mut self, alert: AlertId) {
        if let Some(entry) = self.alerts.remove(&alert) {
            self.due.remove(&entry.due);
            self.leaves.remove(&entry.leaf);
        }
    }

    /// At most `max` alerts to be sent now, the longest due first; forgets those that resolved too long ago.
    pub(super) fn due(&mut self, monotonic: Duration, now: Millis, max: usize) -> Batch {
        let mut batch = Batch::new();
        let mut over = Vec::new();
        for due in self.due.iter().take_while(|due| due.at <= monotonic) {
            let resolved_at = self.alerts.get(&due.alert).expect("both or neither").resolved_at;
            if resolved_at.is_some_and(|at| now.since(at) > RESOLVED_KEPT) {
                over.push(due.alert);
            } else {
                batch.push(due.alert);
                if batch.len() == max {
                    break;
                }
            }
        }
        over.into_iter().for_each(|alert| self.remove(alert));
        batch
    }

    /// When an alert is due next, on the stopwatch.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|due| due.at)
    }

    /// The request's body.
    ///
    /// - `stands`: how long a firing alert stands if nothing more is heard of it.
    /// - `encode`: `faultline_formats::encode::alerts`.
    pub(super) fn body(
        &self,
        batch: &Batch,
        now: Millis,
        stands: Duration,
        external_url: &str,
        encode: fn(&[Alert<'_>]) -> String,
    ) -> String {
        let stands = i64::try_from(stands.as_millis()).unwrap_or(i64::MAX);
        let urls: Vec<String> =
            batch.iter().map(|id| format!("{external_url}/api/faultline/v1/incidents?alert={id}")).collect();
        let alerts: Vec<Alert<'_>> = batch
            .iter()
            .zip(&urls)
            .map(|(id, generator_url)| {
                let entry = &self.alerts[id];
                // The wall clock may have been set back below rule time; an end before the start would be refused.
                let ends_at = entry.resolved_at.unwrap_or(now.max(entry.fired_at).plus(stands));
                Alert {
                    labels: &entry.labels,
                    annotations: &entry.annotations,
                    starts_at: entry.fired_at,
                    ends_at,
                    generator_url,
                }
            })
            .collect();
        encode(&alerts)
    }

    /// Notes that a batch was taken: each of it is due again `resend` later.
    pub(super) fn sent(&mut self, batch: &Batch, monotonic: Duration, resend: Duration) {
        for alert in batch {
            let entry = self.alerts.get_mut(alert).expect("nothing is taken while a request is under way");
            self.due.remove(&entry.due);
            entry.due.at = monotonic + resend;
            self.due.insert(entry.due);
        }
    }
}
