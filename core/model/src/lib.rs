//! Labels, series, times, ids, facts, ordered maps, float maths and canonical bytes: no algorithms.
//!
//! Everything here is a plain value. Crates of `core` and `edge` meet in these types and nowhere else, which is what
//! lets the edge read a decision without knowing the engine that took it.
#![no_std]
extern crate alloc;

pub mod codec;
pub mod control;
pub mod exact;
pub mod facts;
pub mod float;
mod hash;
pub mod histogram;
pub mod ids;
pub mod labels;
pub mod mutants;
pub mod number;
pub mod packed;
pub mod payload;
pub mod recalled;
pub mod revisited;
pub mod sample;
pub mod table;
pub mod time;

pub use codec::{Canonical, CodecError, Reader, Writer};
pub use control::{ChangeEvent, Evaluation, Feedback, Genesis, RuleFile, RuleFiles, Setting, SourceName};
pub use exact::ExactSum;
pub use hash::xxh64;
pub use histogram::Histogram;
pub use ids::{
    AlertId, BodyDigest, Digest, EffectId, HashSeed, IncidentId, Occurrence, Position, SeriesKey, SourceId, TenantId,
};
pub use labels::{Labels, LabelsBuilder};
pub use number::Number;
pub use payload::{Clock, Control, Encoding, Format, Kind, Payload};
pub use recalled::{Recalled, RecalledPart, RecalledSeries};
pub use revisited::{Occurred, Revisited};
pub use sample::{HistogramSample, Sample};
pub use table::Table;
pub use time::{EventTime, Hlc, Millis};
