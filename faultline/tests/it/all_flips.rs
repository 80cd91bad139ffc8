//! Every single bit of a store, flipped: what reads it refuses it, or nobody reads it.
//!
//! `verify` over the whole store for each of so many bits would take years. So each bit is put before the product's own
//! function for the unit that it is part of: a frame or a header block of a segment, a page, the directory or the header of a
//! checkpoint, a leaf in its bundle with its hash in the tile, a tile above, the head, the key, the version file. That a
//! refused unit is named and not gone on from is what `flips.rs` and `journal` in storage try on whole folders.
use crate::node::Node;
use crate::sender::Sender;
use faultline::keys;
use faultline::verify::check;
use faultline_host::{Disk, File, Lock, RealDisk, Space};
use faultline_ledger::{Head, TILE_WIDTH, TileName, Verifier, bundle_entries};
use faultline_storage::{CheckpointStore, DataFolder, LedgerReader, SegmentBytes, Settings};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Bytes of the store, unless `FAULTLINE_FLIPS` says otherwise.
const BYTES: u64 = 64 << 10;
const DATA: &str = "data";

/// Files in memory, of which one bit may read as flipped. One for each thread.
struct Held {
    files: BTreeMap<PathBuf, Arc<HeldFile>>,
}

struct HeldFile {
    bytes: Vec<u8>,
    /// The flipped bit; none where it is beyond the end.
    flipped: AtomicU64,
    /// What was read last: from, to.
    read: [AtomicU64; 2],
}

impl HeldFile {
    /// What `look` says with each of these bits flipped must be that they are refused.
    fn each(&self, bytes: Range<usize>, what: &str, found: &mut Found, refused: impl Fn() -> bool) {
        for bit in bytes.start * 8..bytes.end * 8 {
            self.flipped.store(bit as u64, Ordering::Relaxed);
            found.one(what, bit, refused());
        }
        self.flipped.store(u64::MAX, Ordering::Relaxed);
    }
}

impl File for HeldFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let from = (at as usize).min(self.bytes.len());
        let to = (from + buffer.len()).min(self.bytes.len());
        buffer[..to - from].copy_from_slice(&self.bytes[from..to]);
        let bit = self.flipped.load(Ordering::Relaxed);
        let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        if (from..to).contains(&byte) {
            buffer[byte - from] ^= 1 << (bit % 8);
        }
        self.read[0].store(from as u64, Ordering::Relaxed);
        self.read[1].store(to as u64, Ordering::Relaxed);
        Ok(to - from)
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn sync_data(&self) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn set_size(&self, _: u64) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

impl Disk for Held {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        match self.files.get(path) {
            Some(file) => Ok(file.clone()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
    fn open_write(&self, _: &Path) -> io::Result<Arc<dyn File>> {
        unreachable!("nothing is written")
    }
    fn create(&self, _: &Path) -> io::Result<Arc<dyn File>> {
        unreachable!("nothing is written")
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let first = |path: &PathBuf| {
            Some(path.strip_prefix(folder).ok()?.components().next()?.as_os_str().to_str()?.to_string())
        };
        let mut names: Vec<String> = self.files.keys().filter_map(first).collect();
        names.dedup();
        Ok(names)
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("nothing is written")
    }
    fn space(&self, _: &Path) -> io::Result<Space> {
        unreachable!("nothing is written")
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        unreachable!("nothing is written")
    }
}

/// Bits flipped, by what they are part of.
#[derive(Default)]
struct Found {
    refused: BTreeMap<&'static str, u64>,
    unused: BTreeMap<&'static str, u64>,
    /// Flips that somebody would have believed; the first few.
    believed: Vec<String>,
    kind: &'static str,
}

impl Found {
    fn one(&mut self, what: &str, bit: usize, refused: bool) {
        *self.refused.entry(self.kind).or_default() += u64::from(refused);
        if !refused && self.believed.len() < 20 {
            self.believed.push(format!("bit {} of byte {} of {what}", bit % 8, bit / 8));
        }
    }

