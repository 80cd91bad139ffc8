//! Records on which the engine breaks: each is passed over, nothing else is lost or happens twice, and whoever replays agrees.
//!
//! The engine of test builds has a planted assertion, which breaks after everything else of the record was done.
use crate::crash::{Life, policy};
use crate::node::{Node, SEED};
use crate::sender::{MARK, Sender};
use faultline::config::Config;
use faultline::quarantine::TOO_MANY;
use faultline::replayed::{Mode, Replay, Watch};
use faultline::run::start;
use faultline::start::Origin;
use faultline::verify;
use faultline::world::{control, leaves_of, own};
use faultline_engine::{Ask, ENGINE_VERSION, Effects, Engine};
use faultline_formats::{Decoded, Reason, Record};
use faultline_host::{CrashPolicy, Journal, MemoryDisk};
use faultline_model::facts::Evidence;
use faultline_model::{Canonical, Control, EffectId, Genesis, Kind, Millis, Position, RuleFiles};
use faultline_storage::{DataFolder, SegmentJournal, Settings};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A life with rules, alerts and a checkpoint or two behind it.
fn lived(seed: u64) -> Life {
    let mut life = Life::new(seed);
    let mut node = life.open().expect("the disk is well");
    life.run(&mut node, 60, |_| {}).expect("the disk is well");
    drop(node);
    life.memory.crash(CrashPolicy::KeepAll);
    life
}

/// A group of `size` bodies, of which those at `broken` break the engine.
fn group(life: &mut Life, size: usize, broken: &[usize]) -> Vec<Decoded> {
    let mut body = |place| if broken.contains(&place) { life.sender.breaking() } else { life.sender.body() };
    (0..size).map(&mut body).collect()
}

/// One group with broken records at these places, then others, a crash, and a start.
fn check(size: usize, broken: &[usize]) {
    let what = format!("{broken:?} of {size}");
    let mut life = lived(7);
    let mut node = life.open().expect("the disk is well");
    let (answers, result) = node.turn(group(&mut life, size, broken), || {});
    result.unwrap_or_else(|error| panic!("{what}: {error}"));
    let refused: Vec<usize> = (0..answers.len())
        .filter(|&place| {
            let rejects = &answers[place].as_ref().expect("everyone is answered").rejects;
            rejects.iter().any(|reject| reject.reason == Reason::Quarantined && reject.detail.contains("planted"))
        })
        .collect();
    assert_eq!(refused, broken, "{what}: who is told");
    node.deliver(&mut life.delivered).expect("the disk is well");
    node.chores(true, false).expect("the disk is well");
    life.check(&mut node).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(life.broken.len(), broken.len());
    life.run(&mut node, 20, |_| {}).expect("the disk is well");
    drop(node);
    life.memory.crash(CrashPolicy::LoseAll);
    let mut node = life.open().unwrap_or_else(|error| panic!("{what}, again: {error}"));
    life.check(&mut node).unwrap_or_else(|why| panic!("{what}, again: {why}"));
}

#[test]
fn a_broken_record_is_passed_over_wherever_it_stands_in_its_group() {
    for broken in [&[0][..], &[2], &[4], &[1, 3], &[0, 1], &[3, 4], &[0, 1, 2, 3, 4]] {
        check(5, broken);
    }
    check(1, &[0]);
}

/// Answers `ask` with what breaks the engine.
fn break_answer(node: &mut Node, ask: EffectId) {
    let (answers, result) = node.turn(vec![own(Kind::Reply(ask), MARK.into(), SEED)], || {});
    result.expect("the engine is made again");
    let rejects = &answers[0].as_ref().expect("it is answered").rejects;
    assert!(rejects.iter().any(|reject| reject.reason == Reason::Quarantined), "{rejects:?}");
}

/// An answer that breaks the engine is one: its incident is asked about again, and the next state gets its anchor.
#[test]
fn a_broken_answer_holds_up_neither_incident_nor_anchor() {
    let mut life = Life::new(11);
    let mut node = life.open().expect("the disk is well");
    let mut broken = Vec::new();
    let (mut again, mut states, mut anchors) = (0, 0, 0);
    for _ in 0..300 {
        let (_, result) = node.turn(life.sender.group(), || {});
        result.expect("the disk is well");
        let explain = |(id, ask)| match ask {
            Ask::Explain(evidence) => Some((id, *evidence)),
            Ask::Hash(_) | Ask::Learn(_) | Ask::Recall(_) | Ask::Revise(_) => None,
        };
        let asked: Vec<(EffectId, Evidence)> = node.world.engine.unanswered().filter_map(explain).collect();
        for (id, evidence) in asked {
            if evidence.revision > 1 {
                again += u64::from(broken.contains(&evidence.incident));
            } else if broken.len() < 10 {
                break_answer(&mut node, id);
                assert!(node.world.engine.unanswered().all(|(other, _)| other != id), "{id} waits for ever");
                broken.push(evidence.incident);
            }
        }
        if states < 2
            && let Some(ask) = node.state_asked()
        {
            break_answer(&mut node, ask);
            assert!(!node.world.engine.awaits_digest(), "no anchor comes any more");
            states += 1;
        }
        node.chores(true, false).expect("the disk is well");
        anchors = life.memory.files().iter().filter(|file| file.starts_with("data/checkpoints")).count();
    }
    assert!(again > 0 && states == 2 && anchors > 0, "{again}, {states}, {anchors}");
    life.check(&mut node).expect("who replays agrees");
    drop(node);
    life.memory.crash(CrashPolicy::LoseAll);
    let mut node = life.open().expect("a start");
    life.check(&mut node).expect("a start agrees");
}

