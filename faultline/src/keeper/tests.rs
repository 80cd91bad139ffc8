//! Tests of the keeper of checkpoints.
use super::*;
use crate::start::state;
use crate::world::{control, own};
use faultline_engine::{Checkpoint, Effects, Engine};
use faultline_formats::encode::write_request;
use faultline_formats::{Record, decode};
use faultline_host::{Disk, MemoryDisk};
use faultline_model::{
    Clock, Control, Encoding, Format, HashSeed, Hlc, Kind, Labels, Millis, Payload, Sample, SourceId, TenantId,
};
use faultline_storage::DataFolder;
use std::path::Path;

/// An engine, and whoever keeps its states, on a disk that forgets.
struct Node {
    engine: Engine,
    keeper: Keeper,
    folder: DataFolder,
    disk: MemoryDisk,
    stamp: Hlc,
    offset: u64,
}

impl Node {
    fn new() -> Node {
        let disk = MemoryDisk::new(16 << 20);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let folder = DataFolder::open(shared, Path::new("data"), [7; 16]).expect("a new folder");
        let keeper = Keeper::new(CheckpointStore::open(&folder).expect("a new store")).expect("it is empty");
        Node { engine: Engine::new(HashSeed(7)), keeper, folder, disk, stamp: Hlc::default(), offset: 0 }
    }

    /// A sample of each of these series, at a minute; the work that comes of it.
    fn send(&mut self, minute: i64, series: std::ops::Range<usize>) -> Option<Keep> {
        let at = Millis(1_700_000_000_000).plus(minute * 60_000);
        self.stamp = self.stamp.next(at);
        self.offset += 1;
        let sets: Vec<(Labels, Vec<Sample>)> = series
            .map(|i| (Labels::new([("__name__", "m"), ("i", &i.to_string())]), vec![Sample::new(at, minute as f64)]))
            .collect();
        let body = write_request(sets.iter().map(|(labels, samples)| (labels, &samples[..])));
        let (format, encoding, clock) = (Format::RemoteWrite1, Encoding::Identity, Clock::Live);
        let kind = Kind::Telemetry { source: SourceId([1; 16]), format, encoding, clock };
        self.step(decode(Payload { tenant: TenantId(0), kind, body: body.into() }, HashSeed(7)))
    }

    fn step(&mut self, decoded: faultline_formats::Decoded) -> Option<Keep> {
        let at = Position { partition: 0, offset: self.offset };
        self.offset += 1;
        let mut effects = Effects::default();
        self.engine.step(&[Record { at, stamp: self.stamp, decoded }], &mut effects);
        effects.list.into_iter().find_map(|effect| match effect {
            faultline_engine::Effect::Ask(ask, faultline_engine::Ask::Hash(at)) => {
                Some(Keep::Begun { ask, at, leaves: 5 })
            }
            faultline_engine::Effect::Decided(_, faultline_model::facts::Decision::Anchor(anchor)) => {
                Some(Keep::Anchored { at: anchor.position, leaves: 6 })
            }
            _ => None,
        })
    }

    /// Takes an anchor from asked to named; the state that it is of, how many pages came, and what was done last.
    fn anchor(&mut self, asked: Option<Keep>) -> (Checkpoint, usize, Vec<Done>) {
        let expected = self.engine.checkpoint();
        let mut done = self.keeper.take(asked.expect("it was due"), false);
        let mut came = 0;
        while let Some(slice) = self.engine.write_frozen(1_000) {
            came += slice.pages.len();
            done.extend(self.keeper.take(Keep::Slice(slice), false));
        }
        let [Done::Answer(ask, ref state), ref rest @ ..] = done[..] else { panic!("{done:?}") };
        let anchored = self.step(own(Kind::Reply(ask), state.to_bytes(), HashSeed(7)));
        assert_eq!(anchored.is_some(), *state == Some(expected.digest()));
        let rest = rest.to_vec();
        let done = anchored.map_or(rest, |anchored| self.keeper.take(anchored, true));
        if done.contains(&Done::Lost) {
            self.engine.taint();
        }
        (expected, came, done)
    }

