//! Damage: `verify` does not believe a data folder in which any byte that counts was changed, and says where.
use crate::node::{Ended, Node, SEED};
use crate::segments::{BLOCK as HEADER_BLOCK, FRAME, Segment, full};
use crate::sender::Sender;
use faultline::keys;
use faultline::verify::{Report, check};
use faultline::world::own;
use faultline_host::{Disk, Random, RealDisk};
use faultline_model::{Control, Kind};
use faultline_storage::{DataFolder, Settings};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SETTINGS: Settings = Settings { segment_size: 128 << 10, limit: 4 << 20 };
const BLOCK: u64 = HEADER_BLOCK as u64;

/// A small data folder, closed cleanly.
struct Folder {
    _temporary: tempfile::TempDir,
    path: PathBuf,
}

/// Whether a changed byte must be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// `verify` must say no, and name something of this kind.
    Yes(&'static [&'static str]),
    /// Nothing that `verify` states depends on it.
    No,
}

/// Makes a folder of `turns` turns; `trimmed` ones have lost their oldest segments.
fn folder(turns: usize, trimmed: bool) -> Folder {
    folder_ended(turns, trimmed, |node| node.close())
}

fn folder_ended(turns: usize, trimmed: bool, end: impl FnOnce(Node) -> Result<(), Ended>) -> Folder {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let path = temporary.path().join("data");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut sender = Sender::new(4);
    let signer = |folder: &faultline_storage::DataFolder| {
        keys::signer(&RealDisk, folder.path(), folder.journal_id()).expect("a new key")
    };
    let mut node = Node::open(&disk, &path, SETTINGS, signer, &sender.clock).expect("a new folder");
    for turn in 0..turns {
        let mut group = sender.group();
        if turn % 2 == 0 {
            // Enough leaves for a full tile.
            group.extend((0..4).map(|_| sender.change(faultline_host::Clock::now(&*sender.clock))));
        }
        let (_, result) = node.turn(group, || {});
        result.and_then(|()| node.chores(turn % 5 == 0, trimmed)).expect("the disk is well");
    }
    end(node).expect("the disk is well");
    Folder { _temporary: temporary, path }
}

/// Every file below `folder`, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it is there").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// Changes bytes of a file as long as `look` looks, then puts them back.
fn with_bytes<T>(path: &Path, at: u64, change: impl FnOnce(&mut [u8]), size: usize, look: impl FnOnce() -> T) -> T {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("it is there");
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, at).expect("it is that long");
    let before = bytes.clone();
    change(&mut bytes);
    file.write_all_at(&bytes, at).expect("the disk is well");
    let seen = look();
    file.write_all_at(&before, at).expect("the disk is well");
    seen
}

/// Where the frames of a segment end. Behind it a segment that is used again still holds what it held before.
fn frames_end(path: &Path) -> u64 {
    let segment = Segment { generation: 0, bytes: fs::read(path).expect("it is there") };
    *segment.frames().last().expect("the end") as u64
}

/// Places of a file to be changed, and whether each counts.
fn places(data: &Path, path: &Path, random: &mut Random) -> Vec<(u64, Counts)> {
    let name = path.strip_prefix(data).expect("below it").display().to_string();
    let size = fs::metadata(path).expect("it is there").len();
    let mut draw = |from: u64, to: u64, count: u64, counts| -> Vec<(u64, Counts)> {
        (0..count.min(to.saturating_sub(from))).map(|_| (from + random.below(to - from), counts)).collect()
    };
    let ledger = Counts::Yes(&["tile", "ledger", "head", "checkpoint", "root", "note", "key", "sign"]);
    match () {
        () if name == "VERSION" => draw(0, size, 10, Counts::Yes(&["VERSION", "format", "data folder"])),
        () if name.starts_with("journal/segment-") => {
            let end = frames_end(path);
            let mut all = draw(0, BLOCK, 8, Counts::Yes(&["segment-"]));
            if end > BLOCK {
                // The proof of a clean stop is nothing but a header.
                let end = if is_last(path) { end - FRAME as u64 } else { end };
                all.extend(draw(BLOCK, end, 40, Counts::Yes(&["segment-"])));
            }
            // What no frame covers: the rest of a segment, and segments made ready and not yet used.
            all.extend(draw(end.max(BLOCK) + 64, size, 6, Counts::No));
            all
        }
        // Kept to be used again; whatever it holds is written over first.
        () if name.starts_with("journal/spare-") => draw(0, size, 6, Counts::No),
        () if name == "ledger/verifier-key" => draw(0, size - 1, 16, ledger),
        // The secret half signs new heads and is not needed to check old ones.
        () if name == "ledger/signing-key" => draw(0, size, 6, Counts::No),
        () if name == "ledger/checkpoint" => draw(0, size - 1, 40, ledger),
        () if name.starts_with("ledger/tile/entries") => draw(0, size, 12, ledger),
        () if name.starts_with("ledger/tile") => draw(0, size, 8, ledger),
        () if name.starts_with("checkpoints/checkpoint-") => {
            draw(0, size, 15, Counts::Yes(&["checkpoint-", "checkpoint at"]))
        }
        // Which leaf a sink reads next: a matter of what goes out, not of what was decided.
        () if name.starts_with("cursors/") || name == "lock" => draw(0, size, 4, Counts::No),
        () => panic!("{name} is of no known kind"),
    }
}

