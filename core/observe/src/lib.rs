//! Series state, windows, watermarks, the service graph.
#![no_std]
extern crate alloc;

pub mod graph;
pub mod histograms;
pub mod mesh;
mod postings;
pub mod replicas;
pub mod resource;
pub mod ring;
pub mod series;
pub mod sources;

pub use graph::{Closed, Graph, Question};
pub use sources::Sources;
