//! `faultline run`: open, recover, listen, loop, drain.
use crate::answers::{self, Asked};
use crate::config::Config;
use crate::keeper::{Keeper, keep, keeper_queue};
use crate::keys::{self, KeyError, LEDGER_FOLDER};
use crate::ledger_feed::LedgerFeed;
pub use crate::ports::Addresses;
use crate::ports::Ports;
use crate::published::Published;
use crate::recaller;
use crate::recent;
use crate::release::{Doors, Outlet, release};
use crate::render::Paint;
use crate::replayed::{Replay, ReplayError, Watch, whose};
use crate::replies::Replies;
use crate::rule_files;
use crate::rules::circles::circles_of;
use crate::show::{show, shown};
use crate::start::{Origin, checkpointed};
use crate::tiles::{Tiles, keep_tiles};
use crate::world::{Stop, World, control, seal, turn};
use faultline_engine::{Ask, ENGINE_VERSION, Effects, ReplicaLabels};
use faultline_formats::{Decoded, Record};
use faultline_host::{
    Clock, Disk, Inlet, Journal, Limits, RealDisk, Refused, SystemClock, TellAway, inlet, random, yield_to_others,
};
use faultline_ledger::Signer;
use faultline_model::{Canonical, Control, Genesis, HashSeed, RuleFiles, Setting, mutant};
use faultline_observe::series::AHEAD_MAX_MS;
use faultline_sources::Receiver;
use faultline_storage::{
    CheckpointStore, Cursors, DataFolder, LedgerReader, LedgerStore, Recovered, Sealer, SegmentJournal, Settings,
};
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Telemetry under way at once: what is received and not yet durable, and beside it bodies that are still being read.
const INLET: Limits =
    Limits { bytes: 192 << 20, count: 4096, reading: 64 << 20, retry_after: Duration::from_millis(500) };
/// What the data folder may take where no limit is set: a fifth of the disk, but no more than this.
const FOLDER_BYTES_MAX: u64 = 50 << 30;
/// The journal's share of it is two thirds, the recent store's the rest; this is what a journal takes at least.
const JOURNAL_BYTES_MIN: u64 = 256 << 20;

/// How long a start waits for room in a full journal.
const ROOM_WAIT: Duration = Duration::from_secs(60);
/// After this long a segment that could not be sealed is tried again.
const SEAL_AGAIN: Duration = Duration::from_secs(30);

/// A running server.
pub struct Server {
    /// Where it listens.
    pub addresses: Addresses,
    inlet: Inlet,
    stop: watch::Sender<bool>,
    stopping: Arc<AtomicBool>,
    feed: Arc<LedgerFeed>,
    runtime: tokio::runtime::Runtime,
    engine_loop: thread::JoinHandle<Result<(), String>>,
    release: thread::JoinHandle<Result<(), String>>,
    tiles: thread::JoinHandle<Result<(), String>>,
    others: Vec<thread::JoinHandle<()>>,
    shown: Arc<Published>,
}

/// Runs until SIGTERM or SIGINT, then drains.
pub fn run(config: Config) -> Result<ExitCode, Box<dyn Error>> {
    let server = start(&config)?;
    // Before anyone is told where it listens: who knows that may also end it.
    let [mut terminate, mut interrupt] = {
        let _entered = server.runtime.enter();
        [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]
    };
    banner(&config, &server.addresses);
    server.runtime.block_on(async {
        let mut interval = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = interval.tick() => if server.ended() { return },
            }
        }
    });
    eprintln!("stopping: finishing what was received");
    server.stop()?;
    eprintln!("stopped cleanly; everything acknowledged is on disk");
    Ok(ExitCode::SUCCESS)
}

