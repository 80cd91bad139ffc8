//! The ledger on disk: C2SP tiles, entry bundles and the signed head, derived from the journal's leaves.
//!
//! Everything here can be made again from the leaves in the journal, so a crash may lose whatever came after the last
//! published head: on the next start the journal's leaves are offered again and those from the head's size on are taken.
//! The order of writing is full tiles and bundles, partial ones, sync, then the head: a head never names a tile that is not there.
use crate::whole::write_whole;
use faultline_host::{Disk, is_full};
use faultline_ledger::{
    Completed, Hash, Head, NoteError, Signer, TILE_WIDTH, TileName, Tree, Verifier, bundle_entries, leaf_hash,
    push_entry,
};
use faultline_model::{Digest, mutant};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the signed head lies in the ledger's folder.
pub const HEAD_FILE: &str = "checkpoint";

/// Why the ledger cannot be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The disk refused. Retry after freeing space or fixing rights.
    #[error("cannot write or read the ledger's {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The head or a tile is not what was written: run `faultline verify`, restore the folder from a copy.
    #[error("the ledger's {} is damaged: {what}; run `faultline verify`, restore the folder from a copy", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The head is not signed by this folder's key.
    #[error("the ledger's signed head is refused")]
    Head(#[from] NoteError),
}

impl LedgerError {
    /// Whether the disk is full: nothing is lost, and the same may be tried again.
    pub fn is_full(&self) -> bool {
        matches!(self, LedgerError::Io { source, .. } if is_full(source))
    }
}

/// Writes the ledger. One per folder.
///
/// After an error that [`LedgerError::is_full`] everything is as if the disk were slow: what was taken is taken, and
/// [`LedgerStore::write_owed`] and [`LedgerStore::publish`] write what is missing once there is room.
pub struct LedgerStore {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    signer: Signer,
    tree: Tree,
    bundle: Vec<u8>,
    published: Option<Head>,
    /// Full tiles and bundles that are not on disk yet, by name, oldest first.
    owed: VecDeque<(String, Vec<u8>)>,
    /// Partial tiles and bundles on disk: of the head, and others that a later publication removes.
    partial_files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl LedgerStore {
    /// Opens or begins the ledger in `folder`, at the head published last.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, signer: Signer) -> Result<LedgerStore, LedgerError> {
        // The head's name may be in the kernel only, and checkpoints rely on what it covers.
        let made = disk.create_dir_all(folder).and_then(|()| disk.sync_dir(folder));
        made.map_err(|source| LedgerError::Io { path: folder.into(), source })?;
        let reader = LedgerReader::new(disk.clone(), folder, signer.verifier());
        let mut store = LedgerStore {
            disk,
            folder: folder.into(),
            signer,
            tree: Tree::default(),
            bundle: Vec::new(),
            published: None,
            owed: VecDeque::new(),
            partial_files: BTreeSet::new(),
            folders: BTreeSet::new(),
        };
        if let Some(head) = reader.head()? {
            store.tree = reader.edge(head)?;
            for tile in store.tree.partial() {
                store.partial_files.insert(store.folder.join(tile.name.path()));
                if tile.name.level == 0 {
                    let path = store.folder.join(tile.name.entries_path());
                    store.bundle = reader.file(&path)?;
                    let entries = reader.entries(tile.name, &store.bundle)?;
                    reader.refuse_others(tile.name, &entries, &tile.hashes, 0..entries.len())?;
                    store.partial_files.insert(path);
                }
            }
            store.published = Some(head);
        }
        Ok(store)
    }

    /// Number of leaves taken.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The head published last.
    pub fn head(&self) -> Option<Head> {
        self.published
    }

    /// Takes the leaves from `first` on; those it has already are compared by nobody here and passed over, as a replay
    /// offers them again. Panics on a gap: leaves come in order. They are taken also where an error says that a file is
    /// still owed.
    pub fn append(&mut self, first: u64, leaves: &[Box<[u8]>]) -> Result<(), LedgerError> {
        assert!(first <= self.size(), "leaf {first} offered to a ledger of {} leaves", self.size());
        let known = usize::try_from(self.size() - first).unwrap_or(usize::MAX).min(leaves.len());
        let mut completed = Vec::new();
        for leaf in &leaves[known..] {
            push_entry(&mut self.bundle, leaf);
            self.tree.push(leaf_hash(leaf), &mut completed);
            for tile in completed.drain(..) {
                self.owed.push_back((tile.name.path(), bytes_of(&tile)));
                if tile.name.level == 0 {
                    self.owed.push_back((tile.name.entries_path(), std::mem::take(&mut self.bundle)));
                }
            }
        }
        self.write_owed()
    }

