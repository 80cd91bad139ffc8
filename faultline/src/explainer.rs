//! The threads that answer pure asks: explanations, and what closed incidents teach. Answers go back into the journal as records.
use crate::replies::Replies;
use faultline_engine::Ask;
use faultline_model::facts::{Evidence, Lessons};
use faultline_model::{Canonical, EffectId};
use std::sync::mpsc::{Receiver, Sender};

/// The answer to what was asked about `evidence`, in canonical bytes: what the reply record holds, and what `verify`
/// recomputes.
pub fn answer(evidence: &Evidence) -> Vec<u8> {
    faultline_explain::explain(evidence).to_bytes()
}

/// The weights that closed incidents give, in canonical bytes: the same of [`Ask::Learn`].
pub fn weights(lessons: &Lessons) -> Vec<u8> {
    faultline_explain::learn(lessons).to_bytes()
}

/// The answer to a pure ask; none of what needs the world.
pub fn answer_to(ask: &Ask) -> Option<Vec<u8>> {
    match ask {
        Ask::Explain(evidence) => Some(answer(evidence)),
        Ask::Learn(lessons) => Some(weights(lessons)),
        Ask::Hash(_) | Ask::Recall(_) | Ask::Revise(_) => None,
    }
}

/// Answers explanations until their sender is gone. An ask left unanswered is posted again on the next start.
///
/// - `learns`: where lessons go: learning takes up to seconds, which no explanation waits.
pub fn answer_all(asks: &Receiver<(EffectId, Ask)>, learns: &Sender<(EffectId, Lessons)>, replies: &Replies) {
    for (id, ask) in asks {
        match ask {
            Ask::Learn(lessons) => drop(learns.send((id, *lessons))),
            ask => {
                if let Some(body) = answer_to(&ask) {
                    replies.send(id, &body);
                }
            }
        }
    }
}

/// Learns until nobody asks any more.
pub fn learn_all(asks: &Receiver<(EffectId, Lessons)>, replies: &Replies) {
    for (id, lessons) in asks {
        replies.send(id, &weights(&lessons));
    }
}
