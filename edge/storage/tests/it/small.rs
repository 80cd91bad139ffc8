//! Checkpoints and cursors: torn, damaged, out of room.
use bytes::Bytes;
use faultline_host::{CrashPolicy, Disk, MemoryDisk};
use faultline_model::Position;
use faultline_storage::{Checkpoint, CheckpointError, CheckpointStore, Cursors, DataFolder};
use std::path::Path;
use std::sync::Arc;

fn folder(disk: &MemoryDisk) -> DataFolder {
    DataFolder::open(Arc::new(disk.clone()), Path::new("data"), [7; 16]).unwrap()
}

fn checkpoint(offset: u64) -> Checkpoint {
    let state = Bytes::from(vec![offset as u8; 3_000 + offset as usize]);
    Checkpoint { at: Position { partition: 0, offset }, engine: 1 + offset as u32 / 100, state }
}

/// Writes it in two pieces.
fn write(store: &CheckpointStore, offset: u64) -> Result<(), CheckpointError> {
    let Checkpoint { at, engine, state } = checkpoint(offset);
    let (head, rest) = state.split_at(1_000);
    store.write(at, engine, &[head, rest])
}

fn any(_: Position, _: u32) -> bool {
    true
}

#[test]
fn the_newest_two_checkpoints_are_kept_and_damaged_ones_passed_over() {
    let disk = MemoryDisk::new(1 << 20);
    let store = CheckpointStore::open(&folder(&disk)).unwrap();
    assert_eq!(store.newest(any).unwrap(), (None, vec![]));
    for offset in [10, 200, 300] {
        write(&store, offset).unwrap();
    }
    assert_eq!(store.offsets().unwrap(), [200, 300]);
    assert_eq!(store.newest(any).unwrap(), (Some(checkpoint(300)), vec![]));
    assert_eq!(store.newest(|_, engine| engine == 3).unwrap().0, Some(checkpoint(200)), "of an engine we can restore");
    assert_eq!(store.newest(|at, _| at.offset < 200).unwrap(), (None, vec![]));

    let path = Path::new("data/checkpoints").join(format!("checkpoint-{:016x}", 300));
    let whole = disk.content(&path).unwrap();
    for byte in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x40;
        disk.set_content(&path, &damaged);
        let (found, skipped) = store.newest(any).unwrap();
        assert_eq!((found.unwrap().at.offset, skipped.len()), (200, 1), "byte {byte}");
        assert_eq!(skipped[0].path, path);
    }
    for size in [0, 50, 128, whole.len() - 1] {
        disk.set_content(&path, &whole[..size]);
        assert_eq!(store.newest(any).unwrap().0, Some(checkpoint(200)));
    }
    disk.set_content(&path, &[&whole[..], b"x"].concat());
    assert_eq!(store.newest(any).unwrap().0, Some(checkpoint(200)));
}

/// Writes until the machine stops; `Err`: something that was kept is not there.
fn checkpoints_survive(stop: u64, policy: CrashPolicy, ignored: u64) -> Result<(), String> {
    let disk = MemoryDisk::new(1 << 20);
    let store = CheckpointStore::open(&folder(&disk)).unwrap();
    disk.ignore_sync(disk.syncs() + ignored);
    disk.stop_at(disk.operations() + stop);
    let kept = (1..6).map(|index| index * 100).take_while(|&offset| write(&store, offset).is_ok()).last();
    disk.stop_at(u64::MAX);
    disk.crash(policy);
    let (found, skipped) = CheckpointStore::open(&folder(&disk)).unwrap().newest(any).unwrap();
    let newest = found.as_ref().map_or(0, |found| found.at.offset);
    match kept {
        _ if !skipped.is_empty() => Err(format!("damaged: {skipped:?}")),
        Some(kept) if newest < kept => Err(format!("{kept} is gone, {newest} is left")),
        _ if found.is_some_and(|found| found != checkpoint(newest)) => Err("other bytes".into()),
        _ => Ok(()),
    }
}

