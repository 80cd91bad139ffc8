//! The simulated disk: the forgetful disk of `host`, and in front of it what goes wrong with real ones.
//!
//! Each fault is armed for the n-th I/O of its class from then on. Whatever the process does to the disk goes into the trace.
use crate::trace::Trace;
use faultline_host::{Disk, File, Lock, MemoryDisk, Space};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The machine stops before a change or sync.
    StopBefore,
    /// The machine stops right after one.
    StopAfter,
    /// A write is cut in two, and the machine stops between the halves.
    StopWithin,
    /// A sync fails and loses what waited for it: EIO.
    SyncFails,
    /// A write, or a new file, finds no room: ENOSPC, half written; and so do up to 15 that follow.
    NoRoom,
    /// A write fails half done: EIO.
    WriteFails,
    /// A read fails: EIO.
    ReadFails,
    /// A read gives one bit wrong.
    ReadRots,
    /// A write lands elsewhere in its file and says that it went well.
    WriteStrays,
    /// A write lands in another file and says that it went well.
    WriteMisses,
}

/// Every fault, by the number that an event has.
pub const FAULTS: [Fault; 10] = [
    Fault::StopBefore,
    Fault::StopAfter,
    Fault::StopWithin,
    Fault::SyncFails,
    Fault::NoRoom,
    Fault::WriteFails,
    Fault::ReadFails,
    Fault::ReadRots,
    Fault::WriteStrays,
    Fault::WriteMisses,
];

/// What an I/O is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Any change or sync.
    Change,
    Write,
    Sync,
    Read,
}

impl Fault {
    /// Its name in reports.
    pub fn word(self) -> &'static str {
        match self {
            Fault::StopBefore => "stop before an I/O",
            Fault::StopAfter => "stop after an I/O",
            Fault::StopWithin => "stop within a write",
            Fault::SyncFails => "EIO on a sync",
            Fault::NoRoom => "ENOSPC on a write",
            Fault::WriteFails => "EIO on a write",
            Fault::ReadFails => "EIO on a read",
            Fault::ReadRots => "bit rot at a read",
            Fault::WriteStrays => "misdirected write",
            Fault::WriteMisses => "write to another file",
        }
    }

    fn class(self) -> Class {
        match self {
            Fault::StopBefore | Fault::StopAfter => Class::Change,
            Fault::SyncFails => Class::Sync,
            Fault::ReadFails | Fault::ReadRots => Class::Read,
            _ => Class::Write,
        }
    }

    /// Whether the disk does not hold what it said it holds: such damage must be noticed and need not be healed.
    pub fn damages(self) -> bool {
        matches!(self, Fault::ReadRots | Fault::WriteStrays | Fault::WriteMisses)
    }
}

/// A fault that happened, and where.
#[derive(Clone, Debug)]
pub struct Fired {
    /// Which.
    pub fault: Fault,
    /// The file.
    pub path: PathBuf,
    /// What it was armed with.
    pub parameter: u64,
}

/// The disk of one simulated machine. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    /// What is on it.
    pub memory: MemoryDisk,
    state: Arc<Mutex<State>>,
}

struct State {
    trace: Trace,
    counts: BTreeMap<Class, u64>,
    /// By class: the count at which it happens, what, and its parameter.
    armed: Vec<(Class, u64, Fault, u64)>,
    fired: Vec<Fired>,
    /// The machine has stopped.
    stopped: bool,
    /// Nothing goes wrong and nothing is counted: somebody looks from outside.
    paused: bool,
    /// I/Os by what they are, over all lives.
    totals: BTreeMap<&'static str, u64>,
}

impl SimDisk {
    /// An empty disk of `capacity` bytes.
    pub fn new(capacity: u64) -> SimDisk {
        SimDisk::over(MemoryDisk::new(capacity))
    }

    /// Faults in front of `memory`.
    pub fn over(memory: MemoryDisk) -> SimDisk {
        let state = State {
            trace: Trace::default(),
            counts: BTreeMap::new(),
            armed: Vec::new(),
            fired: Vec::new(),
            stopped: false,
            paused: false,
            totals: BTreeMap::new(),
        };
        SimDisk { memory, state: Arc::new(Mutex::new(state)) }
    }

