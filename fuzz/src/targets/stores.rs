//! Checkpoint files, cursors, the version file, the ledger's tiles: each edited, then read.
use crate::Target;
use crate::input::{Input, damage};
use faultline_host::{Disk, MemoryDisk};
use faultline_ledger::{Head, Signer, TILE_WIDTH, TileName};
use faultline_model::{Digest, Position};
use faultline_storage::{CheckpointStore, Cursors, DataFolder, LedgerReader, LedgerStore};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// The target.
pub const TARGET: Target = Target { name: "stores", size_max: 1 << 10, run, seeds };

const FOLDER: &str = "data";
const LEAVES: u64 = 300;
const STATES: [&[u8]; 2] = [b"the first state", b"the second state, which is longer"];

fn signer() -> Signer {
    Signer::new("faultline.example/journal", &[7; 32]).expect("a good name")
}

fn leaf(number: u64) -> Box<[u8]> {
    format!("leaf {number}").into_bytes().into()
}

fn folder(disk: &MemoryDisk) -> Option<DataFolder> {
    DataFolder::open(Arc::new(disk.clone()), Path::new(FOLDER), [7; 16]).ok()
}

fn ledger_folder() -> PathBuf {
    Path::new(FOLDER).join("ledger")
}

/// The files of a small folder, before any edit.
static FILES: LazyLock<BTreeMap<PathBuf, Vec<u8>>> = LazyLock::new(|| {
    let disk = MemoryDisk::new(4 << 20);
    let data = folder(&disk).expect("a new folder opens");
    let checkpoints = CheckpointStore::open(&data).expect("memory does not fail");
    for (offset, state) in (10..).zip(STATES) {
        let mut draft = checkpoints.begin().expect("there is room");
        let (first, second) = state.split_at(5);
        draft.page("rows/1", second).and_then(|()| draft.page("rows/0", first)).expect("there is room");
        let sealed = draft.seal(["rows/0", "rows/1"].map(String::from).into_iter()).expect("all pages are there");
        checkpoints.finish(&sealed, Position { partition: 0, offset }, 2, 1, 3).expect("there is room");
    }
    let mut cursors = Cursors::open(&data).expect("memory does not fail");
    for value in [b"one", b"two"] {
        cursors.set("alertmanager", value).expect("there is room");
    }
    let mut ledger =
        LedgerStore::open(Arc::new(disk.clone()), &ledger_folder(), signer()).expect("memory does not fail");
    for at in [0, LEAVES - 9] {
        let leaves: Vec<_> = (at..(at + LEAVES - 9).min(LEAVES)).map(leaf).collect();
        ledger.append(at, &leaves).expect("there is room");
        ledger.publish().expect("there is room");
    }
    let mut files = BTreeMap::new();
    let folders = ["", "checkpoints", "cursors", "ledger", "ledger/tile/0", "ledger/tile/1", "ledger/tile/entries"];
    for folder in
        folders.iter().flat_map(|folder| [folder.to_string(), format!("{folder}/000.p"), format!("{folder}/001.p")])
    {
        let folder = Path::new(FOLDER).join(folder);
        for name in disk.list(&folder).unwrap_or_default() {
            let path = folder.join(name);
            if let Some(content) = disk.content(&path) {
                files.insert(path, content);
            }
        }
    }
    files
});

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut files = FILES.clone();
    let mut forged = false;
    for _ in 0..6 {
        if input.is_empty() || files.is_empty() {
            break;
        }
        let op = input.byte() % 8;
        let path = files.keys().nth(input.below(files.len())).expect("one of them").clone();
        match op {
            0 => drop(files.remove(&path)),
            1 => {
                let other = files.values().nth(input.below(files.len())).expect("one of them").clone();
                files.insert(path, other);
            }
            2 => {
                let content = files.get_mut(&path).expect("it is there");
                damage(content, &mut input);
                forged |= refit(&path, content);
            }
            _ => damage(files.get_mut(&path).expect("it is there"), &mut input),
        }
    }
    let disk = MemoryDisk::new(4 << 20);
    for (path, content) in &files {
        disk.create_dir_all(path.parent().expect("each stands in a folder")).expect("memory does not fail");
        disk.set_content(path, content);
    }
    disk.create_dir_all(Path::new(FOLDER)).expect("memory does not fail");
    if let Some(data) = folder(&disk) {
        checkpoints(&data, forged);
        cursors(&data, forged);
    }
    ledger(&disk);
}

