//! From what is on disk to an engine that may go on: restore, replay the rest, and find what was not yet written down.
//!
//! The same walk serves the start of the server, `verify` and `replay`: records are decoded and stepped over again, and
//! each leaf that the journal holds is compared with the decision that the engine takes now.
use crate::ahead::{Entry, ahead};
use crate::quarantine::{Quarantine, TooMany, caught};
use crate::start::{Beginning, Origin, StartError};
use crate::world::{leaves_of, own};
use faultline_engine::{ENGINE_VERSION, Effect, Effects, Engine};
use faultline_formats::Record;
use faultline_host::{ReadError, Reader};
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::{Revision, Sealed, Stretch};
use faultline_model::{
    Canonical, Control, EffectId, Genesis, HashSeed, Hlc, Kind, Payload, Position, RuleFiles, SourceId,
};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Most records between a record and its leaves: a group, and as much again.
const GROUP_MAX: usize = 1_024;

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The journal does not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A leaf is not what the engine decides from the same records: the journal was changed, or this release decides
    /// otherwise.
    #[error("{0}")]
    Differs(Box<Difference>),
    /// Another release decided this: only one with its engine version can go on from it, or say whether it is right.
    #[error("record {at} and what follows are of engine version {found}, this release has {ENGINE_VERSION}; {}", whose(*.found))]
    OtherEngine {
        /// The first record of that version, or the last before its first leaf.
        at: Position,
        /// Its engine version.
        found: u32,
    },
    /// There is nothing to begin with.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The engine breaks on a record that it did not break on a moment ago: memory or the build is at fault.
    #[error("record {at} breaks the engine: {reason}")]
    Broke {
        /// The record.
        at: Position,
        /// What the assertion said.
        reason: String,
    },
    /// The engine breaks on one record after the other.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// Which release reads what engine version `found` wrote.
pub fn whose(found: u32) -> String {
    let or_newer = if found > ENGINE_VERSION { " or newer" } else { "" };
    format!("use a release with engine version {found}{or_newer} (`faultline --version` names it)")
}

/// The first leaf that is not what the engine decides.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Number of the leaf, counted from where the replay began.
    pub leaf: u64,
    /// The last record before it.
    pub after: Position,
    /// What the journal holds, in words.
    pub found: String,
    /// What the engine decides, in words.
    pub expected: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "leaf {} after record {} differs: the journal holds {}, the engine decides {}",
            self.leaf, self.after, self.found, self.expected
        )
    }
}

/// What a replay came upon, record by record.
pub trait Watch {
    /// Whether to go on with the record at `at`, stamped `stamp`.
    fn next(&mut self, _at: Position, _stamp: Hlc) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    /// The engine after a record whose state was asked for, before [`Watch::stepped`] tells of that.
    fn frozen(&mut self, _engine: &mut Engine) {}
    /// A record and what the engine made of it.
    fn stepped(&mut self, record: &Record, effects: Effects);
    /// Leaves as the journal holds them, already found to be equal to the engine's; and those about sealed segments, which
    /// nobody has compared yet.
    fn leaves(&mut self, first: u64, leaves: &[Box<[u8]>]);
}

/// Watches what comes before a record.
struct Before(Position);

impl Watch for Before {
    fn next(&mut self, at: Position, _: Hlc) -> ControlFlow<()> {
        if at < self.0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
    fn stepped(&mut self, _: &Record, _: Effects) {}
    fn leaves(&mut self, _: u64, _: &[Box<[u8]>]) {}
}

/// What a replay takes the journal for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// What was: each leaf must be what the engine decides.
    Checked,
    /// Records alone: leaves are handed on and not compared.
    Records,
    /// Telemetry under these rule files and features, in place of those in its rules records. Answers to what was asked then are passed
    /// over: they are about incidents that need not exist now, whatever their ids say.
    Under(RuleFiles),
}

/// Where a replay stands.
pub struct Replay {
    /// The engine.
    pub engine: Engine,
    /// Engine version in force: that of the newest record that says so. This release's engine decides nevertheless, and must
    /// decide the same.
    pub version: u32,
    /// Number of leaves that the journal holds so far.
    pub leaves: u64,
    /// How many of those passed were about sealed segments: nothing that the engine decides.
    pub sealed: u64,
    /// Leaves decided that the journal does not hold (yet): at the end, those that a crash kept from being written.
    pub missing: VecDeque<Box<[u8]>>,
    /// The last record.
    pub last: Option<Position>,
    /// Sources whose names the journal holds.
    pub named: Vec<SourceId>,
    /// Body of the newest rules record.
    pub rules: Option<Vec<u8>>,
    /// The journal's oldest record, where that is not record 0 and this began there.
    pub oldest: Option<Position>,
    /// Records replayed.
    pub records: u64,
    /// Events replayed.
    pub events: u64,
    /// Answers passed over.
    pub passed_over: u64,
    /// Records that were passed over because the engine breaks on them, and why.
    pub quarantined: Vec<(Position, String)>,
    quarantine: Quarantine,
    mode: Mode,
    /// The record whose state this began with, until the first leaf of a later one: its group's leaves stand together
    /// behind the group, those that the beginning counts already among them.
    begun: Option<Position>,
}

