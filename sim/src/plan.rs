//! A seed's plan: which faults it switches on, and the events that they are drawn into.
//!
//! Each seed switches a random part of the faults off (swarm testing): rare mixes occur, and a fault that ends every life
//! early does not hide what comes late. Source: Groce et al., "Swarm Testing", ISSTA 2012.
use crate::disk::FAULTS;
use crate::event::Event;
use crate::senders::SENDERS;
use faultline_host::Random;
use faultline_storage::Settings;

/// What is so through a whole plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of a journal segment in KiB.
    pub segment_kib: u64,
    /// The journal's limit, in segments.
    pub segments: u64,
}

impl Options {
    /// The journal's settings.
    pub fn settings(&self) -> Settings {
        let segment_size = self.segment_kib << 10;
        Settings { segment_size, limit: segment_size * self.segments }
    }
}

/// A seed's whole life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// What is so throughout.
    pub options: Options,
    /// What happens.
    pub events: Vec<Event>,
}

/// What a seed may switch on.
#[derive(Clone, Copy, Debug)]
struct Swarm {
    /// By fault.
    faults: [bool; FAULTS.len()],
    cuts: bool,
    kills: bool,
    stops: bool,
    rot: bool,
    clocks: bool,
    full: bool,
    retries: bool,
    gone: bool,
    answers: bool,
    moods: bool,
    operators: bool,
    floods: bool,
    /// Time between two rounds, in ms at most.
    pace: u64,
}

impl Swarm {
    fn drawn(random: &mut Random) -> Swarm {
        let mut coin = || random.below(2) == 0;
        let mut faults = [false; FAULTS.len()];
        faults.iter_mut().for_each(|fault| *fault = coin());
        let (cuts, kills, stops, rot, clocks, full) = (coin(), coin(), coin(), coin(), coin(), coin() && coin());
        let (retries, gone, answers, moods, operators) = (coin(), coin(), coin(), coin(), coin());
        let floods = coin() && coin();
        // Damage that need not heal ends a plan, so few plans have it.
        let damage = random.below(4) == 0;
        for (fault, on) in FAULTS.iter().zip(&mut faults) {
            *on &= damage || !fault.damages();
        }
        let pace = [200, 3_000, 9_000, 40_000][random.below(4) as usize];
        let cuts = cuts || !(kills || stops);
        Swarm { faults, cuts, kills, stops, rot, clocks, full, retries, gone, answers, moods, operators, floods, pace }
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Plan {
        let mut random = Random::seeded(seed ^ 0x5eed_fa17);
        let options = Options { segment_kib: 16 << random.below(2), segments: 10 + random.below(16) };
        let swarm = Swarm::drawn(&mut random);
        let mut events = Vec::new();
        let rounds = 15 + random.below(45);
        for _ in 0..rounds {
            round(&swarm, &mut random, &mut events);
        }
        Plan { seed, options, events }
    }

    /// A plan in which nothing fails, for every point of which a crash is tried.
    pub fn reference(seed: u64, rounds: u64) -> Plan {
        let mut random = Random::seeded(seed ^ 0x4ef);
        let quiet = Swarm {
            faults: [false; FAULTS.len()],
            cuts: false,
            kills: false,
            stops: false,
            rot: false,
            clocks: false,
            full: false,
            retries: true,
            gone: false,
            answers: false,
            moods: false,
            operators: true,
            floods: false,
            pace: 20_000,
        };
        let mut events = Vec::new();
        for _ in 0..rounds {
            round(&quiet, &mut random, &mut events);
        }
        // Whatever came up after the crash must be durable too.
        events.push(Event::Cut(0, 0, 512));
        Plan { seed, options: Options { segment_kib: 16, segments: 12 }, events }
    }
}

/// One round: something is sent, time passes, and every thread gets or misses its turn.
fn round(swarm: &Swarm, random: &mut Random, out: &mut Vec<Event>) {
    let sends = if swarm.floods && random.below(8) == 0 { 30 } else { random.below(4) };
    for _ in 0..sends {
        out.push(Event::Send(random.below(SENDERS), random.below(8).min(3), random.below(800)));
    }
    if swarm.retries && random.below(3) == 0 {
        out.push(Event::Again(random.below(SENDERS), random.below(6)));
    }
    if random.below(2) == 0 {
        out.push(Event::Retry(random.below(SENDERS)));
    }
    if swarm.gone && random.below(8) == 0 {
        out.push(Event::Gone(random.below(SENDERS)));
    }
    if swarm.operators && random.below(6) == 0 {
        out.push(Event::Operator(random.below(3), random.below(12)));
    }
    if random.below(10) == 0 {
        for (number, _) in FAULTS.iter().enumerate().filter(|(number, _)| swarm.faults[*number]) {
            if random.below(3) == 0 {
                out.push(Event::Fault(number as u64, random.below(24), random.below(1 << 20)));
            }
        }
    }
    if swarm.clocks && random.below(8) == 0 {
        out.push(match random.below(4) {
            0 => Event::Jump(0, 3_600_000),
            1 => Event::Jump(1, 3_600_000),
            2 => Event::Jump(1, random.below(20_000)),
            _ => Event::Freeze(random.below(2)),
        });
    }
    out.push(Event::Pass(random.below(swarm.pace)));
    out.push(Event::Turn);
    let others = [
        (Event::Release, 80),
        (Event::Prepare, 50),
        (Event::Tiles, 40),
        (Event::Publish, 30),
        (Event::Seal, 30),
        (Event::Keep, 60),
        (Event::Sink(0), 40),
        (Event::Sink(1), 40),
    ];
    for (event, percent) in others {
        if random.below(100) < percent {
            out.push(event);
        }
    }
    if random.below(2) == 0 {
        out.push(Event::Explain(if swarm.answers { random.below(5) } else { 0 }));
    }
    if swarm.moods && random.below(5) == 0 {
        out.push(Event::Receiver(random.below(5)));
    }
    if swarm.full && random.below(12) == 0 {
        out.push(Event::Room(if random.below(2) == 0 { random.below(64) } else { 1 << 16 }));
    }
    if random.below(9) == 0 {
        let sector = if random.below(2) == 0 { 512 } else { 4096 };
        let ways = [
            (swarm.cuts, Event::Cut(random.below(5), random.below(1 << 30), sector)),
            (swarm.kills, Event::Kill),
            (swarm.stops, Event::Stop),
            (swarm.rot, Event::Rot(random.below(64), random.below(1 << 20), random.below(8))),
        ];
        let ways: Vec<Event> = ways.into_iter().filter_map(|(on, event)| on.then_some(event)).collect();
        if ways.is_empty() {
            return;
        }
        out.push(ways[random.below(ways.len() as u64) as usize]);
        // What is armed here happens while the next process comes up.
        for (number, _) in FAULTS.iter().enumerate().filter(|(number, _)| swarm.faults[*number]) {
            if random.below(6) == 0 {
                out.push(Event::Fault(number as u64, random.below(30), random.below(1 << 20)));
            }
        }
    }
}
