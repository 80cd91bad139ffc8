//! Rule groups, alert states and templates.
//!
//! Prometheus rule files go in ([`parse`], [`Rules::load`]); at grid instants, at timers and, in `stream` groups, at
//! samples the rules are evaluated over series that the engine holds ([`RuleSeries`]), and transitions of alerts come
//! out. What is done is what Prometheus 3 does, down to labels and error texts; docs/design/0002-rules.md says where it
//! is not. Further reading: <https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/>.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod alert;
mod chain;
mod cover;
mod duration;
mod error;
mod explain;
mod file;
mod grid;
mod judge;
mod quiet;
mod resume;
mod rules;
mod series;
mod set;
mod silence;
mod state;
mod template;
mod trial;
mod unit;
mod view;
mod yaml;

pub use chain::{Reading, readings, reads};
pub use cover::{Covered, Lacking};
pub use duration::{parse_ns as parse_duration_ns, print_ms as print_duration_ms};
pub use error::RuleError;
pub use explain::{Explained, PartView, Reads, SeriesTold, TOLD_MAX, Told, agree};
pub use file::{FILE_SIZE_MAX, LABELS_MAX, RULES_MAX, parse};
pub use rules::Rules;
pub use series::{RuleSelector, RuleSeries, SelectorId, Sight};
pub use set::{Alerting, Group, Rule, RuleKind, RuleSet, Texts};
pub use state::{Health, Record};
pub use template::{Context, Query, Template};
pub use trial::{Appended, Came, Trial};
pub use unit::{Reads as UnitReads, Unit, UnitKey};
pub use view::{ActiveAlert, AlertingView, GroupView, RuleView};

/// The rules that ship with the product, over the series that are made of spans. An ordinary rule file: print it, edit
/// it, leave it out.
pub const BUILTIN: &str = include_str!("../rules/builtin.yml");
