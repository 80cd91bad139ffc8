//! The data folder: whose it is, which format, which journal, and that nobody else uses it.
use crate::whole::write_whole;
use faultline_host::{Disk, Lock};
use faultline_model::ids::hex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The format that this release writes, and the newest it reads.
const FORMAT: u32 = 1;
const VERSION: &str = "VERSION";
/// The version file while it is written; one left over means that the folder's creation was cut short.
const VERSION_NEW: &str = "VERSION.new";
const TITLE: &str = "faultline data folder";

/// An open data folder. Held by this process until it is dropped.
pub struct DataFolder {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    journal: [u8; 16],
    /// `None`: opened for inspection only.
    _lock: Option<Box<dyn Lock>>,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The disk refused. Retry after fixing rights or freeing space.
    #[error("cannot use the data folder {}: {what}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process holds it.
    #[error("the data folder {} is in use by another faultline process; stop that one or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// There is none to inspect.
    #[error("there is no faultline data folder at {}; name the folder that `faultline run` was given", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// It holds something else. Nothing was changed.
    #[error("{} is not a faultline data folder (it holds `{found}` and no VERSION file); choose an empty or a new folder", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// A name found there.
        found: String,
    },
    /// A newer release wrote it. Nothing was changed.
    #[error("the data folder {} has format {found}, this release reads up to {known}; use the newer release again", path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The version file is not what was written.
    #[error("the VERSION file of {} is damaged: {what}; restore it from a copy of the folder", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

impl DataFolder {
    /// Opens the folder for this process alone; an absent or empty one becomes a new data folder.
    ///
    /// - `new_journal`: 16 random bytes, the id of the journal if one is made now.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, new_journal: [u8; 16]) -> Result<DataFolder, FolderError> {
        let io = |what| move |source| FolderError::Io { path: path.to_path_buf(), what, source };
        disk.create_dir_all(path).map_err(io("creating it"))?;
        // Looked at before the lock, which leaves a file: a folder that is not ours stays as it is.
        refuse_foreign(&*disk, path)?;
        let lock = disk.lock(path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => FolderError::InUse { path: path.to_path_buf() },
            _ => io("locking it")(source),
        })?;
        let journal = match read_version(&*disk, path)? {
            Some(journal) => {
                // The process that wrote it may have been killed before its name was durable.
                disk.sync_dir(path).map_err(io("syncing it"))?;
                journal
            }
            None => {
                write_whole(&*disk, &path.join(VERSION), version_text(new_journal).as_bytes())
                    .map_err(io("writing its VERSION file"))?;
                new_journal
            }
        };
        Ok(DataFolder { disk, path: path.to_path_buf(), journal, _lock: Some(lock) })
    }

    /// Opens an existing folder for reading only, also while a process uses it. Changes nothing.
    pub fn inspect(disk: Arc<dyn Disk>, path: &Path) -> Result<DataFolder, FolderError> {
        match refuse_foreign(&*disk, path) {
            Err(FolderError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(FolderError::Missing { path: path.to_path_buf() });
            }
            other => other?,
        }
        match read_version(&*disk, path)? {
            Some(journal) => Ok(DataFolder { disk, path: path.to_path_buf(), journal, _lock: None }),
            None => Err(FolderError::Missing { path: path.to_path_buf() }),
        }
    }

    /// Random name of the journal in this folder.
    pub fn journal_id(&self) -> [u8; 16] {
        self.journal
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
}

fn refuse_foreign(disk: &dyn Disk, path: &Path) -> Result<(), FolderError> {
    let names =
        disk.list(path).map_err(|source| FolderError::Io { path: path.to_path_buf(), what: "listing it", source })?;
    if names.iter().any(|name| name == VERSION) {
        return Ok(());
    }
    match names.into_iter().find(|name| name != "lock" && name != VERSION_NEW) {
        Some(found) => Err(FolderError::Foreign { path: path.to_path_buf(), found }),
        None => Ok(()),
    }
}

/// The journal's id, or `None` where there is no version file.
fn read_version(disk: &dyn Disk, path: &Path) -> Result<Option<[u8; 16]>, FolderError> {
    let file = match disk.open_read(&path.join(VERSION)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(FolderError::Io { path: path.to_path_buf(), what: "opening its VERSION file", source });
        }
    };
    let mut buffer = [0; 512];
    let size = file.read_at(&mut buffer, 0).map_err(|source| FolderError::Io {
        path: path.to_path_buf(),
        what: "reading its VERSION file",
        source,
    })?;
    let damaged = |what| FolderError::Damaged { path: path.to_path_buf(), what };
    let text = std::str::from_utf8(&buffer[..size]).map_err(|_| damaged("it is not text"))?;
    let mut lines = text.split_inclusive('\n');
    let mut field = |name: &str| lines.next().and_then(|line| line.strip_suffix('\n')?.strip_prefix(name));
    if field(TITLE) != Some("") {
        return Err(damaged("its first line is not ours"));
    }
    let format: u32 = field("format ").and_then(|n| n.parse().ok()).ok_or_else(|| damaged("the format is missing"))?;
    if format > FORMAT {
        // A newer format may have other lines below; only these two are for ever.
        return Err(FolderError::Newer { path: path.to_path_buf(), found: format, known: FORMAT });
    }
    let id = field("journal ").and_then(unhex).ok_or_else(|| damaged("the journal's id is missing"))?;
    if text != version_text(id) {
        return Err(damaged("its check sum does not fit"));
    }
    Ok(Some(id))
}

fn version_text(journal: [u8; 16]) -> String {
    let text = format!("{TITLE}\nformat {FORMAT}\njournal {}\n", hex(&journal));
    let check = crc32c::crc32c(text.as_bytes());
    format!("{text}check {check:08x}\n")
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}
