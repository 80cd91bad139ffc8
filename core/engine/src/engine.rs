//! `step`: one record after another through observe, judge, correlate and explain.
use crate::changes::Changes;
use crate::effect::{Accepted, Ask, Effects, Emitter};
use crate::frozen::Frozen;
use crate::judge::Judge;
use crate::learning::Learning;
use crate::recall::Recalling;
use crate::retries::Retries;
use crate::revise::Revisions;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_correlate::{Incidents, Topology};
use faultline_formats::{Decoded, Reason, Record};
use faultline_model::facts::{Asked, Decision, Evidence, IncidentUpdate, Quarantined, Transition, Verdict};
use faultline_model::{Canonical, Clock, Digest, EffectId, HashSeed, IncidentId, Kind, Millis, Position, mutant};
use faultline_observe::graph::Derived;
use faultline_observe::series::{Applied, NO_SOURCE, SeriesStore};
use faultline_observe::{Closed, Graph, Sources};

/// Instants missed in a longer gap are skipped, as Prometheus skips evaluations that it slept through.
pub(crate) const GAP_MAX_MS: i64 = 10 * 60_000;
/// Rule time between anchors.
const ANCHOR_EVERY_MS: i64 = 5 * 60_000;
/// Bytes of bodies between anchors at most, until a setting says otherwise: the journal can be trimmed below an anchor only.
const ANCHOR_BYTES: u64 = 4 << 30;
/// What a record takes in a journal beside its body, and about what its leaves do.
const RECORD_BYTES: u64 = 128;
/// Marks a derived id whose series there was no room for.
const NO_SERIES: u32 = u32::MAX;
/// Without any telemetry, rules begin to run on the stamps this long after a start or the last import: until then an
/// import may still come before them.
const IMPORT_WAIT_MS: i64 = 60_000;
/// Length of the windows that an explanation's `seen` figures cover at most.
const EXPLAIN_WINDOW_MS: i64 = 60_000;
/// Most series, until a setting says otherwise.
pub(crate) const SERIES_MAX: usize = 2_000_000;

/// An explanation that was asked for and not yet answered.
#[derive(Debug)]
pub(crate) struct Outstanding {
    pub(crate) incident: IncidentId,
    pub(crate) revision: u64,
    pub(crate) evidence: Evidence,
}

/// State of one partition.
#[derive(Debug)]
pub struct Engine {
    pub(crate) seed: HashSeed,
    /// The engine version as which it decides: the newest record that names one says so.
    pub(crate) version: u32,
    /// Rule time: rises monotonically.
    pub(crate) now: Millis,
    pub(crate) last: Option<Position>,
    /// Whether a live record has been seen: imports come before it.
    pub(crate) live: bool,
    pub(crate) anchored: Millis,
    /// Bytes of bodies since the last anchor, and how many make the next one.
    pub(crate) unanchored: u64,
    pub(crate) anchor_bytes: u64,
    pub(crate) started: Millis,
    /// Stamp of the last import record.
    pub(crate) imported: Millis,
    pub(crate) settled: bool,
    pub(crate) retries: Retries,
    pub(crate) series: SeriesStore,
    pub(crate) judge: Judge,
    pub(crate) graph: Graph,
    pub(crate) sources: Sources,
    pub(crate) incidents: Incidents,
    pub(crate) changes: Changes,
    pub(crate) asks: BTreeMap<EffectId, Outstanding>,
    /// The ask for a state's digest that is not answered, and the state's last record.
    pub(crate) hashing: Option<(EffectId, Position)>,
    /// The question to the recent store that is not answered.
    pub(crate) recalling: Option<Recalling>,
    /// Whether it is asked at all: older engines did not.
    pub(crate) recalls: bool,
    /// Whether standard metrics are read into the graph: older engines did not.
    pub(crate) measures: bool,
    /// What late samples touch.
    pub(crate) revisions: Revisions,
    /// What closed incidents teach.
    pub(crate) learning: Learning,
    /// Series of each derived id of the graph: labels come with the first sample only.
    pub(crate) derived: Vec<u32>,
    // Scratch: empty between records.
    pub(crate) applied: Applied,
    pub(crate) transitions: Vec<Transition>,
    pub(crate) closed: Closed,
    // Beside the state: what of it is being written.
    pub(crate) frozen: Option<Frozen>,
    /// The last record of the newest state that was written whole.
    pub(crate) written: Option<Position>,
}

