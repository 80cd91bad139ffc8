//! The growing tree: keeps its right edge, hands out tiles as they fill.
use crate::hash::{Hash, node_hash, root_of};
use crate::tile::{TILE_WIDTH, TileName};
use alloc::vec::Vec;
use faultline_model::{Canonical, CodecError, Reader, Writer};

/// A full tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Its name; its width is [`TILE_WIDTH`].
    pub name: TileName,
    /// Its hashes, [`TILE_WIDTH`] of them.
    pub hashes: Vec<Hash>,
}

/// An RFC 6962 tree, of which only the rightmost tile of each level is held: at most 256 hashes a level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    // levels[l]: hashes of perfect subtrees of 256^l leaves that fill no tile yet; fewer than 256.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree whose right edge is `levels` (hashes of each level that fill no tile); nothing where these are not the
    /// counts of a tree of `size` leaves.
    pub fn at_edge(size: u64, levels: Vec<Vec<Hash>>) -> Option<Tree> {
        let counted = levels.iter().rev().try_fold(0_u64, |size, level| {
            (level.len() < TILE_WIDTH).then(|| size.checked_mul(256)?.checked_add(level.len() as u64))?
        });
        (counted == Some(size)).then_some(Tree { size, levels })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash; tiles that it fills are appended to `completed`, lowest level first.
    pub fn push(&mut self, leaf: Hash, completed: &mut Vec<Completed>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
            if self.levels[level].len() < TILE_WIDTH {
                return;
            }
            let hashes = core::mem::take(&mut self.levels[level]);
            hash = root_of(&hashes);
            let index = (self.size >> (8 * (level + 1))) - 1;
            completed
                .push(Completed { name: TileName { level: level as u8, index, width: TILE_WIDTH as u16 }, hashes });
        }
    }

    /// The tree's root (RFC 6962 section 2.1).
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        // From the right: each level's hashes fall into perfect subtrees by the binary digits of their count.
        for hashes in &self.levels {
            let mut left = hashes.len();
            while left > 0 {
                let width = 1 << left.trailing_zeros();
                let subtree = root_of(&hashes[left - width..left]);
                root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
                left -= width;
            }
        }
        root.unwrap_or_else(|| root_of(&[]))
    }

    /// The partial tiles at the right edge, lowest level first: with the completed ones, all of the tree.
    pub fn partial(&self) -> Vec<Completed> {
        let mut tiles = Vec::new();
        for (level, hashes) in self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty()) {
            let name =
                TileName { level: level as u8, index: self.size >> (8 * (level + 1)), width: hashes.len() as u16 };
            tiles.push(Completed { name, hashes: hashes.clone() });
        }
        tiles
    }
}

impl Canonical for Tree {
    fn write(&self, w: &mut Writer) {
        w.array(2);
        self.size.write(w);
        self.levels.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(2)?;
        let (size, levels) = (Canonical::read(r)?, Canonical::read(r)?);
        Tree::at_edge(size, levels).ok_or(r.invalid("tree edge"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    /// The seven reference roots of Certificate Transparency's own tests (RFC 6962's test leaves).
    #[test]
    fn roots_are_the_reference_roots() {
        let leaves: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let (mut tree, mut tiles) = (Tree::default(), Vec::new());
        assert_eq!(tree.root().hex(), roots[0]);
        for (leaf, root) in leaves.iter().zip(&roots[1..]) {
            tree.push(leaf_hash(leaf), &mut tiles);
            assert_eq!(tree.root().hex(), *root);
        }
        assert!(tiles.is_empty());
    }

    #[test]
    fn the_edge_agrees_with_the_whole_and_survives_its_bytes() {
        let leaves: Vec<Hash> = (0..70_000_u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let (mut tree, mut tiles) = (Tree::default(), Vec::new());
        for (i, leaf) in leaves.iter().enumerate() {
            tree.push(*leaf, &mut tiles);
            if [1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000].contains(&(i + 1)) {
                assert_eq!(tree.root(), root_of(&leaves[..=i]), "{} leaves", i + 1);
                assert_eq!(Tree::from_bytes(&tree.to_bytes()).as_ref(), Ok(&tree));
            }
        }
        assert_eq!(tiles.len(), 70_000 / 256 + 1);
        let top = tiles.iter().find(|t| t.name.level == 1).expect("65,536 leaves fill a tile of level 1");
        assert_eq!((top.name.index, root_of(&top.hashes)), (0, root_of(&leaves[..65_536])));
    }
}
