//! Inclusion and consistency proofs (RFC 9162 sections 2.1.3 and 2.1.4).
use crate::hash::{Hash, node_hash};
use alloc::vec::Vec;

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or size asked for is outside the tree.
    #[error("{what} {value} lies outside a tree of {size} leaves")]
    Outside {
        /// What was asked for.
        what: &'static str,
        /// Its value.
        value: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The proof has too few or too many hashes for these sizes.
    #[error("a proof of {found} hashes cannot be for these sizes")]
    Length {
        /// How many hashes it has.
        found: usize,
    },
    /// The hashes lead to another root: something was changed.
    #[error("the proof leads to another root")]
    Root,
    /// A tile that the proof needs is not there.
    #[error("the node at height {height}, index {index} is not to be had")]
    Missing {
        /// Height above the leaves.
        height: u32,
        /// Place at that height.
        index: u64,
    },
}

/// Gives the root of the perfect subtree at a height (0 = leaves) and index, or nothing where it is not to be had.
pub type NodeAt<'a> = &'a dyn Fn(u32, u64) -> Option<Hash>;

/// Root over leaves `begin..end`, by perfect subtrees.
fn range_root(begin: u64, end: u64, node: NodeAt<'_>) -> Result<Hash, ProofError> {
    let count = end - begin;
    if count.is_power_of_two() && begin.is_multiple_of(count) {
        let (height, index) = (count.trailing_zeros(), begin / count);
        return node(height, index).ok_or(ProofError::Missing { height, index });
    }
    let split = begin + split(count);
    Ok(node_hash(&range_root(begin, split, node)?, &range_root(split, end, node)?))
}

/// The largest power of two below `count`.
fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// The hashes that lead from leaf `index` to the root of the first `size` leaves, leaf's neighbour first.
pub fn inclusion_proof(index: u64, size: u64, node: NodeAt<'_>) -> Result<Vec<Hash>, ProofError> {
    if index >= size {
        return Err(ProofError::Outside { what: "leaf", value: index, size });
    }
    let (mut begin, mut end, mut proof) = (0, size, Vec::new());
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            proof.push(range_root(middle, end, node)?);
            end = middle;
        } else {
            proof.push(range_root(begin, middle, node)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The hashes that show the first `old` leaves to be a prefix of the first `new`.
pub fn consistency_proof(old: u64, new: u64, node: NodeAt<'_>) -> Result<Vec<Hash>, ProofError> {
    if old > new {
        return Err(ProofError::Outside { what: "size", value: old, size: new });
    }
    let (mut begin, mut end, mut proof) = (0, new, Vec::new());
    if old == 0 || old == new {
        return Ok(proof);
    }
    while old < end {
        let middle = begin + split(end - begin);
        if old <= middle {
            proof.push(range_root(middle, end, node)?);
            end = middle;
        } else {
            proof.push(range_root(begin, middle, node)?);
            begin = middle;
        }
    }
    // The old tree itself need not be given where it is the left part of the new one: the verifier holds its root.
    if begin > 0 {
        proof.push(range_root(begin, end, node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is the `index`-th of the `size` leaves under `root` (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Outside { what: "leaf", value: index, size });
    }
    let (mut fn_, mut sn, mut r) = (index, size - 1, leaf);
    for p in proof {
        if sn == 0 {
            return Err(ProofError::Length { found: proof.len() });
        }
        if fn_ & 1 == 1 || fn_ == sn {
            r = node_hash(p, &r);
            while fn_ & 1 == 0 && fn_ != 0 {
                fn_ >>= 1;
                sn >>= 1;
            }
        } else {
            r = node_hash(&r, p);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    match (sn, r == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length { found: proof.len() }),
    }
}

/// A tree's size and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizedRoot {
    /// Number of leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// Checks that the tree `new` begins with the tree `old` (RFC 9162 section 2.1.4.2).
pub fn verify_consistency(old: SizedRoot, new: SizedRoot, proof: &[Hash]) -> Result<(), ProofError> {
    if old.size > new.size {
        return Err(ProofError::Outside { what: "size", value: old.size, size: new.size });
    }
    let wrong_length = Err(ProofError::Length { found: proof.len() });
    if old.size == 0 {
        return if proof.is_empty() { Ok(()) } else { wrong_length };
    }
    if old.size == new.size {
        return match (proof.is_empty(), old.root == new.root) {
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Root),
            _ => wrong_length,
        };
    }
    let mut path = Vec::with_capacity(proof.len() + 1);
    if old.size.is_power_of_two() {
        path.push(old.root);
    }
    path.extend_from_slice(proof);
    let Some((first, rest)) = path.split_first() else { return wrong_length };
    let (mut fn_, mut sn) = (old.size - 1, new.size - 1);
    while fn_ & 1 == 1 {
        fn_ >>= 1;
        sn >>= 1;
    }
    let (mut fr, mut sr) = (*first, *first);
    for c in rest {
        if sn == 0 {
            return wrong_length;
        }
        if fn_ & 1 == 1 || fn_ == sn {
            fr = node_hash(c, &fr);
            sr = node_hash(c, &sr);
            while fn_ & 1 == 0 && fn_ != 0 {
                fn_ >>= 1;
                sn >>= 1;
            }
        } else {
            sr = node_hash(&sr, c);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    match (sn, fr == old.root && sr == new.root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => wrong_length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{leaf_hash, root_of};

    /// Every proof for every tree of up to 40 leaves holds, and no altered one does.
    #[test]
    fn proofs_hold_and_altered_proofs_do_not() {
        let leaves: Vec<Hash> = (0..40_u8).map(|i| leaf_hash(&[i])).collect();
        let node = |height: u32, index: u64| {
            let width = 1_usize << height;
            leaves.get(index as usize * width..(index as usize + 1) * width).map(root_of)
        };
        for new in 1..=leaves.len() as u64 {
            let root = root_of(&leaves[..new as usize]);
            for index in 0..new {
                let leaf = leaves[index as usize];
                let proof = inclusion_proof(index, new, &node).expect("every node is there");
                assert_eq!(verify_inclusion(leaf, index, new, &proof, &root), Ok(()));
                for i in 0..proof.len() {
                    let mut altered = proof.clone();
                    altered[i].0[5] ^= 1;
                    assert_eq!(verify_inclusion(leaf, index, new, &altered, &root), Err(ProofError::Root));
                    assert!(verify_inclusion(leaf, index, new, &proof[..i], &root).is_err());
                }
                assert!(verify_inclusion(leaf, (index + 1) % new, new, &proof, &root).is_err() || new == 1);
            }
            for old in 0..=new {
                let before = SizedRoot { size: old, root: root_of(&leaves[..old as usize]) };
                let after = SizedRoot { size: new, root };
                let proof = consistency_proof(old, new, &node).expect("every node is there");
                assert_eq!(verify_consistency(before, after, &proof), Ok(()), "{old} in {new}");
                if old > 0 {
                    let rewritten = SizedRoot { size: old, root: leaf_hash(b"other") };
                    assert!(verify_consistency(rewritten, after, &proof).is_err(), "{old} in {new}");
                }
            }
        }
    }
}