/// Whether the segment is the last one with frames.
fn is_last(path: &Path) -> bool {
    let folder = path.parent().expect("it is in one");
    let used = files(folder).into_iter().filter(|file| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("segment-")) && frames_end(file) > BLOCK
    });
    used.max().is_some_and(|last| last == path)
}

fn judge(report: &Report, counts: Counts, what: &str, faults: &mut Vec<String>) {
    match (counts, &report.difference) {
        (Counts::Yes(_), None) => faults.push(format!("{what}: not noticed")),
        (Counts::Yes(names), Some(difference)) if !names.iter().any(|name| difference.contains(name)) => {
            faults.push(format!("{what}: the place is not named: {difference}"));
        }
        (Counts::No, Some(difference)) => faults.push(format!("{what}: does not count, but: {difference}")),
        _ => assert_eq!(report.ok, report.difference.is_none(), "{what}"),
    }
}

fn flip_all(folder: &Folder, seed: u64) -> usize {
    let report = check(&folder.path);
    assert!(report.ok, "{report:?}");
    let (mut random, mut faults, mut flips) = (Random::seeded(seed), Vec::new(), 0);
    for path in files(&folder.path) {
        for (at, counts) in places(&folder.path, &path, &mut random) {
            let bit = random.below(8);
            let report = with_bytes(&path, at, |bytes| bytes[0] ^= 1 << bit, 1, || check(&folder.path));
            let name = path.strip_prefix(&folder.path).expect("below it").display().to_string();
            judge(&report, counts, &format!("bit {bit} of byte {at} of {name}"), &mut faults);
            flips += 1;
        }
    }
    assert!(faults.is_empty(), "{} of {flips} flips:\n{}", faults.len(), faults.join("\n"));
    assert!(check(&folder.path).ok, "put back, it is whole again");
    flips
}

#[test]
fn a_flipped_byte_is_noticed_and_named() {
    let flips = flip_all(&folder(150, false), 1);
    println!("{flips} flips, all as they should");
    assert!(flips >= 250, "{flips}");
}

#[test]
fn a_flipped_byte_is_noticed_where_the_beginning_is_trimmed() {
    let folder = folder(350, true);
    let report = check(&folder.path);
    assert!(report.ok && report.trimmed_below.is_some() && report.hashed_only > 0, "{report:?}");
    assert!(report.sealed >= 1 && report.sealed_trimmed >= 1 && report.unsealed.is_empty(), "{report:?}");
    println!("{} flips, all as they should", flip_all(&folder, 2));
}

/// The last segment with frames, and where they end.
fn last_segment(folder: &Folder) -> (PathBuf, u64) {
    let paths = files(&folder.path.join("journal"));
    let path = paths.into_iter().find(|path| is_last(path)).expect("something was written");
    let end = frames_end(&path);
    (path, end)
}

