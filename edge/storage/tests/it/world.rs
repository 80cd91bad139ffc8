//! A journal on the forgetful disk, driven step by step beside a model of what must be in it.
//!
//! The model is a plain list of what was appended and how far of it was acknowledged. After each crash the journal must
//! hold the acknowledged part, and of the rest a run from its front: nothing else, nothing changed, nothing out of order.
use crate::sealed::{full_segments, sealed_leaves};
use bytes::Bytes;
use faultline_formats::{Decoded, decode};
use faultline_host::{
    AppendError, CrashPolicy, Disk, Flush, Item, Journal, ManualClock, MemoryDisk, Random, ReadError, Reader, Stored,
};
use faultline_ledger::LedgerEntry;
use faultline_model::facts::Sealed;
use faultline_model::{
    Clock, Control, EffectId, Encoding, Format, HashSeed, Hlc, Kind, Millis, Payload, Position, SourceId, TenantId,
};
use faultline_storage::{DataFolder, Recovered, SegmentJournal, Settings};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const FOLDER: &str = "data";
pub const SETTINGS: Settings = Settings { segment_size: 16 << 10, limit: 8 * (16 << 10) };

/// One thing that happens to a journal.
#[derive(Clone, Debug)]
pub enum Step {
    /// A group of records with these body sizes.
    Append(Vec<usize>),
    /// So many leaves.
    Leaves(usize),
    /// A flush that is waited for at once.
    Flush,
    /// A flush that [`Step::Wait`] waits for.
    FlushLater,
    Wait,
    /// Takes the digests of full segments and writes a leaf for each.
    Seal,
    /// Trims below this many percent of what is acknowledged.
    Trim(u64),
    Prepare,
    Clock(i64),
    /// A clean stop and a start.
    Close,
    /// `kill -9` and a start.
    Kill,
    /// A power cut and a start.
    Crash(CrashPolicy),
}

/// What was appended.
#[derive(Clone, Debug, PartialEq)]
enum Entry {
    /// Its stamp is unknown where the append was cut short.
    Record { at: Position, stamp: Option<Hlc>, payload: Payload },
    /// One leaf: how leaves are cut into frames is the journal's own affair.
    Leaf { after: Position, leaf: Bytes },
}

impl Entry {
    fn is(&self, item: &Item) -> bool {
        match (self, item) {
            (Entry::Record { at, stamp, payload }, Item::Record(stored)) => {
                (*at, payload) == (stored.at, &stored.payload) && stamp.is_none_or(|stamp| stamp == stored.stamp)
            }
            (Entry::Leaf { after, leaf }, Item::Leaves { after: found, leaves }) => {
                (after, std::slice::from_ref(leaf)) == (found, &leaves[..])
            }
            _ => false,
        }
    }
}

/// A machine with a journal, and what must be true of it.
pub struct World {
    pub disk: MemoryDisk,
    clock: Arc<ManualClock>,
    journal: Option<SegmentJournal>,
    flushes: Vec<(usize, Box<dyn Flush>)>,
    tail: Option<(Box<dyn Reader>, Option<Position>, usize)>,
    log: Vec<Entry>,
    /// Entries from the front that must survive.
    acknowledged: usize,
    /// Records below this may be gone.
    trimmed: u64,
    /// Segments that were trimmed.
    gone: BTreeSet<u64>,
    stamp: Hlc,
    unique: u64,
    /// Operations and syncs of the disk at the start of each step.
    pub marks: Vec<(u64, u64)>,
    /// How often a planted stop struck, and how often a start found a torn tail.
    pub stops: u64,
    pub torn: u64,
}

pub type Check = Result<(), String>;

impl World {
    pub fn new() -> World {
        World {
            disk: MemoryDisk::new(64 << 20),
            clock: Arc::new(ManualClock::at(Millis(1_700_000_000_000))),
            journal: None,
            flushes: Vec::new(),
            tail: None,
            log: Vec::new(),
            acknowledged: 0,
            trimmed: 0,
            gone: BTreeSet::new(),
            stamp: Hlc(0),
            unique: 0,
            marks: Vec::new(),
            stops: 0,
            torn: 0,
        }
    }

