//! The state in canonical pages: what a checkpoint writes, what the state's digest is over, what restore reads.
use crate::changes::Changes;
use crate::engine::{Engine, Outstanding};
use crate::judge::Judge;
use crate::learning::{self, Learning};
use crate::recall::Recalling;
use crate::retries::Retries;
use crate::revise::{Kept, Revisions};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_correlate::Incidents;
use faultline_ledger::{hash::root_of, leaf_hash};
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{
    Canonical, CodecError, Digest, EffectId, HashSeed, Millis, Position, Reader, Writer, canonical_struct,
};
use faultline_observe::series::SeriesStore;
use faultline_observe::{Graph, Sources};

/// Version of this layout: `docs/formats/checkpoint.md`.
pub const FORMAT: u16 = 2;

/// Engine state after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Version of this layout.
    pub format: u16,
    /// Version of the engine whose state it is.
    pub engine: u32,
    /// The last record in the state.
    pub position: Option<Position>,
    /// The state, part by part, always in the same order.
    pub pages: Vec<Page>,
}

/// One part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What it holds: one of the [`PARTS`], or `<table>/<number>`.
    pub name: String,
    /// Its canonical bytes.
    pub bytes: Box<[u8]>,
}
canonical_struct!(Page { name, bytes });

/// What is in no table, in order: these pages come first.
pub const PARTS: [&str; 7] = ["core", "retries", "rules", "graph", "sources", "incidents", "series"];

impl Page {
    /// Its leaf of the tree over the state.
    pub fn hash(&self) -> Digest {
        leaf_hash(&self.to_bytes())
    }
}

/// Which pages a state has, and in what order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Pages that do not come are as in the state after this record, the last one written; all come where there is none.
    pub since: Option<Position>,
    /// Tables in order, with their numbers of pages.
    pub tables: Vec<(&'static str, usize)>,
}

impl Layout {
    /// The pages' names.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let rows = |&(table, count)| (0..count).map(move |number| alloc::format!("{table}/{number}"));
        PARTS.iter().map(|part| part.to_string()).chain(self.tables.iter().flat_map(rows))
    }
}

/// The state's digest from its pages' hashes, in order.
pub fn state_digest(hashes: &[Digest]) -> Digest {
    root_of(hashes)
}

/// Why a checkpoint cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A release wrote it whose states this one does not take up: use that release, or replay the journal from its start.
    #[error(
        "the checkpoint is of engine version {found} in format {format}; this release restores version {expected} in format {expected_format}"
    )]
    Version {
        /// Its engine version.
        found: u32,
        /// Its layout's version.
        format: u16,
        /// Ours.
        expected: u32,
        /// Ours.
        expected_format: u16,
    },
    /// A page is not what was written: take an older checkpoint or replay the journal from its start.
    #[error("page `{page}` of the checkpoint does not read: {source}")]
    Page {
        /// Which page.
        page: String,
        /// Why.
        source: CodecError,
    },
    /// There is a page that no part of the state reads, or not there.
    #[error("the checkpoint has a page `{page}`, which has no place there")]
    Unknown {
        /// Which page, or which table.
        page: String,
    },
    /// A page that must be there is not.
    #[error("the checkpoint has no page `{page}`")]
    Missing {
        /// Which page.
        page: &'static str,
    },
}

impl Checkpoint {
    /// Root over the pages' hashes: the state's digest.
    pub fn digest(&self) -> Digest {
        let hashes: Vec<Digest> = self.pages.iter().map(Page::hash).collect();
        state_digest(&hashes)
    }

    /// Name of the first page that differs from `other`'s, for people; nothing where the states are equal.
    pub fn first_difference(&self, other: &Checkpoint) -> Option<String> {
        let longest = self.pages.len().max(other.pages.len());
        (0..longest).find(|&i| self.pages.get(i) != other.pages.get(i)).map(|i| {
            let page = self.pages.get(i).or(other.pages.get(i)).expect("one of them is this long");
            page.name.clone()
        })
    }
}

