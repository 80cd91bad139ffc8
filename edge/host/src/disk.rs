//! What storage may ask of a disk: positioned blocking I/O, names, and the two kinds of sync.
//!
//! A write is only a promise until [`File::sync_data`] returns; a new, renamed or removed name is only a promise until
//! [`Disk::sync_dir`] of its folder returns. Code against this trait must hold under both, which the memory double checks.
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system. Blocking; shared by threads.
pub trait Disk: Send + Sync {
    /// Opens a file that exists, for reading only.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists, for reading and writing.
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Makes an empty file; fails with `AlreadyExists` where there is one. The name is durable after [`Disk::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Names of files and folders directly in `folder`, sorted.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Renames a file, replacing what has the new name, at once for every observer. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and its parents where they are missing; durable when it returns.
    fn create_dir_all(&self, folder: &Path) -> io::Result<()>;

    /// Makes the names in `folder` durable.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;

    /// Size of the disk that holds `path`, and what of it is free to us.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Takes `folder` for this process until the lock is dropped or the process ends, however it ends; fails with
    /// `WouldBlock` while another holds it. Uses the file `lock` in the folder.
    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Lock>>;
}

/// An open file. Positioned, so that a reader and the writer share it without a cursor between them.
pub trait File: Send + Sync {
    /// Fills `buffer` from byte `at`; returns fewer bytes only where the file ends.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at byte `at`, growing the file where needed. After an error any part may be written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes what was written before this call durable. After an error the file must not be trusted again: the kernel
    /// may have dropped the pages and the next call would answer `Ok` (Rebello et al., "Can Applications Recover from
    /// fsync Failures?", USENIX ATC 2020).
    fn sync_data(&self) -> io::Result<()>;

    /// Lets the device take up what was written there, slowly, so that a later [`File::sync_data`] has little left to do
    /// and syncs of other files meanwhile do not wait for all of it. Promises nothing.
    fn hasten(&self, _at: u64, _size: u64) {}

    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file, or grows it with zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;
}

/// Whether the disk, or the share of it that we may use, is full: a condition that passes, unlike every other failure.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An exclusive hold on a folder; dropping it lets go.
pub trait Lock: Send {}

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Size of the whole disk.
    pub total: u64,
    /// What this process may still use.
    pub free: u64,
}
