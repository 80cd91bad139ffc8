//! What `faultline run` builds, on any disk and without threads: the same `turn` and the same `release`, one after the other.
use faultline::keeper::{Done, Keep, Keeper, KeeperQueue, KeeperWork, Told, keeper_queue};
use faultline::ledger_feed::LedgerFeed;
use faultline::published::Published;
use faultline::recaller;
use faultline::release::{Doors, Outlet, release};
use faultline::reviser;
use faultline::run::{Opened, open, upgrade};
use faultline::show::{Shown, show_one, shown};
use faultline::tiles::Tiles;
use faultline::world::{World, control, seal, turn};
use faultline_engine::{Ask, Recall, Revise};
use faultline_formats::Decoded;
use faultline_host::{Answer, Clock, Disk, Inlet, Limits, ManualClock, Reader, inlet};
use faultline_ledger::Signer;
use faultline_model::{Canonical, Control, Digest, EffectId, HashSeed};
use faultline_storage::{CheckpointStore, Cursors, DataFolder, Sealer, Settings};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Why a node ended: the disk failed somewhere.
pub type Ended = Box<dyn Error>;

/// Keys the hashes of these journals.
pub const SEED: HashSeed = HashSeed(0xbeef);
/// Name of the sink's cursor.
const CURSOR: &str = "sink";

/// A server in pieces, driven by hand.
pub struct Node {
    pub world: World,
    pub inlet: Inlet,
    doors: Doors,
    shown: std::sync::mpsc::Receiver<Shown>,
    published: Published,
    feed: Arc<LedgerFeed>,
    tiles: Tiles,
    cursors: Cursors,
    keep_in: KeeperQueue,
    keep_out: KeeperWork,
    keeper: Keeper,
    asks_out: Receiver<(EffectId, Ask)>,
    recalls_out: Receiver<(EffectId, Recall)>,
    revises_out: Receiver<(EffectId, Revise)>,
    told: Sender<Told>,
    sealer: Sealer,
}

/// What a sink of this process handed on: number of the leaf, and its bytes.
pub type Delivered = Vec<(u64, Box<[u8]>)>;

impl Node {
    /// Opens the folder, recovers as `run::start` does, and is ready for turns.
    pub fn open(
        disk: &Arc<dyn Disk>,
        data: &Path,
        settings: Settings,
        signer: impl FnOnce(&DataFolder) -> Signer,
        clock: &Arc<ManualClock>,
    ) -> Result<Node, Ended> {
        let folder = DataFolder::open(disk.clone(), data, [9; 16])?;
        let clock: Arc<dyn Clock> = clock.clone();
        let signer = |folder: &DataFolder| Ok(signer(folder));
        let published = Published::default();
        let opened = open(&folder, settings, &clock, signer, SEED, &published)?;
        let Opened { journal, replay, ledger, ledger_reader, cursors, .. } = opened;
        let (sealer, readers) = (journal.sealer(), journal.readers());
        let (inlet, intake) =
            inlet(Limits { bytes: 16 << 20, count: 1_024, reading: 16 << 20, retry_after: Duration::from_millis(1) });
        let (feed, groups) = LedgerFeed::new(replay.leaves, ledger.head(), ledger_reader);
        let feed = Arc::new(feed);
        let tiles = Tiles::new(ledger, groups, feed.clone(), readers);
        let (keep_in, keep_out) = keeper_queue();
        let (told, told_out) = channel();
        let (asks, asks_out) = channel();
        let (recalls, recalls_out) = channel();
        let (revises, revises_out) = channel();
        for (id, ask) in replay.engine.unanswered() {
            match ask {
                Ask::Recall(asked) => recalls.send((id, *asked))?,
                Ask::Revise(asked) => revises.send((id, *asked))?,
                ask => asks.send((id, ask))?,
            }
        }
        let upgrade = upgrade(&replay);
        let (outlet, _) = Outlet::new(keep_in.clone());
        let (shown, shown_out) = shown();
        let doors = Doors {
            ledger: feed.clone(),
            shown,
            asks,
            recalls,
            revises,
            keeper: keep_in.clone(),
            stages: outlet.stages.clone(),
        };
        let keeper = Keeper::new(CheckpointStore::open(&folder)?)?;
        let world = World::new(folder, journal, replay.engine, replay.leaves, intake, outlet, told_out);
        let node = Node {
            world,
            inlet,
            doors,
            shown: shown_out,
            published,
            feed,
            tiles,
            cursors,
            keep_in,
            keep_out,
            asks_out,
            recalls_out,
            revises_out,
            told,
            keeper,
            sealer,
        };
        let started = control(Control::Started, Vec::new(), SEED);
        upgrade.into_iter().chain([started]).for_each(|record| node.offer_own(record));
        Ok(node)
    }

    /// Queues a record of our own whose answer nobody waits for.
    pub fn offer_own(&self, decoded: Decoded) {
        let _nobody = self.inlet.offer(decoded).expect("the inlet has room");
    }

