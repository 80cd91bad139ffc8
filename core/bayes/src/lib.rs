//! Discrete Bayesian networks with exact junction-tree inference; useful alone.
//!
//! ```
//! use faultline_bayes::{Cause, Evidence, Network, Tree, limits::TREE_ENTRIES_DEFAULT};
//!
//! let mut builder = Network::builder();
//! let database = builder.variable_named("database", &["healthy", "faulty"])?;
//! let network = builder.variable_named("network", &["healthy", "faulty"])?;
//! let checkout = builder.variable_named("checkout", &["healthy", "degraded"])?;
//! builder.cpt(database, &[], &[0.98, 0.02])?;
//! builder.cpt(network, &[], &[0.99, 0.01])?;
//! builder.noisy_or(checkout, 0.001, &[Cause::binary(database, 0.9), Cause::binary(network, 0.5)])?;
//! let model = builder.build()?;
//!
//! let tree = Tree::compile(&model, TREE_ENTRIES_DEFAULT)?;
//! let mut evidence = Evidence::new();
//! evidence.observe(checkout, 1).likelihood(network, &[1.0, 0.2]);
//! let posteriors = tree.propagate(&evidence)?;
//! assert!(posteriors.marginal(database).unwrap()[1] > 0.9);
//!
//! // What if the database were healthy?
//! let cured = Tree::compile(&model.intervene(&[(database, 0)])?, TREE_ENTRIES_DEFAULT)?;
//! assert!(cured.propagate(&Evidence::new())?.marginal(checkout).unwrap()[1] < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Network`]: variables, tables, [noisy-OR](NetworkBuilder::noisy_or) by parent divorcing,
//!   [`intervene`](Network::intervene), [`twin`](Network::twin); [`bif`] and [`uai`] read published ones.
//! - [`FactorGraph`]: undirected models.
//! - [`Tree`]: compiled once, then [all marginals](Tree::propagate), [some](Tree::propagate_for), ln P(e) and the
//!   [most probable assignment](Tree::most_probable) for any evidence, hard or soft.
//! - [`Session`]: one question after another to a tree; only what changed is worked out anew.
//! - [`Network::marginals`] and [`Network::log_probability`]: one question, on the part of the network that it needs.
//! - [`Solver`]: within a bound on memory, whichever of several methods fits; the answer says which.
//!
//! Everything is exact, up to the rounding of `f64`, and deterministic: the same input gives the same bits. The one exception
//! is a solver's last resort, and it says so. Memory is bounded by the caller; a network that needs more is refused before
//! anything is allocated. Evidence is called impossible only if it is: where `f64` could underflow, wider numbers take over.
#![no_std]
extern crate alloc;

mod axes;
pub mod bif;
mod cases;
mod cliques;
mod error;
mod evidence;
mod factor;
mod graph;
pub mod limits;
mod loopy;
mod mpe;
mod network;
mod noisy_or;
mod posteriors;
mod product;
mod propagate;
mod query;
mod question;
mod solver;
mod tree;
mod triangulate;
mod twin;
pub mod uai;
mod weight;

pub use error::{InferenceError, NetworkError};
pub use evidence::Evidence;
pub use graph::FactorGraph;
pub use mpe::Explanation;
pub use network::{Network, NetworkBuilder, VarId};
pub use noisy_or::Cause;
pub use posteriors::Posteriors;
pub use propagate::{Session, Visits};
pub use solver::{Answer, Method, Solver};
pub use tree::Tree;
pub use twin::Twin;
