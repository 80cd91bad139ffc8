//! A thousand power cuts: what was acknowledged is there, nothing happens twice, the state is that of a machine that
//! never failed; and with any one flush taken out this very check fails.
use crate::node::{Delivered, Ended, Node, SEED};
use crate::segments::{self, Segment};
use crate::sender::{MARK, Sender};
use faultline::quarantine::caught;
use faultline_engine::{ENGINE_VERSION, Effects, Engine};
use faultline_formats::{Record, decode};
use faultline_host::{CrashPolicy, Disk, Item, MemoryDisk, Random, Stored};
use faultline_ledger::{Fact, LedgerEntry, Signer, Tree, leaf_hash};
use faultline_model::facts::{Decision, Sealed};
use faultline_model::{Canonical, EffectId, Payload, Position};
use faultline_storage::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const CRASHES: u64 = 1_000;
/// Crashes on one disk, one after the other.
const CRASHES_OF_A_LIFE: u64 = 20;
const SETTINGS: Settings = Settings { segment_size: 32 << 10, limit: 2 << 20 };

/// One disk and everything that the world outside knows of it.
pub struct Life {
    pub memory: MemoryDisk,
    disk: Arc<dyn Disk>,
    pub sender: Sender,
    trims: bool,
    /// Bodies that were acknowledged, by position.
    acknowledged: BTreeMap<Position, Payload>,
    pub delivered: Delivered,
    /// Every record that was ever read back, as the one engine that never fails is fed with.
    known: Vec<Stored>,
    uncrashed: Engine,
    /// Records that break it.
    pub broken: Vec<Position>,
    /// Leaves that the uncrashed engine decided.
    decided: Vec<Box<[u8]>>,
    /// All leaves in the journal's order: those decided, and those about segments between them.
    leaves: Vec<Box<[u8]>>,
    /// What the latter state.
    sealed: Vec<Sealed>,
}

impl Life {
    pub fn new(seed: u64) -> Life {
        let memory = MemoryDisk::new(64 << 20);
        Life {
            disk: Arc::new(memory.clone()),
            memory,
            sender: Sender::new(seed),
            trims: seed % 2 == 1,
            acknowledged: BTreeMap::new(),
            delivered: Vec::new(),
            known: Vec::new(),
            uncrashed: Engine::new(SEED),
            broken: Vec::new(),
            decided: Vec::new(),
            leaves: Vec::new(),
            sealed: Vec::new(),
        }
    }

    pub fn open(&self) -> Result<Node, Ended> {
        let signer = |_: &_| Signer::new("faultline/crash", &[5; 32]).expect("a good name");
        Node::open(&self.disk, Path::new("data"), SETTINGS, signer, &self.sender.clock)
    }

    /// Turns until the disk stops, or `most` turns.
    pub fn run(&mut self, node: &mut Node, most: u64, mut before_flush: impl FnMut(u64)) -> Result<(), Ended> {
        for number in 0..most {
            let group = self.sender.group();
            let payloads: Vec<Payload> = group.iter().map(|decoded| decoded.payload.clone()).collect();
            let (answers, result) = node.turn(group, || before_flush(number));
            for (payload, answer) in payloads.into_iter().zip(answers) {
                self.acknowledged.insert(answer.expect("a turn that went well answers everyone").at, payload);
            }
            result?;
            node.deliver(&mut self.delivered)?;
            if self.trims {
                // Before anything is trimmed, so that the engine that never fails is fed with all of it.
                self.read(node)?;
            }
            let publish = self.sender.random.below(3) == 0;
            node.chores(publish, self.trims)?;
        }
        Ok(())
    }

    /// Feeds what the journal holds and was not yet known to the engine that never fails.
    fn read(&mut self, node: &Node) -> Result<(), String> {
        let mut reader = node.reader();
        let mut after = self.known.last().map(|stored| stored.at);
        loop {
            let items = reader.read(after, 1 << 20).map_err(|error| error.to_string())?;
            if items.is_empty() {
                return Ok(());
            }
            for item in items {
                let stored = match item {
                    Item::Record(stored) => stored,
                    Item::Leaves { leaves, .. } => {
                        leaves.iter().try_for_each(|leaf| self.leaf(leaf))?;
                        continue;
                    }
                };
                after = Some(stored.at);
                let Stored { at, stamp, payload } = stored.clone();
                self.known.push(stored);
                let mut effects = Effects::default();
                let broken = payload.body.windows(MARK.len()).any(|window| window == MARK.as_bytes());
                let record = Record { at, stamp, decoded: decode(payload, SEED) };
                if broken {
                    // What an engine that knows nothing else breaks with.
                    let mut other = Engine::new(SEED);
                    let why = caught(|| other.step(std::slice::from_ref(&record), &mut Effects::default()));
                    self.uncrashed.quarantine(&record, &why.expect_err("it holds the mark"), &mut effects);
                    self.broken.push(at);
                } else {
                    self.uncrashed.step(&[record], &mut effects);
                }
                self.decided.extend(faultline::world::leaves_of(ENGINE_VERSION, &effects));
            }
        }
    }