impl Engine {
    /// The state before record 1 of a journal whose record 0 holds `seed`.
    pub fn new(seed: HashSeed) -> Engine {
        let mut incidents = Incidents::default();
        incidents.follow(true, true);
        Engine {
            seed,
            version: crate::ENGINE_VERSION,
            now: Millis(0),
            last: None,
            live: false,
            anchored: Millis(0),
            unanchored: 0,
            anchor_bytes: ANCHOR_BYTES,
            started: Millis(0),
            imported: Millis(0),
            settled: true,
            retries: Retries::default(),
            series: SeriesStore::new(seed, SERIES_MAX),
            judge: Judge::default(),
            graph: Graph::new(seed),
            sources: Sources::default(),
            incidents,
            changes: Changes::default(),
            asks: BTreeMap::new(),
            hashing: None,
            recalling: None,
            recalls: true,
            measures: true,
            revisions: Revisions::default(),
            learning: Learning::default(),
            derived: Vec::new(),
            applied: Applied::default(),
            transitions: Vec::new(),
            closed: Closed::default(),
            frozen: None,
            written: None,
        }
    }

    /// What keys every hash of foreign bytes.
    pub fn seed(&self) -> HashSeed {
        self.seed
    }

    /// Rule time.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The last record stepped over.
    pub fn last(&self) -> Option<Position> {
        self.last
    }

    /// What was asked and not answered, to be posted again after a restart; but for states, which went with the process.
    pub fn unanswered(&self) -> impl Iterator<Item = (EffectId, Ask)> {
        let explanations = self.asks.iter().map(|(id, ask)| (*id, Ask::Explain(Box::new(ask.evidence.clone()))));
        explanations
            .chain(self.recalling.as_ref().map(Recalling::ask))
            .chain(self.revising())
            .chain(self.learning.ask())
    }

    /// Advances by a batch of records and says what must now happen in the world.
    ///
    /// Total. Law: `step(a ++ b)` equals `step(a)` then `step(b)`, byte for byte.
    pub fn step(&mut self, batch: &[Record], effects: &mut Effects) {
        for record in batch {
            assert!(self.last.is_none_or(|last| last < record.at), "records come in order");
            let mut emit = Emitter::new(effects, record.at);
            self.take(record, &mut emit);
            self.look_again(&mut emit);
            #[cfg(feature = "planted")]
            crate::planted::fire(record);
            self.last = Some(record.at);
            self.unanchored += record.decoded.payload.body.len() as u64 + RECORD_BYTES;
            let late = self.live && self.now.since(self.anchored) >= ANCHOR_EVERY_MS;
            if self.hashing.is_none() && (late || self.unanchored >= self.anchor_bytes) {
                self.ask_for_digest(&mut emit);
            }
        }
    }

    /// Passes over a record on which [`Engine::step`] breaks: nothing of it is taken, and the decision says why. An answer
    /// would break it again, so what was asked counts as answered: the next question may be asked.
    ///
    /// Of a state in which `step` broke nothing can be said: the caller has one from before.
    pub fn quarantine(&mut self, record: &Record, reason: &str, effects: &mut Effects) {
        assert!(self.last.is_none_or(|last| last < record.at), "records come in order");
        let mut emit = Emitter::new(effects, record.at);
        emit.decide(Decision::Quarantined(Quarantined { position: record.at, reason: reason.to_string() }));
        emit.reject(Reason::Quarantined, record.decoded.events.count().max(1), reason);
        if let Kind::Reply(id) = record.decoded.payload.kind {
            self.give_up(id);
        }
        self.last = Some(record.at);
        self.unanchored += record.decoded.payload.body.len() as u64 + RECORD_BYTES;
    }

    fn take(&mut self, record: &Record, emit: &mut Emitter<'_>) {
        let decoded = &record.decoded;
        match decoded.payload.kind {
            Kind::Telemetry { clock: Clock::Import, .. } if self.live => {
                let why = "live telemetry has come before it; import into a new data folder";
                emit.reject(Reason::ImportAfterLive, decoded.events.count(), why);
            }
            Kind::Telemetry { source, clock, .. } => {
                let imported = clock == Clock::Import;
                if imported {
                    self.take_history(record.stamp.millis());
                } else {
                    self.go_live(record.stamp.millis(), emit);
                }
                let time = if imported { newest_time(decoded).unwrap_or(self.now) } else { record.stamp.millis() };
                self.advance(time, emit, imported);
                if self.retries.is_retry(source, decoded.digest, self.now) && !mutant!("retry applied") {
                    self.sources.retried(source, self.now);
                    return;
                }
                self.observe(decoded, emit, imported);
            }
            Kind::Control(control) => {
                // Before the first live record only imports move time: rules must not see the gap as lived through.
                if self.live {
                    self.advance(record.stamp.millis(), emit, false);
                }
                self.control(control, decoded, record.stamp.millis(), emit);
            }
            Kind::Reply(id) => {
                self.advance(record.stamp.millis(), emit, false);
                self.reply(id, &decoded.payload.body, emit);
            }
            Kind::Tick => {
                let stamp = record.stamp.millis();
                if stamp.since(self.started) >= IMPORT_WAIT_MS && stamp.since(self.imported) >= IMPORT_WAIT_MS {
                    self.go_live(stamp, emit);
                }
                if self.live {
                    self.advance(stamp, emit, false);
                }
            }
        }
    }

