//! The state in canonical pages: what a checkpoint writes, what the state's digest is over, what restore reads.
use crate::changes::Changes;
use crate::engine::{Engine, Outstanding};
use crate::judge::Judge;
use crate::retries::Retries;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_correlate::Incidents;
use faultline_ledger::{hash::root_of, leaf_hash};
use faultline_model::{
    Canonical, CodecError, Digest, EffectId, HashSeed, Millis, Position, Reader, Writer, canonical_struct,
};
use faultline_observe::series::SeriesStore;
use faultline_observe::{Graph, Sources};

/// Version of this layout: `docs/formats/checkpoint.md`.
pub const FORMAT: u16 = 1;

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
canonical_struct!(Checkpoint { format, engine, position, pages });

/// One part of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What it holds: `core`, `rules`, `graph`, `sources`, `incidents`, `series`, `series/<page>`.
    pub name: String,
    /// Its canonical bytes.
    pub bytes: Box<[u8]>,
}
canonical_struct!(Page { name, bytes });

/// Why a checkpoint cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Another release wrote it: use that release, or replay the journal from its start.
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
    /// A page that must be there is not.
    #[error("the checkpoint has no page `{page}`")]
    Missing {
        /// Which page.
        page: &'static str,
    },
}

impl Checkpoint {
    /// Its canonical bytes in pieces, the pages as they are: a state is large, and a copy of it larger than most of it.
    pub fn pieces(&self) -> Vec<Cow<'_, [u8]>> {
        let mut w = Writer::default();
        w.array(4);
        self.format.write(&mut w);
        self.engine.write(&mut w);
        self.position.write(&mut w);
        w.array(self.pages.len());
        let mut pieces = Vec::with_capacity(1 + 2 * self.pages.len());
        for page in &self.pages {
            w.array(2);
            page.name.write(&mut w);
            w.bytes_head(page.bytes.len());
            pieces.push(Cow::Owned(core::mem::take(&mut w).into_bytes()));
            pieces.push(Cow::Borrowed(&*page.bytes));
        }
        pieces.push(Cow::Owned(w.into_bytes()));
        pieces
    }

    /// Root over the pages' hashes: the state's digest.
    pub fn digest(&self) -> Digest {
        let hashes: Vec<Digest> = self.pages.iter().map(|page| leaf_hash(&page.to_bytes())).collect();
        root_of(&hashes)
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
    retries: Retries,
    changes: Changes,
    asks: Vec<(EffectId, Outstanding)>,
    derived: Vec<u32>,
}
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
    retries,
    changes,
    asks,
    derived
});

/// Name of a field of page `core`, for people.
pub fn core_field(index: usize) -> Option<&'static str> {
    CORE_FIELDS.get(index).copied()
}

const CORE_FIELDS: [&str; 14] = [
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
    "bodies seen lately",
    "changes",
    "explanations asked for",
    "derived series",
];
canonical_struct!(Outstanding { incident, revision, evidence });

impl Engine {
    /// The state now, whole. Stops nothing but the caller: its cost is the size of the state.
    pub fn checkpoint(&mut self) -> Checkpoint {
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
            retries: core::mem::take(&mut self.retries),
            changes: core::mem::take(&mut self.changes),
            asks: core::mem::take(&mut self.asks).into_iter().collect(),
            derived: core::mem::take(&mut self.derived),
        };
        let mut pages = Vec::with_capacity(6 + self.series.page_count());
        let mut page = |name: &str, write: &dyn Fn(&mut Writer)| {
            let mut w = Writer::default();
            write(&mut w);
            pages.push(Page { name: name.to_string(), bytes: w.into_bytes().into() });
        };
        page("core", &|w| core.write(w));
        page("rules", &|w| self.judge.write(w));
        page("graph", &|w| self.graph.write(w));
        page("sources", &|w| self.sources.write(w));
        page("incidents", &|w| self.incidents.write(w));
        page("series", &|w| self.series.write_rest(w));
        for number in 0..self.series.page_count() {
            page(&alloc::format!("series/{number}"), &|w| self.series.write_page(number, w));
        }
        self.retries = core.retries;
        self.changes = core.changes;
        self.asks = core.asks.into_iter().collect();
        self.derived = core.derived;
        Checkpoint { format: FORMAT, engine: crate::ENGINE_VERSION, position: self.last, pages }
    }

    /// The engine that wrote `from`, ready for the record after it.
    pub fn restore(from: &Checkpoint) -> Result<Engine, RestoreError> {
        if (from.format, from.engine) != (FORMAT, crate::ENGINE_VERSION) {
            return Err(RestoreError::Version {
                found: from.engine,
                format: from.format,
                expected: crate::ENGINE_VERSION,
                expected_format: FORMAT,
            });
        }
        let by_name: BTreeMap<&str, &Page> = from.pages.iter().map(|page| (&*page.name, page)).collect();
        let find = |name: &'static str| by_name.get(name).copied().ok_or(RestoreError::Missing { page: name });
        let core: Core = read(find("core")?)?;
        let series_pages = from.pages.iter().filter(|page| page.name.starts_with("series/"));
        let (mut bytes, mut count) = (Vec::new(), 0);
        for page in series_pages {
            bytes.extend_from_slice(&page.bytes);
            count += 1;
        }
        let rest = find("series")?;
        bytes.extend_from_slice(&rest.bytes);
        let mut reader = Reader::new(&bytes);
        let mut series = SeriesStore::read(&mut reader, count, core.seed)
            .map_err(|source| RestoreError::Page { page: rest.name.clone(), source })?;
        let mut judge: Judge = read(find("rules")?)?;
        judge.select(&mut series);
        Ok(Engine {
            now: core.now,
            last: core.last,
            live: core.live,
            anchored: core.anchored,
            unanchored: core.unanchored,
            anchor_bytes: core.anchor_bytes,
            started: core.started,
            imported: core.imported,
            settled: core.settled,
            retries: core.retries,
            changes: core.changes,
            asks: core.asks.into_iter().collect(),
            derived: core.derived,
            series,
            judge,
            graph: read::<Graph>(find("graph")?)?,
            sources: read::<Sources>(find("sources")?)?,
            incidents: read::<Incidents>(find("incidents")?)?,
            ..Engine::new(core.seed)
        })
    }
}

fn read<T: Canonical>(page: &Page) -> Result<T, RestoreError> {
    T::from_bytes(&page.bytes).map_err(|source| RestoreError::Page { page: page.name.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_core_has_a_name() {
        let checkpoint = Engine::new(HashSeed(7)).checkpoint();
        assert_eq!(Reader::new(&checkpoint.pages[0].bytes).array(), Ok(CORE_FIELDS.len()));
        assert_eq!((core_field(2), core_field(14)), (Some("last record"), None));
    }

    #[test]
    fn pieces_are_the_canonical_bytes() {
        let page = |i: usize| Page { name: alloc::format!("series/{i}"), bytes: alloc::vec![7; i * 50].into() };
        for count in [0, 1, 30] {
            let pages = (0..count).map(page).collect();
            let checkpoint = Checkpoint { format: FORMAT, engine: 9, position: Some(Position::default()), pages };
            assert_eq!(checkpoint.pieces().concat(), checkpoint.to_bytes());
        }
    }
}