    /// Takes a leaf as the journal holds it; the reader may come upon the last ones once more.
    fn leaf(&mut self, leaf: &[u8]) -> Result<(), String> {
        let decided = self.leaves.len() - self.sealed.len();
        if let Some(sealed) = LedgerEntry::sealed_in(leaf) {
            let known = self.sealed.iter().position(|known| known.segment >= sealed.segment);
            return match known {
                None => {
                    self.sealed.push(sealed);
                    self.leaves.push(leaf.into());
                    Ok(())
                }
                Some(known) if self.sealed[known] == sealed => Ok(()),
                Some(known) => Err(format!("{sealed:?} comes after {:?}", self.sealed[known])),
            };
        }
        match self.decided.get(decided) {
            Some(next) if next[..] == *leaf => self.leaves.push(leaf.into()),
            _ if self.decided[..decided].iter().any(|known| known[..] == *leaf) => {}
            _ => return Err(format!("leaf {} is not what was decided", self.leaves.len())),
        }
        Ok(())
    }

    /// Every full segment is what its leaf states, and none before one that has a leaf is without.
    fn check_sealed(&self) -> Result<(), String> {
        let folder = Path::new("data/journal");
        let names = self.disk.list(folder).map_err(|error| error.to_string())?;
        let read = |name: String| Segment::named(&name, self.memory.content(&folder.join(&name))?);
        let full = segments::full(&names.into_iter().filter_map(read).collect::<Vec<_>>());
        let newest = self.sealed.last().map_or(0, |sealed| sealed.segment);
        match full.iter().find(|full| full.segment <= newest && !self.sealed.contains(full)) {
            Some(other) => Err(format!("no leaf states {other:?}")),
            None => Ok(()),
        }
    }

    /// Whether a machine that has come up again kept every promise.
    pub fn check(&mut self, node: &mut Node) -> Result<(), String> {
        self.read(node)?;
        let by_position: BTreeMap<Position, &Stored> = self.known.iter().map(|stored| (stored.at, stored)).collect();
        for (at, payload) in &self.acknowledged {
            match by_position.get(at) {
                Some(stored) if stored.payload == *payload => {}
                Some(_) => return Err(format!("record {at} was acknowledged with other bytes")),
                None => return Err(format!("record {at} was acknowledged and is gone")),
            }
        }
        let (found, expected) = (node.world.engine.checkpoint(), self.uncrashed.checkpoint());
        if let Some(page) = found.first_difference(&expected) {
            return Err(format!("page `{page}` of the state is not that of an engine that never failed"));
        }
        let leaves = self.decided.len() + self.sealed.len();
        if (node.leaves(), self.leaves.len()) != (leaves as u64, leaves) {
            return Err(format!(
                "{} leaves, {} in the journal, {} decisions, {} about segments",
                node.leaves(),
                self.leaves.len(),
                self.decided.len(),
                self.sealed.len()
            ));
        }
        self.check_sealed()?;
        self.check_ledger(node)?;
        self.check_delivered()
    }

    fn check_ledger(&self, node: &Node) -> Result<(), String> {
        let head = node.head().ok_or("there is no signed head")?;
        let mut tree = Tree::default();
        self.leaves.iter().take(head.size as usize).for_each(|leaf| tree.push(leaf_hash(leaf), &mut Vec::new()));
        if (tree.size(), tree.root()) != (head.size, head.root) {
            return Err(format!("the signed head of {} leaves is not that of the journal's", head.size));
        }
        Ok(())
    }