impl Replay {
    /// A replay that goes on from where `origin` begins.
    pub fn new(origin: &Origin<'_>) -> Result<Replay, ReplayError> {
        Replay::of(origin, Mode::Checked)
    }

    /// A replay of another mode.
    pub fn of(origin: &Origin<'_>, mode: Mode) -> Result<Replay, ReplayError> {
        let beginning = origin.begin()?;
        let quarantine = Quarantine::listed(&mut *origin.reader(), beginning.engine.last())?;
        Ok(Replay::from(beginning, mode, quarantine))
    }

    fn from(beginning: Beginning, mode: Mode, quarantine: Quarantine) -> Replay {
        let Beginning { mut engine, version, leaves, oldest } = beginning;
        if let (Mode::Under(files), Some(_)) = (&mode, oldest) {
            // The rules records that would be answered with these are trimmed.
            engine.try_rules(files);
        }
        let last = engine.last();
        Replay {
            engine,
            version,
            leaves,
            sealed: 0,
            missing: VecDeque::new(),
            last,
            named: Vec::new(),
            rules: None,
            oldest,
            records: 0,
            events: 0,
            passed_over: 0,
            quarantined: Vec::new(),
            quarantine,
            mode,
            begun: last,
        }
    }

    /// Takes everything that the journal has after where this stands, or as much as `watch` wants. A record on which `step`
    /// breaks is taken up among those that are passed over, and the state before it made again.
    pub fn run(&mut self, origin: &Origin<'_>, watch: &mut dyn Watch) -> Result<(), ReplayError> {
        self.walk(&mut *origin.reader(), Some(origin), watch)
    }

