//! A signal that left its baseline: evidence, never by itself an incident.
use crate::time::Millis;
use crate::{canonical_enum, canonical_struct};
use alloc::string::String;

/// What was measured of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Requests served per second.
    Traffic,
    /// Mean latency as the server saw it, in ms.
    Latency,
    /// Failed requests as a share of all.
    Errors,
    /// Error log records per second.
    ErrorLogs,
}
canonical_enum!(Signal { Traffic = 1, Latency = 2, Errors = 3, ErrorLogs = 4 });

impl Signal {
    /// The word in our outputs.
    pub fn word(self) -> &'static str {
        match self {
            Signal::Traffic => "traffic",
            Signal::Latency => "latency",
            Signal::Errors => "errors",
            Signal::ErrorLogs => "error logs",
        }
    }
}

/// A signal that left its baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// The service.
    pub entity: String,
    /// What of it.
    pub signal: Signal,
    /// Rule time of the window's end at which it was found.
    pub at: Millis,
    /// When it is thought to have begun.
    pub onset: Millis,
    /// What the baseline expected, in the signal's unit.
    pub expected: f64,
    /// What was seen, in the signal's unit.
    pub seen: f64,
    /// Robust z-score, signed: above the baseline is positive.
    pub z: f64,
}
canonical_struct!(Anomaly { entity, signal, at, onset, expected, seen, z });
