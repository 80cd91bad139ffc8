//! A disk in memory that forgets what was not synced, and fails where a test says so.
//!
//! It keeps two pictures: what the running process sees, and what would be there after a power cut. Each write, size and
//! name change waits between them until its sync. [`MemoryDisk::crash`] chooses what of the waiting changes survives;
//! [`MemoryDisk::kill`] ends the process only, as `kill -9` does: the kernel still holds what was written.
mod crash;
mod file;

use crate::disk::{Disk, File, Lock, Space};
pub use crash::CrashPolicy;
use file::{MemoryFile, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// The double. Clones are the same disk: keep one to restart on what survived.
#[derive(Clone)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

impl MemoryDisk {
    /// An empty disk of `capacity` bytes.
    pub fn new(capacity: u64) -> MemoryDisk {
        let inner = Inner {
            capacity,
            nodes: BTreeMap::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            waiting: Vec::new(),
            folders: BTreeSet::new(),
            locks: BTreeSet::new(),
            process: 0,
            sequence: 0,
            operations: 0,
            syncs: 0,
            stop_at: None,
            fail_at: None,
            fail_sync: None,
            ignore_sync: None,
            sector: 512,
        };
        MemoryDisk { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Another disk that holds the same, waiting changes included, and that nobody uses yet.
    pub fn copy(&self) -> MemoryDisk {
        let mut inner = self.lock_inner().clone();
        inner.process += 1;
        inner.locks.clear();
        MemoryDisk { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The bytes that are written as a whole or not at all; anything larger may be torn. 512 on a new disk.
    pub fn set_sector(&self, bytes: u64) {
        self.lock_inner().sector = bytes;
    }

    /// Files that the running process sees, by name.
    pub fn files(&self) -> Vec<PathBuf> {
        self.lock_inner().live.keys().cloned().collect()
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.lock_inner().used()
    }

    /// Changes and syncs so far: the crash points of a run.
    pub fn operations(&self) -> u64 {
        self.lock_inner().operations
    }

    /// Syncs of files and folders so far.
    pub fn syncs(&self) -> u64 {
        self.lock_inner().syncs
    }

    /// From the `n`-th change or sync of the disk's life on (from 0), nothing happens and everything fails, until the next
    /// [`MemoryDisk::crash`] or [`MemoryDisk::kill`].
    pub fn stop_at(&self, n: u64) {
        self.lock_inner().stop_at = Some(n);
    }

    /// The `n`-th change or sync of the disk's life (from 0) fails with `kind`, once. A write that fails is half done.
    pub fn fail_at(&self, n: u64, kind: io::ErrorKind) {
        self.lock_inner().fail_at = Some((n, kind));
    }

    /// The `n`-th sync of the disk's life (from 0) fails once. A file loses what waited for it, while the running process
    /// goes on seeing it: what Linux does. The names of a folder wait on.
    pub fn fail_sync(&self, n: u64) {
        self.lock_inner().fail_sync = Some(n);
    }

    /// The `n`-th sync of the disk's life (from 0) does nothing and answers `Ok`: the planted fault that a crash test must
    /// notice.
    pub fn ignore_sync(&self, n: u64) {
        self.lock_inner().ignore_sync = Some(n);
    }

    /// Sets what the disk holds, in bytes.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock_inner().capacity = bytes;
    }

    /// What a file holds, as the running process sees it.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.lock_inner();
        inner.live.get(path).map(|id| inner.nodes[id].live.clone())
    }

    /// Replaces a file behind everyone's back, durably: damage.
    pub fn set_content(&self, path: &Path, bytes: &[u8]) {
        let mut inner = self.lock_inner();
        let id = match inner.live.get(path) {
            Some(&id) => id,
            None => inner.link(path),
        };
        inner.durable.insert(path.to_path_buf(), id);
        inner.nodes.insert(id, Node { live: bytes.to_vec(), durable: bytes.to_vec(), waiting: Vec::new() });
    }

    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn File>> {
        let inner = self.lock_inner();
        inner.running()?;
        let id = *inner.live.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), id, process: inner.process, writable }))
    }
}

