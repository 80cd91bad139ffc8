//! Series state, windows, watermarks, the service graph.
#![no_std]
extern crate alloc;

mod postings;
pub mod ring;
pub mod series;
