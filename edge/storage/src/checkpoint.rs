//! Checkpoints of the engine: files of pages, written aside and renamed, the newest two kept.
//!
//! ```text
//! byte  size
//!    0     8  "FLCHECKP"
//!    8     2  format, 2
//!   10     2  layout of the state
//!   16     4  engine version
//!   20     4  partition
//!   24     8  offset: state after this record
//!   32     8  leaves of the ledger then
//!   40    32  digest of the state: RFC 6962 root over the pages' hashes, in the directory's order
//!   72     8  place of the directory
//!   80     8  size of the directory
//!   88    32  SHA-256 of the directory
//!  120     4  CRC-32C of bytes 0..120
//!  128        pages, one after another, in any order
//!             the directory to the end, canonical bytes: [[name, place, size, hash], ...]
//! ```
//! All numbers little endian, the rest of the header zero. A page's hash is the leaf hash of the canonical bytes of
//! `[name, bytes]`.
use crate::folder::DataFolder;
use faultline_host::{Disk, File};
use faultline_ledger::hash::root_of;
use faultline_ledger::leaf_hash;
use faultline_model::{Canonical, Digest, Position, Writer, canonical_struct, mutant};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"FLCHECKP";
const FORMAT: u16 = 2;
const HEADER: usize = 128;
const CHECKED: usize = 120;
/// How many are kept: the newest, and the one before for the day on which the newest turns out damaged.
const KEEP: usize = 2;
const NEW: &str = "checkpoint.new";
/// Bytes written, and hastened, at once.
const WRITE: usize = 256 << 10;

/// What a checkpoint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointHead {
    /// The last record in it.
    pub at: Position,
    /// Which engine wrote it.
    pub engine: u32,
    /// Version of the state's layout.
    pub layout: u16,
    /// How many leaves the ledger held then.
    pub leaves: u64,
    /// The state's digest.
    pub state: Digest,
}

/// Where a page stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    place: u64,
    size: u64,
    hash: Digest,
}
canonical_struct!(Entry { name, place, size, hash });

/// A page as stored: its name and its bytes.
pub type StoredPage = (String, Box<[u8]>);

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

/// Checkpoints of one data folder. One writer at a time.
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

    /// Begins a checkpoint; what was begun before and not finished is given up.
    pub fn begin(&self) -> Result<Draft, CheckpointError> {
        let path = self.folder.join(NEW);
        let created = match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.disk.create(&path),
        };
        let file = created.map_err(|source| self.error(&path, source))?;
        let (buffer, pages) = (vec![0; HEADER], BTreeMap::new());
        Ok(Draft { file, path, buffer, written: 0, pages })
    }

    /// Keeps a sealed draft as the checkpoint after `at`, durable when this returns, and removes those older than the
    /// newest two.
    pub fn finish(
        &self,
        draft: &Sealed,
        at: Position,
        engine: u32,
        layout: u16,
        leaves: u64,
    ) -> Result<(), CheckpointError> {
        let path = self.path(at);
        let head = CheckpointHead { at, engine, layout, leaves, state: draft.state };
        let header = header(&head, draft);
        let written = draft
            .file
            .write_at(&header, 0)
            .and_then(|()| if mutant!("file replaced without its sync") { Ok(()) } else { draft.file.sync_data() });
        let renamed = written.and_then(|()| self.disk.rename(&self.folder.join(NEW), &path));
        renamed.and_then(|()| self.disk.sync_dir(&self.folder)).map_err(|source| self.error(&path, source))?;
        let offsets = self.offsets()?;
        for old in offsets.iter().rev().skip(KEEP) {
            let path = self.folder.join(name(*old));
            // Not synced: an old one that comes back after a crash is removed next time.
            self.disk.remove(&path).map_err(|source| self.error(&path, source))?;
        }
        Ok(())
    }

    /// The checkpoint after the record at `offset`, its pages not yet read; or what is wrong with it.
    pub fn read(&self, offset: u64) -> Result<Result<Stored, String>, CheckpointError> {
        let path = self.folder.join(name(offset));
        let file = self.disk.open_read(&path).map_err(|source| self.error(&path, source))?;
        let stored = Stored::read(file, offset).map_err(|source| self.error(&path, source))?;
        Ok(stored)
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

    fn path(&self, at: Position) -> PathBuf {
        self.folder.join(name(at.offset))
    }

    fn error(&self, path: &Path, source: io::Error) -> CheckpointError {
        CheckpointError { path: path.to_path_buf(), source }
    }
}

