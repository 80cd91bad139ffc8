//! Query latency beside Prometheus on the same data, and detection while queries run.
mod asked;
mod estate;
mod meanwhile;
mod tsdb;

use crate::Outcome;
use crate::cli::QueriesArgs;
use crate::drive::folder_in;
use crate::histogram::Histogram;
use crate::load::Connection;
use crate::process;
use crate::report::{self, machine_words, ms, must, row};
use crate::rival::Prometheus;
use crate::server::Server;
use asked::Query;
use estate::Estate;
use faultline_model::Millis;
use meanwhile::Meanwhile;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The demand: median latency, as a part of Prometheus'.
const MUST_RATIO: f64 = 0.5;
/// Times that a question is asked before it is measured.
const WARM: u32 = 2;

/// Blocks are merged where their number stays for so long; longest wait for that.
const SETTLED: Duration = Duration::from_secs(25);
const SETTLED_MAX: Duration = Duration::from_secs(300);

/// Series of the metrics that are named.
const SERIES_MIN: u32 = 3 * estate::METRIC;

/// What a question took.
struct Measured {
    query: Query,
    /// Series or labels of the answer, and its bytes.
    parts: usize,
    bytes: usize,
    /// Here and there.
    took: [Histogram; 2],
}

impl Measured {
    fn medians(&self) -> [Duration; 2] {
        [0, 1].map(|who: usize| self.took[who].percentile(0.5))
    }

    fn ratio(&self) -> f64 {
        let [ours, theirs] = self.medians().map(|it| it.as_secs_f64());
        ours / theirs.max(1e-9)
    }

    fn words(&self) -> String {
        let [ours, theirs] = self.medians().map(ms);
        let [our_most, their_most] = [0, 1].map(|who: usize| ms(self.took[who].largest()));
        let met = must(self.ratio() <= MUST_RATIO, "at most 0.50");
        format!("{ours} ms (max {our_most}) beside {theirs} ms (max {their_most}): {:.2}{met}", self.ratio())
    }

    fn json(&self) -> Value {
        let took = |who: usize| {
            let us = |duration: Duration| duration.as_micros() as u64;
            let at = |share| us(self.took[who].percentile(share));
            json!({ "p50_us": at(0.5), "p99_us": at(0.99), "max_us": us(self.took[who].largest()) })
        };
        json!({
            "query": self.query.name.trim(), "path": self.query.path, "parts": self.parts, "bytes": self.bytes,
            "faultline": took(0), "prometheus": took(1), "ratio": self.ratio(),
        })
    }
}

/// `faultline-bench queries`.
pub fn run(args: &QueriesArgs) -> Outcome<()> {
    let load_before = process::load_before();
    if args.load.series() < SERIES_MIN {
        return Err(format!(
            "--series {}: choose {SERIES_MIN} or more, for the questions name three metrics",
            args.load.series()
        ));
    }
    let folder = folder_in(args.load.folder.as_deref())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    let estate = Estate::new(args.load.series(), args.hours, Millis(now.as_millis() as i64));
    let (data, rival) = (folder.path().join("data"), folder.path().join("prometheus"));
    let log = folder.path().join("server.log");
    // A server takes no folder that none has begun.
    Server::run(&args.load.server, &data, &[], &log)?.stop()?;
    let (begun, recent) = (Instant::now(), data.join("recent"));
    let bytes = thread::scope(|scope| {
        let theirs = scope.spawn(|| estate.write_theirs(&rival.join("prometheus-data")));
        let ours = estate.write_ours(&recent);
        Ok::<_, String>([ours?, theirs.join().expect("writing does not panic")?])
    })?;
    eprintln!("{:.0} samples written twice in {:.1} s", estate.samples(), begun.elapsed().as_secs_f64());

    let mut server = Server::run(&args.load.server, &data, &[], &log)?;
    let blocks = merged(server.api)?;
    let queries = asked::all(&estate);
    let prometheus = Prometheus::start(&rival, None)?;
    let measured = measure(&queries, [server.api, prometheus.api], args.times);
    let measured = measured.map_err(|error| format!("{error}\nthe server said:\n{}", server.said()))?;
    let resident = [server.pid(), prometheus.pid].map(process::memory);
    let [our_memory, their_memory] = match resident {
        [Ok(ours), Ok(theirs)] => [ours.most, theirs.most],
        [Err(error), _] | [_, Err(error)] => return Err(error),
    };
    drop(prometheus);
    server.stop()?;

    let mut out = String::from("\n");
    let mut line = |what: &str, value: String| out += &row(what, &value);
    line("machine", machine_words(load_before));
    line("workload", format!("{} series, {} h at 60 s: {:.0} samples", estate.series, estate.hours, estate.samples()));
    let each = bytes.map(|bytes| format!("{:.2}", bytes as f64 / estate.samples()));
    line("bytes a sample on disk", format!("{} here, {} in Prometheus", each[0], each[1]));
    line("blocks", format!("{blocks} here, once merged"));
    line("each asked", format!("{} times by turns, after {WARM}; equal answers; medians:", args.times));
    for one in &measured {
        line(one.query.name, one.words());
    }
    let worst = measured.iter().map(Measured::ratio).fold(0.0, f64::max);
    line("highest ratio", format!("{worst:.2}{}", must(worst <= MUST_RATIO, "at most 0.50")));
    line("most memory", format!("{} here, {} in Prometheus", report::mib(our_memory), report::mib(their_memory)));
    print!("{out}");

    let meanwhile = if args.pairs > 0 { Some(Meanwhile::measure(args, &data, &queries)?) } else { None };
    if let Some(meanwhile) = &meanwhile {
        print!("{}", meanwhile.table(args));
    }
    let told = json!({
        "benchmark": "queries", "commit": report::commit(), "machine": report::machine(load_before),
        "workload": { "series": estate.series, "hours": estate.hours, "samples": estate.samples(), "times": args.times },
        "bytes": bytes, "memory": [our_memory, their_memory], "highest_ratio": worst,
        "queries": measured.iter().map(Measured::json).collect::<Vec<_>>(),
        "detection": meanwhile.as_ref().map(Meanwhile::json),
    });
    report::save(args.load.save.as_deref(), &told)
}

