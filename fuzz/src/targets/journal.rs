//! A journal's folder with damaged segments: recovery and reader. What is damaged is never read as something else.
//!
//! An input is a list of edits to a small journal of several segments. Most leave the check sums as they are: then every
//! record that is read is one that was written, in its place. Some make the check sums fit again, as no disk would but
//! a hand could: then nothing may panic or run away, and what is read reads the same twice.
use crate::Target;
use crate::input::{Input, damage, part};
use bytes::Bytes;
use faultline_formats::decode;
use faultline_host::{Disk, Item, Journal, ManualClock, MemoryDisk, Reader};
use faultline_ledger::LedgerEntry;
use faultline_model::{
    Clock, Control, EffectId, Encoding, Format, HashSeed, Kind, Millis, Payload, SourceId, TenantId,
};
use faultline_storage::{DataFolder, SegmentJournal, Settings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The target.
pub const TARGET: Target = Target { name: "journal", size_max: 1 << 10, run, seeds };

const FOLDER: &str = "data";
const JOURNAL: [u8; 16] = [7; 16];
const SETTINGS: Settings = Settings { segment_size: 16 << 10, limit: 8 * (16 << 10) };
const FIRST_FRAME: usize = 4096;
const HEADER: usize = 48;
/// More items than any edit of this journal can make.
const ITEMS_MAX: usize = 100_000;

/// The journal before any edit: its files, and what they hold.
struct Written {
    files: Vec<(PathBuf, Vec<u8>)>,
    items: Vec<Item>,
}

static WRITTEN: LazyLock<Written> = LazyLock::new(|| {
    let disk = MemoryDisk::new(4 << 20);
    let mut journal = open(&disk).expect("a new journal opens");
    for group in 0..11_u8 {
        append(&mut journal, group);
        let sealer = journal.sealer();
        while sealer.seal(Duration::ZERO).expect("it was just written") {}
        let leaves: Vec<Box<[u8]>> =
            journal.sealed().into_iter().map(|sealed| LedgerEntry::sealed(1, sealed).leaf_bytes().into()).collect();
        journal.append_leaves(&leaves).expect("there is room");
    }
    journal.flush().wait().expect("memory does not fail");
    drop(journal);
    disk.kill();
    let folder = Path::new(FOLDER).join("journal");
    let names = disk.list(&folder).expect("it was made");
    let mut files: Vec<(PathBuf, Vec<u8>)> = names
        .into_iter()
        .map(|name| folder.join(name))
        .map(|path| (path.clone(), disk.content(&path).expect("it is listed")))
        .collect();
    let version = Path::new(FOLDER).join("VERSION");
    files.push((version.clone(), disk.content(&version).expect("every folder has one")));
    let items = read(&disk).expect("nothing is damaged yet");
    Written { files, items }
});

fn open(disk: &MemoryDisk) -> Option<SegmentJournal> {
    let folder = DataFolder::open(Arc::new(disk.clone()), Path::new(FOLDER), JOURNAL).ok()?;
    let clock = Arc::new(ManualClock::at(Millis(1_700_000_000_000)));
    Some(SegmentJournal::open(&folder, SETTINGS, clock, None).ok()?.0)
}

fn append(journal: &mut SegmentJournal, group: u8) {
    let source = SourceId([group; 16]);
    let telemetry = |format, encoding| Kind::Telemetry { source, format, encoding, clock: Clock::Live };
    let kinds = [
        (telemetry(Format::OtlpMetrics, Encoding::Gzip), 700),
        (telemetry(Format::RemoteWrite1, Encoding::Snappy), 1_300),
        (Kind::Control(Control::Setting), 30),
        (Kind::Reply(EffectId::default()), 90),
        (Kind::Tick, 0),
    ];
    let payload = |(kind, size)| Payload { tenant: TenantId(0), kind, body: Bytes::from(vec![group; size]) };
    let decoded = kinds.into_iter().map(|kind| decode(payload(kind), HashSeed(1))).collect();
    if journal.append(decoded).is_ok()
        && journal.append_leaves(&[vec![group; 50].into(), vec![group; 9].into()]).is_ok()
    {
        // After a hostile start there may be no room, or a stop: refused, not lost.
        let _ = journal.flush().wait();
    }
}

fn read(disk: &MemoryDisk) -> Option<Vec<Item>> {
    let folder = DataFolder::inspect(Arc::new(disk.clone()), Path::new(FOLDER)).ok()?;
    let inspected = SegmentJournal::inspect(&folder, None).ok()?;
    let _ = inspected.segments.read();
    read_all(&mut *inspected.segments.reader())
}

fn read_all(reader: &mut dyn Reader) -> Option<Vec<Item>> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let batch = reader.read(after, 4 << 10).ok()?;
        if batch.is_empty() {
            return Some(items);
        }
        for item in batch {
            if let Item::Record(record) = &item {
                assert!(after.is_none_or(|after| after < record.at), "records come in order");
                after = Some(record.at);
            }
            items.push(item);
        }
        assert!(items.len() < ITEMS_MAX, "the reader goes in circles");
    }
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut files = WRITTEN.files.clone();
    let mut refitted = false;
    for _ in 0..8 {
        if input.is_empty() {
            break;
        }
        let op = input.byte() % 8;
        if files.is_empty() {
            break;
        }
        let chosen = input.below(files.len());
        match op {
            0 => drop(files.remove(chosen)),
            1 => {
                // A write that went to another file.
                let other = files[input.below(files.len())].1.clone();
                let (at, size) = (512 * input.below(40), 512 * input.below(40));
                let to = &mut files[chosen].1;
                let end = (at + size).min(other.len()).min(to.len());
                if at < end {
                    to[at..end].copy_from_slice(&other[at..end]);
                }
            }
            2 => {
                let name = ["segment", "spare"][input.below(2)];
                let path = Path::new(FOLDER).join(format!("journal/{name}-{:016x}", input.byte()));
                let content = files[chosen].1.clone();
                files.retain(|(known, _)| *known != path);
                files.push((path, content));
            }
            3 | 4 => refitted |= refit(&mut files[chosen], &mut input),
            _ => damage(&mut files[chosen].1, &mut input),
        }
    }
    let disk = MemoryDisk::new(4 << 20);
    disk.create_dir_all(&Path::new(FOLDER).join("journal")).expect("memory does not fail");
    files.iter().for_each(|(path, content)| disk.set_content(path, content));
    let found = read(&disk);
    assert_eq!(read(&disk), found, "the same bytes read the same");
    if let (Some(items), false) = (&found, refitted) {
        let written: BTreeMap<_, _> = WRITTEN.items.iter().filter_map(record).collect();
        for (at, record) in items.iter().filter_map(record) {
            assert_eq!(written.get(&at), Some(&record), "record {at} was never written");
        }
    }
    // A writer repairs what a crash may tear, goes on behind it, and finds all of it again.
    let Some(mut journal) = open(&disk) else { return };
    let before = read_all(&mut *journal.reader());
    append(&mut journal, 99);
    let after = read_all(&mut *journal.reader());
    if let (Some(before), Some(after)) = (before, after) {
        let records =
            |items: &[Item]| items.iter().filter_map(record).map(|(at, r)| (at, r.clone())).collect::<Vec<_>>();
        assert!(records(&after).starts_with(&records(&before)), "what was there stays");
    }
}

