//! From a data folder to an engine: the newest checkpoint that is good, or the journal's beginning.
use crate::replayed::whose;
use faultline_engine::{Checkpoint, ENGINE_VERSION, Engine, Page, RestoreError};
use faultline_host::{Item, ReadError, Reader};
use faultline_model::{Canonical, Control, Digest, Genesis, HashSeed, Kind, Millis, Position};
use faultline_storage::{CheckpointHead, CheckpointStore, DataFolder, Stored};

/// Why a folder gives no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The journal does not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal's beginning is trimmed and no checkpoint is good: do what `why` says, or restore the folder from a copy.
    #[error(
        "records below {oldest} are trimmed and no checkpoint can be taken up ({why}); otherwise restore the folder from a copy"
    )]
    NoCheckpoint {
        /// The oldest record.
        oldest: Position,
        /// What is wrong with the newest.
        why: String,
    },
    /// Record 0 is not what begins a journal.
    #[error("record 0 of the journal is no genesis record; restore the folder from a copy")]
    NoGenesis,
    /// The checkpoints' folder cannot be read.
    #[error("cannot look for checkpoints")]
    Checkpoints(#[from] faultline_storage::CheckpointError),
}

/// Where a replay may begin.
pub struct Beginning {
    /// The state there.
    pub engine: Engine,
    /// Version of the engine that decided up to there; ours at the journal's beginning, whose records say more.
    pub version: u32,
    /// Leaves that the ledger held there.
    pub leaves: u64,
    /// The journal's oldest record, where that is not record 0.
    pub oldest: Option<Position>,
}

impl Beginning {
    fn empty(seed: HashSeed) -> Beginning {
        Beginning { engine: Engine::new(seed), version: ENGINE_VERSION, leaves: 0, oldest: None }
    }
}

/// What a replay begins with, and begins with again where a record breaks the engine.
pub struct Origin<'a> {
    folder: &'a DataFolder,
    reader: &'a dyn Fn() -> Box<dyn Reader>,
    place: Place,
}

/// Which state.
#[derive(Clone, Copy)]
enum Place {
    Newest,
    Oldest,
    At(Position),
    Before(Position),
    Earlier(Millis),
}

impl<'a> Origin<'a> {
    /// The newest state there is, for a quick start.
    pub fn latest(folder: &'a DataFolder, reader: &'a dyn Fn() -> Box<dyn Reader>) -> Origin<'a> {
        Origin { folder, reader, place: Place::Newest }
    }

    /// The state before the journal's oldest record.
    pub fn oldest(folder: &'a DataFolder, reader: &'a dyn Fn() -> Box<dyn Reader>) -> Origin<'a> {
        Origin { folder, reader, place: Place::Oldest }
    }

    /// The state after this record, of which there is a checkpoint; where it is not good, the state before the oldest record.
    pub fn at(folder: &'a DataFolder, reader: &'a dyn Fn() -> Box<dyn Reader>, record: Position) -> Origin<'a> {
        Origin { folder, reader, place: Place::At(record) }
    }

    /// The newest state without this record; where there is none, the state before the oldest record.
    pub fn before(folder: &'a DataFolder, reader: &'a dyn Fn() -> Box<dyn Reader>, record: Position) -> Origin<'a> {
        Origin { folder, reader, place: Place::Before(record) }
    }

    /// The newest state whose rule time is before this; where there is none, the state before the oldest record.
    pub fn earlier(folder: &'a DataFolder, reader: &'a dyn Fn() -> Box<dyn Reader>, time: Millis) -> Origin<'a> {
        Origin { folder, reader, place: Place::Earlier(time) }
    }

    /// A reader of the journal of its own.
    pub fn reader(&self) -> Box<dyn Reader> {
        (self.reader)()
    }

    /// The state.
    pub fn begin(&self) -> Result<Beginning, StartError> {
        let mut reader = self.reader();
        match self.place {
            Place::Newest => latest(self.folder, &mut *reader),
            Place::Oldest => beginning(self.folder, &mut *reader),
            Place::At(record) => newest_before(self.folder, &mut *reader, |at| at == record, |_| true),
            Place::Before(record) => newest_before(self.folder, &mut *reader, |at| at < record, |_| true),
            Place::Earlier(time) => newest_before(self.folder, &mut *reader, |_| true, |engine| engine.now() < time),
        }
    }
}