#[test]
fn a_checkpoint_is_there_whole_or_not_at_all() {
    let policies = || [CrashPolicy::LoseAll, CrashPolicy::KeepAll].into_iter().chain((0..20).map(CrashPolicy::Subset));
    let cases = || (0..45).flat_map(|stop| policies().map(move |policy| (stop, policy)));
    for (stop, policy) in cases() {
        checkpoints_survive(stop, policy, u64::MAX / 2).unwrap();
    }
    for ignored in 0..8 {
        let noticed = cases().any(|(stop, policy)| checkpoints_survive(stop, policy, ignored).is_err());
        assert!(noticed, "sync {ignored} could be left out");
    }
}

#[test]
fn a_full_disk_keeps_the_checkpoints_there_are() {
    let disk = MemoryDisk::new(1 << 20);
    let store = CheckpointStore::open(&folder(&disk)).unwrap();
    write(&store, 100).unwrap();
    disk.set_capacity(6_000);
    assert!(write(&store, 200).is_err());
    assert_eq!(store.newest(any).unwrap().0, Some(checkpoint(100)));
    disk.set_capacity(1 << 20);
    write(&store, 200).unwrap();
    assert_eq!(store.newest(any).unwrap().0, Some(checkpoint(200)));
}

/// Sets two cursors in turn until the machine stops; `Err`: one went back behind what was set, or ahead.
fn cursors_survive(stop: u64, policy: CrashPolicy, ignored: u64) -> Result<(), String> {
    let disk = MemoryDisk::new(1 << 20);
    let mut cursors = Cursors::open(&folder(&disk)).unwrap();
    disk.ignore_sync(disk.syncs() + ignored);
    disk.stop_at(disk.operations() + stop);
    let (mut set, mut tried) = ([0u8; 2], [0u8; 2]);
    for value in 1..20u8 {
        let which = usize::from(value % 2);
        tried[which] = value;
        if cursors.set(["one", "two-2"][which], &[value; 33]).is_err() {
            break;
        }
        set[which] = value;
    }
    disk.stop_at(u64::MAX);
    disk.crash(policy);
    let cursors = Cursors::open(&folder(&disk)).map_err(|error| error.to_string())?;
    for (which, name) in ["one", "two-2"].into_iter().enumerate() {
        let found = cursors.get(name).map_or(0, |value| value[0]);
        if found != set[which] && found != tried[which] {
            return Err(format!("{name} is {found}, was {}", set[which]));
        }
    }
    Ok(())
}

#[test]
fn a_cursor_is_what_was_last_set() {
    let policies = || [CrashPolicy::LoseAll, CrashPolicy::KeepAll].into_iter().chain((0..10).map(CrashPolicy::Torn));
    let cases = || (0..50).flat_map(|stop| policies().map(move |policy| (stop, policy)));
    for (stop, policy) in cases() {
        cursors_survive(stop, policy, u64::MAX / 2).unwrap();
    }
    for ignored in 0..19 {
        // The first name's sync is covered by the second's, which follows at once.
        let noticed = cases().any(|(stop, policy)| cursors_survive(stop, policy, ignored).is_err());
        assert!(noticed, "sync {ignored} could be left out");
    }
}

#[test]
fn a_damaged_slot_gives_the_value_before_and_two_are_an_error() {
    let disk = MemoryDisk::new(1 << 20);
    let mut cursors = Cursors::open(&folder(&disk)).unwrap();
    assert_eq!(cursors.get("sink-a"), None);
    for value in [&b"first"[..], b"second", b"third"] {
        cursors.set("sink-a", value).unwrap();
        disk.kill();
        cursors = Cursors::open(&folder(&disk)).unwrap();
        assert_eq!(cursors.get("sink-a"), Some(value));
    }
    let path = Path::new("data/cursors/sink-a");
    let whole = disk.content(path).unwrap();
    for byte in 4096..4096 + 512 {
        let mut damaged = whole.clone();
        damaged[byte] ^= 2;
        disk.set_content(path, &damaged);
        disk.kill();
        assert_eq!(Cursors::open(&folder(&disk)).unwrap().get("sink-a"), Some(&b"second"[..]));
        damaged[7] ^= 2;
        disk.set_content(path, &damaged);
        disk.kill();
        assert!(Cursors::open(&folder(&disk)).err().unwrap().to_string().contains("neither of its slots"));
    }
    disk.set_content(path, &whole);
    disk.rename(path, Path::new("data/cursors/sink-b")).unwrap();
    disk.kill();
    assert!(Cursors::open(&folder(&disk)).is_err(), "a cursor under another name is not that one's");
}