impl Disk for MemoryDisk {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path, true)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut inner = self.lock_inner();
        if inner.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|folder| inner.folders.contains(folder)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.operation()?;
        let id = inner.link(path);
        inner.name_change(NameChange::Link { path: path.to_path_buf(), id });
        drop(inner);
        self.open(path, true)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock_inner();
        inner.running()?;
        if !inner.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = inner.live.keys().chain(inner.folders.iter());
        let mut names: Vec<String> = paths
            .filter(|path| path.parent() == Some(folder))
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock_inner();
        let id = *inner.live.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.operation()?;
        inner.live.remove(from);
        inner.live.insert(to.to_path_buf(), id);
        inner.name_change(NameChange::Rename { from: from.to_path_buf(), to: to.to_path_buf(), id });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock_inner();
        if !inner.live.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.operation()?;
        inner.live.remove(path);
        inner.name_change(NameChange::Unlink { path: path.to_path_buf() });
        Ok(())
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        let mut inner = self.lock_inner();
        inner.operation()?;
        for path in folder.ancestors() {
            inner.folders.insert(path.to_path_buf());
        }
        Ok(())
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        let mut inner = self.lock_inner();
        match inner.sync()? {
            Sync::Ignored => {}
            // A file system that journals its names keeps what it could not commit, or stops: it forgets none of it.
            Sync::Lost => return Err(eio()),
            Sync::Done => {
                let (here, rest) = std::mem::take(&mut inner.waiting)
                    .into_iter()
                    .partition(|(_, change)| change.folder() == Some(folder));
                inner.waiting = rest;
                let here: Vec<(u64, NameChange)> = here;
                here.iter().for_each(|(_, change)| change.apply(&mut inner.durable));
            }
        }
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let inner = self.lock_inner();
        inner.running()?;
        Ok(Space { total: inner.capacity, free: inner.capacity.saturating_sub(inner.used()) })
    }

    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Lock>> {
        let mut inner = self.lock_inner();
        inner.running()?;
        if !inner.locks.insert(folder.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock { disk: self.clone(), folder: folder.to_path_buf(), process: inner.process }))
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    folder: PathBuf,
    process: u64,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut inner = self.disk.lock_inner();
        if inner.process == self.process {
            inner.locks.remove(&self.folder);
        }
    }
}

#[derive(Clone)]
struct Inner {
    capacity: u64,
    nodes: BTreeMap<u64, Node>,
    /// Names as the running process sees them.
    live: BTreeMap<PathBuf, u64>,
    /// Names that a power cut leaves.
    durable: BTreeMap<PathBuf, u64>,
    /// Name changes that wait for `sync_dir`, in order.
    waiting: Vec<(u64, NameChange)>,
    folders: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    /// Rises with each crash and kill; handles of an earlier process are dead.
    process: u64,
    /// Order of all waiting changes, of files and names together.
    sequence: u64,
    operations: u64,
    syncs: u64,
    stop_at: Option<u64>,
    fail_at: Option<(u64, io::ErrorKind)>,
    fail_sync: Option<u64>,
    ignore_sync: Option<u64>,
    sector: u64,
}

/// What a sync does.
enum Sync {
    Done,
    Ignored,
    Lost,
}

impl Inner {
    fn running(&self) -> io::Result<()> {
        match self.stop_at {
            Some(at) if self.operations >= at => Err(io::Error::other("the machine stopped")),
            _ => Ok(()),
        }
    }

    /// Counts a change or a sync and fails it where a test says so.
    fn operation(&mut self) -> io::Result<()> {
        self.running()?;
        let n = self.operations;
        self.operations += 1;
        match self.fail_at {
            Some((at, kind)) if at == n => {
                self.fail_at = None;
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<Sync> {
        self.operation()?;
        let n = self.syncs;
        self.syncs += 1;
        Ok(match () {
            () if self.ignore_sync == Some(n) => Sync::Ignored,
            () if self.fail_sync == Some(n) => Sync::Lost,
            () => Sync::Done,
        })
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn link(&mut self, path: &Path) -> u64 {
        let id = self.nodes.last_key_value().map_or(0, |(&id, _)| id + 1);
        self.nodes.insert(id, Node::default());
        self.live.insert(path.to_path_buf(), id);
        id
    }

    fn name_change(&mut self, change: NameChange) {
        let sequence = self.next_sequence();
        self.waiting.push((sequence, change));
    }

    fn used(&self) -> u64 {
        self.live.values().map(|id| self.nodes[id].live.len() as u64).sum()
    }
}

#[derive(Clone)]
enum NameChange {
    Link { path: PathBuf, id: u64 },
    Rename { from: PathBuf, to: PathBuf, id: u64 },
    Unlink { path: PathBuf },
}

impl NameChange {
    fn folder(&self) -> Option<&Path> {
        match self {
            NameChange::Link { path, .. } | NameChange::Unlink { path } => path.parent(),
            NameChange::Rename { to, .. } => to.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Link { path, id } => {
                names.insert(path.clone(), *id);
            }
            NameChange::Rename { from, to, id } => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
            NameChange::Unlink { path } => {
                names.remove(path);
            }
        }
    }
}

fn eio() -> io::Error {
    io::Error::other("input/output error")
}

#[cfg(test)]
mod tests;
