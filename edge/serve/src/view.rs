//! What the loop shows of itself: one immutable snapshot after each group that became durable.
use faultline_model::facts::{AlertState, Coverage};
use faultline_model::{AlertId, Digest, Evaluation, Labels, Millis, Position, SourceId};
use std::sync::Arc;

/// A snapshot. The long lists are shared, so that a snapshot in which they did not change costs nothing.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The last record whose effects are in the store and in this snapshot.
    pub covers: Position,
    /// Rule time at that record: the instant at which queries are evaluated; 0 until it begins.
    pub at: Millis,
    /// Whether the engine has caught up and takes telemetry.
    pub ready: bool,
    /// Why not, in words; `""` when ready.
    pub not_ready: String,
    /// The release, such as `0.1.0`.
    pub version: String,
    /// Wall time at which the process started.
    pub started: Millis,
    /// Rule groups in force, in order of file and place.
    pub groups: Arc<Vec<Arc<RuleGroup>>>,
    /// Alerts that are not `ok`, grouped by `group` and `rule`, then in label order.
    pub alerts: Arc<Vec<ActiveAlert>>,
    /// Sources, in id order.
    pub sources: Arc<Vec<SourceStatus>>,
    /// How much there is of everything.
    pub counts: Counts,
    /// Clusters whose servers send the same series, each with the replica that is heard, in name order.
    pub elected: Vec<(String, String)>,
    /// What a verdict taken now would lack.
    pub lacks: Coverage,
    /// Latency of each stage of the way since the start; at most 32 are shown.
    pub stages: Vec<Stage>,
}

impl View {
    /// Rule time; none until it begins, with the first telemetry or a minute after the start.
    pub fn rule_time(&self) -> Option<Millis> {
        (self.at != Millis(0)).then_some(self.at)
    }

    /// Rules that are not evaluated yet, in order, with their groups and until when.
    pub fn unknown_rules(&self) -> impl Iterator<Item = (&RuleGroup, &Rule, Millis)> {
        let rules = self.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
        rules.filter_map(|(group, rule)| Some((&**group, rule, rule.unknown_until?)))
    }
}

/// A rule group in force.
#[derive(Clone, Debug, Default)]
pub struct RuleGroup {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Its interval, in ms.
    pub interval_ms: i64,
    /// How it is evaluated.
    pub evaluation: Evaluation,
    /// Whether it is tried only: nobody is told of its alerts.
    pub dry_run: bool,
    /// Rule time of the last evaluation on the grid; none before the first.
    pub last_evaluation: Option<Millis>,
    /// Its rules, in file order.
    pub rules: Vec<Rule>,
}

/// What a rule makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleKind {
    /// Alerts.
    #[default]
    Alert,
    /// A series.
    Record,
}

/// How a rule's last evaluation went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not evaluated yet.
    #[default]
    Unknown,
    /// It had a value.
    Ok,
    /// It failed: [`Rule::last_error`].
    Failed,
}

/// One rule.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// What it makes.
    pub kind: RuleKind,
    /// The alert's name, or the name of the recorded series.
    pub name: Arc<str>,
    /// Its expression, in canonical form.
    pub query: Arc<str>,
    /// `for`, in ms.
    pub hold_ms: i64,
    /// `keep_firing_for`, in ms.
    pub keep_firing_ms: i64,
    /// Labels it adds, as written, in name order.
    pub labels: Arc<[(String, String)]>,
    /// Annotations, as written, in name order.
    pub annotations: Arc<[(String, String)]>,
    /// How its last evaluation went.
    pub health: Health,
    /// What its last evaluation failed with; `""` where it did not.
    pub last_error: String,
    /// Why a rule of a `stream` group runs on the grid all the same; `""` where it does not.
    pub why_grid: String,
    /// Rule time of its first evaluation, where it waits for what it reads: it came into force live.
    pub unknown_until: Option<Millis>,
}

/// An alert that is not `ok`.
#[derive(Clone, Debug, Default)]
pub struct ActiveAlert {
    /// Its id.
    pub id: AlertId,
    /// Place of its group in [`View::groups`].
    pub group: u32,
    /// Place of its rule in the group.
    pub rule: u32,
    /// Its state.
    pub state: AlertState,
    /// Its labels, `alertname` among them, external labels not.
    pub labels: Labels,
    /// Annotations, expanded, in name order.
    pub annotations: Vec<(String, String)>,
    /// Rule time since which its expression holds.
    pub active_at: Millis,
    /// Value of the expression.
    pub value: f64,
    /// Until when the alert stays as it is because its rule is unknown.
    pub unknown_until: Option<Millis>,
    /// Since when it is unknown because what sent its series is silent.
    pub silent_since: Option<Millis>,
}

/// Who sends, and how it goes.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// Its id.
    pub id: SourceId,
    /// Listener, such as `otlp-grpc`.
    pub listener: String,
    /// Principal, or the peer's address.
    pub peer: String,
    /// Points taken.
    pub points: u64,
    /// Log records taken.
    pub logs: u64,
    /// Spans taken.
    pub spans: u64,
    /// Items refused.
    pub rejects: u64,
    /// Bodies sent again and not applied a second time.
    pub retries: u64,
    /// Newest event time of it; none before the first event.
    pub newest: Option<Millis>,
    /// Rule time less the source's watermark, in ms; none before the first event.
    pub lag_ms: Option<i64>,
    /// Whether it has stopped sending and holds nothing up.
    pub idle: bool,
    /// Whether anything of it was ever taken in: its name comes before its first body, which may be refused.
    pub heard: bool,
}

/// How much there is.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Journal records since record 0.
    pub records: u64,
    /// Points taken.
    pub points: u64,
    /// Log records taken.
    pub logs: u64,
    /// Spans taken.
    pub spans: u64,
    /// Live series.
    pub series: u64,
    /// Samples kept for rules, in all series together.
    pub samples_held: u64,
    /// Samples given up before their time to keep those within bounds: ranges are then read at a lower resolution.
    pub samples_thinned: u64,
    /// Samples that came so late that instants were evaluated without them.
    pub samples_late: u64,
    /// Samples left out because another replica of their cluster is heard.
    pub replica_samples_dropped: u64,
    /// How often another replica took over.
    pub replica_failovers: u64,
    /// Services in the graph.
    pub services: u64,
    /// Calls in the graph.
    pub edges: u64,
    /// Anchors set.
    pub anchors: u64,
    /// Leaves of the ledger.
    pub leaves: u64,
    /// Leaves under the last signed tree head.
    pub tree_size: u64,
    /// Root under the last signed tree head.
    pub tree_root: Digest,
    /// Bytes of the journal on disk.
    pub journal_bytes: u64,
    /// Oldest record that is still there.
    pub journal_first: Position,
}

/// Latency of one stage as a histogram.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// A fixed word, such as `journal`.
    pub name: &'static str,
    /// Upper bounds of the buckets in seconds, rising, `+Inf` left out.
    pub bounds_s: Vec<f64>,
    /// Observations in each bucket, not cumulated; one more than `bounds_s`.
    pub counts: Vec<u64>,
    /// Sum of the observations in seconds.
    pub sum_s: f64,
}
