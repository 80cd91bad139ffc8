//! What the API reads, filled from what became durable.
use crate::ledger_feed::LedgerFeed;
use crate::stages::Stages;
use faultline_engine::{Accepted, Effect, Effects, Engine, Overview};
use faultline_formats::{Events, Record, Reject};
use faultline_host::{Clock, Extent, SystemClock, TurnedAway};
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::{AlertState, Decision};
use faultline_model::{Canonical, EffectId, Millis, Position, SourceId};
use faultline_promql::SeriesView;
use faultline_rules::{GroupView, Health};
use faultline_serve::recent::Limits;
use faultline_serve::{ActiveAlert, Counts, Rule, RuleGroup, RuleKind, SourceStatus, Store, View};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// A record's rejects, for whoever looks at what was refused.
pub struct RejectedBody {
    /// The record.
    pub at: Position,
    /// Its sender.
    pub source: Option<SourceId>,
    /// What and why.
    pub rejects: Vec<Reject>,
    /// The body as received.
    pub body: bytes::Bytes,
}

/// The store behind the API, and what its snapshots are made of.
pub struct Published {
    store: Store,
    started: Millis,
    last: Mutex<View>,
    /// Rule groups as they were shown last, and what was made of them.
    groups: Mutex<Vec<(Arc<GroupView>, Arc<RuleGroup>)>>,
    records: AtomicU64,
    journal_bytes: AtomicU64,
    journal_first: AtomicU64,
    anchors: AtomicU64,
    feed: OnceLock<Arc<LedgerFeed>>,
    stages: OnceLock<Arc<Stages>>,
}

impl Default for Published {
    fn default() -> Self {
        Published::within(Limits::default())
    }
}

impl Published {
    /// With these bounds of its recent samples.
    pub fn within(limits: Limits) -> Published {
        let started = SystemClock::default().now();
        let view = View {
            version: env!("CARGO_PKG_VERSION").into(),
            started,
            not_ready: "starting".into(),
            ..View::default()
        };
        Published {
            store: Store::within(limits),
            started,
            last: Mutex::new(view),
            groups: Mutex::default(),
            records: AtomicU64::new(0),
            journal_bytes: AtomicU64::new(0),
            journal_first: AtomicU64::new(0),
            anchors: AtomicU64::new(0),
            feed: OnceLock::new(),
            stages: OnceLock::new(),
        }
    }

    /// The store, for the router.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Where signed heads come from.
    pub fn follow(&self, feed: Arc<LedgerFeed>) {
        let _second = self.feed.set(feed);
    }

    /// Where the loop's durations come from.
    pub fn time(&self, stages: Arc<Stages>) {
        let _second = self.stages.set(stages);
    }

    /// A decision that became durable.
    ///
    /// - `at`: rule time of its record; 0 before rule time begins, which is none.
    pub fn decided(&self, id: EffectId, leaf: u64, at: Option<Millis>, decision: &Decision) {
        let at = at.filter(|at| *at != Millis(0));
        self.anchors.fetch_add(u64::from(matches!(decision, Decision::Anchor(_))), Ordering::Relaxed);
        self.store.decided(id, leaf, at, decision);
    }

    /// Decisions that the journal holds already, by their leaves.
    pub fn leaves(&self, first: u64, leaves: &[Box<[u8]>]) {
        for (number, leaf) in (first..).zip(leaves) {
            if let Ok(LedgerEntry { fact: Fact::Decided { id, decision }, .. }) = LedgerEntry::from_bytes(leaf) {
                self.decided(id, number, None, &decision);
            }
        }
    }

    /// Samples that were applied.
    pub fn accepted(&self, accepted: Accepted) {
        let Accepted { created, samples, histograms, exemplars, strays, evicted } = accepted;
        self.store.accepted(created, samples, histograms, Vec::new());
        self.store.exemplars_of(exemplars, strays);
        self.store.accepted(Vec::new(), Vec::new(), Vec::new(), evicted);
    }

