//! Runs a plan: one life after another on one disk, then a time without faults in which everything must come to rest.
use crate::coverage::Coverage;
use crate::disk::{FAULTS, Fault, Fired, SimDisk};
use crate::event::Event;
use crate::node::{DATA, Ended, Node, SEED};
use crate::oracle::{Broken, Oracle, broken};
use crate::plan::Plan;
use crate::receivers::{Pipe, Receivers};
use crate::senders::{SENDERS, Senders};
use crate::{damage, rest};
use faultline::ahead::alone;
use faultline::outputs::{Place, Tail};
use faultline_host::{Clock, CrashPolicy, ManualClock, Random};
use faultline_model::Millis;
use faultline_sinks::{Alertmanager, Cursor, Form, Options, Runner, Stdout};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

/// Ways in which a machine stops, by the parameter of the fault: five policies and a kill, at two sizes of a sector.
pub const WAYS: u64 = 12;
/// When a simulated machine is first switched on.
const START: Millis = Millis(1_700_000_000_000);
/// A disk that is never full.
const ROOMY: u64 = 256 << 20;
/// Starts after one another that may fail because of faults.
const STARTS_MAX: u64 = 8;
/// Rounds after which a disk with room holds everything.
const CATCH_UP_ROUNDS: usize = 12;

/// How a plan went.
pub struct Outcome {
    /// The first promise that was not kept.
    pub result: Result<(), Broken>,
    /// A digest of everything that was done.
    pub trace: u64,
    /// What it came upon.
    pub coverage: Coverage,
    /// Changes and syncs of the disk before the last life.
    pub changes: u64,
}

/// A machine and the world around it.
pub struct Sim {
    pub(crate) plan: Plan,
    pub(crate) disk: SimDisk,
    pub(crate) clock: Arc<ManualClock>,
    frozen: bool,
    /// The wall clock has jumped: what was told in its time need not fit.
    pub(crate) jumped: bool,
    pub(crate) senders: Senders,
    pub(crate) receivers: Receivers,
    pub(crate) oracle: Oracle,
    pub(crate) coverage: Coverage,
    /// The disk has little room.
    pub(crate) tight: bool,
    /// The disk lied: what is left is to see that this is noticed.
    ruined: bool,
    /// Changes of the disk before the last life.
    changes: u64,
    /// Where the pipe's sink was at the newest start that knew.
    cursor: Option<u64>,
    /// The newest record acknowledged before each of the last groups.
    pub(crate) marks: Vec<Option<faultline_model::Position>>,
}

/// How a life ended.
enum End {
    /// By an event.
    Event,
    /// There are no more events.
    Over,
    /// The machine stopped, or the process ended because of a fault.
    Fell,
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// A plan whose machine stops before change number `at` of its life; what survives is drawn from `way`.
pub fn stopped_at(plan: &Plan, at: u64, way: u64) -> Plan {
    let stop = Event::Fault(0, at, way);
    Plan { events: [&[stop], &plan.events[..]].concat(), ..plan.clone() }
}

/// Runs a plan from the beginning.
pub fn run(plan: &Plan) -> Outcome {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
    let mut sim = Sim::new(plan.clone());
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| alone(|| sim.run())));
    QUIET.set(false);
    let result = result.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_string()));
        broken("panic", words.unwrap_or_default())
    });
    let Sim { disk, oracle, senders, receivers, mut coverage, changes, .. } = sim;
    for (name, count) in disk.totals() {
        coverage.add("disk", name, count);
    }
    coverage.add("work", "records acknowledged", oracle.records() as u64);
    coverage.add("work", "records in journals", oracle.known() as u64);
    coverage.add("work", "leaves", oracle.leaves.len() as u64);
    coverage.add("work", "segments sealed", oracle.sealed() as u64);
    coverage.add("work", "explanations", oracle.replies() as u64);
    coverage.add("states", "groups refused: disk full", senders.disk_full);
    coverage.add("states", "bodies refused: inlet full", senders.full);
    let told = receivers.told();
    coverage.add("work", "lines told", told.lines.len() as u64);
    coverage.add("work", "requests to Alertmanager taken", told.taken);
    coverage.add("faults", "requests to Alertmanager failed", told.failed);
    Outcome { result, trace: disk.trace(), coverage, changes }
}