    /// Runs `steps`; where the machine stops it loses by `policy`, starts again and goes on with the next step. At the end
    /// the power is cut once more with nothing kept.
    pub fn run(&mut self, steps: &[Step], policy: CrashPolicy) -> Check {
        self.start(policy)?;
        for step in steps {
            self.marks.push((self.disk.operations(), self.disk.syncs()));
            match self.step(step, policy) {
                Ok(true) => {}
                Ok(false) => {
                    self.stops += 1;
                    self.restart(policy)?;
                }
                Err(what) => return Err(format!("{step:?}: {what}")),
            }
        }
        self.restart(CrashPolicy::LoseAll)
    }

    fn start(&mut self, policy: CrashPolicy) -> Check {
        // A second stop while starting does not happen: the first crash clears it.
        match self.open() {
            Err(_) if self.stopped() => {
                self.stops += 1;
                self.restart(policy)
            }
            other => other,
        }
    }

    fn restart(&mut self, policy: CrashPolicy) -> Check {
        self.drop_process();
        self.disk.crash(policy);
        self.start(policy)
    }

    fn drop_process(&mut self) {
        self.journal = None;
        self.flushes.clear();
        self.tail = None;
    }

    /// Whether a planted stop has struck.
    fn stopped(&self) -> bool {
        self.disk.space(Path::new(FOLDER)).is_err()
    }

    /// Does one step; `false` where the machine stopped in it.
    fn step(&mut self, step: &Step, policy: CrashPolicy) -> Result<bool, String> {
        let stopped = |world: &World, what: String| if world.stopped() { Ok(false) } else { Err(what) };
        match step {
            Step::Append(sizes) => {
                let (group, first) = self.group(sizes);
                let attempt = |(index, decoded): (usize, &Decoded)| Entry::Record {
                    at: Position { partition: 0, offset: first + index as u64 },
                    stamp: None,
                    payload: decoded.payload.clone(),
                };
                let attempted: Vec<Entry> = group.iter().enumerate().map(attempt).collect();
                match self.journal().append(group) {
                    Ok(records) => {
                        for (entry, record) in attempted.iter().zip(&records) {
                            if record.stamp <= self.stamp {
                                return Err(format!("stamp {:?} after {:?}", record.stamp, self.stamp));
                            }
                            self.stamp = record.stamp;
                            let (at, payload) = (record.at, record.decoded.payload.clone());
                            let Entry::Record { at: expected, .. } = entry else { unreachable!() };
                            assert_eq!(at, *expected, "positions are dense");
                            self.log.push(Entry::Record { at, stamp: Some(record.stamp), payload });
                        }
                    }
                    Err(AppendError::Full { .. }) => {}
                    Err(error) => {
                        self.log.extend(attempted);
                        return stopped(self, error.to_string());
                    }
                }
            }
            Step::Leaves(count) => {
                let Some(after) = self.last_record() else { return Ok(true) };
                let leaves: Vec<Box<[u8]>> = (0..*count).map(|_| self.leaf()).collect();
                return self.append_leaves(after, &leaves);
            }
            Step::Seal => {
                let leaves = match sealed_leaves(self.journal()) {
                    Ok(leaves) => leaves,
                    Err(error) => return stopped(self, error.to_string()),
                };
                let after = self.last_record().unwrap_or_default();
                return self.append_leaves(after, &leaves);
            }
            Step::Flush => {
                let upto = self.log.len();
                match self.journal().flush().wait() {
                    Ok(()) => self.acknowledged = upto,
                    Err(error) => return stopped(self, error.to_string()),
                }
            }
            Step::FlushLater => {
                let flush = self.journal().flush();
                self.flushes.push((self.log.len(), flush));
            }
            Step::Wait => {
                for (upto, flush) in std::mem::take(&mut self.flushes) {
                    match flush.wait() {
                        Ok(()) => self.acknowledged = self.acknowledged.max(upto),
                        Err(error) => return stopped(self, error.to_string()),
                    }
                }
            }
            Step::Trim(percent) => {
                let acknowledged = self.log[..self.acknowledged].iter().rev().find_map(|entry| match entry {
                    Entry::Record { at, .. } => Some(at.offset),
                    Entry::Leaf { .. } => None,
                });
                let below = acknowledged.unwrap_or(0) * percent / 100;
                self.trimmed = self.trimmed.max(below);
                let before = self.journal().segments();
                let result = self.journal().trim(Position { partition: 0, offset: below });
                let left = self.journal().segments().first().map_or(0, |oldest| oldest.generation);
                self.gone.extend(before.iter().map(|segment| segment.generation).filter(|&it| it < left));
                if let Err(error) = result {
                    return stopped(self, error.to_string());
                }
                self.tail = None;
            }
            Step::Prepare => match self.journal().preparer().prepare(Duration::ZERO) {
                Ok(_) | Err(AppendError::Full { .. }) => {}
                Err(error) => return stopped(self, error.to_string()),
            },
            Step::Clock(ms) => self.clock.set(Millis(*ms)),
            Step::Close => {
                self.follow()?;
                let newest = self.logged().into_iter().max().unwrap_or(0);
                let owing = match full_segments(&self.disk) {
                    Ok(full) => full.iter().any(|sealed| sealed.segment > newest),
                    Err(what) => return stopped(self, what),
                };
                let journal = self.journal.take().expect("it runs");
                let closed = journal.close();
                self.drop_process();
                match closed {
                    Ok(()) => self.acknowledged = self.log.len(),
                    Err(error) => return stopped(self, error.to_string()),
                }
                // A clean stop needs nothing that is not on the disk.
                self.disk.crash(CrashPolicy::LoseAll);
                match self.reopen() {
                    Err(_) if self.stopped() => return Ok(false),
                    // It is not called clean while a segment has no leaf.
                    Ok(recovered) if recovered.clean == owing && !self.log.is_empty() => {
                        return Err(format!("clean: {}, and a leaf is owed: {owing}", recovered.clean));
                    }
                    other => other?,
                };
            }
            Step::Kill => {
                self.follow()?;
                self.drop_process();
                self.disk.kill();
                self.start(policy)?;
            }
            Step::Crash(policy) => {
                self.follow()?;
                self.drop_process();
                self.disk.crash(*policy);
                self.start(*policy)?;
            }
        }
        Ok(true)
    }