/// What is in no table.
struct Core {
    seed: HashSeed,
    now: Millis,
    last: Option<Position>,
    live: bool,
    anchored: Millis,
    unanchored: u64,
    anchor_bytes: u64,
    started: Millis,
    imported: Millis,
    settled: bool,
    changes: Changes,
    asks: Vec<(EffectId, Outstanding)>,
    hashing: Option<(EffectId, Position)>,
    derived: Vec<u32>,
    recalling: Option<Recalling>,
    revisions: Kept,
    learning: learning::Kept,
}

// States of before engine version 6 have fourteen fields, those of before 7 fifteen at most, those of before 9 sixteen.
canonical_struct!(Core {
    seed,
    now,
    last,
    live,
    anchored,
    unanchored,
    anchor_bytes,
    started,
    imported,
    settled,
    changes,
    asks,
    hashing,
    derived;
    recalling,
    revisions,
    learning
});

/// Name of a field of page `core`, for people.
pub fn core_field(index: usize) -> Option<&'static str> {
    CORE_FIELDS.get(index).copied()
}

const CORE_FIELDS: [&str; 17] = [
    "hash seed",
    "rule time",
    "last record",
    "live",
    "time of the last anchor",
    "bytes since the last anchor",
    "bytes between anchors",
    "start of the process",
    "last import",
    "sources settled",
    "changes",
    "explanations asked for",
    "state being hashed",
    "derived series",
    "what late rules wait for",
    "what late samples touch",
    "what closed incidents teach",
];
canonical_struct!(Outstanding { incident, revision, evidence });

impl Engine {
    /// The state now, whole. Stops nothing but the caller: its cost is the size of the state. What is frozen stays so.
    pub fn checkpoint(&mut self) -> Checkpoint {
        let mut pages = self.parts();
        for (name, table) in self.tables() {
            for number in 0..table.page_count() {
                let mut w = Writer::default();
                table.write_page(number, &mut w);
                pages.push(Page { name: alloc::format!("{name}/{number}"), bytes: w.into_bytes().into() });
            }
        }
        // Who takes it up goes on deciding as this one does.
        Checkpoint { format: FORMAT, engine: self.version, position: self.last, pages }
    }

    /// Every table of the state, in the order of its pages.
    pub(crate) fn tables(&mut self) -> impl Iterator<Item = (&'static str, &mut dyn Paged)> {
        let (retries, rules) = (self.retries.tables(), self.judge.rules.tables());
        let (graph, sources, series) = (self.graph.tables(), self.sources.tables(), self.series.tables());
        let all = retries.into_iter().chain(rules).chain(graph).chain(sources).chain(series);
        all.chain(self.revisions.tables()).chain(self.learning.tables())
    }

    /// What is in no table.
    pub(crate) fn parts(&mut self) -> Vec<Page> {
        let core = Core {
            seed: self.seed,
            now: self.now,
            last: self.last,
            live: self.live,
            anchored: self.anchored,
            unanchored: self.unanchored,
            anchor_bytes: self.anchor_bytes,
            started: self.started,
            imported: self.imported,
            settled: self.settled,
            changes: core::mem::take(&mut self.changes),
            asks: core::mem::take(&mut self.asks).into_iter().collect(),
            hashing: self.hashing,
            derived: core::mem::take(&mut self.derived),
            recalling: self.recalling.take(),
            revisions: self.revisions.write_kept(),
            learning: self.learning.write_kept(),
        };
        let page = |name: &str, write: &dyn Fn(&mut Writer)| {
            let mut w = Writer::default();
            write(&mut w);
            Page { name: name.to_string(), bytes: w.into_bytes().into() }
        };
        let [first, second, third, fourth, fifth, sixth, seventh] = PARTS;
        let parts = Vec::from([
            page(first, &|w| core.write(w)),
            page(second, &|w| self.retries.write_rest(w)),
            page(third, &|w| self.judge.rules.write_rest(w)),
            page(fourth, &|w| self.graph.write_rest(w)),
            page(fifth, &|w| self.sources.write_rest(w)),
            page(sixth, &|w| self.incidents.write(w)),
            page(seventh, &|w| self.series.write_rest(w)),
        ]);
        self.changes = core.changes;
        self.asks = core.asks.into_iter().collect();
        self.derived = core.derived;
        self.recalling = core.recalling;
        parts
    }