fn record(item: &Item) -> Option<(faultline_model::Position, &faultline_host::Stored)> {
    match item {
        Item::Record(stored) => Some((stored.at, stored)),
        Item::Leaves { .. } => None,
    }
}

/// Changes a byte of one frame's header or body and makes its check sums fit (`docs/formats/journal.md`).
fn refit((path, content): &mut (PathBuf, Vec<u8>), input: &mut Input<'_>) -> bool {
    let (frame, field, byte) = (input.byte() % 24, input.below(200), input.byte());
    let Some(generation) = path.file_name().and_then(|name| name.to_str()?.strip_prefix("segment-")) else {
        return false;
    };
    let Ok(generation) = u64::from_str_radix(generation, 16) else { return false };
    let size_at = |content: &[u8], at: usize| {
        let size = content.get(at + 8..at + 12)?;
        Some(u32::from_le_bytes(size.try_into().expect("four bytes")) as usize)
    };
    let mut at = FIRST_FRAME;
    for _ in 0..frame {
        let Some(size) = size_at(content, at).filter(|size| *size > 0) else { break };
        at = at.saturating_add(HEADER + size.next_multiple_of(8));
    }
    let Some(place) = at.checked_add(field).and_then(|at| content.get_mut(at)) else { return false };
    *place = byte;
    let Some(size) = size_at(content, at) else { return false };
    let seed = crc32c::crc32c_append(crc32c::crc32c(&JOURNAL), &generation.to_le_bytes());
    let seed = crc32c::crc32c_append(seed, &(at as u64).to_le_bytes());
    if let Some(body) = content.get(at + HEADER..(at + HEADER).saturating_add(size.next_multiple_of(8))) {
        let check = crc32c::crc32c_append(seed, body);
        content[at + 12..at + 16].copy_from_slice(&check.to_le_bytes());
    }
    if let Some(header) = content.get(at..at + 44) {
        let check = crc32c::crc32c_append(seed, header);
        if let Some(place) = content.get_mut(at + 44..at + 48) {
            place.copy_from_slice(&check.to_le_bytes());
        }
    }
    true
}

fn seeds() -> Vec<Vec<u8>> {
    let edit = |op: u8, file: u16, rest: &[u8]| [&[op], &file.to_le_bytes()[..], rest].concat();
    let files = WRITTEN.files.len() as u16;
    let mut seeds = vec![Vec::new(), edit(0, 1, &[]), edit(1, 1, &[8, 0, 8, 0, 4, 0]), edit(2, 0, &[1, 0, 9])];
    for file in 0..files {
        seeds.push(edit(5, file, &[0, 0x40, 0x12, 1]));
        seeds.push(edit(6, file, &[2, 0x88, 0x10]));
        seeds.push([edit(5, file, &[1, 0, 0x11]), part(&[0; 64])].concat());
    }
    for field in [4_u8, 8, 9, 16, 24, 32, 40, 48, 52, 53, 56, 64] {
        seeds.push(edit(3, 1, &[2, field, 0, 0xff]));
        seeds.push(edit(3, 1, &[0, field, 0, 3]));
    }
    seeds
}
