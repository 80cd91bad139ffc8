//! What happens once a group is durable, in order: answers, ledger and sinks, asks, and then what readers see.
use crate::keeper::{Keep, KeeperQueue};
use crate::ledger_feed::LedgerFeed;
use crate::published::RejectedBody;
use crate::show::{Said, Shown};
use crate::stages::{Stage, Stages};
use crate::tiles::Group;
use faultline_engine::{Ask, Effect, Effects, Overview, Recall, Revise};
use faultline_host::{Answer, Extent, Flush, FlushError, Reply};
use faultline_model::facts::Decision;
use faultline_model::{EffectId, Millis, Position, mutant};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};

/// Groups that may wait for the disk at once: more would only hide a slow disk from the senders.
const DEPTH: usize = 4;

/// A stepped group on its way to being durable.
pub struct Batch {
    /// Makes it durable.
    pub flush: Box<dyn Flush>,
    /// Who is answered, and where their record stands.
    pub answers: Vec<(Reply, Position)>,
    /// What must happen.
    pub effects: Effects,
    /// Number of the first leaf.
    pub first_leaf: u64,
    /// Leaves, in ledger order.
    pub leaves: Vec<Box<[u8]>>,
    /// What it says of metrics.
    pub said: Said,
    /// What readers see from here on.
    pub view: Option<Overview>,
    /// Whether the view that readers have lacks decisions.
    pub behind: bool,
    /// What decoders and `step` refused.
    pub rejected: Vec<RejectedBody>,
    /// Rule time after the group.
    pub now: Millis,
    /// What the journal takes.
    pub extent: Extent,
    /// How many records it has.
    pub records: u64,
    /// The group's last record.
    pub last: Option<Position>,
}

impl Batch {
    /// What the keeper of checkpoints is told once the group is durable.
    pub fn keeps(&self) -> Vec<Keep> {
        let mut keeps = Vec::new();
        for (leaf, (_, decision)) in (self.first_leaf..).zip(self.effects.decisions()) {
            if let Decision::Anchor(anchor) = decision {
                keeps.push(Keep::Anchored { at: anchor.position, leaves: leaf + 1 });
            }
        }
        for effect in &self.effects.list {
            if let &Effect::Ask(ask, Ask::Hash(at)) = effect {
                // The state may be of a record amid the group: only leaves up to that one are in it.
                let before = self.effects.decisions().take_while(|(id, _)| id.cause <= at).count();
                keeps.push(Keep::Begun { ask, at, leaves: self.first_leaf + before as u64 });
            }
        }
        keeps
    }
}

/// Whether the release thread still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It does.
    Going,
    /// It ended; its error says why.
    Ended,
}

/// Where the loop hands groups over.
pub struct Outlet {
    batches: SyncSender<Batch>,
    /// The thread that keeps checkpoints.
    pub keeper: KeeperQueue,
    /// How long each stage takes.
    pub stages: Arc<Stages>,
    /// Bytes of bodies that wait to be shown.
    pub waiting: Arc<AtomicUsize>,
}

impl Outlet {
    /// The two ends.
    pub fn new(keeper: KeeperQueue) -> (Outlet, Receiver<Batch>) {
        let (batches, receiver) = sync_channel(DEPTH);
        (Outlet { batches, keeper, stages: Arc::default(), waiting: Arc::default() }, receiver)
    }

    /// Hands a group over; blocks while too many wait.
    pub fn push(&self, batch: Batch) -> Released {
        let anchors = batch.effects.decisions().filter(|(_, decision)| matches!(decision, Decision::Anchor(_)));
        self.keeper.decided(anchors.count());
        if self.batches.send(batch).is_ok() { Released::Going } else { Released::Ended }
    }
}

/// Where released things go.
pub struct Doors {
    /// The ledger and, from it, the sinks.
    pub ledger: Arc<LedgerFeed>,
    /// The thread that fills what the API reads.
    pub shown: SyncSender<Shown>,
    /// The thread that answers asks. Bounded by the engine: one ask per open incident is out at a time.
    pub asks: Sender<(EffectId, Ask)>,
    /// The thread that answers what late rules lack. One question is out at a time, and one more for each reload meanwhile.
    pub recalls: Sender<(EffectId, Recall)>,
    /// The thread that says what late samples change. One question is out at a time.
    pub revises: Sender<(EffectId, Revise)>,
    /// The thread that keeps checkpoints.
    pub keeper: KeeperQueue,
    /// How long each stage takes.
    pub stages: Arc<Stages>,
}

/// Releases groups until the loop ends. Its error ends the process: nothing more may be acknowledged.
pub fn release(batches: Receiver<Batch>, doors: &Doors) -> Result<(), FlushError> {
    for mut batch in batches {
        let keeps = batch.keeps();
        let mut flush = Some(batch.flush);
        if !mutant!("released before it is durable") {
            let wait = || flush.take().map_or(Ok(()), |flush| flush.wait());
            doors.stages.time(Stage::Flush, wait)?;
        }
        for (reply, at) in batch.answers {
            let rejects = crate::world::refused(&batch.effects, at);
            reply.send(Ok(Answer { at, rejects }));
        }
        if !batch.leaves.is_empty() {
            doors.ledger.push(Group { first: batch.first_leaf, leaves: batch.leaves, last: batch.last });
        }
        keeps.into_iter().for_each(|keep| doors.keeper.push(keep));
        for effect in batch.effects.list.extract_if(.., |effect| matches!(effect, Effect::Ask(..))) {
            match effect {
                Effect::Ask(_, Ask::Hash(_)) => {}
                Effect::Ask(id, Ask::Recall(asked)) => drop(doors.recalls.send((id, *asked))),
                Effect::Ask(id, Ask::Revise(asked)) => drop(doors.revises.send((id, *asked))),
                // Frozen evidence may be large: it is moved on, not copied.
                Effect::Ask(id, ask) if !mutant!("ask lost") => drop(doors.asks.send((id, ask))),
                _ => {}
            }
        }
        if let Some(flush) = flush {
            flush.wait()?;
        }
        let Batch { effects, first_leaf, rejected, said, view, behind, now, extent, records, last, .. } = batch;
        let shown = Shown { effects, first_leaf, rejected, said, view, behind, now, extent, records, last };
        let _ended = doors.shown.send(shown);
    }
    Ok(())
}
