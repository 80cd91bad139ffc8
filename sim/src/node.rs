//! One life of a process: what `faultline run` builds, on the simulated disk, each of its threads stepped by hand.
use crate::disk::SimDisk;
use crate::oracle::{Broken, broken};
use faultline::explainer::{answer, weights};
use faultline::keeper::{Done, Keep, Keeper, KeeperWork, Told, covered, keeper_queue};
use faultline::ledger_feed::LedgerFeed;
use faultline::published::Published;
use faultline::recaller;
use faultline::release::{Batch, Doors, Outlet, release};
use faultline::reviser;
use faultline::run::{Opened, open, opening, seal_the_rest};
use faultline::show::{Shown, show_one, shown};
use faultline::tiles::Tiles;
use faultline::world::{Stop, World, own, turn};
use faultline_engine::{Ask, Recall, ReplicaLabels, Revise};
use faultline_host::{Clock, Disk, Inlet, Limits, ManualClock, Pending, Reader, Refused, inlet};
use faultline_ledger::{Head, Signer};
use faultline_model::{Canonical, EffectId, HashSeed, Kind, Recalled, Revisited};
use faultline_storage::{CheckpointStore, Cursors, DataFolder, Preparer, Sealer, Settings};
use std::collections::VecDeque;
use std::error::Error;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Keys the hashes of simulated journals.
pub const SEED: HashSeed = HashSeed(0xfa17);
/// Where the data folder is.
pub const DATA: &str = "data";
/// Groups that may wait for the disk at once.
const IN_FLIGHT: usize = 3;
/// How often a checkpoint waits for a signed head before it is given up.
const HEADS_MISSED: u32 = 4;
/// What senders may have under way.
pub const INLET: Limits =
    Limits { bytes: 256 << 10, count: 24, reading: 256 << 10, retry_after: Duration::from_millis(500) };

/// Why a process ended by itself.
pub type Ended = Box<dyn Error>;

/// The key of every simulated ledger.
pub fn signer() -> Signer {
    Signer::new("faultline/sim", &[7; 32]).expect("a good name")
}

/// A process that runs.
pub struct Node {
    /// The loop's own.
    pub world: World,
    /// Where senders hand in.
    pub inlet: Inlet,
    /// What sinks read.
    pub feed: Arc<LedgerFeed>,
    /// Where sinks are.
    pub cursors: Arc<Mutex<Cursors>>,
    /// A tail that a crash had torn was cut off.
    pub torn: bool,
    /// It began with a checkpoint.
    pub restored: bool,
    /// Asks that are not yet answered.
    pub asks: VecDeque<(EffectId, Ask)>,
    /// The asks that the start posted.
    pub posted: Vec<EffectId>,
    /// Anchors whose checkpoints were written.
    pub checkpoints: u64,
    /// Answers of the recent store, with something in them.
    pub recalls: u64,
    /// The same to late samples.
    pub revisits: u64,
    /// Whether a state was not kept for no good reason.
    pub lost: bool,
    /// Whether there was one: a nearly full disk, or a head that did not come for a state or one before.
    pub may_lose: bool,
    limit: u64,
    tiles: Tiles,
    in_flight: VecDeque<Receiver<Batch>>,
    doors: Doors,
    shown: Receiver<Shown>,
    /// What readers are shown, the recent store with it.
    published: Published,
    kept: KeeperWork,
    keeper: Keeper,
    /// Work that waits for a signed head, and how often none had come.
    anchored: Option<Keep>,
    heads_missed: u32,
    /// Answers that are handed in and not yet durable; without a pending one: those that found no room.
    answers: Vec<(EffectId, Vec<u8>, Option<Pending>)>,
    asked: Receiver<(EffectId, Ask)>,
    recalled: Receiver<(EffectId, Recall)>,
    revised: Receiver<(EffectId, Revise)>,
    told: Sender<Told>,
    sealer: Sealer,
    preparer: Preparer,
    /// A reply that comes late: offered after the next one.
    late: Option<(EffectId, Vec<Vec<u8>>)>,
}