fn banner(config: &Config, addresses: &Addresses) {
    let paint = Paint::stderr();
    let line = |what: &str, address: &str, next: &str| {
        eprintln!("  {:<14} {:<24} {}", what, paint.bold(address), paint.dim(next));
    };
    eprintln!("{} {}", paint.bold("faultline"), env!("CARGO_PKG_VERSION"));
    line("OTLP gRPC", &addresses.otlp_grpc.to_string(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://<this>");
    line("OTLP HTTP", &format!("http://{}", addresses.otlp_http), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf");
    line(
        "remote write",
        &format!("http://{}/api/v1/write", addresses.http),
        "remote_write: [{url: <this>}] in prometheus.yml",
    );
    line("API", &format!("http://{}", addresses.http), "faultline status, incidents, why");
    line("data", &config.data.display().to_string(), "faultline verify --data <this>");
    let rules = if config.builtin_rules { "built-in rules" } else { "no built-in rules" };
    line("rules", &format!("{} files, {rules}", config.rules.len()), "faultline rules check FILE");
}

/// Binds the ports, opens the folder, recovers, and starts every thread. Where that fails nothing is left behind: no
/// thread, no port, no lock.
///
/// The ports come first: a busy one is told at once, before anything was touched. From then on the server answers: healthy,
/// not ready, and telemetry is told when to come back, until what the journal holds is replayed.
pub fn start(config: &Config) -> Result<Server, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("faultline-io").build()?;
    let ports = runtime.block_on(Ports::bind(config))?;
    let addresses = ports.addresses()?;
    let external_url = config.external_url(addresses.http);
    let rules = rule_files::read(config, &external_url)?;
    let sinks = crate::outputs::sinks(config, &external_url)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let folder = DataFolder::open(disk.clone(), &config.data, random::secret()?)?;

    let space = disk.space(&config.data)?;
    let share = (space.total / 5).min(FOLDER_BYTES_MAX) / 3 * 2;
    let limit = config.journal_bytes.unwrap_or(share.max(JOURNAL_BYTES_MIN));
    let published = Arc::new(Published::within(recent::limits(limit)));
    let (inlet, intake) = inlet(INLET);
    let known_seed = Arc::new(OnceLock::new());
    let tell: TellAway = {
        let (published, clock) = (published.clone(), clock.clone());
        Arc::new(move |turned| published.turned_away(clock.now(), turned))
    };
    let receiver = Receiver::new(inlet.clone(), known_seed.clone(), tell);
    let (reload, reload_asks) = rule_files::reloads();
    let api = {
        let (store, inlet, seed) = (published.store(), inlet.clone(), known_seed.clone());
        faultline_serve::router(store, inlet, seed, clock.clone(), config.features, reload)
    };
    let (stop, stopped) = watch::channel(false);
    {
        let _entered = runtime.enter();
        ports.serve(&receiver, api, &stopped);
    }

    recent::open(&published, &folder);
    let fresh = HashSeed(u64::from_le_bytes(random::secret()?).max(1));
    let signer = |folder: &DataFolder| keys::signer(&**folder.disk(), folder.path(), folder.journal_id());
    let opened = open(&folder, Settings::within(limit), &clock, signer, fresh, &published)?;
    let Opened { journal, recovered, mut replay, took, ledger, ledger_reader, cursors, seed } = opened;
    if let Some(torn) = &recovered.torn {
        eprintln!("recovered: dropped a torn tail of {} that nobody was promised", torn.path.display());
    }
    if recovered.next.offset > 0 {
        eprintln!("recovered: {}", took.in_words(&replay));
    }
    let cursors = Arc::new(Mutex::new(cursors));
    if let Some(fault) = rule_files::fault(&rules) {
        // After a restart the rules of before are better than none; without any, nothing would be watched.
        if replay.engine.overview().groups.is_empty() {
            return Err(format!("{fault}; mend the rule file (`faultline rules check FILE`) and start again").into());
        }
        eprintln!("rule files are refused: {fault}; the rules in force before stay");
    }
    circles_of(&rules).iter().for_each(|circle| eprintln!("{circle}"));

    let (feed, groups) = LedgerFeed::new(replay.leaves, ledger.head(), ledger_reader);
    let feed = Arc::new(feed);
    published.follow(feed.clone());
    let (keeper_in, keeper_out) = keeper_queue();
    let (told_in, told) = channel();
    let (asks_in, asks_out) = mpsc::channel();
    let (recalls_in, recalls_out) = mpsc::channel();
    let (revises_in, revises_out) = mpsc::channel();
    for (id, ask) in replay.engine.unanswered() {
        match ask {
            Ask::Recall(asked) => recalls_in.send((id, *asked))?,
            Ask::Revise(asked) => revises_in.send((id, *asked))?,
            ask => asks_in.send((id, ask))?,
        }
    }
    let (outlet, batches) = Outlet::new(keeper_in.clone());
    let stages = outlet.stages.clone();
    published.time(stages.clone());
    let (preparer, sealer) = (journal.preparer(), journal.sealer());
    let stopping = Arc::new(AtomicBool::new(false));
    let replies = Replies { inlet: inlet.clone(), seed, stopping: stopping.clone() };
    let mut others = Vec::new();
    let (shown_in, shown_out) = shown();
    let doors = Doors {
        ledger: feed.clone(),
        shown: shown_in,
        asks: asks_in,
        recalls: recalls_in,
        revises: revises_in,
        keeper: keeper_in,
        stages,
    };
    {
        let published = published.clone();
        others.push(spawn("show", move || show(shown_out, &published))?);
    }

    let release = spawn("release", move || release(batches, &doors).map_err(|e| e.to_string()))?;
    let tiles = {
        let tiles = Tiles::new(ledger, groups, feed.clone(), journal.readers());
        spawn("ledger", move || keep_tiles(tiles).map_err(|e| crate::render::chain(&e)))?
    };
    let (head_keeper, head_work) = recent::head_keeper();
    {
        let (feed, mut keeper) = (feed.clone(), Keeper::new(CheckpointStore::open(&folder)?)?);
        let (published, replies) = (published.clone(), replies.clone());
        others.push(spawn("keeper", move || {
            yield_to_others();
            let wants_room = || published.journal_bytes() > limit / 2;
            keep(&keeper_out, &mut keeper, &feed, &told_in, &replies, wants_room, |at| head_keeper.keep(at));
        })?);
    }
    {
        let (published, stopping) = (published.clone(), stopping.clone());
        others.push(spawn("recent", move || recent::keep(&published, &head_work, &stopping))?);
    }
    {
        let (published, stopping) = (published.clone(), stopping.clone());
        others.push(spawn("merge", move || recent::merge(&published, &stopping))?);
    }
    let asked = Asked { asks: asks_out, recalls: recalls_out, revises: revises_out };
    others.extend(answers::start(asked, &replies, &published)?);
    {
        let stopping = stopping.clone();
        others.push(spawn("segments", move || {
            yield_to_others();
            while !stopping.load(Ordering::Relaxed) {
                if preparer.prepare(Duration::from_millis(100)).is_err() {
                    // Full: worth trying again once something was trimmed.
                    thread::sleep(Duration::from_millis(200));
                }
            }
        })?);
    }
    {
        let (sealer, stopping) = (sealer.clone(), stopping.clone());
        others.push(spawn("seals", move || {
            yield_to_others();
            while !stopping.load(Ordering::Relaxed) {
                if let Err(error) = sealer.seal(Duration::from_millis(100)) {
                    tracing::error!(%error, "a full segment cannot be sealed; nothing is trimmed from it on");
                    rest(SEAL_AGAIN, &stopping);
                }
            }
        })?);
    }
    let records = opening(limit, config.series_max, &config.replicas, &config.calls, &rules, &replay);
    let mut world = World::new(folder, journal, replay.engine, replay.leaves, intake, outlet, told);
    let engine_loop = spawn("engine", move || {
        loop {
            match turn(&mut world) {
                Ok(()) => {}
                Err(Stop::Drained) => {
                    seal_the_rest(&mut world, &sealer).map_err(|e| crate::render::chain(&e))?;
                    let World { journal, outlet, .. } = world;
                    drop(outlet);
                    return journal.close().map_err(|e| e.to_string());
                }
                Err(stop) => return Err(crate::render::chain(&stop)),
            }
        }
    })?;
    let shown = published.clone();
    let mut server =
        Server { addresses, inlet, stop, stopping, feed, runtime, engine_loop, release, tiles, others, shown };
    let begun = write(records, &server.inlet).and_then(|()| {
        let (config, inlet, stopping) = (config.clone(), server.inlet.clone(), server.stopping.clone());
        server
            .others
            .push(spawn("rules", move || rule_files::watch(&config, rules, &inlet, seed, &reload_asks, &stopping))?);
        server.others.extend(crate::outputs::start(sinks, &server.feed, &cursors, &clock)?);
        Ok(())
    });
    if let Err(error) = begun {
        // What ended a thread says more than that its queue is closed.
        server.stop()?;
        return Err(error);
    }
    receiver.know(replay.named);
    let _first = known_seed.set(seed);
    published.ready();
    Ok(server)
}

/// A clean stop leaves no full segment without its leaf, unless one does not read or there is no room: the next start tries
/// again.
pub fn seal_the_rest(world: &mut World, sealer: &Sealer) -> Result<(), Stop> {
    loop {
        let hashed = sealer.seal(Duration::ZERO).unwrap_or_else(|error| {
            tracing::error!(%error, "a full segment cannot be sealed");
            false
        });
        // A leaf may be the first of a new segment, and so leave one more that is full.
        if !seal(world)? && !hashed {
            return Ok(());
        }
    }
}

/// Sleeps for `long`, less where the server stops.
pub fn rest(long: Duration, stopping: &AtomicBool) {
    let until = Instant::now() + long;
    while Instant::now() < until && !stopping.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(100));
    }
}

