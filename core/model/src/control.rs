//! Bodies of control records, in canonical bytes.
use crate::ids::{HashSeed, SourceId};
use crate::time::Millis;
use crate::{canonical_enum, canonical_newtype, canonical_struct};
use alloc::string::String;
use alloc::vec::Vec;

canonical_newtype!(HashSeed, SourceId);

/// Record 0 of every journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// Version of the journal's layout.
    pub format: u16,
    /// Random name of this journal.
    pub journal: [u8; 16],
    /// Secret that keys every hash of foreign bytes.
    pub seed: HashSeed,
    /// When it was created.
    pub created: Millis,
}
canonical_struct!(Genesis { format, journal, seed, created });

/// Who a source is, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceName {
    /// The id that telemetry records carry.
    pub id: SourceId,
    /// Listener, such as `otlp-grpc`.
    pub listener: String,
    /// Principal, or the peer's address without its port.
    pub peer: String,
}
canonical_struct!(SourceName { id, listener, peer });

/// How a rule group is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evaluation {
    /// At the instants of Prometheus' grid.
    #[default]
    Grid,
    /// At those instants and at each sample of an input.
    Stream,
}
canonical_enum!(Evaluation { Grid = 0, Stream = 1 });

/// A rule file as it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Its name, part of each group's name.
    pub name: String,
    /// Its text, YAML.
    pub text: String,
}
canonical_struct!(RuleFile { name, text });

/// The whole set of rule files in force: one record, so that a reload is atomic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFiles {
    /// The files, in name order.
    pub files: Vec<RuleFile>,
    /// Evaluation of every group that is not listed in `groups`.
    pub default_evaluation: Evaluation,
    /// Evaluation of single groups, by group name, in name order.
    pub groups: Vec<(String, Evaluation)>,
    /// Labels added to every alert that leaves, in name order.
    pub external_labels: Vec<(String, String)>,
    /// Interval of groups that state none, in ms.
    pub default_interval: i64,
}
canonical_struct!(RuleFiles { files, default_evaluation, groups, external_labels, default_interval });

/// One setting that core reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as in the configuration file.
    pub name: String,
    /// Its value, as text.
    pub value: String,
}
canonical_struct!(Setting { name, value });

/// Something changed in the estate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeEvent {
    /// The service changed.
    pub entity: String,
    /// `deploy`, `config`, `flag`, `scale` or a word of the sender's.
    pub kind: String,
    /// What was changed, in the sender's words.
    pub title: String,
    /// The new version, `""` where there is none.
    pub version: String,
    /// When it took effect.
    pub at: Millis,
    /// Who did it, `""` where it is not said.
    pub by: String,
}
canonical_struct!(ChangeEvent { entity, kind, title, version, at, by });
