//! Control records: rules, settings, changes, starts.
use crate::effect::{Effects, Emitter};
use crate::engine::Engine;
use faultline_formats::{Decoded, Reason};
use faultline_model::facts::{Decision, RulesInForce, RulesRefused};
use faultline_model::{Canonical, ChangeEvent, Control, Digest, Feedback, Millis, RuleFiles, Setting, SourceName};
use faultline_observe::replicas::ReplicaLabels;

/// The first engine version that notes who sends what.
const HEEDS_SILENCE: u32 = 5;
/// The first that asks for what late rules lack, and notes where a ring is not whole.
const RECALLS: u32 = 6;
/// The first that looks at past instants again when samples come late.
const REVISES: u32 = 7;
/// The first that reads standard metrics of a service mesh and kinds of log records into the service graph, and explains on while they come.
const MEASURES: u32 = 8;
/// The first that reads what instances use, events, and how often kinds of log records come, and learns from closed incidents.
const LEARNS: u32 = 9;
/// The first whose verdicts say what would be without a cause and what to check next, and that reads OpenTelemetry's metrics of processes.
const LOOKS_AHEAD: u32 = 10;
/// The first that looks at past instants of `stream` groups again, and whose verdicts say how far their posterior can be trusted.
const RELIES: u32 = 11;
/// The first that knows which hosts services run on, and which lines of their logs stay away.
const KNOWS_HOSTS: u32 = 12;
/// The first that learns how strongly calls pass trouble on.
const WEIGHS_CALLS: u32 = 12;

impl Engine {
    /// Takes a control record stamped `stamp`. A body that does not read is a counted reject: the edge that wrote it is
    /// at fault, and the state stays as it is.
    pub(crate) fn control(&mut self, control: Control, decoded: &Decoded, stamp: Millis, emit: &mut Emitter<'_>) {
        let body = &decoded.payload.body[..];
        let read = match control {
            Control::Genesis => Ok(()),
            Control::EngineVersion => {
                if let Ok(version) = u32::from_bytes(body) {
                    let (began, streams) = (!self.revisions.on, self.revisions.streams);
                    self.decide_as(version);
                    if streams != self.revisions.streams {
                        self.switch_stream_revisions(self.now);
                    }
                    if began && self.live {
                        self.begin_revisions(self.now);
                    }
                }
                Ok(())
            }
            Control::Started => {
                // Whoever was to hash a state is gone, and the state with it.
                self.hashing = None;
                self.start(stamp);
                Ok(())
            }
            Control::Anchor => {
                // As if enough had come.
                self.unanchored = self.unanchored.max(self.anchor_bytes);
                Ok(())
            }
            Control::Source => SourceName::from_bytes(body).map(|name| self.sources.name(name)),
            Control::Rules => RuleFiles::from_bytes(body).map(|files| self.load_rules(&files, body, emit)),
            Control::Feedback => Feedback::from_bytes(body).map(|feedback| self.take_feedback(feedback, emit)),
            Control::Setting => Setting::from_bytes(body).map(|setting| self.set(setting, emit)),
            Control::Change => ChangeEvent::from_bytes(body).map(|change| {
                self.changes.push(change.clone(), self.now.max(stamp));
                emit.decide(Decision::Change(change));
            }),
        };
        if read.is_err() {
            emit.reject(Reason::BadRecord, 1, "the control record does not read");
        }
    }

    /// An engine of this version decides from here on. What an older one decided is decided again as it did.
    /// Versions that never wrote a journal of this layout count as the nearest that did.
    pub(crate) fn decide_as(&mut self, version: u32) {
        self.version = version.clamp(crate::ENGINE_VERSION_MIN, crate::ENGINE_VERSION);
        self.sources.heed_silence(version >= HEEDS_SILENCE);
        self.series.note_holes(version >= RECALLS);
        self.recalls = version >= RECALLS;
        self.revisions.on = version >= REVISES;
        self.revisions.streams = version >= RELIES;
        self.measures = version >= MEASURES;
        self.incidents.follow(version >= MEASURES, version >= LEARNS);
        self.graph.note_kinds(version >= MEASURES);
        self.graph.note_use(version >= LEARNS);
        self.graph.look_ahead(version >= LOOKS_AHEAD);
        self.graph.note_hosts(version >= KNOWS_HOSTS);
        self.graph.note_lines(version >= KNOWS_HOSTS);
        self.learning.on = version >= LEARNS;
        self.learning.notes_verdicts = version >= RELIES;
        self.learning.weighs_calls = version >= WEIGHS_CALLS;
    }

