//! The tree's hashes (RFC 6962 section 2.1): leaves and nodes are told apart by their first byte.
use faultline_model::Digest;
use sha2::{Digest as _, Sha256};

/// A SHA-256 node of the tree.
pub type Hash = Digest;

/// Hash of a leaf's bytes.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(bytes);
    Digest(hasher.finalize().into())
}

/// Hash of two neighbours.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left.0);
    hasher.update(right.0);
    Digest(hasher.finalize().into())
}

/// Root over `hashes`, each the root of a perfect subtree of one same size; the empty tree's is SHA-256 of nothing.
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Digest::of(b""),
        [one] => *one,
        many => {
            // The largest power of two below the count splits the tree.
            let split = 1 << (usize::BITS - 1 - (many.len() - 1).leading_zeros());
            node_hash(&root_of(&many[..split]), &root_of(&many[split..]))
        }
    }
}
