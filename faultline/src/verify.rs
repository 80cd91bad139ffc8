//! `faultline verify`: recompute every decision from the data folder alone, and check the ledger.
use crate::cli::{FolderArgs, Output};
use crate::diff_state::compare;
use crate::explainer::{answer, weights};
use crate::keys;
use crate::replayed::{Replay, ReplayError, Watch, asks, engine_version, whose};
use crate::seals::Seals;
use crate::start::{Origin, checkpointed, kept, state};
use faultline_engine::{Ask, Checkpoint, ENGINE_VERSION, Effects, Engine};
use faultline_formats::Record;
use faultline_host::{Disk, RealDisk};
use faultline_ledger::{Fact, Head, LedgerEntry, TILE_WIDTH, TileName, Tree, Verifier, leaf_hash, push_entry};
use faultline_model::facts::Decision;
use faultline_model::{Canonical, Digest, EffectId, Kind, Position};
use faultline_storage::{CheckpointStore, DataFolder, Inspection, LedgerReader, SegmentJournal};
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// What `verify` found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether everything agrees.
    pub ok: bool,
    /// Records whose decisions were recomputed, first and last.
    pub recomputed: Option<[String; 2]>,
    /// Records that are no longer there: everything below this one.
    pub trimmed_below: Option<String>,
    /// Records recomputed.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Records that were passed over because the engine broke on them, and why. Whether this build would break on them is not
    /// asked: the ledger's list rules.
    pub quarantined: Vec<String>,
    /// Leaves compared with the engine's decisions.
    pub leaves: u64,
    /// What an older engine decided that this one decides otherwise: not recomputed, and what recomputes it.
    pub decided_by: Option<String>,
    /// Leaves only hashed: those of trimmed records, and of records that another engine decided.
    pub hashed_only: u64,
    /// Explanations computed again.
    pub explanations: u64,
    /// Weights learned again from closed incidents.
    pub learned: u64,
    /// Records of samples from the recent store, for rules that came late: believed, not recomputed.
    pub attested: u64,
    /// Anchors whose state was found again.
    pub anchors: u64,
    /// Full segments of the journal that are what their leaves state.
    pub sealed: u64,
    /// Full segments that are trimmed: their leaves are only hashed.
    pub sealed_trimmed: u64,
    /// Full segments that have no leaf yet, where the server runs or did not end cleanly: the next start writes it.
    pub unsealed: Vec<String>,
    /// Size of the signed head.
    pub tree_size: Option<u64>,
    /// Root of the signed head, hexadecimal.
    pub tree_root: Option<String>,
    /// A tail that a crash tore and nobody was promised.
    pub torn_tail: Option<String>,
    /// The first difference.
    pub difference: Option<String>,
}