/// Waits until the server has made few blocks of those that it was given, as one that wrote them itself would have long before;
/// how many.
fn merged(api: SocketAddr) -> Outcome<u64> {
    let mut connection = Connection::open(api).map_err(|error| format!("cannot reach {api}: {error}"))?;
    let (mut known, mut since, begun) = (None, Instant::now(), Instant::now());
    while since.elapsed() < SETTLED && begun.elapsed() < SETTLED_MAX {
        let (_, body) = connection.page("/metrics").map_err(|error| format!("no answer to /metrics: {error}"))?;
        let page = String::from_utf8_lossy(&body);
        let line = page.lines().find_map(|line| line.strip_prefix("faultline_recent_blocks "));
        let blocks: Option<u64> = line.and_then(|count| count.trim().parse().ok());
        if blocks != known {
            (known, since) = (blocks, Instant::now());
        }
        thread::sleep(Duration::from_millis(500));
    }
    known.ok_or_else(|| "the server does not say how many blocks it has".into())
}

/// Asks each question of both servers by turns, and compares the first answers.
fn measure(queries: &[Query], addresses: [SocketAddr; 2], times: u32) -> Outcome<Vec<Measured>> {
    let names = ["faultline", "Prometheus"];
    let open = |at: SocketAddr| Connection::open(at).map_err(|error| format!("cannot reach {at}: {error}"));
    let mut connections = [open(addresses[0])?, open(addresses[1])?];
    let mut all = Vec::new();
    for query in queries {
        let mut measured = Measured { query: query.clone(), parts: 0, bytes: 0, took: Default::default() };
        for time in 0..WARM + times {
            let mut bodies = [Vec::new(), Vec::new()];
            // Neither is always the first.
            for who in if time % 2 == 0 { [0, 1] } else { [1, 0] } {
                let (took, body) =
                    ask(&mut connections[who], query).map_err(|error| format!("{}: {error}", names[who]))?;
                bodies[who] = body;
                if time >= WARM {
                    measured.took[who].add(took);
                }
            }
            if time == 0 {
                let equal = asked::compare(&bodies[0], &bodies[1]);
                measured.parts = equal.map_err(|error| format!("{}: answers differ: {error}", query.name))?;
                measured.bytes = bodies[0].len();
            }
        }
        if measured.parts == 0 {
            return Err(format!("{}: the answer is empty, which measures nothing", query.name));
        }
        eprintln!("{}: {}", query.name, measured.words());
        all.push(measured);
    }
    Ok(all)
}

/// Asks, and reads the whole answer. Returns how long that took.
fn ask(connection: &mut Connection, query: &Query) -> Outcome<(Duration, Vec<u8>)> {
    let begun = Instant::now();
    let answer = connection.page(&query.path);
    let took = begun.elapsed();
    match answer {
        Ok((200, body)) => Ok((took, body)),
        Ok((status, body)) => Err(format!("{status} to {}: {}", query.path, String::from_utf8_lossy(&body))),
        Err(error) => Err(format!("no answer to {}: {error}", query.path)),
    }
}
