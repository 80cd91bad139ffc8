//! One rule at one instant: its result becomes series, or alerts that come, change and go.
use crate::alert::{Alert, Found, Moment, Seen, Step, step, timer};
use crate::series::{OfRule, RuleSeries, elements, query, result};
use crate::set::{Alerting, Group, Rule, RuleKind, RuleSet};
use crate::silence::Silence;
use crate::state::{Held, RuleState, Standing, Timers};
use crate::template::{Context, Template};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::facts::{AlertState, Transition};
use faultline_model::{AlertId, HistogramSample, Labels, Millis, Number, Position, Sample, TenantId, labels};
use faultline_promql::{Aside, Change, Element, EvalError, Options, Value};

/// Where a rule stands and what it is judged with.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub tenant: TenantId,
    pub set: &'a RuleSet,
    pub options: &'a Options,
    /// Rules that ask for absence raise nothing for now.
    pub suspended: bool,
    pub cause: Position,
    pub group: &'a Group,
    pub rule: &'a Rule,
    /// The rule's number in the set.
    pub number: u32,
}

const SAME_LABELS_ALERT: &str = "vector contains metrics with the same labelset after applying alert labels";
const SAME_LABELS_RECORD: &str = "vector contains metrics with the same labelset after applying rule labels";

/// The identity of an alert: it survives an edited expression and edited annotations.
pub(crate) fn alert_id(tenant: TenantId, group: &str, name: &str, labels: &Labels) -> AlertId {
    let bytes = faultline_model::Canonical::to_bytes(labels);
    AlertId::of_parts(&[&tenant.0.to_be_bytes(), group.as_bytes(), name.as_bytes(), &bytes])
}

/// Labels as they leave: external ones are added where the alert has none of that name, as Prometheus' notifier does.
pub(crate) fn with_external(labels: &Labels, external: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    for (name, value) in external.iter().filter(|(name, _)| labels.get(name).is_empty()) {
        builder.set(name, value);
    }
    builder.build()
}