    /// Writes leaves; `false` where the machine stopped.
    fn append_leaves(&mut self, after: Position, leaves: &[Box<[u8]>]) -> Result<bool, String> {
        let entry = |leaf: &[u8]| Entry::Leaf { after, leaf: Bytes::copy_from_slice(leaf) };
        let entries: Vec<Entry> = leaves.iter().map(|leaf| entry(leaf)).collect();
        match self.journal().append_leaves(leaves) {
            Ok(()) => self.log.extend(entries),
            Err(AppendError::Full { .. }) => {}
            Err(error) => {
                self.log.extend(entries);
                return if self.stopped() { Ok(false) } else { Err(error.to_string()) };
            }
        }
        Ok(true)
    }

    /// A reader that goes on beside the writer sees all that is written, once.
    fn follow(&mut self) -> Check {
        let (mut reader, mut after, mut seen) = match self.tail.take() {
            Some(tail) => tail,
            None => (self.journal().reader(), None, usize::MAX),
        };
        loop {
            let items = match reader.read(after, 5_000) {
                Ok(items) => single(items),
                Err(ReadError::Io { .. }) if self.stopped() => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            let Some(first) = items.first() else { break };
            if seen == usize::MAX {
                seen = self.log.iter().position(|entry| entry.is(first)).ok_or("the oldest item is unknown")?;
            }
            for item in &items {
                if !self.log.get(seen).is_some_and(|entry| entry.is(item)) {
                    return Err(format!("item {seen} reads {}", brief(item)));
                }
                seen += 1;
                if let Item::Record(record) = item {
                    after = Some(record.at);
                }
            }
        }
        if seen != usize::MAX && seen != self.log.len() {
            return Err(format!("{seen} of {} items read", self.log.len()));
        }
        self.tail = Some((reader, after, seen));
        Ok(())
    }

    fn reopen(&mut self) -> Result<Recovered, String> {
        self.unique += 1;
        let mut fresh = [0; 16];
        fresh[..8].copy_from_slice(&self.unique.to_le_bytes());
        let folder =
            DataFolder::open(Arc::new(self.disk.clone()), Path::new(FOLDER), fresh).map_err(|e| e.to_string())?;
        let (journal, recovered) =
            SegmentJournal::open(&folder, SETTINGS, self.clock.clone(), None).map_err(|error| error.to_string())?;
        self.journal = Some(journal);
        self.torn += u64::from(recovered.torn.is_some());
        Ok(recovered)
    }

    /// Opens the journal and compares all of it with the model.
    fn open(&mut self) -> Check {
        let recovered = self.reopen()?;
        let items = read_all(&mut *self.journal().reader(), 3_000).map_err(|error| error.to_string())?;
        let items = single(items);
        self.compare(&items)?;
        self.check_sealed(&items)?;
        let next = self.last_record().map_or(0, |at| at.offset + 1);
        if recovered.next.offset != next {
            return Err(format!("the next record is said to be {}, not {next}", recovered.next));
        }
        // Stamps of what was lost may be given again; nobody was told of them.
        self.stamp = recovered.stamp;
        match self
            .log
            .iter()
            .rev()
            .find_map(|entry| if let Entry::Record { stamp, .. } = entry { *stamp } else { None })
        {
            Some(last) if last > recovered.stamp => return Err(format!("{:?} is behind {last:?}", recovered.stamp)),
            _ => {}
        }
        Ok(())
    }

    fn compare(&mut self, items: &[Item]) -> Check {
        let first = match items.first() {
            Some(first) => self
                .log
                .iter()
                .position(|e| e.is(first))
                .ok_or_else(|| format!("{} was never appended", brief(first)))?,
            None => 0,
        };
        let end = first + items.len();
        let oldest = self.log[first..].iter().find_map(|entry| match entry {
            Entry::Record { at, .. } => Some(at.offset),
            Entry::Leaf { .. } => None,
        });
        if first > 0 && oldest.is_some_and(|oldest| oldest > self.trimmed) {
            return Err(format!("records {}..{} are gone", self.trimmed, oldest.unwrap_or_default()));
        }
        if end < self.acknowledged {
            return Err(format!("{end} of {} acknowledged entries are left", self.acknowledged));
        }
        let mut stamp = Hlc(0);
        for (index, item) in items.iter().enumerate() {
            match self.log.get(first + index) {
                Some(entry) if entry.is(item) => {}
                _ => return Err(format!("entry {} reads {}", first + index, brief(item))),
            }
            if let Item::Record(record) = item {
                if record.stamp <= stamp {
                    return Err(format!("stamp {:?} after {stamp:?}", record.stamp));
                }
                stamp = record.stamp;
                self.log[first + index] = entry_of(record);
            }
        }
        // What was never acknowledged and is gone was told to nobody; what is left is durable now.
        self.log.truncate(end);
        self.acknowledged = end;
        Ok(())
    }

    /// Leaves about segments come in order, one each, and state what stands on the disk; the journal knows which are missing.
    fn check_sealed(&mut self, items: &[Item]) -> Check {
        let stated: Vec<Sealed> = items
            .iter()
            .filter_map(|item| if let Item::Leaves { leaves, .. } = item { leaves.first() } else { None })
            .filter_map(|leaf| LedgerEntry::sealed_in(leaf))
            .collect();
        if !stated.is_sorted_by(|a, b| a.segment < b.segment) {
            return Err(format!("sealed out of order or twice: {stated:?}"));
        }
        let full = full_segments(&self.disk)?;
        let logged = self.logged();
        // A crash may have undone the trim.
        let on_disk = |generation: &u64| full.iter().any(|sealed| sealed.segment == *generation);
        if let Some(lost) = self.gone.iter().find(|gone| !logged.contains(gone) && !on_disk(gone)) {
            return Err(format!("segment {lost} was trimmed and has no leaf"));
        }
        let newest = stated.last().map_or(0, |sealed| sealed.segment);
        for sealed in &full {
            let leaf = stated.iter().find(|leaf| leaf.segment == sealed.segment);
            match leaf {
                Some(leaf) if leaf == sealed => {}
                None if sealed.segment > newest => {}
                other => return Err(format!("the leaf of {sealed:?} is {other:?}")),
            }
        }
        // Hashed as if for its leaf, and not written: what lacks one is told of again.
        let sealer = self.journal().sealer();
        while sealer.seal(Duration::ZERO).map_err(|error| error.to_string())? {}
        let missing: Vec<Sealed> = full.into_iter().filter(|sealed| sealed.segment > newest).collect();
        let told = self.journal().sealed();
        if told != missing {
            return Err(format!("without a leaf are {missing:?}, said to be {told:?}"));
        }
        Ok(())
    }

    /// Segments that the log holds a leaf about.
    fn logged(&self) -> BTreeSet<u64> {
        let sealed = |entry: &Entry| match entry {
            Entry::Leaf { leaf, .. } => LedgerEntry::sealed_in(leaf),
            Entry::Record { .. } => None,
        };
        self.log.iter().filter_map(sealed).map(|sealed| sealed.segment).collect()
    }

    fn journal(&mut self) -> &mut SegmentJournal {
        self.journal.as_mut().expect("it runs")
    }

    fn last_record(&self) -> Option<Position> {
        self.log.iter().rev().find_map(|entry| match entry {
            Entry::Record { at, .. } => Some(*at),
            Entry::Leaf { .. } => None,
        })
    }

    /// A group of records that were never seen before.
    fn group(&mut self, sizes: &[usize]) -> (Vec<Decoded>, u64) {
        let first = self.last_record().map_or(0, |at| at.offset + 1);
        let payload = |size: &usize| {
            self.unique += 1;
            payload(self.unique, *size)
        };
        (sizes.iter().map(payload).map(|payload| decode(payload, HashSeed(1))).collect(), first)
    }

    fn leaf(&mut self) -> Box<[u8]> {
        self.unique += 1;
        let mut random = Random::seeded(self.unique);
        let mut leaf = self.unique.to_le_bytes().to_vec();
        leaf.resize(8 + random.below(300) as usize, random.bits() as u8);
        leaf.into()
    }
}

/// A payload of any kind, its body unlike any other.
pub fn payload(unique: u64, size: usize) -> Payload {
    let mut random = Random::seeded(unique);
    let number = unique as u8;
    let kind = match unique % 5 {
        0 => Kind::Tick,
        1 => Kind::Control(Control::Change),
        2 => Kind::Reply(EffectId { cause: Position { partition: 0, offset: unique }, ordinal: 3 }),
        _ => Kind::Telemetry {
            source: SourceId([number; 16]),
            format: Format::RemoteWrite1,
            encoding: Encoding::Identity,
            clock: Clock::Import,
        },
    };
    let mut body = unique.to_le_bytes().to_vec();
    body.extend((0..size).map(|_| random.bits() as u8));
    Payload { tenant: TenantId(unique as u32), kind, body: Bytes::from(body) }
}

/// All that `reader` has, from the oldest on.
pub fn read_all(reader: &mut dyn Reader, max_bytes: usize) -> Result<Vec<Item>, ReadError> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let batch = reader.read(after, max_bytes)?;
        if batch.is_empty() {
            return Ok(items);
        }
        for item in batch {
            if let Item::Record(record) = &item {
                after = Some(record.at);
            }
            items.push(item);
        }
    }
}

