//! Look-ups from foreign ids to rows, keyed by the journal's seed so that a sender cannot aim for collisions.
use hashbrown::HashTable;

/// Finds row ids by a hash; never iterated, so its order cannot matter. Not part of the state: rebuilt from the rows.
#[derive(Debug, Default)]
pub struct Index {
    table: HashTable<u32>,
}

impl Index {
    /// The row with this hash that `is` accepts.
    #[inline]
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.table.find(hash, |&row| is(row)).copied()
    }

    /// Adds a row that is not in it; `hash_of` gives the hash of any row, for when the table grows.
    pub fn insert(&mut self, hash: u64, row: u32, hash_of: impl Fn(u32) -> u64) {
        self.table.insert_unique(hash, row, |&row| hash_of(row));
    }

    /// Takes a row out that is in it.
    pub fn remove(&mut self, hash: u64, row: u32) {
        let entry = self.table.find_entry(hash, |&other| other == row);
        entry.expect("the row is in the index").remove();
    }
}

/// Seeded hash of two words: the folded multiply of wyhash, secret as long as the seed is.
#[inline]
pub fn mix(seed: u64, a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ seed) * u128::from(b ^ seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15);
    (product as u64) ^ ((product >> 64) as u64)
}
