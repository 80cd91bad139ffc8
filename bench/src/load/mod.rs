//! The load: workload FL-1 of the performance notes, as far as Faultline takes it today.
//!
//! Bodies are encoded once; before each sending, times, values and ids are written over in place, so that no two
//! bodies are equal and a sending costs little more than its bytes.
mod connection;
mod crossings;
mod metrics;
mod population;
mod random;
mod requests;
mod sender;
mod template;
#[cfg(test)]
mod tests;

pub use connection::{Answer, Connection, read_message};
pub use crossings::{
    Crossings, LANE as CROSSING_LANE, METRIC as CROSSING_METRIC, body as crossing_body, label as crossing_label,
};
pub use population::{GAUGE, Population, Scope};
pub use random::Random;
pub use sender::{Counters, Fleet, Signal, Step, Tally};

/// Shares of metric points, log records and spans among events.
pub const MIX: [f64; 3] = [0.73, 0.18, 0.09];
