//! What was turned away before it was a record: counted by who and why, with the newest of each.
use faultline_host::{AwayReason, TurnedAway};
use faultline_model::Millis;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Pairs of sender and reason that are told apart. Of more, the one not seen for longest goes; the sums keep it.
pub const ROWS_MAX: usize = 1_024;

/// Who, where and why. Listeners are our own fixed words.
type Key = (&'static str, IpAddr, AwayReason);

/// How often, and the newest.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub count: u64,
    pub first: Millis,
    pub last: Millis,
    pub newest: TurnedAway,
}

/// The table, and sums over all that ever were in it.
#[derive(Default)]
pub(crate) struct Away {
    rows: BTreeMap<Key, Row>,
    sums: BTreeMap<(&'static str, AwayReason), u64>,
}

impl Away {
    /// Takes in one request, turned away at the wall time `at`.
    pub fn add(&mut self, at: Millis, turned: TurnedAway) {
        let sum = self.sums.entry((turned.listener, turned.reason)).or_default();
        *sum = sum.saturating_add(1);
        let key = (turned.listener, turned.peer, turned.reason);
        if let Some(row) = self.rows.get_mut(&key) {
            (row.count, row.last) = (row.count.saturating_add(1), at);
            row.newest = turned;
            return;
        }
        if self.rows.len() >= ROWS_MAX {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.last).map(|(key, _)| *key);
            oldest.map(|key| self.rows.remove(&key));
        }
        self.rows.insert(key, Row { count: 1, first: at, last: at, newest: turned });
    }

    /// Rows, the newest first.
    pub fn newest(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.last));
        rows
    }

    /// Requests since the start, by listener and reason.
    pub fn sums(&self) -> &BTreeMap<(&'static str, AwayReason), u64> {
        &self.sums
    }

    /// Requests since the start, by reason.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for ((_, reason), count) in &self.sums {
            let sum: &mut u64 = counts.entry(reason.word()).or_default();
            *sum = sum.saturating_add(*count);
        }
        counts
    }
}
