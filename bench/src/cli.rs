//! The command line.
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Fixed benchmarks of Faultline.
#[derive(Debug, Parser)]
#[command(
    name = "faultline-bench",
    about = "Fixed benchmarks of Faultline: a load generator, and harnesses that run the real server under it.",
    after_help = "Try:\n  cargo build --release                       the server that is measured\n  \
                  cargo xtask bench ingest --quick            a first look, under a minute\n  \
                  cargo xtask bench ingest                    rate, latency, memory: some minutes\n  \
                  cargo xtask bench ingest --memory --series 1000000\n  \
                  cargo xtask bench ingest --overload --senders 512 --seconds 180\n  \
                  cargo xtask bench checkpoints               what writing a checkpoint costs those who watch\n  \
                  cargo xtask bench restart                   kill -9 at a million series: how long until it is ready\n  \
                  cargo xtask bench replay                    replay against the live maximum\n  \
                  cargo xtask bench backtest                  100 rules over days of samples in blocks\n  \
                  cargo xtask bench rules                     what 1,000 rules cost, beside Prometheus\n  \
                  cargo xtask bench queries                   query latency beside Prometheus, and detection meanwhile\n\n\
                  Let nothing else run meanwhile. bench/README.md says what is measured and what it does not show."
)]
pub struct Cli {
    /// What to measure.
    #[command(subcommand)]
    pub command: Command,
}

/// Benchmarks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The server end to end: sustained rate, detection latency at half of it, memory, CPU.
    #[command(after_help = "How it goes:\n  \
        1. starts `faultline run` on free ports with an empty folder, 1,360 rules under `stream` evaluation, and this\n     \
        program as its Alertmanager\n  \
        2. sends each series once, and reads the server's memory\n  \
        3. doubles the rate until acknowledgements fall behind or are refused, then closes in on the highest rate that holds\n  \
        4. at half that rate, sends values that cross a threshold, and waits for the alerts\n  \
        5. prints a table; with --save NAME, writes bench/results/NAME.json too\n\n\
        An event is a metric point, a log record or a span, 73/18/9 of each. Events count once they are acknowledged,\n\
        which the server does when they are durable, less what it rejected.")]
    Ingest(IngestArgs),
    /// The generator alone, against a sink that reads and acknowledges: what it costs, and how fast it could be.
    Generator(IngestArgs),
    /// What writing a checkpoint costs: throughput and detection with and without, by turns, in one run.
    #[command(after_help = "How it goes:\n  \
        1. starts the server as `ingest` does, sends each series once, and has a first checkpoint written\n  \
        2. as many pairs of stretches as asked for, one of each pair while checkpoints are written one after another, the\n     \
        other without, in changing order: bodies as fast as they are answered\n  \
        3. as many pairs at half of what was applied without (or --rate): values that cross a threshold, and their alerts\n  \
        4. prints both kinds side by side; with --save NAME, writes bench/results/NAME.json too\n\n\
        Met where throughput is at least 0.9 of that without and p99 of detection at most 1.1 of it; at a million series\n\
        (--series 1000000) where no detection takes 20 ms longer than the longest without. The server's own histograms of\n\
        its loop (`faultline_stage_seconds`) stand below.")]
    Checkpoints(CheckpointsArgs),
    /// From SIGKILL to ready: a million series, a checkpoint, and 10 million events after it.
    #[command(after_help = "How it goes:\n  \
        1. starts the server as `ingest` does, sends each series once, and has a checkpoint written\n  \
        2. sends events as fast as they are answered, and kills the server with SIGKILL\n  \
        3. starts it again and asks /-/ready until it says yes; what it says of its recovery stands in the report\n  \
        4. asks whether everything acknowledged is there; stops it with SIGTERM, and starts it once more\n\n\
        Met where it is ready within 10 s of its start, both times. The files are in the page cache, which a kill leaves warm.")]
    Restart(RestartArgs),
    /// Replay against the live maximum: the same journal on the same machine, one after the other.
    #[command(after_help = "How it goes:\n  \
        1. starts the server as `ingest` does, and sends each series once\n  \
        2. sends bodies as fast as they are answered: what is applied a second is the live maximum\n  \
        3. stops it with SIGTERM, and runs `faultline replay` on what it left, as often as asked for\n  \
        4. prints events/s of both and their ratio\n\n\
        Met where the median replay, from its start to its end, takes at least 1.5 times as many events a second.")]
    Replay(ReplayArgs),
    /// Rules over a past in blocks: 100 rules over days of samples at 60 s.
    #[command(after_help = "How it goes:\n  \
        1. writes blocks of two hours, as the recent store does, with so many series of 100 metrics\n  \
        2. runs `faultline rules backtest --history` with 100 rules on them, as often as asked for; half of them take rates, each\n     \
        watches all series of one metric\n  \
        3. prints the seconds, the CPU time a sample, and what 30 days of 100,000 series would take at that rate\n\n\
        Met where that is at most 60 s on two cores. The files are in the page cache, from writing them.")]
    Backtest(BacktestArgs),
    /// What evaluating rules costs: 1,000 rules over 100,000 series, beside Prometheus on the same samples.
    #[command(after_help = "How it goes:\n  \
        1. starts four servers: Faultline under `stream` evaluation and Prometheus, each with 1,000 rules and without\n  \
        2. sends each of them the same sample of every series, each 15 s; every rule watches all series of one metric\n  \
        3. once ranges are full, takes CPU times over some rounds: what rules cost is the difference between with and without\n  \
        4. prints evaluations of a rule and a series per second and core, and how much less CPU that is than Prometheus takes\n\n\
        Both must have fired as often. Prometheus is installed where it is missing: that needs Go, and some minutes.")]
    Rules(RulesArgs),
    /// Query latency beside Prometheus on the same samples: 100,000 series of 24 hours; detection while queries run.
    #[command(after_help = "How it goes:\n  \
        1. writes the same samples twice: blocks as our recent store has them, and blocks as Prometheus has them once compacted\n  \
        2. starts both servers on them, and asks both the same questions by turns, over one connection each, without\n     \
        compression: instants, ranges, aggregations of many series, look-ups. Answers must be equal to 1e-9\n  \
        3. prints the median of each and their ratio\n  \
        4. starts our server again on the same blocks, under load as `checkpoints` does, and measures detection in pairs of\n     \
        stretches with and without such questions, one after the other from one connection (--pairs 0: leave this out)\n\n\
        Met where each median is at most half of Prometheus', and p99 of detection at most 1.2 of that without. Files are in\n\
        the page cache, from writing them. Prometheus is installed where it is missing: that needs Go, and some minutes.")]
    Queries(QueriesArgs),
    /// The sink of `generator`: acknowledges every body unread, answers a crossing with its alert.
    #[command(hide = true)]
    Sink(SinkArgs),
}

