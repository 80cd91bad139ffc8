//! Hostile bytes for every decoder and every reader of what is on disk.
//!
//! A target is a plain function of bytes that panics where a promise is broken: not only "it does not panic", but that a
//! decoder gives the same twice, that what is accepted is written back byte for byte, that damage is never read as data.
//! `cargo xtask fuzz` drives the targets with libFuzzer and AddressSanitizer under a memory cap; `tests/it` runs the same
//! functions on stable over the corpus, over every past finding and over mutations of both.
#![forbid(unsafe_code)]

pub mod input;
mod small;
mod targets;

/// One thing that reads foreign bytes.
pub struct Target {
    /// Its name on the command line and of its folders under `corpus/` and `regressions/`.
    pub name: &'static str,
    /// Longest input that is worth trying, in bytes.
    pub size_max: usize,
    /// Reads the bytes; panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made by our own encoders.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target, in the data's order.
pub const TARGETS: &[Target] = &[
    targets::decode::TARGET,
    targets::promql::TARGET,
    targets::rules::TARGET,
    targets::template::TARGET,
    targets::bif::TARGET,
    targets::codec::TARGET,
    targets::ledger::TARGET,
    targets::journal::TARGET,
    targets::stores::TARGET,
    targets::recent::TARGET,
    targets::tsdb::TARGET,
    targets::restore::TARGET,
    targets::step::TARGET,
    targets::explain::TARGET,
    targets::api::TARGET,
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
