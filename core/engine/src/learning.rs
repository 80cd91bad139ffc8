//! What operators say of closed incidents, and what is learned from it.
//!
//! Each explanation leaves the incident's events and calls as a lesson without its cause; who closes the incident says the cause. From
//! all lessons weights are learned: an ask like an explanation, pure, whose answer is a record that `verify` computes again. What is
//! learned goes into the evidence of later incidents, as far as it bears on them.
//!
//! Bounds: [`UNCLOSED_MAX`] incidents whose cause nobody has said, [`LESSONS_MAX`] lessons, the oldest go first.
use crate::effect::{Ask, Emitter};
use crate::engine::Engine;
use crate::strengths::{Habits, sound};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_explain::{TYPES_MAX, lesson, reliability};
use faultline_formats::Reason;
use faultline_model::facts::{
    Asked, Decision, Evidence, Learned, Learnt, Lesson, Lessons, Passed, Tally, Verdict, Weights,
};
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{
    Canonical, CodecError, Digest, EffectId, Feedback, IncidentId, Millis, Reader, Table, Writer, canonical_struct,
    float, freeze_by_copy,
};

/// Incidents whose lesson waits for its cause: closing one comes days after it.
const UNCLOSED_MAX: usize = 512;
/// Lessons that weights are learned from.
const LESSONS_MAX: usize = 1_000;
/// Incidents that may be closed while weights are being learned.
const WAITING_MAX: usize = 64;
/// Time in which having been the cause comes to count half, in ms: 30 days (algorithms.md 1.6).
pub(crate) const HALF_LIFE: f64 = 30.0 * 86_400_000.0;
/// Names of the tables. A lesson takes some kB: few make a page.
const LESSONS: &str = "lessons";
/// See [`LESSONS`].
const WEIGHTS: &str = "event-weights";
/// See [`LESSONS`].
const STRENGTHS: &str = "call-strengths";

/// An incident's lesson.
#[derive(Clone, Debug)]
struct Episode {
    incident: IncidentId,
    /// Names of its services, in the order of the lesson; only until it is closed.
    names: Vec<String>,
    lesson: Arc<Lesson>,
    closed: Option<Closed>,
    /// The first cause that its newest verdict named.
    named: Option<Named>,
    /// What that verdict saw of calls; only until it is closed.
    seen: Vec<Passed>,
}
canonical_struct!(Episode { incident, names, lesson, closed; named, seen });
freeze_by_copy!(Episode);

/// A cause that deserved belief.
#[derive(Clone, Debug, PartialEq)]
struct Named {
    entity: String,
    posterior: f64,
}
canonical_struct!(Named { entity, posterior });

/// What was said of it.
#[derive(Clone, Debug)]
struct Closed {
    /// Counts closed incidents, from 0.
    number: u64,
    cause: String,
    at: Millis,
    /// Of the lesson's canonical bytes.
    digest: Digest,
}
canonical_struct!(Closed { number, cause, at, digest });

/// The weights in force.
#[derive(Clone, Debug, Default)]
struct InForce {
    weights: Arc<Weights>,
}
canonical_struct!(InForce { weights });
freeze_by_copy!(InForce);

/// Lessons and weights.
#[derive(Debug)]
pub(crate) struct Learning {
    /// Whether anything is learned: older engines did not.
    pub on: bool,
    /// Whether it is held against what was named who was the cause: older engines did not.
    pub notes_verdicts: bool,
    /// Whether it is learned how strongly calls pass trouble on: older engines did not.
    pub weighs_calls: bool,
    episodes: Table<Episode, 4>,
    in_force: Table<InForce, 1>,
    habits: Habits,
    /// How many incidents were closed.
    closed: u64,
    /// What weights were asked for, and of lessons below which number; none while nothing is asked.
    asked: Option<(EffectId, u64)>,
    // Derived from the rows.
    unclosed: BTreeMap<IncidentId, u32>,
    lessons: BTreeMap<u64, u32>,
    done: BTreeMap<IncidentId, u32>,
}

/// What is beside the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    closed: u64,
    asked: Option<(EffectId, u64)>,
    /// What is beside the pages of each table; empty where there are none.
    episodes: Box<[u8]>,
    in_force: Box<[u8]>,
    /// How many closed incidents taught strengths of calls.
    taught_calls: u64,
    calls: Box<[u8]>,
}
canonical_struct!(Kept { closed, asked, episodes, in_force; taught_calls, calls });