/// Runs the command: exit code 0 when everything agrees, 1 when something differs.
pub fn run(args: &FolderArgs) -> Result<ExitCode, Box<dyn Error>> {
    let report = check(&args.data);
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Table => print(&report),
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Checks a folder. Whatever keeps it from being checked is a difference: the caller asked whether it can be believed.
pub fn check(data: &Path) -> Report {
    match keys::read_verifier(data) {
        Ok(verifier) => check_on(Arc::new(RealDisk), data, verifier),
        Err(error) => Report { difference: Some(crate::render::chain(&error)), ..Report::default() },
    }
}

/// The same on any disk.
///
/// - `verifier`: of the key that must have signed the head.
pub fn check_on(disk: Arc<dyn Disk>, data: &Path, verifier: Verifier) -> Report {
    let mut report = Report::default();
    match look(disk, data, verifier, &mut report) {
        Ok(()) => report.ok = true,
        Err(error) => report.difference = Some(crate::render::chain(&*error)),
    }
    report
}

fn look(disk: Arc<dyn Disk>, data: &Path, verifier: Verifier, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let folder = DataFolder::inspect(disk.clone(), data)?;
    let ledger = LedgerReader::new(disk, &data.join(keys::LEDGER_FOLDER), verifier);
    let head = ledger.head()?;
    // Before the journal: of a running server, whatever a checkpoint states is in the journal already.
    let mut checkpoints = BTreeMap::new();
    for (position, state) in kept(&folder)? {
        let state = state.map_err(|what| format!("the checkpoint at {position} is damaged: {what}"))?;
        checkpoints.insert(position, state);
    }
    let Inspection { recovered, segments, .. } = SegmentJournal::inspect(&folder, checkpointed(&folder)?)?;
    let clean = recovered.clean;
    report.torn_tail = recovered.torn.map(|torn| format!("{} from byte {}", torn.path.display(), torn.byte));
    report.tree_size = head.map(|head| head.size);
    report.tree_root = head.map(|head| head.root.hex());

    let (seals, first) = match segments.read().map(Seals::new) {
        Ok(seals) => {
            let rewritten = seals.compare_with_journal();
            (Some(seals), rewritten)
        }
        // How far the journal can be recomputed is still worth knowing.
        Err(error) => (None, Some(crate::render::chain(&error))),
    };

    let reader = || segments.reader();
    let whole = Recount {
        ledger: &ledger,
        head,
        tree: Tree::default(),
        bundle: Vec::new(),
        head_seen: false,
        open: BTreeMap::new(),
        explanations: 0,
        learned: 0,
        attested: 0,
        anchors: 0,
        checkpoints,
        states: BTreeMap::new(),
        folder: &folder,
        seals,
        version: ENGINE_VERSION,
        older: None,
        // Before anything that is decided otherwise because of it.
        difference: first,
    };
    let states: Vec<Position> = whole.checkpoints.keys().copied().collect();
    let Some(older) = recount(&Origin::oldest(&folder, &reader), whole.clone(), clean, report)? else { return Ok(()) };
    // The engine in force was another one: what it decided is believed, and what follows a state of which there is a
    // checkpoint is recomputed.
    for at in states {
        if recount(&Origin::at(&folder, &reader, at), whole.clone(), clean, report)?.is_none() {
            report.decided_by =
                Some(format!("up to {at} by engine version {older}: to recompute it, {}", whose(older)));
            return Ok(());
        }
    }
    let at = report.recomputed.as_ref().map_or_else(String::new, |[_, last]| last.clone());
    Err(format!("up to {at} it was decided by engine version {older}, and otherwise: {}", whose(older)).into())
}

/// Recomputes what follows `origin`; an engine version where that was in force, and decided otherwise than this one does.
///
/// - `watch`: nothing seen yet.
/// - `clean`: the journal ended cleanly.
fn recount(
    origin: &Origin<'_>,
    mut watch: Recount<'_>,
    clean: bool,
    report: &mut Report,
) -> Result<Option<u32>, Box<dyn Error>> {
    let mut replay = Replay::new(origin)?;
    let (leaves, oldest) = (replay.leaves, replay.oldest);
    if let Some(oldest) = oldest {
        report.trimmed_below = Some(oldest.to_string());
    }
    watch.version = replay.version;
    watch.open.extend(replay.engine.unanswered());
    watch.hash_only(leaves)?;
    report.hashed_only = leaves;
    let first = replay.last;
    let result = replay.run(origin, &mut watch);
    report.records = replay.records;
    report.events = replay.events;
    report.quarantined = replay.quarantined.iter().map(|(at, reason)| format!("{at}: {reason}")).collect();
    report.leaves = replay.leaves - leaves - replay.sealed;
    report.explanations = watch.explanations;
    report.learned = watch.learned;
    report.attested = watch.attested;
    report.anchors = watch.anchors;
    if let Some(seals) = &watch.seals {
        (report.sealed, report.sealed_trimmed) = (seals.equal, seals.trimmed);
    }
    let start = first.map_or("the beginning".to_string(), |first| format!("after {first}"));
    report.recomputed = replay.last.map(|last| [start, last.to_string()]);
    if let Some(difference) = watch.difference {
        return Err(difference.into());
    }
    match result {
        Err(ReplayError::OtherEngine { found, .. }) if found < ENGINE_VERSION => return Ok(Some(found)),
        Err(error) => return Err(error.into()),
        Ok(()) if watch.older.is_some() => return Ok(watch.older),
        Ok(()) => {}
    }
    if let Some(seals) = &watch.seals {
        report.unsealed = seals.finish(clean)?;
    }
    watch.finish().map(|()| None)
}

/// Builds the tree again from the journal's leaves, compares tiles and bundles on the way, answers asks again.
#[derive(Clone)]
struct Recount<'a> {
    ledger: &'a LedgerReader,
    head: Option<Head>,
    tree: Tree,
    bundle: Vec<u8>,
    head_seen: bool,
    open: BTreeMap<EffectId, Ask>,
    explanations: u64,
    learned: u64,
    attested: u64,
    anchors: u64,
    /// Digests of the states in checkpoints whose anchor has not come yet.
    checkpoints: BTreeMap<Position, Digest>,
    /// Digests of states asked for, as computed here, whose anchor has not come yet.
    states: BTreeMap<Position, Digest>,
    folder: &'a DataFolder,
    /// Full segments whose leaves are still to come; nothing where one does not read.
    seals: Option<Seals>,
    /// Engine version in force.
    version: u32,
    /// The engine version that decided otherwise than this one.
    older: Option<u32>,
    difference: Option<String>,
}

