//! The threads that answer what the engine asks.
use crate::published::Published;
use crate::replies::{Questions, Replies};
use crate::run::spawn;
use crate::{explainer, recaller, reviser};
use faultline_engine::{Ask, Recall, Revise};
use faultline_host::yield_to_others;
use faultline_model::EffectId;
use faultline_serve::recent::Recent;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// What is asked, by who answers it.
pub struct Asked {
    /// What explains an incident, and what learns from closed ones.
    pub asks: Receiver<(EffectId, Ask)>,
    /// What the recent store kept of what late rules lack.
    pub recalls: Receiver<(EffectId, Recall)>,
    /// What past instants give with samples that came late.
    pub revises: Receiver<(EffectId, Revise)>,
}

/// Starts them; they end with the senders of questions or when the server stops.
pub fn start(asked: Asked, replies: &Replies, published: &Arc<Published>) -> io::Result<[JoinHandle<()>; 4]> {
    let Asked { asks, recalls, revises } = asked;
    let (learns_in, learns) = channel();
    let learn = {
        let replies = replies.clone();
        spawn("learn", move || {
            yield_to_others();
            explainer::learn_all(&learns, &replies);
        })?
    };
    let explain = {
        let replies = replies.clone();
        spawn("explain", move || {
            yield_to_others();
            explainer::answer_all(&asks, &learns_in, &replies);
        })?
    };
    // They take the recent store's locks: they must not yield to others.
    let recall = {
        let (replies, published) = (replies.clone(), published.clone());
        let answer = |recent: &Recent, asked: &Recall, _: &AtomicBool| Some(recaller::answer(recent, asked));
        spawn("recall", move || replies.from_store(&recalls, Questions::Newest, &published, answer))?
    };
    let revise = {
        let (replies, published) = (replies.clone(), published.clone());
        let answer =
            |recent: &Recent, asked: &Revise, stops: &AtomicBool| Some(vec![reviser::answer(recent, asked, stops)?]);
        spawn("revise", move || replies.from_store(&revises, Questions::All, &published, answer))?
    };
    Ok([explain, learn, recall, revise])
}