    /// What a body says beside its samples.
    pub fn said(&self, events: &Events, plain: &[u8]) {
        self.store.said(events, plain);
    }

    /// What a replay applied again, and what it read of metrics and requests; its decisions come as leaves. Samples that the recent store has
    /// kept are not taken in twice.
    pub fn replayed(&self, record: &Record, effects: Effects) {
        let at = record.at;
        self.said(&record.decoded.events, &record.decoded.plain);
        self.records.fetch_add(1, Ordering::Relaxed);
        let known = self.store.recent().knows(at);
        for effect in effects.list {
            if let Effect::Accepted(mut accepted) = effect {
                if known {
                    accepted.samples.clear();
                    accepted.histograms.clear();
                }
                self.accepted(accepted);
            }
        }
        self.store.recent().covers(at);
    }

    /// The series of a restored engine, and what it has of their samples where the recent store has kept less.
    pub fn series(&self, engine: &Engine) {
        let known = engine.last().is_some_and(|last| self.store.recent().knows(last));
        engine.each_series(&mut |SeriesView { id, labels, samples, histograms, .. }| {
            let (samples, histograms) = if known { (&[][..], &[][..]) } else { (samples, histograms) };
            let samples = samples.iter().map(|&sample| (id, sample)).collect();
            let histograms = histograms.iter().map(|sample| (id, sample.clone())).collect();
            self.store.accepted(vec![(id, labels.clone())], samples, histograms, Vec::new());
        });
    }

    /// A request that was answered without a record, at the wall time `at`.
    pub fn turned_away(&self, at: Millis, turned: TurnedAway) {
        self.store.turned_away(at, turned);
    }

    /// What was refused of a record.
    pub fn rejected(&self, body: RejectedBody) {
        self.store.rejected(body.at, body.source, &body.rejects, Some(body.body));
    }

    /// Room that the journal takes, and its oldest record.
    pub fn journal(&self, extent: Extent) {
        self.journal_bytes.store(extent.bytes, Ordering::Relaxed);
        self.journal_first.store(extent.oldest.offset, Ordering::Relaxed);
    }

    /// Bytes that the journal takes.
    pub fn journal_bytes(&self) -> u64 {
        self.journal_bytes.load(Ordering::Relaxed)
    }

    /// What a start is busy with, in words.
    pub fn starting(&self, with: String) {
        let mut last = self.last.lock().expect("no holder panics");
        last.not_ready = with;
        self.store.publish(last.clone());
    }

    /// Everything runs.
    pub fn ready(&self) {
        let mut last = self.last.lock().expect("no holder panics");
        last.ready = true;
        last.not_ready = String::new();
        self.store.publish(last.clone());
    }

    /// A group of `records` is durable; `overview` is made anew now and then.
    ///
    /// - `covers`: the group's last record, unless the view lacks decisions up to it.
    pub fn covers(&self, covers: Option<Position>, records: u64, overview: Option<Overview>) {
        let records = self.records.fetch_add(records, Ordering::Relaxed) + records;
        let mut last = self.last.lock().expect("no holder panics");
        last.covers = covers.unwrap_or(last.covers);
        last.counts.records = records;
        if let Some(overview) = overview {
            self.fill(&mut last, overview);
        }
        last.started = self.started;
        self.store.publish(last.clone());
    }