    /// Writes the full tiles and bundles that are not on disk yet.
    pub fn write_owed(&mut self) -> Result<(), LedgerError> {
        while let Some((name, bytes)) = self.owed.pop_front() {
            if let Err(error) = self.write(&name, &bytes) {
                self.owed.push_front((name, bytes));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes every leaf taken part of a signed head on disk. Does nothing where the head already says so.
    pub fn publish(&mut self) -> Result<Head, LedgerError> {
        let head = Head { size: self.tree.size(), root: self.tree.root() };
        if self.published == Some(head) {
            return Ok(head);
        }
        self.write_owed()?;
        let mut files = BTreeSet::new();
        for tile in self.tree.partial() {
            files.insert(self.write_partial(&tile.name.path(), &bytes_of(&tile))?);
            if tile.name.level == 0 {
                let bundle = std::mem::take(&mut self.bundle);
                let written = self.write_partial(&tile.name.entries_path(), &bundle);
                self.bundle = bundle;
                files.insert(written?);
            }
        }
        let note = self.signer.sign(&head);
        self.write(HEAD_FILE, note.as_bytes())?;
        self.published = Some(head);
        // The partial tiles of heads before are of no use once no head names them.
        let mut olds: Vec<PathBuf> = self.partial_files.difference(&files).cloned().collect();
        if mutant!("unordered map iterated") {
            olds = olds.into_iter().collect::<std::collections::HashSet<_>>().into_iter().collect();
        }
        for old in olds {
            match self.disk.remove(&old) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(LedgerError::Io { path: old, source });
                }
                _ => drop(self.partial_files.remove(&old)),
            }
        }
        Ok(head)
    }

    /// Writes a file that a later publication removes, and returns where it is.
    fn write_partial(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf, LedgerError> {
        let path = self.folder.join(name);
        // Noted first: no publication, however often it fails, leaves a file that nobody removes.
        self.partial_files.insert(path.clone());
        self.write(name, bytes)?;
        Ok(path)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), LedgerError> {
        let path = self.folder.join(name);
        let folder = path.parent().expect("every name stands in a folder");
        let written = if self.folders.contains(folder) {
            write_whole(&*self.disk, &path, bytes)
        } else {
            // Made once each: syncing a folder's parents for every tile would cost more than the tile.
            self.disk.create_dir_all(folder).and_then(|()| {
                self.folders.insert(folder.to_path_buf());
                write_whole(&*self.disk, &path, bytes)
            })
        };
        written.map_err(|source| LedgerError::Io { path, source })
    }
}

fn bytes_of(tile: &Completed) -> Vec<u8> {
    tile.hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads a ledger folder and believes nothing that does not lead to its signed head.
pub struct LedgerReader {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    verifier: Verifier,
}

impl LedgerReader {
    /// A reader of `folder`; heads must be signed by `verifier`'s key.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path, verifier: Verifier) -> LedgerReader {
        LedgerReader { disk, folder: folder.into(), verifier }
    }

    /// The signed head; nothing before the first was published.
    pub fn head(&self) -> Result<Option<Head>, LedgerError> {
        let path = self.folder.join(HEAD_FILE);
        let bytes = match self.file(&path) {
            Ok(bytes) => bytes,
            Err(LedgerError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let note = String::from_utf8(bytes).map_err(|_| LedgerError::Damaged { path, what: "not text".into() })?;
        Ok(Some(self.verifier.open(&note)?))
    }

    /// Leaves `from..` below the head's size, at most `max` and to the end of one bundle; each is the one whose hash its tile holds.
    pub fn leaves(&self, head: Head, from: u64, max: usize) -> Result<Vec<Box<[u8]>>, LedgerError> {
        if from >= head.size {
            return Ok(Vec::new());
        }
        let index = from / TILE_WIDTH as u64;
        let width = (head.size - index * TILE_WIDTH as u64).min(TILE_WIDTH as u64) as u16;
        let name = TileName { level: 0, index, width };
        let bytes = self.bundle(name)?;
        let (hashes, skip) = (self.tile(name)?, (from % TILE_WIDTH as u64) as usize);
        let entries = self.entries(name, &bytes)?;
        let wanted = skip..entries.len().min(skip.saturating_add(max));
        self.refuse_others(name, &entries, &hashes, wanted.clone())?;
        Ok(entries[wanted].iter().map(|entry| Box::from(*entry)).collect())
    }

    /// The entries in the bundle of tile `name`.
    fn entries<'a>(&self, name: TileName, bundle: &'a [u8]) -> Result<Vec<&'a [u8]>, LedgerError> {
        match bundle_entries(bundle) {
            Some(entries) if entries.len() == usize::from(name.width) => Ok(entries),
            _ => Err(LedgerError::Damaged {
                path: self.folder.join(name.entries_path()),
                what: format!("not a bundle of {} entries", name.width),
            }),
        }
    }

    /// Refuses those among `which` entries that are not the ones that the tile holds the hashes of: a sink that is far behind
    /// is handed what it reads here, and nobody looks at it again.
    fn refuse_others(
        &self,
        name: TileName,
        entries: &[&[u8]],
        hashes: &[Hash],
        mut which: Range<usize>,
    ) -> Result<(), LedgerError> {
        match which.find(|&at| hashes.get(at) != Some(&leaf_hash(entries[at]))) {
            None => Ok(()),
            Some(at) => Err(LedgerError::Damaged {
                path: self.folder.join(name.entries_path()),
                what: format!("entry {at} is not the one that {} holds the hash of", name.path()),
            }),
        }
    }

    /// The bundle of a level-0 tile's entries, as stored.
    pub fn bundle(&self, name: TileName) -> Result<Vec<u8>, LedgerError> {
        let path = self.folder.join(name.entries_path());
        match self.file(&path) {
            Err(error) => {
                let Some(wider) = self.wider(name, &error)? else { return Err(error) };
                let bytes = self.bundle(wider)?;
                let what = || format!("not a bundle of {} entries", wider.width);
                let entries = bundle_entries(&bytes).ok_or_else(|| LedgerError::Damaged { path, what: what() })?;
                let mut bundle = Vec::new();
                entries.iter().take(usize::from(name.width)).for_each(|entry| push_entry(&mut bundle, entry));
                Ok(bundle)
            }
            found => found,
        }
    }

    /// The tile that has taken the place of partial tile `name`, which is gone: a server that runs has published another
    /// head since its caller read one. None where the head does not account for it.
    fn wider(&self, name: TileName, error: &LedgerError) -> Result<Option<TileName>, LedgerError> {
        if !matches!(error, LedgerError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let hashes = self.head()?.map_or(0, |head| head.size) >> (8 * u32::from(name.level));
        let width = hashes.saturating_sub(name.index * TILE_WIDTH as u64).min(TILE_WIDTH as u64) as u16;
        Ok((width > name.width).then_some(TileName { width, ..name }))
    }

    /// The tree at the head, from its partial tiles; refused where they do not lead to the head's root.
    fn edge(&self, head: Head) -> Result<Tree, LedgerError> {
        let mut levels: Vec<Vec<Hash>> = Vec::new();
        let mut rest = head.size;
        for level in 0_u8.. {
            if rest == 0 {
                break;
            }
            let (index, width) = (rest >> 8, (rest & 255) as u16);
            levels.push(match width {
                0 => Vec::new(),
                _ => self.tile(TileName { level, index, width })?,
            });
            rest >>= 8;
        }
        let tree = Tree::at_edge(head.size, levels);
        match tree.filter(|tree| tree.root() == head.root) {
            Some(tree) => Ok(tree),
            None => Err(LedgerError::Damaged {
                path: self.folder.join("tile"),
                what: "the tiles do not lead to the signed head's root".into(),
            }),
        }
    }

    /// One tile's hashes, as stored: the caller checks where they lead.
    pub fn tile(&self, name: TileName) -> Result<Vec<Hash>, LedgerError> {
        let path = self.folder.join(name.path());
        let bytes = match self.file(&path) {
            Err(error) => {
                let Some(wider) = self.wider(name, &error)? else { return Err(error) };
                let mut hashes = self.tile(wider)?;
                hashes.truncate(usize::from(name.width));
                return Ok(hashes);
            }
            Ok(bytes) => bytes,
        };
        if bytes.len() != usize::from(name.width) * 32 {
            let what = format!("{} bytes instead of {}", bytes.len(), usize::from(name.width) * 32);
            return Err(LedgerError::Damaged { path, what });
        }
        Ok(bytes.chunks_exact(32).map(|hash| Digest(hash.try_into().expect("32 bytes"))).collect())
    }

    fn file(&self, path: &Path) -> Result<Vec<u8>, LedgerError> {
        let io = |source| LedgerError::Io { path: path.into(), source };
        let file = self.disk.open_read(path).map_err(io)?;
        let mut bytes = vec![0; usize::try_from(file.size().map_err(io)?).unwrap_or(usize::MAX)];
        let read = file.read_at(&mut bytes, 0).map_err(io)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_host::MemoryDisk;

    const FOLDER: &str = "ledger";

    fn signer() -> Signer {
        Signer::new("faultline/test", &[3; 32]).expect("a good name")
    }

    fn leaf(number: u64) -> Box<[u8]> {
        format!("leaf {number} {}", "x".repeat((number % 50) as usize)).into_bytes().into()
    }

    fn leaves(from: u64, to: u64) -> Vec<Box<[u8]>> {
        (from..to).map(leaf).collect()
    }

    fn store(disk: &Arc<dyn Disk>) -> LedgerStore {
        LedgerStore::open(disk.clone(), Path::new(FOLDER), signer()).expect("the folder is whole")
    }

    /// `verify` of a folder whose server runs on: the head that it read is soon not the newest.
    #[test]
    fn partial_tiles_of_an_older_head_are_read_from_those_that_took_their_place() {
        for (before, after) in
            [(5, 6), (5, 256), (255, 300), (300, 600), (65_536 + 300, 65_536 + 301), (65_600, 66_000)]
        {
            let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(1 << 30));
            let mut store = store(&disk);
            store.append(0, &leaves(0, before)).expect("the disk is well");
            store.publish().expect("the disk is well");
            let reader = LedgerReader::new(disk.clone(), Path::new(FOLDER), signer().verifier());
            let head = reader.head().expect("a head").expect("it was published");
            let last = before / 256;
            let name = TileName { level: 0, index: last, width: (before % 256) as u16 };
            let bundle = reader.bundle(name).expect("it is there");

            store.append(before, &leaves(before, after)).expect("the disk is well");
            store.publish().expect("the disk is well");
            let file = Path::new(FOLDER).join(name.path());
            assert!(disk.open_read(&file).is_err(), "{before}: a partial tile stays behind");
            let tree = reader.edge(head).expect("its tiles are found");
            assert_eq!(tree.root(), head.root, "{before} to {after}");
            assert_eq!(reader.bundle(name).expect("it is found"), bundle);
            assert_eq!(reader.leaves(head, before - 1, 9).expect("they are found"), leaves(before - 1, before));

            let later = TileName { index: after / 256 + 1, ..name };
            assert!(
                reader.tile(later).is_err() && reader.bundle(later).is_err(),
                "nothing took the place of {later:?}"
            );
        }
    }

    /// Neither a sink nor the next bundle is given what a disk made of a leaf.
    #[test]
    fn a_damaged_leaf_is_refused_by_readers_and_by_a_start() {
        let memory = MemoryDisk::new(1 << 20);
        let disk: Arc<dyn Disk> = Arc::new(memory.clone());
        let mut store = store(&disk);
        store.append(0, &leaves(0, 300)).expect("the disk is well");
        let head = store.publish().expect("the disk is well");
        let reader = LedgerReader::new(disk.clone(), Path::new(FOLDER), signer().verifier());
        let path = Path::new(FOLDER).join("tile/entries/001.p/44");
        let file = disk.open_write(&path).expect("it is there");
        let mut byte = [0];
        file.read_at(&mut byte, 5).expect("it is there");
        file.write_at(&[byte[0] ^ 4], 5).expect("the disk is well");
        let error = reader.leaves(head, 256, 9).expect_err("the first of them is another").to_string();
        assert!(error.contains("tile/entries/001.p/44") && error.contains("entry 0"), "{error}");
        assert_eq!(reader.leaves(head, 257, 9).expect("these are whole"), leaves(257, 266));
        let error = LedgerStore::open(disk, Path::new(FOLDER), signer()).err().expect("it is damaged").to_string();
        assert!(error.contains("tile/entries/001.p/44"), "{error}");
    }

    #[test]
    fn what_is_published_reads_back_and_leads_to_the_head() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(1 << 30));
        let mut whole = Tree::default();
        let mut taken = 0;
        for step in [1, 254, 1, 1, 256, 300, 7, 66_000] {
            // Opened anew each time: the edge comes from the tiles.
            let mut store = store(&disk);
            assert_eq!(store.size(), taken);
            store.append(taken, &leaves(taken, taken + step)).expect("the disk is well");
            (taken..taken + step).for_each(|i| whole.push(leaf_hash(&leaf(i)), &mut Vec::new()));
            taken += step;
            let head = store.publish().expect("the disk is well");
            assert_eq!((head.size, head.root), (taken, whole.root()));
            let reader = LedgerReader::new(disk.clone(), Path::new(FOLDER), signer().verifier());
            assert_eq!(reader.head().expect("signed"), Some(head));
            let mut read = Vec::new();
            while (read.len() as u64) < taken {
                read.extend(reader.leaves(head, read.len() as u64, 1000).expect("bundles are there"));
            }
            assert!(read == leaves(0, taken));
        }
    }

    /// One write, or all beyond some bytes for a while, find no room: nothing is lost, nothing stays behind.
    #[test]
    fn what_finds_no_room_is_written_later() {
        let tidy: Vec<PathBuf> = {
            let disk = MemoryDisk::new(1 << 30);
            let mut store = store(&(Arc::new(disk.clone()) as Arc<dyn Disk>));
            store.append(0, &leaves(0, 900)).expect("the disk is well");
            store.publish().expect("the disk is well");
            disk.files()
        };
        let mut waited = 0;
        for fault in 0..80 {
            for one in [true, false] {
                let memory = MemoryDisk::new(1 << 30);
                let disk: Arc<dyn Disk> = Arc::new(memory.clone());
                let mut store = store(&disk);
                if one {
                    memory.fail_at(memory.operations() + fault, io::ErrorKind::StorageFull);
                } else {
                    memory.set_capacity(memory.used() + fault * 500);
                }
                let mut bear = |result: Result<(), LedgerError>| match result {
                    Err(error) if error.is_full() => waited += 1,
                    other => other.expect("the disk is well but full"),
                };
                for from in (0..900).step_by(300) {
                    bear(store.append(from, &leaves(from, from + 300)));
                    bear(store.publish().map(drop));
                }
                memory.set_capacity(1 << 30);
                bear(store.publish().map(drop));
                let head = store.publish().expect("there is room again");
                assert_eq!(head.size, 900, "{fault}, {one}");
                assert_eq!(memory.files(), tidy, "{fault}, {one}: files are left behind");
                let reader = LedgerReader::new(disk.clone(), Path::new(FOLDER), signer().verifier());
                assert!(reader.edge(head).is_ok());
                let mut read = Vec::new();
                while (read.len() as u64) < head.size {
                    read.extend(reader.leaves(head, read.len() as u64, 1000).expect("bundles are there"));
                }
                assert!(read == leaves(0, 900));
            }
        }
        assert!(waited > 100, "{waited}");
    }

    #[test]
    fn leaves_offered_again_are_taken_once() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(1 << 30));
        let mut store = store(&disk);
        store.append(0, &leaves(0, 300)).expect("the disk is well");
        store.append(100, &leaves(100, 400)).expect("the disk is well");
        store.append(0, &leaves(0, 10)).expect("the disk is well");
        assert_eq!(store.size(), 400);
        let mut tree = Tree::default();
        leaves(0, 400).iter().for_each(|leaf| tree.push(leaf_hash(leaf), &mut Vec::new()));
        assert_eq!(store.publish().expect("the disk is well").root, tree.root());
    }

    #[test]
    fn a_changed_byte_in_tiles_or_head_is_refused() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(1 << 30));
        let mut first = store(&disk);
        first.append(0, &leaves(0, 300)).expect("the disk is well");
        first.publish().expect("the disk is well");
        for name in ["tile/1/000.p/1", "tile/0/001.p/44", HEAD_FILE] {
            let file = disk.open_write(&Path::new(FOLDER).join(name)).expect("it was written");
            let mut byte = [0];
            file.read_at(&mut byte, 20).expect("it is long enough");
            file.write_at(&[byte[0] ^ 1], 20).expect("the disk is well");
            assert!(LedgerStore::open(disk.clone(), Path::new(FOLDER), signer()).is_err(), "{name}");
            file.write_at(&byte, 20).expect("the disk is well");
            store(&disk);
        }
    }
}