/// What a data folder holds, recovered: whatever is in it is durable, and the ledger's head covers it.
pub struct Opened {
    /// Where records go on.
    pub journal: SegmentJournal,
    /// What was found of it.
    pub recovered: Recovered,
    /// The engine after the last record, and what the replay came upon.
    pub replay: Replay,
    /// How long that took.
    pub took: Took,
    /// Where leaves go on.
    pub ledger: LedgerStore,
    /// Reads them back.
    pub ledger_reader: LedgerReader,
    /// How far sinks are.
    pub cursors: Cursors,
    /// Keys the hashes of foreign bytes.
    pub seed: HashSeed,
}

/// How long the parts of a recovery took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// The journal's end was found.
    pub opened: Duration,
    /// The newest state was taken up.
    pub restored: Duration,
    /// What came after it was replayed.
    pub replayed: Duration,
}

impl Took {
    /// For the log.
    fn in_words(&self, replay: &Replay) -> String {
        let seconds = |took: Duration| format!("{:.2} s", took.as_secs_f64());
        format!(
            "journal opened in {}, state taken up in {}, {} records ({} events) replayed in {}",
            seconds(self.opened),
            seconds(self.restored),
            replay.records,
            replay.events,
            seconds(self.replayed)
        )
    }
}

/// Takes up a data folder: its journal, its ledger, and the engine that its records make.
///
/// - `signer`: the key for this folder's heads.
/// - `fresh`: keys the hashes of a journal that begins now.
pub fn open(
    folder: &DataFolder,
    settings: Settings,
    clock: &Arc<dyn Clock>,
    signer: impl FnOnce(&DataFolder) -> Result<Signer, KeyError>,
    fresh: HashSeed,
    published: &Published,
) -> Result<Opened, Box<dyn Error>> {
    let begun = Instant::now();
    let at_least = checkpointed(folder)?;
    let (mut journal, recovered) = SegmentJournal::open(folder, settings, clock.clone(), at_least)?;
    let signer = signer(folder)?;
    let ledger_folder = folder.path().join(LEDGER_FOLDER);
    let ledger_reader = LedgerReader::new(folder.disk().clone(), &ledger_folder, signer.verifier());
    let mut ledger = LedgerStore::open(folder.disk().clone(), &ledger_folder, signer)?;
    let cursors = Cursors::open(folder)?;
    if recovered.next.offset == 0 {
        begin(&mut journal, folder, &**clock, fresh)?;
    }
    let opened = begun.elapsed();
    let (mut replay, [restored, replayed]) = recover(folder, &journal, &mut ledger, published)?;
    let took = Took { opened, restored, replayed };
    if replay.version != ENGINE_VERSION && !replay.missing.is_empty() {
        let (count, version) = (replay.missing.len(), replay.version);
        return Err(format!(
            "a crash kept {count} decisions of engine version {version} from being written, which only that engine may do: {},              stop it cleanly, then upgrade",
            whose(version)
        )
        .into());
    }
    if !replay.missing.is_empty() && !mutant!("missing leaves not written") {
        // A crash came between a group and its leaves: they are written now, once.
        let missing: Vec<Box<[u8]>> = replay.missing.drain(..).collect();
        journal.append_leaves(&missing)?;
        journal.flush().wait()?;
        published.leaves(replay.leaves, &missing);
        ledger.append(replay.leaves, &missing)?;
        replay.leaves += missing.len() as u64;
    }
    ledger.publish()?;
    let seed = replay.engine.seed();
    Ok(Opened { journal, recovered, replay, took, ledger, ledger_reader, cursors, seed })
}