    /// Arms `fault` for the `after`-th I/O of its class from now (from 0).
    pub fn arm(&self, fault: Fault, after: u64, parameter: u64) {
        let mut state = self.state();
        let class = fault.class();
        let at = state.counts.get(&class).copied().unwrap_or(0) + after;
        state.armed.push((class, at, fault, parameter));
    }

    /// A machine that runs again, without what was armed before.
    pub fn restart(&self) {
        let mut state = self.state();
        state.armed.clear();
        state.fired.clear();
        state.stopped = false;
    }

    /// Nothing more goes wrong that was armed before.
    pub fn disarm(&self) {
        self.state().armed.clear();
    }

    /// What happened since the last [`SimDisk::restart`].
    pub fn fired(&self) -> Vec<Fired> {
        self.state().fired.clone()
    }

    /// Whether the machine has stopped.
    pub fn stopped(&self) -> bool {
        self.state().stopped
    }

    /// From now on somebody looks from outside, or no longer.
    pub fn pause(&self, on: bool) {
        self.state().paused = on;
    }

    /// Changes and syncs so far.
    pub fn changes(&self) -> u64 {
        self.state().counts.get(&Class::Change).copied().unwrap_or(0)
    }

    /// A digest of everything that was done so far.
    pub fn trace(&self) -> u64 {
        self.state().trace.digest()
    }

    /// Adds to the trace.
    pub fn note(&self, what: &str, bytes: &[u8]) {
        self.state().trace.add(what, bytes);
    }

    /// I/Os by kind, over all lives.
    pub fn totals(&self) -> BTreeMap<&'static str, u64> {
        self.state().totals.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Counts an I/O and says what goes wrong with it.
    fn begin(&self, class: Class, what: &'static str, path: &Path, bytes: &[u8]) -> io::Result<Option<(Fault, u64)>> {
        let mut state = self.state();
        if state.paused {
            return Ok(None);
        }
        if state.stopped {
            return Err(stopped());
        }
        *state.totals.entry(what).or_default() += 1;
        if class != Class::Read {
            state.trace.add(what, path.as_os_str().as_encoded_bytes());
            state.trace.add("", bytes);
        }
        let mut due = None;
        let classes: &[Class] = if class == Class::Read { &[Class::Read] } else { &[Class::Change, class] };
        for counted in classes.iter().copied().take(if class == Class::Change { 1 } else { 2 }) {
            let count = state.counts.entry(counted).or_default();
            let now = *count;
            *count += 1;
            if let Some(found) = state.armed.iter().position(|&(of, at, ..)| of == counted && at <= now)
                && due.is_none()
            {
                let (_, _, fault, parameter) = state.armed.remove(found);
                due = Some((fault, parameter));
            }
        }
        let Some((fault, parameter)) = due else { return Ok(None) };
        if fault == Fault::NoRoom && parameter % 16 > 0 {
            let next = state.counts.get(&Class::Write).copied().unwrap_or(0);
            state.armed.push((Class::Write, next, fault, parameter - 1));
        }
        state.fired.push(Fired { fault, path: path.to_path_buf(), parameter });
        state.trace.add(fault.word(), &[]);
        if fault == Fault::StopBefore {
            state.stopped = true;
            return Err(stopped());
        }
        Ok(Some((fault, parameter)))
    }

    /// Ends an I/O: the machine may stop behind it.
    fn end<T>(&self, fault: Option<(Fault, u64)>, result: io::Result<T>) -> io::Result<T> {
        if matches!(fault, Some((Fault::StopAfter | Fault::StopWithin, _))) {
            self.state().stopped = true;
            return Err(stopped());
        }
        result
    }

    /// A change of names.
    fn named(&self, what: &'static str, path: &Path, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let fault = self.begin(Class::Change, what, path, &[])?;
        self.end(fault, change())
    }

    fn wrap(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(SimFile { disk: self.clone(), path: path.to_path_buf(), file })
    }

    fn synced(&self, what: &'static str, path: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let fault = self.begin(Class::Sync, what, path, &[])?;
        if matches!(fault, Some((Fault::SyncFails, _))) {
            self.memory.fail_sync(self.memory.syncs());
        }
        self.end(fault, sync())
    }
}

