//! State tables: dense ids in journal order, pages of 64 rows, one gate for changes.
//!
//! - `frozen`: the table as it was at some moment, written while it changes.
//! - `kept`: a map within a row, frozen with it entry by entry.
//! - `pages`: several tables' pages by name, for writing and reading them alike.
mod frozen;
mod kept;
mod pages;
#[cfg(test)]
mod tests;

pub use frozen::Freeze;
pub use kept::{Kept, When};
pub use pages::{PageBytes, Paged};

use crate::codec::{Canonical, CodecError, Reader, Writer};
use alloc::vec::Vec;
use frozen::{Frozen, Was};

/// Rows of a page, where a table says nothing else: one page is what a checkpoint writes and what a state hash has a
/// leaf for.
pub const PAGE_ROWS: usize = 64;

/// Rows by dense `u32` id. Ids are given in journal order; a freed id is given again, last freed first, so that the
/// same journal gives the same ids. Changed only through [`Table::row_mut`], [`Table::insert`] and [`Table::remove`],
/// which mark the page dirty and, while the table is frozen, keep what the row was.
///
/// - `ROWS`: rows of a page, 1 to 64. Few where a row may be large: a page is written in one go.
#[derive(Debug)]
pub struct Table<Row: Freeze, const ROWS: usize = PAGE_ROWS> {
    pages: Vec<Page<Row, ROWS>>,
    free: Vec<u32>,
    len: usize,
    end: u32,
    frozen: Option<Frozen>,
}

#[derive(Debug)]
struct Page<Row: Freeze, const ROWS: usize> {
    rows: Vec<Option<Row>>,
    /// Whether it has changed since it was last frozen, or was never written.
    dirty: bool,
    /// Rows, a bit each, that the frozen page still needs: the next change keeps what they were.
    watched: u64,
    /// What rows of the frozen page were that have changed since.
    was: Vec<(u8, Was<Row>)>,
}

impl<Row: Freeze, const ROWS: usize> Page<Row, ROWS> {
    fn new(rows: Vec<Option<Row>>) -> Page<Row, ROWS> {
        Page { rows, dirty: true, watched: 0, was: Vec::new() }
    }

    /// The row's place, about to change.
    #[inline]
    fn touch(&mut self, slot: usize) -> &mut Option<Row> {
        self.dirty = true;
        if self.watched >> slot & 1 == 1 && !crate::mutant!("row changed past the gate") {
            self.keep(slot);
        }
        &mut self.rows[slot]
    }
}

impl<Row: Freeze, const ROWS: usize> Default for Table<Row, ROWS> {
    fn default() -> Self {
        Table { pages: Vec::new(), free: Vec::new(), len: 0, end: 0, frozen: None }
    }
}

