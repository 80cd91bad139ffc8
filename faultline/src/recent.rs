//! The recent store's folder: taken up before the journal is replayed, written by a thread in no hurry, and at a stop.
use crate::published::Published;
use faultline_model::Position;
use faultline_serve::recent::Limits;
use faultline_storage::DataFolder;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Its folder in the data folder.
pub const FOLDER: &str = "recent";
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(500);
/// After this long what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two looks at which blocks are to be merged, and after a failure.
const MERGE_LOOK: Duration = Duration::from_secs(10);
const MERGE_AGAIN: Duration = Duration::from_secs(300);
/// How long a checkpoint waits until its samples are in the store.
const SHOWN: Duration = Duration::from_secs(2);

/// Bounds where a journal takes at most `journal` bytes: half as many, so that by default both together take a fifth of the disk.
pub fn limits(journal: u64) -> Limits {
    Limits { disk: journal / 2, ..Limits::default() }
}

/// Takes up what an earlier run left. What cannot be used is told and left out: nothing that decides reads it.
pub fn open(published: &Published, folder: &DataFolder) {
    match published.store().recent().open(folder.disk().clone(), &folder.path().join(FOLDER)) {
        Ok(refused) => {
            for (path, error) in refused {
                let error = crate::render::chain(&error);
                tracing::error!(path = %path.display(), %error, "a file of the recent store is not used: queries lack what it held");
            }
        }
        Err(error) => tracing::error!(%error, "the recent store keeps to memory: its folder cannot be used"),
    }
}

/// Where the keeper of checkpoints has what is in memory written down. One request at a time.
pub struct HeadKeeper(SyncSender<HeadWanted>);

/// A checkpoint of this record waits.
struct HeadWanted {
    at: Position,
    /// Dropped once it need not wait any longer.
    waits: SyncSender<()>,
}

/// What is to be done for checkpoints.
pub struct HeadWork(Receiver<HeadWanted>);

/// The two ends.
pub fn head_keeper() -> (HeadKeeper, HeadWork) {
    let (wanted, work) = sync_channel(1);
    (HeadKeeper(wanted), HeadWork(work))
}

impl HeadKeeper {
    /// Waits until what the store has in memory is written down, which it is before a checkpoint of the record `at` counts: a
    /// start then replays only what comes after it. Returns at once where the store's thread has ended; a stop does it, too.
    pub fn keep(&self, at: Position) {
        let (waits, done) = sync_channel(1);
        if self.0.send(HeadWanted { at, waits }).is_ok() {
            let _either_way = done.recv();
        }
    }
}

/// The thread: writes blocks and what checkpoints need, and removes old blocks, until the server stops. It takes the store's
/// lock, for which senders wait in the end, so it must not yield to others itself; what takes long, it does on threads that do.
pub fn keep(published: &Published, wanted: &HeadWork, stopping: &AtomicBool) {
    let store = published.store();
    let mut due = Instant::now();
    while !stopping.load(Ordering::Relaxed) {
        match wanted.0.recv_timeout(LOOK) {
            Ok(HeadWanted { at, waits }) => {
                keep_head(published, Some(at));
                drop(waits);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => crate::run::rest(LOOK, stopping),
        }
        if Instant::now() < due {
            continue;
        }
        if let Err(error) = store.recent().keep() {
            let error = crate::render::chain(&error);
            tracing::error!(%error, "the recent store cannot write: it keeps what fits into memory");
            due = Instant::now() + AGAIN;
        }
    }
}

/// The thread that makes few blocks of many, until the server stops. What takes long it does on a thread that yields to all others.
pub fn merge(published: &Published, stopping: &AtomicBool) {
    let stops = || stopping.load(Ordering::Relaxed);
    while !stops() {
        match published.store().recent().merge(&stops) {
            Ok(true) => {}
            Ok(false) => crate::run::rest(MERGE_LOOK, stopping),
            Err(error) => {
                let error = crate::render::chain(&error);
                tracing::error!(%error, "blocks of the recent store are not merged: queries over days open more files");
                crate::run::rest(MERGE_AGAIN, stopping);
            }
        }
    }
}

/// Writes down what is in memory, with all of the record `at`, and says so where it cannot: a start then lacks samples of
/// before, in queries alone.
pub fn keep_head(published: &Published, at: Option<Position>) {
    let (store, begun) = (published.store(), Instant::now());
    while at.is_some_and(|at| !store.recent().has(at)) && begun.elapsed() < SHOWN {
        thread::sleep(Duration::from_millis(5));
    }
    if let Err(error) = store.recent().keep_head() {
        let error = crate::render::chain(&error);
        tracing::error!(%error, "what the recent store has in memory is not written down: a start will lack some of it");
    }
}
