//! Baselines of series on closed windows: what was expected, how far off a window is, since when.
//!
//! Pure and small: one [`Baseline`] is nine numbers per signal, one step a few dozen float operations. What is
//! found here is evidence; until it is calibrated against closed incidents it notifies nobody.
#![no_std]
extern crate alloc;

pub mod baseline;
pub mod onset;
pub mod watch;

pub use baseline::{Baseline, Noise, Score};
pub use onset::{Stretch, onset};
pub use watch::Watch;
