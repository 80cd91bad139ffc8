//! Baselines of series on closed windows.
#![no_std]
extern crate alloc;
