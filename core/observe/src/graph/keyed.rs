//! Rows that are found by what they are about: a table and the look-up into it, changed together.
use super::index::Index;
use super::limits::outlived;
use alloc::vec::Vec;
use faultline_model::table::{Freeze, PageBytes, Paged};
use faultline_model::{Canonical, CodecError, Millis, Reader, Table, Writer};

/// A row that tells what it is about.
pub trait About: Freeze + Canonical {
    /// Name of the table.
    const TABLE: &'static str;
    /// Most rows.
    const MOST: usize;

    /// Seeded hash of what it is about.
    fn hash(&self, seed: u64) -> u64;

    /// The service whose row it is.
    fn service(&self) -> u32;

    /// When it was used last.
    fn used(&self) -> Millis;
}

/// A table whose rows are about different things each.
#[derive(Debug)]
pub struct Keyed<Row: About> {
    rows: Table<Row>,
    index: Index,
    seed: u64,
}

impl<Row: About> Keyed<Row> {
    /// Name of the table.
    pub const TABLE: &'static str = Row::TABLE;

    /// None yet.
    pub fn new(seed: u64) -> Keyed<Row> {
        Keyed { rows: Table::default(), index: Index::default(), seed }
    }

    /// Keys its hashes.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether there never was one: then nothing of them need be written.
    pub fn is_empty(&self) -> bool {
        self.rows.page_count() == 0
    }

    /// Whether there is no room for one more.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= Row::MOST
    }

    /// The row with this hash that `is` accepts.
    pub fn find(&self, hash: u64, is: impl Fn(&Row) -> bool) -> Option<u32> {
        self.index.find(hash, |row| self.rows.get(row).is_some_and(&is))
    }

    /// Adds a row about something of which there is none; there must be room.
    pub fn insert(&mut self, row: Row) -> u32 {
        let hash = row.hash(self.seed);
        let id = self.rows.insert(row);
        let (rows, seed) = (&self.rows, self.seed);
        self.index.insert(hash, id, |row| hash_of(rows, seed, row));
        id
    }

    /// A row that is there. Panics where it is not: whoever names rows outlives none of them.
    pub fn get(&self, row: u32) -> &Row {
        self.rows.get(row).expect("the row is in use")
    }

    /// The same for changing all but what it is about.
    pub fn row_mut(&mut self, row: u32) -> &mut Row {
        self.rows.row_mut(row)
    }

    /// All rows by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.rows.iter()
    }

    /// Evicts what has not been used for long among the rows of one phase.
    pub fn sweep(&mut self, phase: u32, step: usize, now: Millis) {
        for row in (phase..self.rows.end()).step_by(step) {
            let used = self.rows.get(row).map(About::used);
            if used.is_some_and(|used| outlived(used, now, self.rows.len(), Row::MOST)) {
                self.remove(row);
            }
        }
    }

    /// Forgets the rows of services whose ids may be given again. `gone` rises.
    pub fn forget(&mut self, gone: &[u32]) {
        let of_gone = |it: &Row| gone.binary_search(&it.service()).is_ok();
        let rows: Vec<u32> = self.rows.iter().filter(|(_, it)| of_gone(it)).map(|(row, _)| row).collect();
        rows.into_iter().for_each(|row| self.remove(row));
    }

    fn remove(&mut self, row: u32) {
        self.index.remove(hash_of(&self.rows, self.seed, row), row);
        self.rows.remove(row);
    }

    /// The rows.
    pub fn table(&mut self) -> &mut dyn Paged {
        &mut self.rows
    }

    /// Appends what is beside them.
    pub fn write(&self, w: &mut Writer) {
        self.rows.write_rest(w);
    }

    /// Reads them back.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes, seed: u64) -> Result<Keyed<Row>, CodecError> {
        let rows: Table<Row> = Table::read(r, Row::TABLE, pages)?;
        let mut index = Index::default();
        for (id, row) in rows.iter() {
            index.insert(row.hash(seed), id, |row| hash_of(&rows, seed, row));
        }
        Ok(Keyed { rows, index, seed })
    }
}

fn hash_of<Row: About>(rows: &Table<Row>, seed: u64, row: u32) -> u64 {
    rows.get(row).expect("indexed rows exist").hash(seed)
}
