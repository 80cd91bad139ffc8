//! The server's own loop on a simulated clock and a disk in memory, on one thread.
//!
//! `turn`, journal, engine, leaves and explanations are the product's; only the threads around the loop are played here, one after the
//! other. An explanation is answered at the instant at which it was asked for: its real time is measured beside
//! ([`Server::slowest_explanation`]).
use faultline::keeper::{Done, Keep, Keeper, KeeperQueue, KeeperWork, Told, keeper_queue};
use faultline::release::{Batch, Outlet};
use faultline::world::{TICK, World, control, own, turn};
use faultline::{explainer, rule_files};
use faultline_engine::{Ask, ENGINE_VERSION, Effect, Engine};
use faultline_formats::Decoded;
use faultline_host::{Answer, Clock, Inlet, Journal, Limits, ManualClock, MemoryDisk, inlet};
use faultline_model::facts::{Decision, Evidence, Lessons};
use faultline_model::{
    Canonical, Control, EffectId, Evaluation, Genesis, HashSeed, Kind, Millis, RuleFile, RuleFiles, Setting,
};
use faultline_storage::{CheckpointStore, DataFolder, Sealer, SegmentJournal, Settings};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Small segments: trimming gives memory back early.
const SEGMENT_BYTES: u64 = 16 << 20;
/// The most that the journal may hold: the whole import, which no anchor lets go of, and the time between two anchors.
const JOURNAL_BYTES: u64 = 4 << 30;
/// A step of the whole estate at once, and room for our own records.
const INLET: Limits =
    Limits { bytes: 1 << 30, reading: 1 << 30, count: 4_096, retry_after: Duration::from_millis(100) };

/// Where the server's decisions are told of, in order, once durable.
pub trait Watch {
    /// A decision, at an instant of the simulated clock.
    fn decided(&mut self, at: Millis, decision: &Decision);
    /// Evidence that was frozen, before its verdict is decided.
    fn asked(&mut self, at: Millis, evidence: &Evidence);
}

/// A server.
pub struct Server {
    world: World,
    inlet: Inlet,
    clock: Arc<ManualClock>,
    batches: Receiver<Batch>,
    keeper: Keeper,
    keep_in: KeeperQueue,
    keep: KeeperWork,
    told: Sender<Told>,
    /// Nothing is trimmed that has no leaf.
    sealer: Sealer,
    slowest: Duration,
    slowest_learning: Duration,
    /// What is to be learned, until [`Server::learn`].
    lessons: Option<(EffectId, Box<Lessons>)>,
}

/// What a server's users have set up beside what ships.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Rule files, beside the built-in one.
    pub rules: Vec<RuleFile>,
    /// Settings.
    pub settings: Vec<Setting>,
}

impl Server {
    /// A new server at `now`, with the built-in rules as the demo has them.
    pub fn start(now: Millis, seed: HashSeed) -> Result<Server, Box<dyn Error>> {
        Server::start_with(now, seed, Setup::default())
    }

    /// The same with what its users have set up.
    pub fn start_with(now: Millis, seed: HashSeed, setup: Setup) -> Result<Server, Box<dyn Error>> {
        let clock = Arc::new(ManualClock::at(now));
        let disk = Arc::new(MemoryDisk::new(2 * JOURNAL_BYTES));
        let folder = DataFolder::open(disk, Path::new("/eval"), [7; 16])?;
        let settings = Settings { segment_size: SEGMENT_BYTES, limit: JOURNAL_BYTES };
        let (mut journal, _) = SegmentJournal::open(&folder, settings, clock.clone(), None)?;
        let sealer = journal.sealer();
        let genesis = Genesis { format: 1, journal: folder.journal_id(), seed, created: now };
        let version = control(Control::EngineVersion, ENGINE_VERSION.to_bytes(), seed);
        journal.append(vec![control(Control::Genesis, genesis.to_bytes(), seed), version])?;
        journal.flush().wait()?;
        let (inlet, intake) = inlet(INLET);
        let keeper = Keeper::new(CheckpointStore::open(&folder)?)?;
        let (keep_in, keep) = keeper_queue();
        let (outlet, batches) = Outlet::new(keep_in.clone());
        let (told_in, told) = channel();
        let world = World::new(folder, journal, Engine::new(seed), 0, intake, outlet, told);
        let (told, slowest, slowest_learning) = (told_in, Duration::ZERO, Duration::ZERO);
        let mut server = Server {
            world,
            inlet,
            clock,
            batches,
            keeper,
            keep_in,
            keep,
            told,
            sealer,
            slowest,
            slowest_learning,
            lessons: None,
        };
        let builtin = RuleFile { name: rule_files::BUILTIN_NAME.into(), text: faultline_rules::BUILTIN.into() };
        let mut files: Vec<RuleFile> = [builtin].into_iter().chain(setup.rules).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let rules = RuleFiles {
            files,
            default_evaluation: Evaluation::Stream,
            default_interval: 60_000,
            ..RuleFiles::default()
        };
        let began = [(Control::Started, Vec::new()), (Control::Rules, rules.to_bytes())];
        let settings = setup.settings.iter().map(|setting| (Control::Setting, setting.to_bytes()));
        let began = began.into_iter().chain(settings).map(|(kind, body)| control(kind, body, seed));
        let mut refusals = Refusals::default();
        server.take(now, began.collect(), &mut refusals)?;
        if let Some(refused) = refusals.0.first() {
            return Err(refused.clone().into());
        }
        Ok(server)
    }

    /// What the real clock measured for the slowest explanation so far.
    pub fn slowest_explanation(&self) -> Duration {
        self.slowest
    }

    /// The same of what was learned from closed incidents.
    pub fn slowest_learning(&self) -> Duration {
        self.slowest_learning
    }

