//! The recent store's folder: taken up before the journal is replayed, written by a thread in no hurry, and at a stop.
use crate::published::Published;
use faultline_model::Position;
use faultline_serve::recent::Limits;
use faultline_storage::DataFolder;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Its folder in the data folder.
const FOLDER: &str = "recent";
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(500);
/// After this long what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a checkpoint waits until its samples are in the store.
const SHOWN: Duration = Duration::from_secs(2);

/// Bounds where a journal takes at most `journal` bytes, a fifth of the disk: half as many, a tenth of it.
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

/// The thread: writes blocks and removes old ones until the server stops.
pub fn keep(published: &Published, stopping: &AtomicBool) {
    let store = published.store();
    while !stopping.load(Ordering::Relaxed) {
        let wait = match store.recent().keep() {
            Ok(_) => LOOK,
            Err(error) => {
                let error = crate::render::chain(&error);
                tracing::error!(%error, "the recent store cannot write: it keeps what fits into memory");
                AGAIN
            }
        };
        crate::run::rest(wait, stopping);
    }
}

/// Writes down what is in memory: before a checkpoint of the record `at` counts, since a start then replays only what comes
/// after it; and at a stop. Where this fails a start lacks samples of before, in queries alone.
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