    /// The model by which evidence that is frozen now is to be explained.
    pub(crate) fn model(&self) -> u32 {
        [LEARNS, LOOKS_AHEAD, RELIES, KNOWS_HOSTS].into_iter().filter(|first| self.version >= *first).count() as u32
    }

    /// A process started: what passed in between was not seen, so absence says nothing until the sources are back.
    pub(crate) fn start(&mut self, stamp: Millis) {
        if self.live {
            self.skip(stamp);
        }
        self.started = self.now.max(stamp);
        self.sources.started();
        self.settled = self.absence_counts();
        self.judge.rules.suspend_absence(!self.settled);
    }

    /// Puts the rule files and features of `other` in place of those in force, between two records: for a replay that asks what
    /// they would have decided. No journal holds this, so what such an engine decides belongs in no ledger. Alerts go on as
    /// they do over a reload; what that decides is left out.
    pub fn try_rules(&mut self, other: &RuleFiles) {
        let files = self.judge.rules.files().clone().with_rules_of(other);
        let mut effects = Effects::default();
        let mut emit = Emitter::new(&mut effects, self.last.unwrap_or_default());
        self.load_rules(&files, &files.to_bytes(), &mut emit);
    }

    fn load_rules(&mut self, files: &RuleFiles, body: &[u8], emit: &mut Emitter<'_>) {
        let digest = Digest::of(body);
        let before = self.unit_sets();
        let (series, applied, out) = (&mut self.series, &mut self.applied, &mut self.transitions);
        match self.judge.load(files, self.now, emit.cause(), series, &self.sources, applied, out) {
            Ok(counts) => {
                emit.decide(Decision::Rules(RulesInForce { digest, ..counts }));
                self.decide_transitions(emit, false);
                self.deliver(emit);
                self.rules_changed(&before, emit);
                self.ask_recall(emit);
            }
            Err(refused) => {
                emit.decide(Decision::RulesRefused(RulesRefused { digest, ..refused }));
            }
        }
    }

    fn set(&mut self, setting: Setting, emit: &mut Emitter<'_>) {
        let labels = self.replica_labels().clone();
        let labels = match &*setting.name {
            "replicas.cluster_label" => ReplicaLabels { cluster: setting.value.clone(), ..labels },
            "replicas.replica_label" => ReplicaLabels { replica: setting.value.clone(), ..labels },
            "graph.calls" if self.measures => return self.declare(setting, emit),
            _ => return self.set_number(setting, emit),
        };
        self.series.set_replica_labels(labels);
        emit.decide(Decision::Setting(setting));
    }

    fn declare(&mut self, setting: Setting, emit: &mut Emitter<'_>) {
        match self.graph.declare(&setting.value, self.now) {
            Ok(()) => {
                emit.decide(Decision::Setting(setting));
            }
            Err(reason) => emit.reject(Reason::BadRecord, 1, reason),
        }
    }

    fn set_number(&mut self, setting: Setting, emit: &mut Emitter<'_>) {
        match (&*setting.name, setting.value.parse::<usize>()) {
            ("limits.series", Ok(most)) => {
                self.series.set_series_max(most);
                emit.decide(Decision::Setting(setting));
            }
            ("anchor.bytes", Ok(most)) => {
                self.anchor_bytes = (most as u64).max(1);
                emit.decide(Decision::Setting(setting));
            }
            _ => emit.reject(Reason::BadRecord, 1, "no such setting, or not a number"),
        }
    }
}
