//! Rules that go on from alerts that somebody else remembers: for a past that is gone through again.
use crate::alert::Alert;
use crate::judge::alert_id;
use crate::rules::Rules;
use crate::set::{Group, Rule, RuleKind, RuleSet};
use faultline_model::facts::AlertState;
use faultline_model::{AlertId, Labels, Millis, Occurrence, Position, RuleFiles, TenantId};

/// Of external labels that an alert may have had itself, so many are tried with and without.
const EXTERNAL_MAX: usize = 8;

impl Rules {
    /// Rules of a set that remember nothing. Each group's first instant is its first at or after `from`.
    pub fn from_instant(set: RuleSet, from: Millis) -> Rules {
        let mut rules = Rules::of(TenantId(0), RuleFiles::default(), set);
        rules.carry(&Rules::new(TenantId(0)), from.plus(-1), true);
        rules
    }

    /// Begins with an alert that is active. False where its labels are none that alerts of the set can leave with.
    ///
    /// - `labels`: as they leave.
    pub fn resume(&mut self, alert: AlertId, labels: &Labels, active_at: Millis, fires: bool) -> bool {
        let found = self.places.iter().enumerate().find_map(|(number, &(g, r))| {
            let group = &self.set.groups[g];
            Some((number, resumed(&self.set, group, &group.rules[r], alert, labels, active_at, fires)?))
        });
        let Some((number, (own, alert))) = found else { return false };
        self.state_mut(number).alerts.insert(own, alert);
        true
    }
}

/// The active alert of a rule that leaves with these labels, and its labels before external ones were added: which of those it had
/// itself, its identity tells.
pub(crate) fn resumed(
    set: &RuleSet,
    group: &Group,
    rule: &Rule,
    alert: AlertId,
    leaves_with: &Labels,
    active_at: Millis,
    fires: bool,
) -> Option<(Labels, Alert)> {
    let key = group.key();
    let external = set.external_labels.iter().filter(|(name, value)| leaves_with.get(name) == *value);
    let external: alloc::vec::Vec<&str> = external.map(|(name, _)| name).take(EXTERNAL_MAX).collect();
    let own = (0..1_u32 << external.len()).find_map(|kept| {
        let mut builder = leaves_with.to_builder();
        for (_, name) in external.iter().enumerate().filter(|(place, _)| kept >> place & 1 == 0) {
            builder.set(name, "");
        }
        let own = builder.build();
        (alert_id(TenantId(0), &key, &rule.name, &own) == alert).then_some(own)
    })?;
    // As far as the alert's labels tell.
    let RuleKind::Alert(alerting) = &rule.kind else { return None };
    let mut element = own.to_builder();
    element.set("alertname", "");
    for (name, _) in &*alerting.labels {
        element.set(name, "");
    }
    let resumed = Alert {
        state: if fires { AlertState::Firing } else { AlertState::Pending },
        occurrence: Occurrence { began: Position::default(), ordinal: 0 },
        active_at,
        gone_since: None,
        silent_since: None,
        element: element.build(),
        value: 0.0.into(),
        annotations: alloc::vec::Vec::new(),
    };
    Some((own, resumed))
}
