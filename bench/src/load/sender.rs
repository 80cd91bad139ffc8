//! Senders: each a thread with a connection and bodies of its own, on a schedule that waits for nobody.
//!
//! Body `k` of a step is due at a time fixed beforehand. A sender whose last body is not yet answered sends the next one
//! late, with its due time unchanged; what is due and unanswered is the backlog, and a server too slow makes it grow.
use super::connection::{Answer, Connection};
use super::crossings::{Crossings, Sent};
use super::metrics::{self, OCCURRENCES_MAX, POINTS};
use super::population::Population;
use super::random::Random;
use super::requests::{self, RECORDS};
use super::template::{Stamp, Template, now_ms};
use super::{MIX, connection, crossing_body};
use crate::Outcome;
use crate::histogram::Histogram;
use faultline_formats::encode;
use faultline_model::Encoding;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Templates of all senders of metrics together, 57 MB; each has one at least.
const METRIC_TEMPLATES: usize = 256;
/// Templates of all senders of logs, and of all senders of spans.
const RECORD_TEMPLATES: usize = 48;
/// How long a refused body of the first filling is tried again.
const FILL_PATIENCE: Duration = Duration::from_secs(60);
const FILL_PAUSE: Duration = Duration::from_millis(100);

/// A signal: metrics, logs or spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Metrics,
    Logs,
    Spans,
}

impl Signal {
    const ALL: [Signal; 3] = [Signal::Metrics, Signal::Logs, Signal::Spans];

    fn path(self) -> &'static str {
        ["/v1/metrics", "/v1/logs", "/v1/traces"][self as usize]
    }

    /// Events in a body.
    fn size(self) -> usize {
        [POINTS, RECORDS, RECORDS][self as usize]
    }

    /// Senders of it, where `metrics` send metrics: bodies a second are as 2 to 2 to 1, and a body of points takes longest.
    fn senders(self, metrics: u32) -> u32 {
        [metrics, (metrics * 3).div_ceil(4), (metrics * 3).div_ceil(8)][self as usize]
    }
}

/// What has become of a step's events so far; written by all senders.
#[derive(Debug, Default)]
pub struct Counters {
    /// Of bodies that were answered, whatever the answer.
    pub answered: AtomicU64,
    /// Acknowledged and not rejected.
    pub applied: AtomicU64,
    /// Rejected in bodies that were acknowledged.
    pub rejected: AtomicU64,
    /// Of bodies that were refused: 429, or any status but 200.
    pub refused: AtomicU64,
}

/// A stretch of sending at one rate.
#[derive(Debug)]
pub struct Step<'a> {
    /// Events/s.
    pub rate: f64,
    pub start: Instant,
    pub end: Instant,
    pub crossings: Option<&'a Crossings>,
    pub counters: &'a Counters,
    /// How long a sender waits after a refusal.
    pub pause: Duration,
    /// Set to end the step before its time.
    pub stop: &'a AtomicBool,
}

/// What a step's senders saw.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// From a body's due time to its first byte: what the generator or a late answer held up.
    pub late: Histogram,
    /// From a body's last byte to its acknowledgement.
    pub acknowledged: Histogram,
    pub bodies: u64,
    /// Of bodies, as sent.
    pub bytes: u64,
    /// The first refusal or rejection, in the server's words.
    pub complaint: Option<String>,
}

impl Tally {
    fn merge(&mut self, other: Tally) {
        self.late.merge(&other.late);
        self.acknowledged.merge(&other.acknowledged);
        self.bodies += other.bodies;
        self.bytes += other.bytes;
        self.complaint = self.complaint.take().or(other.complaint);
    }
}

/// All senders.
pub struct Fleet {
    population: Population,
    senders: Vec<Sender>,
}

struct Sender {
    signal: Signal,
    /// Its number among the senders of its signal, and how many these are.
    number: u32,
    of: u32,
    connection: Connection,
    gzip: bool,
    templates: Vec<Template>,
    next: usize,
    random: Random,
    sequence: u64,
    /// Time of its newest event: no series says two things at one time.
    newest_ms: i64,
}

