//! Where calls of one kind have gone before, so that a call whose other half is missing still counts where it belongs.
//!
//! A killed service sends no server spans: without a memory, its callers' failures would be nobody's for as long as a
//! span waits, and then belong to an address. A *kind* of call is the caller, the peer that it names and the span's name.
use super::index::{Index, mix};
use super::limits::{CANDIDATES, PREDICTIONS, outlived};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{CodecError, Millis, Reader, Table, Writer, canonical_struct, freeze_by_copy};

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

/// Name of the table.
pub const TABLE: &str = "predictions";

/// All kinds of call.
#[derive(Debug, Default)]
pub struct Predictions {
    rows: Table<Prediction>,
    index: Index,
    seed: u64,
}

impl Predictions {
    /// None yet.
    pub fn new(seed: u64) -> Predictions {
        Predictions { seed, ..Predictions::default() }
    }

    fn hash(&self, row: u32) -> u64 {
        let row = self.rows.get(row).expect("indexed rows exist");
        hash(self.seed, row.caller, row.peer_key, row.name_key)
    }

    /// The row of a kind of call, made when it is new; none when the table is full.
    pub fn find(&mut self, caller: u32, peer: &str, peer_key: u64, name_key: u64, at: Millis) -> Option<u32> {
        let hash = hash(self.seed, caller, peer_key, name_key);
        let rows = &self.rows;
        let found = self.index.find(hash, |row| {
            rows.get(row).is_some_and(|r| (r.caller, r.peer_key, r.name_key) == (caller, peer_key, name_key))
        });
        if let Some(row) = found {
            self.rows.row_mut(row).used = at;
            return Some(row);
        }
        if self.rows.len() >= PREDICTIONS {
            return None;
        }
        let candidates = Vec::new();
        let row = self.rows.insert(Prediction { caller, peer_key, name_key, peer: peer.into(), candidates, used: at });
        let mut index = core::mem::take(&mut self.index);
        index.insert(hash, row, |row| self.hash(row));
        self.index = index;
        Some(row)
    }

    /// The row.
    pub fn get(&self, row: u32) -> &Prediction {
        self.rows.get(row).expect("rows in use outlive the spans that name them")
    }

    /// Notes that such a call went to `service`. A service that answers replaces `stand_in`, the peer it was taken for.
    pub fn learn(&mut self, row: u32, service: u32, stand_in: impl Fn(u32) -> bool, at: Millis) {
        let candidates = &mut self.rows.row_mut(row).candidates;
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

    /// Evicts what has not been used for long among the rows of one phase.
    pub fn sweep(&mut self, phase: u32, step: usize, now: Millis) {
        for row in (phase..self.rows.end()).step_by(step) {
            let used = self.rows.get(row).map(|r| r.used);
            if used.is_some_and(|used| outlived(used, now, self.rows.len(), PREDICTIONS)) {
                self.remove(row);
            }
        }
    }

    /// Forgets services, whose ids may be given again. `gone` rises.
    pub fn forget(&mut self, gone: &[u32]) {
        let is_gone = |service: u32| gone.binary_search(&service).is_ok();
        for row in 0..self.rows.end() {
            let Some(prediction) = self.rows.get(row) else { continue };
            if is_gone(prediction.caller) {
                self.remove(row);
            } else if prediction.candidates.iter().any(|&(service, _)| is_gone(service)) {
                self.rows.row_mut(row).candidates.retain(|&(service, _)| !is_gone(service));
            }
        }
    }

    fn remove(&mut self, row: u32) {
        self.index.remove(self.hash(row), row);
        self.rows.remove(row);
    }

    /// The rows.
    pub fn table(&mut self) -> &mut dyn Paged {
        &mut self.rows
    }

    /// Appends what is beside them.
    pub fn write(&self, w: &mut Writer) {
        self.rows.write_rest(w);
    }

    /// Reads them back.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes, seed: u64) -> Result<Predictions, CodecError> {
        let mut predictions = Predictions { rows: Table::read(r, TABLE, pages)?, index: Index::default(), seed };
        let mut index = Index::default();
        for (row, _) in predictions.rows.iter() {
            index.insert(predictions.hash(row), row, |row| predictions.hash(row));
        }
        predictions.index = index;
        Ok(predictions)
    }
}

fn hash(seed: u64, caller: u32, peer_key: u64, name_key: u64) -> u64 {
    mix(seed, mix(seed, u64::from(caller), peer_key), name_key)
}
