//! The one simulated estate: demo, simulation, benchmarks and tests use it.
//!
//! A consortium of banks: twelve sites in the cloud, a payments path through a SWIFT gateway to a mainframe, clocks
//! that disagree, a service that never sends telemetry. Requests are simulated one by one, so what callers see of a
//! callee, retries and time-outs included, follows from what the callee does. The same story gives the same bytes.
pub mod plan;
pub mod requests;
pub mod story;
pub mod telemetry;

pub use plan::{Plan, Role};
pub use requests::{Finished, Side};
pub use story::{Culprit, Fault, Story, Trouble, Truth};
pub use telemetry::{Estate, Outgoing};
