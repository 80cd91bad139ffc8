//! What CI runs of the simulation: seeds, past failures, every I/O of a reference run; and that it is deterministic.
use faultline_sim::run::{run, stopped_at};
use faultline_sim::{Coverage, Event, Plan, file};
use std::path::Path;

const SEEDS: u64 = 200;

#[test]
fn two_hundred_seeds_keep_every_promise() {
    let mut coverage = Coverage::default();
    for seed in 1..=SEEDS {
        let outcome = run(&Plan::of(seed));
        coverage.merge(&outcome.coverage);
        if let Err(broken) = outcome.result {
            panic!("{broken}\nsee it small:  cargo xtask sim --seed {seed}");
        }
    }
    print!("{coverage}");
    // A simulation that meets nothing shows nothing.
    for (section, name, least) in [
        ("faults", "stop before an I/O", 20),
        ("faults", "stop after an I/O", 20),
        ("faults", "stop within a write", 20),
        ("faults", "EIO on a sync", 20),
        ("faults", "EIO on a write", 20),
        ("faults", "ENOSPC on a write", 200),
        ("faults", "EIO on a read", 20),
        ("faults", "bit rot at rest", 20),
        ("faults", "clock set back", 20),
        ("states", "power cuts", 100),
        ("states", "kills", 50),
        ("states", "clean stops", 50),
        ("states", "started from a checkpoint", 50),
        ("states", "journals trimmed so far", 10),
        ("states", "torn tails cut off", 5),
        ("states", "groups refused: disk full", 20),
        ("states", "bodies refused: inlet full", 20),
        ("states", "turns that leaves waited for room", 20),
        ("states", "turns that tiles waited for room", 20),
        ("states", "lives that end caught up", 50),
        ("states", "asks posted again at a start", 50),
        ("states", "damage named by verify", 20),
        ("work", "records acknowledged", 5_000),
        ("work", "segments sealed", 50),
        ("work", "explanations", 200),
        ("work", "answers of the recent store", 10),
        ("work", "past instants looked at again", 10),
        ("work", "lines told", 1_000),
    ] {
        assert!(coverage.count(section, name) >= least, "{name}: fewer than {least}");
    }
}

/// Same seed, same bytes to the disk, same answers, in the same order.
#[test]
fn a_seed_runs_the_same_twice() {
    for seed in 1_000..1_030 {
        let plan = Plan::of(seed);
        assert_eq!(run(&plan).trace, run(&plan).trace, "seed {seed}");
    }
}

/// A power cut before each change of the disk in a short run.
#[test]
fn a_crash_at_any_io_loses_nothing() {
    let plan = Plan::reference(3, 6);
    let changes = run(&plan).changes;
    assert!(changes > 60, "{changes} changes are no run");
    for at in 0..changes {
        let outcome = run(&stopped_at(&plan, at, at));
        assert_eq!(outcome.coverage.count("faults", "stop before an I/O"), 1);
        if let Err(broken) = outcome.result {
            panic!("stop before change {at}: {broken}");
        }
    }
}

/// A full disk at each write of a short run, for one write or for some: nobody ends, and all is there once there is room.
#[test]
fn a_full_disk_at_any_write_ends_nothing() {
    let mut plan = Plan::reference(3, 12);
    // The power cut at the end of it would end the life before it has caught up.
    plan.events.pop();
    let (mut waited, mut at) = (0, 0);
    loop {
        let mut fired = 0;
        for length in [0, 3, 15] {
            let full = Plan { events: [&[Event::Fault(4, at, length)], &plan.events[..]].concat(), ..plan.clone() };
            let outcome = run(&full);
            if let Err(broken) = outcome.result {
                panic!("ENOSPC at write {at} and {length} more: {broken}");
            }
            let count = |name| outcome.coverage.count("states", name);
            assert_eq!(count("processes that a fault ended"), 0);
            // At a start it may be refused; then the next life has room.
            assert_eq!(count("lives that end caught up"), 1, "write {at}");
            fired += outcome.coverage.count("faults", "ENOSPC on a write");
            waited +=
                count("turns that leaves waited for room").min(1) + count("turns that tiles waited for room").min(1);
        }
        if fired == 0 {
            break;
        }
        at += 1;
    }
    assert!(at > 60 && waited > 60, "{at} writes, {waited} runs in which something waited");
}

/// Every failure that was ever found stays mended.
#[test]
fn past_failures_stay_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("a file").path()).collect();
    names.sort();
    assert!(!names.is_empty());
    for path in names {
        let text = std::fs::read_to_string(&path).expect("it reads");
        let plan = file::read(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if let Err(broken) = run(&plan).result {
            panic!("{}: {broken}", path.display());
        }
    }
}