impl Node {
    /// Starts a process as `run::start` does, but for sockets and threads.
    pub fn start(disk: &SimDisk, settings: Settings, clock: &Arc<ManualClock>, rules: u64) -> Result<Node, Ended> {
        let on: Arc<dyn Disk> = Arc::new(disk.clone());
        let clock: Arc<dyn Clock> = clock.clone();
        let folder = DataFolder::open(on, Path::new(DATA), [9; 16])?;
        let published = Published::default();
        let opened = open(&folder, settings, &clock, |_| Ok(signer()), SEED, &published)?;
        let Opened { journal, recovered, replay, ledger, ledger_reader, cursors, .. } = opened;
        let (inlet, intake) = inlet(INLET);
        let (feed, groups) = LedgerFeed::new(replay.leaves, ledger.head(), ledger_reader);
        feed.never_wait();
        let feed = Arc::new(feed);
        let tiles = Tiles::new(ledger, groups, feed.clone(), journal.readers());
        let (keeper, kept) = keeper_queue();
        let (told_in, told) = channel();
        let (asks, asked) = channel();
        let (recalls, recalled) = channel();
        let (revises, revised) = channel();
        let mut posted = Vec::new();
        for (id, ask) in replay.engine.unanswered() {
            posted.push(id);
            match ask {
                Ask::Recall(asked) => recalls.send((id, *asked))?,
                Ask::Revise(asked) => revises.send((id, *asked))?,
                ask => asks.send((id, ask))?,
            }
        }
        let (outlet, _) = Outlet::new(keeper.clone());
        let (shown_in, shown) = shown();
        let stages = outlet.stages.clone();
        let doors = Doors { ledger: feed.clone(), shown: shown_in, asks, recalls, revises, keeper, stages };
        let keeper = Keeper::new(CheckpointStore::open(&folder)?)?;
        let (sealer, preparer) = (journal.sealer(), journal.preparer());
        let restored = replay.records < replay.last.map_or(0, |last| last.offset + 1);
        // Bodies are small here beside what the journal takes around them: anchors, which count bodies, come as much earlier.
        let records =
            opening(settings.limit / 8, None, &ReplicaLabels::default(), "", &crate::senders::rules(rules), &replay);
        let mut world = World::new(folder, journal, replay.engine, replay.leaves, intake, outlet, told);
        world.wait = Duration::ZERO;
        for record in records {
            let _nobody = inlet.offer(record)?;
        }
        Ok(Node {
            world,
            inlet,
            feed,
            cursors: Arc::new(Mutex::new(cursors)),
            torn: recovered.torn.is_some(),
            restored,
            asks: VecDeque::new(),
            posted,
            checkpoints: 0,
            recalls: 0,
            revisits: 0,
            lost: false,
            may_lose: false,
            limit: settings.limit,
            tiles,
            in_flight: VecDeque::new(),
            doors,
            shown,
            published,
            kept,
            keeper,
            anchored: None,
            heads_missed: 0,
            answers: Vec::new(),
            asked,
            recalled,
            revised,
            told: told_in,
            sealer,
            preparer,
            late: None,
        })
    }

    /// A reader of the journal.
    pub fn reader(&self) -> Box<dyn Reader> {
        self.world.journal.reader()
    }

    /// The head signed last.
    pub fn head(&self) -> Option<Head> {
        self.tiles.head()
    }

    /// How many groups wait for the disk.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// One turn of the loop; true where it had drained.
    pub fn turn(&mut self) -> Result<bool, Ended> {
        while self.in_flight.len() >= IN_FLIGHT {
            self.release()?;
        }
        let (outlet, batches) = Outlet::new(self.doors.keeper.clone());
        self.world.outlet = outlet;
        let result = turn(&mut self.world);
        // The sender goes, so that a release ends once it has worked off what is there.
        self.world.outlet = Outlet::new(self.doors.keeper.clone()).0;
        self.in_flight.push_back(batches);
        match result {
            Ok(()) => Ok(false),
            Err(Stop::Drained) => Ok(true),
            Err(stop) => Err(stop.into()),
        }
    }

    /// The release of the oldest group that waits.
    pub fn release(&mut self) -> Result<(), Ended> {
        if let Some(batches) = self.in_flight.pop_front() {
            release(batches, &self.doors)?;
            while let Ok(group) = self.shown.try_recv() {
                show_one(group, &self.published);
            }
            while let Ok(ask) = self.asked.try_recv() {
                self.asks.push_back(ask);
            }
            while let Ok((id, asked)) = self.recalled.try_recv() {
                self.asks.push_back((id, Ask::Recall(Box::new(asked))));
            }
            while let Ok((id, asked)) = self.revised.try_recv() {
                self.asks.push_back((id, Ask::Revise(Box::new(asked))));
            }
        }
        Ok(())
    }

    /// Everything that waits for the disk is released.
    pub fn release_all(&mut self) -> Result<(), Ended> {
        while !self.in_flight.is_empty() {
            self.release()?;
        }
        Ok(())
    }

    /// The thread of tiles: takes what waits for it.
    pub fn tiles(&mut self) -> Result<(), Ended> {
        Ok(self.tiles.take_waiting()?)
    }

    /// Whether tiles wait for room.
    pub fn tiles_wait(&self) -> bool {
        self.tiles.waits()
    }

    /// The thread of tiles: signs a head.
    pub fn publish(&mut self) -> Result<Option<Head>, Ended> {
        self.tiles()?;
        self.tiles.publish()?;
        Ok(self.tiles.head())
    }

    /// The thread of digests.
    pub fn seal(&mut self) -> Result<bool, Ended> {
        // Its thread says why, and tries again later.
        Ok(self.sealer.seal(Duration::ZERO).unwrap_or(false))
    }

    /// The thread that makes segments ready: a full disk is no end.
    pub fn prepare(&mut self) {
        let _full_or_stopped = self.preparer.prepare(Duration::ZERO);
    }