#[test]
fn what_is_cut_off_is_missed_and_a_torn_tail_is_not() {
    let folder = folder(60, false);
    let (path, end) = last_segment(&folder);
    let size = fs::metadata(&path).expect("it is there").len();
    // Zeros from some place on, as a truncated and refilled file would have them: the signed head knows of more.
    for cut in [BLOCK, BLOCK + (end - BLOCK) / 3 / 8 * 8, BLOCK + (end - BLOCK) * 2 / 3 / 8 * 8] {
        let report = with_bytes(&path, cut, |bytes| bytes.fill(0), (size - cut) as usize, || check(&folder.path));
        let difference = report.difference.unwrap_or_else(|| panic!("cut at {cut} of {end}, and nobody noticed"));
        assert!(
            ["tail was cut off", "segment-", "the journal ends before"].iter().any(|words| difference.contains(words)),
            "{difference}"
        );
    }
    // A hole below the end.
    let hole = BLOCK + (end - BLOCK) / 2 / 8 * 8;
    let report = with_bytes(&path, hole, |bytes| bytes.fill(0), 512, || check(&folder.path));
    assert!(report.difference.is_some_and(|difference| difference.contains("segment-")), "a hole at {hole}");
    // A shorter file.
    let bytes = fs::read(&path).expect("it is there");
    fs::write(&path, &bytes[..end as usize - 8]).expect("the disk is well");
    assert!(!check(&folder.path).ok, "the file is shorter than its header says");
    fs::write(&path, &bytes).expect("the disk is well");
    // Behind the last commit: half of a frame, or noise.
    let torn: [Vec<u8>; 2] =
        [bytes[BLOCK as usize..BLOCK as usize + 40].to_vec(), (0..200).map(|i| i as u8 ^ 0xa5).collect()];
    for tail in torn {
        let write = |bytes: &mut [u8]| bytes[..tail.len()].copy_from_slice(&tail);
        let report = with_bytes(&path, end, write, tail.len(), || check(&folder.path));
        assert!(report.ok && report.torn_tail.is_some(), "{report:?}");
    }
    // The clean stop's own frame promises nothing but itself.
    let report = with_bytes(&path, end - 20, |bytes| bytes[0] ^= 1, 1, || check(&folder.path));
    assert!(report.ok && report.torn_tail.is_some(), "{report:?}");
    assert!(check(&folder.path).ok, "put back, it is whole again");
}

#[test]
fn a_ledger_that_lost_something_is_not_believed() {
    let folder = folder(60, false);
    let ledger = folder.path.join("ledger");
    let mut count = 0;
    for path in files(&ledger).into_iter().filter(|path| !path.ends_with("signing-key")) {
        let bytes = fs::read(&path).expect("it is there");
        for keep in [Some(bytes.len() / 2), Some(0), None] {
            match keep {
                Some(size) => fs::write(&path, &bytes[..size]).expect("the disk is well"),
                None => fs::remove_file(&path).expect("the disk is well"),
            }
            let report = check(&folder.path);
            assert!(!report.ok, "{} cut to {keep:?} bytes of {}", path.display(), bytes.len());
            count += 1;
        }
        fs::write(&path, &bytes).expect("the disk is well");
    }
    assert!(count >= 12 && check(&folder.path).ok);
}

/// The segments of a folder that hold frames, and its journal's id.
fn segments(folder: &Folder) -> (Vec<Segment>, [u8; 16]) {
    let read = |path: PathBuf| Segment::named(path.file_name()?.to_str()?, fs::read(&path).ok()?);
    let all = files(&folder.path.join("journal")).into_iter().filter_map(read).collect();
    let id = DataFolder::inspect(Arc::new(RealDisk), &folder.path).expect("it is one").journal_id();
    (all, id)
}

fn write(folder: &Folder, segment: &Segment) {
    let path = folder.path.join(format!("journal/segment-{:016x}", segment.generation));
    fs::write(path, &segment.bytes).expect("the disk is well");
}

