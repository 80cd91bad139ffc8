//! An incident: alerts close in time and topology.
use crate::ids::{AlertId, IncidentId};
use crate::time::Millis;
use crate::{canonical_enum, canonical_struct};
use alloc::string::String;
use alloc::vec::Vec;

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentPhase {
    /// Its first alert fired.
    Opened,
    /// Alerts joined it.
    Grew,
    /// All of its alerts have resolved.
    Resolved,
    /// It joined an older incident, whose id is in `merged_into`.
    Merged,
}
canonical_enum!(IncidentPhase { Opened = 1, Grew = 2, Resolved = 3, Merged = 4 });

impl IncidentPhase {
    /// The word in our outputs.
    pub fn word(self) -> &'static str {
        match self {
            IncidentPhase::Opened => "opened",
            IncidentPhase::Grew => "grew",
            IncidentPhase::Resolved => "resolved",
            IncidentPhase::Merged => "merged",
        }
    }
}

/// One step in an incident's life.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentUpdate {
    /// The effect that opened it; kept for ever.
    pub id: IncidentId,
    /// What happened.
    pub phase: IncidentPhase,
    /// Rule time of the step.
    pub at: Millis,
    /// Rule time at which the incident opened.
    pub opened_at: Millis,
    /// Every alert in it now, in id order.
    pub alerts: Vec<AlertId>,
    /// Every entity its alerts are about, in name order.
    pub entities: Vec<String>,
    /// Names of its alerts, in name order, each once.
    pub alert_names: Vec<String>,
    /// Where it went, when `phase` is merged.
    pub merged_into: Option<IncidentId>,
    /// Whether it rests on imported data: it reaches no sink.
    pub imported: bool,
}
canonical_struct!(IncidentUpdate { id, phase, at, opened_at, alerts, entities, alert_names, merged_into, imported });