impl Sim {
    fn new(plan: Plan) -> Sim {
        Sim {
            plan,
            disk: SimDisk::new(ROOMY),
            clock: Arc::new(ManualClock::at(START)),
            frozen: false,
            jumped: false,
            senders: Senders::new(SEED),
            receivers: Receivers::default(),
            oracle: Oracle::new(SEED),
            coverage: Coverage::default(),
            tight: false,
            ruined: false,
            changes: 0,
            cursor: None,
            marks: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), Broken> {
        let mut next = 0;
        while next < self.plan.events.len() {
            next = self.life(next)?;
            if self.ruined {
                let memory = self.disk.memory.copy();
                return damage::examine(self, memory, "damage while it ran");
            }
        }
        self.changes = self.disk.changes();
        self.disk.restart();
        self.disk.memory.set_capacity(ROOMY);
        (self.tight, self.frozen) = (false, false);
        self.receivers.told().mood = 0;
        rest::come_to_rest(self)
    }

    /// One process from its start; gives the event with which the next life goes on.
    fn life(&mut self, from: usize) -> Result<usize, Broken> {
        self.disk.restart();
        // What comes right at the beginning is armed before the process starts.
        let mut next = from;
        while let Some(&Event::Fault(fault, after, parameter)) = self.plan.events.get(next) {
            self.arm(fault, after, parameter);
            next += 1;
        }
        let Some(node) = self.start()? else { return Ok(next) };
        let (end, at) = self.live(node, next)?;
        self.ruined |= self.disk.fired().iter().any(|fired| fired.fault.damages());
        self.count_faults();
        match end {
            _ if self.ruined => {}
            End::Event => self.ended(self.plan.events[at])?,
            End::Over => self.disk.memory.kill(),
            End::Fell => self.fall(),
        }
        Ok(at + 1)
    }

    fn arm(&mut self, fault: u64, after: u64, parameter: u64) {
        self.disk.arm(FAULTS[fault as usize % FAULTS.len()], after, parameter);
    }

    fn count_faults(&mut self) {
        for fired in self.disk.fired() {
            self.coverage.add("faults", fired.fault.word(), 1);
        }
    }

    /// Starts a process; nothing where the disk lied while it tried.
    pub(crate) fn start(&mut self) -> Result<Option<Node>, Broken> {
        for _ in 0..STARTS_MAX {
            match Node::start(&self.disk, self.plan.options.settings(), &self.clock, 0) {
                Ok(mut node) if !self.disk.stopped() => {
                    self.coverage.add("states", "processes started", 1);
                    self.coverage.add("states", "torn tails cut off", u64::from(node.torn));
                    self.coverage.add("states", "started from a checkpoint", u64::from(node.restored));
                    if self.lied() {
                        self.ruined = true;
                        return Ok(None);
                    }
                    self.begun(&mut node)?;
                    return Ok(Some(node));
                }
                Ok(_) => {}
                Err(error) => self.justify(&error, false)?,
            }
            self.coverage.add("states", "starts that faults ended", 1);
            self.count_faults();
            if self.lied() {
                self.ruined = true;
                return Ok(None);
            }
            self.fall();
            self.disk.restart();
            if self.tight {
                self.disk.memory.set_capacity(ROOMY);
                self.tight = false;
            }
        }
        broken("start", format!("no process comes up in {STARTS_MAX} starts"))
    }

    fn lied(&self) -> bool {
        self.disk.fired().iter().any(|fired| fired.fault.damages())
    }

    /// A process that has come up must have kept every promise.
    fn begun(&mut self, node: &mut Node) -> Result<(), Broken> {
        let (mut reader, leaves) = (node.reader(), node.world.leaves);
        self.reading(|oracle| oracle.check(&mut *reader, &mut node.world.engine, leaves))?;
        self.oracle.check_refused(&self.senders.refused())?;
        for &id in &node.posted {
            self.oracle.posted(id)?;
        }
        if node.posted.iter().copied().collect::<std::collections::BTreeSet<_>>() != self.oracle.unanswered() {
            return broken("asks", "a start does not post exactly what is unanswered");
        }
        self.coverage.add("states", "asks posted again at a start", node.posted.len() as u64);
        node.head().map_or(Ok(()), |head| self.oracle.signed(head))
    }

    /// The oracle reads without the faults that the process may meet.
    pub(crate) fn reading<T>(&mut self, read: impl FnOnce(&mut Oracle) -> T) -> T {
        self.disk.pause(true);
        let result = read(&mut self.oracle);
        self.disk.pause(false);
        result
    }

    /// A process may end by itself only because of a fault; one that runs not because of a full disk, which passes.
    pub(crate) fn justify(&self, error: &Ended, runs: bool) -> Result<(), Broken> {
        let mut fired = self.disk.fired();
        fired.retain(|fired| !runs || fired.fault != Fault::NoRoom);
        if fired.is_empty() && (runs || !self.tight) {
            return broken("ended", faultline::render::chain(&**error));
        }
        Ok(())
    }

    /// A process that met nothing but a full disk goes on where it was once there is room.
    fn catch_up(&mut self, node: &mut Node) -> Result<(), Broken> {
        if self.disk.fired().iter().any(|fired| fired.fault != Fault::NoRoom) {
            return Ok(());
        }
        self.disk.disarm();
        self.disk.memory.set_capacity(ROOMY);
        self.tight = false;
        for _ in 0..CATCH_UP_ROUNDS {
            for event in [Event::Turn, Event::Release, Event::Release, Event::Release, Event::Publish] {
                if let Err(error) = self.step(node, event)? {
                    return broken("ended", format!("with room again: {}", faultline::render::chain(&*error)));
                }
            }
            let published = node.head().map(|head| head.size) == Some(node.world.leaves);
            if published && node.world.owing.is_none() && node.in_flight() == 0 {
                self.coverage.add("states", "lives that end caught up", 1);
                return Ok(());
            }
        }
        let (head, leaves) = (node.head().map_or(0, |head| head.size), node.world.leaves);
        broken("liveness", format!("with room again: {head} of {leaves} leaves are under a head"))
    }

    /// After the machine stopped or the process ended by itself: what a power cut leaves, or the kernel.
    fn fall(&mut self) {
        let stop = |fault| matches!(fault, Fault::StopBefore | Fault::StopAfter | Fault::StopWithin);
        match self.disk.fired().iter().find(|fired| stop(fired.fault)) {
            // The process alone: what it wrote waits on in the kernel.
            Some(fired) if fired.parameter % 6 == 5 => self.disk.memory.kill(),
            Some(fired) => {
                self.disk.memory.set_sector(if fired.parameter / 6 % 2 == 0 { 512 } else { 4096 });
                self.disk.memory.crash(policy(fired.parameter % 6, fired.parameter / WAYS));
            }
            None => self.disk.memory.kill(),
        }
    }

    /// An event that ends a process, once that is gone.
    fn ended(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Cut(kind, seed, sector) => {
                self.coverage.add("states", "power cuts", 1);
                self.disk.memory.set_sector(sector.max(512));
                self.disk.memory.crash(policy(kind, seed));
            }
            Event::Rot(file, byte, bit) => {
                self.disk.memory.kill();
                damage::rot(self, file, byte, bit)?;
            }
            Event::Stop => {
                self.coverage.add("states", "clean stops", 1);
                self.disk.memory.kill();
            }
            _ => {
                self.coverage.add("states", "kills", 1);
                self.disk.memory.kill();
            }
        }
        Ok(())
    }

