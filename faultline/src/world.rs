//! The loop: take, write, step, write leaves, hand over. The simulation and `eval demo` drive this same code.
use crate::keeper::{Keep, Told};
use crate::published::RejectedBody;
use crate::quarantine::caught;
use crate::release::{Batch, Outlet, Released};
use crate::replayed::{Replay, ReplayError, Watch};
use crate::show::Said;
use crate::stages::Stage;
use crate::start::Origin;
use faultline_engine::{ENGINE_VERSION, Effect, Effects, Engine, Overview};
use faultline_formats::{Decoded, Record, Reject, decode};
use faultline_host::{AppendError, Intake, Journal, Reply};
use faultline_ledger::LedgerEntry;
use faultline_model::{Control, HashSeed, Kind, Millis, Payload, Position, TenantId, mutant};
use faultline_storage::{DataFolder, SegmentJournal};
use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// A tick record is appended after this long without any record.
pub const TICK: Duration = Duration::from_millis(100);
/// Most bytes of bodies in a group: one flush of this much takes a few ms, and a group must fit a segment.
const GROUP_BYTES: usize = 4 << 20;
/// Most records in a group.
const GROUP_COUNT: usize = 512;
/// How often the views for readers are made anew when nothing was decided, and at least otherwise, in ms of records' stamps, which
/// go on also before rule time begins and do not race as an import's times do.
const VIEW_EVERY_MS: i64 = 1_000;
/// How old the last view is at least when a new one is made because of a decision, in ms of stamps: a view of many
/// rules takes a millisecond, which the next alert would wait,
const VIEW_AFTER_MS: i64 = 50;
/// and one of a thousand alerts four: so many make it a ms longer.
const ALERTS_PER_MS: i64 = 4;