/// The disk stops at each of its operations from before the group up to after the next ones.
#[test]
fn a_crash_anywhere_around_it_loses_nothing() {
    let mut ran = 0;
    for seed in 0..3 {
        for operations in 0..40 {
            let what = format!("seed {seed}, operation {operations}");
            let mut life = lived(seed);
            let mut node = life.open().expect("the disk is well");
            life.sender.broken = 2;
            life.memory.stop_at(life.memory.operations() + operations);
            let result = life.run(&mut node, 6, |_| {});
            ran += u64::from(result.is_ok());
            drop(node);
            let policy = policy(&mut life.sender.random);
            life.memory.crash(policy);
            // Once more amid the start that finds the broken record again.
            life.memory.stop_at(life.memory.operations() + operations % 9);
            drop(life.open());
            life.memory.crash(policy);
            life.memory.stop_at(u64::MAX);
            let mut node = life.open().unwrap_or_else(|error| panic!("{what}: {error}"));
            life.check(&mut node).unwrap_or_else(|why| panic!("{what}: {why}"));
        }
    }
    assert!(ran < 100, "{ran} of 120 saw no crash");
}

#[test]
fn too_many_in_a_row_end_the_process_with_what_to_do() {
    let mut life = lived(3);
    let mut node = life.open().expect("the disk is well");
    let all: Vec<usize> = (0..TOO_MANY).collect();
    let (_, result) = node.turn(group(&mut life, TOO_MANY, &all), || {});
    let said = faultline::render::chain(&*result.expect_err("it ends"));
    assert!(said.contains("this build is at fault") && said.contains("planted in record"), "{said}");
    drop(node);
    life.memory.crash(CrashPolicy::KeepAll);
    let said = life.open().err().expect("this build does not start either").to_string();
    assert!(said.contains("this build is at fault"), "{said}");
}

/// Watches nothing.
struct Nobody;

impl Watch for Nobody {
    fn stepped(&mut self, _: &Record, _: Effects) {}
    fn leaves(&mut self, _: u64, _: &[Box<[u8]>]) {}
}

/// A journal of a build that broke on a record on which this one does not.
#[test]
fn the_ledgers_list_rules() {
    let folder = DataFolder::open(Arc::new(MemoryDisk::new(64 << 20)), Path::new("data"), [7; 16]).expect("new");
    let mut sender = Sender::new(5);
    let settings = Settings { segment_size: 1 << 20, limit: 16 << 20 };
    let (mut journal, _) = SegmentJournal::open(&folder, settings, sender.clock.clone(), None).expect("new");
    let genesis = Genesis { format: 1, journal: folder.journal_id(), seed: SEED, created: Millis(0) };
    let mut group = vec![control(Control::Genesis, genesis.to_bytes(), SEED)];
    group.extend((0..30).map(|_| sender.change(Millis(1_700_000_000_000))));
    let records = journal.append(group).expect("there is room");
    let (mut engine, mut effects) = (Engine::new(SEED), Effects::default());
    for record in &records {
        match record.at.offset {
            7 | 30 => engine.quarantine(record, "another build", &mut effects),
            _ => engine.step(std::slice::from_ref(record), &mut effects),
        }
    }
    journal.append_leaves(&leaves_of(ENGINE_VERSION, &effects)).expect("there is room");
    let reader = || journal.reader();
    let origin = Origin::oldest(&folder, &reader);
    let listed = [7, 30].map(|offset| (Position { partition: 0, offset }, "another build".to_string()));
    for mode in [Mode::Checked, Mode::Records, Mode::Under(RuleFiles::default())] {
        let mut replay = Replay::of(&origin, mode.clone()).expect("it begins with its genesis");
        replay.run(&origin, &mut Nobody).expect("the leaves are those decided now");
        assert_eq!((&replay.quarantined[..], replay.missing.len()), (&listed[..], 0), "{mode:?}");
        assert_eq!(replay.engine.checkpoint(), engine.checkpoint(), "{mode:?}");
    }
}

/// Status and answer of a request, as text.
fn ask(to: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).expect("it listens");
    let size = body.len();
    let head = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\ncontent-length: {size}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).expect("it reads");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

/// Asks until the answer holds all of these: readers see what was decided after its senders are answered.
fn told(to: SocketAddr, path: &str, words: &[&str]) {
    let mut said = String::new();
    for _ in 0..500 {
        said = ask(to, &format!("GET {path}"), b"");
        if words.iter().all(|word| said.contains(word)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{path} does not tell {words:?}: {said}");
}

#[test]
fn a_server_goes_on_says_so_and_verifies() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let config = Config::on_free_ports(temporary.path().join("data"));
    let mut life = Life::new(1);
    let (good, broken) = (life.sender.body(), life.sender.breaking());
    let server = start(&config).expect("free ports and a new folder");
    let http = server.addresses.http;
    let send = |body: &Decoded| ask(server.addresses.otlp_http, "POST /v1/metrics", &body.payload.body);
    // The first live record sets an anchor; behind its checkpoint a start reads the list.
    let said = send(&good);
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    let said = send(&broken);
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("planted in record"), "{said}");
    told(http, "/api/faultline/v1/rejects", &["quarantined", "body_start_hex"]);
    told(http, "/metrics", &["faultline_quarantined_records 1\n"]);
    server.stop().expect("a clean end");
    let report = verify::check(&config.data);
    assert!(report.ok && report.quarantined.len() == 1, "{report:?}");
    assert!(report.quarantined[0].contains("planted in record"), "{report:?}");
    let server = start(&config).expect("the list is read");
    told(server.addresses.http, "/api/faultline/v1/status", &["planted in record"]);
    server.stop().expect("a clean end");
    assert!(verify::check(&config.data).ok);
}