/// The state before the journal's oldest record: empty, or the oldest good checkpoint where records are trimmed. What
/// `verify` begins with, so that it recomputes all there is.
fn beginning(folder: &DataFolder, reader: &mut dyn Reader) -> Result<Beginning, StartError> {
    match reader.read(None, 1) {
        Ok(items) => {
            let first = items.iter().find_map(|item| match item {
                Item::Record(stored) => Some(stored),
                Item::Leaves { .. } => None,
            });
            match first {
                None => Ok(Beginning::empty(HashSeed(0))),
                Some(first) if first.payload.kind == Kind::Control(Control::Genesis) => {
                    let genesis = Genesis::from_bytes(&first.payload.body).map_err(|_| StartError::NoGenesis)?;
                    Ok(Beginning::empty(genesis.seed))
                }
                Some(first) if first.at.offset == 0 => Err(StartError::NoGenesis),
                Some(first) => {
                    let oldest = first.at;
                    let taken = newest(folder, |position| position.offset + 1 >= oldest.offset, true)?;
                    let Some(beginning) = taken.good else {
                        let why = taken.why.unwrap_or_else(|| "there is none".into());
                        return Err(StartError::NoCheckpoint { oldest, why });
                    };
                    Ok(Beginning { oldest: Some(oldest), ..beginning })
                }
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// The newest record that a checkpoint knows to be durable: a journal that ends before it was cut.
pub fn checkpointed(folder: &DataFolder) -> Result<Option<Position>, StartError> {
    let offsets = CheckpointStore::inspect(folder).offsets()?;
    Ok(offsets.last().map(|&offset| Position { partition: 0, offset }))
}

/// The newest state there is, for a quick start.
fn latest(folder: &DataFolder, reader: &mut dyn Reader) -> Result<Beginning, StartError> {
    let taken = newest(folder, |_| true, false)?;
    if let Some(why) = taken.why {
        tracing::warn!(%why, "a checkpoint was passed over");
    }
    match taken.good {
        Some(beginning) => Ok(beginning),
        None => beginning(folder, reader),
    }
}

/// The newest state that is `wanted` by its last record and `usable` by itself; where there is none, the state before the
/// oldest record.
fn newest_before(
    folder: &DataFolder,
    reader: &mut dyn Reader,
    wanted: impl Fn(Position) -> bool,
    usable: impl Fn(&Engine) -> bool,
) -> Result<Beginning, StartError> {
    let offsets = CheckpointStore::inspect(folder).offsets()?;
    for position in offsets.into_iter().rev().map(|offset| Position { partition: 0, offset }).filter(|&at| wanted(at)) {
        if let Some(beginning) = newest(folder, |at| at == position, false)?.good
            && usable(&beginning.engine)
        {
            return Ok(beginning);
        }
    }
    beginning(folder, reader)
}

struct Taken {
    good: Option<Beginning>,
    why: Option<String>,
}

/// The newest (or the oldest) checkpoint among `wanted` that is whole and restores.
fn newest(folder: &DataFolder, wanted: impl Fn(Position) -> bool, oldest_first: bool) -> Result<Taken, StartError> {
    let store = CheckpointStore::inspect(folder);
    let mut offsets = store.offsets()?;
    if !oldest_first {
        offsets.reverse();
    }
    let mut why = None;
    for offset in offsets {
        let position = Position { partition: 0, offset };
        if !wanted(position) {
            continue;
        }
        let result = store.read(offset)?.and_then(restore);
        match result {
            Ok(good) => return Ok(Taken { good: Some(good), why }),
            Err(error) => why = Some(format!("checkpoint at {position}: {error}")),
        }
    }
    Ok(Taken { good: None, why })
}

/// A checkpoint on disk: its record, and the digest of the state it holds, or why it holds none.
pub type OnDisk = (Position, Result<Digest, String>);

/// The checkpoints of a folder, oldest first.
pub fn kept(folder: &DataFolder) -> Result<Vec<OnDisk>, StartError> {
    let store = CheckpointStore::inspect(folder);
    let mut all = Vec::new();
    for offset in store.offsets()? {
        let position = Position { partition: 0, offset };
        let state = match store.read(offset) {
            Ok(stored) => stored.and_then(|stored| {
                stored.pages().try_for_each(|page| page.map(drop))?;
                Ok(stored.head.state)
            }),
            // A running server has removed it since.
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        all.push((position, state));
    }
    Ok(all)
}

fn restore(stored: Stored) -> Result<Beginning, String> {
    let CheckpointHead { leaves, engine: version, .. } = stored.head;
    let engine = Engine::restore(state(&stored)?).map_err(|error| match error {
        RestoreError::Version { found, .. } if found != ENGINE_VERSION => format!("{error}; {}", whose(found)),
        error => error.to_string(),
    })?;
    Ok(Beginning { engine, version, leaves, oldest: None })
}

/// The state that a checkpoint holds.
pub fn state(stored: &Stored) -> Result<Checkpoint, String> {
    let pages: Result<Vec<Page>, String> =
        stored.pages().map(|page| page.map(|(name, bytes)| Page { name, bytes })).collect();
    let CheckpointHead { at, engine, layout, .. } = stored.head;
    Ok(Checkpoint { format: layout, engine, position: Some(at), pages: pages? })
}
