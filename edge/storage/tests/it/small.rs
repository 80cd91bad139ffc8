//! Checkpoints and cursors: torn, damaged, out of room.
use faultline_host::{CrashPolicy, Disk, MemoryDisk};
use faultline_model::Position;
use faultline_storage::{CheckpointError, CheckpointHead, CheckpointStore, Cursors, DataFolder};
use std::path::Path;
use std::sync::Arc;

fn folder(disk: &MemoryDisk) -> DataFolder {
    DataFolder::open(Arc::new(disk.clone()), Path::new("data"), [7; 16]).unwrap()
}

/// Name and bytes of each page, in order.
type Pages = Vec<(String, Box<[u8]>)>;

/// The pages of the state after a record.
fn pages(offset: u64) -> Pages {
    let page = |number: usize| (format!("rows/{number}"), vec![offset as u8; 300 + offset as usize + number].into());
    (0..4).map(page).collect()
}

/// Writes the pages in another order than the state's.
fn write(store: &CheckpointStore, offset: u64) -> Result<(), CheckpointError> {
    let (pages, mut draft) = (pages(offset), store.begin()?);
    pages.iter().rev().try_for_each(|(name, bytes)| draft.page(name, bytes))?;
    let sealed = draft.seal(pages.into_iter().map(|(name, _)| name))?;
    store.finish(&sealed, Position { partition: 0, offset }, 3, 7, 2 * offset)
}

/// The newest checkpoint that is whole, and what is wrong with those after it.
fn newest(store: &CheckpointStore) -> (Option<(u64, Pages)>, Vec<String>) {
    let mut wrong = Vec::new();
    for offset in store.offsets().unwrap().into_iter().rev() {
        let whole = store.read(offset).unwrap().and_then(|stored| {
            let CheckpointHead { at, engine, layout, leaves, .. } = stored.head;
            assert_eq!((at.offset, engine, layout, leaves), (offset, 3, 7, 2 * offset));
            stored.pages().collect()
        });
        match whole {
            Ok(pages) => return (Some((offset, pages)), wrong),
            Err(what) => wrong.push(what),
        }
    }
    (None, wrong)
}

fn whole(offset: u64) -> (Option<(u64, Pages)>, Vec<String>) {
    (Some((offset, pages(offset))), vec![])
}

#[test]
fn the_newest_two_checkpoints_are_kept_and_damaged_ones_passed_over() {
    let disk = MemoryDisk::new(1 << 20);
    let store = CheckpointStore::open(&folder(&disk)).unwrap();
    assert_eq!(newest(&store), (None, vec![]));
    for offset in [10, 200, 300] {
        write(&store, offset).unwrap();
    }
    assert_eq!(store.offsets().unwrap(), [200, 300]);
    assert_eq!(newest(&store), whole(300));
    let stored = store.read(300).unwrap().unwrap();
    let page = stored.by_name();
    assert_eq!((page("rows/2"), page("rows/4")), (Some(Ok(pages(300)[2].clone())), None));

    let path = Path::new("data/checkpoints").join(format!("checkpoint-{:016x}", 300));
    let content = disk.content(&path).unwrap();
    for byte in 0..content.len() {
        let mut damaged = content.clone();
        damaged[byte] ^= 0x40;
        disk.set_content(&path, &damaged);
        let (found, wrong) = newest(&store);
        assert_eq!((found.unwrap().0, wrong.len()), (200, 1), "byte {byte}");
    }
    for size in [0, 50, 128, content.len() - 1] {
        disk.set_content(&path, &content[..size]);
        assert_eq!(newest(&store).0, whole(200).0);
    }
    disk.set_content(&path, &[&content[..], b"x"].concat());
    assert_eq!(newest(&store).0, whole(200).0);
}

#[test]
fn a_draft_has_the_pages_of_the_state_and_no_others() {
    let disk = MemoryDisk::new(1 << 20);
    let store = CheckpointStore::open(&folder(&disk)).unwrap();
    let seal = |names: &[&str]| {
        let mut draft = store.begin().unwrap();
        draft.page("a", b"old").unwrap();
        draft.page("b", b"2").unwrap();
        draft.seal(names.iter().map(|name| name.to_string())).map(|sealed| sealed.state)
    };
    assert!(seal(&["a"]).is_err() && seal(&["a", "b", "c"]).is_err() && seal(&["a", "a"]).is_err());
    assert_ne!(seal(&["a", "b"]).unwrap(), seal(&["b", "a"]).unwrap());
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
    let (found, wrong) = newest(&CheckpointStore::open(&folder(&disk)).unwrap());
    let newest = found.as_ref().map_or(0, |found| found.0);
    match kept {
        _ if !wrong.is_empty() => Err(format!("damaged: {wrong:?}")),
        Some(kept) if newest < kept => Err(format!("{kept} is gone, {newest} is left")),
        _ if found.is_some_and(|found| found.1 != pages(newest)) => Err("other bytes".into()),
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
    disk.set_capacity(4_000);
    assert!(write(&store, 200).is_err());
    assert_eq!(newest(&store), whole(100));
    disk.set_capacity(1 << 20);
    write(&store, 200).unwrap();
    assert_eq!(newest(&store), whole(200));
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
