//! The thread that answers asks: pure work whose answer goes back into the journal as a record.
use crate::world::own;
use faultline_engine::Ask;
use faultline_host::{Inlet, Pending, Refused};
use faultline_model::facts::Evidence;
use faultline_model::{Canonical, EffectId, HashSeed, Kind};
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// How long to wait before offering an answer again to a full inlet.
const RETRY: Duration = Duration::from_millis(20);

/// The answer to what was asked about `evidence`, in canonical bytes: what the reply record holds, and what `verify`
/// recomputes.
pub fn answer(evidence: &Evidence) -> Vec<u8> {
    faultline_explain::explain(evidence).to_bytes()
}

/// Answers asks until their sender is gone or the server stops. An ask left unanswered is posted again on the next start.
pub fn answer_all(asks: &Receiver<(EffectId, Ask)>, inlet: &Inlet, seed: HashSeed) {
    for (id, ask) in asks {
        let Ask::Explain(evidence) = ask else { continue };
        let body = answer(&evidence);
        while !hand_in(inlet, id, &body, seed) {
            std::thread::sleep(RETRY);
        }
    }
}

/// Hands an answer in as a record and waits for it to be durable; false where there was no room and it must be handed in
/// again. Where the server stops, it is done with: the next start asks anew.
pub fn hand_in(inlet: &Inlet, id: EffectId, body: &[u8], seed: HashSeed) -> bool {
    let taken = inlet.offer(own(Kind::Reply(id), body.to_vec(), seed)).and_then(Pending::wait);
    !matches!(taken, Err(Refused::Full { .. } | Refused::DiskFull { .. }))
}