    /// Each delivery is a decision that the journal holds; without repeats of an id each transition is there once.
    fn check_delivered(&self) -> Result<(), String> {
        let mut by_id: BTreeMap<EffectId, &[u8]> = BTreeMap::new();
        for (number, leaf) in &self.delivered {
            if self.leaves.get(*number as usize) != Some(leaf) {
                return Err(format!("leaf {number} was delivered and the journal does not hold it"));
            }
            if LedgerEntry::sealed_in(leaf).is_some() {
                continue;
            }
            let Ok(LedgerEntry { fact: Fact::Decided { id, .. }, .. }) = LedgerEntry::from_bytes(leaf) else {
                return Err(format!("leaf {number} does not read"));
            };
            if by_id.insert(id, leaf).is_some_and(|before| before != &leaf[..]) {
                return Err(format!("{id} was delivered with two meanings"));
            }
        }
        let mut seen = BTreeSet::new();
        for leaf in by_id.values() {
            if let Ok(LedgerEntry { fact: Fact::Decided { id, decision: Decision::Alert(t) }, .. }) =
                LedgerEntry::from_bytes(leaf)
                && !seen.insert((t.alert, t.occurrence, t.at, t.from.word(), t.to.word()))
            {
                return Err(format!("transition {id} of {} happened twice", t.labels));
            }
        }
        Ok(())
    }
}

pub fn policy(random: &mut Random) -> CrashPolicy {
    let seed = random.bits();
    match random.below(6) {
        0 => CrashPolicy::LoseAll,
        1 => CrashPolicy::KeepAll,
        2 => CrashPolicy::Prefix(seed),
        3 => CrashPolicy::Torn(seed),
        _ => CrashPolicy::Subset(seed),
    }
}

#[test]
fn a_thousand_crashes_lose_nothing_that_was_acknowledged() {
    let (mut acknowledged, mut delivered, mut decided, mut at_start, mut checks) = (0, 0, 0, 0, 0);
    let (mut sealed, mut left) = (0, 0);
    for seed in 0..CRASHES / CRASHES_OF_A_LIFE {
        let mut life = Life::new(seed);
        for crash in 0..CRASHES_OF_A_LIFE {
            let what = format!("life {seed}, crash {crash}");
            let within = if life.sender.random.below(4) == 0 { 12 } else { 300 };
            life.memory.stop_at(life.memory.operations() + life.sender.random.below(within));
            match life.open() {
                // The disk stopped while it came up.
                Err(_) => at_start += 1,
                Ok(mut node) => {
                    life.check(&mut node).unwrap_or_else(|why| panic!("{what}: {why}"));
                    checks += 1;
                    let _stopped = life.run(&mut node, 30, |_| {});
                }
            }
            match life.sender.random.below(8) {
                0 => life.memory.kill(),
                _ => life.memory.crash(policy(&mut life.sender.random)),
            }
        }
        life.memory.stop_at(u64::MAX);
        let mut node = life.open().unwrap_or_else(|error| panic!("life {seed} does not come up: {error}"));
        life.check(&mut node).unwrap_or_else(|why| panic!("life {seed}, at its end: {why}"));
        // What crashes kept from being sealed is sealed now.
        let before = life.sealed.len();
        node.seal().and_then(|()| node.chores(true, false)).unwrap_or_else(|error| panic!("life {seed}: {error}"));
        life.check(&mut node).unwrap_or_else(|why| panic!("life {seed}, sealed: {why}"));
        assert!(node.world.journal.sealed().is_empty());
        (sealed, left) = (sealed + life.sealed.len(), left + life.sealed.len() - before);
        acknowledged += life.acknowledged.len();
        delivered += life.delivered.len();
        decided += life.decided.len();
    }
    println!(
        "{CRASHES} crashes ({at_start} while coming up), {checks} checks, {acknowledged} records acknowledged, \
         {decided} decisions, {delivered} deliveries, {sealed} segments sealed, {left} of them at the end of a life"
    );
    assert!(acknowledged > 5_000 && decided > 1_000 && delivered > decided / 2 && sealed > 300 && left > 0);
}

/// The check is worth something: it fails for each flush of the journal that does nothing.
#[test]
fn with_any_one_flush_taken_out_the_check_fails() {
    for turn in 0..25 {
        let mut life = Life::new(2);
        let mut node = life.open().expect("the disk is well");
        let memory = life.memory.clone();
        life.run(&mut node, turn + 1, |number| {
            if number == turn {
                memory.ignore_sync(memory.syncs());
            }
        })
        .map_err(|error| error.to_string())
        .unwrap_or_else(|error| panic!("the disk is well: {error}"));
        drop(node);
        life.memory.crash(CrashPolicy::LoseAll);
        let noticed = match life.open() {
            Err(error) => Some(error.to_string()),
            Ok(mut node) => life.check(&mut node).err(),
        };
        assert!(noticed.is_some(), "the flush of turn {turn} did nothing and nobody noticed");
    }
}
