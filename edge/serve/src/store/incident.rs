//! One incident as the book tells it: steps, alerts, anomalies, verdicts, and the leaf of each.
use super::book::Entry;
use faultline_model::facts::{Anomaly, IncidentPhase, IncidentUpdate, Transition, Verdict};
use faultline_model::{AlertId, EffectId, Feedback, IncidentId, Millis};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Alerts shown of one incident; more are counted.
pub const ALERTS_MAX: usize = 1_000;
/// Steps kept of one incident: the first, and the newest of the others.
pub const STEPS_MAX: usize = 100;
/// Anomalies kept of one incident: the earliest to be found.
pub const ANOMALIES_MAX: usize = 200;
/// Verdict revisions whose leaves are kept of one incident: the first, and the newest of the others.
pub const VERDICTS_MAX: usize = 100;

/// One step in an incident's life.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub phase: IncidentPhase,
    pub at: Millis,
    pub alerts: usize,
}

/// One verdict, without its content.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub revision: u64,
    /// Rule time at which its evidence was frozen.
    pub frozen_at: Millis,
    /// Its first cause, `None` where it was unknown.
    pub cause: Option<String>,
}

/// One incident.
#[derive(Clone, Debug)]
pub(crate) struct IncidentStory {
    pub id: IncidentId,
    /// The newest update: phase, alerts, entities.
    pub now: IncidentUpdate,
    pub resolved_at: Option<Millis>,
    pub steps: Vec<Entry<Step>>,
    pub steps_count: u64,
    /// Latest transition of each alert that is or was in it.
    pub alerts: BTreeMap<AlertId, Arc<Entry<Transition>>>,
    pub anomalies: Vec<Entry<Anomaly>>,
    pub anomalies_count: u64,
    /// The newest verdict.
    pub verdict: Option<Entry<Verdict>>,
    pub verdicts: Vec<Entry<Revision>>,
    pub verdicts_count: u64,
    /// What its cause was, as an operator said.
    pub closed: Option<Entry<Feedback>>,
    /// First verdict since which the first cause has been the same.
    pub settled: Option<Entry<Revision>>,
}

/// Whether nothing more is expected to happen to an incident in this phase.
pub(crate) fn ends(phase: IncidentPhase) -> bool {
    matches!(phase, IncidentPhase::Resolved | IncidentPhase::Merged)
}

/// Keeps the first and the newest of a list within `most`.
fn push<T>(list: &mut Vec<T>, item: T, most: usize) {
    if list.len() == most {
        list.remove(1);
    }
    list.push(item);
}

impl IncidentStory {
    /// A story that begins with `update`, which is still to be told.
    pub fn new(update: &IncidentUpdate) -> IncidentStory {
        IncidentStory {
            id: update.id,
            now: update.clone(),
            resolved_at: None,
            steps: Vec::new(),
            steps_count: 0,
            alerts: BTreeMap::new(),
            anomalies: Vec::new(),
            anomalies_count: 0,
            verdict: None,
            verdicts: Vec::new(),
            verdicts_count: 0,
            closed: None,
            settled: None,
        }
    }

    pub fn update(&mut self, entry: Entry<IncidentUpdate>) {
        let Entry { id, leaf, at, what } = entry;
        let step = Step { phase: what.phase, at: what.at, alerts: what.alerts.len() };
        push(&mut self.steps, Entry { id, leaf, at, what: step }, STEPS_MAX);
        self.steps_count += 1;
        self.resolved_at = ends(what.phase).then_some(what.at);
        self.now = what;
    }

    pub fn transition(&mut self, entry: Arc<Entry<Transition>>) {
        if self.alerts.len() < ALERTS_MAX || self.alerts.contains_key(&entry.what.alert) {
            self.alerts.insert(entry.what.alert, entry);
        }
    }

    pub fn anomaly(&mut self, entry: Entry<Anomaly>) {
        self.anomalies_count += 1;
        if self.anomalies.len() < ANOMALIES_MAX {
            self.anomalies.push(entry);
        }
    }

    pub fn verdict(&mut self, entry: Entry<Verdict>) {
        let verdict = &entry.what;
        let cause = verdict.causes.first().filter(|_| !verdict.unknown).map(|cause| cause.entity.clone());
        let what = Revision { revision: verdict.revision, frozen_at: verdict.at, cause };
        let revision = Entry { id: entry.id, leaf: entry.leaf, at: entry.at, what };
        if self.settled.as_ref().is_none_or(|settled| settled.what.cause != revision.what.cause) {
            self.settled = Some(revision.clone());
        }
        push(&mut self.verdicts, revision, VERDICTS_MAX);
        self.verdicts_count += 1;
        self.verdict = Some(entry);
    }

    /// Whether it is neither resolved nor merged.
    pub fn is_open(&self) -> bool {
        !ends(self.now.phase)
    }

    /// `open`, `resolved` or `merged`.
    pub fn state(&self) -> &'static str {
        match self.now.phase {
            IncidentPhase::Opened | IncidentPhase::Grew => "open",
            IncidentPhase::Resolved => "resolved",
            IncidentPhase::Merged => "merged",
        }
    }

    /// When it is thought to have begun: the earliest of when its expressions began to hold, of the onsets of anomalies
    /// and of the causes named last.
    pub fn onset(&self) -> Millis {
        let alerts = self.alerts.values().map(|entry| entry.what.active_at);
        let causes = self.verdict.iter().flat_map(|entry| &entry.what.causes).filter_map(|cause| cause.onset);
        let named = self.verdict.iter().flat_map(|entry| &entry.what.causes).map(|cause| &*cause.entity);
        let services: Vec<&str> = named.chain(self.now.entities.iter().map(|entity| &**entity)).collect();
        let own = self.anomalies.iter().filter(|entry| services.contains(&&*entry.what.entity));
        alerts.chain(causes).chain(own.map(|entry| entry.what.onset)).fold(self.now.opened_at, Ord::min)
    }

    /// Ledger leaves of everything shown, rising.
    pub fn leaves(&self) -> Vec<(u64, EffectId)> {
        let mut leaves: Vec<(u64, EffectId)> = Vec::new();
        leaves.extend(self.steps.iter().map(|entry| (entry.leaf, entry.id)));
        leaves.extend(self.alerts.values().map(|entry| (entry.leaf, entry.id)));
        leaves.extend(self.anomalies.iter().map(|entry| (entry.leaf, entry.id)));
        leaves.extend(self.verdicts.iter().map(|entry| (entry.leaf, entry.id)));
        leaves.sort();
        leaves.dedup();
        leaves
    }
}
