//! Detection while queries run: stretches with and without, by turns, against one server.
//!
//! Between them are stretches in which this program computes while nothing else wants its processor, and asks nothing: what any work
//! beside costs on this machine, by caches and by turns of processors, whoever does it.
use super::ask;
use super::asked::Query;
use crate::Outcome;
use crate::checkpoints::{median, ratios};
use crate::cli::QueriesArgs;
use crate::drive::Bench;
use crate::histogram::Histogram;
use crate::load::Connection;
use crate::report::{must, percentiles, row};
use faultline_host::WhenIdle;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The demand: p99 of detection is at most a fifth worse.
const MUST_P99: f64 = 1.2;
/// Sending before anything is measured: a young server is faster than it stays.
const WARM_SECONDS: f64 = 8.0;

/// What goes on beside detection.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    /// Another program computes.
    Computing,
    Queries,
}

impl Beside {
    const ALL: [Beside; 3] = [Beside::Nothing, Beside::Computing, Beside::Queries];

    fn words(self) -> &'static str {
        match self {
            Beside::Nothing => "without queries",
            Beside::Computing => "beside a program that computes when idle",
            Beside::Queries => "while queries run",
        }
    }
}

/// The stretches of one kind.
#[derive(Default)]
struct Kind {
    detection: Histogram,
    /// Of each stretch, in seconds.
    p99s: Vec<f64>,
    missed: usize,
    /// Stretches whose load did not hold.
    unsteady: usize,
}

/// What came of it.
pub struct Meanwhile {
    rate: f64,
    /// By what went on beside.
    kinds: [Kind; 3],
    /// Questions that were answered meanwhile, and how long they took.
    answered: Histogram,
}

impl Meanwhile {
    /// Starts a server under load on what is in `past`, a data folder that nobody has open, and measures. Moves the folder away.
    pub fn measure(args: &QueriesArgs, past: &Path, queries: &[Query]) -> Outcome<Meanwhile> {
        let each = (args.seconds * f64::from(args.crossings)).ceil() as u32;
        let crossings = 3 * args.pairs * each;
        let mut bench = Bench::start_on(&args.load, args.load.series(), crossings, |data| {
            let moved = std::fs::rename(past, data);
            moved.map_err(|error| format!("cannot move {} to {}: {error}", past.display(), data.display()))
        })?;
        bench.fill(crossings)?;
        let saturated = bench.saturate(WARM_SECONDS, u64::MAX)?;
        let rate = args.rate.unwrap_or(saturated.per_second / 2.0);
        let mut meanwhile = Meanwhile { rate, kinds: Default::default(), answered: Histogram::default() };
        let idle = WhenIdle::start(1).map_err(|error| format!("cannot start a thread: {error}"))?;
        let mut next = 0;
        // In changing order, so that none is always later.
        let order = (0..args.pairs).flat_map(|pair| {
            let [a, b, c] = Beside::ALL;
            if pair % 2 == 0 { [c, b, a] } else { [a, b, c] }
        });
        for beside in order {
            let numbers = next..next + each;
            next += each;
            let (stop, api) = (Arc::new(AtomicBool::new(false)), bench.server.api);
            let (latency, answered) = thread::scope(|scope| {
                let working = match beside {
                    Beside::Nothing => None,
                    Beside::Computing => Some(scope.spawn(|| Ok(compute(&idle, &stop)))),
                    Beside::Queries => Some(scope.spawn(|| ask_on(api, queries, &stop))),
                };
                let latency = bench.latency(rate, args.seconds, args.crossings, numbers);
                stop.store(true, Ordering::Relaxed);
                let answered = working.map_or_else(|| Ok(Ok(Histogram::default())), |working| working.join());
                (latency, answered.unwrap_or_else(|_| Err("asking broke".into())))
            });
            let latency = latency?;
            meanwhile.answered.merge(&answered.map_err(|error| bench.died(error))?);
            eprintln!("at {rate:.0} events/s, {}: {}", beside.words(), percentiles(&latency.from_written));
            let kind = &mut meanwhile.kinds[beside as usize];
            kind.p99s.push(latency.from_written.percentile(0.99).as_secs_f64());
            kind.detection.merge(&latency.from_written);
            kind.missed += latency.missed;
            kind.unsteady += usize::from(latency.trace.failed.is_some());
        }
        bench.server.stop()?;
        Ok(meanwhile)
    }

    /// Median, least and greatest of the pairs: one bad stretch of either kind must not decide.
    fn slower(&self, beside: Beside) -> [f64; 3] {
        ratios(&self.kinds[beside as usize].p99s, &self.kinds[Beside::Nothing as usize].p99s)
    }

    pub fn table(&self, args: &QueriesArgs) -> String {
        let mut out = String::new();
        let mut line = |what: &str, value: String| out += &row(what, &value);
        for beside in Beside::ALL {
            let kind = &self.kinds[beside as usize];
            line(&format!("detection, {}", beside.words()), percentiles(&kind.detection));
            if kind.unsteady > 0 {
                line("NOTE", format!("the load itself did not hold in {} of these stretches", kind.unsteady));
            }
        }
        let count: u64 = self.kinds.iter().map(|kind| kind.detection.count()).sum();
        let missed: usize = self.kinds.iter().map(|kind| kind.missed).sum();
        let shape = format!("{} of each kind of {} s at {:.0} events/s", args.pairs, args.seconds, self.rate);
        line("  crossings", format!("{count}, {missed} missed; {shape}"));
        let ratio = |beside| {
            let [middle, least, most] = self.slower(beside);
            (middle, format!("{middle:.3} ({least:.3} to {most:.3})"))
        };
        let (middle, words) = ratio(Beside::Queries);
        let met = must(middle <= MUST_P99 && missed == 0, "at most 1.20");
        line("  ratio of p99, median of the pairs", format!("{words}{met}"));
        line("  the same beside computing alone", ratio(Beside::Computing).1);
        line("  queries meanwhile", format!("{}: {}", self.answered.count(), percentiles(&self.answered)));
        out
    }

    pub fn json(&self) -> Value {
        let kind = |kind: &Kind| {
            let filled: Vec<_> = kind.detection.filled().collect();
            json!({ "p99_s": median(&kind.p99s), "p99s_s": kind.p99s, "missed": kind.missed, "unsteady": kind.unsteady, "detection_us": filled })
        };
        json!({
            "rate": self.rate, "without": kind(&self.kinds[0]), "computing": kind(&self.kinds[1]), "with": kind(&self.kinds[2]),
            "ratio": self.slower(Beside::Queries), "ratio_computing": self.slower(Beside::Computing),
            "queries": self.answered.count(),
        })
    }
}

/// Asks one question after the other over one connection, until it is to stop.
fn ask_on(api: SocketAddr, queries: &[Query], stop: &AtomicBool) -> Outcome<Histogram> {
    let mut answered = Histogram::default();
    let mut connection = Connection::open(api).map_err(|error| format!("cannot reach {api}: {error}"))?;
    for query in queries.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        answered.add(ask(&mut connection, query)?.0);
    }
    Ok(answered)
}

/// Computes until it is to stop; nothing is answered.
fn compute(idle: &WhenIdle, stop: &Arc<AtomicBool>) -> Histogram {
    let stop = stop.clone();
    idle.run(move || {
        let mut number = 1_u64;
        while !stop.load(Ordering::Relaxed) {
            number = (0..100_000).fold(number, |number, add| number.wrapping_mul(6_364_136_223_846_793_005) ^ add);
        }
        std::hint::black_box(number);
    });
    Histogram::default()
}