impl Default for Learning {
    fn default() -> Self {
        Learning {
            on: true,
            notes_verdicts: true,
            weighs_calls: true,
            episodes: Table::default(),
            in_force: Table::default(),
            habits: Habits::default(),
            closed: 0,
            asked: None,
            unclosed: BTreeMap::new(),
            lessons: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }
}

impl Learning {
    /// What is written beside the tables.
    pub fn write_kept(&self) -> Kept {
        let (mut episodes, mut in_force, mut calls) = (Writer::default(), Writer::default(), Writer::default());
        if self.episodes.end() > 0 {
            self.episodes.write_rest(&mut episodes);
        }
        if self.in_force.end() > 0 {
            self.in_force.write_rest(&mut in_force);
        }
        if self.habits.calls.end() > 0 {
            self.habits.calls.write_rest(&mut calls);
        }
        let [episodes, in_force, calls] = [episodes, in_force, calls].map(|it| it.into_bytes().into());
        let taught_calls = self.habits.version;
        Kept { closed: self.closed, asked: self.asked, episodes, in_force, taught_calls, calls }
    }

    /// Reads the tables beside what was written.
    pub fn read(kept: &Kept, pages: &mut PageBytes) -> Result<Learning, CodecError> {
        let mut learning = Learning { closed: kept.closed, asked: kept.asked, ..Learning::default() };
        let mut r = Reader::new(&kept.episodes);
        if !kept.episodes.is_empty() {
            learning.episodes = Table::read(&mut r, LESSONS, pages)?;
        }
        let mut other = Reader::new(&kept.in_force);
        if !kept.in_force.is_empty() {
            learning.in_force = Table::read(&mut other, WEIGHTS, pages)?;
        }
        let mut third = Reader::new(&kept.calls);
        let calls = if kept.calls.is_empty() { Table::default() } else { Table::read(&mut third, STRENGTHS, pages)? };
        learning.habits = Habits::of(calls, kept.taught_calls);
        let left = r.left() + other.left() + third.left();
        if left > 0 {
            return Err(CodecError::Trailing { count: left });
        }
        for (row, episode) in learning.episodes.iter() {
            match &episode.closed {
                None => learning.unclosed.insert(episode.incident, row),
                Some(closed) => {
                    learning.lessons.insert(closed.number, row);
                    learning.done.insert(episode.incident, row)
                }
            };
        }
        Ok(learning)
    }