    /// Events until the process is gone, and the place of the last one.
    fn live(&mut self, mut node: Node, from: usize) -> Result<(End, usize), Broken> {
        node.may_lose = self.tight;
        let tail = Tail(node.feed.clone());
        let mut places =
            ["stdout", "alertmanager-0"].map(|name| Place { cursors: node.cursors.clone(), name: name.to_string() });
        self.told_from(places[0].load().ok().flatten())?;
        let mut pipe = Stdout::new(Pipe(self.receivers.clone()), Form::Json);
        let mut alertmanager = alertmanager(&self.receivers, self.plan.seed);
        let clock = self.clock.clone();
        let [first, second] = &mut places;
        let mut runners =
            [Runner::begin(&tail, first, &mut pipe, &*clock), Runner::begin(&tail, second, &mut alertmanager, &*clock)];
        let mut at = from;
        let end = loop {
            let Some(&event) = self.plan.events.get(at) else {
                self.catch_up(&mut node)?;
                break End::Over;
            };
            if event.ends_process() {
                break End::Event;
            }
            self.disk.note("event", event.text().as_bytes());
            let result = match event {
                Event::Sink(number) => {
                    let leaves = node.feed.taken();
                    if let Ok(runner) = &mut runners[number as usize % 2] {
                        let _ended = runner.turn();
                        if number % 2 == 0 && runner.has_caught_up() {
                            self.tells(leaves);
                        }
                    }
                    Ok(())
                }
                _ => self.step(&mut node, event)?,
            };
            if self.disk.stopped() {
                break End::Fell;
            }
            if let Err(error) = result {
                self.justify(&error, true)?;
                self.coverage.add("states", "processes that a fault ended", 1);
                break End::Fell;
            }
            at += 1;
        };
        drop(runners);
        let end = match end {
            End::Event if self.plan.events[at] == Event::Stop => self.stop(node)?,
            other => {
                drop(node);
                other
            }
        };
        // What was answered before the end was answered.
        self.answers(false)?;
        self.senders.cut_off();
        Ok((end, at))
    }

