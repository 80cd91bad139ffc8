//! The pure function of the journal: step, effects, state tables, checkpoints.
#![no_std]
extern crate alloc;
