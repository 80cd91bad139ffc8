//! The open incidents: what an alert's transition does to them, and what time does.
use crate::entity::entity_of;
use crate::incident::{Incident, Member};
use crate::limits::{ALERTS_MAX, COMPARED_MAX, HOPS_MAX, OPEN_MAX, WINDOW_MAX, window};
use crate::topology::Topology;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::facts::{AlertState, IncidentPhase, IncidentUpdate, Transition};
use faultline_model::{
    AlertId, Canonical, CodecError, EffectId, IncidentId, Millis, Position, Reader, Writer, canonical_struct,
};

/// What the bounds refused since the journal began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Alerts without an incident because [`OPEN_MAX`] were open.
    pub incidents: u64,
    /// Alerts without an incident because theirs held [`ALERTS_MAX`].
    pub alerts: u64,
    /// Merges that would have held more than [`ALERTS_MAX`].
    pub merges: u64,
    /// Alerts that were not compared with all entities because more than [`COMPARED_MAX`] had alerts near in time.
    pub comparisons: u64,
}
canonical_struct!(Refused { incidents, alerts, merges, comparisons });

/// Above every id: ends a range of timers.
const LAST: IncidentId = EffectId { cause: Position { partition: u32::MAX, offset: u64::MAX }, ordinal: u32::MAX };

/// All open incidents.
///
/// After every call at an instant, ask [`Incidents::explanations_due`] at that instant: [`Incidents::due`] counts it as
/// work that waits. Ids given to it must rise, as effect ids do: the lower id is the older incident.
#[derive(Debug, Default)]
pub struct Incidents {
    open: BTreeMap<IncidentId, Incident>,
    refused: Refused,
    /// Whether incidents that open are explained on while slow telemetry comes.
    follows: bool,
    /// Whether they are explained after a minute, too.
    between: bool,
    // What follows is found again from `open`.
    wakes: BTreeSet<(Millis, IncidentId)>,
    by_alert: BTreeMap<AlertId, IncidentId>,
    by_entity: BTreeMap<String, BTreeSet<(Millis, AlertId)>>,
    merged: BTreeMap<IncidentId, IncidentId>,
}

impl Incidents {
    /// Whether incidents that open from here on are explained on while slow telemetry comes.
    ///
    /// `between` says whether they are explained after a minute, too.
    pub fn follow(&mut self, follows: bool, between: bool) {
        (self.follows, self.between) = (follows, between);
    }

    /// Takes a transition of an alert and appends what it changes about incidents, at most one update each.
    ///
    /// - `first`: the id that the first appended update will have. An incident that opens gets it, and is then the only update.
    /// - An alert that fires joins the oldest incident it is near, which takes in the younger ones; without any it opens one. One that
    ///   is in an open incident already stays there.
    /// - `unknown` is neither firing nor resolved: it changes nothing, and neither does `pending`.
    pub fn apply(
        &mut self,
        transition: &Transition,
        first: EffectId,
        topology: &dyn Topology,
        out: &mut Vec<IncidentUpdate>,
    ) {
        match (transition.to, self.by_alert.get(&transition.alert).copied()) {
            (AlertState::Firing, Some(home)) => self.fire_again(home, transition),
            (AlertState::Firing, None) => self.fire(transition, first, topology, out),
            (AlertState::Ok, Some(home)) => self.resolve(home, transition),
            _ => {}
        }
    }

    /// The earliest instant at which something waits to be done, by [`Incidents::advance`] or [`Incidents::explanations_due`].
    pub fn due(&self) -> Option<Millis> {
        self.wakes.first().map(|&(at, _)| at)
    }

    /// Appends what is due up to `at`: resolutions after their quiet time, and growth not yet told; by instant, then by id.
    pub fn advance(&mut self, at: Millis, out: &mut Vec<IncidentUpdate>) {
        let mut ready: Vec<(Millis, IncidentId)> = Vec::new();
        for (_, id) in self.wakes.range(..=(at, LAST)) {
            let incident = &self.open[id];
            let times = [incident.resolve_at(), incident.tell_at()];
            ready.extend(times.into_iter().flatten().filter(|&due| due <= at).map(|due| (due, *id)));
        }
        ready.sort();
        for (due, id) in ready {
            match self.open.get(&id) {
                Some(incident) if incident.resolve_at() == Some(due) => {
                    out.push(incident.update(IncidentPhase::Resolved, due, None));
                    self.close(id);
                }
                Some(incident) if incident.tell_at() == Some(due) => self.tell(id, due, out),
                _ => {}
            }
        }
    }

