//! What incidents do to the outside: written scenarios, an independent recount of the grouping, bounds, and state bytes.
mod bounds;
mod golden;
mod oracle;

use faultline_correlate::Topology;
use faultline_model::facts::{AlertState, Transition};
use faultline_model::{AlertId, EffectId, Labels, Millis, Position};
use std::collections::{BTreeMap, BTreeSet};

/// Calls as written in a test.
#[derive(Default)]
pub(crate) struct Calls {
    callees: BTreeMap<String, BTreeSet<String>>,
    callers: BTreeMap<String, BTreeSet<String>>,
}

impl Calls {
    pub(crate) fn add(&mut self, client: &str, server: &str) {
        self.callees.entry(client.into()).or_default().insert(server.into());
        self.callers.entry(server.into()).or_default().insert(client.into());
    }
}

impl Topology for Calls {
    fn callees(&self, entity: &str, visit: &mut dyn FnMut(&str)) {
        self.callees.get(entity).into_iter().flatten().for_each(|name| visit(name));
    }

    fn callers(&self, entity: &str, visit: &mut dyn FnMut(&str)) {
        self.callers.get(entity).into_iter().flatten().for_each(|name| visit(name));
    }
}

/// An alert's transition with what correlation reads of it.
pub(crate) fn transition(name: &str, entity: &str, to: AlertState, at: Millis, active_at: Millis) -> Transition {
    Transition {
        alert: AlertId::of_parts(&[name.as_bytes(), entity.as_bytes()]),
        occurrence: Position::default(),
        from: AlertState::Ok,
        to,
        at,
        active_at,
        group: "rules.yml;group".into(),
        name: name.into(),
        labels: Labels::new([("alertname", name), ("service", entity)]),
        annotations: Vec::new(),
        value: 1.0,
        imported: false,
    }
}

/// The id of the first effect of the record at `offset`.
pub(crate) fn effect(offset: u64) -> EffectId {
    EffectId { cause: Position { partition: 0, offset }, ordinal: 0 }
}