    fn stop(&mut self, node: Node) -> Result<End, Broken> {
        match node.stop() {
            _ if self.disk.stopped() => Ok(End::Fell),
            Ok(head) => {
                head.map_or(Ok(()), |head| self.oracle.signed(head))?;
                Ok(End::Event)
            }
            Err(error) => {
                self.justify(&error, false)?;
                self.coverage.add("states", "processes that a fault ended", 1);
                Ok(End::Fell)
            }
        }
    }

    /// The pipe's sink begins. A new one tells of what is so when it has caught up, and from then on of everything.
    pub(crate) fn told_from(&mut self, cursor: Option<u64>) -> Result<(), Broken> {
        match (cursor, self.cursor) {
            (None, Some(before)) => return broken("cursor", format!("it was at leaf {before} and is gone")),
            (None, None) => self.oracle.told_from = None,
            (Some(now), None) => self.oracle.told_from = Some(self.oracle.told_from.map_or(now, |from| from.min(now))),
            (Some(_), Some(_)) => {}
        }
        self.cursor = cursor.or(self.cursor);
        Ok(())
    }

    /// The pipe's sink has read the ledger's first `leaves` leaves.
    pub(crate) fn tells(&mut self, leaves: u64) {
        self.oracle.told_from.get_or_insert(leaves);
    }

