//! A table as it was at one moment, written page by page while it goes on changing.
//!
//! Freezing costs a bit or two per page. From then on the first change to a row of a page that is still to be written
//! keeps what the row was; a page once written forgets it. So the pause is that of marking, whatever the table holds.
use super::{Page, Table};
use crate::codec::Writer;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Debug;

/// A row that can be written as it was, after it has changed.
pub trait Freeze: Debug {
    /// What it takes, beside the row as it is by then, to write the row as it was.
    type Image: Debug;

    /// What the row is now, before its first change since the table was frozen. Until [`Freeze::thaw`] the row changes
    /// only so that its image can still be written.
    fn freeze(&mut self) -> Self::Image;

    /// Appends the row as it is, or as it was when `image` was taken: the bytes that this gave then without it.
    fn write_row(&self, image: Option<&Self::Image>, w: &mut Writer);

    /// The image is written, or not wanted any more.
    fn thaw(&mut self);
}

/// Derives [`Freeze`] for rows that are cheap to copy: the image is a copy.
#[macro_export]
macro_rules! freeze_by_copy {
    ($($row:ty),* $(,)?) => {$(
        impl $crate::table::Freeze for $row {
            type Image = $row;
            fn freeze(&mut self) -> $row {
                self.clone()
            }
            fn write_row(&self, image: Option<&$row>, w: &mut $crate::Writer) {
                $crate::Canonical::write(image.unwrap_or(self), w);
            }
            fn thaw(&mut self) {}
        }
    )*};
}
freeze_by_copy!(u64);

/// What a place of a page held when the table was frozen.
#[derive(Debug)]
pub(super) enum Was<Row: Freeze> {
    /// Nothing.
    Free,
    /// The row that is there, since changed.
    Changed(Row::Image),
    /// A row that has gone.
    Gone(Box<(Row, Row::Image)>),
}

/// What is still to be written of a frozen table.
#[derive(Debug)]
pub(super) struct Frozen {
    /// The table's [`Table::end`] then.
    end: u32,
    /// Pages that had changed since they were written last, rising.
    due: Vec<u32>,
    /// How many of them are written.
    written: usize,
}

impl<Row: Freeze, const ROWS: usize> Page<Row, ROWS> {
    /// Keeps what a watched place holds before it changes.
    #[cold]
    pub(super) fn keep(&mut self, slot: usize) {
        self.watched &= !(1 << slot);
        let was = self.rows[slot].as_mut().map_or(Was::Free, |row| Was::Changed(row.freeze()));
        self.was.push((slot as u8, was));
    }

    /// Keeps a row that was taken out, if its image needs it.
    pub(super) fn gone(&mut self, slot: usize, row: Row) {
        let Some((_, was)) = self.was.iter_mut().find(|(kept, _)| usize::from(*kept) == slot) else { return };
        *was = match core::mem::replace(was, Was::Free) {
            Was::Changed(image) => Was::Gone(Box::new((row, image))),
            // What is taken out came after the freeze.
            other => other,
        };
    }

    fn release(&mut self) {
        self.watched = 0;
        for (slot, was) in core::mem::take(&mut self.was) {
            if let (Was::Changed(_), Some(row)) = (was, &mut self.rows[usize::from(slot)]) {
                row.thaw();
            }
        }
    }

    /// Writes the page as it was when it had `count` rows.
    fn write_frozen(&self, count: usize, w: &mut Writer) {
        let mut was: [Option<&Was<Row>>; ROWS] = [None; ROWS];
        for (slot, kept) in &self.was {
            was[usize::from(*slot)] = Some(kept);
        }
        w.array(count);
        for (row, was) in self.rows.iter().zip(was).take(count) {
            match (was, row) {
                (None, Some(row)) => row.write_row(None, w),
                (None, None) | (Some(Was::Free), _) => w.null(),
                (Some(Was::Gone(gone)), _) => gone.0.write_row(Some(&gone.1), w),
                (Some(Was::Changed(image)), Some(row)) => row.write_row(Some(image), w),
                (Some(Was::Changed(_)), None) => unreachable!("a row that went is kept"),
            }
        }
    }
}

impl<Row: Freeze, const ROWS: usize> Table<Row, ROWS> {
    /// Begins to write the table as it is now: what has changed since it was frozen last, all of it the first time.
    /// Costs a few ns for each page. Panics where it is frozen already.
    pub(super) fn freeze(&mut self) {
        assert!(self.frozen.is_none(), "a table is frozen once at a time");
        let mut due = Vec::new();
        for (number, page) in self.pages.iter_mut().enumerate() {
            if core::mem::take(&mut page.dirty) {
                page.watched = u64::MAX >> (64 - page.rows.len());
                due.push(number as u32);
            }
        }
        self.frozen = Some(Frozen { end: self.end, due, written: 0 });
    }

    /// Writes the next page of the frozen table and returns its number; nothing, and the table is no longer frozen,
    /// where all are written.
    pub(super) fn write_frozen(&mut self, w: &mut Writer) -> Option<u32> {
        let frozen = self.frozen.as_mut()?;
        let Some(&number) = frozen.due.get(frozen.written) else {
            self.frozen = None;
            return None;
        };
        frozen.written += 1;
        let page = &mut self.pages[number as usize];
        let count = (frozen.end as usize - number as usize * ROWS).min(ROWS);
        page.write_frozen(count, w);
        page.release();
        Some(number)
    }

    /// Gives the frozen table up, where there is one: what was due is due again, written or not.
    pub(super) fn thaw(&mut self) {
        let Some(frozen) = self.frozen.take() else { return };
        for &number in &frozen.due {
            let page = &mut self.pages[number as usize];
            page.dirty = true;
            page.release();
        }
    }

    /// Every page is to be written next time: what was written is lost.
    pub(super) fn taint(&mut self) {
        for page in &mut self.pages {
            page.dirty = true;
        }
    }
}
