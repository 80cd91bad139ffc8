//! How far apart entities are: by calls, in the directions in which faults travel.

/// Who calls whom, as known at this moment.
pub trait Topology {
    /// Fewest calls between two entities, up to `limit`; none where it is more or where one of them is unknown.
    ///
    /// Counted are calls by which a fault may have reached both: one reaches the other through its calls, or both reach a
    /// common callee, whose fault degrades both even when it is silent itself (calls to it are added up). Sharing a caller
    /// does not count: two callees of one gateway have nothing to do with one another. Symmetric; 0 for an entity and itself.
    fn distance(&self, a: &str, b: &str, limit: u32) -> Option<u32>;
}
