//! Tamper-evident ledger: RFC 6962 hashing, C2SP tiles, signed notes, proofs and an independent verifier.
#![no_std]
extern crate alloc;