/// Groups refused for want of room, one after the other, after which an anchor is asked for.
const ANCHOR_AFTER: u64 = 16;
/// Bytes of a frozen state that are written after a group: a fraction of a ms, which the next alert may wait, and a few ms
/// where nothing else is to do.
const SLICE_BYTES: usize = 32 << 10;
const QUIET_SLICE_BYTES: usize = 2 << 20;

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Everything queued was taken, and the inlet is stopped: a clean end.
    #[error("drained")]
    Drained,
    /// The journal failed. What was acknowledged is on disk; start again once the disk is well.
    #[error("the journal failed")]
    Journal(#[from] AppendError),
    /// A record broke the engine, and the state without it cannot be made again.
    #[error("the state cannot be made again after a record broke the engine")]
    Broken(#[from] ReplayError),
    /// The thread that waits for the disk ended: its error says why.
    #[error("the release thread ended")]
    Released,
}

/// Everything the loop owns.
pub struct World {
    /// The data folder, and with it its lock.
    pub folder: DataFolder,
    /// The durable ordered input.
    pub journal: Box<dyn Journal>,
    /// The pure function of it.
    pub engine: Engine,
    /// Where groups come from.
    pub intake: Intake,
    /// Where what must happen goes, once durable.
    pub outlet: Outlet,
    /// Number of leaves written to the journal.
    pub leaves: u64,
    /// Stamp of the record of the last view.
    pub viewed: Millis,
    /// Whether something was decided since.
    pub behind: bool,
    /// How old the last view is at least when a new one is made because of that, in ms of stamps.
    pub view_after_ms: i64,
    /// What the keeper of checkpoints has to say.
    pub told: Receiver<Told>,
    /// Groups refused for want of room.
    pub refused: u64,
    /// A group that is stepped and whose leaves find no room: nothing else is written before them.
    pub owing: Option<Stepped>,
    /// How long to wait for a record before a tick, and after a refusal: [`TICK`], and nothing where time is simulated.
    pub wait: Duration,
}

impl World {
    /// The loop before its first turn.
    ///
    /// - `leaves`: how many the journal holds.
    /// - `told`: what the keeper of checkpoints has to say.
    pub fn new(
        folder: DataFolder,
        journal: SegmentJournal,
        engine: Engine,
        leaves: u64,
        intake: Intake,
        outlet: Outlet,
        told: Receiver<Told>,
    ) -> World {
        let journal = Box::new(journal);
        let (viewed, behind, view_after_ms, refused, owing, wait) = (Millis(0), false, VIEW_AFTER_MS, 0, None, TICK);
        World {
            folder,
            journal,
            engine,
            intake,
            outlet,
            leaves,
            viewed,
            behind,
            view_after_ms,
            told,
            refused,
            owing,
            wait,
        }
    }

    /// Keys hashes of foreign bytes.
    pub fn seed(&self) -> HashSeed {
        self.engine.seed()
    }
}

/// A group that is written and stepped.
pub struct Stepped {
    records: Vec<Record>,
    replies: Vec<Reply>,
    effects: Effects,
    leaves: Vec<Box<[u8]>>,
    /// Nobody else sent anything.
    quiet: bool,
    /// When it was taken.
    begun: Instant,
}

/// One turn of the only loop in `faultline run`.
pub fn turn(w: &mut World) -> Result<(), Stop> {
    while let Ok(told) = w.told.try_recv() {
        match told {
            Told::Taint => w.engine.taint(),
            Told::Trim(below) => {
                if let Err(error) = w.journal.trim(below) {
                    tracing::warn!(%error, %below, "the journal keeps what it could forget");
                }
            }
        }
    }
    let owing = w.owing.take();
    let waits = owing.is_some();
    let stepped = if waits { owing } else { take(w)? };
    let Some(stepped) = stepped else { return Ok(()) };
    match w.journal.append_leaves(&stepped.leaves) {
        Ok(()) => hand_over(w, stepped),
        Err(error @ AppendError::Full { .. }) => {
            if !waits {
                tracing::warn!(%error, "a group waits until there is room for its decisions");
            }
            wait_for_room(w, stepped, error)
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes, writes and steps a group; nothing where there was no room for it.
fn take(w: &mut World) -> Result<Option<Stepped>, Stop> {
    seal(w)?;
    let group = w.intake.take_group(w.wait, GROUP_BYTES, GROUP_COUNT);
    if group.is_empty() && w.intake.finished() {
        return Err(Stop::Drained);
    }
    let begun = Instant::now();
    let (mut decoded, mut replies): (Vec<Decoded>, Vec<Reply>) = (Vec::new(), Vec::new());
    for submitted in group {
        decoded.push(submitted.decoded);
        replies.push(submitted.reply);
    }
    let quiet = decoded.is_empty();
    if quiet {
        decoded.push(own(Kind::Tick, Vec::new(), w.seed()));
    }
    let Some((records, replies)) = append(w, decoded, replies)? else {
        // Room comes with an anchor, and the anchor with the last of these.
        write_pages(w, QUIET_SLICE_BYTES);
        return Ok(None);
    };
    let mut effects = Effects::default();
    let stepped = w.outlet.stages.time(Stage::Step, || caught(|| w.engine.step(&records, &mut effects)));
    if let Err(reason) = stepped {
        tracing::error!(%reason, "the engine broke: its state is made again from the newest checkpoint and the journal");
        effects = without_broken(w, &records)?;
    }
    let leaves = leaves_of(ENGINE_VERSION, &effects);
    Ok(Some(Stepped { records, replies, effects, leaves, quiet, begun }))
}

/// The disk has no room for the leaves of a group: it waits, and whoever sends meanwhile is refused. Nobody was told of it, and
/// a start writes what is missing.
fn wait_for_room(w: &mut World, stepped: Stepped, error: AppendError) -> Result<(), Stop> {
    w.outlet.keeper.push(Keep::MakeRoom);
    let group = w.intake.take_group(w.wait, GROUP_BYTES, GROUP_COUNT);
    if group.is_empty() && w.intake.finished() {
        return Err(error.into());
    }
    if !group.is_empty() {
        group.into_iter().for_each(|submitted| submitted.reply.disk_full());
        std::thread::sleep(w.wait);
    }
    write_pages(w, QUIET_SLICE_BYTES);
    w.owing = Some(stepped);
    Ok(())
}

/// Hands a group over whose leaves are written.
fn hand_over(w: &mut World, stepped: Stepped) -> Result<(), Stop> {
    let Stepped { mut records, replies, effects, leaves, quiet, begun } = stepped;
    let first_leaf = w.leaves;
    w.leaves += leaves.len() as u64;
    let stamp = records.last().map_or(w.viewed, |record| record.stamp.millis());
    let view = view(w, !leaves.is_empty(), stamp);
    let rejected = rejected_bodies(&records, &effects);
    let said = Said::of(&mut records, &w.outlet.waiting);
    let answers = replies.into_iter().zip(records.iter().map(|record| record.at)).collect();
    let batch = Batch {
        flush: w.journal.flush(),
        answers,
        effects,
        first_leaf,
        leaves,
        view,
        behind: w.behind,
        rejected,
        said,
        now: w.engine.now(),
        extent: w.journal.extent(),
        records: records.len() as u64,
        last: records.last().map(|record| record.at),
    };
    if w.outlet.push(batch) == Released::Ended {
        return Err(Stop::Released);
    }
    write_pages(w, if quiet { QUIET_SLICE_BYTES } else { SLICE_BYTES });
    w.outlet.stages.add(Stage::Turn, begun.elapsed());
    Ok(())
}

/// What readers are to see, where it is time for it. A group that decides something is on its way before the view of it is
/// made.
///
/// - `stamp`: of the group's last record.
fn view(w: &mut World, decided: bool, stamp: Millis) -> Option<Overview> {
    let age = stamp.since(w.viewed);
    let wanted = age >= if w.behind && !decided { w.view_after_ms } else { VIEW_EVERY_MS };
    w.behind = !wanted && (w.behind || decided);
    wanted.then(|| {
        let view = w.engine.overview();
        let rules = view.groups.iter().flat_map(|group| &group.rules);
        let alerts: usize = rules.filter_map(|rule| rule.alerting.as_ref()).map(|it| it.alerts.len()).sum();
        w.view_after_ms = VIEW_EVERY_MS.min(VIEW_AFTER_MS + alerts as i64 / ALERTS_PER_MS);
        w.viewed = stamp;
        view
    })
}

/// Writes some of a frozen state, if there is one.
fn write_pages(w: &mut World, bytes: usize) {
    if w.engine.frozen().is_some() && w.outlet.keeper.has_room() {
        let slice = w.outlet.stages.time(Stage::Pages, || w.engine.write_frozen(bytes));
        slice.into_iter().for_each(|slice| w.outlet.keeper.push(Keep::Slice(slice)));
    }
}

/// Records of a group, and who is told of each.
type Written = (Vec<Record>, Vec<Reply>);

/// Writes a group, and returns its records and who is told of them. Where there is no room, everyone is told so, but for what
/// leads to an anchor, below which the journal can forget: that is written alone. Nothing where nothing was written.
fn append(w: &mut World, group: Vec<Decoded>, replies: Vec<Reply>) -> Result<Option<Written>, Stop> {
    let leading: Vec<usize> = (0..group.len()).filter(|&i| group[i].payload.makes_room()).collect();
    let mut spared: Vec<Decoded> = leading.iter().map(|&i| group[i].clone()).collect();
    match w.journal.append(group) {
        Ok(records) => return Ok(Some((records, replies))),
        Err(error @ AppendError::Stopped { .. }) => return Err(error.into()),
        Err(error) => tracing::warn!(%error, "refused a group"),
    }
    w.outlet.keeper.push(Keep::MakeRoom);
    w.refused += 1;
    let (kept, refused): (Vec<_>, Vec<_>) = replies.into_iter().enumerate().partition(|(i, _)| leading.contains(i));
    refused.into_iter().for_each(|(_, reply)| reply.disk_full());
    if w.refused.is_multiple_of(ANCHOR_AFTER) && spared.is_empty() && !w.engine.awaits_digest() {
        // No anchor is on its way, and none was there that made room: a state could not be kept, or a crash lost it.
        spared.push(control(Control::Anchor, Vec::new(), w.seed()));
    }
    let kept = kept.into_iter().map(|(_, reply)| reply);
    match w.journal.append(spared) {
        Ok(records) if !records.is_empty() => Ok(Some((records, kept.collect()))),
        Err(error @ AppendError::Stopped { .. }) => Err(error.into()),
        _ => {
            kept.for_each(Reply::disk_full);
            std::thread::sleep(w.wait);
            Ok(None)
        }
    }
}

/// Makes the state again after `step` broke amid `group`: as a start does, from the newest checkpoint and what the journal
/// holds, the group with it, without the records on which it breaks. Returns the effects of the group.
fn without_broken(w: &mut World, group: &[Record]) -> Result<Effects, Stop> {
    struct Collect {
        from: Option<Position>,
        effects: Effects,
    }
    impl Watch for Collect {
        fn stepped(&mut self, record: &Record, effects: Effects) {
            if Some(record.at) >= self.from {
                self.effects.list.extend(effects.list);
            }
        }
        fn leaves(&mut self, _: u64, _: &[Box<[u8]>]) {}
    }
    // A state is large; this one is of no use any more.
    w.engine = Engine::new(w.seed());
    let journal = &*w.journal;
    let reader = || journal.reader();
    let origin = Origin::latest(&w.folder, &reader);
    let mut collect = Collect { from: group.first().map(|record| record.at), effects: Effects::default() };
    let mut replay = Replay::new(&origin)?;
    replay.run(&origin, &mut collect)?;
    // Leaves that the journal holds are never written again, and none is left out.
    let missing = (replay.leaves, Vec::from(replay.missing));
    assert_eq!(
        missing,
        (w.leaves, leaves_of(ENGINE_VERSION, &collect.effects)),
        "none of the group's leaves is written yet"
    );
    w.engine = replay.engine;
    if let Some(last) = group.last() {
        w.outlet.keeper.push(Keep::Lost(last.at));
    }
    Ok(collect.effects)
}

/// Writes the leaves of full segments whose digests have been taken since, as a batch of their own, and says whether there
/// were any. They stand behind everything that was decided so far; replay passes over them, `verify` checks them.
pub fn seal(w: &mut World) -> Result<bool, Stop> {
    let leaf = |sealed| LedgerEntry::sealed(ENGINE_VERSION, sealed).leaf_bytes().into();
    let leaves: Vec<Box<[u8]>> = w.journal.sealed().into_iter().map(leaf).collect();
    if leaves.is_empty() {
        return Ok(false);
    }
    match w.journal.append_leaves(&leaves) {
        Ok(()) => {}
        // The journal tells of them again.
        Err(AppendError::Full { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let first_leaf = w.leaves;
    w.leaves += if mutant!("leaves of segments not counted") { 0 } else { leaves.len() as u64 };
    let batch = Batch {
        flush: w.journal.flush(),
        answers: Vec::new(),
        effects: Effects::default(),
        first_leaf,
        leaves,
        view: None,
        behind: w.behind,
        rejected: Vec::new(),
        said: Said::default(),
        now: w.engine.now(),
        extent: w.journal.extent(),
        records: 0,
        last: None,
    };
    match w.outlet.push(batch) {
        Released::Going => Ok(true),
        Released::Ended => Err(Stop::Released),
    }
}

/// What the decoder and `step` refused of each record, with who sent it and what.
fn rejected_bodies(records: &[Record], effects: &Effects) -> Vec<RejectedBody> {
    let mut by_step: BTreeMap<Position, Vec<Reject>> = BTreeMap::new();
    for effect in &effects.list {
        if let Effect::Rejected(rejected) = effect {
            by_step.entry(rejected.at).or_default().push(rejected.reject.clone());
        }
    }
    let of = |record: &Record| {
        let decoded = &record.decoded;
        let source = match decoded.payload.kind {
            Kind::Telemetry { source, .. } => Some(source),
            _ => None,
        };
        let rejects = [decoded.rejects.clone(), by_step.remove(&record.at).unwrap_or_default()].concat();
        let body = decoded.payload.body.clone();
        (!rejects.is_empty()).then_some(RejectedBody { at: record.at, source, rejects, body })
    };
    records.iter().filter_map(of).collect()
}

/// The leaves of a batch's decisions, in ledger order.
///
/// - `version`: the engine version in force.
pub fn leaves_of(version: u32, effects: &Effects) -> Vec<Box<[u8]>> {
    let mut leaves: Vec<Box<[u8]>> = effects
        .decisions()
        .map(|(id, decision)| LedgerEntry::decided(version, id, decision.clone()).leaf_bytes().into())
        .collect();
    if mutant!("leaves out of order") {
        leaves.reverse();
    }
    leaves
}

/// A record of our own, decoded.
pub fn own(kind: Kind, body: Vec<u8>, seed: HashSeed) -> Decoded {
    decode(Payload { tenant: TenantId(0), kind, body: body.into() }, seed)
}

/// A control record, decoded.
pub fn control(control: Control, body: Vec<u8>, seed: HashSeed) -> Decoded {
    own(Kind::Control(control), body, seed)
}

/// What `step` refused of the record at `at`, for its sender.
pub fn refused(effects: &Effects, at: Position) -> Vec<Reject> {
    let of = |effect: &Effect| match effect {
        Effect::Rejected(rejected) if rejected.at == at => Some(rejected.reject.clone()),
        _ => None,
    };
    effects.list.iter().filter_map(of).collect()
}
