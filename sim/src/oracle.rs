//! What must be so: everything that the world outside knows, an engine that never fails, and rules of its own for order,
//! retries and asks, with which each life is compared.
use crate::senders::Acknowledged;
use faultline::world::leaves_of;
use faultline_engine::{ENGINE_VERSION, Effects, Engine};
use faultline_formats::{Record, decode};
use faultline_host::{Item, Reader, Stored};
use faultline_ledger::{Fact, Hash, Head, LedgerEntry, Tree, leaf_hash};
use faultline_model::facts::{AlertState, Decision, Sealed};
use faultline_model::{
    AlertId, Canonical, Clock, Control, Digest, EffectId, Genesis, HashSeed, Kind, Labels, Millis, Payload, Position,
    SourceId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A sender's retry counts once within this long.
const RETRY_WINDOW_MS: i64 = 10 * 60_000;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which, one word of a few: what shrinking must keep.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Says that `invariant` is broken.
pub fn broken<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { invariant, what: what.into() })
}

/// Everything that is known of a machine from outside.
pub struct Oracle {
    engine: Engine,
    seed: HashSeed,
    /// Every record that was ever read back, in order.
    known: Vec<Stored>,
    /// Leaves that the engine decided.
    decided: Vec<Box<[u8]>>,
    /// All leaves in the journal's order.
    pub leaves: Vec<Box<[u8]>>,
    sealed: Vec<Sealed>,
    tree: Tree,
    /// Root over the first n leaves.
    roots: Vec<Hash>,
    acknowledged: BTreeMap<Position, Payload>,
    /// The largest head that was signed.
    signed: Option<Head>,
    /// By sender and body: when it was applied last.
    applied: BTreeMap<(SourceId, Vec<u8>), Millis>,
    /// Bodies that came again within the window.
    retries: u64,
    /// Digests of states asked for, and the first anchor that states another.
    states: BTreeMap<Position, Digest>,
    misstated: Option<String>,
    asked: BTreeSet<EffectId>,
    replied: BTreeSet<EffectId>,
    /// Each alert's newest state, its labels, and whether it is imported.
    pub alerts: BTreeMap<AlertId, (AlertState, Labels)>,
    /// Lines of decisions that people are told of, by id, with their leaf.
    pub printable: BTreeMap<String, u64>,
    last_id: Option<EffectId>,
    /// The leaf from which on the pipe must have been told of everything.
    pub told_from: Option<u64>,
}

impl Oracle {
    /// Nothing has happened.
    pub fn new(seed: HashSeed) -> Oracle {
        Oracle {
            engine: Engine::new(seed),
            seed,
            known: Vec::new(),
            decided: Vec::new(),
            leaves: Vec::new(),
            sealed: Vec::new(),
            tree: Tree::default(),
            roots: vec![Tree::default().root()],
            acknowledged: BTreeMap::new(),
            signed: None,
            applied: BTreeMap::new(),
            retries: 0,
            asked: BTreeSet::new(),
            replied: BTreeSet::new(),
            alerts: BTreeMap::new(),
            printable: BTreeMap::new(),
            states: BTreeMap::new(),
            misstated: None,
            last_id: None,
            told_from: None,
        }
    }

    /// A sender was told that its record is kept.
    pub fn acknowledged(&mut self, it: Acknowledged) -> Result<(), Broken> {
        match self.acknowledged.insert(it.answer.at, it.payload) {
            Some(_) => broken("acknowledged twice", format!("two bodies were acknowledged as record {}", it.answer.at)),
            None => Ok(()),
        }
    }

    /// How many records were acknowledged.
    pub fn records(&self) -> usize {
        self.acknowledged.len()
    }

    /// How many records are known.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// How many segments have a leaf.
    pub fn sealed(&self) -> usize {
        self.sealed.len()
    }

    /// How many explanations were answered.
    pub fn replies(&self) -> usize {
        self.replied.len()
    }

    /// Feeds what the journal holds and was not yet known to the engine that never fails. Only durable records may be there.
    pub fn read(&mut self, reader: &mut dyn Reader) -> Result<(), Broken> {
        let mut after = self.known.last().map(|stored| stored.at);
        loop {
            let items = match reader.read(after, 1 << 20) {
                Ok(items) => items,
                Err(error) => return broken("journal", format!("it does not read after {after:?}: {error}")),
            };
            if items.is_empty() {
                return Ok(());
            }
            for item in items {
                match item {
                    Item::Record(stored) => {
                        after = Some(stored.at);
                        self.record(stored);
                    }
                    Item::Leaves { leaves, .. } => leaves.iter().try_for_each(|leaf| self.leaf(leaf))?,
                }
            }
        }
    }