impl Judge<'_> {
    /// Evaluates the rule at a grid instant.
    ///
    /// - `aside`: what it passed over and was not told of, and what others read.
    ///
    /// Fails where the expression fails, where two results get equal labels, or where the group's limit is passed; the
    /// states stay as they were, except that passing the limit ends the rule's alerts, as in Prometheus.
    pub fn at_instant(
        &self,
        state: &mut RuleState,
        timers: &mut Timers,
        at: Millis,
        aside: Aside<'_>,
        series: &mut dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) -> Result<(), String> {
        let seen_at = at.plus(-self.group.query_offset_ms);
        let source = OfRule { rule: self.number, series };
        let mut changes = Vec::new();
        let refreshed = state.live.as_mut().map(|live| {
            live.stream.refresh_aside(&self.rule.expr, seen_at, &source, self.options, aside, &mut changes)
        });
        let elements = match (refreshed, &mut state.live) {
            (Some(Ok(())), Some(live)) => {
                live.standing = Standing::Follows;
                for change in changes {
                    live.take(change);
                }
                let all = live
                    .elements
                    .iter()
                    .map(|(labels, held)| Element { labels: labels.clone(), value: held.value.clone() });
                elements(Value::Vector(all.collect()))?
            }
            (Some(Err(EvalError::Histograms)), _) => {
                self.fall_back(state, timers);
                result(&self.rule.expr, seen_at, &source, self.options)?
            }
            (Some(Err(error)), _) => return Err(error.to_string()),
            _ => result(&self.rule.expr, seen_at, &source, self.options)?,
        };
        self.given(state, timers, at, elements, true, series, out)
    }

    /// Takes the rule's value at an instant.
    ///
    /// - `shown`: whether `ALERTS` and its like are to be appended.
    #[expect(clippy::too_many_arguments, reason = "one step of one rule, in one place")]
    pub fn given(
        &self,
        state: &mut RuleState,
        timers: &mut Timers,
        at: Millis,
        elements: Vec<Element>,
        shown: bool,
        series: &mut dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) -> Result<(), String> {
        let appended = match &self.rule.kind {
            RuleKind::Record => self.recorded(elements)?,
            RuleKind::Alert(alerting) => {
                self.alerts(alerting, state, timers, elements, at, series, out)?;
                if !shown {
                    return Ok(());
                }
                if self.group.dry_run { Vec::new() } else { self.alert_series(state) }
            }
        };
        self.append(state, appended, at.plus(-self.group.query_offset_ms), series);
        Ok(())
    }

    /// A selector found histograms: from here on the rule is evaluated on the grid alone, as one of a `grid` group is, until at
    /// one of its instants there are none. Its alerts stay what they are until then.
    pub fn fall_back(&self, state: &mut RuleState, timers: &mut Timers) {
        let Some(live) = state.live.as_mut().filter(|live| live.standing != Standing::Grid) else { return };
        live.standing = Standing::Grid;
        live.stream.forget();
        live.elements.replace(BTreeMap::new());
        let RuleKind::Alert(alerting) = &self.rule.kind else { return };
        for (labels, alert) in state.alerts.iter() {
            self.drop_timer(timers, alerting, labels, Some(alert), true);
        }
    }

    /// An instant at which the rule is unknown: its alerts stay what they are, and `ALERTS` goes on saying so.
    pub fn while_unknown(&self, state: &mut RuleState, at: Millis, series: &mut dyn RuleSeries) {
        if matches!(self.rule.kind, RuleKind::Alert(_)) && !self.group.dry_run {
            let appended = self.alert_series(state);
            self.append(state, appended, at.plus(-self.group.query_offset_ms), series);
        }
    }

    /// Appends what the rule gives at an instant, and stale markers to what it gave before and does no longer.
    fn append(&self, state: &mut RuleState, all: Vec<(Labels, Number)>, seen_at: Millis, series: &mut dyn RuleSeries) {
        let now: BTreeMap<Labels, ()> = all.iter().map(|(labels, _)| (labels.clone(), ())).collect();
        for (labels, value) in &all {
            match value {
                Number::Float(value) => series.append(labels, Sample::new(seen_at, *value)),
                Number::Histogram(histogram) => {
                    let sample = HistogramSample { time: seen_at, histogram: Some(histogram.clone()) };
                    series.append_histogram(labels, sample);
                }
            }
        }
        for gone in state.appended.keys().filter(|labels| !now.contains_key(*labels)) {
            series.append(gone, Sample::stale(seen_at));
        }
        if *state.appended != now {
            state.appended.replace(now);
        }
    }

    /// The series of a recording rule.
    fn recorded(&self, elements: Vec<Element>) -> Result<Vec<(Labels, Number)>, String> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::with_capacity(elements.len());
        for Element { labels, value } in elements {
            let labels = self.recorded_as(&labels);
            if !seen.insert(labels.clone()) {
                return Err(SAME_LABELS_RECORD.into());
            }
            all.push((labels, value));
        }
        match self.group.limit {
            limit if limit > 0 && all.len() as i64 > limit => {
                Err(format!("exceeded limit of {limit} with {} series", all.len()))
            }
            _ => Ok(all),
        }
    }

    /// The labels of the series that an element is recorded in.
    pub fn recorded_as(&self, element: &Labels) -> Labels {
        let mut builder = element.to_builder();
        builder.set(labels::NAME, &self.rule.name);
        for (name, value) in &*self.rule.labels {
            builder.set(name, value);
        }
        builder.build()
    }

    /// The circumstances of a step of the alert with these labels.
    fn moment(&self, state: &RuleState, labels: &Labels, at: Millis) -> Moment {
        Moment { at, occurrence: state.ended.next(self.cause, labels), held: self.suspended && self.rule.asks_absence }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of one rule, in one place")]
    fn alerts(
        &self,
        alerting: &Alerting,
        state: &mut RuleState,
        timers: &mut Timers,
        elements: Vec<Element>,
        at: Millis,
        series: &dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) -> Result<(), String> {
        let mut found = BTreeMap::new();
        for Element { labels: element, value } in elements {
            let (labels, this) = self.found(alerting, &element, &value, at, series);
            if let Some(live) = &mut state.live
                && live.standing == Standing::Follows
                && live.elements.get(&element).is_some_and(|held| held.alert.as_ref() != Some(&labels))
            {
                live.hold(&element, &labels);
            }
            if found.insert(labels, this).is_some() {
                return Err(SAME_LABELS_ALERT.into());
            }
        }
        let keys: BTreeSet<Labels> = state.alerts.keys().chain(found.keys()).cloned().collect();
        let mut steps = Vec::with_capacity(keys.len());
        let mut silence = Silence::new(self, series, at);
        for labels in keys {
            let before = state.alerts.remove(&labels);
            self.drop_timer(timers, alerting, &labels, before.as_ref(), state.live.is_some());
            let seen = match (found.remove(&labels), &before) {
                (Some(found), _) => Seen::There(found),
                (None, Some(alert)) if silence.took(&alert.element) => Seen::Silent,
                (None, _) => Seen::Gone,
            };
            if let Some(step) = step(before, seen, alerting, self.moment(state, &labels, at)) {
                steps.push((labels, step));
            }
        }
        let active = steps.iter().filter(|(_, step)| !step.over()).count();
        if self.group.limit > 0 && active as i64 > self.group.limit {
            for (labels, step) in steps.into_iter().filter(|(_, step)| step.from != AlertState::Ok) {
                state.ended.note(self.cause, &labels, step.alert.occurrence);
                self.tell(&labels, &Step { to: AlertState::Ok, ..step }, at, out);
            }
            return Err(format!("exceeded limit of {} with {active} alerts", self.group.limit));
        }
        for (labels, step) in steps {
            self.settle(alerting, state, timers, labels, step, at, out);
        }
        Ok(())
    }

    /// Tells of a step and keeps the alert, if it goes on.
    #[expect(clippy::too_many_arguments, reason = "one step of one rule, in one place")]
    fn settle(
        &self,
        alerting: &Alerting,
        state: &mut RuleState,
        timers: &mut Timers,
        labels: Labels,
        step: Step,
        at: Millis,
        out: &mut Vec<Transition>,
    ) {
        self.tell(&labels, &step, at, out);
        if step.over() {
            state.ended.note(self.cause, &labels, step.alert.occurrence);
            return;
        }
        if state.follows()
            && let Some(due) = timer(&step.alert, alerting).filter(|due| *due > at)
        {
            timers.insert((due, self.number, labels.clone()));
        }
        state.alerts.insert(labels, step.alert);
    }

    fn drop_timer(&self, timers: &mut Timers, alerting: &Alerting, labels: &Labels, alert: Option<&Alert>, live: bool) {
        if live && let Some(due) = alert.and_then(|alert| timer(alert, alerting)) {
            timers.remove(&(due, self.number, labels.clone()));
        }
    }

    fn tell(&self, labels: &Labels, step: &Step, at: Millis, out: &mut Vec<Transition>) {
        if step.from != step.to {
            out.push(self.transition(labels, &step.alert, step.from, step.to, at));
        }
    }

    /// A change of an alert, as it leaves.
    pub fn transition(
        &self,
        labels: &Labels,
        alert: &Alert,
        from: AlertState,
        to: AlertState,
        at: Millis,
    ) -> Transition {
        let group = self.group.key();
        Transition {
            alert: alert_id(self.tenant, &group, &self.rule.name, labels),
            occurrence: alert.occurrence,
            from,
            to,
            at,
            active_at: alert.active_at,
            group,
            name: self.rule.name.to_string(),
            labels: with_external(labels, &self.set.external_labels),
            annotations: alert.annotations.clone(),
            value: alert.value.float_or_zero(),
            imported: false,
            dry_run: self.group.dry_run,
        }
    }

    /// `ALERTS` and `ALERTS_FOR_STATE`. The rule's labels stand beneath the alert's, as written: Prometheus does so,
    /// and it shows where a template came out empty.
    fn alert_series(&self, state: &RuleState) -> Vec<(Labels, Number)> {
        let mut all = Vec::with_capacity(state.alerts.len() * 2);
        for (labels, alert) in state.alerts.iter() {
            let mut builder = labels.to_builder();
            for (name, value) in self.rule.labels.iter().filter(|(name, _)| labels.get(name).is_empty()) {
                builder.set(name, value);
            }
            builder.set(labels::NAME, "ALERTS_FOR_STATE").set("alertname", &self.rule.name);
            all.push((builder.clone().build(), Number::Float(alert.active_at.0.div_euclid(1000) as f64)));
            builder.set(labels::NAME, "ALERTS").set("alertstate", alert.shown().word());
            all.push((builder.build(), Number::Float(1.0)));
        }
        all
    }

    // ---- templates

    fn with_context<T>(&self, at: Millis, series: &dyn RuleSeries, then: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let mut query = |text: &str| query(text, at, series, self.options, self.set.features);
        let (external_labels, external_url) = (&self.set.external_labels, &*self.set.external_url);
        then(&mut Context { at, external_labels, external_url, query: &mut query })
    }

    /// The labels of the alert that an element raises, and what the alert takes from it.
    fn found(
        &self,
        alerting: &Alerting,
        element: &Labels,
        value: &Number,
        at: Millis,
        series: &dyn RuleSeries,
    ) -> (Labels, Found) {
        let annotations = self.annotations(alerting, element, value, at, series);
        let mut builder = element.without_name().to_builder();
        self.with_context(at, series, |context| {
            for (name, template) in &alerting.labels {
                builder.set(name, &template.expand(element, value, context));
            }
        });
        builder.set("alertname", &self.rule.name);
        (builder.build(), Found { element: element.clone(), value: value.clone(), annotations })
    }

    fn annotations(
        &self,
        alerting: &Alerting,
        element: &Labels,
        value: &Number,
        at: Millis,
        series: &dyn RuleSeries,
    ) -> Vec<(String, String)> {
        self.with_context(at, series, |context| {
            let expand = |template: &Template, context: &mut Context<'_>| template.expand(element, value, context);
            alerting
                .annotations
                .iter()
                .zip(&alerting.templates)
                .map(|((name, _), template)| (name.clone(), expand(template, context)))
                .collect()
        })
    }

    // ---- between grid instants

    /// Takes in changes of a stream's result that a sample of the series `touched` brought about.
    #[expect(clippy::too_many_arguments, reason = "one step of one rule, in one place")]
    pub fn changes(
        &self,
        state: &mut RuleState,
        timers: &mut Timers,
        at: Millis,
        changes: Vec<Change>,
        touched: u32,
        series: &dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) -> Result<(), String> {
        let RuleKind::Alert(alerting) = &self.rule.kind else { return Ok(()) };
        let mut failed = Ok(());
        for change in changes {
            let live = state.live.as_mut().expect("only streams change");
            let known = live.elements.get(&change.labels).and_then(|held| held.alert.clone());
            let Some(value) = change.value.clone() else {
                live.take(change);
                if let Some(labels) = known {
                    // A sample said so. Silence shows at grid instants, where what is too old leaves the stream; but for a
                    // marker that says no more than that nobody could ask.
                    let seen = if series.is_down(touched) { Seen::Silent } else { Seen::Gone };
                    self.one(alerting, state, timers, labels, seen, at, out);
                }
                continue;
            };
            let element = change.labels.clone();
            live.take(change);
            if let Some(labels) = &known
                && !alerting.labels_vary()
            {
                // Nothing but the value can change: the element was there already, and time has its timers.
                if let Some(alert) = state.alerts.get_mut(labels) {
                    alert.value = value;
                }
                continue;
            }
            let (labels, found) = self.found(alerting, &element, &value, at, series);
            if let Some(before) = known.filter(|before| *before != labels) {
                self.one(alerting, state, timers, before, Seen::Gone, at, out);
            }
            if let Err(why) = self.may_raise(state, &labels, &element) {
                failed = Err(why);
                continue;
            }
            let live = state.live.as_mut().expect("only streams change");
            live.hold(&element, &labels);
            self.one(alerting, state, timers, labels, Seen::There(found), at, out);
        }
        failed
    }

    /// Whether an element may raise this alert: it is no other element's, and the limit is not reached.
    fn may_raise(&self, state: &RuleState, labels: &Labels, element: &Labels) -> Result<(), String> {
        match state.alerts.get(labels) {
            Some(alert) if alert.is_of_another(element) => Err(SAME_LABELS_ALERT.into()),
            None if self.group.limit > 0 && state.alerts.len() as i64 >= self.group.limit => {
                let count = state.alerts.len() + 1;
                Err(format!("exceeded limit of {} with {count} alerts", self.group.limit))
            }
            _ => Ok(()),
        }
    }

    /// Moves one alert on.
    #[expect(clippy::too_many_arguments, reason = "one step of one alert, in one place")]
    fn one(
        &self,
        alerting: &Alerting,
        state: &mut RuleState,
        timers: &mut Timers,
        labels: Labels,
        seen: Seen,
        at: Millis,
        out: &mut Vec<Transition>,
    ) {
        let before = state.alerts.remove(&labels);
        self.drop_timer(timers, alerting, &labels, before.as_ref(), true);
        if let Some(step) = step(before, seen, alerting, self.moment(state, &labels, at)) {
            self.settle(alerting, state, timers, labels, step, at, out);
        }
    }

    /// A timer of an alert is due.
    pub fn time_passed(
        &self,
        state: &mut RuleState,
        timers: &mut Timers,
        at: Millis,
        labels: Labels,
        series: &dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) {
        let RuleKind::Alert(alerting) = &self.rule.kind else { return };
        let Some(alert) = state.alerts.get(&labels) else { return };
        let seen = match alert.gone_since {
            Some(_) => Seen::Gone,
            None => Seen::There(Found {
                element: alert.element.clone(),
                value: alert.value.clone(),
                annotations: self.annotations(alerting, &alert.element, &alert.value, at, series),
            }),
        };
        self.one(alerting, state, timers, labels, seen, at, out);
    }
}

impl Alerting {
    /// Whether an alert's labels may change while its element stays.
    fn labels_vary(&self) -> bool {
        self.labels.iter().any(|(_, template)| !template.is_constant())
    }
}

impl crate::state::Live {
    /// Takes in a change of the result; a new element raises no alert by this alone.
    fn take(&mut self, change: Change) {
        match change.value {
            Some(value) => {
                let alert = self.elements.get(&change.labels).and_then(|held| held.alert.clone());
                self.elements.insert(change.labels, Held { value, alert });
            }
            None => {
                self.elements.remove(&change.labels);
            }
        }
    }

    /// Notes which alert an element raises.
    fn hold(&mut self, element: &Labels, alert: &Labels) {
        self.elements.get_mut(element).expect("an element of the result").alert = Some(alert.clone());
    }
}
