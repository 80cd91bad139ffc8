//! What one may see of the rules: groups, rules and active alerts, for the API and for snapshots.
use crate::judge::{alert_id, with_external};
use crate::rules::Rules;
use crate::set::{Rule, RuleKind, Texts};
use crate::state::{Health, Record};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::facts::AlertState;
use faultline_model::{AlertId, Evaluation, Labels, Millis, Occurrence};

/// An alert that is pending, firing, or unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    /// Which alert it is.
    pub alert: AlertId,
    /// Where it became active.
    pub occurrence: Occurrence,
    /// Number of its rule in the set.
    pub rule: u32,
    /// `file;group`.
    pub group: String,
    /// The alert's name.
    pub name: String,
    /// Pending, firing, or unknown.
    pub state: AlertState,
    /// When its expression began to hold.
    pub active_at: Millis,
    /// Since when it is unknown: what it is made of is silent.
    pub silent_since: Option<Millis>,
    /// Since when it fires though the expression no longer holds.
    pub keep_firing_since: Option<Millis>,
    /// Labels as they leave.
    pub labels: Labels,
    /// Annotations, expanded, in name order.
    pub annotations: Vec<(String, String)>,
    /// Value of the expression.
    pub value: f64,
    /// Whether its group is tried only.
    pub dry_run: bool,
}

/// A group as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// The file that holds it.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Time between evaluations, in ms.
    pub interval_ms: i64,
    /// Most results of one rule; 0 for no limit.
    pub limit: i64,
    /// As chosen for the group.
    pub evaluation: Evaluation,
    /// Whether it is tried only.
    pub dry_run: bool,
    /// The instant it was evaluated at last.
    pub last_at: Option<Millis>,
    /// The instant it is evaluated at next.
    pub next_at: Millis,
    /// Instants that were passed over.
    pub missed: u64,
    /// The rules, in order.
    pub rules: Vec<RuleView>,
}

/// A rule as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleView {
    /// The alert's name, or that of the series recorded.
    pub name: Arc<str>,
    /// The expression as written.
    pub query: Arc<str>,
    /// Labels as written.
    pub labels: Texts,
    /// What only an alerting rule has.
    pub alerting: Option<AlertingView>,
    /// Why the rule is evaluated on the grid only; nothing where each sample counts.
    pub grid_only: Option<String>,
    /// The instant until which the rule is unknown: not all that it reads was kept before it came into force.
    pub unknown_until: Option<Millis>,
    /// How it has fared; of a rule that is unknown now, its health is so too.
    pub record: Record,
}

impl RuleView {
    /// The rule's evaluation in words: `stream`, or `grid` and why.
    pub fn explain(&self) -> String {
        match &self.grid_only {
            Some(why) => alloc::format!("grid: {why}"),
            None => "stream: at each sample, and on the grid".into(),
        }
    }
}

/// What one sees of an alerting rule only.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingView {
    /// `for`, in ms.
    pub for_ms: i64,
    /// `keep_firing_for`, in ms.
    pub keep_firing_for_ms: i64,
    /// Annotations as written.
    pub annotations: Texts,
    /// The highest state of its alerts; where there is none, unknown until the rule is evaluated.
    pub state: AlertState,
    /// Its active alerts, in label order.
    pub alerts: Vec<ActiveAlert>,
}

impl Rules {
    /// Alerts that are pending or firing, in the order of groups, rules and labels.
    pub fn active(&self) -> impl Iterator<Item = ActiveAlert> + '_ {
        (0..self.places.len()).flat_map(|number| self.active_of(number))
    }

    /// Those of one rule.
    fn active_of(&self, number: usize) -> impl Iterator<Item = ActiveAlert> + '_ {
        let (g, r) = self.places[number];
        let (group, rule, state) = (&self.set.groups[g], &self.set.groups[g].rules[r], self.state(number));
        let key = if state.alerts.is_empty() { String::new() } else { group.key() };
        state.alerts.iter().map(move |(labels, alert)| ActiveAlert {
            alert: alert_id(self.tenant, &key, &rule.name, labels),
            occurrence: alert.occurrence,
            rule: number as u32,
            group: key.clone(),
            name: rule.name.to_string(),
            state: alert.shown(),
            active_at: alert.active_at,
            silent_since: alert.silent_since,
            keep_firing_since: alert.gone_since,
            labels: with_external(labels, &self.set.external_labels),
            annotations: alert.annotations.clone(),
            value: alert.value.float_or_zero(),
            dry_run: group.dry_run,
        })
    }

    /// Alerts that are firing, with the labels that their rules give them, without those of the whole: what unit tests of
    /// rules look at. Name, labels, annotations.
    pub fn firing(&self) -> impl Iterator<Item = (&str, &Labels, &[(String, String)])> + '_ {
        let rules = self.set.groups.iter().flat_map(|group| &group.rules);
        rules.zip(self.rules.iter()).flat_map(|(rule, (_, state))| {
            let firing = state.alerts.iter().filter(|(_, alert)| alert.state == AlertState::Firing);
            firing.map(|(labels, alert)| (&*rule.name, labels, &*alert.annotations))
        })
    }

    /// Groups and their rules, in order. What did not change since this was called last is what it gave then.
    pub fn shown(&mut self) -> Vec<Arc<GroupView>> {
        self.shown.resize(self.groups.len(), None);
        for g in 0..self.groups.len() {
            if self.shown[g].is_none() {
                self.shown[g] = Some(Arc::new(self.group(g)));
            }
        }
        self.shown.iter().flatten().cloned().collect()
    }

    /// Groups and their rules, in order.
    pub fn groups(&self) -> Vec<GroupView> {
        (0..self.groups.len()).map(|g| self.group(g)).collect()
    }

    fn group(&self, g: usize) -> GroupView {
        let (group, state) = (&self.set.groups[g], &self.groups[g]);
        let first = self.places.partition_point(|(other, _)| *other < g);
        let rules = group.rules.iter().zip(first..).map(|(rule, number)| self.rule(rule, number));
        GroupView {
            file: group.file.clone(),
            name: group.name.clone(),
            interval_ms: group.interval_ms,
            limit: group.limit,
            evaluation: group.evaluation,
            dry_run: group.dry_run,
            last_at: state.last,
            next_at: state.next,
            missed: state.missed,
            rules: rules.collect(),
        }
    }

    fn rule(&self, rule: &Rule, number: usize) -> RuleView {
        let state = self.state(number);
        let mut record = state.record.clone();
        record.touches += self.quiet.passed(number);
        if state.unknown_until.is_some() {
            record.health = Health::Unknown;
        }
        let alerting = match &rule.kind {
            RuleKind::Record => None,
            RuleKind::Alert(alerting) => {
                let alerts: Vec<ActiveAlert> = self.active_of(number).collect();
                let highest = alerts.iter().map(|alert| alert.state).max();
                let none = if record.health == Health::Unknown { AlertState::Unknown } else { AlertState::Ok };
                Some(AlertingView {
                    for_ms: alerting.for_ms,
                    keep_firing_for_ms: alerting.keep_firing_for_ms,
                    annotations: alerting.annotations.clone(),
                    state: highest.unwrap_or(none),
                    alerts,
                })
            }
        };
        RuleView {
            name: rule.name.clone(),
            query: rule.text.clone(),
            labels: rule.labels.clone(),
            alerting,
            grid_only: self.grid_only(number),
            unknown_until: state.unknown_until,
            record,
        }
    }
}