    fn newest(&self) -> Checkpoint {
        let store = CheckpointStore::inspect(&self.folder);
        let offsets = store.offsets().expect("it reads");
        let stored = store.read(*offsets.last().expect("there is one")).expect("it reads");
        stored.and_then(|stored| state(&stored)).expect("it is whole")
    }
}

#[test]
fn pages_that_have_not_changed_are_copied() {
    let mut node = Node::new();
    let first = node.send(0, 0..1_000);
    let (expected, came, done) = node.anchor(first);
    assert_eq!((came, done), (expected.pages.len(), vec![]));
    assert_eq!(node.newest(), expected);
    let second = node.send(5, 70..71);
    let (expected, came, done) = node.anchor(second);
    // The parts, the bodies seen, the source, and the one page.
    assert_eq!((came, expected.pages.len()), (7 + 1 + 1 + 1, 7 + 1 + 1 + 16));
    assert!(matches!(done[..], [Done::Trim(_)]));
    assert_eq!(node.newest(), expected);
    assert_eq!(Engine::restore(node.newest()).expect("it is whole").checkpoint(), expected);
}

#[test]
fn an_anchor_comes_when_it_is_wanted() {
    let mut node = Node::new();
    let first = node.send(0, 0..10);
    node.anchor(first);
    assert!(node.send(1, 0..10).is_none(), "none is due");
    let wanted = || control(Control::Anchor, Vec::new(), HashSeed(7));
    let asked = node.step(wanted());
    let (expected, _, done) = node.anchor(asked);
    assert!(matches!(done[..], [Done::Trim(_)]));
    assert_eq!(node.newest(), expected);
    assert!(node.step(wanted()).is_some());
    assert!(node.step(wanted()).is_none(), "one at a time");
}

#[test]
fn a_state_that_is_lost_is_followed_by_a_whole_one() {
    let mut node = Node::new();
    let first = node.send(0, 0..1_000);
    let (kept, ..) = node.anchor(first);
    // A full disk.
    node.disk.set_capacity(node.disk.used() + 1_000);
    let second = node.send(5, 0..500);
    let (_, _, done) = node.anchor(second);
    assert_eq!((done, node.newest()), (vec![Done::Lost], kept.clone()));
    // The engine was made again amid the writing.
    node.disk.set_capacity(16 << 20);
    let third = node.send(10, 0..500).expect("it was due");
    let Keep::Begun { ask, at, .. } = third else { panic!("{third:?}") };
    assert_eq!(node.keeper.take(third, false), []);
    let slice = node.engine.write_frozen(1_000).expect("it is frozen");
    assert_eq!(node.keeper.take(Keep::Slice(slice), false), []);
    assert_eq!(node.keeper.take(Keep::Lost(at), false), [Done::Answer(ask, None), Done::Lost]);
    node.engine.thaw();
    node.engine.taint();
    assert!(node.step(own(Kind::Reply(ask), None::<Digest>.to_bytes(), HashSeed(7))).is_none());
    let fourth = node.send(15, 3..4);
    let (expected, came, done) = node.anchor(fourth);
    assert_eq!((came, done), (expected.pages.len(), vec![Done::Trim(kept.position.expect("a record"))]));
    assert_eq!(node.newest(), expected);
}

#[test]
fn pages_of_another_state_are_not_copied() {
    let mut node = Node::new();
    let first = node.send(0, 0..1_000);
    node.anchor(first);
    // A state that nobody kept, and a keeper that has not heard of it.
    let second = node.send(5, 0..500).expect("it was due");
    let Keep::Begun { ask, .. } = second else { panic!("{second:?}") };
    while node.engine.write_frozen(1_000).is_some() {}
    node.step(own(Kind::Reply(ask), None::<Digest>.to_bytes(), HashSeed(7)));
    let third = node.send(10, 900..901);
    let (_, _, done) = node.anchor(third);
    assert_eq!(done, [Done::Lost]);
}