fn stopped() -> io::Error {
    io::Error::other("the machine stopped")
}

fn eio() -> io::Error {
    io::Error::other("input/output error")
}

impl Disk for SimDisk {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.running()?;
        Ok(self.wrap(path, self.memory.open_read(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.running()?;
        Ok(self.wrap(path, self.memory.open_write(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let fault = self.begin(Class::Write, "create", path, &[])?;
        let made = match fault {
            Some((Fault::NoRoom, _)) => Err(io::ErrorKind::StorageFull.into()),
            Some((Fault::WriteFails, _)) => Err(eio()),
            _ => self.memory.create(path),
        };
        let file = self.end(fault, made)?;
        Ok(self.wrap(path, file))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        match self.begin(Class::Read, "list", folder, &[])? {
            Some((Fault::ReadFails, _)) => Err(eio()),
            _ => self.memory.list(folder),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.named("rename", to, || self.memory.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.running()?;
        if !self.memory.files().iter().any(|file| file == path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.named("remove", path, || self.memory.remove(path))
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        self.running()?;
        self.memory.create_dir_all(folder)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.synced("sync of a folder", folder, || self.memory.sync_dir(folder))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.running()?;
        self.memory.space(path)
    }

    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Lock>> {
        self.running()?;
        self.memory.lock(folder)
    }
}

impl SimDisk {
    fn running(&self) -> io::Result<()> {
        if self.stopped() { Err(stopped()) } else { Ok(()) }
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    file: Arc<dyn File>,
}

impl SimFile {
    /// Bytes that go to another place than they should.
    fn stray(&self, fault: Fault, parameter: u64, bytes: &[u8], at: u64) -> io::Result<()> {
        let files = self.disk.memory.files();
        let others: Vec<&PathBuf> =
            files.iter().filter(|file| **file != self.path && !file.ends_with("lock")).collect();
        let (path, at) = match fault {
            Fault::WriteMisses if !others.is_empty() => (others[parameter as usize % others.len()], at),
            _ => {
                let pages = self.file.size()?.div_ceil(4096).max(1);
                // Another page of the file, or, where there is only one, the one behind it.
                let page = (at / 4096 + 1 + parameter % pages.max(2).saturating_sub(1)) % pages.max(2);
                (&self.path, page * 4096 + at % 4096)
            }
        };
        self.disk.memory.open_write(path)?.write_at(bytes, at)
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self.disk.begin(Class::Read, "read", &self.path, &[])? {
            Some((Fault::ReadFails, _)) => Err(eio()),
            Some((Fault::ReadRots, parameter)) => {
                let count = self.file.read_at(buffer, at)?;
                if count > 0 {
                    buffer[(parameter / 8) as usize % count] ^= 1 << (parameter % 8);
                }
                Ok(count)
            }
            _ => self.file.read_at(buffer, at),
        }
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut stamp = at.to_le_bytes().to_vec();
        stamp.extend_from_slice(bytes);
        let fault = self.disk.begin(Class::Write, "write", &self.path, &stamp)?;
        let half = bytes.len() / 2;
        let done = match fault {
            Some((Fault::NoRoom, _)) => {
                self.file.write_at(&bytes[..half], at)?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Some((Fault::WriteFails, _)) => {
                self.file.write_at(&bytes[..half], at)?;
                Err(eio())
            }
            Some((Fault::StopWithin, parameter)) => {
                self.file.write_at(&bytes[..parameter as usize % (bytes.len() + 1)], at)
            }
            Some((fault @ (Fault::WriteStrays | Fault::WriteMisses), parameter)) => {
                self.stray(fault, parameter, bytes, at)
            }
            _ => self.file.write_at(bytes, at),
        };
        self.disk.end(fault, done)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.synced("sync", &self.path, || self.file.sync_data())
    }

    fn size(&self) -> io::Result<u64> {
        self.disk.running()?;
        self.file.size()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let fault = self.disk.begin(Class::Write, "resize", &self.path, &size.to_le_bytes())?;
        let done = match fault {
            Some((Fault::NoRoom, _)) => Err(io::ErrorKind::StorageFull.into()),
            Some((Fault::WriteFails, _)) => Err(eio()),
            _ => self.file.set_size(size),
        };
        self.disk.end(fault, done)
    }
}
