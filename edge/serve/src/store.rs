//! What the API answers from: fed by one thread in journal order, read by many.
use crate::view::View;
use bytes::Bytes;
use faultline_formats::Reject;
use faultline_model::facts::Decision;
use faultline_model::{EffectId, Labels, Millis, Position, Sample, SourceId};
use std::sync::Arc;
use tokio::sync::watch;

/// The shared store; a clone is the same store.
///
/// Feed it from one thread, in journal order, only with what is durable, and [`Store::publish`] last: a reader who
/// sees that a position is covered then finds everything up to it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    view: watch::Sender<Arc<View>>,
}

impl Default for Store {
    fn default() -> Self {
        Store { shared: Arc::new(Shared { view: watch::Sender::new(Arc::default()) }) }
    }
}

impl Store {
    /// Takes in a decision.
    ///
    /// - `leaf`: its index in the ledger.
    /// - `at`: rule time of the record `id.cause`; none where only the ledger is at hand, after a restart.
    pub fn decided(&self, id: EffectId, leaf: u64, at: Option<Millis>, decision: &Decision) {
        let _ = (id, leaf, at, decision, &self.shared);
    }

    /// Takes in samples that were applied: first the series that are new, then the samples, then the ids to forget.
    pub fn accepted(&self, created: Vec<(u32, Labels)>, samples: Vec<(u32, Sample)>, evicted: Vec<u32>) {
        let _ = (created, samples, evicted);
    }

    /// Takes in what a decoder refused of the record at `at`, with the record's body.
    pub fn rejected(&self, at: Position, source: Option<SourceId>, rejects: &[Reject], body: Option<Bytes>) {
        let _ = (at, source, rejects, body);
    }

    /// Takes in what only the engine's state could refuse of the record at `at`.
    ///
    /// - `reason`: a stable word.
    pub fn refused(&self, at: Position, source: Option<SourceId>, reason: &'static str, count: u64) {
        let _ = (at, source, reason, count);
    }

    /// Shows a new snapshot and releases the readers who waited for what it covers.
    pub fn publish(&self, view: View) {
        self.shared.view.send_replace(Arc::new(view));
    }
}