    /// One turn over `group` up to the point where only the flush is missing, then `before_flush`, then the release.
    /// Returns the answer of each record; those of a turn that ended early got none.
    pub fn turn(
        &mut self,
        group: Vec<Decoded>,
        before_flush: impl FnOnce(),
    ) -> (Vec<Option<Answer>>, Result<(), Ended>) {
        let pending: Vec<_> = group.into_iter().map(|decoded| self.inlet.offer(decoded).expect("room")).collect();
        let (outlet, batches) = Outlet::new(self.keep_in.clone());
        self.world.outlet = outlet;
        let result = turn(&mut self.world);
        // The sender goes, so that the release ends once it has worked off what is there.
        self.world.outlet = Outlet::new(self.keep_in.clone()).0;
        let result = match result {
            Ok(()) => {
                before_flush();
                let result = release(batches, &self.doors).map_err(Ended::from);
                while let Ok(group) = self.shown.try_recv() {
                    show_one(group, &self.published);
                }
                result
            }
            Err(stop) => {
                drop(batches);
                Err(stop.into())
            }
        };
        let answers = match &result {
            Ok(()) => pending.into_iter().map(|pending| pending.wait().ok()).collect(),
            // What the loop did not take is still queued and never answered; what it took was dropped.
            Err(_) => {
                self.inlet.stop();
                Vec::new()
            }
        };
        (answers, result)
    }

    /// What the other threads do after a turn: answers to asks, tiles and heads, checkpoints, trims.
    pub fn chores(&mut self, publish: bool, trim: bool) -> Result<(), Ended> {
        while let Ok((id, ask)) = self.asks_out.try_recv() {
            let body = faultline::explainer::answer_to(&ask).expect("states go to the keeper");
            self.reply(id, body);
        }
        while let Ok((id, asked)) = self.recalls_out.try_recv() {
            let records = recaller::answer(self.published.store().recent(), &asked);
            records.into_iter().for_each(|body| self.reply(id, body));
        }
        while let Ok((id, asked)) = self.revises_out.try_recv() {
            let body = reviser::answer(self.published.store().recent(), &asked, &AtomicBool::new(false));
            self.reply(id, body.expect("nobody stops it"));
        }
        self.tiles()?;
        let kept: Vec<Keep> = std::iter::from_fn(|| self.keep_out.try_next()).collect();
        if publish || kept.iter().any(|work| matches!(work, Keep::Anchored { .. })) {
            self.tiles.publish()?;
            // Now and then, so that leaves follow their segments some groups later.
            while self.sealer.seal(Duration::ZERO)? {}
        }
        for work in kept {
            for done in self.keeper.take(work, trim) {
                match done {
                    Done::Answer(id, state) => self.reply(id, state.to_bytes()),
                    Done::Trim(below) => self.told.send(Told::Trim(below))?,
                    Done::Lost => self.told.send(Told::Taint)?,
                }
            }
        }
        Ok(())
    }

    /// A keeper that cannot keep anything: each state that it is asked for is lost.
    pub fn lose_states(&mut self) {
        while let Some(ask) = self.state_asked() {
            self.reply(ask, None::<Digest>.to_bytes());
        }
    }

    /// An ask for a state's digest that nobody answers then.
    pub fn state_asked(&mut self) -> Option<EffectId> {
        std::iter::from_fn(|| self.keep_out.try_next()).find_map(|work| match work {
            Keep::Begun { ask, .. } => Some(ask),
            _ => None,
        })
    }

    /// Takes leaves to the tiles.
    pub fn tiles(&mut self) -> Result<(), Ended> {
        Ok(self.tiles.take_waiting()?)
    }

    fn reply(&self, id: EffectId, body: Vec<u8>) {
        self.offer_own(faultline::world::own(faultline_model::Kind::Reply(id), body, SEED));
    }

    /// A sink at work: hands on what is durable in the journal and notes how far it is; a crash between the two makes the
    /// next process hand it on again.
    pub fn deliver(&mut self, delivered: &mut Delivered) -> Result<(), Ended> {
        let from = self.cursor()?;
        let leaves = self.feed.read(from, usize::MAX)?;
        delivered.extend((from..).zip(leaves.iter().cloned()));
        if !leaves.is_empty() {
            self.cursors.set(CURSOR, &(from + leaves.len() as u64).to_le_bytes())?;
        }
        Ok(())
    }

    fn cursor(&self) -> Result<u64, Ended> {
        Ok(self.cursors.get(CURSOR).map(<[u8; 8]>::try_from).transpose()?.map_or(0, u64::from_le_bytes))
    }

    /// A reader of the journal.
    pub fn reader(&self) -> Box<dyn Reader> {
        self.world.journal.reader()
    }

    /// Leaves in the journal.
    pub fn leaves(&self) -> u64 {
        self.world.leaves
    }

    /// The signed head.
    pub fn head(&self) -> Option<faultline_ledger::Head> {
        self.tiles.head()
    }

    /// What `run` does before a clean stop: no full segment stays without its leaf.
    pub fn seal(&mut self) -> Result<(), Ended> {
        while self.sealer.seal(Duration::ZERO)? || self.seal_once()? {}
        Ok(())
    }

    fn seal_once(&mut self) -> Result<bool, Ended> {
        let (outlet, batches) = Outlet::new(self.keep_in.clone());
        self.world.outlet = outlet;
        let result = seal(&mut self.world);
        self.world.outlet = Outlet::new(self.keep_in.clone()).0;
        release(batches, &self.doors)?;
        Ok(result?)
    }

    /// Ends cleanly.
    pub fn close(mut self) -> Result<(), Ended> {
        self.seal()?;
        self.close_unsealed()
    }

    /// Ends cleanly, but for the leaves of full segments.
    pub fn close_unsealed(mut self) -> Result<(), Ended> {
        self.chores(true, false)?;
        self.world.journal.close()?;
        Ok(())
    }
}
