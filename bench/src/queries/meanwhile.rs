//! Detection while queries run: stretches with and without, by turns, against one server.
use super::ask;
use super::asked::Query;
use crate::Outcome;
use crate::checkpoints::{median, order, ratios};
use crate::cli::QueriesArgs;
use crate::drive::Bench;
use crate::histogram::Histogram;
use crate::load::Connection;
use crate::report::{must, percentiles, row};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The demand: p99 of detection is at most a fifth worse.
const MUST_P99: f64 = 1.2;
/// Sending before anything is measured: a young server is faster than it stays.
const WARM_SECONDS: f64 = 8.0;

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
    /// Without queries, and with.
    kinds: [Kind; 2],
    /// Questions that were answered meanwhile, and how long they took.
    answered: Histogram,
}

impl Meanwhile {
    /// Starts a server under load on what is in `past`, a data folder that nobody has open, and measures. Moves the folder away.
    pub fn measure(args: &QueriesArgs, past: &Path, queries: &[Query]) -> Outcome<Meanwhile> {
        let each = (args.seconds * f64::from(args.crossings)).ceil() as u32;
        let crossings = 2 * args.pairs * each;
        let mut bench = Bench::start_on(&args.load, args.load.series(), crossings, |data| {
            let moved = std::fs::rename(past, data);
            moved.map_err(|error| format!("cannot move {} to {}: {error}", past.display(), data.display()))
        })?;
        bench.fill(crossings)?;
        let saturated = bench.saturate(WARM_SECONDS, u64::MAX)?;
        let rate = args.rate.unwrap_or(saturated.per_second / 2.0);
        let mut meanwhile = Meanwhile { rate, kinds: Default::default(), answered: Histogram::default() };
        let mut next = 0;
        for with in order(args.pairs) {
            let numbers = next..next + each;
            next += each;
            let (stop, api) = (AtomicBool::new(!with), bench.server.api);
            let (latency, answered) = thread::scope(|scope| {
                let asking = scope.spawn(|| ask_on(api, queries, &stop));
                let latency = bench.latency(rate, args.seconds, args.crossings, numbers);
                stop.store(true, Ordering::Relaxed);
                (latency, asking.join().unwrap_or_else(|_| Err("asking broke".into())))
            });
            let latency = latency?;
            meanwhile.answered.merge(&answered.map_err(|error| bench.died(error))?);
            let words = if with { "while queries run" } else { "without queries" };
            eprintln!("at {rate:.0} events/s, {words}: {}", percentiles(&latency.from_written));
            let kind = &mut meanwhile.kinds[usize::from(with)];
            kind.p99s.push(latency.from_written.percentile(0.99).as_secs_f64());
            kind.detection.merge(&latency.from_written);
            kind.missed += latency.missed;
            kind.unsteady += usize::from(latency.trace.failed.is_some());
        }
        bench.server.stop()?;
        Ok(meanwhile)
    }

    /// Median, least and greatest of the pairs: one bad stretch of either kind must not decide.
    fn slower(&self) -> [f64; 3] {
        ratios(&self.kinds[1].p99s, &self.kinds[0].p99s)
    }

    pub fn table(&self, args: &QueriesArgs) -> String {
        let [without, with] = &self.kinds;
        let mut out = String::new();
        let mut line = |what: &str, value: String| out += &row(what, &value);
        let count = without.detection.count() + with.detection.count();
        let missed = without.missed + with.missed;
        line("detection, without queries", percentiles(&without.detection));
        line("detection, while queries run", percentiles(&with.detection));
        let shape = format!("{} pairs of {} s at {:.0} events/s", args.pairs, args.seconds, self.rate);
        line("  crossings", format!("{count}, {missed} missed; {shape}"));
        let [middle, least, most] = self.slower();
        let met = must(middle <= MUST_P99 && missed == 0, "at most 1.20");
        line("  ratio of p99, median of the pairs", format!("{middle:.3} ({least:.3} to {most:.3}){met}"));
        line("  queries meanwhile", format!("{}: {}", self.answered.count(), percentiles(&self.answered)));
        if without.unsteady + with.unsteady > 0 {
            let [a, b] = [without.unsteady, with.unsteady];
            line("NOTE", format!("the load itself did not hold in {a} stretches without and {b} with"));
        }
        out
    }

    pub fn json(&self) -> Value {
        let kind = |kind: &Kind| {
            let filled: Vec<_> = kind.detection.filled().collect();
            json!({ "p99_s": median(&kind.p99s), "p99s_s": kind.p99s, "missed": kind.missed, "unsteady": kind.unsteady, "detection_us": filled })
        };
        json!({
            "rate": self.rate, "without": kind(&self.kinds[0]), "with": kind(&self.kinds[1]),
            "ratio": self.slower(), "queries": self.answered.count(),
        })
    }
}

/// Asks one question after the other over one connection, until it is to stop.
fn ask_on(api: SocketAddr, queries: &[Query], stop: &AtomicBool) -> Outcome<Histogram> {
    let mut answered = Histogram::default();
    if stop.load(Ordering::Relaxed) {
        return Ok(answered);
    }
    let mut connection = Connection::open(api).map_err(|error| format!("cannot reach {api}: {error}"))?;
    for query in queries.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        answered.add(ask(&mut connection, query)?.0);
    }
    Ok(answered)
}