    fn add(&mut self, other: Found) {
        other.refused.into_iter().for_each(|(kind, count)| *self.refused.entry(kind).or_default() += count);
        other.unused.into_iter().for_each(|(kind, count)| *self.unused.entry(kind).or_default() += count);
        self.believed.extend(other.believed);
    }
}

/// What one thread takes at a time.
enum Work {
    Segment { path: PathBuf, generation: u64 },
    Checkpoint { path: PathBuf, offset: u64 },
    Tile(TileName),
    Small,
}

/// A store, as everybody reads it.
struct Store {
    held: Arc<Held>,
    folder: DataFolder,
    verifier: Verifier,
    head: Head,
}

impl Store {
    fn new(files: &BTreeMap<PathBuf, Vec<u8>>) -> Store {
        let file = |(path, bytes): (&PathBuf, &Vec<u8>)| {
            let file = HeldFile { bytes: bytes.clone(), flipped: AtomicU64::new(u64::MAX), read: Default::default() };
            (path.clone(), Arc::new(file))
        };
        let held = Arc::new(Held { files: files.iter().map(file).collect() });
        let folder = DataFolder::inspect(held.clone(), Path::new(DATA)).expect("it is whole");
        let key = &files[&Path::new(DATA).join("ledger/verifier-key")];
        let verifier = Verifier::parse(std::str::from_utf8(key).expect("text")).expect("a key");
        let head = reader(&held, &verifier).head().expect("it is signed").expect("there is one");
        Store { held, folder, verifier, head }
    }

    fn take(&self, work: &Work, found: &mut Found) {
        match work {
            Work::Segment { path, generation } => self.segment(path, *generation, found),
            Work::Checkpoint { path, offset } => self.checkpoint(path, *offset, found),
            Work::Tile(name) if name.level == 0 => self.leaves(*name, found),
            Work::Tile(name) => self.tile(*name, found),
            Work::Small => self.small(found),
        }
    }

    fn segment(&self, path: &Path, generation: u64, found: &mut Found) {
        let what = path.display().to_string();
        let segment = SegmentBytes::new(self.folder.journal_id(), generation);
        let mut bytes = self.held.files[path].bytes.clone();
        let mut each = |range: Range<usize>, found: &mut Found, refused: &dyn Fn(&[u8], usize) -> bool| {
            for bit in range.start * 8..range.end * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                found.one(&what, bit, refused(&bytes, bit / 8));
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        };
        let whole = &self.held.files[path].bytes;
        assert_eq!(segment.header_fault(whole), None, "{what}");
        found.kind = "header blocks";
        each(0..SegmentBytes::FIRST_FRAME, found, &|bytes, _| segment.header_fault(bytes).is_some());
        let mut at = SegmentBytes::FIRST_FRAME;
        found.kind = "frames";
        while let Some(size) = segment.frame(whole, at) {
            each(at..at + size, found, &|bytes, _| segment.frame(bytes, at).is_none());
            at += size;
        }
        // Behind the last frame nothing counts, unless a flip made a header of it.
        let headers = |byte: usize| (at.max(byte.saturating_sub(47).next_multiple_of(8))..=byte).step_by(8);
        assert!((at..whole.len()).step_by(8).all(|place| !segment.header(whole, place)), "{what}");
        let mut behind = Found { kind: "behind the last frame", ..Found::default() };
        each(at..whole.len(), &mut behind, &|bytes, byte| !headers(byte).any(|place| segment.header(bytes, place)));
        found.unused.extend(behind.refused);
        found.believed.extend(behind.believed);
    }

    fn checkpoint(&self, path: &Path, offset: u64, found: &mut Found) {
        let (what, file) = (path.display().to_string(), &self.held.files[path]);
        let store = CheckpointStore::inspect(&self.folder);
        let stored = store.read(offset).expect("it reads").expect("it is whole");
        let names: Vec<String> = stored.pages().map(|page| page.expect("it is whole").0).collect();
        let by_name = stored.by_name();
        let mut pages = Vec::new();
        found.kind = "checkpoint pages";
        for name in names {
            by_name(&name).expect("it is there").expect("it is whole");
            let [from, to] = [0, 1].map(|end: usize| file.read[end].load(Ordering::Relaxed) as usize);
            file.each(from..to, &what, found, || by_name(&name).is_none_or(|page| page.is_err()));
            pages.push(from..to);
        }
        found.kind = "checkpoint headers and directories";
        pages.sort_by_key(|page| page.start);
        let (first, last) = (pages[0].start, pages[pages.len() - 1].end);
        assert!(pages.windows(2).all(|pair| pair[0].end == pair[1].start), "{what}: pages leave gaps");
        for rest in [0..first, last..file.bytes.len()] {
            file.each(rest, &what, found, || store.read(offset).is_ok_and(|stored| stored.is_err()));
        }
    }

