//! The laws of `step`: batches, decoding threads, restarts and replays change no byte, and neither does the profile.
use crate::journal::{Written, effect_bytes, events_wanted, written};
use faultline::replayed::{Replay, Watch};
use faultline::start::Origin;
use faultline::world::leaves_of;
use faultline_engine::{Checkpoint, ENGINE_VERSION, Effects, Engine};
use faultline_formats::{Decoded, Record, decode};
use faultline_host::{Journal, ManualClock, MemoryDisk, Random};
use faultline_ledger::LedgerEntry;
use faultline_model::facts::{AlertState, Decision};
use faultline_model::{Digest, Kind, Millis};
use faultline_storage::{DataFolder, Inspection, SegmentJournal, Settings};
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

/// Records between two lines of the golden file.
const GOLDEN_EVERY: usize = 256;
/// Records between two restarts of the chain of restarts.
const RESTART_EVERY: usize = 37;

/// The journal and what one engine, stepping record by record, made of it.
pub static WRITTEN: LazyLock<Written> = LazyLock::new(written);

fn engine() -> Engine {
    Engine::new(crate::journal::SEED)
}

/// Steps over `batch` and compares what came out with what the reference run gave for the same records.
fn step(engine: &mut Engine, from: usize, batch: &[Record], what: &str) {
    let mut effects = Effects::default();
    engine.step(batch, &mut effects);
    let expected = WRITTEN.effects_of(from..from + batch.len());
    let found = effect_bytes(&effects);
    if let Some(at) = found.iter().zip(expected).position(|(a, b)| a != b) {
        panic!("{what}: effects of records {from}..{} differ at byte {at}", from + batch.len());
    }
    assert_eq!(found.len(), expected.len(), "{what}: effects of records {from}..{}", from + batch.len());
}

/// The state must be the reference's; says which page is not.
fn same_state(engine: &mut Engine, expected: &Checkpoint, what: &str) {
    let found = engine.checkpoint();
    let difference = found.first_difference(expected);
    assert_eq!(difference, None, "{what}: this page of the state differs");
    assert_eq!(found.digest(), expected.digest(), "{what}");
}

#[test]
fn the_journal_holds_what_the_laws_must_bear() {
    let mut counts = std::collections::BTreeMap::new();
    let mut count = |what| *counts.entry(what).or_insert(0_usize) += 1;
    for record in &WRITTEN.records {
        if !record.decoded.rejects.is_empty() {
            count("bad bodies");
        }
        match record.decoded.payload.kind {
            Kind::Telemetry { clock: faultline_model::Clock::Import, .. } => count("imported"),
            Kind::Telemetry { .. } => count("live"),
            Kind::Control(_) => count("controls"),
            Kind::Reply(_) => count("replies"),
            Kind::Tick => count("ticks"),
        }
    }
    for decision in WRITTEN.decisions() {
        count(match decision {
            Decision::Alert(t) if t.to == AlertState::Firing => "fired",
            Decision::Alert(t) if t.to == AlertState::Ok => "resolved",
            Decision::Alert(_) => "other transitions",
            Decision::Anomaly(_) => "anomalies",
            Decision::Incident(_) => "incident updates",
            Decision::Verdict(_) => "verdicts",
            Decision::Rules(rules) if rules.unknown_count > 0 => "rules in force, some unknown",
            Decision::Rules(_) => "rules in force",
            Decision::RulesRefused(_) => "rules refused",
            Decision::Setting(_) => "settings",
            Decision::Change(_) => "changes",
            Decision::Asked(_) => "asked",
            Decision::Quarantined(_) => "quarantined",
            Decision::Anchor(_) => "anchors",
            Decision::Revision(_) => "revisions",
            Decision::Unrevised(_) => "unrevised",
            Decision::Feedback(_) => "feedback",
            Decision::Learned(_) => "learned",
        });
    }
    println!("{} events in {} records: {counts:?}", WRITTEN.events(), WRITTEN.records.len());
    assert!(WRITTEN.records.len() >= 2_000, "{}", WRITTEN.records.len());
    let needed = [
        ("imported", 100),
        ("live", 1_000),
        ("controls", 8),
        ("replies", 3),
        ("ticks", 20),
        ("bad bodies", 20),
        ("fired", 10),
        ("resolved", 5),
        ("anomalies", 3),
        ("incident updates", 3),
        ("verdicts", 2),
        ("rules in force", 2),
        ("rules in force, some unknown", 1),
        ("rules refused", 1),
        ("settings", 1),
        ("changes", 1),
        ("feedback", 1),
        ("learned", 1),
        ("anchors", 2),
    ];
    for (what, least) in needed {
        assert!(counts.get(what).is_some_and(|&count| count >= least), "{what}: {counts:?}");
    }
}

