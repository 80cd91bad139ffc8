//! Accuracy on recorded and simulated data.
//!
//! A case is one estate with one fault. The server's own loop runs over it on a simulated clock ([`server`]), so that an hour
//! takes seconds and the same seed gives the same figures; what it decided, and when, is then held against the truth
//! ([`case`]) and summed up ([`score`]). Beside it, the query language and the rules are
//! held against their oracles ([`promql`], [`alerts`]), and so is exact inference ([`bn`]).
pub mod alerts;
pub mod bn;
pub mod case;
pub mod demo;
pub mod packed;
pub mod promql;
pub mod rca;
pub mod score;
pub mod senders;
pub mod server;
pub mod story;
pub mod transcript;
