//! The graph's canonical bytes: what lies beside its tables, and their pages. Indexes are rebuilt from the rows.
use super::Graph;
use super::edges::{self, Edges};
use super::operations::{self, Operations};
use super::pending::{self, Pending};
use super::predictions::{self, Predictions};
use super::services::{self, Services};
use super::turns::Turn;
use alloc::vec::Vec;
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{Canonical, CodecError, Reader, Writer};

impl Graph {
    /// The rows, by the names of their tables: with [`Graph::write_rest`], all of the state.
    pub fn tables(&mut self) -> [(&'static str, &mut dyn Paged); 5] {
        [
            (services::TABLE, self.services.table()),
            (edges::TABLE, self.edges.table()),
            (operations::TABLE, self.operations.table()),
            (predictions::TABLE, self.predictions.table()),
            (pending::TABLE, self.pending.table()),
        ]
    }

    /// Writes what is beside the rows.
    pub fn write_rest(&self, w: &mut Writer) {
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

    /// Reads what is beside the rows from `r` and the rows from `pages`.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Graph, CodecError> {
        r.array_of(13)?;
        let seed = u64::read(r)?;
        Ok(Graph {
            seed,
            next: Option::<i64>::read(r)?.map(Turn),
            judged_from: Canonical::read(r)?,
            services: Services::read(r, pages)?,
            edges: Edges::read(r, pages)?,
            operations: Operations::read(r, pages, seed)?,
            predictions: Predictions::read(r, pages, seed)?,
            pending: Pending::read(r, pages, seed)?,
            blocks: Canonical::read(r)?,
            changes: Canonical::read(r)?,
            called: Canonical::read(r)?,
            sampled_at: Canonical::read(r)?,
            counts: Canonical::read(r)?,
            body: Vec::new(),
        })
    }
}
