//! One request at a time through the estate: spans as each side would record them.
use crate::plan::{Call, Role, unit};
use crate::story::{Story, Trouble};
use faultline_host::Random;

/// How long a caller waits for an answer, in ms.
const TIMEOUT_MS: f64 = 700.0;
/// How often it tries in all.
const TRIES: usize = 3;

/// Which side of a call recorded a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that served it.
    Server,
    /// The one that made it.
    Client,
    /// Put a message on a queue.
    Producer,
    /// Took it off.
    Consumer,
}

/// A span that has ended, in true time.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The service that recorded it.
    pub service: usize,
    /// The other side of a call, where this side knows it.
    pub peer: Option<usize>,
    /// Which side.
    pub side: Side,
    /// Trace id.
    pub trace: u128,
    /// Span id.
    pub id: u64,
    /// Parent's span id; 0 for a root.
    pub parent: u64,
    /// Start, in ms since 1970.
    pub start_ms: f64,
    /// End, in ms since 1970.
    pub end_ms: f64,
    /// Whether it failed.
    pub failed: bool,
}

/// How serving a request ended.
#[derive(Clone, Copy, Debug)]
struct Served {
    end_ms: f64,
    /// Nothing of it means that no answer ever came.
    answer: Option<bool>,
}

/// Simulates requests of one story.
#[derive(Debug)]
pub struct Requests {
    random: Random,
}

impl Requests {
    /// The requests of a seed.
    pub fn new(seed: u64) -> Requests {
        Requests { random: Random::seeded(seed) }
    }

    /// Milliseconds until the next request at a front that gets `rate` a second.
    pub fn gap_ms(&mut self, rate: f64) -> f64 {
        -libm::log(1.0 - unit(&mut self.random)) * 1000.0 / rate
    }

    /// One request at `front` beginning at `start_ms`; appends the spans of every service that sends telemetry.
    pub fn run(&mut self, story: &Story, front: usize, start_ms: f64, out: &mut Vec<Finished>) {
        let trace = u128::from(self.id()) << 64 | u128::from(self.id());
        self.serve(story, front, Parent { trace, span: 0 }, Side::Server, start_ms, out);
    }

    fn id(&mut self) -> u64 {
        self.random.bits().max(1)
    }

    fn serve(
        &mut self,
        story: &Story,
        index: usize,
        parent: Parent,
        side: Side,
        start_ms: f64,
        out: &mut Vec<Finished>,
    ) -> Served {
        let service = &story.plan.services[index];
        let trouble = story.trouble(index, start_ms);
        let (mut slower, mut failing) = (1.0, service.failing);
        if let Some((trouble, since)) = trouble {
            match trouble {
                // The work is taken and never finished: no span of it ever ends, nothing further is called.
                Trouble::Stuck => return Served { end_ms: f64::INFINITY, answer: None },
                // Nobody listens: the connection is refused.
                Trouble::Crashing if trouble.is_down(since) => return Served { end_ms: start_ms, answer: None },
                Trouble::Failing(share) => failing = share,
                _ => slower = trouble.slower(since),
            }
        }
        let id = self.id();
        let work = self.work(service.work_ms) * slower;
        let mut now = start_ms + work * 0.5;
        let mut failed = unit(&mut self.random) < failing;
        if !failed {
            for call in &service.calls {
                if unit(&mut self.random) < call.share {
                    let (end, answered) =
                        self.call(story, index, *call, Parent { trace: parent.trace, span: id }, now, out);
                    now = end;
                    if !answered {
                        failed = true;
                        break;
                    }
                }
            }
        }
        let end_ms = now + work * 0.5;
        // What was at work when its process ended is told by nobody.
        if service.role != Role::Mute && !story.is_down(index, end_ms) {
            let (trace, parent) = (parent.trace, parent.span);
            out.push(Finished { service: index, peer: None, side, trace, id, parent, start_ms, end_ms, failed });
        }
        Served { end_ms, answer: Some(!failed) }
    }

    /// One call with its retries: when the caller goes on, and whether it got what it wanted.
    fn call(
        &mut self,
        story: &Story,
        from: usize,
        call: Call,
        parent: Parent,
        start_ms: f64,
        out: &mut Vec<Finished>,
    ) -> (f64, bool) {
        let tells = story.plan.services[from].role != Role::Mute;
        let mut now = start_ms;
        for attempt in 0..TRIES {
            let id = self.id();
            let network = 0.2 + 0.6 * unit(&mut self.random);
            let below = Parent { trace: parent.trace, span: id };
            let span = |side, end_ms, failed| {
                let (trace, parent) = (parent.trace, parent.span);
                Finished { service: from, peer: Some(call.to), side, trace, id, parent, start_ms: now, end_ms, failed }
            };
            if call.asynchronous {
                out.extend(tells.then(|| span(Side::Producer, now + network, false)));
                self.serve(story, call.to, below, Side::Consumer, now + network * 3.0, out);
                return (now + network, true);
            }
            let served = self.serve(story, call.to, below, Side::Server, now + network, out);
            let end = served.end_ms + network;
            let timed_out = end - now > TIMEOUT_MS;
            let end = if timed_out { now + TIMEOUT_MS } else { end };
            let answered = !timed_out && served.answer == Some(true);
            out.extend(tells.then(|| span(Side::Client, end, !answered)));
            now = end;
            // Only what did not answer is tried again: an error is an answer.
            if !timed_out && served.answer.is_some() || attempt + 1 == TRIES {
                return (now, answered);
            }
        }
        (now, false)
    }

    /// Own work of a request in ms: lognormal around the median.
    fn work(&mut self, median: f64) -> f64 {
        // Box and Muller, 1958.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - unit(&mut self.random)));
        let normal = radius * libm::cos(core::f64::consts::TAU * unit(&mut self.random));
        median * libm::exp(0.35 * normal)
    }
}

/// The span under which another stands.
#[derive(Clone, Copy, Debug)]
struct Parent {
    trace: u128,
    span: u64,
}
