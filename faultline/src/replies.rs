//! Answers to what the engine asked, on their way into the journal as records.
use crate::published::Published;
use crate::world::own;
use faultline_host::{Inlet, Pending, Refused};
use faultline_model::{EffectId, HashSeed, Kind};
use faultline_serve::recent::Recent;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often a question looks whether the store is there yet.
const LOOK: Duration = Duration::from_millis(5);
/// How long to wait before offering a record again to a full inlet.
pub const RETRY: Duration = Duration::from_millis(20);
/// Between two looks at whether the server stops.
const IDLE: Duration = Duration::from_millis(500);

/// Where answers go. What is left unanswered when the server stops is asked again on the next start.
#[derive(Clone)]
pub struct Replies {
    /// What takes records in.
    pub inlet: Inlet,
    /// Of hashes of series.
    pub seed: HashSeed,
    /// Whether the server stops.
    pub stopping: Arc<AtomicBool>,
}

/// Which questions of a queue are answered.
#[derive(Clone, Copy, PartialEq)]
pub enum Questions {
    /// Each.
    All,
    /// A newer one asks for all that those before it lack.
    Newest,
}

impl Replies {
    fn stops(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Hands an answer in as a record and waits for it to be durable; false where there was no room and it must be handed in
    /// again. Where the server stops, it is done with: the next start asks anew.
    pub fn offer(&self, id: EffectId, body: &[u8]) -> bool {
        let taken = self.inlet.offer(own(Kind::Reply(id), body.to_vec(), self.seed)).and_then(Pending::wait);
        !matches!(taken, Err(Refused::Full { .. } | Refused::DiskFull { .. }))
    }

    /// Hands an answer in until there is room for it.
    pub fn send(&self, id: EffectId, body: &[u8]) {
        while !self.offer(id, body) && !self.stops() {
            std::thread::sleep(RETRY);
        }
    }

    /// Answers questions to the recent store until their sender is gone or the server stops: none before the store holds all that
    /// was accepted up to the record that asked.
    ///
    /// - `answer`: the records of an answer, in canonical bytes; nothing where the server stops before it is known.
    pub fn from_store<Q>(
        &self,
        asked: &Receiver<(EffectId, Q)>,
        which: Questions,
        published: &Published,
        answer: impl Fn(&Recent, &Q, &AtomicBool) -> Option<Vec<Vec<u8>>>,
    ) {
        let store = published.store();
        while !self.stops() {
            let mut next = match asked.recv_timeout(IDLE) {
                Ok(next) => next,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            while let Some(newer) = (which == Questions::Newest).then(|| asked.try_recv().ok()).flatten() {
                next = newer;
            }
            let (id, question) = next;
            while !store.recent().has(id.cause) && !self.stops() {
                std::thread::sleep(LOOK);
            }
            let Some(records) = answer(store.recent(), &question, &self.stopping) else { return };
            for body in records.iter().take_while(|_| !self.stops()) {
                self.send(id, body);
            }
        }
    }
}
