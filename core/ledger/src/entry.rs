//! What a leaf says, in canonical bytes.
use alloc::vec::Vec;
use faultline_model::facts::Decision;
use faultline_model::{Canonical, Digest, EffectId, Position, canonical_enum, canonical_struct};

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
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A decision of the engine.
    Decided {
        /// Its id: which record caused it.
        id: EffectId,
        /// The decision.
        decision: Decision,
    },
    /// A segment of the journal was sealed: the root over its records' hashes.
    Sealed {
        /// The last record in it.
        last: Position,
        /// RFC 6962 root over the records.
        root: Digest,
    },
    /// A decision too large for a leaf: its digest stands for it.
    Digested {
        /// The decision's id.
        id: EffectId,
        /// SHA-256 of its canonical bytes.
        digest: Digest,
    },
}
canonical_enum!(Fact { Decided = 1 { id, decision }, Sealed = 2 { last, root }, Digested = 3 { id, digest } });

impl LedgerEntry {
    /// The entry of a decision.
    pub fn decided(engine: u32, id: EffectId, decision: Decision) -> LedgerEntry {
        LedgerEntry { format: FORMAT, engine, fact: Fact::Decided { id, decision } }
    }

    /// The entry of a sealed segment.
    pub fn sealed(engine: u32, last: Position, root: Digest) -> LedgerEntry {
        LedgerEntry { format: FORMAT, engine, fact: Fact::Sealed { last, root } }
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
    use faultline_model::facts::{Quarantined, RulesRefused};

    fn refused(size: usize) -> LedgerEntry {
        let refused =
            RulesRefused { digest: Digest::default(), file: "a.yml".into(), line: 3, reason: "x".repeat(size) };
        LedgerEntry::decided(1, EffectId::default(), Decision::RulesRefused(refused))
    }

    #[test]
    fn an_entry_survives_its_bytes() {
        let quarantined = Quarantined { position: Position { partition: 0, offset: 9 }, reason: "why".into() };
        for entry in [
            refused(10),
            LedgerEntry::sealed(1, Position { partition: 0, offset: 7 }, Digest::of(b"x")),
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
