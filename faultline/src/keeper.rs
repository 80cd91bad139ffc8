//! Keeps the states of anchors on disk, while the engine goes on, and says what the journal may forget.
//!
//! An anchor's life: the engine freezes its state and asks for the digest (*begun*, once the record is durable); the loop
//! hands the pages over, some after each group; with the last one the file is complete, but for its head, and the digest
//! goes back as a record; the engine decides the anchor, a leaf; once a signed head covers the leaf, the file gets its
//! name. So no checkpoint is ahead of the ledger. Pages that have not changed since the last anchor are copied from its file.
use crate::ledger_feed::LedgerFeed;
use crate::replies::{RETRY, Replies};
use faultline_engine::{ENGINE_VERSION, FORMAT, Layout, Slice};
use faultline_model::{Canonical, Digest, EffectId, Position, mutant};
use faultline_storage::{CheckpointError, CheckpointStore, Draft, Sealed, Stored};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long a checkpoint waits for the signed head that covers its anchor.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Bytes of pages on their way to the disk; with more the loop writes none until there are fewer.
const WAITING: usize = 8 << 20;

/// Work for whoever keeps checkpoints.
#[derive(Debug)]
pub enum Keep {
    /// A state was asked for, and its last record is durable.
    Begun {
        /// Who is answered.
        ask: EffectId,
        /// The last record in it.
        at: Position,
        /// How many leaves the ledger held then.
        leaves: u64,
    },
    /// Pages of it.
    Slice(Slice),
    /// The engine was made again: no more pages of a state up to this record come.
    Lost(Position),
    /// Its anchor is decided, and durable.
    Anchored {
        /// The last record in the state.
        at: Position,
        /// How many leaves the ledger has with the anchor's.
        leaves: u64,
    },
    /// The journal is full.
    MakeRoom,
}

/// What must happen for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The state's digest, or that it could not be kept, goes to the engine.
    Answer(EffectId, Option<Digest>),
    /// The journal may forget what is below.
    Trim(Position),
    /// A state was not kept: the next one is written whole.
    Lost,
}

/// What the loop is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The journal may forget what is below.
    Trim(Position),
    /// The next state is to be written whole.
    Taint,
}

/// Where work for the keeper is handed in. Bounded: one state is under way at a time, and of its pages at most
/// [`WAITING`] bytes and a slice.
#[derive(Clone)]
pub struct KeeperQueue {
    queue: Sender<Keep>,
    waiting: Arc<AtomicUsize>,
    // Anchors that are decided and of which the keeper has not been told.
    untold: Arc<AtomicUsize>,
}

/// Where the keeper takes it.
pub struct KeeperWork {
    queue: Receiver<Keep>,
    waiting: Arc<AtomicUsize>,
}

/// The two ends.
pub fn keeper_queue() -> (KeeperQueue, KeeperWork) {
    let ((queue, work), waiting) = (channel(), Arc::new(AtomicUsize::new(0)));
    (KeeperQueue { queue, waiting: waiting.clone(), untold: Arc::default() }, KeeperWork { queue: work, waiting })
}

impl KeeperQueue {
    /// Hands work in; nobody takes it any more where the server stops.
    pub fn push(&self, work: Keep) {
        if let Keep::Anchored { .. } = work {
            self.untold.fetch_sub(1, Ordering::Relaxed);
        }
        self.waiting.fetch_add(size(&work), Ordering::Relaxed);
        let _ended = self.queue.send(work);
    }

    /// So many anchors are decided: the keeper hears of them, by [`KeeperQueue::push`], once they are durable.
    pub fn decided(&self, anchors: usize) {
        self.untold.fetch_add(anchors, Ordering::Relaxed);
    }

    /// Whether pages may come. Not before the keeper has heard of the anchor before: pages of another state would take
    /// the place of its own.
    pub fn has_room(&self) -> bool {
        let untold = if mutant!("pages before the anchor") { 0 } else { self.untold.load(Ordering::Relaxed) };
        untold == 0 && self.waiting.load(Ordering::Relaxed) < WAITING
    }
}

impl KeeperWork {
    /// Work that is there.
    pub fn try_next(&self) -> Option<Keep> {
        self.queue.try_recv().ok().inspect(|work| self.took(work))
    }

    fn took(&self, work: &Keep) {
        self.waiting.fetch_sub(size(work), Ordering::Relaxed);
    }
}