/// A checkpoint that is read is one that was written.
fn checkpoints(data: &DataFolder, forged: bool) {
    let Ok(store) = CheckpointStore::open(data) else { return };
    for offset in store.offsets().unwrap_or_default() {
        let Ok(Ok(stored)) = store.read(offset) else { continue };
        let pages: Result<Vec<_>, String> = stored.pages().collect();
        if let (Ok(pages), false) = (pages, forged) {
            let state: Vec<u8> = pages.into_iter().flat_map(|(_, bytes)| bytes).collect();
            assert!(STATES.contains(&&state[..]), "a checkpoint was made of damage");
            assert_eq!((stored.head.engine, stored.head.layout, stored.head.leaves), (2, 1, 3));
        }
    }
}

/// A cursor that is read is one that was set, and it can be set again.
fn cursors(data: &DataFolder, forged: bool) {
    let Ok(mut cursors) = Cursors::open(data) else { return };
    let found = cursors.get("alertmanager").map(<[u8]>::to_vec);
    assert!(forged || found.is_none_or(|value| [&b"one"[..], b"two"].contains(&&value[..])));
    if cursors.set("alertmanager", b"three").is_ok() {
        drop(cursors);
        let again = Cursors::open(data).expect("it was just set");
        assert_eq!(again.get("alertmanager"), Some(&b"three"[..]));
    }
}

/// A head that is read is one that was signed; a store that opens leads to it and goes on from there.
fn ledger(disk: &MemoryDisk) {
    let reader = LedgerReader::new(Arc::new(disk.clone()), &ledger_folder(), signer().verifier());
    if let Ok(Some(head)) = reader.head() {
        assert!(head.size == LEAVES || head.size == LEAVES - 9, "a head of {} leaves was never signed", head.size);
        let mut from = 0;
        while let Ok(leaves) = reader.leaves(head, from, 100) {
            if leaves.is_empty() {
                break;
            }
            from += leaves.len() as u64;
            assert!(from <= head.size);
        }
        for level in 0..3 {
            let width = (head.size >> (8 * u32::from(level))).min(TILE_WIDTH as u64) as u16;
            let _ = reader.tile(TileName { level, index: 0, width: width.max(1) });
        }
    }
    let Ok(mut store) = LedgerStore::open(Arc::new(disk.clone()), &ledger_folder(), signer()) else { return };
    let size = store.size();
    let leaves: Vec<_> = (size..LEAVES + 300).map(leaf).collect();
    if store.append(size, &leaves).is_ok()
        && let Ok(Head { size, .. }) = store.publish()
    {
        assert_eq!(reader.head().ok().flatten().map(|head| head.size), Some(size));
    }
}

/// Makes a checkpoint's or a cursor's check sums fit, as no disk would but a hand could (`docs/formats`).
fn refit(path: &Path, content: &mut [u8]) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.starts_with("checkpoint-") && content.len() >= 128 {
        let place = u64::from_le_bytes(content[72..80].try_into().expect("eight bytes"));
        if let Some(directory) = usize::try_from(place).ok().and_then(|place| content.get(place..)) {
            let digest = Digest::of(directory).0;
            content[88..120].copy_from_slice(&digest);
        }
        let check = crc32c::crc32c(&content[..120]);
        content[120..124].copy_from_slice(&check.to_le_bytes());
        return true;
    }
    if name == "alertmanager" {
        for at in [0, 4096] {
            if let Some(slot) = content.get_mut(at..at + 512) {
                let check = crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), &slot[..508]);
                slot[508..].copy_from_slice(&check.to_le_bytes());
            }
        }
        return true;
    }
    false
}

fn seeds() -> Vec<Vec<u8>> {
    let edit = |op: u8, file: u16, rest: &[u8]| [&[op], &file.to_le_bytes()[..], rest].concat();
    let mut seeds = vec![Vec::new()];
    for file in 0..FILES.len() as u16 {
        seeds.push(edit(0, file, &[]));
        seeds.push(edit(3, file, &[0, 9, 0, 1]));
        seeds.push(edit(2, file, &[0, 4, 0, 0xff]));
        seeds.push(edit(2, file, &[2, 40, 0]));
    }
    seeds
}
