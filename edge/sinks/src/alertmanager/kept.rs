//! What an Alertmanager must be told: each alert that fires, or has resolved lately, in its latest state.
//!
//! The state is a function of the leaves from [`Kept::oldest_leaf`] on, so a cursor held there is all that a restart needs.
use faultline_formats::encode::{Alert, alerts};
use faultline_model::facts::{AlertState, Transition};
use faultline_model::{AlertId, Labels, Millis, Occurrence};
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
    /// Resolved alerts by the end of their occurrence: the first make room for new ones.
    resolved: BTreeSet<(Millis, AlertId)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    leaf: u64,
    alert: AlertId,
}

struct Entry {
    occurrence: Occurrence,
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
        Kept { max, alerts: BTreeMap::new(), due: BTreeSet::new(), leaves: BTreeSet::new(), resolved: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.alerts.len()
    }

    /// The oldest leaf that is still needed.
    pub(super) fn oldest_leaf(&self) -> Option<u64> {
        self.leaves.first().copied()
    }

    /// Takes a transition. False where so many alerts fire that there is no room for this one.
    pub(super) fn take(&mut self, leaf: u64, transition: Transition, now: Millis) -> bool {
        let alert = transition.alert;
        let known = self.alerts.get_mut(&alert).filter(|entry| entry.occurrence == transition.occurrence);
        match (transition.to, known) {
            // Read twice, or heard of again after silence; the next sending carries the newer annotations.
            (AlertState::Firing, Some(entry)) if entry.resolved_at.is_none() => {
                entry.annotations = transition.annotations;
                true
            }
            (AlertState::Firing, Some(_)) => true,
            (AlertState::Firing, None) => self.put(leaf, leaf, transition.at, None, transition),
            (AlertState::Ok, Some(entry)) if entry.resolved_at.is_none() => {
                let (first, fired_at) = (entry.leaf, entry.fired_at);
                self.resolve(first, leaf, fired_at, transition, now)
            }
            // There was no room for it when it fired.
            (AlertState::Ok, None) if transition.from == AlertState::Firing => {
                self.resolve(leaf, leaf, transition.active_at, transition, now)
            }
            // Its rule's `for` has grown: Prometheus stops sending it, and Alertmanager lets it end.
            (AlertState::Pending, Some(entry)) if entry.resolved_at.is_none() => {
                self.remove(alert);
                true
            }
            // Never told of; or its source fell silent, and it stands until it is heard of again.
            (AlertState::Ok | AlertState::Pending | AlertState::Unknown, _) => true,
        }
    }

    fn resolve(&mut self, first: u64, leaf: u64, fired_at: Millis, t: Transition, now: Millis) -> bool {
        if now.since(t.at) > RESOLVED_KEPT {
            self.remove(t.alert);
            return true;
        }
        self.put(first, leaf, fired_at, Some(t.at), t)
    }

    /// Keeps an alert in a new state, to be sent at once.
    ///
    /// - `first`: the leaf from which its state can be had again.
    /// - `leaf`: the leaf that brought the new state.
    fn put(&mut self, first: u64, leaf: u64, fired_at: Millis, resolved_at: Option<Millis>, t: Transition) -> bool {
        self.remove(t.alert);
        if self.alerts.len() >= self.max {
            let Some((_, oldest)) = self.resolved.first().copied() else { return false };
            self.remove(oldest);
        }
        let due = Due { at: Duration::ZERO, leaf, alert: t.alert };
        self.due.insert(due);
        self.leaves.insert(first);
        self.resolved.extend(resolved_at.map(|at| (at, t.alert)));
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
            if let Some(at) = entry.resolved_at {
                self.resolved.remove(&(at, alert));
            }
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
    pub(super) fn body(&self, batch: &Batch, now: Millis, stands: Duration, external_url: &str) -> String {
        let stands = i64::try_from(stands.as_millis()).unwrap_or(i64::MAX);
        let urls: Vec<String> =
            batch.iter().map(|id| format!("{external_url}/api/faultline/v1/incidents?alert={id}")).collect();
        let told: Vec<Alert<'_>> = batch
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
        alerts(&told)
    }

    /// Makes every alert due at once: Alertmanager keeps alerts in memory only, and may have been restarted.
    pub(super) fn send_all_again(&mut self) {
        self.due = self.alerts.values().map(|entry| Due { at: Duration::ZERO, ..entry.due }).collect();
        self.alerts.values_mut().for_each(|entry| entry.due.at = Duration::ZERO);
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
