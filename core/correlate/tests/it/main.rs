//! What incidents do to the outside: written scenarios, an independent recount of the grouping, bounds, and state bytes.
mod bounds;
mod golden;
mod oracle;

use faultline_correlate::Topology;
use faultline_model::facts::{AlertState, Transition};
use faultline_model::{AlertId, EffectId, Labels, Millis, Occurrence, Position};
use std::collections::{BTreeMap, BTreeSet};

/// Calls as written in a test.
#[derive(Default)]
pub(crate) struct Calls {
    callees: BTreeMap<String, BTreeSet<String>>,
}

impl Calls {
    pub(crate) fn add(&mut self, client: &str, server: &str) {
        self.callees.entry(client.into()).or_default().insert(server.into());
    }
}

impl Calls {
    /// What `entity` reaches within `limit` calls, with the fewest calls to each.
    fn reached(&self, entity: &str, limit: u32) -> BTreeMap<String, u32> {
        let mut reached = BTreeMap::from([(entity.to_string(), 0)]);
        for hops in 1..=limit {
            let last: Vec<String> =
                reached.iter().filter(|(_, h)| **h == hops - 1).map(|(name, _)| name.clone()).collect();
            for name in last.iter().filter_map(|name| self.callees.get(name)).flatten() {
                reached.entry(name.clone()).or_insert(hops);
            }
        }
        reached
    }
}

impl Topology for Calls {
    fn distance(&self, a: &str, b: &str, limit: u32) -> Option<u32> {
        let (a, b) = (self.reached(a, limit), self.reached(b, limit));
        a.iter().filter_map(|(name, hops)| Some(hops + b.get(name)?)).min().filter(|&hops| hops <= limit)
    }
}

/// An alert's transition with what correlation reads of it.
pub(crate) fn transition(name: &str, entity: &str, to: AlertState, at: Millis, active_at: Millis) -> Transition {
    Transition {
        alert: AlertId::of_parts(&[name.as_bytes(), entity.as_bytes()]),
        occurrence: Occurrence::default(),
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
        dry_run: false,
    }
}

/// The id of the first effect of the record at `offset`.
pub(crate) fn effect(offset: u64) -> EffectId {
    EffectId { cause: Position { partition: 0, offset }, ordinal: 0 }
}
