//! Blocks of a Prometheus TSDB: one that Prometheus' own code wrote, edited, then read.
use crate::Target;
use crate::input::{Input, damage};
use faultline_host::{Disk, MemoryDisk};
use faultline_model::Millis;
use faultline_tsdb::{Block, Meta, Next, Points};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// The target.
pub const TARGET: Target = Target { name: "tsdb", size_max: 1 << 10, run, seeds };

const FOLDER: &str = "block";
/// `edge/tsdb/tests/fixtures/all`: every encoding.
const FILES: [(&str, &[u8]); 9] = [
    ("chunks/000001", include_bytes!("../../../edge/tsdb/tests/fixtures/all/chunks/000001")),
    ("chunks/000002", include_bytes!("../../../edge/tsdb/tests/fixtures/all/chunks/000002")),
    ("chunks/000003", include_bytes!("../../../edge/tsdb/tests/fixtures/all/chunks/000003")),
    ("chunks/000004", include_bytes!("../../../edge/tsdb/tests/fixtures/all/chunks/000004")),
    ("chunks/000005", include_bytes!("../../../edge/tsdb/tests/fixtures/all/chunks/000005")),
    ("chunks/000006", include_bytes!("../../../edge/tsdb/tests/fixtures/all/chunks/000006")),
    ("index", include_bytes!("../../../edge/tsdb/tests/fixtures/all/index")),
    ("meta.json", include_bytes!("../../../edge/tsdb/tests/fixtures/all/meta.json")),
    ("tombstones", include_bytes!("../../../edge/tsdb/tests/fixtures/all/tombstones")),
];
/// Chunk files, which come first.
const CHUNK_FILES: usize = 6;
const INDEX: usize = 6;
const TOMBSTONES: usize = 8;

/// Tombstones that delete nothing.
const NO_TOMBSTONES: [u8; 9] = [0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0];

/// Series, and samples, that are read of it before any edit, those deleted among them. A check sum does not say where a chunk
/// lies: one that was moved to another's place is taken for that, by Prometheus, too.
static KNOWN: LazyLock<[BTreeSet<String>; 2]> = LazyLock::new(|| {
    let mut files = FILES.map(|(_, content)| content.to_vec());
    files[TOMBSTONES] = NO_TOMBSTONES.to_vec();
    let (series, samples) = read(&files).into_iter().unzip();
    [series, samples]
});

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (mut files, mut forged) = (FILES.map(|(_, content)| content.to_vec()), false);
    for _ in 0..4 {
        if input.is_empty() {
            break;
        }
        let (op, number) = (input.byte() % 4, input.below(FILES.len()));
        damage(&mut files[number], &mut input);
        if op > 0 {
            match number {
                0..CHUNK_FILES => refit_chunks(&mut files[number]),
                INDEX => refit_index(&mut files[number]),
                _ => {}
            }
            forged = true;
        }
    }
    for (series, sample) in read(&files) {
        let known = KNOWN[0].contains(&series) && KNOWN[1].contains(&sample);
        assert!(forged || known, "made of damage: {series} {sample}");
    }
}

/// Every sample of a block, with its series.
fn read(files: &[Vec<u8>; FILES.len()]) -> Vec<(String, String)> {
    let (disk, folder) = (MemoryDisk::new(4 << 20), Path::new(FOLDER));
    disk.create_dir_all(&folder.join("chunks")).expect("memory does not fail");
    FILES.iter().zip(files).for_each(|((name, _), content)| disk.set_content(&folder.join(name), content));
    let (disk, mut lines): (Arc<dyn Disk>, _) = (Arc::new(disk), Vec::new());
    let block = Meta::read(&*disk, folder).and_then(|meta| Block::open(disk, folder, meta));
    let Ok(block) = block else { return lines };
    let (_, whole) = block.survey(|first, last| assert!(first <= last));
    let Ok(mut cursor) = block.series(Millis(i64::MIN), Millis(i64::MAX), 1 << 10) else { return lines };
    loop {
        match cursor.advance() {
            Ok(Next::Series(labels)) => {
                let mut points = Points::default();
                cursor.read(&mut points, |_, _| ());
                let samples = points.samples.iter().map(|sample| format!("{sample:?}"));
                let all = samples.chain(points.histograms.iter().map(|sample| format!("{sample:?}")));
                lines.extend(all.map(|sample| (labels.to_string(), sample)));
            }
            Ok(Next::NoLabels) => {}
            Ok(Next::End) => {
                assert!(whole.is_ok(), "a walk is as long as a survey");
                return lines;
            }
            Err(_) => return lines,
        }
    }
}

/// A number of Go's `encoding/binary` at a place, and the place behind it.
fn varint(content: &[u8], at: usize) -> Option<(usize, usize)> {
    let bytes = content.get(at..)?.iter().take(5);
    let mut number = 0;
    for (i, byte) in bytes.enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return Some((number, at + i + 1));
        }
    }
    None
}

/// Makes the check sum behind a stretch fit, and returns the place behind it.
fn refit(content: &mut [u8], from: usize, size: usize) -> Option<usize> {
    let (end, behind) = (from + size, from + size + 4);
    let check = crc32c::crc32c(content.get(from..end)?).to_be_bytes();
    content.get_mut(end..behind)?.copy_from_slice(&check);
    Some(behind)
}

fn refit_chunks(content: &mut [u8]) {
    let mut at = 8;
    while let Some((size, body)) = varint(content, at) {
        let Some(behind) = refit(content, body, size + 1) else { return };
        at = behind;
    }
}

fn refit_index(content: &mut [u8]) {
    let size = content.len();
    let Some(contents) = size.checked_sub(52) else { return };
    let place = |number: usize| {
        let bytes = content[contents + 8 * number..][..8].try_into().expect("eight bytes");
        u64::from_be_bytes(bytes).min(size as u64) as usize
    };
    let (symbols, series, end) = (place(0), place(1), place(2));
    let symbol_bytes =
        content.get(symbols..symbols + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    if let Some(symbol_bytes) = symbol_bytes {
        let _none = refit(content, symbols + 4, symbol_bytes as usize);
    }
    let mut at = series;
    while at < end {
        if content[at] == 0 {
            at += 1;
            continue;
        }
        let behind = varint(content, at).and_then(|(size, body)| refit(content, body, size));
        let Some(behind) = behind else { break };
        at = behind;
    }
    let _none = refit(content, contents, 48);
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for (number, (_, content)) in (0_u16..).zip(&FILES) {
        let size = content.len() as u16;
        for at in [4, 5, 9, 10, 12, 20, 40, size / 3, size / 2, size - 60, size - 40, size - 4] {
            for op in [0, 1] {
                seeds.push([&[op][..], &number.to_le_bytes(), &[0], &at.to_le_bytes(), &[1]].concat());
            }
        }
        seeds.push([&[1][..], &number.to_le_bytes(), &[2], &(size / 3).to_le_bytes()].concat());
    }
    seeds
}
