//! The HTTP API: Prometheus-compatible and our own.
//!
//! [`Store`] is fed by the loop, in journal order and only with what is durable; [`router`] answers from it. Nothing here
//! touches the engine: a query copies what it needs out of the store, a little at a time, and evaluates on a thread of its
//! own, so that the loop never waits for a reader. Shapes and bounds: `docs/formats/api.md`.
mod http;
pub mod recent;
mod store;
pub mod view;

pub use http::{Reload, router};
pub use store::Store;
pub use view::{ActiveAlert, Counts, Health, Rule, RuleGroup, RuleKind, SourceStatus, Stage, View};