    /// Lets time pass to `at`, with a tick after each 100 ms without a record, and takes what arrives then.
    pub fn take(&mut self, at: Millis, records: Vec<Decoded>, watch: &mut dyn Watch) -> Result<(), Box<dyn Error>> {
        self.wait(at, TICK, watch)?;
        self.clock.set(at);
        for record in records {
            self.offer(record)?;
        }
        self.settle(at, watch)
    }

    /// Learns from all incidents closed so far, as the learning thread does when it comes to it.
    pub fn learn(&mut self, watch: &mut dyn Watch) -> Result<(), Box<dyn Error>> {
        while let Some((id, lessons)) = self.lessons.take() {
            let began = Instant::now();
            let body = explainer::weights(&lessons);
            self.slowest_learning = self.slowest_learning.max(began.elapsed());
            self.offer(own(Kind::Reply(id), body, self.world.seed()))?;
            self.settle(self.clock.now(), watch)?;
        }
        Ok(())
    }

    /// Lets time pass to `at` in which nothing arrives, with a tick each `every`: nothing is due more often than it is told of.
    pub fn wait(&mut self, at: Millis, every: Duration, watch: &mut dyn Watch) -> Result<(), Box<dyn Error>> {
        let tick = every.as_millis() as i64;
        let mut now = self.clock.now();
        while at.since(now) > tick {
            now = now.plus(tick);
            self.clock.set(now);
            self.offer(own(Kind::Tick, Vec::new(), self.world.seed()))?;
            self.settle(now, watch)?;
        }
        Ok(())
    }

    fn offer(&self, record: Decoded) -> Result<(), Box<dyn Error>> {
        // Whoever waits for the answer is the watcher, which sees every decision.
        let _pending = self.inlet.offer(record)?;
        Ok(())
    }

    /// Turns until everything offered is done, and what was asked is answered.
    fn settle(&mut self, now: Millis, watch: &mut dyn Watch) -> Result<(), Box<dyn Error>> {
        while self.inlet.load().1 > 0 {
            turn(&mut self.world)?;
            self.sealer.seal(Duration::ZERO)?;
            while let Ok(batch) = self.batches.try_recv() {
                self.release(batch, now, watch)?;
            }
        }
        Ok(())
    }

    /// What the release thread does, as far as anybody here looks.
    fn release(&mut self, batch: Batch, now: Millis, watch: &mut dyn Watch) -> Result<(), Box<dyn Error>> {
        let keeps = batch.keeps();
        batch.flush.wait()?;
        for (reply, at) in batch.answers {
            reply.send(Ok(Answer { at, rejects: Vec::new() }));
        }
        // As the release thread does: until the queue has seen an anchor, no pages of the next state come.
        keeps.into_iter().for_each(|keep| self.keep_in.push(keep));
        for effect in batch.effects.list {
            match effect {
                Effect::Decided(_, decision) => watch.decided(now, &decision),
                // Rules are there from the start.
                Effect::Ask(_, Ask::Hash(_) | Ask::Recall(_) | Ask::Revise(_)) => {}
                Effect::Ask(id, Ask::Explain(evidence)) => {
                    watch.asked(now, &evidence);
                    let began = Instant::now();
                    let body = explainer::answer(&evidence);
                    self.slowest = self.slowest.max(began.elapsed());
                    self.offer(own(Kind::Reply(id), body, self.world.seed()))?;
                }
                Effect::Ask(id, Ask::Learn(lessons)) => self.lessons = Some((id, lessons)),
                Effect::Accepted(_) | Effect::Rejected(_) => {}
            }
        }
        while let Some(work) = self.keep.try_next() {
            self.keep(work)?;
        }
        Ok(())
    }

    /// What the keeper's thread does.
    fn keep(&mut self, work: Keep) -> Result<(), Box<dyn Error>> {
        for done in self.keeper.take(work, true) {
            match done {
                Done::Answer(id, state) => self.offer(own(Kind::Reply(id), state.to_bytes(), self.world.seed()))?,
                Done::Trim(below) => self.told.send(Told::Trim(below))?,
                Done::Lost => self.told.send(Told::Taint)?,
            }
        }
        Ok(())
    }
}

/// Rules that were refused, each in words.
#[derive(Default)]
struct Refusals(Vec<String>);

impl Watch for Refusals {
    fn decided(&mut self, _: Millis, decision: &Decision) {
        if let Decision::RulesRefused(refused) = decision {
            self.0.push(format!("rules refused: {refused:?}"));
        }
    }

    fn asked(&mut self, _: Millis, _: &Evidence) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rca::recording::Body;
    use faultline_model::{Clock as Stamped, Labels, Sample};

    /// Counts anchors.
    #[derive(Default)]
    struct Anchors(usize);

    impl Watch for Anchors {
        fn decided(&mut self, _: Millis, decision: &Decision) {
            self.0 += usize::from(matches!(decision, Decision::Anchor(_)));
        }
        fn asked(&mut self, _: Millis, _: &Evidence) {}
    }

    /// States are kept one after another, not the first alone: without them the journal of a long run fills up.
    #[test]
    fn states_are_kept_as_time_goes_on() {
        let (start, seed) = (Millis(1_700_000_000_000), HashSeed(3));
        let (mut server, mut anchors) = (Server::start(start, seed).expect("memory does not fail"), Anchors::default());
        for minute in 1..=31 {
            let at = start.plus(minute * 60_000);
            let body = Body::Metrics(vec![(Labels::new([("__name__", "up")]), Sample::new(at, 1.0))]);
            server.take(at, vec![body.record(Stamped::Live, seed)], &mut anchors).expect("memory does not fail");
        }
        assert!((6..=7).contains(&anchors.0), "{} anchors in half an hour", anchors.0);
    }
}
