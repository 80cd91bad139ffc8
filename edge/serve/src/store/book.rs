//! The book: what was decided, newest first to be asked for, each list with a stated maximum.
use super::incident::{IncidentStory, ends};
use crate::http::revisions::words;
use faultline_model::facts::{
    Anchor, Anomaly, Decision, IncidentUpdate, Quarantined, RulesInForce, RulesRefused, Transition,
};
use faultline_model::{AlertId, ChangeEvent, EffectId, IncidentId, Millis};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Incidents kept; past it the oldest that is not open goes, or the oldest.
pub const INCIDENTS_MAX: usize = 1_000;
/// Transitions kept, newest.
pub const TRANSITIONS_MAX: usize = 10_000;
/// Changes kept, newest.
pub const CHANGES_MAX: usize = 1_000;
/// Anomalies kept from before an incident opens.
const ANOMALIES_MAX: usize = 1_000;
/// An incident that opens takes along the anomalies of this long before, in ms.
const ANOMALIES_BEFORE_MS: i64 = 300_000;
/// Revisions kept, newest.
pub const REVISIONS_MAX: usize = 1_000;
/// Anchors and skipped records kept, newest of each.
const MARKS_MAX: usize = 100;

/// A decision with its place in the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    /// The effect.
    pub id: EffectId,
    /// Index of its leaf.
    pub leaf: u64,
    /// Rule time of the record that caused it, where it is known.
    pub at: Option<Millis>,
    /// What was decided.
    pub what: T,
}

impl<T> Entry<T> {
    fn with<U>(&self, what: U) -> Entry<U> {
        Entry { id: self.id, leaf: self.leaf, at: self.at, what }
    }
}

/// Everything decided that the API still shows.
#[derive(Default)]
pub(crate) struct Book {
    incidents: BTreeMap<IncidentId, Arc<IncidentStory>>,
    /// Incidents that are neither resolved nor merged.
    open: BTreeSet<IncidentId>,
    /// The open incident of each alert that is in one.
    member: BTreeMap<AlertId, IncidentId>,
    transitions: VecDeque<Arc<Entry<Transition>>>,
    /// Count of transitions that have left `transitions`.
    forgotten: u64,
    /// Number of each alert's newest transition that is still kept, counted from the first ever.
    newest: BTreeMap<AlertId, u64>,
    anomalies: VecDeque<Entry<Anomaly>>,
    changes: VecDeque<Arc<Entry<ChangeEvent>>>,
    /// [`Decision::Revision`] and [`Decision::Unrevised`], and how many there were of each outcome.
    revisions: VecDeque<Arc<Entry<Decision>>>,
    revised: [u64; 5],
    /// Questions about past instants.
    revisits: u64,
    anchors: VecDeque<Entry<Anchor>>,
    quarantined: VecDeque<Entry<Quarantined>>,
    rules: Option<Entry<RulesInForce>>,
    refused: Option<Entry<RulesRefused>>,
}

fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) -> Option<T> {
    list.push_back(item);
    if list.len() > most { list.pop_front() } else { None }
}

impl Book {
    /// Takes in a decision.
    pub fn decided(&mut self, id: EffectId, leaf: u64, at: Option<Millis>, decision: &Decision) {
        let entry = Entry { id, leaf, at, what: () };
        match decision {
            Decision::Alert(transition) => self.transition(entry.with(transition.clone())),
            Decision::Anomaly(anomaly) => self.anomaly(entry.with(anomaly.clone())),
            Decision::Incident(update) => self.incident(entry.with(update.clone())),
            Decision::Verdict(verdict) => {
                if let Some(incident) = self.incidents.get_mut(&verdict.incident) {
                    Arc::make_mut(incident).verdict(entry.with(verdict.clone()));
                }
            }
            Decision::Change(change) => {
                push(&mut self.changes, Arc::new(entry.with(change.clone())), CHANGES_MAX);
            }
            Decision::Rules(rules) => {
                self.rules = Some(entry.with(rules.clone()));
                self.refused = None;
            }
            Decision::RulesRefused(refused) => self.refused = Some(entry.with(refused.clone())),
            Decision::Anchor(anchor) => {
                push(&mut self.anchors, entry.with(anchor.clone()), MARKS_MAX);
            }
            Decision::Quarantined(record) => {
                push(&mut self.quarantined, entry.with(record.clone()), MARKS_MAX);
            }
            Decision::Feedback(feedback) => {
                if let Some(incident) = self.incidents.get_mut(&feedback.incident) {
                    Arc::make_mut(incident).closed = Some(entry.with(feedback.clone()));
                }
            }
            // Told on the stream of events; there is nothing to look up later.
            Decision::Setting(_) | Decision::Learned(_) => {}
            Decision::Asked(asked) => self.revisits += u64::from(asked.kind == "revise"),
            Decision::Revision(it) => self.revision(entry.with(decision.clone()), it.outcome as usize),
            Decision::Unrevised(_) => self.revision(entry.with(decision.clone()), self.revised.len() - 1),
        }
    }

