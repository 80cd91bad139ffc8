//! A full journal finds room again: the digest of a state, and its anchor, still fit.
use crate::node::{Node, SEED};
use crate::sender::Sender;
use faultline::world::control;
use faultline_formats::Decoded;
use faultline_host::{Disk, MemoryDisk};
use faultline_ledger::Signer;
use faultline_model::{Canonical, Control, Setting};
use faultline_storage::Settings;
use std::path::Path;
use std::sync::Arc;

const SETTINGS: Settings = Settings { segment_size: 32 << 10, limit: 512 << 10 };

/// Nobody keeps the first state until the journal is full.
#[test]
fn a_full_journal_finds_room_with_the_first_anchor() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(16 << 20));
    let signer = |_: &_| Signer::new("faultline/room", &[5; 32]).expect("a good name");
    let mut sender = Sender::new(1);
    let mut node = Node::open(&disk, Path::new("data"), SETTINGS, signer, &sender.clock).expect("an empty disk");
    let setting = Setting { name: "anchor.bytes".into(), value: "300000".into() };
    let first = control(Control::Setting, setting.to_bytes(), SEED);
    let turn = |node: &mut Node, group: Vec<Decoded>| {
        let (answers, result) = node.turn(group, || {});
        result.expect("a full journal ends nothing");
        answers.iter().all(Option::is_some)
    };
    assert!(turn(&mut node, vec![first]));
    let mut groups = 0;
    while turn(&mut node, sender.group()) {
        node.tiles().expect("the disk is well");
        groups += 1;
        assert!(groups < 10_000, "it fills");
    }
    assert!(groups > 100);
    // The answer comes beside what a full journal refuses; after the anchor's leaf there is room.
    node.chores(true, true).expect("the disk is well");
    assert!(!turn(&mut node, sender.group()), "there is no room yet");
    node.chores(true, true).expect("the disk is well");
    assert!(!turn(&mut node, sender.group()), "the journal is told after this turn");
    node.chores(true, true).expect("the disk is well");
    let mut taken = 0;
    for _ in 0..50 {
        taken += u32::from(turn(&mut node, sender.group()));
        node.chores(true, true).expect("the disk is well");
    }
    assert!(taken > 40, "{taken} groups of 50 found room");
}
