//! Discrete Bayesian networks with exact junction-tree inference; useful alone.
#![no_std]
extern crate alloc;