impl Fleet {
    /// Connects `metrics` senders of metrics and those for logs and spans, and encodes what they will send.
    pub fn new(population: Population, metrics: u32, gzip: bool, server: SocketAddr) -> Outcome<Fleet> {
        let mut senders = Vec::new();
        for signal in Signal::ALL {
            let of = signal.senders(metrics);
            let each = |templates: usize| (templates / of as usize).max(1);
            for number in 0..of {
                let connection = Connection::open(server)
                    .map_err(|error| format!("cannot connect to the server under test at {server}: {error}"))?;
                let mut random = Random(senders.len() as u64 + 1);
                let templates = match signal {
                    Signal::Metrics => {
                        let own = population.of_sender(number, of);
                        if own.is_empty() {
                            continue;
                        }
                        metrics::chosen(&population, &own, each(METRIC_TEMPLATES), &mut random)
                    }
                    Signal::Logs => {
                        (0..each(RECORD_TEMPLATES)).map(|_| requests::logs(&population, &mut random)).collect()
                    }
                    Signal::Spans => {
                        (0..each(RECORD_TEMPLATES)).map(|_| requests::spans(&population, &mut random)).collect()
                    }
                };
                // Ids must differ from those of earlier runs into the same server, and between senders.
                let sequence = (now_ms() as u64) << 16 ^ (senders.len() as u64) << 54;
                senders.push(Sender {
                    signal,
                    number,
                    of,
                    connection,
                    gzip,
                    templates,
                    next: 0,
                    random,
                    sequence,
                    newest_ms: 0,
                });
            }
        }
        Ok(Fleet { population, senders })
    }

    /// Sends each series once, and the crossing series at rest, as fast as they are acknowledged. Returns the samples sent.
    pub fn fill(&mut self, crossings: u32) -> Outcome<u64> {
        let population = self.population;
        let sent = thread::scope(|scope| {
            let metrics = self.senders.iter_mut().filter(|sender| sender.signal == Signal::Metrics);
            let threads: Vec<_> = metrics.map(|sender| scope.spawn(move || sender.fill(&population))).collect();
            join_all(threads)
        })?;
        let first = self.senders.first_mut().expect("there is a sender of metrics");
        for from in (0..crossings).step_by(POINTS) {
            let to = crossings.min(from + POINTS as u32);
            first.insist(&crossing_body(from..to, 0.0, now_ms()))?;
        }
        Ok(sent.into_iter().sum::<u64>() + u64::from(crossings))
    }

    /// Sends at a step's rate until its end.
    pub fn run(&mut self, step: &Step<'_>) -> Outcome<Tally> {
        let tallies = thread::scope(|scope| {
            join_all(self.senders.iter_mut().map(|sender| scope.spawn(move || sender.run(step))).collect())
        })?;
        let mut whole = Tally::default();
        tallies.into_iter().for_each(|tally| whole.merge(tally));
        Ok(whole)
    }

    /// Events that can be under way at once.
    pub fn in_flight_max(&self) -> u64 {
        self.senders.iter().map(|sender| sender.signal.size() as u64).sum()
    }

    /// Connections to the server.
    pub fn connections(&self) -> usize {
        self.senders.len()
    }

    /// Mean size of an event in the bodies of a signal, before compression, in bytes.
    pub fn event_size(&self, signal: Signal) -> f64 {
        let templates = || self.senders.iter().filter(|sender| sender.signal == signal).flat_map(|s| &s.templates);
        let events: f64 = templates().map(|template| f64::from(template.events)).sum();
        templates().map(|template| template.bytes.len() as f64).sum::<f64>() / events
    }
}

fn join_all<T>(threads: Vec<thread::ScopedJoinHandle<'_, Outcome<T>>>) -> Outcome<Vec<T>> {
    threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a sender broke".into()))).collect()
}

impl Sender {
    /// Sends each series of this sender once.
    fn fill(&mut self, population: &Population) -> Outcome<u64> {
        let own = population.of_sender(self.number, self.of);
        let mut sent = 0;
        for mut template in metrics::each_once(population, &own) {
            self.stamp(&mut template);
            self.insist(&template.bytes)?;
            sent += u64::from(template.events);
        }
        Ok(sent)
    }

