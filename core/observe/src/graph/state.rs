//! The graph's canonical bytes: what lies beside its tables, and their pages. Indexes are rebuilt from the rows.
use super::Graph;
use super::edges::{self, Edges};
use super::events::NamedEvents;
use super::kinds::LogKinds;
use super::meters::{self, Meters};
use super::operations::{self, Operations};
use super::pending::{self, Pending};
use super::predictions::Predictions;
use super::resources::{self, Resources};
use super::services::{self, Services};
use super::turns::Turn;
use alloc::vec::Vec;
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{Canonical, CodecError, Reader, Writer};

impl Graph {
    /// The rows, by the names of their tables: with [`Graph::write_rest`], all of the state.
    pub fn tables(&mut self) -> [(&'static str, &mut dyn Paged); 10] {
        let [uses, users] = self.resources.tables();
        [
            (services::TABLE, self.services.table()),
            (edges::TABLE, self.edges.table()),
            (operations::TABLE, self.operations.table()),
            (Predictions::TABLE, self.predictions.table()),
            (pending::TABLE, self.pending.table()),
            (meters::TABLE, self.meters.table()),
            (LogKinds::TABLE, self.kinds.table()),
            (resources::TABLES[0], uses),
            (resources::TABLES[1], users),
            (NamedEvents::TABLE, self.events.table()),
        ]
    }

    /// Writes what is beside the rows.
    pub fn write_rest(&self, w: &mut Writer) {
        // States of before engine version 8 have neither meters nor kinds of log records, those of before 9 neither resources nor events.
        let uses = !(self.resources.is_empty() && self.events.is_empty());
        let measures = uses || !(self.meters.is_empty() && self.kinds.is_empty());
        w.array(13 + if measures { 2 } else { 0 } + if uses { 2 } else { 0 });
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
        if measures {
            self.meters.write(w);
            self.kinds.write(w);
        }
        if uses {
            self.resources.write(w);
            self.events.write(w);
        }
    }

    /// Reads what is beside the rows from `r` and the rows from `pages`.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Graph, CodecError> {
        let refused = r.invalid("graph");
        let fields = r.array()?;
        if ![13, 15, 17].contains(&fields) {
            return Err(refused);
        }
        let seed = u64::read(r)?;
        let mut graph = Graph {
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
            meters: Meters::default(),
            kinds: LogKinds::new(seed),
            resources: Resources::new(seed),
            notes_use: true,
            looks_ahead: true,
            notes_kinds: true,
            events: NamedEvents::new(seed),
            body: Vec::new(),
        };
        if fields >= 15 {
            graph.meters = Meters::read(r, pages)?;
            graph.kinds = LogKinds::read(r, pages, seed)?;
        }
        if fields == 17 {
            graph.resources = Resources::read(r, pages, seed)?;
            graph.events = NamedEvents::read(r, pages, seed)?;
        }
        // One value has one form.
        let uses = !(graph.resources.is_empty() && graph.events.is_empty());
        let measures = uses || !(graph.meters.is_empty() && graph.kinds.is_empty());
        if [fields >= 15, fields == 17] != [measures, uses] {
            return Err(refused);
        }
        Ok(graph)
    }
}