    /// Brings rule time to `to`; fires every timer due on the way, each at its own instant.
    fn advance(&mut self, to: Millis, emit: &mut Emitter<'_>, imported: bool) {
        if to <= self.now {
            return;
        }
        if to.since(self.now) > GAP_MAX_MS {
            self.skip(to);
        }
        self.run_due(to, emit, imported);
        self.now = to;
        if !self.settled && self.absence_counts() {
            self.settled = true;
            self.judge.rules.suspend_absence(false);
        }
        self.series.sweep(self.now, &self.derived, &mut self.applied);
        for &series in &self.applied.evicted {
            self.graph.forget_series(series);
        }
        self.deliver(emit);
    }

    /// Fires every timer due by `to`, each at its own instant.
    pub(crate) fn run_due(&mut self, to: Millis, emit: &mut Emitter<'_>, imported: bool) {
        while let Some(at) = self.due().filter(|&at| at <= to) {
            let at = at.max(self.now);
            self.now = at;
            self.fire(at, emit, imported);
        }
    }

    /// Passes over the instants before `to`: nothing ran then. Rules count theirs as missed.
    pub(crate) fn skip(&mut self, to: Millis) {
        if self.live {
            self.revisions.passed_over(self.now, to);
        }
        self.now = self.now.max(to);
        self.graph.skip(self.now);
    }

    fn due(&self) -> Option<Millis> {
        [self.graph.due(), self.judge.rules.due(), self.incidents.due()].into_iter().flatten().min()
    }

    /// Everything due at `at`, in the data's order.
    fn fire(&mut self, at: Millis, emit: &mut Emitter<'_>, imported: bool) {
        if self.graph.due().is_some_and(|due| due <= at) {
            self.close_windows(at, emit);
        }
        self.touch_rules(at, emit, imported);
        if self.judge.rules.due().is_some_and(|due| due <= at) {
            let (series, applied) = (&mut self.series, &mut self.applied);
            self.judge.advance(at, emit.cause(), series, &self.sources, applied, &mut self.transitions);
            self.decide_transitions(emit, imported);
            self.touch_rules(at, emit, imported);
        }
        let mut updates = Vec::new();
        self.incidents.advance(at, &mut updates);
        for update in updates {
            emit.decide(Decision::Incident(update));
        }
        self.explain(at, emit);
    }

    /// Applies a record's telemetry at rule time.
    fn observe(&mut self, decoded: &Decoded, emit: &mut Emitter<'_>, imported: bool) {
        let source = self.sources.observe(decoded, self.now).unwrap_or(NO_SOURCE);
        self.series.apply(decoded, source, self.now, &mut self.applied);
        self.note_late(emit);
        self.graph.observe(decoded, self.now);
        self.measure(emit);
        let counts = self.applied.counts;
        emit.reject(Reason::Cardinality, counts.cardinality, "raise limits.series or send fewer series");
        emit.reject(Reason::TooOld, counts.too_old, "more than five minutes late: nothing reads that far back");
        emit.reject(Reason::Conflict, counts.conflicts, "the first value for this time stays");
        emit.reject(
            Reason::HistogramBytes,
            self.applied.no_room,
            "no room for more histograms: send fewer or coarser ones",
        );
        emit.reject(Reason::Future, counts.future, "more than ten minutes ahead: check the sender's clock");
        self.touch_rules(self.now, emit, imported);
        self.explain(self.now, emit);
        self.deliver(emit);
    }

    /// Takes new samples of standard metrics to the graph.
    fn measure(&mut self, emit: &mut Emitter<'_>) {
        if self.applied.metered.is_empty() || !self.measures {
            return;
        }
        let mut anomalies = core::mem::take(&mut self.closed.anomalies);
        for &(id, sample) in &self.applied.metered {
            let labels = || self.series.view(id).labels;
            self.graph.measure(id, sample, self.now, labels, &mut anomalies);
        }
        for anomaly in anomalies.drain(..) {
            if self.incidents.open().len() > 0 {
                emit.decide(Decision::Anomaly(anomaly));
            }
        }
        self.closed.anomalies = anomalies;
    }

