//! The graph's canonical bytes: what lies beside its tables, and their pages. Indexes are rebuilt from the rows.
use super::Graph;
use super::edges::{self, Edges};
use super::events::NamedEvents;
use super::hosts::Hosts;
use super::kinds::LogKinds;
use super::lines::Lines;
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

/// How many fields there are, by how many of the later parts.
const FIELDS: [usize; 5] = [13, 15, 17, 18, 19];

impl Graph {
    /// The rows, by the names of their tables: with [`Graph::write_rest`], all of the state.
    pub fn tables(&mut self) -> [(&'static str, &mut dyn Paged); 12] {
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
            (Hosts::TABLE, self.hosts.table()),
            (Lines::TABLE, self.lines.table()),
        ]
    }

    /// Writes what is beside the rows.
    pub fn write_rest(&self, w: &mut Writer) {
        let parts = self.parts();
        w.array(FIELDS[parts]);
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
        if parts >= 1 {
            self.meters.write(w);
            self.kinds.write(w);
        }
        if parts >= 2 {
            self.resources.write(w);
            self.events.write(w);
        }
        if parts >= 3 {
            self.hosts.write(w);
        }
        if parts >= 4 {
            self.lines.write(w);
        }
    }

    /// How many of the parts that came with later engine versions are there, up to the last that is not empty: meters and kinds of log
    /// records (version 8), resources and events (9), hosts, lines of log records (12).
    fn parts(&self) -> usize {
        let measures = !(self.meters.is_empty() && self.kinds.is_empty());
        let uses = !(self.resources.is_empty() && self.events.is_empty());
        let there = [measures, uses, !self.hosts.is_empty(), !self.lines.is_empty()];
        there.iter().rposition(|there| *there).map_or(0, |last| last + 1)
    }

    /// Reads what is beside the rows from `r` and the rows from `pages`.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Graph, CodecError> {
        let refused = r.invalid("graph");
        let fields = r.array()?;
        let Some(parts) = FIELDS.iter().position(|known| *known == fields) else { return Err(refused) };
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
            lines: Lines::new(seed),
            resources: Resources::new(seed),
            notes_use: true,
            looks_ahead: true,
            notes_kinds: true,
            notes_hosts: true,
            notes_lines: true,
            events: NamedEvents::new(seed),
            hosts: Hosts::new(seed),
            body: Vec::new(),
        };
        if parts >= 1 {
            graph.meters = Meters::read(r, pages)?;
            graph.kinds = LogKinds::read(r, pages, seed)?;
        }
        if parts >= 2 {
            graph.resources = Resources::read(r, pages, seed)?;
            graph.events = NamedEvents::read(r, pages, seed)?;
        }
        if parts >= 3 {
            graph.hosts = Hosts::read(r, pages, seed)?;
        }
        if parts >= 4 {
            graph.lines = Lines::read(r, pages, seed)?;
        }
        // One value has one form.
        if parts == graph.parts() { Ok(graph) } else { Err(refused) }
    }
}