impl Recount<'_> {
    /// Takes the first `count` leaves from the ledger's own bundles: their records are trimmed.
    fn hash_only(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        let Some(head) = self.head else {
            return if count == 0 { Ok(()) } else { Err("there is no signed head, but leaves were signed".into()) };
        };
        while self.tree.size() < count {
            let left = usize::try_from(count - self.tree.size()).unwrap_or(usize::MAX);
            let leaves = self.ledger.leaves(head, self.tree.size(), left)?;
            if leaves.is_empty() {
                return Err(format!("the ledger ends at leaf {} of {count}", self.tree.size()).into());
            }
            leaves.iter().for_each(|leaf| self.take(leaf));
        }
        Ok(())
    }

    fn take(&mut self, leaf: &[u8]) {
        self.compare_checkpoint(leaf);
        if let Some(seals) = &mut self.seals
            && let Some(sealed) = LedgerEntry::sealed_in(leaf)
            && let Err(difference) = seals.take(self.tree.size(), &sealed)
        {
            self.differ(difference);
        }
        let mut completed = Vec::new();
        push_entry(&mut self.bundle, leaf);
        self.tree.push(leaf_hash(leaf), &mut completed);
        let head = self.head.map_or(0, |head| head.size);
        for tile in completed {
            // Tiles above the head are on their way: a crash may have left any of them.
            if (tile.name.index + 1) << (8 * (u32::from(tile.name.level) + 1)) <= head {
                self.compare(tile.name, &tile.hashes);
            }
            if tile.name.level == 0 {
                let bundle = std::mem::take(&mut self.bundle);
                if self.tree.size() <= head {
                    self.compare_bundle(tile.name, &bundle);
                }
            }
        }
        if self.head.is_some_and(|head| head.size == self.tree.size()) {
            self.at_head();
        }
    }

    /// A checkpoint must hold the state that its anchor's leaf states.
    fn compare_checkpoint(&mut self, leaf: &[u8]) {
        if self.checkpoints.is_empty() {
            return;
        }
        let Ok(LedgerEntry { fact: Fact::Decided { decision: Decision::Anchor(anchor), .. }, .. }) =
            LedgerEntry::from_bytes(leaf)
        else {
            return;
        };
        if self.checkpoints.remove(&anchor.position).is_some_and(|state| state != anchor.state) {
            self.differ(format!(
                "the checkpoint at {} does not hold the state that its anchor states",
                anchor.position
            ));
        }
    }

    /// The state in a checkpoint.
    fn kept(&self, at: Position) -> Result<Checkpoint, Box<dyn Error>> {
        let stored = CheckpointStore::inspect(self.folder).read(at.offset)??;
        Ok(state(&stored)?)
    }

    fn at_head(&mut self) {
        self.head_seen = true;
        let head = self.head.expect("the caller saw it");
        if self.tree.root() != head.root {
            let text = format!(
                "the signed head of {} leaves has root {}, the leaves have {}",
                head.size,
                head.root.hex(),
                self.tree.root().hex()
            );
            self.differ(text);
        }
        for tile in self.tree.partial() {
            self.compare(tile.name, &tile.hashes);
            if tile.name.level == 0 {
                let bundle = self.bundle.clone();
                self.compare_bundle(tile.name, &bundle);
            }
        }
    }

    fn compare(&mut self, name: TileName, expected: &[faultline_ledger::Hash]) {
        match self.ledger.tile(name) {
            Ok(found) => {
                if let Some(place) = found.iter().zip(expected).position(|(a, b)| a != b) {
                    let leaf = name.index * TILE_WIDTH as u64 + place as u64;
                    self.differ(format!("{} differs at hash {place} (leaf or subtree {leaf})", name.path()));
                }
            }
            Err(error) => self.differ(crate::render::chain(&error)),
        }
    }

    fn compare_bundle(&mut self, name: TileName, expected: &[u8]) {
        match self.ledger.bundle(name) {
            Ok(found) if found == expected => {}
            Ok(found) => {
                let at =
                    found.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
                self.differ(format!("{} differs from the journal's leaves at byte {at}", name.entries_path()));
            }
            Err(error) => self.differ(crate::render::chain(&error)),
        }
    }

    fn differ(&mut self, what: String) {
        self.difference.get_or_insert(what);
    }

    /// The same of what engines decide: another one may well decide otherwise.
    fn decide_otherwise(&mut self, what: String) {
        if self.version < ENGINE_VERSION { self.older = Some(self.version) } else { self.differ(what) }
    }

    fn finish(mut self) -> Result<(), Box<dyn Error>> {
        if let Some(head) = self.head
            && !self.head_seen
            && head.size > 0
        {
            self.differ(format!(
                "the signed head has {} leaves, the journal {}: its tail was cut off",
                head.size,
                self.tree.size()
            ));
        }
        if self.head.is_none() && self.tree.size() > 0 {
            self.differ(format!("the journal holds {} leaves, but there is no signed head", self.tree.size()));
        }
        if let Some(position) = self.checkpoints.keys().next() {
            self.differ(format!("the checkpoint at {position} is of no anchor in the ledger"));
        }
        self.difference.map_or(Ok(()), |difference| Err(difference.into()))
    }
}