    /// The engine that wrote `from`, ready for the record after it.
    pub fn restore(from: Checkpoint) -> Result<Engine, RestoreError> {
        let ours = crate::ENGINE_VERSION_MIN..=crate::ENGINE_VERSION;
        if from.format != FORMAT || !ours.contains(&from.engine) {
            return Err(RestoreError::Version {
                found: from.engine,
                format: from.format,
                expected: crate::ENGINE_VERSION,
                expected_format: FORMAT,
            });
        }
        let (mut parts, mut pages) = (BTreeMap::new(), PageBytes::default());
        for Page { name, bytes } in from.pages {
            let placed = match name.split_once('/') {
                Some((table, number)) => number.parse() == Ok(pages.push(table, bytes)),
                None => parts.insert(name.clone(), bytes).is_none(),
            };
            if !placed {
                return Err(RestoreError::Unknown { page: name });
            }
        }
        let mut part = |name: &'static str| parts.remove(name).ok_or(RestoreError::Missing { page: name });
        let core: Core = whole("core", &part("core")?, Core::read)?;
        let retries = whole("retries", &part("retries")?, |r| Retries::read(r, &mut pages))?;
        let graph = whole("graph", &part("graph")?, |r| Graph::read(r, &mut pages))?;
        let sources = whole("sources", &part("sources")?, |r| Sources::read(r, &mut pages))?;
        let incidents = whole("incidents", &part("incidents")?, Incidents::read)?;
        let mut series = whole("series", &part("series")?, |r| SeriesStore::read(r, &mut pages, core.seed))?;
        let mut judge = whole("rules", &part("rules")?, |r| Judge::read(r, &mut pages))?;
        let failed = |source| RestoreError::Page { page: "core".to_string(), source };
        let revisions = Revisions::read(core.revisions, &mut pages).map_err(&failed)?;
        let learning = Learning::read(&core.learning, &mut pages).map_err(&failed)?;
        if let Some(name) = parts.keys().next().map(String::as_str).or(pages.left()) {
            return Err(RestoreError::Unknown { page: name.to_string() });
        }
        judge.select(&mut series);
        let mut engine = Engine {
            now: core.now,
            last: core.last,
            live: core.live,
            anchored: core.anchored,
            unanchored: core.unanchored,
            anchor_bytes: core.anchor_bytes,
            started: core.started,
            imported: core.imported,
            settled: core.settled,
            retries,
            changes: core.changes,
            asks: core.asks.into_iter().collect(),
            hashing: core.hashing,
            derived: core.derived,
            recalling: core.recalling,
            revisions,
            learning,
            series,
            judge,
            graph,
            sources,
            incidents,
            ..Engine::new(core.seed)
        };
        engine.decide_as(from.engine);
        engine.read_by();
        Ok(engine)
    }
}

/// Reads a part that fills `bytes` exactly.
fn whole<T>(
    page: &str,
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<T, RestoreError> {
    let mut r = Reader::new(bytes);
    let failed = |source| RestoreError::Page { page: page.to_string(), source };
    let value = read(&mut r).map_err(failed)?;
    if r.left() > 0 { Err(failed(CodecError::Trailing { count: r.left() })) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_core_has_a_name() {
        let checkpoint = Engine::new(HashSeed(7)).checkpoint();
        // The last three are there only while they are something.
        assert_eq!(Reader::new(&checkpoint.pages[0].bytes).array(), Ok(CORE_FIELDS.len() - 3));
        assert_eq!((core_field(2), core_field(13)), (Some("last record"), Some("derived series")));
    }
}
