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
                  cargo xtask bench ingest --overload --senders 512 --seconds 180\n\n\
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
    /// The sink of `generator`: acknowledges every body unread, answers a crossing with its alert.
    #[command(hide = true)]
    Sink(SinkArgs),
}

/// Options of `ingest` and `generator`.
#[derive(Debug, Clone, Args)]
pub struct IngestArgs {
    /// The server's program.
    #[arg(long, value_name = "PATH", default_value = "target/release/faultline")]
    pub server: PathBuf,
    /// Length of each measurement in seconds [default: 20, with --quick 5].
    #[arg(long, value_name = "N")]
    pub seconds: Option<f64>,
    /// A first look: short steps, a coarser search.
    #[arg(long)]
    pub quick: bool,
    /// Measure at this many events/s; no search for the highest rate, latency at this rate.
    #[arg(long, value_name = "EVENTS")]
    pub rate: Option<f64>,
    /// Metric series. Choice among them follows a Zipf law of exponent 1.05.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    pub series: u32,
    /// Memory only: send each series once, then 100,000 events/s for a while.
    #[arg(long)]
    pub memory: bool,
    /// Overload: send each series once, then as fast as bodies are answered, refused or not, over many connections, and
    /// print memory each second.
    #[arg(long, conflicts_with_all = ["memory", "rate", "quick"])]
    pub overload: bool,
    /// Connections that carry metrics; those for logs and spans follow in proportion.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub senders: u32,
    /// Alerts a second while latency is measured.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub crossings: u32,
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

impl IngestArgs {
    /// Length of a measurement.
    pub fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 5.0 } else { 20.0 })
    }
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
