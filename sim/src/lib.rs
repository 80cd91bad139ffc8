//! Deterministic simulation: the process of `faultline run` at any point of its life, on a disk that fails.
//!
//! The problem: what happens once in ten thousand starts is not found by starting a server. The idea: everything that the
//! process does to the world goes through the traits of `host`, so a program can stand for the world, step each thread of the
//! process by hand, draw what fails from a seed, and compare what is left with what was promised. The same seed gives the
//! same run, byte for byte. What it does not model: docs/reliability.md. Further reading: docs/design/0004-simulation.md.
pub mod coverage;
pub mod damage;
pub mod disk;
pub mod event;
pub mod file;
pub mod mutants;
pub mod node;
pub mod oracle;
pub mod plan;
pub mod receivers;
pub mod rest;
pub mod run;
pub mod senders;
pub mod shrink;
pub mod trace;

pub use coverage::Coverage;
pub use event::Event;
pub use oracle::Broken;
pub use plan::Plan;
pub use run::{Outcome, run};
