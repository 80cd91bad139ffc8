//! Rule files as they stand in force: groups, rules, templates, parsed once.
use crate::template::Template;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::{Evaluation, Labels};
use faultline_promql::{Expr, Features};

/// All rule files of a set, read and checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {
    /// Groups, in the order of files and of groups in a file.
    pub groups: Vec<Group>,
    /// Labels added to every alert that leaves.
    pub external_labels: Labels,
    /// `$externalURL` of templates.
    pub external_url: String,
    /// Experimental parts of the language that expressions may use.
    pub features: Features,
}

/// Rules that are evaluated together, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The file that holds it.
    pub file: String,
    /// Its name, unique in the file.
    pub name: String,
    /// Time between evaluations, in ms, `> 0`.
    pub interval_ms: i64,
    /// How far before the instant of the evaluation the rules look, in ms; negative for later.
    pub query_offset_ms: i64,
    /// Most alerts or series that one rule may give; 0 or less for no limit.
    pub limit: i64,
    /// On the grid, or at each sample too.
    pub evaluation: Evaluation,
    /// Whether it is tried only: its alerts reach the ledger and nobody, and are no series.
    pub dry_run: bool,
    /// The rules, in the file's order.
    pub rules: Vec<Rule>,
}

impl Group {
    /// `file;name`, as Prometheus names a group.
    pub fn key(&self) -> String {
        alloc::format!("{};{}", self.file, self.name)
    }
}

/// Names and texts, shared with whoever is shown them.
pub type Texts = Arc<[(String, String)]>;

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The alert's name, or the name of the series recorded.
    pub name: Arc<str>,
    /// The expression as written.
    pub text: Arc<str>,
    /// The expression.
    pub expr: Expr,
    /// Whether missing data can make the expression hold: `absent`, `absent_over_time`, `unless`.
    pub asks_absence: bool,
    /// Labels of the rule and its group, in name order; of an alerting rule as written, with their templates.
    pub labels: Texts,
    /// What the rule does with the expression.
    pub kind: RuleKind,
    /// Line in the file.
    pub line: u64,
}

/// What a rule does with its expression.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// Appends the result as series.
    Record,
    /// Raises an alert for each element of the result.
    Alert(Alerting),
}

/// What only an alerting rule has.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerting {
    /// How long an element must be there before its alert fires, in ms.
    pub for_ms: i64,
    /// How long an alert fires on once its element is gone, in ms.
    pub keep_firing_for_ms: i64,
    /// Templates of the labels, in name order.
    pub labels: Vec<(String, Template)>,
    /// Annotations as written, in name order.
    pub annotations: Texts,
    /// Their templates.
    pub templates: Vec<Template>,
}