#[test]
fn batches_change_nothing() {
    // The reference itself took batches of one.
    for size in [7, 64, 10_000, usize::MAX] {
        let mut engine = engine();
        let what = format!("batches of {size}");
        let mut from = 0;
        for batch in WRITTEN.records.chunks(size.min(WRITTEN.records.len())) {
            step(&mut engine, from, batch, &what);
            from += batch.len();
        }
        same_state(&mut engine, &WRITTEN.last_state, &what);
    }
}

#[test]
fn decoding_on_more_threads_changes_nothing() {
    let payloads: Vec<_> = WRITTEN.records.iter().map(|record| record.decoded.payload.clone()).collect();
    for threads in [1, 2, 4] {
        let share = payloads.len().div_ceil(threads);
        let decoded: Vec<Decoded> = thread::scope(|scope| {
            let running: Vec<_> = payloads
                .chunks(share)
                .map(|chunk| {
                    let decode_chunk = || chunk.iter().map(|payload| decode(payload.clone(), crate::journal::SEED));
                    scope.spawn(move || decode_chunk().collect::<Vec<_>>())
                })
                .collect();
            running.into_iter().flat_map(|thread| thread.join().expect("decoding is total")).collect()
        });
        for (record, decoded) in WRITTEN.records.iter().zip(&decoded) {
            assert!(record.decoded == *decoded, "record {} on {threads} threads", record.at);
        }
    }
}

/// A process that restarts from its checkpoint every few records, on and on, against one that never does.
#[test]
fn restarts_change_nothing() {
    let mut engine = engine();
    for (number, batch) in WRITTEN.records.chunks(RESTART_EVERY).enumerate() {
        let from = number * RESTART_EVERY;
        let what = format!("restored before record {from}");
        step(&mut engine, from, batch, &what);
        let checkpoint = engine.checkpoint();
        engine = Engine::restore(checkpoint.clone()).expect("just written");
        same_state(&mut engine, &checkpoint, &format!("restored after record {}", from + batch.len()));
    }
    same_state(&mut engine, &WRITTEN.last_state, "restarted on and on");
}

/// What comes in slices while records go on is the state when it was asked for.
#[test]
fn a_state_is_written_while_records_go_on() {
    let (mut engine, mut random) = (engine(), Random::seeded(3));
    let (mut kept, mut wanted) = (std::collections::BTreeMap::new(), None);
    let mut since = None;
    for (number, record) in WRITTEN.records.iter().enumerate() {
        step(&mut engine, number, std::slice::from_ref(record), "written in slices");
        if engine.frozen() == Some(record.at) {
            wanted = Some(engine.checkpoint());
        }
        let Some(slice) = engine.write_frozen(random.below(60_000) as usize) else { continue };
        kept.extend(slice.pages.into_iter().map(|page| (page.name.clone(), page)));
        let Some(layout) = slice.layout else { continue };
        let wanted = wanted.take().expect("it was frozen");
        let pages: Vec<_> = layout.names().map(|name| kept[&name].clone()).collect();
        let found = Checkpoint { pages, ..wanted.clone() };
        assert_eq!(found.first_difference(&wanted), None, "after record {}", slice.at);
        assert_eq!(layout.since, since);
        since = Some(slice.at);
    }
    assert!(WRITTEN.decisions().filter(|it| matches!(it, Decision::Anchor(_))).count() > 2);
}

/// One restart, then no more: what a chain of restarts could hide by making each engine forget the same.
#[test]
fn a_checkpoint_anywhere_and_the_rest_is_the_whole() {
    let records = &WRITTEN.records;
    let places: Vec<usize> = (1..4).map(|i| records.len() * i / 4 + i).collect();
    let mut whole = engine();
    for (at, record) in records.iter().enumerate() {
        if places.contains(&at) {
            let mut restored = Engine::restore(whole.checkpoint()).expect("just written");
            let what = format!("checkpoint before record {at}");
            let mut from = at;
            for batch in records[at..].chunks(64) {
                step(&mut restored, from, batch, &what);
                from += batch.len();
            }
            same_state(&mut restored, &WRITTEN.last_state, &what);
        }
        step(&mut whole, at, std::slice::from_ref(record), "taking checkpoints");
    }
    same_state(&mut whole, &WRITTEN.last_state, "taking checkpoints");
}

