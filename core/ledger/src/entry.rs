//! What a leaf says, in canonical bytes.
use alloc::vec::Vec;
use faultline_model::facts::{Decision, Sealed};
use faultline_model::{Canonical, Digest, EffectId, canonical_enum, canonical_struct};

/// Most bytes of a leaf: C2SP entry bundles hold each entry's size in 16 bits.
pub const ENTRY_SIZE_MAX: usize = 65_535;

/// Version of the layout of entries: `docs/formats/ledger.md`.
pub const FORMAT: u16 = 1;

/// A leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    /// Version of this layout.
    pub format: u16,
    /// Version of the engine that decided.
    pub engine: u32,
    /// What is stated.
    pub fact: Fact,
}
canonical_struct!(LedgerEntry { format, engine, fact });

/// What a leaf states.
#[allow(clippy::large_enum_variant, reason = "nearly all facts are decisions, and each is written and gone")]
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A decision of the engine.
    Decided {
        /// Its id: which record caused it.
        id: EffectId,
        /// The decision.
        decision: Decision,
    },
    /// A segment of the journal is full: what is stored in it, once and for all.
    Sealed(Sealed),
    /// A decision too large for a leaf: its digest stands for it.
    Digested {
        /// The decision's id.
        id: EffectId,
        /// SHA-256 of its canonical bytes.
        digest: Digest,
    },
}
canonical_enum!(Fact { Decided = 1 { id, decision }, Sealed = 2 (sealed), Digested = 3 { id, digest } });

/// Most bytes of a sealed segment's leaf: heads of four arrays, six numbers, a digest.
const SEALED_SIZE_MAX: usize = 4 + (3 + 5 + 1) + (9 + 5 + 9) + (2 + 32);

impl LedgerEntry {
    /// The entry of a decision.
    pub fn decided(engine: u32, id: EffectId, decision: Decision) -> LedgerEntry {
        LedgerEntry { format: FORMAT, engine, fact: Fact::Decided { id, decision } }
    }

    /// The entry of a sealed segment.
    pub fn sealed(engine: u32, sealed: Sealed) -> LedgerEntry {
        LedgerEntry { format: FORMAT, engine, fact: Fact::Sealed(sealed) }
    }

    /// What `leaf` states, where it is a sealed segment's. Cheap for others: whoever looks for these asks every leaf.
    pub fn sealed_in(leaf: &[u8]) -> Option<Sealed> {
        if leaf.len() > SEALED_SIZE_MAX {
            return None;
        }
        match LedgerEntry::from_bytes(leaf) {
            Ok(LedgerEntry { fact: Fact::Sealed(sealed), .. }) => Some(sealed),
            _ => None,
        }
    }

    /// The leaf's bytes, at most [`ENTRY_SIZE_MAX`]: a larger decision is replaced by its digest.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        let bytes = self.to_bytes();
        match &self.fact {
            Fact::Decided { id, decision } if bytes.len() > ENTRY_SIZE_MAX => {
                let digest = Digest::of(&decision.to_bytes());
                LedgerEntry { fact: Fact::Digested { id: *id, digest }, ..*self }.to_bytes()
            }
            _ => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_model::Position;
    use faultline_model::facts::{Quarantined, RulesRefused};

    fn refused(size: usize) -> LedgerEntry {
        let refused =
            RulesRefused { digest: Digest::default(), file: "a.yml".into(), line: 3, reason: "x".repeat(size) };
        LedgerEntry::decided(1, EffectId::default(), Decision::RulesRefused(refused))
    }

    fn sealed(segment: u64, offset: u64) -> Sealed {
        Sealed { segment, last: Position { partition: 0, offset }, root: Digest::of(b"x") }
    }

    #[test]
    fn a_sealed_segment_is_told_from_other_leaves() {
        let partition = u32::MAX;
        let longest = Sealed { last: Position { partition, offset: u64::MAX }, ..sealed(u64::MAX, 0) };
        let entry = LedgerEntry { format: u16::MAX, engine: u32::MAX, fact: Fact::Sealed(longest) };
        assert_eq!(entry.leaf_bytes().len(), SEALED_SIZE_MAX);
        for entry in [entry, LedgerEntry::sealed(1, sealed(3, 7)), LedgerEntry::sealed(0, sealed(0, 0))] {
            let Fact::Sealed(expected) = entry.fact else { unreachable!() };
            let leaf = entry.leaf_bytes();
            assert_eq!(LedgerEntry::sealed_in(&leaf), Some(expected));
            for other in [&leaf[1..], &leaf[..leaf.len() - 1], &[&leaf[..], b"x"].concat()] {
                assert_eq!(LedgerEntry::sealed_in(other), None);
            }
        }
        for other in [refused(0), refused(10), refused(1_000)] {
            assert_eq!(LedgerEntry::sealed_in(&other.leaf_bytes()), None);
        }
        assert_eq!(LedgerEntry::sealed_in(b""), None);
    }

    #[test]
    fn an_entry_survives_its_bytes() {
        let quarantined = Quarantined { position: Position { partition: 0, offset: 9 }, reason: "why".into() };
        for entry in [
            refused(10),
            LedgerEntry::sealed(1, sealed(3, 7)),
            LedgerEntry::decided(2, EffectId::default(), Decision::Quarantined(quarantined)),
        ] {
            assert_eq!(LedgerEntry::from_bytes(&entry.leaf_bytes()), Ok(entry));
        }
    }

    #[test]
    fn a_large_decision_becomes_its_digest() {
        let leaf = refused(70_000).leaf_bytes();
        assert!(leaf.len() < 100);
        assert!(matches!(LedgerEntry::from_bytes(&leaf), Ok(LedgerEntry { fact: Fact::Digested { .. }, .. })));
    }
}
