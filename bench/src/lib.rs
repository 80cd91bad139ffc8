//! Fixed benchmarks and their results.
