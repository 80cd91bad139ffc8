//! Alerts into incidents: alerts close in time and on the graph of calls are one incident.
//!
//! A fault seldom shows as one alert: its victims fire too, seconds apart and a call or two away. Two alerts belong
//! together when their entities are at most [`limits::HOPS_MAX`] calls apart ([`Topology`] says who calls whom) and
//! their onsets are as close as that many calls may delay an effect ([`limits::window`]). [`Incidents`] keeps the
//! components of that relation while they are open, says when each opens, grows, merges and resolves, and when it
//! should be explained again.
//!
//! Entities, onsets and ids come from outside and time comes with them, so that the same calls give the same updates.
//! Rule of the grouping: docs of [`limits`]; further reading: Sedgewick and Wayne, "Algorithms", section 1.5 (components).
#![no_std]
extern crate alloc;

mod entity;
mod incident;
mod incidents;
pub mod limits;
mod topology;

pub use entity::entity_of;
pub use incident::{Incident, Member};
pub use incidents::{Incidents, Refused};
pub use topology::Topology;
