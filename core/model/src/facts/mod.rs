//! What Faultline decides: plain values that ledger, sinks, API and verifier read alike.
pub mod alert;
pub mod anomaly;
pub mod evidence;
pub mod incident;
pub mod lessons;
pub mod revision;
pub mod strengths;
pub mod verdict;

pub use alert::{AlertState, Transition};
pub use anomaly::{Anomaly, Signal};
pub use evidence::{
    ChangeEvidence, Coverage, EdgeEvidence, Evidence, HostEvidence, NodeEvidence, Placed, Resource, ResourceEvidence,
    Shift, Telemetry,
};
pub use incident::{IncidentPhase, IncidentUpdate};
pub use lessons::{Candidate, EventCount, EventWeight, Learned, Learnt, Lesson, Lessons, Weights};
pub use revision::{Late, LateSeries, Outcome, Revision, Stretch, Unrevised};
pub use strengths::{Passed, Strength, Strengths};
pub use verdict::{Cause, Check, Contribution, Leader, PathStep, Reliability, Still, Tally, Verdict, WhatIf};

use crate::control::{ChangeEvent, Feedback, Setting};
use crate::ids::{AlertId, Digest, EffectId, Occurrence, Position, TenantId};
use crate::time::Millis;
use crate::{canonical_enum, canonical_newtype, canonical_struct};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

canonical_newtype!(AlertId, Digest, TenantId, Millis);
canonical_struct!(Position { partition, offset });
canonical_struct!(EffectId { cause, ordinal });
canonical_struct!(Occurrence { began, ordinal });

/// One decision of the engine: a leaf of the ledger each.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// An alert changed its state.
    Alert(Transition),
    /// A signal left its baseline, and it counts (it is evidence of an open incident or opened none).
    Anomaly(Anomaly),
    /// An incident opened, grew or ended.
    Incident(IncidentUpdate),
    /// A root cause was named, or none deserved belief.
    Verdict(Verdict),
    /// Rule files came into force.
    Rules(RulesInForce),
    /// Rule files were refused; those before stay.
    RulesRefused(RulesRefused),
    /// A setting came into force.
    Setting(Setting),
    /// A change in the estate was noted.
    Change(ChangeEvent),
    /// An ask was posted: the digest of its frozen evidence.
    Asked(Asked),
    /// A record was skipped because `step` broke on it.
    Quarantined(Quarantined),
    /// An anchor: the state's digest after a position.
    Anchor(Anchor),
    /// What late samples made of an alert that was decided without them.
    Revision(Box<Revision>),
    /// Late samples came to instants of which nobody can say what would have been.
    Unrevised(Unrevised),
    /// An incident was closed with its cause.
    Feedback(Feedback),
    /// Weights of events, learned from closed incidents, came into force.
    Learned(Learned),
}
canonical_enum!(Decision {
    Alert = 1 (it),
    Anomaly = 2 (it),
    Incident = 3 (it),
    Verdict = 4 (it),
    Rules = 5 (it),
    RulesRefused = 6 (it),
    Setting = 7 (it),
    Change = 8 (it),
    Asked = 9 (it),
    Quarantined = 10 (it),
    Anchor = 11 (it),
    Revision = 12 (it),
    Unrevised = 13 (it),
    Feedback = 14 (it),
    Learned = 15 (it),
});

/// Rule files in force from a record on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesInForce {
    /// Digest of the record's body.
    pub digest: Digest,
    /// Number of groups.
    pub groups: u64,
    /// Number of alerting rules.
    pub alerts: u64,
    /// Number of recording rules.
    pub records: u64,
    /// Number of rules that are unknown at first: what they read was not kept for as long as they look back.
    pub unknown_count: u64,
    /// The first of those, in the order of groups and rules.
    pub unknown: Vec<UnknownRule>,
}
canonical_struct!(RulesInForce { digest, groups, alerts, records, unknown_count, unknown });

/// A rule that is not evaluated yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRule {
    /// `file;group`.
    pub group: String,
    /// Name of the alert, or of the series recorded.
    pub rule: String,
    /// Rule time of its first evaluation.
    pub until: Millis,
}
canonical_struct!(UnknownRule { group, rule, until });

/// Why rule files were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesRefused {
    /// Digest of the record's body.
    pub digest: Digest,
    /// The file.
    pub file: String,
    /// Line in the file, from 1; 0 where none can be named.
    pub line: u64,
    /// What is wrong and what to do.
    pub reason: String,
}
canonical_struct!(RulesRefused { digest, file, line, reason });

/// An ask that was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What was asked, `explain`.
    pub kind: String,
    /// Digest of the frozen input's canonical bytes.
    pub input: Digest,
}
canonical_struct!(Asked { kind, input });

/// A record that `step` broke on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The record.
    pub position: Position,
    /// What the assertion said.
    pub reason: String,
}
canonical_struct!(Quarantined { position, reason });

/// The state's digest after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The last record in that state.
    pub position: Position,
    /// Root over the digests of the state's pages.
    pub state: Digest,
}
canonical_struct!(Anchor { position, state });

/// A segment of the journal that is full and will not change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The segment's generation. No two segments share it, while a segment of leaves alone ends with the record that the
    /// one before it ended with.
    pub segment: u64,
    /// The last record before the segment's end.
    pub last: Position,
    /// RFC 6962 root over what is stored in it, frame by frame (`docs/formats/journal.md`).
    pub root: Digest,
}
canonical_struct!(Sealed { segment, last, root });
