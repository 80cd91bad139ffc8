//! Decisions out: standard output and Alertmanager v2, from the ledger.
//!
//! The problem: a decision must leave only after its leaf is in the ledger, must not be lost when the receiver is dead or
//! Faultline restarts, and no receiver may slow the engine or another receiver. The idea: a sink is a thread of its own that
//! reads leaves on from its own durable cursor ([`run`]); what it has not read waits in the ledger, which is there anyway, so
//! no queue can overflow. Delivery is at least once, and what goes out twice carries the same ids and labels.
//! How it behaves, for its users: `docs/guides/sinks.md`.
pub mod alertmanager;
pub mod http;
pub mod run;
pub mod stdout;

pub use alertmanager::{Alertmanager, Counters, Options};
pub use run::{Cursor, Ended, Leaves, Pause, RunError, Runner, Sink, run};
pub use stdout::{Form, Stdout};
