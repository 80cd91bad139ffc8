//! What `step` returns: everything that must now happen in the world.
use crate::recall::Recall;
use crate::revise::Revise;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use faultline_formats::{Exemplar, Reason, Reject};
use faultline_model::facts::{Decision, Evidence, Lessons};
use faultline_model::{EffectId, HistogramSample, Labels, Position, Sample};

/// One thing that must happen outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A decision: a leaf of the ledger, then whatever sinks make of it.
    Decided(EffectId, Decision),
    /// What only state can refuse, for the sender's answer and the rejects.
    Rejected(Rejected),
    /// Samples that were applied, for the recent store.
    Accepted(Accepted),
    /// Work that is too slow or too impure for `step`; the answer comes back as a record.
    Ask(EffectId, Ask),
}

/// Work outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Explain an incident: pure, any thread; `verify` recomputes the reply.
    Explain(Box<Evidence>),
    /// Hash and keep the state after this record, which the engine holds frozen ([`crate::Engine::write_frozen`]); the
    /// answer is its digest, or null where it could not be kept. `verify` recomputes it.
    Hash(Position),
    /// Say what the recent store kept of what late rules lack, in records one after the other. `verify` reports the answer as
    /// attested.
    Recall(Box<Recall>),
    /// Learn weights of events from closed incidents: pure, any thread; `verify` recomputes the reply.
    Learn(Box<Lessons>),
    /// Say what past instants of a rule give with what came late, in one record. `verify` reports the answer as attested.
    Revise(Box<Revise>),
}

/// What the state refused of one record, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The record.
    pub at: Position,
    /// Why, and how many points.
    pub reject: Reject,
}

/// Samples of one record, or of the timers that fired before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    /// Series first seen, with their labels; before any sample of theirs.
    pub created: Vec<(u32, Labels)>,
    /// Samples by series.
    pub samples: Vec<(u32, Sample)>,
    /// Histograms by series.
    pub histograms: Vec<(u32, HistogramSample)>,
    /// Exemplars by series.
    pub exemplars: Vec<(u32, Exemplar)>,
    /// Exemplars of series that are not there, or of replicas that are not heard.
    pub strays: u64,
    /// Series forgotten; their ids may come again in a later `created`.
    pub evicted: Vec<u32>,
}

/// Effects of a batch, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// The effects.
    pub list: Vec<Effect>,
}

impl Effects {
    /// The decisions among them, in order.
    pub fn decisions(&self) -> impl Iterator<Item = (EffectId, &Decision)> {
        self.list.iter().filter_map(|effect| match effect {
            Effect::Decided(id, decision) => Some((*id, decision)),
            _ => None,
        })
    }
}

/// Gives the decisions and asks of one record their ids.
#[derive(Debug)]
pub(crate) struct Emitter<'a> {
    effects: &'a mut Effects,
    cause: Position,
    ordinal: u32,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(effects: &'a mut Effects, cause: Position) -> Emitter<'a> {
        Emitter { effects, cause, ordinal: 0 }
    }

    /// The record that causes what is emitted.
    pub(crate) fn cause(&self) -> Position {
        self.cause
    }

    /// The id that the next decision or ask gets.
    pub(crate) fn next_id(&self) -> EffectId {
        EffectId { cause: self.cause, ordinal: self.ordinal }
    }

    pub(crate) fn decide(&mut self, decision: Decision) -> EffectId {
        let id = self.next_id();
        self.ordinal += 1;
        self.effects.list.push(Effect::Decided(id, decision));
        id
    }

    /// Posts an ask under the id of the decision that recorded it.
    pub(crate) fn ask(&mut self, id: EffectId, ask: Ask) {
        self.effects.list.push(Effect::Ask(id, ask));
    }

    /// Posts an ask that no decision records.
    pub(crate) fn ask_next(&mut self, ask: Ask) -> EffectId {
        let id = self.next_id();
        self.ordinal += 1;
        self.ask(id, ask);
        id
    }

    /// Counts what the state refused; nothing of nothing.
    pub(crate) fn reject(&mut self, reason: Reason, count: u64, detail: &str) {
        if count > 0 {
            let reject = Reject { reason, count, detail: detail.to_string() };
            self.effects.list.push(Effect::Rejected(Rejected { at: self.cause, reject }));
        }
    }

    pub(crate) fn accept(&mut self, accepted: Accepted) {
        self.effects.list.push(Effect::Accepted(accepted));
    }
}
