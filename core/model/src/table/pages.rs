//! Tables as their pages: what a checkpoint sees of each, whatever its rows are.
use super::{Freeze, Table};
use crate::codec::Writer;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A table, whatever its rows are.
pub trait Paged {
    /// Number of pages.
    fn page_count(&self) -> usize;
    /// Writes a page as it is.
    fn write_page(&self, page: usize, w: &mut Writer);
    /// Begins to write the table as it is now; panics where that has begun already. The first time all pages are due,
    /// from then on those changed since the last time.
    fn freeze(&mut self);
    /// Writes the next page that is due, as it was when the table was frozen, and returns its number; nothing once all
    /// are written, which ends the freeze.
    fn write_frozen(&mut self, w: &mut Writer) -> Option<u32>;
    /// Ends the freeze, where there is one. What was due is due next time.
    fn thaw(&mut self);
    /// Makes every page due next time.
    fn taint(&mut self);
}

impl<Row: Freeze, const ROWS: usize> Paged for Table<Row, ROWS> {
    fn page_count(&self) -> usize {
        self.pages.len()
    }

    fn write_page(&self, page: usize, w: &mut Writer) {
        Table::write_page(self, page, w);
    }

    fn freeze(&mut self) {
        Table::freeze(self);
    }

    fn write_frozen(&mut self, w: &mut Writer) -> Option<u32> {
        Table::write_frozen(self, w)
    }

    fn thaw(&mut self) {
        Table::thaw(self);
    }

    fn taint(&mut self) {
        Table::taint(self);
    }
}

/// Pages of several tables, by the table's name, in page order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageBytes {
    tables: BTreeMap<String, Vec<Box<[u8]>>>,
}

impl PageBytes {
    /// Every page of the tables as they are.
    pub fn of<'a>(tables: impl IntoIterator<Item = (&'a str, &'a mut dyn Paged)>) -> PageBytes {
        let mut all = PageBytes::default();
        for (name, table) in tables {
            for page in 0..table.page_count() {
                let mut w = Writer::default();
                table.write_page(page, &mut w);
                all.push(name, w.into_bytes().into());
            }
        }
        all
    }

    /// Adds the next page of a table; says which number it has.
    pub fn push(&mut self, table: &str, bytes: Box<[u8]>) -> usize {
        match self.tables.get_mut(table) {
            Some(pages) => {
                pages.push(bytes);
                pages.len() - 1
            }
            None => {
                self.tables.insert(table.to_owned(), Vec::from([bytes]));
                0
            }
        }
    }

    /// Takes the pages of a table.
    pub fn take(&mut self, table: &str) -> Vec<Box<[u8]>> {
        self.tables.remove(table).unwrap_or_default()
    }

    /// The name of a table whose pages nobody has taken.
    pub fn left(&self) -> Option<&str> {
        self.tables.keys().next().map(String::as_str)
    }
}
