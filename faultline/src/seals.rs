//! What `verify` compares of full segments: each as it stands on disk with what its leaf in the ledger states.
//!
//! Who rewrites a record together with its check sums leaves a journal that reads well, and decisions may even come out as
//! before; the root over the segment is another one.
use faultline_model::facts::Sealed;
use faultline_storage::SegmentContents;
use std::collections::BTreeMap;

/// The segments on disk, and how far the ledger's leaves about them have been taken.
#[derive(Clone)]
pub struct Seals {
    /// Those that no leaf was about so far.
    on_disk: BTreeMap<u64, SegmentContents>,
    oldest: u64,
    /// The segment that the last leaf was about.
    taken: Option<u64>,
    /// Segments that are what their leaves state.
    pub equal: u64,
    /// Leaves about segments that are trimmed.
    pub trimmed: u64,
}

impl Seals {
    /// Nothing compared yet. `segments`: as they stand on disk, oldest first.
    pub fn new(segments: Vec<SegmentContents>) -> Seals {
        let oldest = segments.first().map_or(u64::MAX, |segment| segment.sealed.segment);
        let on_disk = segments.into_iter().map(|segment| (segment.sealed.segment, segment)).collect();
        Seals { on_disk, oldest, taken: None, equal: 0, trimmed: 0 }
    }

    /// The first segment that is not what a leaf in the journal itself states: known before a replay comes to that leaf,
    /// and a better answer than whatever is decided otherwise because of it.
    pub fn compare_with_journal(&self) -> Option<String> {
        let stated = self.on_disk.values().flat_map(|holder| holder.states.iter().map(move |sealed| (holder, sealed)));
        let mut differences = stated.filter_map(|(holder, sealed)| {
            self.compare(sealed, &format!("the leaf in {}", holder.path.display())).err()
        });
        differences.next()
    }

    /// Takes leaf number `number` of the ledger, which states `sealed`; `Err` says what does not fit.
    pub fn take(&mut self, number: u64, sealed: &Sealed) -> Result<(), String> {
        if self.taken.is_some_and(|taken| taken >= sealed.segment) {
            return Err(format!("leaf {number} seals {} after a later one or once more", name(sealed.segment)));
        }
        // Rising, with gaps: whether one was passed over is known at the end.
        self.taken = Some(sealed.segment);
        if sealed.segment < self.oldest {
            self.trimmed += 1;
            return Ok(());
        }
        self.compare(sealed, &format!("leaf {number}"))?;
        self.on_disk.remove(&sealed.segment);
        self.equal += 1;
        Ok(())
    }

    fn compare(&self, stated: &Sealed, who: &str) -> Result<(), String> {
        let Sealed { segment, last, root } = stated;
        if *segment < self.oldest {
            return Ok(());
        }
        match self.on_disk.get(segment) {
            Some(found) if found.full && found.sealed == *stated => Ok(()),
            Some(found) if found.full => Err(format!(
                "{} up to record {} has root {}, {who} states record {last} and root {}",
                found.path.display(),
                found.sealed.last,
                found.sealed.root.hex(),
                root.hex()
            )),
            _ => Err(format!("{who} seals {}, which is no full segment of this journal", name(*segment))),
        }
    }

    /// Full segments without a leaf, by name, once every leaf was taken. There are none below one that has a leaf, and
    /// none at all after a clean stop.
    pub fn finish(&self, clean: bool) -> Result<Vec<String>, String> {
        let without: Vec<&SegmentContents> = self.on_disk.values().filter(|segment| segment.full).collect();
        let missed = without.iter().find(|segment| clean || Some(segment.sealed.segment) < self.taken);
        match missed {
            Some(missed) => Err(format!(
                "{}, full at record {}, has no leaf in the ledger",
                missed.path.display(),
                missed.sealed.last
            )),
            None => Ok(without.into_iter().map(|segment| name(segment.sealed.segment)).collect()),
        }
    }
}

/// A segment's file.
fn name(generation: u64) -> String {
    format!("segment-{generation:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_model::{Digest, Position};

    fn sealed(segment: u64) -> Sealed {
        let last = Position { partition: 0, offset: segment * 10 };
        Sealed { segment, last, root: Digest::of(&segment.to_le_bytes()) }
    }

    /// Segments 3, 5, 6, 7 and, in use, 9.
    fn seals() -> Seals {
        let contents = |segment| SegmentContents {
            path: name(segment).into(),
            sealed: sealed(segment),
            full: segment != 9,
            states: Vec::new(),
        };
        Seals::new([3, 5, 6, 7, 9].map(contents).into())
    }

    /// Takes leaves about `segments` and ends; gives what is missing, or the first difference.
    fn check(segments: &[u64], clean: bool, expected: Result<&[u64], &str>) {
        let mut seals = seals();
        let taken = (100..).zip(segments).try_for_each(|(number, &segment)| seals.take(number, &sealed(segment)));
        match (taken.and_then(|()| seals.finish(clean)), expected) {
            (Ok(found), Ok(missing)) => {
                assert_eq!(found, missing.iter().map(|&segment| name(segment)).collect::<Vec<_>>(), "{segments:?}");
            }
            (Err(found), Err(words)) => assert!(found.contains(words), "{segments:?}: {found}"),
            (found, expected) => panic!("{segments:?}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn one_leaf_for_each_full_segment_in_order() {
        check(&[3, 5, 6, 7], true, Ok(&[]));
        check(&[1, 2, 3, 5, 6, 7], true, Ok(&[]));
        check(&[3, 5], false, Ok(&[6, 7]));
        check(&[], false, Ok(&[3, 5, 6, 7]));
        check(&[3, 5], true, Err("segment-0000000000000006, full at record 0/60, has no leaf"));
        check(&[3, 6, 7], false, Err("segment-0000000000000005, full at record 0/50, has no leaf"));
        check(&[1, 5], false, Err("segment-0000000000000003, full at record 0/30, has no leaf"));
        check(&[3, 5, 5], false, Err("leaf 102 seals segment-0000000000000005 after a later one or once more"));
        check(&[5, 3], false, Err("leaf 101 seals segment-0000000000000003 after"));
        check(&[1, 1], false, Err("leaf 101 seals segment-0000000000000001 after"));
        check(&[3, 4], false, Err("leaf 101 seals segment-0000000000000004, which is no full segment"));
        check(&[3, 5, 6, 7, 9], false, Err("leaf 104 seals segment-0000000000000009, which is no full segment"));
    }

    #[test]
    fn a_segment_must_be_what_its_leaf_states() {
        for (what, stated) in [
            ("root", Sealed { root: Digest::of(b"other"), ..sealed(5) }),
            ("record 0/51", Sealed { last: Position { partition: 0, offset: 51 }, ..sealed(5) }),
        ] {
            let difference = seals().take(7, &stated).expect_err("it differs");
            assert!(difference.contains("segment-0000000000000005 up to record 0/50 has root"), "{difference}");
            assert!(difference.contains("leaf 7 states") && difference.contains(what), "{difference}");
            let mut seals = seals();
            seals.on_disk.get_mut(&9).expect("it is there").states = vec![sealed(2), sealed(3), stated, sealed(6)];
            let found = seals.compare_with_journal().expect("it differs");
            assert!(found.contains("the leaf in segment-0000000000000009 states"), "{found}");
        }
    }
}