    fn fill(&self, view: &mut View, overview: Overview) {
        let head = self.feed.get().and_then(|feed| feed.head());
        let total = |count: fn(&SourceStatus) -> u64, sources: &[SourceStatus]| sources.iter().map(count).sum();
        let sources: Vec<SourceStatus> = overview
            .sources
            .iter()
            .map(|source| SourceStatus {
                id: source.id,
                listener: source.listener.clone(),
                peer: source.peer.clone(),
                points: source.points,
                logs: source.logs,
                spans: source.spans,
                rejects: source.rejects,
                retries: source.retries,
                newest: source.watermark,
                lag_ms: source.lag_ms(overview.at),
                idle: source.is_idle(overview.at),
                heard: source.bodies + source.retries > 0,
            })
            .collect();
        view.at = overview.at;
        view.counts = Counts {
            records: view.counts.records,
            points: total(|s| s.points, &sources),
            logs: total(|s| s.logs, &sources),
            spans: total(|s| s.spans, &sources),
            series: overview.series,
            samples_held: overview.held,
            samples_thinned: overview.samples.thinned,
            samples_late: overview.late,
            replica_samples_dropped: overview.replicas.unheard,
            replica_failovers: overview.replicas.failovers,
            services: overview.services,
            edges: overview.edges,
            anchors: self.anchors.load(Ordering::Relaxed),
            leaves: self.feed.get().map_or(0, |feed| feed.taken()),
            tree_size: head.map_or(0, |head| head.size),
            tree_root: head.map_or(Default::default(), |head| head.root),
            journal_bytes: self.journal_bytes(),
            journal_first: Position { partition: 0, offset: self.journal_first.load(Ordering::Relaxed) },
        };
        view.stages = self.stages.get().map_or(Vec::new(), |stages| stages.shown());
        view.sources = Arc::new(sources);
        view.elected = overview.elected;
        view.lacks = overview.lacks;
        view.alerts = Arc::new(alerts(&overview.groups));
        view.groups = Arc::new(self.groups(overview.groups));
    }

    /// Rule groups for the API: those that are as they were are not made again.
    fn groups(&self, views: Vec<Arc<GroupView>>) -> Vec<Arc<RuleGroup>> {
        let mut last = self.groups.lock().expect("no holder panics");
        let made = |(number, view): (usize, Arc<GroupView>)| match last.get(number) {
            Some((before, made)) if Arc::ptr_eq(before, &view) => (view, made.clone()),
            _ => (view.clone(), Arc::new(group(&view))),
        };
        let all: Vec<_> = views.into_iter().enumerate().map(made).collect();
        let groups = all.iter().map(|(_, group)| group.clone()).collect();
        *last = all;
        groups
    }
}

fn alerts(groups: &[Arc<GroupView>]) -> Vec<ActiveAlert> {
    let mut all = Vec::new();
    for (group, view) in groups.iter().enumerate() {
        for (rule, view) in view.rules.iter().enumerate() {
            let Some(alerting) = &view.alerting else { continue };
            all.extend(alerting.alerts.iter().filter(|alert| alert.state != AlertState::Ok).map(|alert| ActiveAlert {
                id: alert.alert,
                group: group as u32,
                rule: rule as u32,
                state: alert.state,
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                active_at: alert.active_at,
                value: alert.value,
                unknown_until: view.unknown_until,
                silent_since: alert.silent_since,
            }));
        }
    }
    all
}

fn group(view: &GroupView) -> RuleGroup {
    let rules = view.rules.iter().map(|rule| {
        let alerting = rule.alerting.as_ref();
        Rule {
            kind: if alerting.is_some() { RuleKind::Alert } else { RuleKind::Record },
            hold_ms: alerting.map_or(0, |a| a.for_ms),
            keep_firing_ms: alerting.map_or(0, |a| a.keep_firing_for_ms),
            annotations: alerting.map_or(Default::default(), |a| a.annotations.clone()),
            name: rule.name.clone(),
            query: rule.query.clone(),
            labels: rule.labels.clone(),
            health: match rule.record.health {
                Health::Unknown => faultline_serve::Health::Unknown,
                Health::Ok => faultline_serve::Health::Ok,
                Health::Err => faultline_serve::Health::Failed,
            },
            last_error: rule.record.last_error.clone().unwrap_or_default(),
            why_grid: rule.grid_only.clone().unwrap_or_default(),
            unknown_until: rule.unknown_until,
        }
    });
    RuleGroup {
        rules: rules.collect(),
        file: view.file.clone(),
        name: view.name.clone(),
        interval_ms: view.interval_ms,
        evaluation: view.evaluation,
        dry_run: view.dry_run,
        last_evaluation: view.last_at,
    }
}
