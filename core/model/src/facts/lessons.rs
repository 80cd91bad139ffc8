//! What closed incidents teach: who told of which events, who was the cause, and the weights that follow.
use crate::canonical_struct;
use crate::ids::Digest;
use crate::time::Millis;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How often a service told of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventCount {
    /// The event's name.
    pub name: String,
    /// How often.
    pub count: u32,
}
canonical_struct!(EventCount { name, count });

/// One incident as a lesson: its services with the events of each, who called whom, and which of them was the cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lesson {
    /// Types of events that occur, in order, each once.
    pub types: Vec<String>,
    /// Its services, in the order of the evidence.
    pub candidates: Vec<Candidate>,
    /// Calls between them, caller and callee as indices of `candidates`, in order, each once.
    pub calls: Vec<(u32, u32)>,
    /// The cause, an index of `candidates`.
    pub cause: u32,
}
canonical_struct!(Lesson { types, candidates, calls, cause });

/// One service of a lesson.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Whether it sends telemetry of its own: the silence of others says nothing.
    pub heard: bool,
    /// Index of `types` and how often, in order.
    pub events: Vec<(u32, u32)>,
}
canonical_struct!(Candidate { heard, events });

/// What weights are to be learned from: lessons, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lessons {
    /// The lessons.
    pub lessons: Vec<Arc<Lesson>>,
}

/// What one type of event says of who is at fault, in nats per `ln(1 + count)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventWeight {
    /// The type.
    pub name: String,
    /// Of the service that tells of it.
    pub own: f64,
    /// Of those that it calls.
    pub callers: f64,
    /// Of those that call it.
    pub callees: f64,
}
canonical_struct!(EventWeight { name, own, callers, callees });

/// Weights of events, as learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// How many lessons they rest on.
    pub lessons: u64,
    /// In name order, each once; a type that is not there has none.
    pub events: Vec<EventWeight>,
}
canonical_struct!(Weights { lessons, events });

/// What of all that was learned bears on one incident.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learnt {
    /// The weights of the types that occur in it.
    pub weights: Weights,
    /// How often each of its services was the cause of late, fading with age; in node order, those that never were left out.
    pub causes: Vec<(u32, f64)>,
}
canonical_struct!(Learnt { weights, causes });

/// Weights came into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// How many closed incidents they rest on.
    pub lessons: u64,
    /// How many types of events have weights.
    pub types: u64,
    /// Digest of the weights' canonical bytes.
    pub weights: Digest,
    /// Rule time from which on they count.
    pub at: Millis,
}
canonical_struct!(Learned { lessons, types, weights, at });