    /// Which incidents to explain now, in id order, with the revision that the evidence carries. Each awaits an answer from then on.
    pub fn explanations_due(&mut self, at: Millis) -> Vec<(IncidentId, u64)> {
        let woken = self.wakes.range(..=(at, LAST)).map(|&(_, id)| id);
        let mut ids: Vec<IncidentId> =
            woken.filter(|id| self.open[id].explain_at().is_some_and(|due| due <= at)).collect();
        ids.sort();
        ids.into_iter()
            .map(|id| {
                let revision = self.edit(id, |incident| {
                    incident.revision += 1;
                    incident.asked_at = Some(at);
                    incident.outstanding = true;
                    incident.changed = false;
                    incident.revision
                });
                (id, revision)
            })
            .collect()
    }

    /// Notes that an explanation was answered, or will never be, so that the next one may be asked for.
    pub fn answered(&mut self, id: IncidentId, revision: u64) {
        if self.open.get(&id).is_some_and(|incident| incident.revision == revision) {
            self.edit(id, |incident| incident.outstanding = false);
        }
    }

    /// Open incidents, oldest first.
    pub fn open(&self) -> impl ExactSizeIterator<Item = &Incident> {
        self.open.values()
    }

    /// The open incident of this id, or the one that took it in.
    pub fn get(&self, id: IncidentId) -> Option<&Incident> {
        self.open.get(self.merged.get(&id).unwrap_or(&id))
    }

    /// The open incident that holds this alert.
    pub fn of_alert(&self, alert: AlertId) -> Option<&Incident> {
        self.open.get(self.by_alert.get(&alert)?)
    }

