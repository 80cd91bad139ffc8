//! Tamper-evident ledger: RFC 6962 hashing, C2SP tiles, signed notes, proofs and an independent verifier.
//!
//! A leaf per decision, in a Merkle tree whose signed heads are C2SP checkpoints and whose nodes are C2SP tiles, so that
//! anyone's tools can check it. A tree alone cannot show that its tail was cut or that the key's holder rewrote it all:
//! only a head that somebody else keeps can. That is what heads are printed and cosigned for.
#![no_std]
extern crate alloc;

pub mod entry;
pub mod hash;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;

pub use entry::{ENTRY_SIZE_MAX, Fact, LedgerEntry};
pub use hash::{Hash, leaf_hash, node_hash};
pub use note::{Head, NoteError, Signer, Verifier};
pub use proof::{ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};
pub use tile::{TILE_WIDTH, TileName, bundle_entries, push_entry};
pub use tree::{Completed, Tree};
