//! The folder that an import writes to: it has its name once all of it is there.
use crate::render::chain;
use faultline_host::{Disk, Lock, RealDisk};
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder under another name. Dropped before it is finished it is removed.
pub struct Staging {
    folder: PathBuf,
    into: PathBuf,
    lock: Option<Box<dyn Lock>>,
}

impl Staging {
    /// Begins one, over what an import left that was killed. Fails where there is something at its place.
    pub fn begin(into: &Path) -> Result<Staging, Box<dyn Error>> {
        let failed = |what: &Path, error: &io::Error| format!("cannot write {}: {}", what.display(), chain(error));
        let name = into.file_name().ok_or_else(|| format!("{} cannot be a new folder", into.display()))?;
        match RealDisk.list(into) {
            Ok(names) if !names.is_empty() => {
                return Err(format!(
                    "{} is not empty, and an import adds to nothing: remove it, or name another with --into",
                    into.display()
                )
                .into());
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(into, &error).into()),
            _ => {}
        }
        let mut draft = name.to_os_string();
        draft.push(".unfinished");
        let folder = into.with_file_name(draft);
        RealDisk.create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        let lock = RealDisk.lock(&folder).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => format!("another import writes {}", folder.display()),
            _ => failed(&folder, &error),
        })?;
        let staging = Staging { folder, into: into.to_path_buf(), lock: Some(lock) };
        staging.empty().map_err(|error| failed(&staging.folder, &error))?;
        Ok(staging)
    }

    /// Where blocks go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives it its name, for good.
    pub fn finish(mut self) -> Result<(), Box<dyn Error>> {
        let finished = || -> io::Result<()> {
            RealDisk.remove(&self.folder.join("lock"))?;
            RealDisk.sync_dir(&self.folder)?;
            RealDisk.rename(&self.folder, &self.into)?;
            let parent = self.into.parent().filter(|parent| !parent.as_os_str().is_empty());
            RealDisk.sync_dir(parent.unwrap_or(Path::new(".")))
        };
        let finished = finished();
        finished.map_err(|error| format!("cannot write {}: {}", self.into.display(), chain(&error)))?;
        self.lock = None;
        Ok(())
    }

    /// Removes what an import writes, and nothing else.
    fn empty(&self) -> io::Result<()> {
        for name in RealDisk.list(&self.folder)? {
            if name.starts_with("block-") {
                RealDisk.remove(&self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Where this fails, the next import to the same place does it.
            let _left = self.empty().and_then(|()| RealDisk.remove(&self.folder.join("lock")));
            let _left = fs::remove_dir(&self.folder);
        }
    }
}