/// A checkpoint that is being written. Pages come in any order.
pub struct Draft {
    file: Arc<dyn File>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes of the file that are written.
    written: u64,
    pages: BTreeMap<String, Entry>,
}

/// A draft that has all its pages; its head is written when it is kept.
pub struct Sealed {
    file: Arc<dyn File>,
    directory: u64,
    directory_size: u64,
    directory_digest: Digest,
    /// The state's digest.
    pub state: Digest,
}

impl Draft {
    /// Adds a page; one of the same name that came before is replaced.
    pub fn page(&mut self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let hash = page_hash(name, bytes);
        let place = self.written + self.buffer.len() as u64;
        let entry = Entry { name: name.to_string(), place, size: bytes.len() as u64, hash };
        self.buffer.extend_from_slice(bytes);
        self.pages.insert(name.to_string(), entry);
        if self.buffer.len() >= WRITE { self.write() } else { Ok(()) }
    }

    /// Whether a page has come.
    pub fn has(&self, name: &str) -> bool {
        self.pages.contains_key(name)
    }

    /// Writes the directory, in the order of `names`, which must be those of the pages that came.
    pub fn seal(mut self, names: impl Iterator<Item = String>) -> Result<Sealed, CheckpointError> {
        let entries: Option<Vec<Entry>> = names.map(|name| self.pages.remove(&name)).collect();
        let (Some(entries), true) = (entries, self.pages.is_empty()) else {
            return Err(self.error(io::Error::other("its pages are not those of the state")));
        };
        let hashes: Vec<Digest> = entries.iter().map(|entry| entry.hash).collect();
        let directory = entries.to_bytes();
        let place = self.written + self.buffer.len() as u64;
        self.buffer.extend_from_slice(&directory);
        self.write()?;
        Ok(Sealed {
            file: self.file,
            directory: place,
            directory_size: directory.len() as u64,
            directory_digest: Digest::of(&directory),
            state: root_of(&hashes),
        })
    }

    fn write(&mut self) -> Result<(), CheckpointError> {
        self.file.write_at(&self.buffer, self.written).map_err(|source| self.error(source))?;
        // One sync of all of it would hold up the journal's, and so would many small ones.
        self.file.hasten(self.written, self.buffer.len() as u64);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// An error of this draft.
    pub fn error(&self, source: io::Error) -> CheckpointError {
        CheckpointError { path: self.path.clone(), source }
    }
}

/// A checkpoint on disk whose header and directory are whole.
pub struct Stored {
    /// What it is of.
    pub head: CheckpointHead,
    directory: Vec<Entry>,
    file: Arc<dyn File>,
}

impl Stored {
    fn read(file: Arc<dyn File>, offset: u64) -> io::Result<Result<Stored, String>> {
        let mut header = [0; HEADER];
        if file.read_at(&mut header, 0)? < HEADER {
            return Ok(Err("it ends inside its header".into()));
        }
        let (head, place, size, digest) = match parse(&header, offset) {
            Ok(parsed) => parsed,
            Err(what) => return Ok(Err(what)),
        };
        let end = file.size()?;
        if place.checked_add(size) != Some(end) {
            return Ok(Err(format!("it has {end} bytes, its header says {place} and {size}")));
        }
        let Some(bytes) = read(&*file, place, size)? else {
            return Ok(Err("it ends inside its directory".into()));
        };
        let directory = match Vec::<Entry>::from_bytes(&bytes) {
            _ if Digest::of(&bytes) != digest => return Ok(Err("its directory's digest does not fit".into())),
            Err(error) => return Ok(Err(format!("its directory does not read: {error}"))),
            Ok(directory) => directory,
        };
        let hashes: Vec<Digest> = directory.iter().map(|entry| entry.hash).collect();
        if root_of(&hashes) != head.state {
            return Ok(Err("its pages' hashes do not give the state's digest".into()));
        }
        let mut extents: Vec<(u64, u64)> = directory.iter().map(|entry| (entry.place, entry.size)).collect();
        extents.sort_unstable();
        let covered = extents.iter().try_fold(
            HEADER as u64,
            |at, &(place, size)| {
                if place == at { at.checked_add(size) } else { None }
            },
        );
        if covered != Some(place) {
            return Ok(Err("its pages do not follow one another".into()));
        }
        Ok(Ok(Stored { head, directory, file }))
    }