    /// What the bounds refused.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    fn fire(
        &mut self,
        transition: &Transition,
        first: EffectId,
        topology: &dyn Topology,
        out: &mut Vec<IncidentUpdate>,
    ) {
        let member = Member {
            alert: transition.alert,
            entity: entity_of(&transition.labels, &transition.name).to_owned(),
            name: transition.name.clone(),
            onset: transition.active_at,
            firing: true,
            imported: transition.imported,
        };
        let matching = self.matching(&member, topology);
        let has_room = |id: &&IncidentId| self.open[id].members.len() < ALERTS_MAX;
        let at = transition.at;
        match matching.iter().find(has_room).copied() {
            Some(home) => {
                self.join(home, Vec::from([member]), transition.active_at, at);
                for &other in matching.iter().filter(|&&id| id > home) {
                    self.merge(other, home, at, out);
                }
                if self.open[&home].tell_at().is_some_and(|due| due <= at) {
                    self.tell(home, at, out);
                }
            }
            None if !matching.is_empty() => self.refused.alerts += 1,
            None if self.open.len() >= OPEN_MAX => self.refused.incidents += 1,
            None => {
                assert!(self.open.last_key_value().is_none_or(|(&last, _)| last < first), "incident ids rise");
                let incident = Incident::new(first, at, member, (self.follows, self.between));
                out.push(incident.update(IncidentPhase::Opened, at, None));
                self.insert(incident);
            }
        }
    }

    /// Flapping: the alert is back while its incident is open.
    fn fire_again(&mut self, home: IncidentId, transition: &Transition) {
        self.edit_member(home, transition.alert, |member| {
            member.onset = transition.active_at;
            member.firing = true;
            member.imported &= transition.imported;
        });
        self.edit(home, |incident| incident.renew(transition.active_at, transition.at));
    }

    fn resolve(&mut self, home: IncidentId, transition: &Transition) {
        self.edit_member(home, transition.alert, |member| member.firing = false);
        self.edit(home, |incident| {
            if incident.quiet_since.is_none() && incident.members.iter().all(|member| !member.firing) {
                incident.quiet_since = Some(transition.at);
            }
        });
    }

    /// Open incidents with an alert near this one in calls and time, oldest first.
    fn matching(&mut self, member: &Member, topology: &dyn Topology) -> Vec<IncidentId> {
        let by_alert = &self.by_alert;
        // Incidents with an alert of these whose onset is at most `window` ms away.
        let close = |onsets: &BTreeSet<(Millis, AlertId)>, window: i64| -> BTreeSet<IncidentId> {
            let (from, to) = (member.onset.plus(-window), member.onset.plus(window));
            let range = onsets.range((from, AlertId([0; 16]))..=(to, AlertId([0xff; 16])));
            range.map(|(_, alert)| by_alert[alert]).collect()
        };
        let own = &member.entity;
        let mut matching = self.by_entity.get(own).map(|onsets| close(onsets, WINDOW_MAX)).unwrap_or_default();
        let mut compared = 0;
        for (other, onsets) in self.by_entity.iter().filter(|(other, _)| *other != own) {
            // Distances are dear: asked for only where they can add an incident.
            if close(onsets, window(HOPS_MAX)).is_subset(&matching) {
                continue;
            }
            if compared == COMPARED_MAX {
                self.refused.comparisons += 1;
                break;
            }
            compared += 1;
            if let Some(hops) = topology.distance(own, other, HOPS_MAX) {
                matching.extend(close(onsets, window(hops)));
            }
        }
        matching.into_iter().collect()
    }

    /// Takes `younger` into `home`, unless both together are over the bound.
    fn merge(&mut self, younger: IncidentId, home: IncidentId, at: Millis, out: &mut Vec<IncidentUpdate>) {
        if self.open[&younger].members.len() + self.open[&home].members.len() > ALERTS_MAX {
            self.refused.merges += 1;
            return;
        }
        out.push(self.open[&younger].update(IncidentPhase::Merged, at, Some(home)));
        let younger = self.close(younger);
        self.join(home, younger.members, younger.onset, at);
        let names: Vec<IncidentId> = younger.merged.into_iter().chain([younger.id]).collect();
        self.merged.extend(names.iter().map(|&name| (name, home)));
        let merged = &mut self.open.get_mut(&home).expect("the older one is open").merged;
        merged.extend(names);
        merged.sort();
    }

    fn tell(&mut self, id: IncidentId, at: Millis, out: &mut Vec<IncidentUpdate>) {
        out.push(self.open[&id].update(IncidentPhase::Grew, at, None));
        self.edit(id, |incident| {
            incident.told_at = at;
            incident.untold = false;
        });
    }

    fn join(&mut self, home: IncidentId, members: Vec<Member>, onset: Millis, at: Millis) {
        members.iter().for_each(|member| self.index(home, member));
        self.edit(home, |incident| incident.grow(members, onset, at));
    }

    /// Every change of an incident passes here or through [`Incidents::insert`] and [`Incidents::close`], so that its timer follows.
    fn edit<R>(&mut self, id: IncidentId, change: impl FnOnce(&mut Incident) -> R) -> R {
        let incident = self.open.get_mut(&id).expect("the incident is open");
        let before = incident.wake();
        let result = change(incident);
        let after = incident.wake();
        if before != after {
            before.map(|at| self.wakes.remove(&(at, id)));
            after.map(|at| self.wakes.insert((at, id)));
        }
        result
    }

    fn edit_member(&mut self, home: IncidentId, alert: AlertId, change: impl FnOnce(&mut Member)) {
        let incident = self.open.get_mut(&home).expect("the incident is open");
        let place = incident.place(alert).expect("the index names an alert of the incident");
        let member = &mut incident.members[place];
        let before = member.onset;
        change(member);
        let onsets = self.by_entity.get_mut(&member.entity).expect("every alert is indexed");
        onsets.remove(&(before, alert));
        onsets.insert((member.onset, alert));
    }

    fn insert(&mut self, incident: Incident) {
        incident.members.iter().for_each(|member| self.index(incident.id, member));
        incident.wake().map(|at| self.wakes.insert((at, incident.id)));
        self.merged.extend(incident.merged.iter().map(|&name| (name, incident.id)));
        self.open.insert(incident.id, incident);
    }

    fn index(&mut self, home: IncidentId, member: &Member) {
        self.by_alert.insert(member.alert, home);
        self.by_entity.entry(member.entity.clone()).or_default().insert((member.onset, member.alert));
    }

    fn close(&mut self, id: IncidentId) -> Incident {
        let incident = self.open.remove(&id).expect("the incident is open");
        incident.wake().map(|at| self.wakes.remove(&(at, id)));
        for name in &incident.merged {
            self.merged.remove(name);
        }
        for member in &incident.members {
            self.by_alert.remove(&member.alert);
            let onsets = self.by_entity.get_mut(&member.entity).expect("every alert is indexed");
            onsets.remove(&(member.onset, member.alert));
            if onsets.is_empty() {
                self.by_entity.remove(&member.entity);
            }
        }
        incident
    }
}

/// The open incidents in id order, then what was refused.
impl Canonical for Incidents {
    fn write(&self, w: &mut Writer) {
        w.array(2);
        w.array(self.open.len());
        self.open.values().for_each(|incident| incident.write(w));
        self.refused.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(2)?;
        let mut incidents = Incidents::default();
        for _ in 0..r.array()? {
            let incident = Incident::read(r)?;
            let rises = incidents.open.last_key_value().is_none_or(|(&last, _)| last < incident.id);
            let sorted = incident.members.is_sorted_by(|a, b| a.alert < b.alert);
            let alone = incident.members.iter().all(|member| !incidents.by_alert.contains_key(&member.alert));
            if !rises || !sorted || !alone || incident.members.is_empty() {
                return Err(r.invalid("open incident"));
            }
            incidents.insert(incident);
        }
        incidents.refused = Refused::read(r)?;
        Ok(incidents)
    }
}
