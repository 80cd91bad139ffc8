//! The HTTP API: Prometheus-compatible and our own.
//!
//! [`Store`] is fed by the loop, in journal order and only with what is durable; [`router`] answers from it. Nothing here
//! touches the engine: a query copies what it needs out of the store, a little at a time, and evaluates on a thread of its
//! own, so that the loop never waits for a reader. Shapes and bounds: `docs/formats/api.md`.
mod store;
pub mod view;

pub use store::Store;
pub use view::{ActiveAlert, Counts, Health, Rule, RuleGroup, RuleKind, SourceStatus, Stage, View};

use axum::Router;
use faultline_host::{Clock, Inlet};
use faultline_model::HashSeed;
use std::sync::Arc;

/// Every route of the API.
///
/// - `inlet`, `seed`: where a posted change goes, and record 0's seed to decode it with.
/// - `clock`: gives a posted change its time where it states none.
pub fn router(store: Store, inlet: Inlet, seed: HashSeed, clock: Arc<dyn Clock>) -> Router {
    let _ = (store, inlet, seed, clock);
    Router::new()
}
