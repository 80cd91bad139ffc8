//! The thread that answers asks: pure work whose answer goes back into the journal as a record.
use crate::replies::Replies;
use faultline_engine::Ask;
use faultline_model::facts::Evidence;
use faultline_model::{Canonical, EffectId};
use std::sync::mpsc::Receiver;

/// The answer to what was asked about `evidence`, in canonical bytes: what the reply record holds, and what `verify`
/// recomputes.
pub fn answer(evidence: &Evidence) -> Vec<u8> {
    faultline_explain::explain(evidence).to_bytes()
}

/// Answers asks until their sender is gone. An ask left unanswered is posted again on the next start.
pub fn answer_all(asks: &Receiver<(EffectId, Ask)>, replies: &Replies) {
    for (id, ask) in asks {
        let Ask::Explain(evidence) = ask else { continue };
        replies.send(id, &answer(&evidence));
    }
}
