//! Labels, series, times, ids, facts, ordered maps, float maths and canonical bytes: no algorithms.
#![no_std]
extern crate alloc;
