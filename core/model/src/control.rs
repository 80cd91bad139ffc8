//! Bodies of control records, in canonical bytes.
use crate::ids::{HashSeed, IncidentId, SourceId};
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
    /// What templates know as `$externalURL`: where people reach the API, without a slash at the end; `""` for unknown.
    pub external_url: String,
    /// Experimental parts of PromQL that are on, by Prometheus' names, in name order.
    pub features: Vec<String>,
    /// Groups whose alerts reach the ledger and nobody, by name, in name order.
    pub dry_run: Vec<String>,
}

impl RuleFiles {
    /// The files, features and tried groups of `other` in place of these; what else is set stays.
    #[must_use]
    pub fn with_rules_of(self, other: &RuleFiles) -> RuleFiles {
        let RuleFiles { files, features, dry_run, .. } = other.clone();
        RuleFiles { files, features, dry_run, ..self }
    }
}

// Records from before each of the later ones have fewer.
canonical_struct!(RuleFiles {
    files,
    default_evaluation,
    groups,
    external_labels,
    default_interval;
    external_url,
    features,
    dry_run
});

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

/// What an operator knows of an incident now that it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// The incident.
    pub incident: IncidentId,
    /// The service that was its cause.
    pub cause: String,
    /// What is worth remembering, in the operator's words; `""` for nothing.
    pub note: String,
    /// When it was said.
    pub at: Millis,
    /// Who says it, `""` where that is not said.
    pub by: String,
}
canonical_struct!(Feedback { incident, cause, note, at, by });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canonical;
    use alloc::vec;

    #[test]
    fn a_set_of_rule_files_reads_as_it_was_written_before_it_had_an_address_and_features() {
        let file = RuleFile { name: "a.yml".into(), text: "groups: []".into() };
        let labels = vec![("cluster".into(), "eu".into())];
        let plain =
            RuleFiles { files: vec![file], external_labels: labels, default_interval: 60_000, ..RuleFiles::default() };
        let with = RuleFiles { external_url: "http://fl.example:7400".into(), ..plain.clone() };
        let (old, new) = (plain.to_bytes(), with.to_bytes());
        assert_eq!((old[0], new[0]), (0x85, 0x86));
        assert_eq!(old[1..], new[1..old.len()], "the first five fields are the same");
        assert_eq!((RuleFiles::from_bytes(&old), RuleFiles::from_bytes(&new)), (Ok(plain.clone()), Ok(with.clone())));
        // An address that is empty is not written: six fields with one are another form of the same value.
        let empty = [&[0x86], &old[1..], &[0x60]].concat();
        assert!(RuleFiles::from_bytes(&empty).is_err());
        let text = [&[0x87], &new[1..], &[0x60]].concat();
        let none = [&[0x87], &new[1..], &[0x80]].concat();
        assert!(RuleFiles::from_bytes(&text).is_err() && RuleFiles::from_bytes(&none).is_err());
        for files in [plain, with] {
            let with = RuleFiles { features: vec!["promql-duration-expr".into()], ..files };
            let bytes = with.to_bytes();
            assert_eq!((bytes[0], RuleFiles::from_bytes(&bytes)), (0x87, Ok(with)));
            let eight = [&[0x88], &bytes[1..], &[0x60]].concat();
            assert!(RuleFiles::from_bytes(&eight).is_err());
        }
    }
}
