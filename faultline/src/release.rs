//! What happens once a group is durable, in order: answers, ledger and sinks, asks, and then what readers see.
use crate::ledger_feed::LedgerFeed;
use crate::published::RejectedBody;
use crate::show::Shown;
use faultline_engine::{Ask, Checkpoint, Effect, Effects, Overview};
use faultline_host::{Answer, Extent, Flush, FlushError, Reply};
use faultline_model::{EffectId, Millis, Position, mutant};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, sync_channel};

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
    /// What readers see from here on.
    pub view: Option<Overview>,
    /// Whether the view that readers have lacks decisions.
    pub behind: bool,
    /// The state that this group's anchor states.
    pub checkpoint: Option<Checkpoint>,
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
    keeper: SyncSender<Keep>,
}

/// Work for the thread that keeps checkpoints and trims.
pub enum Keep {
    /// A new anchor: write its checkpoint once the ledger has the leaves up to here.
    Checkpoint(Box<Checkpoint>, u64),
    /// The journal is full.
    MakeRoom,
}

impl Outlet {
    /// The two ends.
    pub fn new(keeper: SyncSender<Keep>) -> (Outlet, Receiver<Batch>) {
        let (batches, receiver) = sync_channel(DEPTH);
        (Outlet { batches, keeper }, receiver)
    }

    /// Hands a group over; blocks while too many wait.
    pub fn push(&self, batch: Batch) -> Released {
        if self.batches.send(batch).is_ok() { Released::Going } else { Released::Ended }
    }

    /// Asks for room in the journal; asked again with the next group that finds none.
    pub fn make_room(&self) {
        let _ended_or_busy = self.keeper.try_send(Keep::MakeRoom);
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
    /// The thread that keeps checkpoints. A state is large, and must not wait where another does.
    pub keeper: SyncSender<Keep>,
}

/// Releases groups until the loop ends. Its error ends the process: nothing more may be acknowledged.
pub fn release(batches: Receiver<Batch>, doors: &Doors) -> Result<(), FlushError> {
    for mut batch in batches {
        let mut flush = Some(batch.flush);
        if !mutant!("released before it is durable") {
            flush.take().map_or(Ok(()), |flush| flush.wait())?;
        }
        for (reply, at) in batch.answers {
            let rejects = crate::world::refused(&batch.effects, at);
            reply.send(Ok(Answer { at, rejects }));
        }
        if !batch.leaves.is_empty() {
            doors.ledger.push(batch.first_leaf, batch.leaves);
        }
        // The state may be of a record amid the group: only leaves up to that one are in it.
        let upto = batch.checkpoint.as_ref().and_then(|checkpoint| checkpoint.position);
        let within = batch.effects.decisions().filter(|(id, _)| Some(id.cause) <= upto).count();
        let leaves = batch.first_leaf + within as u64;
        for effect in batch.effects.list.extract_if(.., |effect| matches!(effect, Effect::Ask(..))) {
            // Frozen evidence may be large: it is moved on, not copied.
            if let Effect::Ask(id, ask) = effect
                && !mutant!("ask lost")
            {
                let _ended = doors.asks.send((id, ask));
            }
        }
        if let Some(checkpoint) = batch.checkpoint {
            let keep = Keep::Checkpoint(Box::new(checkpoint), leaves);
            if let Err(TrySendError::Full(_)) = doors.keeper.try_send(keep) {
                tracing::warn!(now = %batch.now, "the checkpoint before is not yet written; an anchor's is left out");
            }
        }
        if let Some(flush) = flush {
            flush.wait()?;
        }
        let Batch { effects, first_leaf, rejected, view, behind, now, extent, records, last, .. } = batch;
        let shown = Shown { effects, first_leaf, rejected, view, behind, now, extent, records, last };
        let _ended = doors.shown.send(shown);
    }
    Ok(())
}
