//! A ledger and a cursor in memory, and decisions to put into it.
use faultline_ledger::LedgerEntry;
use faultline_model::facts::{AlertState, Decision, Transition};
use faultline_model::{AlertId, EffectId, Labels, Millis, Occurrence, Position};
use faultline_sinks::{Cursor, Leaves};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Leaves in memory.
#[derive(Default)]
pub struct Ledger {
    leaves: Mutex<Vec<Box<[u8]>>>,
    arrived: Condvar,
    stopped: AtomicBool,
    /// Leaves below this cannot be read.
    pub damaged_below: AtomicU64,
}

impl Ledger {
    /// Appends a decision.
    pub fn push(&self, decision: Decision) -> EffectId {
        let mut leaves = self.leaves.lock().unwrap();
        let id = EffectId { cause: Position { partition: 0, offset: leaves.len() as u64 }, ordinal: 0 };
        leaves.push(LedgerEntry::decided(1, id, decision).leaf_bytes().into());
        drop(leaves);
        self.arrived.notify_all();
        id
    }

    /// Ends [`Leaves::wait`] for good.
    pub fn stop(&self) {
        let _held = self.leaves.lock().unwrap();
        self.stopped.store(true, Ordering::SeqCst);
        self.arrived.notify_all();
    }
}

impl Leaves for Ledger {
    fn read(&self, from: u64, max: usize) -> Result<Vec<Box<[u8]>>, String> {
        if from < self.damaged_below.load(Ordering::SeqCst) {
            return Err("damaged".to_owned());
        }
        Ok(self.leaves.lock().unwrap().iter().skip(from as usize).take(max).cloned().collect())
    }

    fn wait(&self, from: u64, longest: Duration) -> bool {
        let leaves = self.leaves.lock().unwrap();
        let goes_on = |leaves: &mut Vec<_>| leaves.len() as u64 <= from && !self.stopped.load(Ordering::SeqCst);
        let _leaves = self.arrived.wait_timeout_while(leaves, longest, goes_on).unwrap();
        !self.stopped.load(Ordering::SeqCst)
    }

    fn end(&self) -> u64 {
        self.leaves.lock().unwrap().len() as u64
    }
}

/// A cursor that survives its sink.
#[derive(Clone, Default)]
pub struct Place(pub Arc<Mutex<Option<u64>>>);

impl Cursor for Place {
    fn load(&self) -> io::Result<Option<u64>> {
        Ok(*self.0.lock().unwrap())
    }

    fn save(&mut self, next_leaf: u64) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(next_leaf);
        Ok(())
    }
}

/// Alert `name` enters `to` at `at`; it became active `active` ms before.
pub fn alert(name: &str, occurrence: u64, from: AlertState, to: AlertState, at: Millis, active: i64) -> Decision {
    Decision::Alert(Transition {
        alert: AlertId::of_parts(&[name.as_bytes()]),
        occurrence: Occurrence { began: Position { partition: 0, offset: occurrence }, ordinal: 0 },
        from,
        to,
        at,
        active_at: at.plus(-active),
        group: "rules.yml;g".to_owned(),
        name: name.to_owned(),
        labels: Labels::new([("alertname", name), ("severity", "page"), ("site", "eu"), ("__name__", "up")]),
        annotations: vec![("summary".to_owned(), format!("{name} is \"wrong\""))],
        value: 0.5,
        imported: false,
        dry_run: false,
    })
}