    /// Sends a body of metrics until it is taken.
    fn insist(&mut self, body: &[u8]) -> Outcome<()> {
        let until = Instant::now() + FILL_PATIENCE;
        loop {
            let answer = self.exchange(body, &[]).map_err(|error| lost(self.signal, &error))?.2;
            match answer {
                Answer { status: 200, rejected: 0, .. } => return Ok(()),
                Answer { status: 429 | 503, .. } if Instant::now() < until => thread::sleep(FILL_PAUSE),
                Answer { status, rejected, text } => {
                    return Err(format!("filling: the server answers {status}, {rejected} rejected: {text}"));
                }
            }
        }
    }

    /// Sends a body and waits for the answer: the size sent, when its last byte was written, what came back.
    fn exchange(&mut self, body: &[u8], tail: &[u8]) -> io::Result<(u64, Instant, Answer)> {
        let (path, gzip) = (self.signal.path(), self.gzip);
        let packed = if gzip { encode::compress(&[body, tail].concat(), Encoding::Gzip) } else { Vec::new() };
        let parts = if gzip { [&packed[..], &[]] } else { [body, tail] };
        self.connection.send(path, gzip.then_some("gzip"), parts)?;
        let written = Instant::now();
        Ok(((parts[0].len() + parts[1].len()) as u64, written, self.connection.answer()?))
    }

    /// Writes new times, values and ids into a body.
    fn stamp(&mut self, template: &mut Template) {
        self.newest_ms = now_ms().max(self.newest_ms + i64::from(OCCURRENCES_MAX));
        self.sequence += u64::from(template.events);
        template.stamp(&mut Stamp { ms: self.newest_ms, sequence: self.sequence, random: &mut self.random });
    }

    fn run(&mut self, step: &Step<'_>) -> Outcome<Tally> {
        let mut tally = Tally::default();
        let mut templates = std::mem::take(&mut self.templates);
        let size = f64::from(templates[0].events);
        let interval = f64::from(self.of) * size / (step.rate * MIX[self.signal as usize]);
        let offset = interval * (f64::from(self.number) + 0.5) / f64::from(self.of);
        let mut result = Ok(());
        for k in 0_u64.. {
            let due = step.start + Duration::from_secs_f64(offset + k as f64 * interval);
            if due >= step.end {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if Instant::now() >= step.end || step.stop.load(Ordering::Relaxed) {
                break;
            }
            let count = templates.len();
            let template = &mut templates[self.next % count];
            self.next += 1;
            if let Err(error) = self.send(step, template, due, &mut tally) {
                step.stop.store(true, Ordering::Relaxed);
                result = Err(lost(self.signal, &error));
                break;
            }
        }
        self.templates = templates;
        result.map(|()| tally)
    }

    fn send(&mut self, step: &Step<'_>, template: &mut Template, due: Instant, tally: &mut Tally) -> io::Result<()> {
        let begun = Instant::now();
        self.stamp(template);
        let metrics = self.signal == Signal::Metrics;
        let crossings = step.crossings.filter(|_| metrics).map_or(0..0, |crossings| crossings.claim(begun));
        let tail = crossing_body(crossings.clone(), 1.0, self.newest_ms);
        let (bytes, written, answer) = self.exchange(&template.bytes, &tail)?;
        let acknowledged = Instant::now();
        if let Some(all) = step.crossings {
            all.left(crossings.clone(), Sent { due, written });
        }
        let events = u64::from(template.events) + crossings.len() as u64;
        let counters = step.counters;
        if answer.status == 200 {
            counters.applied.fetch_add(events.saturating_sub(answer.rejected), Ordering::Relaxed);
            counters.rejected.fetch_add(answer.rejected, Ordering::Relaxed);
            tally.acknowledged.add(acknowledged.duration_since(written));
        } else {
            counters.refused.fetch_add(events, Ordering::Relaxed);
            thread::sleep(step.pause);
        }
        counters.answered.fetch_add(events, Ordering::Relaxed);
        if tally.complaint.is_none() && (answer.status != 200 || answer.rejected > 0) {
            tally.complaint = Some(format!("{} {}", answer.status, answer.text));
        }
        tally.late.add(begun.saturating_duration_since(due));
        tally.bodies += 1;
        tally.bytes += bytes;
        Ok(())
    }
}

fn lost(signal: Signal, error: &io::Error) -> String {
    let patience = connection::PATIENCE.as_secs();
    format!("the server under test was lost while sending {signal:?} (it may take {patience} s at most): {error}")
}
