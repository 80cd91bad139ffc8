//! The thread that answers asks: pure work whose answer goes back into the journal as a record.
use crate::world::own;
use faultline_engine::Ask;
use faultline_host::{Inlet, Refused};
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
        // Anything but a full inlet ends it: taken, or the server is stopping and a restart asks again.
        while let Err(Refused::Full { .. } | Refused::DiskFull { .. }) =
            inlet.offer(own(Kind::Reply(id), body.clone(), seed))
        {
            std::thread::sleep(RETRY);
        }
    }
}
