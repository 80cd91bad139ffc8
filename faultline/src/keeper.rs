//! The thread that keeps checkpoints on disk and says what the journal may forget.
use crate::ledger_feed::LedgerFeed;
use crate::release::Keep;
use faultline_engine::Checkpoint;
use faultline_model::{Position, Writer, mutant};
use faultline_storage::{CheckpointError, CheckpointStore};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// How long a checkpoint waits for the signed head that covers its anchor.
const HEAD_WAIT: Duration = Duration::from_secs(10);

/// Writes each anchor's checkpoint once a signed head covers its leaf, and asks the loop to trim below the one before.
///
/// The journal keeps everything since the last anchor but one, so that losing the newest checkpoint loses nothing.
pub fn keep(
    work: &Receiver<Keep>,
    store: &CheckpointStore,
    feed: &Arc<LedgerFeed>,
    trims: &Sender<Position>,
    wants_room: impl Fn() -> bool,
) {
    let mut anchors: Vec<Position> = match store.offsets() {
        Ok(offsets) => offsets.into_iter().map(|offset| Position { partition: 0, offset }).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot look for checkpoints; nothing is trimmed until there are two new ones");
            Vec::new()
        }
    };
    for keep in work {
        match keep {
            Keep::Checkpoint(checkpoint, leaves) => {
                let Some(position) = checkpoint.position else { continue };
                if !mutant!("checkpoint ahead of the head") && !feed.published(leaves, HEAD_WAIT) {
                    tracing::warn!(%position, "no signed head covers the anchor in time; its checkpoint is left out");
                    continue;
                }
                match write(store, position, leaves, &checkpoint) {
                    Ok(()) => anchors.push(position),
                    Err(error) => tracing::warn!(%error, %position, "cannot write a checkpoint; the one before stays"),
                }
                if wants_room() {
                    trim(&anchors, 2, trims);
                }
            }
            Keep::MakeRoom => trim(&anchors, 1, trims),
        }
    }
}

/// Writes a checkpoint as [`Kept`], without a copy of its pages.
pub fn write(
    store: &CheckpointStore,
    at: Position,
    leaves: u64,
    checkpoint: &Checkpoint,
) -> Result<(), CheckpointError> {
    let pieces = kept(leaves, checkpoint);
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
    store.write(at, checkpoint.engine, &pieces)
}

/// The canonical bytes of a [`Kept`] in pieces.
fn kept(leaves: u64, checkpoint: &Checkpoint) -> Vec<Cow<'_, [u8]>> {
    let mut pieces = checkpoint.pieces();
    let mut w = Writer::default();
    w.array(2);
    w.uint(leaves);
    w.bytes_head(pieces.iter().map(|piece| piece.len()).sum());
    pieces.insert(0, w.into_bytes().into());
    pieces
}

/// Asks to trim below the `back`-th newest anchor.
fn trim(anchors: &[Position], back: usize, trims: &Sender<Position>) {
    if let Some(&below) = anchors.iter().rev().nth(back - 1) {
        let above = if mutant!("trim above the anchor") { 200 } else { 0 };
        let _ended = trims.send(Position { offset: below.offset + above, ..below });
    }
}

/// A checkpoint as written: the state, and how many leaves the ledger held then.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// Leaves up to and including those of the anchor's record.
    pub leaves: u64,
    /// The engine's checkpoint, canonical bytes.
    pub state: Box<[u8]>,
}
faultline_model::canonical_struct!(Kept { leaves, state });

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_engine::Engine;
    use faultline_model::{Canonical, HashSeed};

    #[test]
    fn what_is_written_reads_as_what_is_kept() {
        let checkpoint = Engine::new(HashSeed(7)).checkpoint();
        let bytes = kept(300, &checkpoint).concat();
        assert_eq!(Kept::from_bytes(&bytes), Ok(Kept { leaves: 300, state: checkpoint.to_bytes().into() }));
    }
}