impl Watch for Recount<'_> {
    fn stepped(&mut self, record: &Record, effects: Effects) {
        if let Some(version) = engine_version(&record.decoded.payload) {
            self.version = version;
        }
        if let Kind::Reply(id) = record.decoded.payload.kind {
            match self.open.get(&id) {
                Some(Ask::Explain(evidence)) => {
                    self.explanations += 1;
                    let differs = answer(evidence)[..] != record.decoded.payload.body[..];
                    self.open.remove(&id);
                    if differs {
                        self.decide_otherwise(format!(
                            "the explanation {id} in record {} is not what its evidence gives",
                            record.at
                        ));
                    }
                }
                Some(Ask::Learn(lessons)) => {
                    self.learned += 1;
                    let differs = weights(lessons)[..] != record.decoded.payload.body[..];
                    self.open.remove(&id);
                    if differs {
                        self.decide_otherwise(format!(
                            "the weights {id} in record {} are not what closed incidents give",
                            record.at
                        ));
                    }
                }
                // The records that it was made from may be trimmed; more of it may come.
                Some(Ask::Recall(_)) => self.attested += 1,
                Some(Ask::Revise(_)) => {
                    self.attested += 1;
                    self.open.remove(&id);
                }
                Some(Ask::Hash(_)) | None => {}
            }
        }
        for (id, ask) in asks(&effects) {
            self.open.insert(id, ask.clone());
        }
        for (_, decision) in effects.decisions() {
            if let Decision::Anchor(anchor) = decision {
                self.anchors += 1;
                if self.states.remove(&anchor.position).is_some_and(|state| state != anchor.state) {
                    self.decide_otherwise(format!(
                        "the state after record {} is not the one that its anchor states",
                        anchor.position
                    ));
                }
            }
        }
    }

    fn frozen(&mut self, engine: &mut Engine) {
        let Some(at) = engine.frozen() else { return };
        let found = engine.checkpoint();
        let state = found.digest();
        self.states.insert(at, state);
        if self.checkpoints.get(&at).is_some_and(|kept| *kept != state) {
            let what = match self.kept(at).and_then(|kept| compare(&kept, &found)) {
                Ok(Some(it)) => format!(
                    "page {}, {}: the checkpoint has {}, the records give {} ({} pages differ)",
                    it.page, it.place, it.first, it.second, it.pages
                ),
                Ok(None) => "no page differs".to_string(),
                Err(error) => crate::render::chain(&*error),
            };
            self.decide_otherwise(format!("the checkpoint at {at} is not the state after its record: {what}"));
        }
    }

    fn leaves(&mut self, _: u64, leaves: &[Box<[u8]>]) {
        leaves.iter().for_each(|leaf| self.take(leaf));
    }
}

