//! One alert and its way: pending, firing, kept firing, gone. Source: `AlertingRule.Eval` of Prometheus 3.15.
use crate::set::Alerting;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::facts::AlertState;
use faultline_model::{Labels, Millis, Number, Occurrence, canonical_struct};

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alert {
    pub state: AlertState,
    /// Where it became active.
    pub occurrence: Occurrence,
    pub active_at: Millis,
    /// Since when its element is gone while it fires on.
    pub gone_since: Option<Millis>,
    /// Since when its element is gone because a source is silent: it is unknown, and what it was is kept.
    pub silent_since: Option<Millis>,
    /// Labels of its element in the expression's result.
    pub element: Labels,
    pub value: Number,
    pub annotations: Vec<(String, String)>,
}

// States from before silent sources have seven fields.
canonical_struct!(Alert { state, occurrence, active_at, gone_since, element, value, annotations; silent_since });

impl Alert {
    /// Its state as everybody sees it.
    pub fn shown(&self) -> AlertState {
        if self.silent_since.is_some() { AlertState::Unknown } else { self.state }
    }

    /// Whether another element than this one raises it now.
    pub fn is_of_another(&self, element: &Labels) -> bool {
        self.gone_since.is_none() && self.silent_since.is_none() && self.element != *element
    }
}

/// What an instant says of an alert's element.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// It is there.
    There(Found),
    /// It is not, and what it was made of is not to be seen though nobody ended it.
    Silent,
    /// It is not.
    Gone,
}

/// An element of the expression's result, with what the templates make of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub element: Labels,
    pub value: Number,
    pub annotations: Vec<(String, String)>,
}

/// The circumstances of a step of an alert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub at: Millis,
    /// What an alert that becomes active now is called.
    pub occurrence: Occurrence,
    /// No alert of the rule may become active or fire: the rule asks for absence and senders have not caught up.
    pub held: bool,
}

/// What a step made of an alert. States before and after are equal where nothing happened.
pub(crate) struct Step {
    pub from: AlertState,
    pub to: AlertState,
    /// The alert as it is after; where it ended, as it was.
    pub alert: Alert,
}

impl Step {
    /// Whether the alert is over.
    pub fn over(&self) -> bool {
        self.to == AlertState::Ok
    }
}

/// Moves an alert on. Nothing comes of nothing, nor of a new element while the rule is held.
pub(crate) fn step(before: Option<Alert>, seen: Seen, rule: &Alerting, moment: Moment) -> Option<Step> {
    let from = before.as_ref().map_or(AlertState::Ok, Alert::shown);
    let mut alert = match (before, &seen) {
        (Some(alert), _) => alert,
        (None, Seen::There(found)) if !moment.held => Alert {
            state: AlertState::Pending,
            occurrence: moment.occurrence,
            active_at: moment.at,
            gone_since: None,
            silent_since: None,
            element: found.element.clone(),
            value: found.value.clone(),
            annotations: Vec::new(),
        },
        (None, _) => return None,
    };
    match seen {
        Seen::There(found) => {
            alert.gone_since = None;
            alert.silent_since = None;
            alert.element = found.element;
            alert.value = found.value;
            alert.annotations = found.annotations;
        }
        // One that only fires on was over before.
        Seen::Silent if alert.gone_since.is_none() => {
            alert.silent_since.get_or_insert(moment.at);
            return Some(Step { from, to: AlertState::Unknown, alert });
        }
        Seen::Silent | Seen::Gone => {
            let mut kept = false;
            if alert.state == AlertState::Firing && rule.keep_firing_for_ms > 0 {
                let since = *alert.gone_since.get_or_insert(moment.at);
                kept = moment.at.since(since) < rule.keep_firing_for_ms;
            }
            alert.silent_since = None;
            if !kept {
                return Some(Step { from, to: AlertState::Ok, alert });
            }
        }
    }
    let held_long_enough = moment.at.since(alert.active_at) >= rule.for_ms;
    match alert.state {
        AlertState::Pending if held_long_enough && !moment.held => alert.state = AlertState::Firing,
        // A longer `for` came into force meanwhile.
        AlertState::Firing if !held_long_enough => {
            alert.state = AlertState::Pending;
            alert.gone_since = None;
        }
        _ => {}
    }
    Some(Step { from, to: alert.state, alert })
}

/// When the alert next changes by time alone; one that is unknown waits for its source.
pub(crate) fn timer(alert: &Alert, rule: &Alerting) -> Option<Millis> {
    match (alert.state, alert.gone_since) {
        _ if alert.silent_since.is_some() => None,
        (AlertState::Pending, _) => Some(alert.active_at.plus(rule.for_ms)),
        (_, Some(since)) => Some(since.plus(rule.keep_firing_for_ms)),
        (_, None) => None,
    }
}
