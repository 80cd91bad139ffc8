//! Series state, windows, watermarks, the service graph.
#![no_std]
extern crate alloc;
