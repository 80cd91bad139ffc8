//! One change of an alert's state.
use crate::ids::{AlertId, Occurrence};
use crate::labels::Labels;
use crate::time::Millis;
use crate::{canonical_enum, canonical_struct};
use alloc::string::String;
use alloc::vec::Vec;

/// States of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// The expression does not hold.
    #[default]
    Ok,
    /// It holds, but not yet for the rule's `for`.
    Pending,
    /// It has held for the rule's `for`.
    Firing,
    /// Its source is silent: neither resolved nor firing (`stream` evaluation only).
    Unknown,
}
canonical_enum!(AlertState { Ok = 0, Pending = 1, Firing = 2, Unknown = 3 });

impl AlertState {
    /// The word in our outputs; Prometheus calls `ok` `inactive`.
    pub fn word(self) -> &'static str {
        match self {
            AlertState::Ok => "ok",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
            AlertState::Unknown => "unknown",
        }
    }
}

/// One change of an alert's state, with all a sink needs to tell of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The alert, whatever its expression or annotations say today.
    pub alert: AlertId,
    /// Where this stretch of being active began: with `alert`, the deduplication key outside.
    pub occurrence: Occurrence,
    /// State before.
    pub from: AlertState,
    /// State after.
    pub to: AlertState,
    /// Rule time of the change.
    pub at: Millis,
    /// Rule time at which the expression began to hold: Prometheus' `activeAt`.
    pub active_at: Millis,
    /// `file;group`, as Prometheus names it.
    pub group: String,
    /// The alert's name.
    pub name: String,
    /// Labels as they leave, `alertname` and external labels included.
    pub labels: Labels,
    /// Annotations, expanded, in name order.
    pub annotations: Vec<(String, String)>,
    /// Value of the expression.
    pub value: f64,
    /// Whether it rests on imported data: it reaches no sink.
    pub imported: bool,
    /// Whether its group is tried only: it reaches the ledger, no sink and no incident.
    pub dry_run: bool,
}

impl Transition {
    /// Whether it is for nobody but the ledger.
    pub fn is_silent(&self) -> bool {
        self.imported || self.dry_run
    }
}

// Leaves from before `dry_run` have twelve fields.
canonical_struct!(Transition {
    alert,
    occurrence,
    from,
    to,
    at,
    active_at,
    group,
    name,
    labels,
    annotations,
    value,
    imported;
    dry_run
});