    /// Derived samples, anomalies and new versions of the windows that end at `at`.
    fn close_windows(&mut self, at: Millis, emit: &mut Emitter<'_>) {
        let mut closed = core::mem::take(&mut self.closed);
        self.graph.advance(at, &mut closed);
        for Derived { id, labels, sample } in closed.samples.drain(..) {
            let place = id as usize;
            if let Some(labels) = labels {
                self.derived.resize(self.derived.len().max(place + 1), NO_SERIES);
                self.derived[place] = self.series.append(&labels, sample, at, &mut self.applied).unwrap_or(NO_SERIES);
            } else if self.derived[place] != NO_SERIES {
                self.series.append_to(self.derived[place], sample, at, &mut self.applied);
                if sample.is_stale() {
                    // The graph has ended it: labels come before the next sample under this id.
                    self.derived[place] = NO_SERIES;
                }
            }
        }
        for anomaly in closed.anomalies.drain(..) {
            if self.incidents.open().len() > 0 {
                emit.decide(Decision::Anomaly(anomaly));
            }
        }
        for change in closed.changes.drain(..) {
            self.changes.push(change.clone(), at);
            emit.decide(Decision::Change(change));
        }
        self.closed = closed;
    }

    /// Lets `stream` rules react to the samples applied since the last call.
    fn touch_rules(&mut self, at: Millis, emit: &mut Emitter<'_>, imported: bool) {
        if self.applied.touches.is_empty() {
            return;
        }
        let (series, applied) = (&mut self.series, &mut self.applied);
        self.judge.touch(at, emit.cause(), series, &self.sources, applied, &mut self.transitions);
        self.decide_transitions(emit, imported);
    }

    pub(crate) fn decide_transitions(&mut self, emit: &mut Emitter<'_>, imported: bool) {
        let mut transitions = core::mem::take(&mut self.transitions);
        let mut updates = Vec::new();
        for mut transition in transitions.drain(..) {
            transition.imported = imported;
            if self.live && !imported {
                self.revisions.note(&transition, self.now);
            }
            emit.decide(Decision::Alert(transition.clone()));
            if !transition.is_silent() {
                self.correlate(&transition, &mut updates, emit);
            }
        }
        self.transitions = transitions;
    }

    /// Takes a transition to the incidents. `updates` is room for what it changes about them, empty before and after.
    pub(crate) fn correlate(
        &mut self,
        transition: &Transition,
        updates: &mut Vec<IncidentUpdate>,
        emit: &mut Emitter<'_>,
    ) {
        self.incidents.apply(transition, emit.next_id(), &Calls(&self.graph), updates);
        for update in updates.drain(..) {
            emit.decide(Decision::Incident(update));
        }
    }

    /// Freezes evidence for the incidents that want an explanation now.
    pub(crate) fn explain(&mut self, at: Millis, emit: &mut Emitter<'_>) {
        for (incident, revision) in self.incidents.explanations_due(at) {
            let Some(mut evidence) = self.evidence(incident, revision, at) else { continue };
            self.learn_of(&mut evidence, at);
            let input = Digest::of(&evidence.to_bytes());
            let id = emit.decide(Decision::Asked(Asked { kind: "explain".to_string(), input }));
            self.asks.insert(id, Outstanding { incident, revision, evidence: evidence.clone() });
            emit.ask(id, Ask::Explain(Box::new(evidence)));
        }
    }

    fn evidence(&self, id: IncidentId, revision: u64, at: Millis) -> Option<Evidence> {
        let incident = self.incidents.get(id)?;
        // What is explained is what goes on now: an alert that is over would drag its healed trouble into every figure.
        let firing = || incident.members().iter().filter(|member| member.firing);
        let mut alerts: Vec<(&str, &str)> =
            firing().map(|member| (member.entity.as_str(), member.name.as_str())).collect();
        alerts.sort();
        alerts.dedup();
        let mut targets: Vec<&str> = alerts.iter().map(|(entity, _)| *entity).collect();
        targets.dedup();
        let going_on = firing().map(|member| member.onset).min();
        let frozen = self.graph.freeze(&faultline_observe::Question {
            incident: id,
            revision,
            at,
            onset: going_on.unwrap_or(incident.onset()),
            window_ms: EXPLAIN_WINDOW_MS,
            targets: &targets,
            alerts: &alerts,
            changes: &self.changes.recent(at),
        });
        Some(Evidence { model: self.model(), ..frozen })
    }

