//! An incident's frozen evidence into a verdict.
#![no_std]
extern crate alloc;
