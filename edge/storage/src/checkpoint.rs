//! Checkpoints of the engine: whole files, written aside and renamed, the newest two kept.
//!
//! ```text
//! byte  size
//!    0     8  "FLCHECKP"
//!    8     2  format, 1
//!   16     4  engine version
//!   20     4  partition
//!   24     8  offset: state after this record
//!   32     8  size of the state in bytes
//!   40    32  SHA-256 of the state
//!  124     4  CRC-32C of bytes 0..124
//!  128        the state, canonical bytes
//! ```
//! All numbers little endian, the rest of the header zero.
use crate::folder::DataFolder;
use crate::whole::write_pieces;
use bytes::Bytes;
use faultline_host::Disk;
use faultline_model::{Digest, Position};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"FLCHECKP";
const FORMAT: u16 = 1;
const HEADER: usize = 128;
/// How many are kept: the newest, and the one before for the day on which the newest turns out damaged.
const KEEP: usize = 2;
const NEW: &str = "checkpoint.new";
const PIECE: usize = 4 << 20;

/// Engine state after a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last record in it.
    pub at: Position,
    /// Which engine wrote it.
    pub engine: u32,
    /// Its canonical bytes.
    pub state: Bytes,
}

/// A checkpoint that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// The disk refused a checkpoint. The older ones are still there; try again later.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep or read the checkpoint {}", path.display())]
pub struct CheckpointError {
    /// Which file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Checkpoints of one data folder.
pub struct CheckpointStore {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl CheckpointStore {
    /// The store of `folder`, made if it is missing.
    pub fn open(folder: &DataFolder) -> Result<CheckpointStore, CheckpointError> {
        let store = CheckpointStore::inspect(folder);
        let made = store.disk.create_dir_all(&store.folder);
        // A name may be in the kernel only, and the journal is trimmed for what is under it.
        made.and_then(|()| store.disk.sync_dir(&store.folder)).map_err(|source| store.error(&store.folder, source))?;
        Ok(store)
    }

    /// The store of `folder` as it is, to be read only: nothing is made, and where there is none it is empty.
    pub fn inspect(folder: &DataFolder) -> CheckpointStore {
        CheckpointStore { disk: Arc::clone(&folder.disk), folder: folder.path.join("checkpoints") }
    }

    /// Keeps a checkpoint, durable when this returns, and removes those older than the newest two.
    ///
    /// - `pieces`: its state, one piece after another, so that nobody need have a whole copy of it.
    pub fn write(&self, at: Position, engine: u32, pieces: &[&[u8]]) -> Result<(), CheckpointError> {
        let path = self.path(at);
        let header = header(at, engine, pieces);
        let pieces = [&header[..]].into_iter().chain(pieces.iter().flat_map(|piece| piece.chunks(PIECE)));
        write_pieces(&*self.disk, &self.folder.join(NEW), &path, pieces).map_err(|source| self.error(&path, source))?;
        let offsets = self.offsets()?;
        for old in offsets.iter().rev().skip(KEEP) {
            let path = self.folder.join(name(*old));
            // Not synced: an old one that comes back after a crash is removed next time.
            self.disk.remove(&path).map_err(|source| self.error(&path, source))?;
        }
        Ok(())
    }

    /// The newest checkpoint that is whole and that `usable` accepts (position, engine version), and those passed over
    /// because they are damaged.
    pub fn newest(
        &self,
        usable: impl Fn(Position, u32) -> bool,
    ) -> Result<(Option<Checkpoint>, Vec<Skipped>), CheckpointError> {
        let mut skipped = Vec::new();
        for offset in self.offsets()?.into_iter().rev() {
            let path = self.folder.join(name(offset));
            match self.read(&path, offset).map_err(|source| self.error(&path, source))? {
                Ok(checkpoint) if usable(checkpoint.at, checkpoint.engine) => return Ok((Some(checkpoint), skipped)),
                Ok(_) => {}
                Err(what) => skipped.push(Skipped { path, what }),
            }
        }
        Ok((None, skipped))
    }

    /// Offsets of the checkpoints there are, rising; whether they are whole is known when they are read.
    pub fn offsets(&self) -> Result<Vec<u64>, CheckpointError> {
        let names = match self.disk.list(&self.folder) {
            Ok(names) => names,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.error(&self.folder, source)),
        };
        let offset = |name: &String| {
            let digits = name.strip_prefix("checkpoint-")?;
            (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
        };
        let mut offsets: Vec<u64> = names.iter().filter_map(offset).collect();
        offsets.sort_unstable();
        Ok(offsets)
    }

    fn read(&self, path: &Path, offset: u64) -> io::Result<Result<Checkpoint, String>> {
        let file = self.disk.open_read(path)?;
        let size = file.size()?;
        let mut bytes = vec![0; usize::try_from(size).expect("a checkpoint fits in memory")];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(parse(Bytes::from(bytes), offset))
    }

    fn path(&self, at: Position) -> PathBuf {
        self.folder.join(name(at.offset))
    }

    fn error(&self, path: &Path, source: io::Error) -> CheckpointError {
        CheckpointError { path: path.to_path_buf(), source }
    }
}

fn name(offset: u64) -> String {
    format!("checkpoint-{offset:016x}")
}

fn header(at: Position, engine: u32, pieces: &[&[u8]]) -> [u8; HEADER] {
    let size: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..20].copy_from_slice(&engine.to_le_bytes());
    header[20..24].copy_from_slice(&at.partition.to_le_bytes());
    header[24..32].copy_from_slice(&at.offset.to_le_bytes());
    header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
    header[40..72].copy_from_slice(&Digest::of_pieces(pieces).0);
    let check = crc32c::crc32c(&header[..124]);
    header[124..].copy_from_slice(&check.to_le_bytes());
    header
}

/// The checkpoint in `bytes`, or what is wrong with it.
fn parse(bytes: Bytes, offset: u64) -> Result<Checkpoint, String> {
    let Some(header) = bytes.get(..HEADER) else { return Err("it ends inside its header".into()) };
    let word = |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("four bytes"));
    let long = |from: usize| u64::from_le_bytes(header[from..from + 8].try_into().expect("eight bytes"));
    if header[..8] != MAGIC {
        return Err("it is no checkpoint".into());
    }
    let format = u16::from_le_bytes([header[8], header[9]]);
    if format > FORMAT {
        return Err(format!("format {format} is newer than {FORMAT}, the newest known here"));
    }
    if crc32c::crc32c(&header[..124]) != word(124) {
        return Err("its header's check sum does not fit".into());
    }
    let at = Position { partition: word(20), offset: long(24) };
    if at.offset != offset {
        return Err(format!("it is of record {at}, its name says {offset}"));
    }
    let state = bytes.slice(HEADER..);
    if state.len() as u64 != long(32) {
        return Err(format!("its state has {} bytes, its header says {}", state.len(), long(32)));
    }
    if Digest::of(&state).0 != header[40..72] {
        return Err("its state's digest does not fit".into());
    }
    Ok(Checkpoint { at, engine: word(16), state })
}
