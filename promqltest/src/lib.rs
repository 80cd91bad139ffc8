//! What tests of PromQL share: the runner of Prometheus' conformance scripts, series in memory, and seeded expressions.
//!
//! `core/promql` tests itself with it, and `cargo xtask eval promql` holds the language against scripts and a real Prometheus.
mod expressions;
pub mod random;
pub mod script;
pub mod store;
pub mod world;