    /// The thread that keeps checkpoints: works off what waits for it.
    pub fn keep(&mut self) -> Result<(), Ended> {
        let wants_room = self.world.journal.extent().bytes > self.limit / 2;
        while let Some(work) = self.anchored.take().or_else(|| self.kept.try_next()) {
            if let Keep::Anchored { leaves, .. } = work
                && !self.feed.published(leaves, Duration::ZERO)
                && self.heads_missed < HEADS_MISSED
            {
                // Its thread waits for the head.
                (self.anchored, self.heads_missed) = (Some(work), self.heads_missed + 1);
                break;
            }
            self.heads_missed = 0;
            let work = covered(work, &self.feed);
            self.checkpoints += u64::from(matches!(work, Keep::Anchored { .. }));
            self.may_lose |= matches!(work, Keep::Lost(_));
            for done in self.keeper.take(work, wants_room) {
                match done {
                    Done::Answer(id, state) => self.reply(id, state.to_bytes()),
                    Done::Trim(below) => self.told.send(Told::Trim(below))?,
                    Done::Lost => {
                        self.lost |= !self.may_lose;
                        self.told.send(Told::Taint)?;
                    }
                }
            }
        }
        self.hand_in();
        Ok(())
    }

    /// Answers that found no room are handed in again.
    fn hand_in(&mut self) {
        let (inlet, seed) = (&self.inlet, self.world.seed());
        self.answers.retain_mut(|(id, body, pending)| {
            let mut context = Context::from_waker(Waker::noop());
            match pending.as_mut().map(|pending| Pin::new(pending).poll(&mut context)) {
                Some(Poll::Pending) => return true,
                Some(Poll::Ready(Err(Refused::Full { .. } | Refused::DiskFull { .. }))) | None => {}
                Some(Poll::Ready(_)) => return false,
            }
            match inlet.offer(own(Kind::Reply(*id), body.clone(), seed)) {
                Ok(again) => *pending = Some(again),
                Err(Refused::Full { .. } | Refused::DiskFull { .. }) => *pending = None,
                Err(_) => return false,
            }
            true
        });
    }

    /// The thread that answers asks: see `Event::Explain`.
    pub fn explain(&mut self, how: u64) -> Result<bool, Broken> {
        self.hand_in();
        let Some((id, ask)) = self.asks.pop_front() else { return Ok(false) };
        let bodies = match ask {
            Ask::Explain(evidence) => vec![answer(&evidence)],
            Ask::Learn(lessons) => vec![weights(&lessons)],
            Ask::Recall(asked) => {
                let records = recaller::answer(self.published.store().recent(), &asked);
                let is_whole = |record: &Vec<u8>| Recalled::from_bytes(record).is_ok_and(|it| !it.parts.is_empty());
                self.recalls += u64::from(records.iter().any(is_whole));
                records
            }
            Ask::Revise(asked) => {
                let body = reviser::answer(self.published.store().recent(), &asked, &AtomicBool::new(false));
                let is_whole = |body: &Vec<u8>| Revisited::from_bytes(body).is_ok_and(|it| it.reason.is_empty());
                self.revisits += u64::from(body.as_ref().is_some_and(is_whole));
                body.into_iter().collect()
            }
            Ask::Hash(_) => return Ok(false),
        };
        let all = |bodies: Vec<Vec<u8>>, node: &mut Node| bodies.into_iter().for_each(|body| node.reply(id, body));
        match how {
            // Late: another comes first.
            1 if self.late.is_none() => self.late = Some((id, bodies)),
            2 => {
                all(bodies.clone(), self);
                all(bodies, self);
            }
            // Never: a restart asks again.
            3 => {}
            // To a question that nobody asked.
            4 => {
                let other = EffectId { ordinal: id.ordinal + 40, ..id };
                bodies.iter().for_each(|body| self.reply(other, body.clone()));
                all(bodies, self);
            }
            _ => all(bodies, self),
        }
        if how != 1
            && let Some((id, bodies)) = self.late.take()
        {
            bodies.into_iter().for_each(|body| self.reply(id, body));
        }
        if self.inlet.load().1 > INLET.count {
            return broken("bounds", format!("{} records are under way", self.inlet.load().1));
        }
        Ok(true)
    }

    fn reply(&mut self, id: EffectId, body: Vec<u8>) {
        self.answers.push((id, body, None));
        self.hand_in();
    }

    /// Whether nothing is left to do but what a tick may bring.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
            && self.asks.is_empty()
            && self.answers.is_empty()
            && self.late.is_none()
            && self.inlet.load().1 == 0
    }

    /// Ends as SIGTERM ends it: what was received is finished, full segments get their leaf, heads cover all of it.
    pub fn stop(mut self) -> Result<Option<Head>, Ended> {
        self.inlet.stop();
        while !self.turn()? {}
        self.release_all()?;
        // All digests first, so that the leaves come in one group: nobody releases while the loop writes them.
        while self.seal()? {}
        let (outlet, batches) = Outlet::new(self.doors.keeper.clone());
        self.world.outlet = outlet;
        let rest = seal_the_rest(&mut self.world, &self.sealer);
        self.world.outlet = Outlet::new(self.doors.keeper.clone()).0;
        release(batches, &self.doors)?;
        rest?;
        let head = self.publish()?;
        self.world.journal.close()?;
        Ok(head)
    }
}