    fn transition(&mut self, entry: Entry<Transition>) {
        let (alert, entry) = (entry.what.alert, Arc::new(entry));
        let number = self.forgotten + self.transitions.len() as u64;
        self.newest.insert(alert, number);
        if let Some(incident) = self.member.get(&alert).and_then(|id| self.incidents.get_mut(id)) {
            Arc::make_mut(incident).transition(Arc::clone(&entry));
        }
        if let Some(gone) = push(&mut self.transitions, entry, TRANSITIONS_MAX) {
            if self.newest.get(&gone.what.alert) == Some(&self.forgotten) {
                self.newest.remove(&gone.what.alert);
            }
            self.forgotten += 1;
        }
    }

    fn revision(&mut self, entry: Entry<Decision>, outcome: usize) {
        self.revised[outcome] += 1;
        push(&mut self.revisions, Arc::new(entry), REVISIONS_MAX);
    }

    fn anomaly(&mut self, entry: Entry<Anomaly>) {
        for id in &self.open {
            let incident = self.incidents.get_mut(id).expect("open incidents are kept in the book");
            Arc::make_mut(incident).anomaly(entry.clone());
        }
        push(&mut self.anomalies, entry, ANOMALIES_MAX);
    }

    fn incident(&mut self, entry: Entry<IncidentUpdate>) {
        let id = entry.what.id;
        if !self.incidents.contains_key(&id) {
            let mut story = IncidentStory::new(&entry.what);
            let earliest = entry.what.opened_at.plus(-ANOMALIES_BEFORE_MS);
            let before = self.anomalies.iter().filter(|anomaly| anomaly.what.at >= earliest);
            before.for_each(|anomaly| story.anomaly(anomaly.clone()));
            self.incidents.insert(id, Arc::new(story));
        }
        let story = Arc::make_mut(self.incidents.get_mut(&id).expect("inserted above"));
        for alert in &entry.what.alerts {
            // An incident that ends by merging may still list what the other has taken over already.
            if !ends(entry.what.phase) {
                self.member.insert(*alert, id);
            }
            let known = self.newest.get(alert).and_then(|n| self.transitions.get((n - self.forgotten) as usize));
            if let Some(transition) = known {
                story.transition(Arc::clone(transition));
            }
        }
        story.update(entry);
        if story.is_open() {
            self.open.insert(id);
        } else {
            self.open.remove(&id);
            self.member.retain(|_, incident| *incident != id);
        }
        if self.incidents.len() > INCIDENTS_MAX {
            let oldest = self.incidents.keys().find(|id| !self.open.contains(id)).or(self.incidents.keys().next());
            let oldest = *oldest.expect("there is at least one");
            self.incidents.remove(&oldest);
            self.open.remove(&oldest);
            self.member.retain(|_, incident| *incident != oldest);
        }
    }

    /// Incidents, newest first.
    pub fn incidents(&self) -> impl Iterator<Item = &Arc<IncidentStory>> {
        self.incidents.values().rev()
    }

    /// The incident of an id.
    pub fn incident_of(&self, id: IncidentId) -> Option<&Arc<IncidentStory>> {
        self.incidents.get(&id)
    }

    /// Number of open incidents.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Up to `limit` transitions after `after`, oldest first, and whether some between them are no longer kept.
    pub fn transitions(&self, after: Option<EffectId>, limit: usize) -> (Vec<Arc<Entry<Transition>>>, bool) {
        let start = after.map_or(0, |after| self.transitions.partition_point(|entry| entry.id <= after));
        let list = self.transitions.range(start..).take(limit).cloned().collect();
        // What `after` names having left the book, nothing says that nothing else did.
        (list, self.forgotten > 0 && self.transitions.front().is_some_and(|oldest| after < Some(oldest.id)))
    }

    /// What late samples made of alerts, newest first.
    pub fn revisions(&self) -> impl Iterator<Item = &Arc<Entry<Decision>>> {
        self.revisions.iter().rev()
    }

    /// How many of them there were, by the word of their outcome.
    pub fn revision_counts(&self) -> [(&'static str, u64); 5] {
        let mut words = words();
        self.revised.map(|count| (words.next().expect("a word for each"), count))
    }

    /// Questions about past instants.
    pub fn revisits(&self) -> u64 {
        self.revisits
    }

    /// Changes, newest first.
    pub fn changes(&self) -> impl Iterator<Item = &Arc<Entry<ChangeEvent>>> {
        self.changes.iter().rev()
    }

    /// The rules in force.
    pub fn rules(&self) -> Option<&Entry<RulesInForce>> {
        self.rules.as_ref()
    }

    /// Rules refused since those in force came into force.
    pub fn refused(&self) -> Option<&Entry<RulesRefused>> {
        self.refused.as_ref()
    }

    /// The newest anchor.
    pub fn anchor(&self) -> Option<&Entry<Anchor>> {
        self.anchors.back()
    }

    /// Records skipped because the engine broke on them, oldest first.
    pub fn quarantined(&self) -> impl Iterator<Item = &Entry<Quarantined>> {
        self.quarantined.iter()
    }
}
