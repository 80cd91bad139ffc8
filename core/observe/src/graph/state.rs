//! The graph's canonical bytes: every table, then what lies beside them. Indexes are rebuilt from the rows.
use super::Graph;
use super::edges::Edges;
use super::operations::Operations;
use super::pending::Pending;
use super::predictions::Predictions;
use super::services::Services;
use super::turns::Turn;
use alloc::vec::Vec;
use faultline_model::{Canonical, CodecError, Reader, Table, Writer};

/// Appends a table: its number of pages, the pages, the free ids.
pub fn write_table<Row: Canonical>(table: &Table<Row>, w: &mut Writer) {
    w.uint(table.page_count() as u64);
    (0..table.page_count()).for_each(|page| table.write_page(page, w));
    table.write_free(w);
}

/// Reads a table that [`write_table`] wrote.
pub fn read_table<Row: Canonical>(r: &mut Reader<'_>) -> Result<Table<Row>, CodecError> {
    let pages = r.uint()?;
    // A page is at least one byte, so a false number of pages ends the bytes before it fills the memory.
    Table::read(r, usize::try_from(pages).unwrap_or(usize::MAX))
}

impl Canonical for Graph {
    fn write(&self, w: &mut Writer) {
        w.array(13);
        self.seed.write(w);
        self.next.map(|turn| turn.0).write(w);
        self.judged_from.write(w);
        self.services.write(w);
        self.edges.write(w);
        self.operations.write(w);
        self.predictions.write(w);
        self.pending.write(w);
        self.blocks.write(w);
        self.changes.write(w);
        self.called.write(w);
        self.sampled_at.write(w);
        self.counts.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(13)?;
        let seed = u64::read(r)?;
        Ok(Graph {
            seed,
            next: Option::<i64>::read(r)?.map(Turn),
            judged_from: Canonical::read(r)?,
            services: Services::read(r)?,
            edges: Edges::read(r)?,
            operations: Operations::read(r, seed)?,
            predictions: Predictions::read(r, seed)?,
            pending: Pending::read(r, seed)?,
            blocks: Canonical::read(r)?,
            changes: Canonical::read(r)?,
            called: Canonical::read(r)?,
            sampled_at: Canonical::read(r)?,
            counts: Canonical::read(r)?,
            body: Vec::new(),
        })
    }
}