/// Options of everything that starts a server and loads it.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// The server's program.
    #[arg(long, value_name = "PATH", default_value = "target/release/faultline")]
    pub server: PathBuf,
    /// Metric series [default: 100000, of `restart` 1000000]. Choice among them follows a Zipf law of exponent 1.05.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    pub series: Option<u32>,
    /// Connections that carry metrics; those for logs and spans follow in proportion.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub senders: u32,
    /// Compress bodies with gzip, level 1. This is done as they are sent: the generator then costs several times as much.
    #[arg(long)]
    pub gzip: bool,
    /// Folder for the server's data, which needs a real disk and goes away at the end [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Write the figures to bench/results/NAME.json.
    #[arg(long, value_name = "NAME")]
    pub save: Option<String>,
}

impl LoadArgs {
    /// How many series.
    pub fn series(&self) -> u32 {
        self.series.unwrap_or(100_000)
    }
}

/// Options of `ingest` and `generator`.
#[derive(Debug, Clone, Args)]
pub struct IngestArgs {
    /// The server and its load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Length of each measurement in seconds [default: 20, with --quick 5].
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// A first look: short steps, a coarser search.
    #[arg(long)]
    pub quick: bool,
    /// Measure at this many events/s; no search for the highest rate, latency at this rate.
    #[arg(long, value_name = "EVENTS")]
    pub rate: Option<f64>,
    /// Memory only: send each series once, then 100,000 events/s for a while.
    #[arg(long)]
    pub memory: bool,
    /// Overload: send each series once, then as fast as bodies are answered, refused or not, over many connections, and
    /// print memory each second.
    #[arg(long, conflicts_with_all = ["memory", "rate", "quick"])]
    pub overload: bool,
    /// Alerts a second while latency is measured.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub crossings: u32,
}

