//! Records on which `step` breaks: how that is caught, which they are, and when there are too many.
//!
//! The list is the journal's own: each of these records has a leaf that says so, and whoever replays reads those leaves
//! before it steps (docs/design/0003-quarantine.md).
use faultline_host::{Item, ReadError, Reader};
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::Decision;
use faultline_model::{Canonical, Hlc, Position};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// As many within a minute, or one after the other, are the fault of the build and not of a record.
pub const TOO_MANY: usize = 16;
/// The minute, in ms of the records' stamps.
const WITHIN_MS: i64 = 60_000;
/// Most bytes of a reason.
const REASON_MAX: usize = 500;
/// A leaf that is larger quarantines nothing: a reason, and numbers.
const LEAF_MAX: usize = REASON_MAX + 100;
/// Bytes read from the journal at a time.
const CHUNK: usize = 8 << 20;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does `work`; where it panics, says with what words and where. Prints nothing: the caller knows what to say.
pub fn caught(work: impl FnOnce()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !CATCHING.get() {
                return before(panic);
            }
            let words = panic.payload_as_str().unwrap_or("no words");
            let place = panic.location().map_or(String::new(), |at| format!(" ({}:{})", at.file(), at.line()));
            let kept = words.floor_char_boundary(REASON_MAX.saturating_sub(place.len()));
            let said = format!("{}{place}", &words[..kept]);
            SAID.set(said[..said.floor_char_boundary(REASON_MAX)].to_string());
        }));
    });
    CATCHING.set(true);
    // Whatever `work` had in its hands is given up with it: no caller goes on with a state in which it broke.
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    result.map_err(|_| SAID.take())
}

/// Too many records break `step`: another build is needed, not another record passed over.
#[derive(Debug, thiserror::Error)]
#[error(
    "{TOO_MANY} records within a minute, or one after the other, break the engine, the last one record {at}: {reason}; \
     this build is at fault and not the records: keep the data folder, start the release before or one that mends it"
)]
pub struct TooMany {
    /// The last one, which is not quarantined.
    pub at: Position,
    /// What the assertion said.
    pub reason: String,
}

/// The records that are passed over, and how close together they were.
#[derive(Clone, Debug, Default)]
pub struct Quarantine {
    reasons: BTreeMap<Position, String>,
    /// Of the last ones passed, at most one less than too many.
    passed: VecDeque<Hlc>,
    in_a_row: usize,
}

impl Quarantine {
    /// What the journal's leaves after record `after` state.
    pub fn listed(reader: &mut dyn Reader, after: Option<Position>) -> Result<Quarantine, ReadError> {
        let mut list = Quarantine::default();
        let mut last = after;
        loop {
            let items = reader.read(last, CHUNK)?;
            if items.is_empty() {
                return Ok(list);
            }
            for item in items {
                match item {
                    Item::Record(stored) => last = Some(stored.at),
                    Item::Leaves { leaves, .. } => {
                        list.reasons.extend(leaves.iter().filter_map(|leaf| quarantined_in(leaf)));
                    }
                }
            }
        }
    }

    /// Why the record at `at` is passed over, where it is.
    pub fn reason(&self, at: Position) -> Option<&str> {
        self.reasons.get(&at).map(String::as_str)
    }

    /// Takes up a record on which `step` was seen to break, the next one to come.
    pub fn add(&mut self, at: Position, stamp: Hlc, reason: String) -> Result<(), TooMany> {
        let first = self.passed.front().filter(|_| self.passed.len() + 1 >= TOO_MANY);
        let dense = first.is_some_and(|first| stamp.millis().since(first.millis()) < WITHIN_MS);
        if dense || self.in_a_row + 1 >= TOO_MANY {
            return Err(TooMany { at, reason });
        }
        self.reasons.insert(at, reason);
        Ok(())
    }

    /// A record of the list was passed over.
    pub fn pass(&mut self, stamp: Hlc) {
        self.in_a_row += 1;
        self.passed.push_back(stamp);
        if self.passed.len() >= TOO_MANY {
            self.passed.pop_front();
        }
    }

    /// A record was stepped over well.
    pub fn well(&mut self) {
        self.in_a_row = 0;
    }
}

/// The record that `leaf` quarantines, and why.
fn quarantined_in(leaf: &[u8]) -> Option<(Position, String)> {
    if leaf.len() > LEAF_MAX {
        return None;
    }
    match LedgerEntry::from_bytes(leaf).ok()?.fact {
        Fact::Decided { decision: Decision::Quarantined(it), .. } => Some((it.position, it.reason)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_model::facts::Quarantined;
    use faultline_model::{EffectId, Millis};

    fn at(offset: u64) -> Position {
        Position { partition: 0, offset }
    }

    #[test]
    fn a_panic_is_caught_with_its_words_and_place_and_others_pass() {
        assert_eq!(caught(|| {}), Ok(()));
        let why = caught(|| panic!("a {} word", "bad")).unwrap_err();
        assert!(why.starts_with("a bad word (") && why.contains("quarantine.rs:"), "{why}");
        let why = caught(|| panic!("{}", "ü".repeat(1_000))).unwrap_err();
        assert!(why.len() <= REASON_MAX && why.contains("quarantine.rs:"), "{why}");
        let longest = "x".repeat(REASON_MAX);
        let it = Quarantined { position: at(u64::MAX), reason: longest.clone() };
        let id = EffectId { cause: at(u64::MAX), ordinal: 0 };
        let leaf = LedgerEntry::decided(u32::MAX, id, Decision::Quarantined(it)).leaf_bytes();
        assert_eq!(quarantined_in(&leaf), Some((at(u64::MAX), longest)));
        assert_eq!(quarantined_in(b"x"), None);
    }

    /// Records that break, `apart` ms from one another with `well` others between; how many are passed over.
    fn check(apart: i64, well: usize) -> usize {
        let mut list = Quarantine::default();
        for number in 0..100 {
            let stamp = Hlc::default().next(Millis(1_000_000 + number * apart));
            if list.add(at(number as u64), stamp, "why".into()).is_err() {
                return number as usize;
            }
            assert_eq!(list.reason(at(number as u64)), Some("why"));
            list.pass(stamp);
            (0..well).for_each(|_| list.well());
        }
        100
    }

    #[test]
    fn sixteen_within_a_minute_or_in_a_row_are_too_many() {
        assert_eq!(check(100, 5), TOO_MANY - 1);
        assert_eq!(check(3_999, 5), TOO_MANY - 1);
        assert_eq!(check(4_000, 5), 100);
        assert_eq!(check(60_000, 0), TOO_MANY - 1);
    }
}
