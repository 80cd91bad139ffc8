//! What evaluating rules costs, beside Prometheus: the same samples and rules, in one run.
use crate::Outcome;
use crate::cli::RulesArgs;
use crate::drive::folder_in;
use crate::load::{Connection, Random};
use crate::process;
use crate::report::{self, machine_words, must, row};
use crate::rival::Prometheus;
use crate::server::Server;
use faultline_formats::encode;
use faultline_model::{Encoding, Labels, Millis, Sample};
use serde_json::json;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The demands: evaluations a second and core, and how much less CPU than Prometheus.
const MUST_RATE: f64 = 10e6;
const MUST_RATIO: f64 = 40.0;

/// Between two samples of a series, and between two evaluations of a group.
const INTERVAL: Duration = Duration::from_secs(15);
/// Rounds before anything is measured: ranges are full, and alerts fire.
const WARM: u32 = 6;
/// Metrics, gauges and counters by turns, each of which this many rules watch, all of its series.
const METRICS: u32 = 100;
const RULES_EACH: u32 = 10;
/// Series of a body.
const BODY: usize = 2_000;
/// Of each metric this series is above all limits.
const LOUD: u32 = 0;

/// The rule file. A rule watches all series of a metric: of gauges thresholds, of counters rates and sums of rates.
fn rules() -> String {
    let mut out = String::from("groups:\n");
    for metric in 0..METRICS {
        let name = name(metric);
        let _ = writeln!(out, "- name: {name}\n  interval: {}s\n  rules:", INTERVAL.as_secs());
        for i in 0..RULES_EACH {
            let limit = 100 + i;
            let expr = match (metric % 2, i) {
                (0, _) => format!("{name} > {limit}"),
                (_, 8..) => format!("sum by (job) (rate({name}[1m])) > {limit}00"),
                _ => format!("rate({name}[1m]) > {limit}"),
            };
            let _ = writeln!(out, "  - alert: A{metric:02}x{i}\n    expr: {expr}\n    for: 30s");
        }
    }
    out
}

fn name(metric: u32) -> String {
    format!("bench_{metric:02}_{}", if metric.is_multiple_of(2) { "level" } else { "total" })
}

/// All series, each with its newest value.
struct Estate {
    series: Vec<(Labels, f64)>,
    random: Random,
}

impl Estate {
    fn new(count: u32) -> Estate {
        let one = |number: u32| {
            let (metric, member) = (number % METRICS, number / METRICS);
            let labels = Labels::new([
                ("__name__", &*name(metric)),
                ("instance", &format!("10.0.{}.{}:9090", member / 250, member % 250)),
                ("job", &format!("job-{}", member % 10)),
            ]);
            (labels, 50.0)
        };
        Estate { series: (0..count).map(one).collect(), random: Random(5) }
    }

    /// The next sample of each series as bodies of remote write.
    fn round(&mut self, at: Millis) -> Vec<Vec<u8>> {
        let (random, interval) = (&mut self.random, INTERVAL.as_secs_f64());
        for (number, (_, value)) in (0..).zip(&mut self.series) {
            let (metric, loud) = (number % METRICS, number / METRICS == LOUD);
            let drawn = f64::from(random.below(64));
            *value = match (metric % 2, loud) {
                (0, false) => (*value + drawn - 31.5).clamp(0.0, 90.0),
                (0, true) => 1_000.0 + drawn,
                (_, false) => *value + drawn * interval,
                (_, true) => *value + 1_000.0 * interval,
            };
        }
        let body = |part: &[(Labels, f64)]| {
            let samples: Vec<[Sample; 1]> = part.iter().map(|(_, value)| [Sample::new(at, *value)]).collect();
            let series = part.iter().zip(&samples).map(|((labels, _), samples)| (labels, &samples[..]));
            encode::compress(&encode::write_request(series), Encoding::Snappy)
        };
        self.series.chunks(BODY).map(body).collect()
    }
}

/// One of the four that are fed.
struct Fed {
    what: &'static str,
    pid: u32,
    api: SocketAddr,
    connection: Connection,
    /// CPU seconds when measuring began.
    before: f64,
}

impl Fed {
    fn new(what: &'static str, pid: u32, api: SocketAddr) -> Outcome<Fed> {
        let connection = Connection::open(api).map_err(|error| format!("cannot reach {what}: {error}"))?;
        Ok(Fed { what, pid, api, connection, before: 0.0 })
    }

    fn feed(&mut self, bodies: &[Vec<u8>]) -> Outcome<()> {
        for body in bodies {
            let sent = self.connection.send("/api/v1/write", Some("snappy"), [body, &[]]);
            let answer = sent.and_then(|()| self.connection.answer());
            let answer = answer.map_err(|error| format!("{} does not take samples: {error}", self.what))?;
            if !matches!(answer.status, 200 | 204) {
                return Err(format!("{} answers {} to samples: {}", self.what, answer.status, answer.text));
            }
        }
        Ok(())
    }

    fn cpu(&self) -> Outcome<f64> {
        process::cpu_seconds(&self.pid.to_string())
    }

    /// How many alerts fired at each instant of the last rounds, all together.
    fn fired(&self, rounds: u32) -> Outcome<f64> {
        let seconds = u64::from(rounds) * INTERVAL.as_secs();
        let path =
            format!("/api/v1/query?query=sum(count_over_time(ALERTS%7Balertstate%3D%22firing%22%7D%5B{seconds}s%5D))");
        let text =
            Connection::get(self.api, &path).map_err(|error| format!("{} does not answer: {error}", self.what))?;
        let answer: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let value = answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok());
        Ok(value.unwrap_or(0.0))
    }
}

