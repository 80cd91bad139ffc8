//! A full journal finds room again: the digest of a state, and its anchor, still fit.
use crate::node::{Ended, Node, SEED};
use crate::sender::Sender;
use faultline::config::Config;
use faultline::run::start;
use faultline::verify::check;
use faultline::world::control;
use faultline_formats::Decoded;
use faultline_host::{Disk, MemoryDisk};
use faultline_ledger::Signer;
use faultline_model::{Canonical, Control, Setting};
use faultline_storage::Settings;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SETTINGS: Settings = Settings { segment_size: 32 << 10, limit: 512 << 10 };

/// A node and who sends to it.
struct Full {
    disk: Arc<dyn Disk>,
    node: Node,
    sender: Sender,
}

fn open(disk: &Arc<dyn Disk>, sender: &Sender) -> Result<Node, Ended> {
    let signer = |_: &_| Signer::new("faultline/room", &[5; 32]).expect("a good name");
    Node::open(disk, Path::new("data"), SETTINGS, signer, &sender.clock)
}

impl Full {
    /// - `anchor_bytes`: after so many bytes of bodies a state is asked for.
    fn new(anchor_bytes: &str) -> Full {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(16 << 20));
        let sender = Sender::new(1);
        let node = open(&disk, &sender).expect("an empty disk");
        let setting = Setting { name: "anchor.bytes".into(), value: anchor_bytes.into() };
        let mut full = Full { disk, node, sender };
        assert!(full.turn(vec![control(Control::Setting, setting.to_bytes(), SEED)]));
        full
    }

    /// Another process on the same disk.
    fn restart(self) -> Full {
        let Full { disk, node, sender } = self;
        drop(node);
        let node = open(&disk, &sender).expect("a full journal is no reason not to start");
        Full { disk, node, sender }
    }

    /// A turn over a group; whether it was taken.
    fn turn(&mut self, group: Vec<Decoded>) -> bool {
        let (answers, result) = self.node.turn(group, || {});
        result.expect("a full journal ends nothing");
        answers.iter().all(Option::is_some)
    }

    fn turn_once(&mut self) -> bool {
        let group = self.sender.group();
        self.turn(group)
    }

    /// Sends until a group is refused. Nobody keeps states meanwhile.
    fn fill(&mut self) {
        let mut groups = 0;
        while self.turn_once() {
            self.node.tiles().expect("the disk is well");
            groups += 1;
            assert!(groups < 10_000, "it fills");
        }
        assert!(groups > 100);
    }
}

/// The one state that was asked for is lost with a kill: the next process finds room nevertheless.
#[test]
fn a_full_journal_finds_room_after_a_restart() {
    let mut full = Full::new("10000000");
    full.fill();
    let mut full = full.restart();
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..100 {
        if full.turn_once() {
            taken += 1;
        } else {
            refused += 1;
            assert_eq!(taken, 0, "once there is room there is");
        }
        full.node.chores(true, true).expect("the disk is well");
    }
    assert!(taken > 50 && refused > 0, "{taken} taken after {refused} refused");
}

/// Nobody keeps the first state until the journal is full.
#[test]
fn a_full_journal_finds_room_with_the_first_anchor() {
    let mut full = Full::new("300000");
    full.fill();
    // The answer comes beside what a full journal refuses; after the anchor's leaf there is room.
    full.node.chores(true, true).expect("the disk is well");
    assert!(!full.turn_once(), "there is no room yet");
    full.node.chores(true, true).expect("the disk is well");
    assert!(!full.turn_once(), "the journal is told after this turn");
    full.node.chores(true, true).expect("the disk is well");
    let mut taken = 0;
    for _ in 0..50 {
        taken += u32::from(full.turn_once());
        full.node.chores(true, true).expect("the disk is well");
    }
    assert!(taken > 40, "{taken} groups of 50 found room");
}

/// States are asked for and cannot be kept, until none is on its way any more and nothing more fits: the loop itself asks for
/// another.
#[test]
fn a_full_journal_finds_room_without_a_state_on_its_way() {
    let mut full = Full::new("150000");
    let mut groups = 0;
    while full.turn_once() {
        full.node.lose_states();
        full.node.tiles().expect("the disk is well");
        groups += 1;
        assert!(groups < 10_000, "it fills");
    }
    full.node.lose_states();
    let mut taken = 0;
    for _ in 0..100 {
        taken += u32::from(full.turn_once());
        full.node.chores(true, true).expect("the disk is well");
    }
    assert!(taken > 50, "{taken} groups of 100 found room");
}

/// A state of many slices, begun when nothing fits any more: its pages come nevertheless, and room with its anchor.
#[test]
fn a_full_journal_finds_room_with_a_large_state() {
    let mut full = Full::new("10000000");
    for hundred in 0..40 {
        let body = full.sender.wide(hundred * 100..hundred * 100 + 100);
        assert!(full.turn(vec![body]));
        full.node.tiles().expect("the disk is well");
    }
    full.fill();
    let mut taken = 0;
    for _ in 0..200 {
        taken += u32::from(full.turn_once());
        full.node.chores(true, true).expect("the disk is well");
    }
    assert!(taken > 100, "{taken} groups of 200 found room");
}

/// `faultline checkpoint`, the program, against a server: the file is there, and a start begins with it.
#[test]
fn a_checkpoint_is_kept_on_demand() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = temporary.path().join("data");
    let server = start(&Config::on_free_ports(data.clone())).expect("free ports and a new folder");
    let url = format!("http://{}", server.addresses.http);
    let said = Command::new(env!("CARGO_BIN_EXE_faultline")).args(["checkpoint", "--url", &url, "-o", "json"]).output();
    let said = said.expect("the binary was built");
    assert!(said.status.success(), "{said:?}");
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    for stage in ["step", "pages", "turn", "flush"] {
        let counted = counted(server.addresses.http, stage);
        assert!(counted.is_some_and(|count| count > 0), "{stage}: {counted:?}");
    }
    server.stop().expect("a clean end");
    let report = check(&data);
    assert!(report.ok && report.anchors == 1, "{report:?}");
    let offset: u64 = said["position"].as_str().and_then(|at| at.strip_prefix("0/")?.parse().ok()).expect("a position");
    assert!(data.join(format!("checkpoints/checkpoint-{offset:016x}")).exists(), "{said}");
    start(&Config::on_free_ports(data)).expect("the state is taken up").stop().expect("a clean end");
}

/// How many durations of a stage `/metrics` tells of.
fn counted(server: SocketAddr, stage: &str) -> Option<u64> {
    // The view behind the page is made once a second.
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let mut stream = TcpStream::connect(server).expect("it listens");
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n").expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("text");
        let name = format!("faultline_stage_seconds_count{{stage=\"{stage}\"}} ");
        let count = page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
        if count.is_some_and(|count| count > 0) || Instant::now() > until {
            return count;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
