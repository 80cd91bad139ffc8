//! How strongly calls pass trouble on: what one explanation saw of it, and what many have taught.
use crate::canonical_struct;
use alloc::string::String;
use alloc::vec::Vec;

/// What an explanation saw of one call: how likely its callee was degraded, and how likely that reached the caller by this call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passed {
    /// The caller.
    pub client: String,
    /// The callee.
    pub server: String,
    /// P(the callee is degraded), 0 to 1.
    pub degraded: f64,
    /// P(it is, and degrades the caller by this call), 0 to `degraded`.
    pub passed: f64,
}
canonical_struct!(Passed { client, server, degraded, passed });

/// What is known of how strongly the calls of one incident pass trouble on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strengths {
    /// How many closed incidents have taught any: the version of the whole set.
    pub version: u64,
    /// In the order of caller and callee; calls about which nothing was learned are left out.
    pub calls: Vec<Strength>,
}
canonical_struct!(Strengths { version, calls });

/// How strongly one call passes trouble on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strength {
    /// Index of the caller in the nodes of the evidence.
    pub client: u32,
    /// Index of the callee.
    pub server: u32,
    /// P(the caller is degraded by it, given that the callee is), above 0 and below 1.
    pub passes: f64,
}
canonical_struct!(Strength { client, server, passes });