    /// Leaves of one bundle, and their hashes in its tile, as a sink that is far behind reads them.
    fn leaves(&self, name: TileName, found: &mut Found) {
        let reader = reader(&self.held, &self.verifier);
        let [tile, bundle] = [name.path(), name.entries_path()].map(|path| Path::new(DATA).join("ledger").join(path));
        let [tile_file, bundle_file] = [&tile, &bundle].map(|path| &self.held.files[path]);
        let entries = bundle_entries(&bundle_file.bytes).expect("it is whole");
        let mut at = 0;
        for (number, entry) in entries.iter().enumerate() {
            let leaf = name.index * TILE_WIDTH as u64 + number as u64;
            let read = || reader.leaves(self.head, leaf, 1);
            assert!(read().is_ok_and(|leaves| *leaves[0] == **entry), "leaf {leaf}");
            let end = at + 2 + entry.len();
            found.kind = "leaves in bundles";
            bundle_file.each(at..end, &bundle.display().to_string(), found, || read().is_err());
            found.kind = "hashes in tiles";
            tile_file.each(number * 32..number * 32 + 32, &tile.display().to_string(), found, || read().is_err());
            at = end;
        }
        assert_eq!((at, entries.len() * 32), (bundle_file.bytes.len(), tile_file.bytes.len()));
    }

    /// A tile of an upper level, which `verify` compares with what the leaves give.
    fn tile(&self, name: TileName, found: &mut Found) {
        let (reader, path) = (reader(&self.held, &self.verifier), Path::new(DATA).join("ledger").join(name.path()));
        let expected = reader.tile(name).expect("it is whole");
        let file = &self.held.files[&path];
        found.kind = "hashes in tiles";
        let refused = || reader.tile(name).map_or(true, |hashes| hashes != expected);
        file.each(0..file.bytes.len(), &path.display().to_string(), found, refused);
    }