    fn record(&mut self, stored: Stored) {
        self.known.push(stored.clone());
        let Stored { at, stamp, payload } = stored;
        if payload.kind == Kind::Control(Control::Genesis)
            && let Ok(genesis) = Genesis::from_bytes(&payload.body)
        {
            self.engine = Engine::new(genesis.seed);
        }
        if let Kind::Reply(id) = payload.kind {
            self.replied.insert(id);
        }
        let telemetry = match payload.kind {
            Kind::Telemetry { source, clock: Clock::Live, .. } => Some((source, payload.body.to_vec())),
            _ => None,
        };
        let mut effects = Effects::default();
        self.engine.step(&[Record { at, stamp, decoded: decode(payload, self.seed) }], &mut effects);
        if self.engine.frozen().is_some() {
            self.states.insert(at, self.engine.checkpoint().digest());
            self.engine.thaw();
        }
        for (_, decision) in effects.decisions() {
            if let Decision::Anchor(anchor) = decision
                && self.states.remove(&anchor.position) != Some(anchor.state)
            {
                let what = || format!("the anchor at {} does not state the state there", anchor.position);
                self.misstated.get_or_insert_with(what);
            }
        }
        self.decided.extend(leaves_of(ENGINE_VERSION, &effects));
        if let Some(key) = telemetry {
            let now = self.engine.now();
            match self.applied.get(&key) {
                Some(&at) if now.since(at) <= RETRY_WINDOW_MS => self.retries += 1,
                _ => drop(self.applied.insert(key, now)),
            }
        }
    }

    /// Takes a leaf as the journal holds it; the reader may come upon the last ones once more.
    fn leaf(&mut self, leaf: &[u8]) -> Result<(), Broken> {
        if let Some(sealed) = LedgerEntry::sealed_in(leaf) {
            let known = self.sealed.iter().position(|known| known.segment >= sealed.segment);
            return match known {
                None => {
                    self.sealed.push(sealed);
                    self.push(leaf);
                    Ok(())
                }
                Some(known) if self.sealed[known] == sealed => Ok(()),
                Some(known) => broken("leaves", format!("{sealed:?} comes after {:?}", self.sealed[known])),
            };
        }
        let decided = self.leaves.len() - self.sealed.len();
        match self.decided.get(decided) {
            Some(next) if next[..] == *leaf => {
                self.push(leaf);
                self.understand(leaf)
            }
            _ if self.decided[..decided].iter().any(|known| known[..] == *leaf) => Ok(()),
            _ => {
                broken("leaves", format!("leaf {} is not what an engine that never failed decides", self.leaves.len()))
            }
        }
    }

    fn push(&mut self, leaf: &[u8]) {
        self.leaves.push(leaf.into());
        self.tree.push(leaf_hash(leaf), &mut Vec::new());
        self.roots.push(self.tree.root());
    }

    /// Order, and what the leaf tells people.
    fn understand(&mut self, leaf: &[u8]) -> Result<(), Broken> {
        let number = self.leaves.len() as u64 - 1;
        let (id, decision) = match LedgerEntry::from_bytes(leaf).map(|entry| entry.fact) {
            Ok(Fact::Decided { id, decision }) => (id, Some(decision)),
            Ok(Fact::Digested { id, .. }) => (id, None),
            _ => return broken("leaves", format!("leaf {number} does not read")),
        };
        if self.last_id.is_some_and(|last| last >= id) {
            return broken("order", format!("leaf {number} is of {id}, the one before of {:?}", self.last_id));
        }
        self.last_id = Some(id);
        match decision {
            Some(Decision::Asked(_)) => drop(self.asked.insert(id)),
            Some(Decision::Quarantined(it)) => {
                return broken("panic", format!("record {} broke the engine: {}", it.position, it.reason));
            }
            Some(Decision::Alert(it)) if !it.imported => {
                self.alerts.insert(it.alert, (it.to, it.labels.clone()));
                self.printable.insert(id.to_string(), number);
            }
            Some(Decision::Incident(it)) if !it.imported => drop(self.printable.insert(id.to_string(), number)),
            Some(Decision::Verdict(_)) => drop(self.printable.insert(id.to_string(), number)),
            _ => {}
        }
        Ok(())
    }

    /// A head was signed.
    pub fn signed(&mut self, head: Head) -> Result<(), Broken> {
        if self.signed.is_some_and(|before| head.size < before.size) {
            let before = self.signed.map_or(0, |before| before.size);
            return broken("heads", format!("a head of {} leaves was signed after one of {before}", head.size));
        }
        self.signed = Some(head);
        Ok(())
    }

    /// An ask was posted.
    pub fn posted(&self, id: EffectId) -> Result<(), Broken> {
        if self.replied.contains(&id) {
            return broken("asks", format!("{id} was posted again after its answer was kept"));
        }
        Ok(())
    }

    /// The asks that a start must post.
    pub fn unanswered(&self) -> BTreeSet<EffectId> {
        self.engine.unanswered().map(|(id, _)| id).collect()
    }

