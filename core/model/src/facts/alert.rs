//! One change of an alert's state.
use crate::ids::{AlertId, Occurrence};
use crate::labels::Labels;
use crate::time::Millis;
use crate::{Canonical, CodecError, Reader, Writer, canonical_enum};
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

/// Twelve fields, and a thirteenth where it is true: `dry_run`. Leaves from before it have twelve.
impl Canonical for Transition {
    fn write(&self, w: &mut Writer) {
        w.array(if self.dry_run { 13 } else { 12 });
        self.alert.write(w);
        self.occurrence.write(w);
        self.from.write(w);
        self.to.write(w);
        self.at.write(w);
        self.active_at.write(w);
        self.group.write(w);
        self.name.write(w);
        self.labels.write(w);
        self.annotations.write(w);
        self.value.write(w);
        self.imported.write(w);
        if self.dry_run {
            self.dry_run.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let error = r.invalid("transition");
        let count = r.array()?;
        let mut transition = Transition {
            alert: Canonical::read(r)?,
            occurrence: Canonical::read(r)?,
            from: Canonical::read(r)?,
            to: Canonical::read(r)?,
            at: Canonical::read(r)?,
            active_at: Canonical::read(r)?,
            group: Canonical::read(r)?,
            name: Canonical::read(r)?,
            labels: Canonical::read(r)?,
            annotations: Canonical::read(r)?,
            value: Canonical::read(r)?,
            imported: Canonical::read(r)?,
            dry_run: false,
        };
        if count == 13 {
            transition.dry_run = Canonical::read(r)?;
        }
        // One value has one form.
        if count == if transition.dry_run { 13 } else { 12 } { Ok(transition) } else { Err(error) }
    }
}
