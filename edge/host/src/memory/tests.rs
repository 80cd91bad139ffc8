//! The double itself: what it forgets, keeps and breaks.
use super::*;

const FOLDER: &str = "data";

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new(1 << 20);
    disk.create_dir_all(Path::new(FOLDER)).unwrap();
    disk
}

/// A file that is durable with `bytes`.
fn durable(disk: &MemoryDisk, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.create(&path(name)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(FOLDER)).unwrap();
    file
}

#[test]
fn only_what_was_synced_survives() {
    let disk = disk();
    let file = durable(&disk, "a", b"first");
    file.write_at(b"second", 0).unwrap();
    disk.create(&path("b")).unwrap().sync_data().unwrap();
    disk.rename(&path("a"), &path("c")).unwrap();
    assert_eq!(disk.content(&path("c")).unwrap(), b"second");
    disk.crash(CrashPolicy::LoseAll);
    assert_eq!(disk.list(Path::new(FOLDER)).unwrap(), ["a"], "names wait for the folder's sync");
    assert_eq!(disk.content(&path("a")).unwrap(), b"first");
    assert!(file.write_at(b"x", 0).is_err(), "an open file of the old process is dead");
}

#[test]
fn a_killed_process_leaves_what_it_wrote_in_the_kernel() {
    let disk = disk();
    let file = durable(&disk, "a", b"first");
    let _lock = disk.lock(Path::new(FOLDER)).unwrap();
    assert_eq!(disk.lock(Path::new(FOLDER)).err().unwrap().kind(), io::ErrorKind::WouldBlock);
    file.write_at(b"other", 0).unwrap();
    disk.kill();
    let _lock = disk.lock(Path::new(FOLDER)).unwrap();
    assert_eq!(disk.content(&path("a")).unwrap(), b"other");
    disk.crash(CrashPolicy::LoseAll);
    assert_eq!(disk.content(&path("a")).unwrap(), b"first");
}

#[test]
fn policies_keep_what_they_say() {
    let written = |policy| {
        let disk = disk();
        let file = durable(&disk, "a", &[0; 4096]);
        file.write_at(&[1; 1024], 0).unwrap();
        file.write_at(&[2; 1024], 1024).unwrap();
        file.write_at(&[3; 1024], 3000).unwrap();
        disk.crash(policy);
        disk.content(&path("a")).unwrap()
    };
    assert_eq!(written(CrashPolicy::LoseAll), [0; 4096]);
    let all = written(CrashPolicy::KeepAll);
    assert_eq!((all[0], all[1024], all[3000], all[4023], all[4024]), (1, 2, 3, 3, 0));
    let (mut prefixes, mut holes, mut tears) = (0, 0, 0);
    for seed in 0..200 {
        let prefix = written(CrashPolicy::Prefix(seed));
        let sector = |n: usize| prefix[n * 512];
        assert!(sector(0) >= sector(1) && (sector(2) == 0 || sector(1) == 1), "no hole before the point");
        prefixes += usize::from(prefix != all && prefix != [0; 4096]);
        let subset = written(CrashPolicy::Subset(seed));
        holes += usize::from(subset[0] == 0 && subset[1024] == 2);
        let torn = written(CrashPolicy::Torn(seed));
        tears += usize::from(torn[3000] != torn[4023]);
        for content in [&prefix, &subset, &torn] {
            assert!(content[..1024].chunks(512).all(|sector| sector.iter().all(|&byte| byte == sector[0])));
        }
        assert_eq!(subset, written(CrashPolicy::Subset(seed)), "same seed, same crash");
    }
    assert!(prefixes > 20 && holes > 20 && tears > 20, "{prefixes} {holes} {tears}");
}

#[test]
fn faults_strike_where_they_are_planted() {
    let disk = disk();
    let file = durable(&disk, "a", &[0; 8]);
    disk.fail_at(disk.operations() + 1, io::ErrorKind::StorageFull);
    file.write_at(&[1; 8], 0).unwrap();
    assert_eq!(file.write_at(&[2; 8], 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.content(&path("a")).unwrap(), [2, 2, 2, 2, 1, 1, 1, 1], "half done");
    file.write_at(&[3; 8], 0).unwrap();

    disk.fail_sync(disk.syncs());
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(disk.content(&path("a")).unwrap(), [3; 8], "the process goes on seeing it");
    disk.crash(CrashPolicy::KeepAll);
    assert_eq!(disk.content(&path("a")).unwrap(), [0; 8], "but the disk never got it");

    let file = disk.open_write(&path("a")).unwrap();
    file.write_at(&[4; 8], 0).unwrap();
    disk.ignore_sync(disk.syncs());
    file.sync_data().unwrap();
    disk.crash(CrashPolicy::LoseAll);
    assert_eq!(disk.content(&path("a")).unwrap(), [0; 8]);

    let file = disk.open_write(&path("a")).unwrap();
    disk.stop_at(disk.operations() + 1);
    file.write_at(&[5; 8], 0).unwrap();
    for _ in 0..2 {
        assert!(file.sync_data().is_err() && file.write_at(&[6; 8], 0).is_err() && disk.create(&path("z")).is_err());
    }
    disk.crash(CrashPolicy::KeepAll);
    assert_eq!(disk.content(&path("a")).unwrap(), [5; 8]);
}

#[test]
fn a_full_disk_refuses_growth_and_takes_overwrites() {
    let disk = disk();
    disk.set_capacity(100);
    let file = durable(&disk, "a", &[1; 90]);
    assert_eq!(file.write_at(&[2; 20], 85).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.set_size(101).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_at(&[2; 20], 70).unwrap();
    assert_eq!(disk.space(Path::new(FOLDER)).unwrap(), Space { total: 100, free: 10 });
}