/// Items of one leaf each.
fn single(items: Vec<Item>) -> Vec<Item> {
    let mut out = Vec::new();
    for item in items {
        match item {
            Item::Leaves { after, leaves } => {
                out.extend(leaves.into_iter().map(|leaf| Item::Leaves { after, leaves: vec![leaf] }));
            }
            record => out.push(record),
        }
    }
    out
}

fn entry_of(record: &Stored) -> Entry {
    Entry::Record { at: record.at, stamp: Some(record.stamp), payload: record.payload.clone() }
}

fn brief(item: &Item) -> String {
    match item {
        Item::Record(record) => format!("record {} of {} bytes", record.at, record.payload.body.len()),
        Item::Leaves { after, leaves } => format!("{} leaves after {after}", leaves.len()),
    }
}

/// A script drawn from `seed`.
pub fn script(seed: u64) -> Vec<Step> {
    let mut random = Random::seeded(seed);
    let mut steps = Vec::new();
    for _ in 0..20 + random.below(40) {
        steps.push(match random.below(20) {
            0..8 => {
                let most = if random.below(6) == 0 { 4_000 } else { 400 };
                Step::Append((0..1 + random.below(3)).map(|_| random.below(most) as usize).collect())
            }
            8 => Step::Leaves(random.below(4) as usize),
            9 => Step::Seal,
            10..13 => Step::Flush,
            13 => Step::FlushLater,
            14 => Step::Wait,
            15 => Step::Trim(random.below(101)),
            16 => Step::Prepare,
            17 => Step::Clock(1_700_000_000_000 + random.below(4_000) as i64 - 2_000),
            18 => Step::Close,
            _ if random.below(2) == 0 => Step::Kill,
            _ => Step::Crash(policy(random.bits())),
        });
    }
    steps
}

/// A policy drawn from `seed`, each as likely.
pub fn policy(seed: u64) -> CrashPolicy {
    match seed % 5 {
        0 => CrashPolicy::LoseAll,
        1 => CrashPolicy::KeepAll,
        2 => CrashPolicy::Prefix(seed),
        3 => CrashPolicy::Subset(seed),
        _ => CrashPolicy::Torn(seed),
    }
}