impl<Row: Freeze, const ROWS: usize> Table<Row, ROWS> {
    /// How many rows are in use.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no row is in use.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One past the highest id ever given: ids are below it.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The row, or nothing where the id is free or was never given.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&Row> {
        self.pages.get(id as usize / ROWS)?.rows.get(id as usize % ROWS)?.as_ref()
    }

    /// The row for changing; marks its page dirty. Panics where the id is free: ids come from this table only.
    #[inline]
    pub fn row_mut(&mut self, id: u32) -> &mut Row {
        let row = self.pages[id as usize / ROWS].touch(id as usize % ROWS);
        row.as_mut().expect("the id is in use")
    }

    /// Adds a row and returns its id.
    pub fn insert(&mut self, row: Row) -> u32 {
        self.len += 1;
        if let Some(id) = self.free.pop() {
            *self.pages[id as usize / ROWS].touch(id as usize % ROWS) = Some(row);
            return id;
        }
        let id = self.end;
        self.end = self.end.checked_add(1).expect("fewer than 2^32 rows");
        if id as usize / ROWS == self.pages.len() {
            self.pages.push(Page::new(Vec::with_capacity(ROWS)));
        }
        let page = self.pages.last_mut().expect("a page was just made sure of");
        page.dirty = true;
        page.rows.push(Some(row));
        id
    }

    /// Takes a row out; its id may be given again. Panics where the id is free.
    pub fn remove(&mut self, id: u32) {
        let (page, slot) = (&mut self.pages[id as usize / ROWS], id as usize % ROWS);
        let row = page.touch(slot).take().expect("the id is in use");
        page.gone(slot, row);
        self.len -= 1;
        self.free.push(id);
    }

    /// Rows in use, in id order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.pages.iter().enumerate().flat_map(|(p, page)| {
            page.rows.iter().enumerate().filter_map(move |(i, row)| Some(((p * ROWS + i) as u32, row.as_ref()?)))
        })
    }

    /// Number of pages.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Writes one page: its rows in order, `null` where an id is free.
    pub fn write_page(&self, page: usize, w: &mut Writer) {
        let rows = &self.pages[page].rows;
        w.array(rows.len());
        for row in rows {
            match row {
                Some(row) => row.write_row(None, w),
                None => w.null(),
            }
        }
    }

    /// Writes what is beside the pages: their number, and the free ids, last freed last.
    pub fn write_rest(&self, w: &mut Writer) {
        w.array(2);
        w.uint(self.pages.len() as u64);
        self.free.write(w);
    }

    /// Takes every row out and puts those of `other` in their places: ids from 0. What is frozen stays as it was.
    pub fn replace_rows(&mut self, other: Table<Row, ROWS>) {
        for id in (0..self.end).rev() {
            if self.get(id).is_some() {
                self.remove(id);
            }
        }
        // The lowest is given first, whatever was freed when.
        self.free.sort_by(|a, b| b.cmp(a));
        for row in other.pages.into_iter().flat_map(|page| page.rows).flatten() {
            self.insert(row);
        }
    }

    /// Reads a table: what is beside the pages from `r`, the pages named `name` from `bytes`, which gives them up.
    pub fn read(r: &mut Reader<'_>, name: &str, bytes: &mut PageBytes) -> Result<Table<Row, ROWS>, CodecError>
    where
        Row: Canonical,
    {
        Table::read_with(r, name, bytes, |_, r| Row::read(r))
    }

    /// As [`Table::read`], for rows that need more than their bytes to be read.
    ///
    /// - `row`: reads the row with this id.
    pub fn read_with(
        r: &mut Reader<'_>,
        name: &str,
        bytes: &mut PageBytes,
        mut row: impl FnMut(u32, &mut Reader<'_>) -> Result<Row, CodecError>,
    ) -> Result<Table<Row, ROWS>, CodecError> {
        r.array_of(2)?;
        let pages = r.uint()?;
        let refused = r.invalid("free list");
        let free = Vec::<u32>::read(r)?;
        let found = bytes.take(name);
        if found.len() as u64 != pages {
            return Err(refused);
        }
        let mut table = Table { free, ..Table::default() };
        for (number, bytes) in found.into_iter().enumerate() {
            let mut r = Reader::new(&bytes);
            let count = r.array()?;
            // A short page in the middle would shift every later id.
            if count == 0 || count > ROWS || ((number as u64) < pages - 1 && count < ROWS) {
                return Err(r.invalid("page size"));
            }
            let mut rows = Vec::with_capacity(ROWS);
            for slot in 0..count as u32 {
                let row = if r.null()? { None } else { Some(row(table.end + slot, &mut r)?) };
                table.len += usize::from(row.is_some());
                rows.push(row);
            }
            if r.left() > 0 {
                return Err(CodecError::Trailing { count: r.left() });
            }
            table.end += count as u32;
            table.pages.push(Page::new(rows));
        }
        let vacant = table.end as usize - table.len;
        let mut sorted = table.free.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() != vacant || table.free.len() != vacant || table.free.iter().any(|&id| table.get(id).is_some())
        {
            return Err(refused);
        }
        Ok(table)
    }
}
