//! When a service's series are sent: once a second, each service in its own fiftieth of it.
//!
//! Sent all at once, a large estate's span series hold up everything else for tens of milliseconds each second, and with
//! it the alert that has just become true. Prometheus spreads its scrapes over the interval for the same reason. What
//! belongs to one service is of one instant, so that ratios of its series compare like with like.
use super::limits::RESEND;
use alloc::vec::Vec;
use faultline_model::Millis;

/// Turns in a second.
const TURNS: i64 = 50;
/// Length of a turn, in ms.
const TURN_MS: i64 = 1000 / TURNS;

/// A fiftieth of a second, counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn(pub i64);

impl Turn {
    /// The turn that an instant lies in.
    pub fn of(at: Millis) -> Turn {
        Turn(at.0.div_euclid(TURN_MS))
    }

    /// Its end, which belongs to the next.
    pub fn end(self) -> Millis {
        Millis(self.0.saturating_add(1).saturating_mul(TURN_MS))
    }

    /// The one after it.
    pub fn next(self) -> Turn {
        Turn(self.0 + 1)
    }

    /// The second that it lies in.
    pub fn second(self) -> i64 {
        self.0.div_euclid(TURNS)
    }

    /// Whether its second ends with it.
    pub fn is_last(self) -> bool {
        self.0.rem_euclid(TURNS) == TURNS - 1
    }

    /// Whether a row that is sent in this turn is sent whole, changed or not, so that it does not go stale.
    pub fn sends_all(self, row: u32) -> bool {
        i64::from(row) % RESEND == self.second().rem_euclid(RESEND)
    }

    /// Whether it is the turn of a service.
    pub fn is_of(self, service: u32) -> bool {
        place(service) == self.place()
    }

    fn place(self) -> usize {
        self.0.rem_euclid(TURNS) as usize
    }
}

fn place(service: u32) -> usize {
    service as usize % TURNS as usize
}

/// Rows with something to send, by the turn in which they send it. Told by the rows themselves, so not part of the state.
#[derive(Debug)]
pub struct Changed(Vec<Vec<u32>>);

impl Default for Changed {
    fn default() -> Self {
        Changed((0..TURNS).map(|_| Vec::new()).collect())
    }
}

impl Changed {
    /// Notes a row of a service; the caller sees to it that it is noted once.
    pub fn push(&mut self, row: u32, service: u32) {
        self.0[place(service)].push(row);
    }

    /// Drops the rows that `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.0.iter_mut().for_each(|rows| rows.retain(|&row| keep(row)));
    }

    /// The rows to send in `turn`, rising: those that have changed, and of the others below `end` those that are to be
    /// sent whole. [`Changed::give`] takes the buffer back.
    ///
    /// - `unchanged`: the service of a row that has something to send and has not changed.
    pub fn take(&mut self, turn: Turn, end: u32, unchanged: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
        let mut rows = core::mem::take(&mut self.0[turn.place()]);
        let first = turn.second().rem_euclid(RESEND) as u32;
        let whole = (first..end).step_by(RESEND as usize);
        rows.extend(whole.filter(|&row| unchanged(row).is_some_and(|service| turn.is_of(service))));
        rows.sort();
        rows
    }

    /// Keeps a buffer for the next time.
    pub fn give(&mut self, turn: Turn, mut rows: Vec<u32>) {
        rows.clear();
        self.0[turn.place()] = rows;
    }
}

impl FromIterator<(u32, u32)> for Changed {
    /// Of rows and their services.
    fn from_iter<I: IntoIterator<Item = (u32, u32)>>(rows: I) -> Self {
        let mut changed = Changed::default();
        rows.into_iter().for_each(|(row, service)| changed.push(row, service));
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    #[test]
    fn each_row_has_one_turn_a_second_and_is_whole_once_in_thirty() {
        let (mut turn, mut sent, mut whole) = (Turn::of(Millis(-3_000)), BTreeMap::new(), BTreeMap::new());
        let (mut ends, rows) = (0, 0..4000_u32);
        let service = |row: u32| row / 3;
        while turn.end() <= Millis(57_000) {
            let mut changed: Changed = rows.clone().filter(|row| row % 7 == 0).map(|row| (row, service(row))).collect();
            let taken = changed.take(turn, rows.end, |row| (row % 7 != 0).then_some(service(row)));
            assert!(taken.is_sorted());
            for row in taken {
                assert!(turn.is_of(service(row)));
                *sent.entry(row).or_insert(0) += 1;
                *whole.entry(row).or_insert(0) += i32::from(turn.sends_all(row));
            }
            ends += i32::from(turn.is_last());
            assert!(turn.second() * 1000 < turn.end().0 && turn.end().0 <= (turn.second() + 1) * 1000);
            turn = turn.next();
        }
        assert_eq!(ends, 60);
        assert!(sent.iter().all(|(row, &count)| count == if row % 7 == 0 { 60 } else { 2 }));
        assert!(rows.into_iter().all(|row| whole[&row] == 2));
    }
}