/// Who rewrites a record and its check sums leaves a journal that reads well. Whether a decision comes out otherwise or not,
/// the segment is not what its leaf states.
#[test]
fn a_record_rewritten_with_its_check_sums_is_found_by_the_seal() {
    let folder = folder(150, false);
    let (segments, journal) = segments(&folder);
    let report = check(&folder.path);
    assert!(report.ok && report.unsealed.is_empty(), "{report:?}");
    assert_eq!((report.sealed, segments.len()), (segments.len() as u64 - 1, full(&segments).len() + 1));
    assert!(report.sealed >= 2, "{report:?}");
    let (mut random, mut rewritten) = (Random::seeded(3), 0);
    for segment in &segments[..segments.len() - 1] {
        let frames = segment.frames();
        for kind in [2, 2, 2, 2, 3, 1] {
            let of_kind: Vec<usize> =
                frames[..frames.len() - 1].iter().copied().filter(|&at| segment.kind(at) == kind).collect();
            let at = of_kind[random.below(of_kind.len() as u64) as usize];
            let mut changed = segment.clone();
            // The last byte: of a record's telemetry, of a leaf, of the number of the newest sealed segment.
            changed.rewrite(journal, at, |body| *body.last_mut().expect("not empty") ^= 1);
            write(&folder, &changed);
            let difference = check(&folder.path).difference.expect("a rewritten frame");
            let name = format!("segment-{:016x} up to record", segment.generation);
            assert!(difference.contains(&name) && difference.contains("root"), "kind {kind} at {at}: {difference}");
            rewritten += 1;
        }
        write(&folder, segment);
    }
    println!("{rewritten} rewritten frames, all found");
    assert!(check(&folder.path).ok, "put back, it is whole again");
}

/// Who rewrites the leaves in the journal too, segment after segment, has made it agree with itself, and not with the
/// ledger.
#[test]
fn leaves_rewritten_after_the_record_are_found_by_the_ledger() {
    let folder = folder(150, false);
    let (before, journal) = segments(&folder);
    let mut after = before.clone();
    // A tick more or less decides nothing: its tenant is never looked at.
    let frames = after[0].frames();
    let is_tick = |at: &usize| after[0].kind(*at) == 2 && after[0].body(*at)[4] == 4;
    let tick = frames[..frames.len() - 1].iter().copied().find(is_tick).expect("there are ticks");
    after[0].rewrite(journal, tick, |body| body[0] ^= 1);
    for segment in 0..before.len() - 1 {
        let (old, new) = (full(&before)[segment], full(&after)[segment]);
        assert_ne!(old.root, new.root);
        // Its leaf stands in any of the later ones.
        let mut found = 0;
        for holder in &mut after[segment + 1..] {
            for at in holder.frames().windows(2).map(|at| at[0]).collect::<Vec<_>>() {
                let Some(place) = holder.body(at).windows(32).position(|bytes| bytes == old.root.0) else { continue };
                holder.rewrite(journal, at, |body| body[place..place + 32].copy_from_slice(&new.root.0));
                found += 1;
            }
        }
        assert_eq!(found, 1, "one leaf for each");
    }
    after.iter().for_each(|segment| write(&folder, segment));
    let report = check(&folder.path);
    let difference = report.difference.expect("the ledger states other roots");
    assert!(difference.contains("ledger") || difference.contains("tile/"), "{difference}");
    assert_eq!(report.sealed, before.len() as u64 - 1, "the journal agrees with itself");
    before.iter().for_each(|segment| write(&folder, segment));
    assert!(check(&folder.path).ok, "put back, it is whole again");
}

/// A server that runs, was killed, or had no room at its end may owe leaves for its newest full segments.
#[test]
fn a_full_segment_without_a_leaf_is_named() {
    // So much after the last segment was sealed that two more are full.
    let fill = |node: &mut Node| {
        let kind = Kind::Control(Control::Source);
        (0..32).try_for_each(|_| node.turn(vec![own(kind, vec![0xff; 8 << 10], SEED)], || {}).1)
    };
    let owing = |folder: &Folder| {
        let (segments, _) = segments(folder);
        let name = |segment: &Segment| format!("segment-{:016x}", segment.generation);
        segments[segments.len() - 3..segments.len() - 1].iter().map(name).collect::<Vec<_>>()
    };
    let killed = folder_ended(60, false, |mut node| {
        fill(&mut node)?;
        node.chores(false, false)
    });
    let closed = folder_ended(60, false, |mut node| {
        fill(&mut node)?;
        node.close_unsealed()
    });
    for folder in [killed, closed] {
        let report = check(&folder.path);
        assert!(report.ok && report.unsealed == owing(&folder), "{report:?}");
    }
    let sealed = folder_ended(60, false, |mut node| {
        fill(&mut node)?;
        node.close()
    });
    let report = check(&sealed.path);
    assert!(report.ok && report.unsealed.is_empty() && report.sealed >= 2, "{report:?}");
}