    /// All pages, in the state's order; ends with what is wrong with the first that is not what was written.
    pub fn pages(&self) -> impl Iterator<Item = Result<StoredPage, String>> {
        self.directory.iter().map(|entry| self.entry(entry))
    }

    /// Pages of these names; nothing for a name that is not there.
    pub fn by_name(&self) -> impl Fn(&str) -> Option<Result<StoredPage, String>> {
        let entries: BTreeMap<&str, &Entry> = self.directory.iter().map(|entry| (&*entry.name, entry)).collect();
        move |name| entries.get(name).map(|entry| self.entry(entry))
    }

    fn entry(&self, entry: &Entry) -> Result<StoredPage, String> {
        let name = &entry.name;
        match read(&*self.file, entry.place, entry.size) {
            Err(error) => Err(format!("page `{name}` does not read: {error}")),
            Ok(None) => Err(format!("it ends inside page `{name}`")),
            Ok(Some(bytes)) if page_hash(name, &bytes) != entry.hash => {
                Err(format!("the hash of page `{name}` does not fit"))
            }
            Ok(Some(bytes)) => Ok((name.clone(), bytes)),
        }
    }
}

fn name(offset: u64) -> String {
    format!("checkpoint-{offset:016x}")
}

/// A page's leaf of the tree over the state.
fn page_hash(name: &str, bytes: &[u8]) -> Digest {
    let mut w = Writer::default();
    w.array(2);
    w.text(name);
    w.bytes(bytes);
    leaf_hash(&w.into_bytes())
}

/// `size` bytes from `at`; nothing where the file ends before. The file is as large as its header says: so is the memory.
fn read(file: &dyn File, at: u64, size: u64) -> io::Result<Option<Box<[u8]>>> {
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, at)?;
    Ok((read == bytes.len()).then(|| bytes.into()))
}

fn header(head: &CheckpointHead, draft: &Sealed) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    header[10..12].copy_from_slice(&head.layout.to_le_bytes());
    header[16..20].copy_from_slice(&head.engine.to_le_bytes());
    header[20..24].copy_from_slice(&head.at.partition.to_le_bytes());
    header[24..32].copy_from_slice(&head.at.offset.to_le_bytes());
    header[32..40].copy_from_slice(&head.leaves.to_le_bytes());
    header[40..72].copy_from_slice(&head.state.0);
    header[72..80].copy_from_slice(&draft.directory.to_le_bytes());
    header[80..88].copy_from_slice(&draft.directory_size.to_le_bytes());
    header[88..120].copy_from_slice(&draft.directory_digest.0);
    let check = crc32c::crc32c(&header[..CHECKED]);
    header[CHECKED..CHECKED + 4].copy_from_slice(&check.to_le_bytes());
    header
}

/// What a header says: the head, the directory's place, size and digest; or what is wrong with it.
fn parse(header: &[u8; HEADER], offset: u64) -> Result<(CheckpointHead, u64, u64, Digest), String> {
    let short = |from: usize| u16::from_le_bytes(header[from..from + 2].try_into().expect("two bytes"));
    let word = |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("four bytes"));
    let long = |from: usize| u64::from_le_bytes(header[from..from + 8].try_into().expect("eight bytes"));
    let digest = |from: usize| Digest(header[from..from + 32].try_into().expect("32 bytes"));
    if header[..8] != MAGIC {
        return Err("it is no checkpoint".into());
    }
    match short(8) {
        FORMAT => {}
        1 => return Err("format 1 is of a release before; this one replays the journal instead".into()),
        format => return Err(format!("format {format} is newer than {FORMAT}, the newest known here")),
    }
    if crc32c::crc32c(&header[..CHECKED]) != word(CHECKED) || header[CHECKED + 4..] != [0; 4] {
        return Err("its header's check sum does not fit".into());
    }
    let at = Position { partition: word(20), offset: long(24) };
    if at.offset != offset {
        return Err(format!("it is of record {at}, its name says {offset}"));
    }
    let head = CheckpointHead { at, engine: word(16), layout: short(10), leaves: long(32), state: digest(40) };
    Ok((head, long(72), long(80), digest(88)))
}
