//! A running digest of everything that a simulated process did: two runs of one seed must have the same.
use std::hash::{DefaultHasher, Hasher};

/// The digest so far.
#[derive(Clone, Default)]
pub struct Trace {
    hasher: DefaultHasher,
}

impl Trace {
    /// Adds something that was done.
    pub fn add(&mut self, what: &str, bytes: &[u8]) {
        self.hasher.write(what.as_bytes());
        self.hasher.write_usize(bytes.len());
        self.hasher.write(bytes);
    }

    /// The digest.
    pub fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}