impl IngestArgs {
    /// Length of a measurement.
    pub fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 5.0 } else { 20.0 })
    }
}

/// Options of `checkpoints`.
#[derive(Debug, Clone, Args)]
pub struct CheckpointsArgs {
    /// The server and its load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Length of each stretch in seconds.
    #[arg(long, value_name = "N", default_value_t = 4.0, value_parser = seconds)]
    pub seconds: f64,
    /// Pairs of stretches, as many for throughput as for detection.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pairs: u32,
    /// Events/s while detection is measured [default: half of what was applied without a checkpoint].
    #[arg(long, value_name = "EVENTS")]
    pub rate: Option<f64>,
    /// Alerts a second while detection is measured.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub crossings: u32,
}

/// Options of `restart`.
#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    /// The server and its load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Events after the checkpoint.
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
}

/// Options of `replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// The server and its load.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Length of the live measurement in seconds; the journal takes some 200 MB for each.
    #[arg(long, value_name = "N", default_value_t = 15.0, value_parser = seconds)]
    pub seconds: f64,
    /// Replays of the same journal.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub times: u32,
}

/// Options of what starts the program by itself, without a load.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The program.
    #[arg(long, value_name = "PATH", default_value = "target/release/faultline")]
    pub server: PathBuf,
    /// Folder for data, which goes away at the end [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Write the figures to bench/results/NAME.json.
    #[arg(long, value_name = "NAME")]
    pub save: Option<String>,
}

/// Options of `rules`.
#[derive(Debug, Clone, Args)]
pub struct RulesArgs {
    /// Program, folder and file.
    #[command(flatten)]
    pub run: RunArgs,
    /// Series, a hundredth of them of each metric.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    pub series: u32,
    /// Rounds of 15 s that are measured.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
}

/// Options of `queries`.
#[derive(Debug, Clone, Args)]
pub struct QueriesArgs {
    /// The server, its past, and its load: as many series in both.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Hours of the past that is asked about, an even number.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = even_hours)]
    pub hours: u32,
    /// Times that each question is asked of each server.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub times: u32,
    /// Pairs of stretches in which detection is measured; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub pairs: u32,
    /// Length of each stretch in seconds.
    #[arg(long, value_name = "N", default_value_t = 8.0, value_parser = seconds)]
    pub seconds: f64,
    /// Events/s while detection is measured [default: half of what is applied as fast as it goes].
    #[arg(long, value_name = "EVENTS")]
    pub rate: Option<f64>,
    /// Alerts a second while detection is measured.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub crossings: u32,
}

fn even_hours(text: &str) -> Result<u32, String> {
    let wrong = || "choose an even number from 2 to 240".to_owned();
    text.parse().ok().filter(|hours| (2..=240).contains(hours) && hours % 2 == 0).ok_or_else(wrong)
}

/// Options of `backtest`.
#[derive(Debug, Clone, Args)]
pub struct BacktestArgs {
    /// Program, folder and file.
    #[command(flatten)]
    pub run: RunArgs,
    /// Series, each with a sample every 60 s.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    pub series: u32,
    /// Days; a day of 10,000 series takes some 60 MB of disk.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Runs over the same blocks.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub times: u32,
}

fn seconds(text: &str) -> Result<f64, String> {
    let wrong = || "choose 0.5 to 3600".to_owned();
    text.parse().ok().filter(|seconds| (0.5..=3600.0).contains(seconds)).ok_or_else(wrong)
}

/// Options of `sink`.
#[derive(Debug, Clone, Args)]
pub struct SinkArgs {
    /// Where alerts go.
    #[arg(long, value_name = "URL")]
    pub alertmanager: String,
    /// Events/s beyond which it makes senders wait: a server of known speed, for tests of the search.
    #[arg(long, value_name = "EVENTS")]
    pub slow_to: Option<f64>,
}