    /// One event of a process that runs. The inner error is why the process ends.
    pub(crate) fn step(&mut self, node: &mut Node, event: Event) -> Result<Result<(), Ended>, Broken> {
        let (senders, clock, inlet) = (&mut self.senders, &self.clock, &node.inlet);
        Ok(match event {
            Event::Send(who, kind, value) => {
                senders.send(who, kind, value, clock, inlet);
                Ok(())
            }
            Event::Again(who, back) => {
                senders.again(who, back, inlet);
                Ok(())
            }
            Event::Retry(who) => {
                senders.retry(who, inlet);
                Ok(())
            }
            Event::Gone(who) => {
                senders.gone(who % SENDERS);
                Ok(())
            }
            Event::Operator(kind, value) => {
                senders.operate(kind, value, clock, inlet);
                Ok(())
            }
            Event::Turn => {
                let (refused, changes) = (self.refused_writes(), self.disk.changes());
                let result = node.turn().map(drop);
                // A turn that wrote no group vouches for nothing.
                if self.disk.changes() > changes && self.refused_writes() == refused && node.world.owing.is_none() {
                    self.marks.push(self.oracle.newest());
                }
                // A second refusal may have been that of the zeros over what the first left.
                self.answers(self.refused_writes() <= refused + 1)?;
                let waits = u64::from(node.world.owing.is_some());
                self.coverage.add("states", "turns that leaves waited for room", waits);
                result
            }
            Event::Release => {
                let poisoned = self.poisoned();
                let result = node.release();
                let answered = self.answers(true)?;
                if poisoned && answered > 0 {
                    return broken("trusted", "a record was acknowledged after a sync of the journal had failed");
                }
                result
            }
            Event::Tiles => node.tiles(),
            Event::Publish => match node.publish() {
                Ok(head) => {
                    self.coverage.add("states", "turns that tiles waited for room", u64::from(node.tiles_wait()));
                    if !self.disk.stopped() {
                        head.map_or(Ok(()), |head| self.oracle.signed(head))?;
                    }
                    self.coverage.add("work", "heads signed", 1);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Event::Seal => node.seal().map(drop),
            Event::Prepare => {
                node.prepare();
                Ok(())
            }
            Event::Keep => self.keep(node)?,
            Event::Explain(how) => {
                let before = [node.recalls, node.revisits];
                node.explain(how)?;
                self.coverage.add("work", "answers of the recent store", node.recalls - before[0]);
                self.coverage.add("work", "past instants looked at again", node.revisits - before[1]);
                Ok(())
            }
            Event::Receiver(mood) => {
                self.receivers.told().mood = mood % 5;
                Ok(())
            }
            Event::Pass(ms) => {
                let now = self.clock.now();
                self.clock.advance(Duration::from_millis(ms));
                if self.frozen {
                    self.clock.set(now);
                }
                Ok(())
            }
            Event::Jump(back, ms) => {
                let ms = ms as i64;
                self.clock.set(self.clock.now().plus(if back % 2 == 1 { -ms } else { ms }));
                self.jumped = true;
                self.coverage.add("faults", if back % 2 == 1 { "clock set back" } else { "clock set ahead" }, 1);
                Ok(())
            }
            Event::Freeze(on) => {
                (self.frozen, self.jumped) = (on % 2 == 1, true);
                self.coverage.add("faults", "clock stands still", on % 2);
                Ok(())
            }
            Event::Room(kib) => {
                self.disk.memory.set_capacity(self.disk.memory.used() + (kib << 10));
                self.tight = kib < 1024;
                node.may_lose |= self.tight;
                self.coverage.add("faults", "disk nearly full", u64::from(self.tight));
                Ok(())
            }
            Event::Fault(fault, after, parameter) => {
                self.arm(fault, after, parameter);
                Ok(())
            }
            Event::Sink(_) | Event::Cut(..) | Event::Kill | Event::Stop | Event::Rot(..) => Ok(()),
        })
    }

    /// Everything that the journal holds is read before any of it may go.
    pub(crate) fn keep(&mut self, node: &mut Node) -> Result<Result<(), Ended>, Broken> {
        let released = node.release_all();
        self.answers(true)?;
        // A group whose leaves wait for room is written and not durable: the oracle may not know of it yet.
        if released.is_err() || self.disk.stopped() || node.world.owing.is_some() {
            return Ok(released);
        }
        if !self.lied() {
            let mut reader = node.reader();
            self.reading(|oracle| oracle.read(&mut *reader))?;
        }
        let (before, oldest) = (node.checkpoints, node.world.journal.extent().oldest);
        let result = node.keep();
        self.coverage.add("states", "checkpoints due", node.checkpoints - before);
        self.coverage.add("states", "journals trimmed so far", u64::from(oldest.offset > 0));
        if node.lost && self.disk.fired().is_empty() {
            return broken("checkpoint", "a state was not kept, and the disk was well");
        }
        Ok(result)
    }

    /// Whether a sync of the journal has failed in this life.
    fn poisoned(&self) -> bool {
        let journal = Path::new(DATA).join("journal");
        self.disk.fired().iter().any(|fired| fired.fault == Fault::SyncFails && fired.path.starts_with(&journal))
    }

    /// How often a write to the journal found no room in this life.
    fn refused_writes(&self) -> usize {
        let journal = Path::new(DATA).join("journal");
        let refused = |fired: &&Fired| fired.fault == Fault::NoRoom && fired.path.starts_with(&journal);
        self.disk.fired().iter().filter(refused).count()
    }

    /// Takes what senders were told; says how many were acknowledged.
    ///
    /// - `cleared`: as [`Senders::answers`] has it.
    pub(crate) fn answers(&mut self, cleared: bool) -> Result<usize, Broken> {
        let acknowledged = self.senders.answers(cleared);
        let count = acknowledged.len();
        for it in acknowledged {
            self.disk.note("answer", &it.answer.at.offset.to_le_bytes());
            self.oracle.acknowledged(it)?;
        }
        Ok(count)
    }
}

/// The sink that tells an Alertmanager.
pub(crate) fn alertmanager(receivers: &Receivers, seed: u64) -> Alertmanager {
    let options = Options { interval: Duration::from_secs(5), ..Options::default() };
    Alertmanager::over("http://127.0.0.1:9093", options, Box::new(receivers.clone()), Random::seeded(seed))
        .expect("a good address")
}

/// What survives a power cut.
pub fn policy(kind: u64, seed: u64) -> CrashPolicy {
    match kind % 5 {
        0 => CrashPolicy::LoseAll,
        1 => CrashPolicy::KeepAll,
        2 => CrashPolicy::Prefix(seed),
        3 => CrashPolicy::Torn(seed),
        _ => CrashPolicy::Subset(seed),
    }
}
