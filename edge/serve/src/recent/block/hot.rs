//! Parts of a block that look-ups of few series read again and again, checked: a panel asks each few seconds what it asked before, and
//! to read a part and check it takes longer than to look through it.
use crate::recent::texts::Texts;
use std::sync::{Arc, Mutex};

/// Parts kept of a block.
const SLOTS: usize = 64;
/// Longer ones are not kept: what reads such takes long anyway.
const SIZE_MAX: usize = 4 << 10;

/// Labels whose values are kept, and the most bytes of the values of one.
const LABELS: usize = 4;
const VALUES_MAX: usize = 64 << 10;

/// What stands in a slot: where the part is in the file, and its body.
type Slot = Mutex<Option<(u64, Arc<[u8]>)>>;

/// At most 512 KiB: parts, each in the slot that its place gives it, and the values of labels that were asked for last.
pub struct Hot {
    slots: Box<[Slot]>,
    values: Mutex<Vec<(String, Arc<Texts>)>>,
}

impl Default for Hot {
    fn default() -> Hot {
        Hot { slots: (0..SLOTS).map(|_| Slot::default()).collect(), values: Mutex::default() }
    }
}

impl Hot {
    fn slot(&self, place: u64) -> &Slot {
        // Fibonacci hashing: places are sums of sizes that are much alike.
        &self.slots[(place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SLOTS]
    }

    /// The body of the part at a place, where it is kept.
    pub fn get(&self, place: u64) -> Option<Arc<[u8]>> {
        let slot = self.slot(place).lock().expect("no holder panics");
        slot.as_ref().filter(|(kept, _)| *kept == place).map(|(_, body)| body.clone())
    }

    /// Keeps the body of the part at a place.
    pub fn put(&self, place: u64, body: &[u8]) -> Arc<[u8]> {
        let body: Arc<[u8]> = body.into();
        if body.len() <= SIZE_MAX {
            *self.slot(place).lock().expect("no holder panics") = Some((place, body.clone()));
        }
        body
    }

    /// The values of a label, where they are kept.
    pub fn values(&self, name: &str) -> Option<Arc<Texts>> {
        let values = self.values.lock().expect("no holder panics");
        values.iter().find(|(kept, _)| kept == name).map(|(_, texts)| texts.clone())
    }

    /// Keeps the values of a label in place of those that came first.
    pub fn put_values(&self, name: &str, texts: &Arc<Texts>) {
        if texts.size() > VALUES_MAX {
            return;
        }
        let mut values = self.values.lock().expect("no holder panics");
        values.retain(|(kept, _)| kept != name);
        let over = values.len().saturating_sub(LABELS - 1);
        values.drain(..over);
        values.push((name.to_owned(), texts.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_of_its_place() {
        let hot = Hot::default();
        let body = |place: u64| vec![place as u8; place as usize % 5_000];
        for place in (64..400_000).step_by(331) {
            assert_eq!(*hot.put(place, &body(place)), body(place)[..]);
            assert_eq!(hot.get(place).is_some(), body(place).len() <= SIZE_MAX, "{place}");
            assert_eq!(hot.get(place + 1), None);
        }
        let kept: Vec<u64> = (0..400_000).filter(|place| hot.get(*place).is_some()).collect();
        assert!((SLOTS / 2..=SLOTS).contains(&kept.len()), "{}", kept.len());
        assert!(kept.iter().all(|place| hot.get(*place).is_some_and(|it| *it == body(*place)[..])));
    }

    #[test]
    fn values_of_few_labels_are_kept() {
        let hot = Hot::default();
        let texts = |size: usize| {
            let mut texts = Texts::default();
            texts.add(&"x".repeat(size));
            Arc::new(texts)
        };
        for (name, size) in [("a", 1), ("b", 2), ("c", VALUES_MAX), ("c", 3), ("d", 4), ("b", 5), ("e", 6), ("f", 7)] {
            hot.put_values(name, &texts(size));
        }
        let kept =
            ["a", "b", "c", "d", "e", "f"].map(|name| hot.values(name).map(|texts| texts.iter().next().map(str::len)));
        assert_eq!(kept, [None, Some(Some(5)), None, Some(Some(4)), Some(Some(6)), Some(Some(7))]);
    }
}