    /// The head, the key it is signed with, the version file.
    fn small(&self, found: &mut Found) {
        let file = |name: &str| &self.held.files[&Path::new(DATA).join(name)];
        let reader = reader(&self.held, &self.verifier);
        found.kind = "signed head";
        let head = file("ledger/checkpoint");
        head.each(0..head.bytes.len(), "ledger/checkpoint", found, || reader.head().is_err());
        found.kind = "VERSION";
        let version = file("VERSION");
        let inspect = || DataFolder::inspect(self.held.clone(), Path::new(DATA));
        version.each(0..version.bytes.len(), "VERSION", found, || inspect().is_err());
    }
}

fn reader(held: &Arc<Held>, verifier: &Verifier) -> LedgerReader {
    LedgerReader::new(held.clone(), &Path::new(DATA).join(keys::LEDGER_FOLDER), verifier.clone())
}

/// A store of at least so many bytes, closed cleanly, that `verify` believes.
fn made(bytes: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = temporary.path().join(DATA);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut sender = Sender::new(12);
    let large = bytes > 1 << 20;
    let settings = Settings { segment_size: if large { 1 << 20 } else { 32 << 10 }, limit: bytes * 4 + (8 << 20) };
    let signer = |folder: &DataFolder| keys::signer(&RealDisk, folder.path(), folder.journal_id()).expect("a new key");
    let mut node = Node::open(&disk, &path, settings, signer, &sender.clock).expect("a new folder");
    let mut checked = 0;
    loop {
        for _ in 0..10 {
            let groups = if large { 16 } else { 1 };
            let group = (0..groups).flat_map(|_| sender.group()).collect();
            node.turn(group, || {}).1.and_then(|()| node.chores(false, false)).expect("the disk is well");
        }
        node.chores(true, false).expect("the disk is well");
        let checkpoints = fs::read_dir(path.join("checkpoints")).expect("it is there").count();
        checked += 1;
        if checked >= 5 && checkpoints > 0 && size(&path) >= bytes {
            break;
        }
    }
    node.close().expect("the disk is well");
    let report = check(&path);
    assert!(report.ok && report.anchors > 0 && report.sealed > 0 && report.torn_tail.is_none(), "{report:?}");
    let mut files = BTreeMap::new();
    read(&path, Path::new(DATA), &mut files);
    files
}

/// Bytes of a folder, less what segments have ready.
fn size(folder: &Path) -> u64 {
    let mut files = BTreeMap::new();
    read(folder, Path::new(DATA), &mut files);
    let used = |bytes: &Vec<u8>| bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    files.values().map(|bytes| used(bytes) as u64).sum()
}

fn read(folder: &Path, name: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let entry = entry.expect("it is there");
        let name = name.join(entry.file_name());
        if entry.path().is_dir() {
            read(&entry.path(), &name, files);
        } else {
            files.insert(name, fs::read(entry.path()).expect("it is there"));
        }
    }
}

/// All that is to be done, and the names of files in which nothing is flipped: what is in them is checked otherwise, or by nobody.
fn works(files: &BTreeMap<PathBuf, Vec<u8>>, head: Head) -> (Vec<Work>, Vec<String>) {
    let (mut all, mut left) = (vec![Work::Small], Vec::new());
    let hexadecimal = |digits: &str| u64::from_str_radix(digits, 16).expect("a number");
    for path in files.keys() {
        let name = path.strip_prefix(DATA).expect("below it").to_str().expect("our names");
        let path = path.clone();
        if let Some(generation) = name.strip_prefix("journal/segment-").map(hexadecimal) {
            all.push(Work::Segment { path, generation });
        } else if let Some(offset) = name.strip_prefix("checkpoints/checkpoint-").map(hexadecimal) {
            all.push(Work::Checkpoint { path, offset });
        } else if !name.starts_with("ledger/tile/") && !["VERSION", "ledger/checkpoint"].contains(&name) {
            left.push(name.to_string());
        }
    }
    for level in 0..8 {
        let hashes = head.size >> (8 * u32::from(level));
        let width = |index: u64| (hashes - index * TILE_WIDTH as u64).min(TILE_WIDTH as u64) as u16;
        let name = |index| TileName { level, index, width: width(index) };
        all.extend((0..hashes.div_ceil(TILE_WIDTH as u64)).map(name).map(Work::Tile));
    }
    (all, left)
}

#[test]
fn every_flipped_bit_is_refused_or_never_used() {
    let bytes = std::env::var("FAULTLINE_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(BYTES);
    let files = made(bytes);
    let (works, left) = works(&files, Store::new(&files).head);
    let tiles = works.iter().filter(|work| matches!(work, Work::Tile(_))).count();
    let stored = files.keys().filter(|path| path.starts_with("data/ledger/tile")).count();
    let bundles = works.iter().filter(|work| matches!(work, Work::Tile(TileName { level: 0, .. }))).count();
    assert_eq!(tiles + bundles, stored, "every tile and bundle that is there");
    // A draft of a checkpoint that was not finished is given up at the next.
    let known = ["checkpoints/checkpoint.new", "ledger/signing-key", "ledger/verifier-key", "lock"];
    assert!(left.iter().all(|name| known.contains(&&**name)), "{left:?}");
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Found::default()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (store, mut found) = (Store::new(&files), Found::default());
                while let Some(work) = works.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut one = Found::default();
                    store.take(work, &mut one);
                    found.add(one);
                }
                total.lock().expect("no holder panics").add(found);
            });
        }
    });
    let Found { refused, unused, believed, .. } = total.into_inner().expect("no holder panics");
    assert!(believed.is_empty(), "{believed:#?}");
    let (count, idle) = (refused.values().sum::<u64>(), unused.values().sum::<u64>());
    let size: u64 = files
        .iter()
        .filter(|(path, _)| !left.iter().any(|name| path.ends_with(name)))
        .map(|it| it.1.len() as u64)
        .sum();
    println!("{count} flips, each refused: {refused:?}; {idle} of bits that nobody reads: {unused:?}");
    assert_eq!(count + idle, size * 8, "every bit of every file");
    assert!(count >= bytes * 8, "{count}");
}
