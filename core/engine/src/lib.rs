//! The pure function of the journal: step, effects, state tables, checkpoints.
//!
//! The engine has no clock, no disk, no threads and no chance. The same records give the same effects, byte for byte,
//! in any batching and on any machine; that is what makes a replay a proof.
#![no_std]
extern crate alloc;

mod changes;
mod checkpoint;
mod control;
mod effect;
mod engine;
mod frozen;
mod history;
mod judge;
mod learning;
#[cfg(feature = "planted")]
mod planted;
mod recall;
mod retries;
mod revise;
mod silent;
mod strengths;
mod views;

pub use checkpoint::{Checkpoint, FORMAT, Layout, Page, RestoreError, core_field, state_digest};
pub use effect::{Accepted, Ask, Effect, Effects, Rejected};
pub use engine::Engine;
pub use faultline_observe::replicas::ReplicaLabels;
pub use frozen::Slice;
pub use recall::{Recall, Wanted};
pub use revise::{COMPARED_MAX, LATE_MS, Revise, Revisit};
pub use views::Overview;

/// Version of the function: it rises whenever the same journal would give other effects or another state.
pub const ENGINE_VERSION: u32 = 12;
/// The oldest engine version whose states this one takes up and goes on from, where their layout is ours.
pub const ENGINE_VERSION_MIN: u32 = 3;
