//! Small durable values by name, such as how far a sink has read: two slots, written in turn, so that a torn write leaves
//! the value before.
//!
//! ```text
//! slot at byte 0 and at byte 4096 of cursors/<name>, 512 bytes, one sector each:
//! byte  size
//!    0     4  "FLcr"
//!    4     4  size of the value in bytes, at most 488
//!    8     8  how often it was set, from 1; the higher slot counts
//!   16        the value, then zeros
//!  508     4  CRC-32C of the name and bytes 0..508
//! ```
//! A cursor whose newest slot is damaged falls back to the value before it: its owner must bear going back.
use crate::folder::DataFolder;
use faultline_host::{Disk, File};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const MAGIC: [u8; 4] = *b"FLcr";
const SLOT: usize = 512;
/// Slots lie in pages of their own, so that no write touches both.
const STEP: u64 = 4096;
/// The longest value in bytes.
const LONGEST: usize = SLOT - 16 - 8;

/// Cursors of one data folder.
pub struct Cursors {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    open: BTreeMap<String, Cursor>,
}

struct Cursor {
    file: Arc<dyn File>,
    set: u64,
    value: Vec<u8>,
}

/// Why a cursor cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The disk refused. The value before is still there. After a failed sync end the process.
    #[error("cannot keep or read the cursor {}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Neither slot is what was written. Remove the file to start over, or restore it.
    #[error("the cursor {} is damaged: neither of its slots is valid; restore it from a copy", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

impl Cursors {
    /// The cursors of `folder`.
    pub fn open(folder: &DataFolder) -> Result<Cursors, CursorError> {
        let mut cursors =
            Cursors { disk: Arc::clone(&folder.disk), folder: folder.path.join("cursors"), open: BTreeMap::new() };
        let io = |path: &PathBuf| {
            let path = path.clone();
            move |source| CursorError::Io { path, source }
        };
        cursors.disk.create_dir_all(&cursors.folder).map_err(io(&cursors.folder))?;
        // A name may be in the kernel only, and our caller acts on what is under it.
        cursors.disk.sync_dir(&cursors.folder).map_err(io(&cursors.folder))?;
        for name in cursors.disk.list(&cursors.folder).map_err(io(&cursors.folder))? {
            let path = cursors.folder.join(&name);
            if let Some(cursor) = cursors.read(&name).map_err(io(&path))?.ok_or(CursorError::Damaged { path })? {
                cursors.open.insert(name, cursor);
            }
        }
        Ok(cursors)
    }

    /// The value last set under `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.open.get(name).map(|cursor| &cursor.value[..])
    }

    /// Sets a value of at most 488 bytes; durable when this returns. Names: lower-case letters, digits and dashes.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), CursorError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!(!name.is_empty() && name.bytes().all(plain), "`{name}` is no name of a cursor");
        assert!(value.len() <= LONGEST, "a cursor of {} bytes", value.len());
        self.write(name, value).map_err(|source| CursorError::Io { path: self.folder.join(name), source })
    }

    fn write(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        let (file, set, new) = match self.open.get(name) {
            Some(cursor) => (Arc::clone(&cursor.file), cursor.set + 1, false),
            None => {
                let path = self.folder.join(name);
                let file = match self.disk.create(&path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.open_write(&path)?,
                    other => other?,
                };
                (file, 1, true)
            }
        };
        file.write_at(&slot(name, set, value), set % 2 * STEP)?;
        file.sync_data()?;
        if new {
            self.disk.sync_dir(&self.folder)?;
        }
        self.open.insert(name.to_string(), Cursor { file, set, value: value.to_vec() });
        Ok(())
    }

    /// `None`: damaged. `Some(None)`: its first value was torn, so it was never set.
    fn read(&self, name: &str) -> io::Result<Option<Option<Cursor>>> {
        let file = self.disk.open_write(&self.folder.join(name))?;
        let mut newest: Option<(u64, Vec<u8>)> = None;
        let mut written = [false; 2];
        for (index, written) in written.iter_mut().enumerate() {
            let mut bytes = [0; SLOT];
            file.read_at(&mut bytes, index as u64 * STEP)?;
            *written = bytes.iter().any(|&byte| byte != 0);
            if let Some((set, value)) = parse(name, &bytes)
                && newest.as_ref().is_none_or(|(newest, _)| set > *newest)
            {
                newest = Some((set, value));
            }
        }
        Ok(match (newest, written) {
            (Some((set, value)), _) => {
                // The process before may have left the newest value in the kernel only, and our caller acts on it.
                file.write_at(&slot(name, set, &value), set % 2 * STEP)?;
                file.sync_data()?;
                Some(Some(Cursor { file, set, value }))
            }
            // The first value goes into the second slot.
            (None, [false, _]) => Some(None),
            (None, _) => None,
        })
    }
}

fn slot(name: &str, set: u64, value: &[u8]) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..8].copy_from_slice(&(value.len() as u32).to_le_bytes());
    slot[8..16].copy_from_slice(&set.to_le_bytes());
    slot[16..16 + value.len()].copy_from_slice(value);
    let check = check(name, &slot);
    slot[508..].copy_from_slice(&check.to_le_bytes());
    slot
}

fn check(name: &str, slot: &[u8; SLOT]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), &slot[..508])
}

fn parse(name: &str, slot: &[u8; SLOT]) -> Option<(u64, Vec<u8>)> {
    let size = u32::from_le_bytes(slot[4..8].try_into().expect("four bytes")) as usize;
    let stored = u32::from_le_bytes(slot[508..].try_into().expect("four bytes"));
    if slot[..4] != MAGIC || stored != check(name, slot) || size > LONGEST {
        return None;
    }
    Some((u64::from_le_bytes(slot[8..16].try_into().expect("eight bytes")), slot[16..16 + size].to_vec()))
}