fn size(work: &Keep) -> usize {
    match work {
        Keep::Slice(slice) => slice.pages.iter().map(|page| page.bytes.len()).sum(),
        _ => 0,
    }
}

/// A state on its way to the disk.
struct Writing {
    at: Position,
    begun: Option<(EffectId, u64)>,
    stage: Stage,
}

enum Stage {
    /// Pages come.
    Pages(Draft),
    /// All are there.
    Complete(Sealed),
    /// Its digest went to the engine.
    Answered(Sealed),
    /// It cannot be kept.
    Failed,
}

/// Checkpoints of one folder.
pub struct Keeper {
    store: CheckpointStore,
    /// The file that pages not written again are copied from.
    base: Option<Stored>,
    writing: Option<Writing>,
    /// States up to this record do not come any more.
    lost: Option<Position>,
    anchors: Vec<Position>,
}

impl Keeper {
    /// The journal keeps everything since the last anchor but one, so that losing the newest checkpoint loses nothing.
    pub fn new(store: CheckpointStore) -> Result<Keeper, CheckpointError> {
        let anchors = store.offsets()?.into_iter().map(|offset| Position { partition: 0, offset }).collect();
        Ok(Keeper { store, base: None, writing: None, lost: None, anchors })
    }

    /// Does a piece of work. Of [`Keep::Anchored`] a signed head covers the leaves, or it is given as [`Keep::Lost`].
    ///
    /// - `wants_room`: whether the journal should forget what it may.
    pub fn take(&mut self, work: Keep, wants_room: bool) -> Vec<Done> {
        match work {
            Keep::Begun { ask, at, leaves } => {
                if Some(at) <= self.lost {
                    return vec![Done::Answer(ask, None)];
                }
                self.writing(at).begun = Some((ask, leaves));
                self.answer()
            }
            Keep::Slice(slice) => {
                if Some(slice.at) <= self.lost {
                    return Vec::new();
                }
                self.slice(slice);
                self.answer()
            }
            Keep::Lost(at) => {
                self.lost = self.lost.max(Some(at));
                match self.writing.take_if(|writing| writing.at <= at) {
                    Some(Writing { begun: Some((ask, _)), stage: Stage::Pages(_), .. }) => {
                        vec![Done::Answer(ask, None), Done::Lost]
                    }
                    Some(_) => vec![Done::Lost],
                    None => Vec::new(),
                }
            }
            Keep::Anchored { at, .. } => self.anchored(at, wants_room),
            Keep::MakeRoom => self.trim(1),
        }
    }

    fn writing(&mut self, at: Position) -> &mut Writing {
        if self.writing.as_ref().is_none_or(|writing| writing.at < at) {
            // One that was begun before is never finished: the engine asks for one state at a time.
            let stage = match self.store.begin() {
                Ok(draft) => Stage::Pages(draft),
                Err(error) => failed(at, &error),
            };
            self.writing = Some(Writing { at, begun: None, stage });
        }
        self.writing.as_mut().expect("it was just made sure of")
    }

    fn slice(&mut self, Slice { at, pages, layout }: Slice) {
        self.writing(at);
        let Some(Writing { stage, .. }) = &mut self.writing else { return };
        let Stage::Pages(draft) = stage else { return };
        let mut written = pages.iter().try_for_each(|page| draft.page(&page.name, &page.bytes));
        if let (Ok(()), Some(layout)) = (&written, layout) {
            written = complete(draft, self.base.as_ref(), &layout);
            if let (Ok(()), Stage::Pages(draft)) = (&written, std::mem::replace(stage, Stage::Failed)) {
                match draft.seal(layout.names()) {
                    Ok(sealed) => *stage = Stage::Complete(sealed),
                    Err(error) => *stage = failed(at, &error),
                }
                return;
            }
        }
        if let Err(error) = written {
            *stage = failed(at, &error);
        }
    }

    /// Sends the digest once all is there and its record is durable.
    fn answer(&mut self) -> Vec<Done> {
        let Some(Writing { begun: Some((ask, _)), stage, .. }) = &mut self.writing else { return Vec::new() };
        let ask = *ask;
        match std::mem::replace(stage, Stage::Failed) {
            Stage::Complete(sealed) => {
                let state = sealed.state;
                *stage = Stage::Answered(sealed);
                vec![Done::Answer(ask, Some(state))]
            }
            Stage::Failed => {
                self.writing = None;
                vec![Done::Answer(ask, None), Done::Lost]
            }
            other => {
                *stage = other;
                Vec::new()
            }
        }
    }