/// Writes the records to segments with their leaves, reads them back, decodes and steps again. Leaves about full segments
/// stand among them wherever the hashing left them.
#[test]
fn a_replay_is_the_run() {
    let disk = Arc::new(MemoryDisk::new(1 << 30));
    let folder = DataFolder::open(disk, Path::new("data"), [7; 16]).expect("a new folder");
    let clock = Arc::new(ManualClock::default());
    let settings = Settings { segment_size: 512 << 10, limit: 512 << 20 };
    let (mut journal, _) = SegmentJournal::open(&folder, settings, clock.clone(), None).expect("a new journal");
    let (mut engine, mut random, mut sealed) = (engine(), Random::seeded(5), 0);
    let sealer = journal.sealer();
    let mut seal = |journal: &mut SegmentJournal| {
        let leaf = |sealed| LedgerEntry::sealed(1, sealed).leaf_bytes().into();
        while sealer.seal(Duration::ZERO).expect("the disk is well") {}
        let leaves: Vec<_> = journal.sealed().into_iter().map(leaf).collect();
        journal.append_leaves(&leaves).expect("there is room");
        sealed += leaves.len() as u64;
    };
    let instants = WRITTEN.records.chunk_by(|a, b| a.stamp.millis() == b.stamp.millis());
    for group in instants.flat_map(|instant| instant.chunks(20)) {
        clock.set(group[0].stamp.millis());
        let decoded = group.iter().map(|record| record.decoded.clone()).collect();
        let records = journal.append(decoded).expect("there is room");
        assert!(records == group, "the journal stamps {} otherwise", group[0].at);
        let mut effects = Effects::default();
        engine.step(&records, &mut effects);
        journal.append_leaves(&leaves_of(ENGINE_VERSION, &effects)).expect("there is room");
        if random.below(20) == 0 {
            seal(&mut journal);
        }
    }
    seal(&mut journal);
    journal.close().expect("the disk is well");

    struct Compare(usize);
    impl Watch for Compare {
        fn stepped(&mut self, record: &Record, effects: Effects) {
            assert!(*record == WRITTEN.records[self.0], "record {} reads back otherwise", record.at);
            let expected = WRITTEN.effects_of(self.0..self.0 + 1);
            assert!(effect_bytes(&effects) == expected, "effects of record {} differ in the replay", record.at);
            self.0 += 1;
        }
        fn leaves(&mut self, _: u64, _: &[Box<[u8]>]) {}
    }
    let Inspection { recovered, segments, .. } = SegmentJournal::inspect(&folder, None).expect("it was closed cleanly");
    assert!(recovered.clean && recovered.torn.is_none());
    let reader = || segments.reader();
    let origin = Origin::oldest(&folder, &reader);
    let mut replay = Replay::new(&origin).expect("it begins with its genesis");
    let mut compare = Compare(0);
    replay.run(&origin, &mut compare).expect("the leaves in the journal are those decided now");
    assert_eq!((compare.0, replay.missing.len()), (WRITTEN.records.len(), 0));
    assert!(sealed > 3, "{sealed}");
    assert_eq!((replay.leaves, replay.sealed), (WRITTEN.decisions().count() as u64 + sealed, sealed));
    same_state(&mut replay.engine, &WRITTEN.last_state, "replayed from segments");
}

/// The digests along the journal, as they were when the golden file was written: other profiles, compilers and machines
/// must find the same, and of a longer journal they are printed. Rewrite after a wanted change of behaviour: `UPDATE=1 cargo test -p faultline --test it laws`.
#[test]
fn every_build_gives_the_same_digests() {
    let mut found = String::from("# after this many records: digest of all effects so far, digest of the state\n");
    let (mut engine, mut from, mut so_far) = (engine(), 0, Digest::default());
    for batch in WRITTEN.records.chunks(GOLDEN_EVERY) {
        step(&mut engine, from, batch, "for the golden file");
        so_far = Digest::of_parts(&[&so_far.0, WRITTEN.effects_of(from..from + batch.len())]);
        from += batch.len();
        let state = engine.checkpoint().digest();
        found.push_str(&format!("{from:>6} effects {} state {}\n", so_far.hex(), state.hex()));
    }
    if let Some(wanted) = events_wanted() {
        // For another run, of another build, to be compared with.
        let last = found.lines().last().unwrap_or_default();
        println!("{wanted} events wanted, {} found: {last}", WRITTEN.events());
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/laws.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &found).expect("the folder is there");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(found.lines()).find(|(a, b)| a != b);
    assert_eq!(
        differs, None,
        "golden against found; if the change is wanted: UPDATE=1 cargo test -p faultline --test it laws"
    );
    assert_eq!(golden.lines().count(), found.lines().count());
}

/// A meta-test: the journal itself is the same each time it is made, and some record is late enough to be refused.
#[test]
fn the_journal_is_made_the_same_again() {
    let again = written();
    assert!(again.records == WRITTEN.records && again.last_state == WRITTEN.last_state);
    assert!(WRITTEN.records.last().is_some_and(|record| record.stamp.millis() > Millis(0)));
}