    fn reply(&mut self, id: EffectId, body: &[u8], emit: &mut Emitter<'_>) {
        if let Some((_, at)) = self.hashing.filter(|(asked, _)| *asked == id) {
            return self.take_digest(at, body, emit);
        }
        if let Some(recalling) = self.recalling.take_if(|recalling| recalling.id == id) {
            return self.take_recalled(recalling, body, emit);
        }
        if let Some(revising) = self.revisions.take_asked(id) {
            return self.take_revisited(revising, body, emit);
        }
        if self.take_weights(id, body, emit) {
            return;
        }
        let Some(asked) = self.asks.remove(&id) else {
            emit.reject(Reason::BadRecord, 1, "it answers nothing that was asked");
            return;
        };
        self.incidents.answered(asked.incident, asked.revision);
        match Verdict::from_bytes(body) {
            Ok(verdict) => {
                self.learning.told(&verdict);
                emit.decide(Decision::Verdict(verdict));
            }
            Err(_) => emit.reject(Reason::BadRecord, 1, "the answer does not read"),
        }
        self.explain(self.now, emit);
    }

    /// What was asked will not be answered.
    fn give_up(&mut self, id: EffectId) {
        if self.hashing.take_if(|(asked, _)| *asked == id).is_some() {
            // No anchor comes of the frozen state.
            self.thaw();
        } else if self.recalling.take_if(|recalling| recalling.id == id).is_some() {
            // Time covers what the rules lack.
        } else if self.revisions.take_asked(id).is_some() {
            // What came late stands in the journal.
        } else if self.learning.give_up(id) {
            // What was learned before stays in force.
        } else if let Some(asked) = self.asks.remove(&id) {
            self.incidents.answered(asked.incident, asked.revision);
        }
    }

    /// Hands the samples applied since the last call to the recent store.
    pub(crate) fn deliver(&mut self, emit: &mut Emitter<'_>) {
        let applied = &mut self.applied;
        let samples = applied.samples.len() + applied.histograms.len();
        let exemplars = applied.exemplars.len() as u64 + applied.strays;
        if !(applied.created.is_empty() && samples == 0 && exemplars == 0 && applied.evicted.is_empty()) {
            emit.accept(Accepted {
                created: core::mem::take(&mut applied.created),
                samples: core::mem::take(&mut applied.samples),
                histograms: core::mem::take(&mut applied.histograms),
                exemplars: core::mem::take(&mut applied.exemplars),
                strays: applied.strays,
                evicted: core::mem::take(&mut applied.evicted),
            });
        }
        if !applied.touches.is_empty() {
            self.judge.rules.read_again();
        }
        applied.clear();
    }
}

/// Distances on the graph of calls, for the correlator.
struct Calls<'a>(&'a Graph);

impl Calls<'_> {
    /// What `entity` reaches through its calls, and over how many.
    fn reach(&self, entity: &str, limit: u32) -> BTreeMap<String, u32> {
        let mut reached = BTreeMap::from([(entity.to_string(), 0)]);
        let mut next = VecDeque::from([(entity.to_string(), 0)]);
        while let Some((at, hops)) = next.pop_front() {
            if hops == limit {
                continue;
            }
            self.0.callees(&at, &mut |callee| {
                if !reached.contains_key(callee) {
                    reached.insert(callee.to_string(), hops + 1);
                    next.push_back((callee.to_string(), hops + 1));
                }
            });
        }
        reached
    }
}

impl Topology for Calls<'_> {
    fn distance(&self, a: &str, b: &str, limit: u32) -> Option<u32> {
        let (from_a, from_b) = (self.reach(a, limit), self.reach(b, limit));
        from_a.iter().filter_map(|(entity, hops)| Some(hops + from_b.get(entity)?)).filter(|&hops| hops <= limit).min()
    }
}

/// Event time of the newest event of an imported body: what rule time is then.
fn newest_time(decoded: &Decoded) -> Option<Millis> {
    let events = &decoded.events;
    let points = events.points.iter().map(|point| point.time).max();
    let logs = events.logs.iter().map(|log| log.time.millis()).max();
    let spans = events.spans.iter().map(|span| span.end.millis()).max();
    let histograms = events.histograms.iter().map(|point| point.time).max();
    points.max(histograms).max(logs).max(spans)
}