/// Writes record 0 of a new journal.
fn begin(
    journal: &mut SegmentJournal,
    folder: &DataFolder,
    clock: &dyn Clock,
    seed: HashSeed,
) -> Result<(), Box<dyn Error>> {
    let genesis = Genesis { format: 1, journal: folder.journal_id(), seed, created: clock.now() };
    let version = control(Control::EngineVersion, ENGINE_VERSION.to_bytes(), seed);
    journal.append(vec![control(Control::Genesis, genesis.to_bytes(), seed), version])?;
    journal.flush().wait()?;
    Ok(())
}

/// Restores the newest checkpoint and replays what came after it. Returns how long each of the two took, too.
fn recover(
    folder: &DataFolder,
    journal: &SegmentJournal,
    ledger: &mut LedgerStore,
    published: &Published,
) -> Result<(Replay, [Duration; 2]), Box<dyn Error>> {
    struct Fill<'a> {
        ledger: &'a mut LedgerStore,
        published: &'a Published,
        error: Option<faultline_storage::LedgerError>,
        records: u64,
    }
    impl Watch for Fill<'_> {
        fn stepped(&mut self, record: &Record, effects: Effects) {
            self.published.replayed(record, effects);
            self.records += 1;
            if self.records.is_multiple_of(20_000) {
                eprintln!("replaying: {} records", self.records);
                self.published.starting(format!("it reads its journal again, {} records so far", self.records));
            }
        }
        fn leaves(&mut self, first: u64, leaves: &[Box<[u8]>]) {
            self.published.leaves(first, leaves);
            // After the first error nothing more is offered: the ledger would miss what came between.
            if self.error.is_none() {
                self.error = self.ledger.append(first, leaves).err();
            }
        }
    }
    let reader = || journal.reader();
    let origin = Origin::latest(folder, &reader);
    let begun = Instant::now();
    let mut replay = Replay::new(&origin)?;
    published.series(&replay.engine);
    let newest = replay.engine.now().plus(AHEAD_MAX_MS);
    recaller::believe(published.store().recent(), replay.last, newest);
    let restored = begun.elapsed();
    let mut fill = Fill { ledger, published, error: None, records: 0 };
    match replay.run(&origin, &mut fill) {
        Ok(()) => {}
        Err(error @ ReplayError::Differs(_)) => {
            return Err(format!(
                "{error}; run `faultline verify`: this folder must not go on as if nothing were wrong"
            )
            .into());
        }
        Err(error) => return Err(error.into()),
    }
    match fill.error {
        Some(error) => Err(error.into()),
        None => Ok((replay, [restored, begun.elapsed() - restored])),
    }
}