fn print(report: &Report) {
    let line = |name: &str, value: &str| println!("{name:<14} {value}");
    line("verdict", if report.ok { "ok: every decision follows from what was received" } else { "NOT OK" });
    if let Some(difference) = &report.difference {
        line("difference", difference);
    }
    if let Some([from, to]) = &report.recomputed {
        line("recomputed", &format!("{} records ({} events), from {from} to {to}", report.records, report.events));
    }
    if let Some(first) = report.quarantined.first() {
        line("quarantined", &format!("{} records passed over, from {first} on", report.quarantined.len()));
    }
    line("decisions", &format!("{} leaves recomputed and equal", report.leaves));
    line("explanations", &format!("{} computed again and equal", report.explanations));
    if report.learned > 0 {
        line("learned", &format!("{} times again from closed incidents, and equal", report.learned));
    }
    if report.attested > 0 {
        line("attested", &format!("{} records of what the recent store has, believed", report.attested));
    }
    line("anchors", &format!("{} states found again", report.anchors));
    let trimmed = match report.sealed_trimmed {
        0 => String::new(),
        count => format!("; {count} trimmed, their leaves hashed only"),
    };
    let unsealed = match report.unsealed.len() {
        0 => String::new(),
        count => format!("; {count} without a leaf yet, from {} on", report.unsealed[0]),
    };
    line("segments", &format!("{} sealed and equal to their leaves{trimmed}{unsealed}", report.sealed));
    if let Some(below) = &report.trimmed_below {
        line("trimmed", &format!("records below {below}; {} leaves hashed only", report.hashed_only));
    }
    if let Some(decided) = &report.decided_by {
        line("decided", &format!("{decided}; {} leaves hashed only", report.hashed_only));
    }
    if let (Some(size), Some(root)) = (report.tree_size, &report.tree_root) {
        line("signed head", &format!("{size} leaves, root {root}"));
    }
    if let Some(torn) = &report.torn_tail {
        line("torn tail", &format!("{torn}: never acknowledged, not damage"));
    }
    println!(
        "A tail cut from journal and ledger together shows only against a head kept elsewhere: keep the line above."
    );
}
