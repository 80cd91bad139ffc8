//! Imported history, and what of it goes on when live telemetry begins.
//!
//! History reaches nobody, but what began in it and lasts is news when telemetry goes live: an alert is told then, with the
//! time at which it really began, and takes part in incidents like any other. So a sink that hears of its end has
//! heard of its start, and who goes live in the middle of an outage gets one incident with the outage's own onset.
use crate::effect::Emitter;
use crate::engine::{Engine, GAP_MAX_MS};
use alloc::vec::Vec;
use faultline_model::Millis;
use faultline_model::facts::{AlertState, Decision, Transition};

impl Engine {
    /// An imported body comes at `stamp`. Bodies come sender by sender, each moving rule time on for all: that nothing came
    /// from one of them says nothing, so rules that ask for absence wait until telemetry is live.
    pub(crate) fn take_history(&mut self, stamp: Millis) {
        self.imported = stamp;
        if self.settled {
            self.settled = false;
            self.judge.rules.suspend_absence(true);
        }
    }

    /// Whether missing data means anything: not in history, nor until the senders are back after a start.
    pub(crate) fn absence_counts(&self) -> bool {
        let in_history = !self.live && self.imported > Millis(0);
        !in_history && self.sources.caught_up(self.started, self.now)
    }

    /// Rule time goes on with the stamps, from `stamp` on; nothing where it already does.
    pub(crate) fn go_live(&mut self, stamp: Millis, emit: &mut Emitter<'_>) {
        if core::mem::replace(&mut self.live, true) {
            return;
        }
        if self.imported == Millis(0) {
            self.begin_revisions(stamp);
            return;
        }
        let unseen_ms = stamp.since(self.now);
        // As after a start: what lies between was not seen, and senders are still to come.
        self.start(stamp);
        if unseen_ms > GAP_MAX_MS {
            self.judge.rules.end_alerts(self.now, emit.cause(), &mut self.transitions);
            self.decide_transitions(emit, true);
        }
        // What ends or begins by the passing of this time alone is history, too.
        self.run_due(self.now, emit, true);
        let mut updates = Vec::new();
        let going_on: Vec<Transition> = self.judge.rules.active().map(|alert| begun(alert, self.now)).collect();
        for transition in going_on {
            emit.decide(Decision::Alert(transition.clone()));
            if !transition.is_silent() {
                self.correlate(&transition, &mut updates, emit);
            }
        }
        self.explain(self.now, emit);
        self.deliver(emit);
        self.begin_revisions(self.now);
    }
}

/// The news that an alert is active.
fn begun(alert: faultline_rules::ActiveAlert, at: Millis) -> Transition {
    Transition {
        alert: alert.alert,
        occurrence: alert.occurrence,
        from: AlertState::Ok,
        to: alert.state,
        at,
        active_at: alert.active_at,
        group: alert.group,
        name: alert.name,
        labels: alert.labels,
        annotations: alert.annotations,
        value: alert.value,
        imported: false,
        dry_run: alert.dry_run,
    }
}