    /// The tables, by their names.
    pub fn tables(&mut self) -> [(&'static str, &mut dyn Paged); 3] {
        [(LESSONS, &mut self.episodes), (WEIGHTS, &mut self.in_force), (STRENGTHS, &mut self.habits.calls)]
    }

    /// The ask that is not answered.
    pub fn ask(&self) -> Option<(EffectId, Ask)> {
        let (id, below) = self.asked?;
        Some((id, Ask::Learn(Box::new(self.asked_for(below)))))
    }

    fn asked_for(&self, below: u64) -> Lessons {
        let rows = self.lessons.range(..below).filter_map(|(_, row)| self.episodes.get(*row));
        Lessons { lessons: rows.map(|episode| Arc::clone(&episode.lesson)).collect() }
    }

    fn weights(&self) -> Option<&Weights> {
        self.in_force.get(0).map(|row| &*row.weights)
    }

    /// What was learned that bears on an incident; none before the first was closed.
    pub fn bears_on(&self, evidence: &Evidence, lesson: &Lesson, at: Millis) -> Option<Learnt> {
        if !self.on || self.closed == 0 {
            return None;
        }
        let mut often: BTreeMap<&str, f64> = BTreeMap::new();
        for row in self.lessons.values() {
            let closed = self.episodes.get(*row).and_then(|episode| episode.closed.as_ref());
            if let Some(closed) = closed {
                let age = float::max(at.since(closed.at) as f64, 0.0);
                *often.entry(closed.cause.as_str()).or_default() += float::exp2(-age / HALF_LIFE);
            }
        }
        let causes = evidence.nodes.iter().enumerate().filter_map(|(node, it)| {
            let often = often.get(it.entity.as_str())?;
            Some((node as u32, *often))
        });
        let known = self.weights();
        let events = known.into_iter().flat_map(|weights| &weights.events);
        let events = events.filter(|it| lesson.types.binary_search(&it.name).is_ok()).cloned().collect();
        let weights = Weights { lessons: known.map_or(0, |weights| weights.lessons), events };
        Some(Learnt { weights, causes: causes.collect() })
    }

    /// Notes what an incident shows now.
    pub fn note(&mut self, evidence: &Evidence, lesson: Lesson) {
        let incident = evidence.incident;
        if !self.on || self.done.contains_key(&incident) {
            return;
        }
        let names = evidence.nodes.iter().map(|node| node.entity.clone()).collect();
        let known = self.unclosed.get(&incident).copied();
        let before = known.and_then(|row| self.episodes.get(row));
        let (named, seen) = before.map_or((None, Vec::new()), |it| (it.named.clone(), it.seen.clone()));
        let episode = Episode { incident, names, lesson: Arc::new(lesson), closed: None, named, seen };
        if let Some(row) = known {
            *self.episodes.row_mut(row) = episode;
            return;
        }
        if self.unclosed.len() == UNCLOSED_MAX
            && let Some((_, row)) = self.unclosed.pop_first()
        {
            self.episodes.remove(row);
        }
        let row = self.episodes.insert(episode);
        self.unclosed.insert(incident, row);
    }

    /// Notes whom a verdict names.
    pub fn told(&mut self, verdict: &Verdict) {
        let Some(&row) = self.unclosed.get(&verdict.incident).filter(|_| self.notes_verdicts) else { return };
        let first = verdict.causes.first().filter(|_| !verdict.unknown);
        let named = first.map(|it| Named { entity: it.entity.clone(), posterior: it.posterior });
        let Some(episode) = self.episodes.get(row) else { return };
        let learns = self.weighs_calls && named.is_some();
        let seen = if learns { sound(&verdict.passed, &episode.names) } else { Vec::new() };
        if episode.named != named || episode.seen != seen {
            let episode = self.episodes.row_mut(row);
            (episode.named, episode.seen) = (named, seen);
        }
    }

    /// What came of first causes of closed incidents, by bins of their posterior; empty where none was named.
    fn reliability(&self) -> Vec<Tally> {
        let mut bins = [Tally::default(); reliability::BINS];
        for row in self.lessons.values() {
            let Some(Episode { named: Some(named), closed: Some(closed), .. }) = self.episodes.get(*row) else {
                continue;
            };
            let tally = &mut bins[reliability::bin(named.posterior)];
            tally.cases += 1;
            tally.right += u32::from(named.entity == closed.cause);
        }
        if bins.iter().all(|tally| tally.cases == 0) { Vec::new() } else { Vec::from(bins) }
    }

    /// Closes an incident, or says why not.
    fn close(&mut self, feedback: &Feedback, at: Millis) -> Result<(), String> {
        let Feedback { incident, cause, .. } = feedback;
        if let Some(closed) = self.done.get(incident).and_then(|row| self.episodes.get(*row)?.closed.as_ref()) {
            return Err(alloc::format!("incident {incident} is closed already, with {} as its cause", closed.cause));
        }
        let Some(&row) = self.unclosed.get(incident) else {
            return Err(alloc::format!(
                "no explanation of an incident {incident} is kept: it never was, or is too old"
            ));
        };
        if self.lessons.len() >= LESSONS_MAX + WAITING_MAX {
            return Err("too many incidents were closed at once: try again in a moment".to_string());
        }
        let episode = self.episodes.get(row).expect("unclosed incidents have a row");
        let place = episode.names.iter().position(|name| name == cause);
        let Some(place) = place else {
            return Err(alloc::format!("{cause:?} is none of the services that incident {incident} was explained by"));
        };
        let mut lesson = (*episode.lesson).clone();
        lesson.cause = place as u32;
        let digest = Digest::of(&lesson.to_bytes());
        let closed = Closed { number: self.closed, cause: cause.clone(), at, digest };
        let (incident, lesson) = (*incident, Arc::new(lesson));
        let (named, seen) = (episode.named.clone(), episode.seen.clone());
        if named.as_ref().is_some_and(|named| named.entity == *cause) {
            self.habits.learn(&seen, at);
        }
        let (names, seen, closed) = (Vec::new(), Vec::new(), Some(closed));
        *self.episodes.row_mut(row) = Episode { incident, names, lesson, closed, named, seen };
        self.unclosed.remove(&incident);
        self.lessons.insert(self.closed, row);
        self.done.insert(incident, row);
        self.closed += 1;
        Ok(())
    }

    /// Forgets the oldest lessons that are too many.
    fn trim(&mut self) {
        while self.lessons.len() > LESSONS_MAX
            && let Some((_, row)) = self.lessons.pop_first()
        {
            let incident = self.episodes.get(row).expect("lessons have a row").incident;
            self.done.remove(&incident);
            self.episodes.remove(row);
        }
    }

    /// Digest of what is asked for: over the digests of the lessons, in order.
    fn input(&self) -> Digest {
        let rows = self.lessons.values().filter_map(|row| self.episodes.get(*row)?.closed.as_ref());
        let digests: Vec<u8> = rows.flat_map(|closed| closed.digest.0).collect();
        Digest::of(&digests)
    }

    /// Puts weights into force.
    fn put(&mut self, weights: Weights) {
        let row = InForce { weights: Arc::new(weights) };
        match self.in_force.end() {
            0 => assert_eq!(self.in_force.insert(row), 0, "the table has one row"),
            _ => *self.in_force.row_mut(0) = row,
        }
    }

    /// What was asked will not be answered; the next incident that is closed asks anew.
    pub fn give_up(&mut self, id: EffectId) -> bool {
        self.asked.take_if(|(asked, _)| *asked == id).is_some()
    }
}

/// Why weights cannot be taken: they come from outside, and evidence of every incident will hold some of them.
fn fault(weights: &Weights) -> Option<&'static str> {
    let names: BTreeSet<&str> = weights.events.iter().map(|it| it.name.as_str()).collect();
    let sorted = weights.events.is_sorted_by(|a, b| a.name < b.name);
    if weights.events.len() > TYPES_MAX || names.len() != weights.events.len() || !sorted {
        return Some("the learned weights are too many or out of order");
    }
    let finite = |x: f64| x.is_finite();
    let sound = weights.events.iter().all(|it| finite(it.own) && finite(it.callers) && finite(it.callees));
    (!sound).then_some("a learned weight is no number")
}

impl Engine {
    /// Takes what an operator says of an incident.
    pub(crate) fn take_feedback(&mut self, mut feedback: Feedback, emit: &mut Emitter<'_>) {
        if !self.learning.on {
            return emit.reject(Reason::BadRecord, 1, "the engine in force learns nothing");
        }
        // One that joined another is known by either name while it is open.
        if let Some(incident) = self.incidents.get(feedback.incident) {
            feedback.incident = incident.id();
        }
        match self.learning.close(&feedback, self.now) {
            Ok(()) => {
                emit.decide(Decision::Feedback(feedback));
                self.ask_to_learn(emit);
            }
            Err(why) => emit.reject(Reason::BadFeedback, 1, &why),
        }
    }