    /// The anchor is in the ledger: its checkpoint gets its name.
    fn anchored(&mut self, at: Position, wants_room: bool) -> Vec<Done> {
        let Some(Writing { begun: Some((_, leaves)), stage: Stage::Answered(sealed), .. }) =
            self.writing.take_if(|writing| writing.at == at)
        else {
            return Vec::new();
        };
        let finished = self.store.finish(&sealed, at, ENGINE_VERSION, FORMAT, leaves);
        let base = finished.and_then(|()| self.store.read(at.offset));
        match base {
            Ok(Ok(stored)) => self.base = Some(stored),
            Ok(Err(what)) => {
                tracing::warn!(%what, %at, "a checkpoint does not read back; the one before stays");
                return vec![Done::Lost];
            }
            Err(error) => {
                tracing::warn!(error = crate::render::chain(&error), %at, "cannot keep a checkpoint; the one before stays");
                return vec![Done::Lost];
            }
        }
        self.anchors.push(at);
        if wants_room { self.trim(2) } else { Vec::new() }
    }

    /// The `back`-th newest anchor is what may be trimmed below.
    fn trim(&self, back: usize) -> Vec<Done> {
        let above = if mutant!("trim above the anchor") { 200 } else { 0 };
        let below = self.anchors.iter().rev().nth(back - 1);
        below.map(|below| Done::Trim(Position { offset: below.offset + above, ..*below })).into_iter().collect()
    }
}

/// Adds the pages that have not changed.
fn complete(draft: &mut Draft, base: Option<&Stored>, layout: &Layout) -> Result<(), CheckpointError> {
    let base = base.filter(|base| Some(base.head.at) == layout.since);
    let found = base.map(Stored::by_name);
    for name in layout.names().collect::<Vec<_>>() {
        if draft.has(&name) {
            continue;
        }
        let page = found.as_ref().and_then(|found| found(&name));
        let (name, bytes) = page.unwrap_or_else(|| Err(format!("page `{name}` is nowhere"))).map_err(|what| {
            draft.error(std::io::Error::other(format!("the checkpoint before cannot be copied from: {what}")))
        })?;
        draft.page(&name, &bytes)?;
    }
    Ok(())
}

fn failed(at: Position, error: &CheckpointError) -> Stage {
    tracing::warn!(error = crate::render::chain(error), %at, "cannot write a checkpoint; the one before stays");
    Stage::Failed
}

/// The work itself; of an anchor that no signed head covers in time, that its state is lost.
pub fn covered(work: Keep, feed: &LedgerFeed) -> Keep {
    match work {
        Keep::Anchored { at, leaves }
            if !mutant!("checkpoint ahead of the head") && !feed.published(leaves, HEAD_WAIT) =>
        {
            tracing::warn!(%at, "no signed head covers the anchor in time; its checkpoint is left out");
            Keep::Lost(at)
        }
        work => work,
    }
}

/// The thread: does work until nobody hands any in.
///
/// - `before`: what is done before the checkpoint of this record gets its name.
pub fn keep(
    work: &KeeperWork,
    keeper: &mut Keeper,
    feed: &Arc<LedgerFeed>,
    told: &Sender<Told>,
    replies: &Replies,
    wants_room: impl Fn() -> bool,
    before: impl Fn(Position),
) {
    // At most one: the engine asks for one state at a time.
    let mut answers: VecDeque<(EffectId, Option<Digest>)> = VecDeque::new();
    loop {
        answers.retain(|(ask, state)| !replies.offer(*ask, &state.to_bytes()));
        let next = match answers.is_empty() {
            true => work.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            // What makes room for the answer may be next.
            false => work.queue.recv_timeout(RETRY),
        };
        let piece = match next {
            Ok(piece) => piece,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let took = size(&piece);
        let piece = covered(piece, feed);
        if let Keep::Anchored { at, .. } = piece {
            before(at);
        }
        for done in keeper.take(piece, wants_room()) {
            match done {
                Done::Answer(ask, state) => answers.push_back((ask, state)),
                Done::Trim(below) => drop(told.send(Told::Trim(below))),
                Done::Lost => drop(told.send(Told::Taint)),
            }
        }
        work.waiting.fetch_sub(took, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
