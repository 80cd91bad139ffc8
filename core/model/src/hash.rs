//! A hash that others compute too.

/// XXH64 with seed 0: what Prometheus hashes label sets by.
pub fn xxh64(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}