/// The record with which this release's engine takes over from an older one, where it does.
pub fn upgrade(replay: &Replay) -> Option<Decoded> {
    let record = || control(Control::EngineVersion, ENGINE_VERSION.to_bytes(), replay.engine.seed());
    (replay.version != ENGINE_VERSION).then(record)
}

/// The records that every start writes: that it started, and engine version, settings and rules where they are not those in
/// force.
pub fn opening(
    journal_limit: u64,
    series_max: Option<u64>,
    replicas: &ReplicaLabels,
    calls: &str,
    rules: &RuleFiles,
    replay: &Replay,
) -> Vec<Decoded> {
    let seed = replay.engine.seed();
    let mut records = Vec::from_iter(upgrade(replay));
    records.push(control(Control::Started, Vec::new(), seed));
    // An anchor often enough that the journal never fills up without one to trim below.
    let anchor_bytes = (journal_limit / 4).min(4 << 30);
    let known = replay.engine.replica_labels();
    let label = |configured: &String, known: &String| Some(configured.clone()).filter(|label| label != known);
    let settings = [
        ("anchor.bytes", Some(anchor_bytes.to_string())),
        ("limits.series", series_max.map(|most| most.to_string())),
        ("replicas.cluster_label", label(&replicas.cluster, &known.cluster)),
        ("replicas.replica_label", label(&replicas.replica, &known.replica)),
        ("graph.calls", Some(calls.to_string()).filter(|calls| *calls != replay.engine.declared_calls())),
    ];
    for (name, value) in settings.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let setting = Setting { name: name.into(), value };
        records.push(control(Control::Setting, setting.to_bytes(), seed));
    }
    let rules = rules.to_bytes();
    if replay.rules.as_deref() != Some(&rules[..]) {
        records.push(control(Control::Rules, rules, seed));
    }
    records
}