/// `faultline-bench rules`.
pub fn run(args: &RulesArgs) -> Outcome<()> {
    let load_before = process::load_before();
    let folder = folder_in(args.run.folder.as_deref())?;
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules()).map_err(|error| format!("cannot write the rules: {error}"))?;
    let ours = |rules| ours(&args.run.server, folder.path(), rules);
    let (mut plain, mut ruled) = (ours(None)?, ours(Some(&*file))?);
    let theirs = |name: &str, rules| Prometheus::start(&folder.path().join(name), rules);
    let (their_plain, their_ruled) = (theirs("prometheus", None)?, theirs("prometheus-rules", Some(&*file))?);
    let mut all = [
        Fed::new("faultline without rules", plain.pid(), plain.api)?,
        Fed::new("faultline", ruled.pid(), ruled.api)?,
        Fed::new("Prometheus without rules", their_plain.pid, their_plain.api)?,
        Fed::new("Prometheus", their_ruled.pid, their_ruled.api)?,
    ];
    let mut estate = Estate::new(args.series);
    let begun = Instant::now();
    for round in 0..=WARM + args.rounds {
        thread::sleep((INTERVAL * round).saturating_sub(begun.elapsed()));
        if round == WARM {
            for fed in &mut all {
                fed.before = fed.cpu()?;
            }
        }
        if round == WARM + args.rounds {
            break;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let bodies = estate.round(Millis(now.as_millis() as i64));
        let fed = thread::scope(|scope| {
            let feeders: Vec<_> = all.iter_mut().map(|fed| scope.spawn(|| fed.feed(&bodies))).collect();
            feeders.into_iter().try_for_each(|feeder| feeder.join().expect("feeding does not panic"))
        });
        fed?;
        eprintln!("round {} of {}", round + 1, WARM + args.rounds);
    }
    let mut seconds = [0.0; 4];
    for (seconds, fed) in seconds.iter_mut().zip(&all) {
        *seconds = fed.cpu()? - fed.before;
    }
    let [ours, theirs] = [seconds[1] - seconds[0], seconds[3] - seconds[2]];
    let fired = [all[1].fired(args.rounds)?, all[3].fired(args.rounds)?];
    let evaluations = f64::from(args.rounds) * f64::from(RULES_EACH) * f64::from(args.series);
    let (rate, ratio) = (evaluations / ours, theirs / ours);
    let mut out = String::from("\n");
    let mut line = |what: &str, value: String| out += &row(what, &value);
    line("machine", machine_words(load_before));
    let shape = format!("{} series and {} rules, each {} s", args.series, METRICS * RULES_EACH, INTERVAL.as_secs());
    line("workload", shape);
    line("measured", format!("{} rounds, {evaluations:.0} evaluations of a rule and a series", args.rounds));
    for (fed, seconds) in all.iter().zip(seconds) {
        line(fed.what, format!("{seconds:.2} s of CPU"));
    }
    line("alerts firing, at all instants", format!("{} here, {} there", fired[0], fired[1]));
    line("evaluations/s/core", format!("{:.2} M{}", rate / 1e6, must(rate >= MUST_RATE, "at least 10 M")));
    line("  Prometheus", format!("{:.2} M", evaluations / theirs / 1e6));
    line("CPU beside Prometheus", format!("{ratio:.1} times less{}", must(ratio >= MUST_RATIO, "at least 40")));
    print!("{out}");
    for server in [&mut plain, &mut ruled] {
        server.stop()?;
    }
    let told = json!({
        "benchmark": "rules", "commit": report::commit(), "machine": report::machine(load_before),
        "workload": { "series": args.series, "rules": METRICS * RULES_EACH, "rounds": args.rounds },
        "cpu_seconds": all.iter().zip(seconds).map(|(fed, seconds)| json!([fed.what, seconds])).collect::<Vec<_>>(),
        "fired": fired, "evaluations": evaluations, "per_second_and_core": rate, "times_less_cpu": ratio,
    });
    report::save(args.run.save.as_deref(), &told)
}

/// A server of ours, which evaluates as samples come where it has rules.
fn ours(program: &Path, folder: &Path, rules: Option<&Path>) -> Outcome<Server> {
    let name = if rules.is_some() { "faultline-rules" } else { "faultline" };
    let rules = rules.map(|rules| rules.display().to_string());
    let mut words = vec!["--evaluation", "stream"];
    words.extend(rules.iter().flat_map(|rules| ["--rules", rules]));
    Server::run(program, &folder.join(name), &words, &folder.join(format!("{name}.log")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_read_and_one_series_of_each_metric_breaks_them() {
        let text = rules();
        let files = faultline_model::RuleFiles {
            files: vec![faultline_model::RuleFile { name: "r.yml".into(), text }],
            ..faultline_model::RuleFiles::default()
        };
        let set = faultline_rules::parse(&files).expect("the rules are good");
        assert_eq!(set.groups.iter().map(|group| group.rules.len()).sum::<usize>(), (METRICS * RULES_EACH) as usize);
        let mut estate = Estate::new(2 * METRICS);
        let bodies = estate.round(Millis(1_000));
        assert_eq!(bodies.len(), 1);
        let loud = |(_, value): &&(Labels, f64)| *value > 110.0;
        assert!(estate.series[..METRICS as usize].iter().filter(loud).count() == METRICS as usize);
        assert!(estate.series[METRICS as usize..].iter().step_by(2).filter(loud).count() == 0);
    }
}
