//! The blocks of a folder: which there are, and those set aside.
use super::SelectError;
use super::block::{Block, BlockError, Purpose};
use faultline_host::Disk;
use faultline_model::Millis;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// Name of what is in memory, written down for the next start.
pub const HEAD_FILE: &str = "head";
/// What a damaged file's name ends with from then on.
const ASIDE: &str = "damaged";

/// Open blocks, oldest first, and where they are.
#[derive(Default)]
pub struct Blocks {
    place: OnceLock<(Arc<dyn Disk>, PathBuf)>,
    open: RwLock<Arc<Vec<Arc<Block>>>>,
    damaged: AtomicU64,
    /// Stretches of time of those set aside: what is asked of them is lost.
    lost: Mutex<Vec<(Millis, Millis)>>,
    next: AtomicU64,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub struct Opened {
    /// What was in memory at the last stop or checkpoint.
    pub head: Option<PathBuf>,
    /// Files that could not be used, and why.
    pub refused: Vec<(PathBuf, BlockError)>,
    /// Numbers of the blocks, rising.
    pub numbers: Vec<u64>,
}

impl Blocks {
    /// Takes up a folder, which is made where it is missing. Damaged files are set aside; those of a newer release stay.
    pub fn open(&self, disk: Arc<dyn Disk>, folder: &Path) -> io::Result<Opened> {
        disk.create_dir_all(folder)?;
        let (mut opened, mut found) = (Opened::default(), Vec::new());
        for name in disk.list(folder)? {
            let path = folder.join(&name);
            if name.ends_with(".new") {
                // A crash came before it was whole.
                disk.remove(&path)?;
                continue;
            }
            if name == HEAD_FILE {
                opened.head = Some(path);
                continue;
            }
            let Some(number) = name.strip_prefix("block-").and_then(|number| u64::from_str_radix(number, 16).ok())
            else {
                continue;
            };
            self.next.fetch_max(number + 1, Ordering::Relaxed);
            match Block::open(&*disk, &path) {
                Ok(block) if block.summary().purpose == Purpose::Block => found.push((number, Arc::new(block))),
                Ok(_) => opened.refused.push((path, BlockError::Damaged("it is no block by what it says of itself"))),
                Err(error) => opened.refused.push((path, error)),
            }
        }
        found.sort_by_key(|(number, _)| *number);
        for (path, error) in &opened.refused {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            if matches!(error, BlockError::Damaged(_)) {
                disk.rename(path, &path.with_extension(ASIDE))?;
            }
        }
        disk.sync_dir(folder)?;
        opened.numbers = found.iter().map(|(number, _)| *number).collect();
        *self.open.write().expect("no holder panics") = Arc::new(found.into_iter().map(|(_, block)| block).collect());
        let _second = self.place.set((disk, folder.to_path_buf()));
        Ok(opened)
    }

    /// The disk and the folder, once there is one.
    pub fn place(&self) -> Option<&(Arc<dyn Disk>, PathBuf)> {
        self.place.get()
    }

    /// A name that no block has had.
    pub fn next_path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("block-{:016x}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// All blocks, oldest first.
    pub fn all(&self) -> Arc<Vec<Arc<Block>>> {
        self.open.read().expect("no holder panics").clone()
    }

    /// Those with samples within `from..=to`, or about.
    pub fn within(&self, from: Millis, to: Millis) -> Vec<Arc<Block>> {
        let overlaps = |block: &&Arc<Block>| from <= to && block.summary().first <= to && block.summary().last >= from;
        self.all().iter().filter(overlaps).cloned().collect()
    }

    /// Takes in a block that was written.
    pub fn add(&self, block: Arc<Block>) {
        let mut open = self.open.write().expect("no holder panics");
        *open = Arc::new(open.iter().cloned().chain([block]).collect());
    }

    /// Takes in a block that holds what others do, in the place that its number gives it, and forgets those.
    pub fn replace(&self, merged: Arc<Block>, sources: &[Arc<Block>]) {
        let mut open = self.open.write().expect("no holder panics");
        let is_source = |block: &Arc<Block>| sources.iter().any(|source| Arc::ptr_eq(source, block));
        let mut all: Vec<Arc<Block>> = open.iter().filter(|block| !is_source(block)).cloned().chain([merged]).collect();
        all.sort_by(|a, b| a.path().cmp(b.path()));
        *open = Arc::new(all);
    }

    /// Forgets a block; who reads it reads on.
    pub fn forget(&self, gone: &Arc<Block>) {
        let mut open = self.open.write().expect("no holder panics");
        *open = Arc::new(open.iter().filter(|block| !Arc::ptr_eq(block, gone)).cloned().collect());
    }

    /// What a reader is told of a block that does not read; a damaged one is set aside.
    pub fn refused(&self, block: &Arc<Block>, error: BlockError) -> SelectError {
        if matches!(error, BlockError::Damaged(_)) {
            self.forget(block);
            self.damaged.fetch_add(1, Ordering::Relaxed);
            let stretch = (block.summary().first, block.summary().last);
            self.lost.lock().expect("no holder panics").push(stretch);
            if let Some((disk, _)) = self.place() {
                // Where this fails the file is set aside by the next start.
                drop(disk.rename(block.path(), &block.path().with_extension(ASIDE)));
            }
        }
        SelectError::Block { path: block.path().to_path_buf(), source: error }
    }

    /// Counts a file that is of no use.
    pub fn count_damaged(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a block with samples within `from..=to` was set aside since the start.
    pub fn lost(&self, from: Millis, to: Millis) -> bool {
        self.lost.lock().expect("no holder panics").iter().any(|(first, last)| *first <= to && *last >= from)
    }

    /// Time of the newest sample of a block that was set aside since the start.
    pub fn lost_until(&self) -> Option<Millis> {
        self.lost.lock().expect("no holder panics").iter().map(|(_, last)| *last).max()
    }

    /// A number that no block has, nor a higher one, and how many there are.
    pub fn extent(&self) -> (u64, u32) {
        (self.next.load(Ordering::Relaxed), self.all().len() as u32)
    }

    /// How many there are, their bytes, and how many were set aside.
    pub fn fill(&self) -> (usize, u64, u64) {
        let all = self.all();
        let bytes = all.iter().map(|block| block.summary().size).sum();
        (all.len(), bytes, self.damaged.load(Ordering::Relaxed))
    }
}
