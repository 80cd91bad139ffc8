//! What a source hands in, and what the journal keeps.
use crate::ids::{EffectId, SourceId, TenantId};
use bytes::Bytes;

/// One body as received. `body` is still content-encoded; of all headers only these fields are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Whose data it is.
    pub tenant: TenantId,
    /// What the bytes are.
    pub kind: Kind,
    /// The bytes.
    pub body: Bytes,
}

/// Most bytes of an answer that holds a digest; all others are larger.
const DIGEST_ANSWER: usize = 34;

impl Payload {
    /// Whether a full journal takes it nevertheless: what leads to an anchor, below which the journal may forget. That is a
    /// wish for one, an answer so small that it is the digest of a state, and a start, which withdraws what nobody will
    /// answer any more, and the engine version before it.
    pub fn makes_room(&self) -> bool {
        let leads = match self.kind {
            Kind::Reply(_) => true,
            Kind::Control(control) => {
                matches!(control, Control::Started | Control::EngineVersion | Control::Anchor)
            }
            _ => false,
        };
        leads && self.body.len() <= DIGEST_ANSWER
    }
}

/// What a record is. The numbers on disk are in `docs/formats/journal.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Telemetry from a sender.
    Telemetry {
        /// Who sent it.
        source: SourceId,
        /// How to decode the inflated bytes.
        format: Format,
        /// How to inflate them.
        encoding: Encoding,
        /// Which time rules run on.
        clock: Clock,
    },
    /// A rule file, a setting, a change, a start: what an operator or Faultline itself says. Bodies: [`crate::control`].
    Control(Control),
    /// The answer to an ask.
    Reply(EffectId),
    /// Time passed: appended by the writer after 100 ms without a record.
    Tick,
}

/// Foreign formats. A number, once given, is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Format {
    /// `ExportMetricsServiceRequest`, protobuf.
    OtlpMetrics = 1,
    /// `ExportLogsServiceRequest`, protobuf.
    OtlpLogs = 2,
    /// `ExportTraceServiceRequest`, protobuf.
    OtlpTraces = 3,
    /// Prometheus remote write 1.0, `prometheus.WriteRequest`.
    RemoteWrite1 = 4,
    /// Prometheus remote write 2.0, `io.prometheus.write.v2.Request`.
    RemoteWrite2 = 5,
    /// `ExportMetricsServiceRequest`, JSON.
    OtlpMetricsJson = 6,
    /// `ExportLogsServiceRequest`, JSON.
    OtlpLogsJson = 7,
    /// `ExportTraceServiceRequest`, JSON.
    OtlpTracesJson = 8,
}

/// Content encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// As it is.
    Identity = 0,
    /// gzip (RFC 1952).
    Gzip = 1,
    /// Zstandard (RFC 8878).
    Zstd = 2,
    /// Snappy block format.
    Snappy = 3,
}

/// Which time drives the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Clock {
    /// Rule time is the journal's stamp.
    Live = 0,
    /// Rule time is event time; reaches no sink.
    Import = 1,
}

/// Kinds of control record. A number, once given, is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Control {
    /// Record 0: format, journal id, hash seed ([`crate::Genesis`]).
    Genesis = 0,
    /// A process started on this journal; body empty.
    Started = 1,
    /// A source's name ([`crate::SourceName`]), once per source.
    Source = 2,
    /// The whole set of rule files now in force ([`crate::RuleFiles`]).
    Rules = 3,
    /// One setting that core reads ([`crate::Setting`]).
    Setting = 4,
    /// Something changed in the estate: a deploy, a configuration, a flag ([`crate::ChangeEvent`]).
    Change = 5,
    /// The engine version from here on; body is its number.
    EngineVersion = 6,
    /// An anchor is wanted now: by an operator, or by the loop where the journal is full; body empty.
    Anchor = 7,
    /// An operator closed an incident and said what its cause was ([`crate::Feedback`]).
    Feedback = 8,
}

macro_rules! numbered {
    ($name:ident { $($variant:ident),* }) => {
        impl $name {
            /// The value of a number on disk.
            pub fn from_number(number: u8) -> Option<$name> {
                $(if number == $name::$variant as u8 { return Some($name::$variant); })*
                None
            }
        }
    };
}
numbered!(Format {
    OtlpMetrics,
    OtlpLogs,
    OtlpTraces,
    RemoteWrite1,
    RemoteWrite2,
    OtlpMetricsJson,
    OtlpLogsJson,
    OtlpTracesJson
});
numbered!(Encoding { Identity, Gzip, Zstd, Snappy });
numbered!(Clock { Live, Import });
numbered!(Control { Genesis, Started, Source, Rules, Setting, Change, EngineVersion, Anchor, Feedback });
