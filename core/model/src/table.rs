//! State tables: dense ids in journal order, pages of 64 rows, one gate for changes.
use crate::codec::{Canonical, CodecError, Reader, Writer};
use alloc::vec::Vec;

/// Rows of a page: one page is what a checkpoint writes and what a state hash has a leaf for.
pub const PAGE_ROWS: usize = 64;

/// Rows by dense `u32` id. Ids are given in journal order; a freed id is given again, last freed first, so that the
/// same journal gives the same ids. Changed only through [`Table::row_mut`], [`Table::insert`] and [`Table::remove`],
/// which mark the page dirty.
#[derive(Debug)]
pub struct Table<Row> {
    pages: Vec<Page<Row>>,
    free: Vec<u32>,
    len: usize,
    end: u32,
}

#[derive(Debug)]
struct Page<Row> {
    rows: Vec<Option<Row>>,
    dirty: bool,
}

impl<Row> Default for Table<Row> {
    fn default() -> Self {
        Table { pages: Vec::new(), free: Vec::new(), len: 0, end: 0 }
    }
}

impl<Row> Table<Row> {
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
        self.pages.get(id as usize / PAGE_ROWS)?.rows.get(id as usize % PAGE_ROWS)?.as_ref()
    }

    /// The row for changing; marks its page dirty. Panics where the id is free: ids come from this table only.
    #[inline]
    pub fn row_mut(&mut self, id: u32) -> &mut Row {
        let page = &mut self.pages[id as usize / PAGE_ROWS];
        page.dirty = true;
        page.rows[id as usize % PAGE_ROWS].as_mut().expect("the id is in use")
    }

    /// Adds a row and returns its id.
    pub fn insert(&mut self, row: Row) -> u32 {
        self.len += 1;
        if let Some(id) = self.free.pop() {
            let page = &mut self.pages[id as usize / PAGE_ROWS];
            page.dirty = true;
            page.rows[id as usize % PAGE_ROWS] = Some(row);
            return id;
        }
        let id = self.end;
        self.end = self.end.checked_add(1).expect("fewer than 2^32 rows");
        if id as usize / PAGE_ROWS == self.pages.len() {
            self.pages.push(Page { rows: Vec::with_capacity(PAGE_ROWS), dirty: true });
        }
        let page = self.pages.last_mut().expect("a page was just made sure of");
        page.dirty = true;
        page.rows.push(Some(row));
        id
    }

    /// Takes a row out; its id may be given again. Panics where the id is free.
    pub fn remove(&mut self, id: u32) -> Row {
        let page = &mut self.pages[id as usize / PAGE_ROWS];
        page.dirty = true;
        self.len -= 1;
        self.free.push(id);
        page.rows[id as usize % PAGE_ROWS].take().expect("the id is in use")
    }

    /// Rows in use, in id order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.pages.iter().enumerate().flat_map(|(p, page)| {
            page.rows.iter().enumerate().filter_map(move |(i, row)| Some(((p * PAGE_ROWS + i) as u32, row.as_ref()?)))
        })
    }

    /// Number of pages.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Whether the page has changed since [`Table::clean`].
    pub fn is_dirty(&self, page: usize) -> bool {
        self.pages[page].dirty
    }

    /// Declares every page written.
    pub fn clean(&mut self) {
        for page in &mut self.pages {
            page.dirty = false;
        }
    }
}

impl<Row: Canonical> Table<Row> {
    /// Writes one page: its rows in order, `null` where an id is free.
    pub fn write_page(&self, page: usize, w: &mut Writer) {
        let rows = &self.pages[page].rows;
        w.array(rows.len());
        for row in rows {
            row.write(w);
        }
    }

    /// Writes what is beside the pages: the free ids, last freed last.
    pub fn write_free(&self, w: &mut Writer) {
        self.free.write(w);
    }

    /// Reads a table of `pages` pages followed by its free ids.
    pub fn read(r: &mut Reader<'_>, pages: usize) -> Result<Table<Row>, CodecError> {
        let mut table = Table::default();
        for page in 0..pages {
            let count = r.array()?;
            // A short page in the middle would shift every later id.
            if count == 0 || count > PAGE_ROWS || (page + 1 < pages && count < PAGE_ROWS) {
                return Err(r.invalid("page size"));
            }
            let mut rows = Vec::with_capacity(PAGE_ROWS);
            for _ in 0..count {
                let row = Option::<Row>::read(r)?;
                table.len += usize::from(row.is_some());
                rows.push(row);
            }
            table.end += count as u32;
            table.pages.push(Page { rows, dirty: false });
        }
        table.free = Vec::read(r)?;
        let vacant = table.end as usize - table.len;
        let mut sorted = table.free.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() != vacant || table.free.len() != vacant || table.free.iter().any(|&id| table.get(id).is_some())
        {
            return Err(r.invalid("free list"));
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(table: &Table<u64>) -> Vec<u8> {
        let mut w = Writer::default();
        (0..table.page_count()).for_each(|page| table.write_page(page, &mut w));
        table.write_free(&mut w);
        w.into_bytes()
    }

    #[test]
    fn a_table_survives_its_bytes_and_gives_the_same_ids_after() {
        let mut table = Table::default();
        for i in 0..200_u64 {
            table.insert(i * i);
        }
        for id in [3, 130, 64, 199] {
            table.remove(id);
        }
        table.insert(7);
        let written = bytes(&table);
        let mut reader = Reader::new(&written);
        let mut back = Table::<u64>::read(&mut reader, table.page_count()).expect("it was just written");
        assert_eq!(back.iter().collect::<Vec<_>>(), table.iter().collect::<Vec<_>>());
        assert_eq!((back.insert(1), back.insert(2)), (table.insert(1), table.insert(2)));
        assert_eq!(bytes(&back), bytes(&table));
    }

    #[test]
    fn only_changed_pages_are_dirty() {
        let mut table = Table::default();
        (0..129_u64).for_each(|i| {
            table.insert(i);
        });
        table.clean();
        *table.row_mut(70) += 1;
        assert_eq!((0..3).map(|p| table.is_dirty(p)).collect::<Vec<_>>(), [false, true, false]);
    }
}