/// Writes records of our own and waits until they are durable.
fn write(records: Vec<Decoded>, inlet: &Inlet) -> Result<(), Box<dyn Error>> {
    let until = Instant::now() + ROOM_WAIT;
    for record in records {
        loop {
            match inlet.offer(record.clone())?.wait() {
                // A full journal makes room by an anchor, which takes a moment.
                Err(Refused::DiskFull { retry_after }) if Instant::now() < until => thread::sleep(retry_after),
                taken => {
                    taken?;
                    break;
                }
            }
        }
    }
    Ok(())
}

impl Server {
    /// Whether a thread ended that must not: the disk failed, or something broke.
    pub fn ended(&self) -> bool {
        self.engine_loop.is_finished() || self.release.is_finished() || self.tiles.is_finished()
    }

    /// Refuses new telemetry, finishes what was received, writes heads, and ends every thread.
    pub fn stop(self) -> Result<(), Box<dyn Error>> {
        let _gone = self.stop.send(true);
        self.stopping.store(true, Ordering::Relaxed);
        self.inlet.stop();
        let engine = join(self.engine_loop);
        let release = join(self.release);
        self.feed.stop();
        let tiles = join(self.tiles);
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        for other in self.others {
            let _result = other.join();
        }
        recent::keep_head(&self.shown, None);
        for result in [release, tiles, engine] {
            result?;
        }
        Ok(())
    }
}

fn join(thread: thread::JoinHandle<Result<(), String>>) -> Result<(), String> {
    thread.join().unwrap_or_else(|_| Err("a thread broke: see the message above".into()))
}

/// A named thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(format!("faultline-{name}")).spawn(body)
}
