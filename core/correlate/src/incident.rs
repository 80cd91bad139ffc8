//! One open incident: its alerts and what it waits for.
use crate::limits::{EXPLAIN_AFTER, EXPLAIN_BETWEEN, EXPLAIN_GAP, EXPLAIN_LATER, QUIET, UPDATE_GAP};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::facts::{IncidentPhase, IncidentUpdate};
use faultline_model::{AlertId, IncidentId, Millis, canonical_struct};

/// An alert of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The alert.
    pub alert: AlertId,
    /// What it is about: its own name where its labels do not say.
    pub entity: String,
    /// Its name.
    pub name: String,
    /// Rule time at which its expression began to hold, the latest time that it did.
    pub onset: Millis,
    /// Whether it has not resolved.
    pub firing: bool,
    /// Whether it rests on imported data.
    pub imported: bool,
}
canonical_struct!(Member { alert, entity, name, onset, firing, imported });

/// An open incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    pub(crate) id: IncidentId,
    pub(crate) opened_at: Millis,
    pub(crate) onset: Millis,
    /// In alert order.
    pub(crate) members: Vec<Member>,
    /// In id order.
    pub(crate) merged: Vec<IncidentId>,
    /// When its last update left.
    pub(crate) told_at: Millis,
    /// Whether alerts joined since.
    pub(crate) untold: bool,
    /// Since when nothing in it fires; none while something does.
    pub(crate) quiet_since: Option<Millis>,
    pub(crate) revision: u64,
    /// When an alert of it last began to fire: what the schedule of explanations counts from.
    pub(crate) news_at: Millis,
    /// When its last explanation was asked for.
    pub(crate) asked_at: Option<Millis>,
    /// Whether that one is unanswered.
    pub(crate) outstanding: bool,
    /// Whether one began to fire since.
    pub(crate) changed: bool,
    /// Whether it is explained on while slow telemetry comes: those that older engines opened are not.
    pub(crate) follows: bool,
    /// Whether it is explained after a minute, too: those that engines before version 9 opened are not.
    pub(crate) between: bool,
}
canonical_struct!(Incident {
    id,
    opened_at,
    onset,
    members,
    merged,
    told_at,
    untold,
    quiet_since,
    revision,
    news_at,
    asked_at,
    outstanding,
    changed;
    follows,
    between
});

impl Incident {
    pub(crate) fn new(id: IncidentId, at: Millis, first: Member, (follows, between): (bool, bool)) -> Incident {
        Incident {
            id,
            opened_at: at,
            onset: first.onset,
            members: Vec::from([first]),
            merged: Vec::new(),
            told_at: at,
            untold: false,
            quiet_since: None,
            revision: 0,
            news_at: at,
            asked_at: None,
            outstanding: false,
            changed: false,
            follows,
            between,
        }
    }

    /// The effect that opened it.
    pub fn id(&self) -> IncidentId {
        self.id
    }

    /// Rule time at which it opened.
    pub fn opened_at(&self) -> Millis {
        self.opened_at
    }

    /// Earliest onset among its alerts, of every time that they fired.
    pub fn onset(&self) -> Millis {
        self.onset
    }

    /// Its alerts, resolved ones included, in id order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether the alert is one of its alerts.
    pub fn holds(&self, alert: AlertId) -> bool {
        self.place(alert).is_ok()
    }

    /// Incidents that joined it, in id order.
    pub fn merged(&self) -> &[IncidentId] {
        &self.merged
    }

    /// How many explanations were asked for.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Entities of its alerts, in name order, each once.
    pub fn entities(&self) -> Vec<String> {
        distinct(self.members.iter().map(|member| &member.entity))
    }

    pub(crate) fn place(&self, alert: AlertId) -> Result<usize, usize> {
        self.members.binary_search_by(|member| member.alert.cmp(&alert))
    }

    /// Adds alerts that it does not have; `onset` is the earliest of them.
    pub(crate) fn grow(&mut self, members: Vec<Member>, onset: Millis, at: Millis) {
        self.members.extend(members);
        self.members.sort_by_key(|member| member.alert);
        self.untold = true;
        self.renew(onset, at);
    }

    /// An alert of it that began at `onset` began to fire: there is something new to explain, and evidence of it is thin at first.
    pub(crate) fn renew(&mut self, onset: Millis, at: Millis) {
        self.onset = self.onset.min(onset);
        self.quiet_since = None;
        (self.changed, self.news_at) = (true, at);
    }

    /// When it next needs attention.
    pub(crate) fn wake(&self) -> Option<Millis> {
        [self.tell_at(), self.resolve_at(), self.explain_at()].into_iter().flatten().min()
    }

    pub(crate) fn tell_at(&self) -> Option<Millis> {
        self.untold.then(|| self.told_at.plus(UPDATE_GAP))
    }

    pub(crate) fn resolve_at(&self) -> Option<Millis> {
        self.quiet_since.map(|since| since.plus(QUIET))
    }

    /// When it should be explained next; never while an answer is awaited, nor while nothing in it fires: evidence frozen
    /// then says that all is well, and its verdict would hide the one that counts.
    pub(crate) fn explain_at(&self) -> Option<Millis> {
        if self.outstanding || self.quiet_since.is_some() {
            return None;
        }
        let Some(asked) = self.asked_at else { return Some(self.opened_at) };
        if self.changed {
            return Some(asked.plus(EXPLAIN_GAP));
        }
        let later = EXPLAIN_LATER.iter().filter(|_| self.follows);
        let between = Some(&EXPLAIN_BETWEEN).into_iter().filter(|_| self.between);
        let all = EXPLAIN_AFTER.iter().chain(between).chain(later);
        all.map(|&after| self.news_at.plus(after)).filter(|&at| at > asked).min()
    }

    pub(crate) fn update(&self, phase: IncidentPhase, at: Millis, merged_into: Option<IncidentId>) -> IncidentUpdate {
        IncidentUpdate {
            id: self.id,
            phase,
            at,
            opened_at: self.opened_at,
            alerts: self.members.iter().map(|member| member.alert).collect(),
            entities: self.entities(),
            alert_names: distinct(self.members.iter().map(|member| &member.name)),
            merged_into,
            imported: self.members.iter().all(|member| member.imported),
        }
    }
}

/// What is there, sorted, each once, without `""`.
fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<&String> = names.filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    names.into_iter().cloned().collect()
}
