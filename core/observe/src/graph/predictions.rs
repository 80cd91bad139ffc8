//! Where calls of one kind have gone before, so that a call whose other half is missing still counts where it belongs.
//!
//! A killed service sends no server spans: without a memory, its callers' failures would be nobody's for as long as a
//! span waits, and then belong to an address. A *kind* of call is the caller, the peer that it names and the span's name.
use super::index::mix;
use super::keyed::{About, Keyed};
use super::limits::{CANDIDATES, PREDICTIONS};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::{Millis, canonical_struct, freeze_by_copy};

/// One kind of call.
#[derive(Clone, Debug)]
pub struct Prediction {
    caller: u32,
    peer_key: u64,
    name_key: u64,
    /// The peer as the client names it; `""` where it names none.
    pub peer: String,
    /// Services it has gone to and when last, in order of first appearance.
    candidates: Vec<(u32, Millis)>,
    used: Millis,
}
canonical_struct!(Prediction { caller, peer_key, name_key, peer, candidates, used });
freeze_by_copy!(Prediction);

impl Prediction {
    /// The service that such a call goes to, when it has only ever gone to one.
    pub fn certain(&self) -> Option<u32> {
        match self.candidates[..] {
            [(service, _)] => Some(service),
            _ => None,
        }
    }

    /// The service that such a call, unanswered, went to: the one that has answered none for longest. The others do
    /// answer, so the missing answer is not theirs.
    pub fn likeliest(&self) -> Option<u32> {
        self.candidates.iter().min_by_key(|&&(service, last)| (last, service)).map(|&(service, _)| service)
    }
}

impl About for Prediction {
    const TABLE: &'static str = "predictions";
    const MOST: usize = PREDICTIONS;

    fn hash(&self, seed: u64) -> u64 {
        hash(seed, self.caller, self.peer_key, self.name_key)
    }

    fn service(&self) -> u32 {
        self.caller
    }

    fn used(&self) -> Millis {
        self.used
    }
}

/// All kinds of call.
pub type Predictions = Keyed<Prediction>;

impl Predictions {
    /// The row of a kind of call, made when it is new; none when the table is full.
    pub fn kind(&mut self, caller: u32, peer: &str, peer_key: u64, name_key: u64, at: Millis) -> Option<u32> {
        let hash = hash(self.seed(), caller, peer_key, name_key);
        let is = |it: &Prediction| (it.caller, it.peer_key, it.name_key) == (caller, peer_key, name_key);
        if let Some(row) = self.find(hash, is) {
            self.row_mut(row).used = at;
            return Some(row);
        }
        let (peer, candidates) = (peer.into(), Vec::new());
        (!self.is_full()).then(|| self.insert(Prediction { caller, peer_key, name_key, peer, candidates, used: at }))
    }

    /// Notes that such a call went to `service`. A service that answers replaces `stand_in`, the peer it was taken for.
    pub fn learn(&mut self, row: u32, service: u32, stand_in: impl Fn(u32) -> bool, at: Millis) {
        let candidates = &mut self.row_mut(row).candidates;
        if !stand_in(service) {
            candidates.retain(|&(known, _)| known == service || !stand_in(known));
        }
        match candidates.iter_mut().find(|(known, _)| *known == service) {
            Some((_, last)) => *last = at,
            None => {
                if candidates.len() == CANDIDATES {
                    let oldest = (0..CANDIDATES).min_by_key(|&i| candidates[i].1).expect("there are some");
                    candidates.remove(oldest);
                }
                candidates.push((service, at));
            }
        }
    }

    /// Forgets services as callers and as callees; their ids may be given again. `gone` rises.
    pub fn forget_all(&mut self, gone: &[u32]) {
        self.forget(gone);
        let is_gone = |&(service, _): &(u32, Millis)| gone.binary_search(&service).is_ok();
        let of_gone = self.iter().filter(|(_, it)| it.candidates.iter().any(is_gone)).map(|(row, _)| row);
        let rows: Vec<u32> = of_gone.collect();
        rows.into_iter().for_each(|row| self.row_mut(row).candidates.retain(|it| !is_gone(it)));
    }
}

fn hash(seed: u64, caller: u32, peer_key: u64, name_key: u64) -> u64 {
    mix(seed, mix(seed, u64::from(caller), peer_key), name_key)
}
