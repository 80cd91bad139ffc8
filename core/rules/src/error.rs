//! Why rule files are refused.
use alloc::string::String;

/// Why rule files are refused. The files in force before stay in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct RuleError {
    /// The file, by its name in the set.
    pub file: String,
    /// Line in the file, from 1; 0 where none can be named.
    pub line: u64,
    /// What is wrong, in Prometheus' words where it has them, and what to do.
    pub reason: String,
}