    /// - `origin`: for a record on which `step` breaks; without one that is an error.
    fn walk(
        &mut self,
        reader: &mut dyn Reader,
        origin: Option<&Origin<'_>>,
        watch: &mut dyn Watch,
    ) -> Result<(), ReplayError> {
        let (last, seed) = (self.last, self.engine.seed());
        ahead(reader, last, seed, |chunks| {
            let mut passed = None;
            for chunk in chunks {
                for entry in chunk? {
                    match (entry, &mut passed) {
                        (Entry::Record(record), None) if watch.next(record.at, record.stamp).is_continue() => {
                            let record = self.instead(*record);
                            refuse_newer(&record)?;
                            while let Err(reason) = self.record(&record, watch) {
                                self.without(&record, reason, origin)?;
                            }
                        }
                        (Entry::Record(_), passed) => *passed = Some(passed.map_or(1, |count| count + 1)),
                        (Entry::Leaves { after, leaves }, passed) => {
                            let mut leaves: Vec<Box<[u8]>> = leaves.into_iter().map(|leaf| leaf[..].into()).collect();
                            leaves.retain(|leaf| self.is_new(leaf) && (passed.is_none() || self.is_past(leaf)));
                            self.compare(after, &leaves)?;
                            watch.leaves(self.leaves, &leaves);
                            self.leaves += leaves.len() as u64;
                        }
                    }
                    // The leaves of the last records stand behind the group that they came in.
                    if passed.is_some_and(|count| count > GROUP_MAX) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// Takes up a record on which `step` broke, and makes the state before it again.
    fn without(&mut self, record: &Record, reason: String, origin: Option<&Origin<'_>>) -> Result<(), ReplayError> {
        let at = record.at;
        let Some(origin) = origin else { return Err(ReplayError::Broke { at, reason }) };
        tracing::error!(%at, %reason, "a record breaks the engine: it is passed over and kept in the journal");
        self.quarantine.add(at, record.stamp, reason)?;
        // A state is large; this one is of no use any more.
        self.engine = Engine::new(HashSeed(0));
        let mut again = Replay::from(origin.begin()?, self.mode.clone(), self.quarantine.clone());
        again.walk(&mut *origin.reader(), None, &mut Before(at))?;
        (self.engine, self.version) = (again.engine, again.version);
        Ok(())
    }

    /// Whether a leaf is about a record up to the last one stepped over.
    fn is_past(&self, leaf: &[u8]) -> bool {
        cause(leaf).is_some_and(|cause| Some(cause) <= self.last)
    }

    /// Whether a leaf belongs to a record after the one whose state this began with.
    fn is_new(&mut self, leaf: &[u8]) -> bool {
        let Some(begun) = self.begun else { return true };
        let new = cause(leaf).is_none_or(|cause| cause > begun);
        if new {
            self.begun = None;
        }
        new
    }

    /// The record itself, or what this mode steps over in its place.
    fn instead(&mut self, mut record: Record) -> Record {
        if let Mode::Under(files) = &self.mode
            && let Some((kind, body)) = under(files, &record)
        {
            self.passed_over += u64::from(matches!(record.decoded.payload.kind, Kind::Reply(_)));
            record.decoded = own(kind, body, self.engine.seed());
        }
        record
    }

    /// Steps over a record, or passes over it where that is listed; its error is what broke.
    fn record(&mut self, record: &Record, watch: &mut dyn Watch) -> Result<(), String> {
        let payload = &record.decoded.payload;
        if payload.kind == Kind::Control(Control::Genesis)
            && let Ok(genesis) = Genesis::from_bytes(&payload.body)
        {
            self.engine = Engine::new(genesis.seed);
        }
        if let Some(version) = engine_version(payload) {
            self.version = version;
        }
        let mut effects = Effects::default();
        match self.quarantine.reason(record.at) {
            Some(reason) => {
                self.engine.quarantine(record, reason, &mut effects);
                self.quarantined.push((record.at, reason.to_string()));
                self.quarantine.pass(record.stamp);
            }
            None => {
                let engine = &mut self.engine;
                caught(|| engine.step(std::slice::from_ref(record), &mut effects))?;
                self.quarantine.well();
                self.note(record);
            }
        }
        if self.engine.frozen().is_some() {
            // A state that was hashed then. Nobody writes it again.
            watch.frozen(&mut self.engine);
            self.engine.thaw();
        }
        if self.mode == Mode::Checked {
            self.missing.extend(leaves_of(self.version, &effects));
        }
        self.records += 1;
        self.events += record.decoded.events.count();
        self.last = Some(record.at);
        watch.stepped(record, effects);
        Ok(())
    }

    /// What a start must know of the records: only of those that the engine has taken.
    fn note(&mut self, record: &Record) {
        let payload = &record.decoded.payload;
        match payload.kind {
            Kind::Control(Control::Source) => {
                if let Ok(name) = faultline_model::SourceName::from_bytes(&payload.body) {
                    self.named.push(name.id);
                }
            }
            Kind::Control(Control::Rules) => self.rules = Some(payload.body.to_vec()),
            _ => {}
        }
    }

    fn compare(&mut self, after: Position, leaves: &[Box<[u8]>]) -> Result<(), ReplayError> {
        for (number, found) in (self.leaves..).zip(leaves) {
            // Behind everything decided so far, and nothing that the engine decides.
            if self.missing.is_empty() && LedgerEntry::sealed_in(found).is_some() {
                self.sealed += 1;
                continue;
            }
            if self.mode != Mode::Checked {
                continue;
            }
            let expected = self.missing.pop_front();
            if expected.as_ref() != Some(found) {
                let engine = LedgerEntry::from_bytes(found).map_or(self.version, |entry| entry.engine);
                if engine != ENGINE_VERSION {
                    return Err(ReplayError::OtherEngine { at: after, found: engine });
                }
                return Err(ReplayError::Differs(Box::new(Difference {
                    leaf: number,
                    after,
                    found: in_words(found),
                    expected: expected.map_or("nothing".to_string(), |leaf| in_words(&leaf)),
                })));
            }
        }
        Ok(())
    }
}

/// What to step over in place of `record` under other rules, where it is not itself. Time goes on as it did.
fn under(files: &RuleFiles, record: &Record) -> Option<(Kind, Vec<u8>)> {
    let payload = &record.decoded.payload;
    match payload.kind {
        Kind::Control(Control::Rules) => {
            let journals = RuleFiles::from_bytes(&payload.body).ok()?;
            Some((payload.kind, journals.with_rules_of(files).to_bytes()))
        }
        Kind::Reply(_) => Some((Kind::Tick, Vec::new())),
        _ => None,
    }
}

/// Whether a newer engine goes on here: what its records mean, this one cannot know. Of an older one each leaf tells, should
/// this one decide otherwise.
fn refuse_newer(record: &Record) -> Result<(), ReplayError> {
    match engine_version(&record.decoded.payload) {
        Some(found) if found > ENGINE_VERSION => Err(ReplayError::OtherEngine { at: record.at, found }),
        _ => Ok(()),
    }
}

/// The engine version that a record puts in force, where it does.
pub fn engine_version(payload: &Payload) -> Option<u32> {
    (payload.kind == Kind::Control(Control::EngineVersion)).then(|| u32::from_bytes(&payload.body).ok())?
}

/// The record that caused what a leaf states; none for a leaf about a segment.
fn cause(leaf: &[u8]) -> Option<Position> {
    match LedgerEntry::from_bytes(leaf).ok()?.fact {
        Fact::Decided { id, .. } | Fact::Digested { id, .. } => Some(id.cause),
        Fact::Sealed(_) => None,
    }
}

/// A leaf for people.
pub fn in_words(leaf: &[u8]) -> String {
    use faultline_model::facts::{Decision, Unrevised};
    let Ok(entry) = LedgerEntry::from_bytes(leaf) else { return format!("{} bytes that are no leaf", leaf.len()) };
    let said = |id: EffectId, what: String| format!("{id} {what}");
    match entry.fact {
        Fact::Sealed(Sealed { segment, last, root }) => {
            format!("segment-{segment:016x} sealed at {last}, root {}", root.hex())
        }
        Fact::Digested { id, digest } => said(id, format!("a large decision, SHA-256 {}", digest.hex())),
        Fact::Decided { id, decision } => match decision {
            Decision::Alert(t) => {
                said(id, format!("alert {} {} -> {} (value {})", t.labels, t.from.word(), t.to.word(), t.value))
            }
            Decision::Anomaly(a) => {
                said(id, format!("anomaly {} {} {} (expected {})", a.entity, a.signal.word(), a.seen, a.expected))
            }
            Decision::Incident(i) => said(id, format!("incident {} {}", i.id, i.phase.word())),
            Decision::Verdict(v) => {
                said(id, format!("verdict on {} revision {}: {}", v.incident, v.revision, v.summary))
            }
            Decision::Rules(r) => said(
                id,
                format!(
                    "rules in force: {} groups, {} alerts, {} unknown at first",
                    r.groups, r.alerts, r.unknown_count
                ),
            ),
            Decision::RulesRefused(r) => said(id, format!("rules refused: {}:{} {}", r.file, r.line, r.reason)),
            Decision::Setting(s) => said(id, format!("setting {} = {}", s.name, s.value)),
            Decision::Change(c) => said(id, format!("change {} on {}: {}", c.kind, c.entity, c.title)),
            Decision::Feedback(f) => said(id, format!("incident {} closed, its cause {}", f.incident, f.cause)),
            Decision::Learned(l) => said(
                id,
                format!("weights of {} events from {} closed incidents, {}", l.types, l.lessons, l.weights.hex()),
            ),
            Decision::Asked(a) => said(id, format!("asked to {}, input {}", a.kind, a.input.hex())),
            Decision::Quarantined(q) => said(id, format!("record {} quarantined: {}", q.position, q.reason)),
            Decision::Anchor(a) => said(id, format!("anchor at {}, state {}", a.position, a.state.hex())),
            Decision::Revision(r) => said(id, format!("alert {} {}: {}", r.labels, r.outcome.word(), revised(&r))),
            Decision::Unrevised(u) => {
                let Unrevised { name, from, to, reason, late, .. } = u;
                let late = late.samples;
                said(
                    id,
                    format!("{late} late samples to {name} from {from} to {to}, whose effect is unknown: {reason}"),
                )
            }
        },
    }
}

/// What it fired, and what it would have, in words.
fn revised(it: &Revision) -> String {
    let fired = |it: Option<Stretch>| match it {
        Some(Stretch { fired_at: Some(from), resolved_at: Some(to), .. }) => format!("fired {from} to {to}"),
        Some(Stretch { fired_at: Some(from), .. }) => format!("fired {from} on"),
        _ => "did not fire".to_string(),
    };
    format!("{}, with {} late samples {}", fired(it.before), it.late.samples, fired(it.after))
}

/// The asks among effects: what a replay must not post and `verify` recomputes.
pub fn asks(effects: &Effects) -> impl Iterator<Item = (EffectId, &faultline_engine::Ask)> {
    effects.list.iter().filter_map(|effect| match effect {
        Effect::Ask(id, ask) => Some((*id, ask)),
        _ => None,
    })
}