    fn ask_to_learn(&mut self, emit: &mut Emitter<'_>) {
        if self.learning.asked.is_some() {
            return;
        }
        self.learning.trim();
        let input = self.learning.input();
        let id = emit.decide(Decision::Asked(Asked { kind: "learn".to_string(), input }));
        self.learning.asked = Some((id, self.learning.closed));
        if let Some((id, ask)) = self.learning.ask() {
            emit.ask(id, ask);
        }
    }

    /// Takes the weights that were asked for under `id`; false where they were not.
    pub(crate) fn take_weights(&mut self, id: EffectId, body: &[u8], emit: &mut Emitter<'_>) -> bool {
        let Some((_, below)) = self.learning.asked.take_if(|(asked, _)| *asked == id) else { return false };
        match Weights::from_bytes(body) {
            Err(_) => emit.reject(Reason::BadRecord, 1, "the learned weights do not read"),
            Ok(weights) => match fault(&weights) {
                Some(why) => emit.reject(Reason::BadRecord, 1, why),
                None => {
                    let (lessons, types, digest) = (weights.lessons, weights.events.len() as u64, Digest::of(body));
                    self.learning.put(weights);
                    emit.decide(Decision::Learned(Learned { lessons, types, weights: digest, at: self.now }));
                }
            },
        }
        if self.learning.closed > below {
            self.ask_to_learn(emit);
        }
        true
    }

    /// Puts what was learned into evidence, and keeps what the incident shows.
    pub(crate) fn learn_of(&mut self, evidence: &mut Evidence, at: Millis) {
        if !self.learning.on {
            return;
        }
        let lesson = lesson(evidence);
        evidence.learnt = self.learning.bears_on(evidence, &lesson, at);
        if self.learning.notes_verdicts {
            evidence.reliability = self.learning.reliability();
        }
        if self.learning.weighs_calls {
            evidence.strengths = self.learning.habits.bear_on(evidence, at);
        }
        self.learning.note(evidence, lesson);
    }
}
