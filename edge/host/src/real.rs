//! The machine's own disk.
use crate::disk::{Disk, File, Lock, Space};
use rustix::fs::Advice;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the device is left alone for after each stretch that is hastened.
const BREATH: Duration = Duration::from_millis(3);

/// Makes a call again while a signal interrupts it: the standard library does so for files, and not for folders.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Files through the operating system, with `fdatasync` for data and `fsync` for folders.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile(fs::File::open(path)?)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile(fs::File::options().read(true).write(true).open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile(fs::File::options().read(true).write(true).create_new(true).open(path)?)))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in uninterrupted(|| fs::read_dir(folder))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = folder;
        while !at.as_os_str().is_empty() && !at.exists() {
            missing.push(at.to_path_buf());
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
        for path in missing.iter().rev() {
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            self.sync_dir(parent)?;
        }
        Ok(())
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let figures = rustix::io::retry_on_intr(|| rustix::fs::statvfs(path))?;
        let block = figures.f_frsize;
        Ok(Space { total: figures.f_blocks.saturating_mul(block), free: figures.f_bavail.saturating_mul(block) })
    }

    fn lock(&self, folder: &Path) -> io::Result<Box<dyn Lock>> {
        let file = fs::File::options().write(true).create(true).truncate(false).open(folder.join("lock"))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Box::new(RealLock { _file: file })),
                Err(fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                // A signal came first: nothing was decided.
                Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// The kernel drops the lock with the last descriptor, so also after `kill -9`.
struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}

struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn hasten(&self, at: u64, size: u64) {
        // Pages that are dirty are not dropped by this advice, their write is begun: Linux' only way to ask for that without
        // waiting and without a flush of the device's cache, which is what the journal would wait for.
        let _only_advice = rustix::fs::fadvise(&self.0, at, NonZeroU64::new(size), Advice::DontNeed);
        std::thread::sleep(BREATH);
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RealDisk.lock(folder.path()).unwrap();
        assert_eq!(RealDisk.lock(folder.path()).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        RealDisk.lock(folder.path()).unwrap();
    }

    #[test]
    fn files_keep_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        RealDisk.create_dir_all(&deep).unwrap();
        RealDisk.create_dir_all(&deep).unwrap();
        let file = RealDisk.create(&deep.join("x")).unwrap();
        assert_eq!(RealDisk.create(&deep.join("x")).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        file.write_at(b"hello", 3).unwrap();
        file.sync_data().unwrap();
        RealDisk.rename(&deep.join("x"), &deep.join("y")).unwrap();
        RealDisk.sync_dir(&deep).unwrap();
        let mut buffer = [9; 16];
        let file = RealDisk.open_read(&deep.join("y")).unwrap();
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 8);
        assert_eq!(&buffer[..8], b"\0\0\0hello");
        assert!(file.write_at(b"x", 0).is_err(), "opened for reading only");
        RealDisk.open_write(&deep.join("y")).unwrap().set_size(4).unwrap();
        assert_eq!(file.size().unwrap(), 4);
        assert_eq!(RealDisk.list(&deep).unwrap(), ["y"]);
        RealDisk.remove(&deep.join("y")).unwrap();
        assert!(RealDisk.list(&deep).unwrap().is_empty());
        let space = RealDisk.space(folder.path()).unwrap();
        assert!(space.free <= space.total && space.total > 0);
    }
}