    /// Whether a process that has come up, and says that it has `leaves` leaves, kept every promise.
    pub fn check(&mut self, reader: &mut dyn Reader, engine: &mut Engine, leaves: u64) -> Result<(), Broken> {
        self.read(reader)?;
        self.check_records()?;
        if let Some(misstated) = &self.misstated {
            return broken("state", misstated.clone());
        }
        let (found, expected) = (engine.checkpoint(), self.engine.checkpoint());
        if let Some(page) = found.first_difference(&expected) {
            return broken("state", format!("page `{page}` is not that of an engine that never failed"));
        }
        if leaves != self.leaves.len() as u64 || self.leaves.len() != self.decided.len() + self.sealed.len() {
            let (journal, decided, sealed) = (self.leaves.len(), self.decided.len(), self.sealed.len());
            return broken(
                "leaves",
                format!("the process has {leaves}, the journal {journal}: {decided} decisions, {sealed} segments"),
            );
        }
        self.check_signed()?;
        let counted: u64 = self.engine.overview().sources.iter().map(|source| source.retries).sum();
        if counted != self.retries {
            return broken("retries", format!("{} bodies came again, {counted} were passed over", self.retries));
        }
        Ok(())
    }

    /// Every record that was acknowledged is there with its bytes.
    fn check_records(&self) -> Result<(), Broken> {
        let by_position: BTreeMap<Position, &Stored> = self.known.iter().map(|stored| (stored.at, stored)).collect();
        for (at, payload) in &self.acknowledged {
            match by_position.get(at) {
                Some(stored) if stored.payload == *payload => {}
                Some(_) => return broken("acknowledged", format!("record {at} was acknowledged with other bytes")),
                None => return broken("acknowledged", format!("record {at} was acknowledged and is gone")),
            }
        }
        Ok(())
    }

    /// What was refused for want of room does not come up later.
    pub fn check_refused(&self, refused: &BTreeSet<(SourceId, &[u8])>) -> Result<(), Broken> {
        for Stored { at, payload, .. } in &self.known {
            if let Kind::Telemetry { source, .. } = payload.kind
                && refused.contains(&(source, &payload.body[..]))
            {
                return broken("refused", format!("record {at} was refused for want of room, and is in the journal"));
            }
        }
        Ok(())
    }

    /// What was signed once is a prefix of what there is.
    fn check_signed(&self) -> Result<(), Broken> {
        let Some(head) = self.signed else { return Ok(()) };
        match self.roots.get(head.size as usize) {
            Some(root) if *root == head.root => Ok(()),
            Some(_) => broken("heads", format!("the head of {} leaves is not that of the journal's leaves", head.size)),
            None => {
                broken("heads", format!("a head of {} leaves was signed, there are {}", head.size, self.leaves.len()))
            }
        }
    }

    /// Every line that people were told is a decision, none has two meanings, and none is missing.
    pub fn check_lines(&self, lines: &[String]) -> Result<(), Broken> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for line in lines {
            let Ok(object) = serde_json::from_str::<serde_json::Value>(line) else {
                return broken("delivery", format!("`{line}` is no JSON"));
            };
            let id = object["id"].as_str().unwrap_or_default().to_string();
            if !self.printable.contains_key(&id) {
                return broken("delivery", format!("{id} was told and the ledger does not hold it"));
            }
            if seen.insert(id.clone(), line).is_some_and(|before| before != line) {
                return broken("delivery", format!("{id} was told with two meanings"));
            }
        }
        let from = self.told_from.unwrap_or(u64::MAX);
        match self.printable.iter().find(|(id, leaf)| **leaf >= from && !seen.contains_key(*id)) {
            Some((id, leaf)) => broken("delivery", format!("{id}, leaf {leaf}, was never told")),
            None => Ok(()),
        }
    }

    /// Records that were acknowledged and are not among what `reader` reads, as far as it reads.
    pub fn missing(&self, reader: &mut dyn Reader) -> Result<Vec<Position>, String> {
        let mut found: BTreeMap<Position, Payload> = BTreeMap::new();
        let mut after = None;
        let mut oldest = None;
        loop {
            let items = match reader.read(after, 1 << 20) {
                Ok(items) => items,
                Err(error) => return Err(error.to_string()),
            };
            if items.is_empty() {
                break;
            }
            for item in items {
                if let Item::Record(stored) = item {
                    after = Some(stored.at);
                    oldest.get_or_insert(stored.at);
                    found.insert(stored.at, stored.payload);
                }
            }
        }
        let gone = |(at, payload): (&Position, &Payload)| {
            let trimmed = oldest.is_some_and(|oldest| *at < oldest);
            (!trimmed && found.get(at) != Some(payload)).then_some(*at)
        };
        Ok(self.acknowledged.iter().filter_map(gone).collect())
    }

    /// The newest record that was acknowledged.
    pub fn newest(&self) -> Option<Position> {
        self.acknowledged.last_key_value().map(|(at, _)| *at)
    }

    /// The state that the engine that never failed has now.
    pub fn state(&mut self) -> faultline_engine::Checkpoint {
        self.engine.checkpoint()
    }

    /// Rule time.
    pub fn now(&self) -> Millis {
        self.engine.now()
    }
}
