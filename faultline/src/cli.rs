//! The command line: what can be asked, and the help that teaches it.
use crate::replay::Place;
use crate::why::graph::GraphFormat;
use clap::{Args, Parser, Subcommand, ValueEnum};
use faultline_engine::ENGINE_VERSION;
use faultline_model::Position;
use faultline_promql::{Feature, Features};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

/// The release, and whose data folders it goes on from.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (engine version {ENGINE_VERSION})", env!("CARGO_PKG_VERSION")));

/// What broke, where it began, and the proof.
#[derive(Debug, Parser)]
#[command(
    name = "faultline",
    version = VERSION.as_str(),
    about = "What broke, where it began, and the proof.",
    long_about = "Faultline takes in telemetry (OTLP, Prometheus remote write), evaluates Prometheus rule files, groups alerts into\n\
                  incidents, names the root cause with a posterior, and keeps a ledger from which every decision can be recomputed.",
    after_help = "Start here:\n  faultline demo            a banking estate, a fault, and the verdict, in about a minute\n  \
                  faultline run             the server, with sensible defaults, data under ./faultline-data\n  \
                  faultline status          what a running server sees"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked of Faultline.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: listen, detect, explain, keep the ledger.
    Run(RunArgs),
    /// Show the whole thing on a simulated bank: start a server, break something, watch it be found.
    Demo(DemoArgs),
    /// What a running server sees: sources, series, lag, rejects, and what a verdict lacks.
    Status(Ask),
    /// Incidents of a running server, newest first; `close` one with what its cause was.
    #[command(after_help = INCIDENTS_HELP)]
    Incidents(IncidentsArgs),
    /// Why an incident happened: ranked causes, evidence, path, and what could not be seen.
    Why(WhyArgs),
    /// What samples that came late make of alerts that were decided without them, newest first.
    Revisions(Ask),
    /// What a running server refused, why, and from whom.
    Rejects(Ask),
    /// Have a running server keep its state now, so that the next start has little to replay: before an upgrade.
    Checkpoint(Ask),
    /// Recompute every decision from the data folder alone and check the ledger.
    Verify(FolderArgs),
    /// Replay the journal without side effects: what was decided, or what other rules would have decided.
    #[command(after_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    /// Compare the engine's state in two data folders, or at two positions of one, and name the first row that differs.
    #[command(after_help = DIFF_HELP)]
    DiffState(DiffArgs),
    /// Rule files: check, test and try them, and ask why an alert fires or does not.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Bring in history that another system keeps, to try rules on.
    #[command(subcommand)]
    Import(ImportCommand),
}

/// What history can be brought in from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// From the blocks of Prometheus' storage; exit code 1 where something had to be left out.
    #[command(after_help = IMPORT_HELP)]
    Prometheus(ImportArgs),
}

const IMPORT_HELP: &str = "\
Floats, native histograms and stale markers come over as they are, what was deleted does not. Every check sum is checked; what is damaged
is named and left out. Blocks are read only. The folder is there once all is written: an import that ends early leaves none.

The newest hours of a Prometheus that runs, up to three, are not in blocks yet. A snapshot has them, too (--web.enable-admin-api):
  curl -XPOST http://localhost:9090/api/v1/admin/tsdb/snapshot

Try:
  faultline import prometheus /var/lib/prometheus
  faultline import prometheus /var/lib/prometheus/snapshots/20261121T005416Z-4f2a --into last-year
  faultline rules backtest mine.yml --history=last-year --from -30d";

/// Options of `import prometheus`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// Prometheus' folder (--storage.tsdb.path), a snapshot of it, or single blocks.
    #[arg(required = true, value_name = "FOLDER")]
    pub from: Vec<PathBuf>,
    /// Where the history goes, for `--history=FOLDER` of `faultline rules`: a folder that is not there yet, or is empty.
    #[arg(long, default_value = "faultline-history", value_name = "FOLDER")]
    pub into: PathBuf,
    /// Output.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

const INCIDENTS_HELP: &str = "\
Try:
  faultline incidents                                  what is open, and what was
  faultline incidents close 0/1234.5 --cause payments  what its cause was: later verdicts learn from it

What is learned: which events (log records with a name) and alerts, at a service, at its callers and at its callees, went with causes.
Without closed incidents nothing is learned and no verdict changes.";

const REPLAY_HELP: &str = "\
A place is a record (0/123), a time (2026-11-21T00:54:16Z), or so long before the journal's end (-2h, -1h30m).

Try:
  faultline replay                                     everything that is kept
  faultline replay --from -2h                          the last two hours
  faultline replay --from -2h --rules mine.yml         what other rules would have decided, beside what was decided
  faultline replay --from -10m --speed 10 -o json      ten times as fast as it went, for a program

Nothing is written, notified or asked, and a server may go on in the same folder. Verdicts are those that the journal holds;
under other rules there are none.";

const DIFF_HELP: &str = "\
Try:
  faultline diff-state faultline-data copy             at the last record that both have
  faultline diff-state faultline-data copy --at 0/5000
  faultline diff-state faultline-data --at 0/5000 --at 0/5001

Exit code 0: equal, 1: different, 2: cannot tell.";

/// Options of `run`; each overrides the configuration file.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Configuration file (YAML). `faultline.yaml` in this folder is read when it is there.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where journal, ledger and checkpoints are kept [default: ./faultline-data].
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Prometheus rule file; may be given several times. Changes on disk are picked up live.
    #[arg(long = "rules", value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// Leave out the built-in rules over span metrics (print them with `faultline rules builtin`).
    #[arg(long)]
    pub no_builtin_rules: bool,
    /// Experimental parts of PromQL, in rules and queries.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// How rules are evaluated: on Prometheus' grid, or also at each sample.
    #[arg(long, value_enum, value_name = "MODE")]
    pub evaluation: Option<EvaluationArg>,
    /// Listen for OTLP over gRPC here [default: 127.0.0.1:4317].
    #[arg(long, value_name = "ADDRESS")]
    pub otlp_grpc: Option<SocketAddr>,
    /// Listen for OTLP over HTTP here [default: 127.0.0.1:4318].
    #[arg(long, value_name = "ADDRESS")]
    pub otlp_http: Option<SocketAddr>,
    /// Listen for the API and Prometheus remote write here [default: 127.0.0.1:7400].
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Send alerts to this Alertmanager, such as http://127.0.0.1:9093; may be given several times.
    #[arg(long, value_name = "URL")]
    pub alertmanager: Vec<String>,
    /// Allow listening beyond loopback without credentials: anyone who reaches the port can send and read.
    #[arg(long)]
    pub insecure: bool,
}

/// Which parts of the language are on.
#[derive(Debug, Clone, Default, Args)]
pub struct FeatureArgs {
    /// Switch on an experimental part of PromQL by Prometheus' name for it; may be given several times, or names separated by
    /// commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = feature)]
    pub enable_feature: Vec<Feature>,
}

impl FeatureArgs {
    /// All of them.
    pub fn set(&self) -> Features {
        self.enable_feature.iter().copied().collect()
    }
}

fn feature(name: &str) -> Result<Feature, String> {
    Feature::named(name).map_err(|error| error.to_string())
}

/// Options of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// What goes wrong.
    #[arg(long, value_enum, default_value = "silent")]
    pub fault: FaultArg,
    /// Seed of the simulated estate: the same seed, the same story.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Leave the server running at the end.
    #[arg(long)]
    pub keep: bool,
    /// Where the demo's data goes [default: a new temporary folder].
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

/// Faults of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FaultArg {
    /// The SWIFT gateway accepts work and silently completes none; its clients drown in retries.
    Silent,
    /// A service becomes slow.
    Latency,
    /// A service answers with errors.
    Errors,
    /// A release goes wrong while a harmless one goes out beside it.
    Deploy,
    /// A process ends, and again after each start.
    Crash,
    /// A service runs out of processor time and memory.
    Resources,
    /// Two services go wrong at once.
    Two,
    /// A service goes wrong that never sends telemetry: only its callers tell of it.
    Unseen,
    /// A host is overloaded: all that runs on it becomes slow.
    Host,
    /// Nothing: no incident may open.
    None,
}

/// How rules are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvaluationArg {
    /// At the instants of Prometheus' grid: the same alerts.
    Grid,
    /// At those instants and at each sample: milliseconds instead of an interval.
    Stream,
}

/// Where to ask, and how to print.
#[derive(Debug, Clone, Args)]
pub struct Ask {
    /// The server's HTTP address.
    #[arg(long, default_value = "http://127.0.0.1:7400", value_name = "URL")]
    pub url: String,
    /// Output.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// Options of `incidents`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct IncidentsArgs {
    /// What to do with one.
    #[command(subcommand)]
    pub command: Option<IncidentsCommand>,
    /// Where to ask, and how to print.
    #[command(flatten)]
    pub ask: Ask,
}

/// What can be done with an incident.
#[derive(Debug, Clone, Subcommand)]
pub enum IncidentsCommand {
    /// Close an incident: say what its cause was. Once for each incident; its alerts go on as they are.
    Close(CloseArgs),
}

/// Options of `incidents close`.
#[derive(Debug, Clone, Args)]
pub struct CloseArgs {
    /// The incident's id, as `faultline incidents` prints it.
    pub incident: String,
    /// The service that was at fault, by the name that its telemetry has.
    #[arg(long, value_name = "SERVICE")]
    pub cause: String,
    /// What is worth remembering.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Who says so.
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Where to say it, and how to print.
    #[command(flatten)]
    pub ask: Ask,
}

/// Options of `why`.
#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// The incident's id, as `faultline incidents` prints it; the newest when left out.
    pub incident: Option<String>,
    /// Draw the verdict instead: who is violated, the causes, and the calls between them, caller to callee.
    #[arg(long, value_enum, value_name = "LANGUAGE", conflicts_with = "output")]
    pub graph: Option<GraphFormat>,
    /// Where to ask, and how to print.
    #[command(flatten)]
    pub ask: Ask,
}

/// Options of the commands that read a data folder.
#[derive(Debug, Clone, Args)]
pub struct FolderArgs {
    /// The data folder.
    #[arg(long, default_value = "faultline-data", value_name = "FOLDER")]
    pub data: PathBuf,
    /// Output.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// Options of `replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Of which stretch.
    #[command(flatten)]
    pub stretch: StretchArgs,
    /// Take these rule files instead of the journal's, and compare; may be given several times. The built-in rules stay.
    #[arg(long = "rules", value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// With --rules: leave out the built-in rules.
    #[arg(long, requires = "rules")]
    pub no_builtin_rules: bool,
    /// What the files of --rules may use.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// Go so many times as fast as it went [default: as fast as it goes].
    #[arg(long, value_name = "N", value_parser = speed)]
    pub speed: Option<f64>,
    /// The folder, and how to print.
    #[command(flatten)]
    pub folder: FolderArgs,
}

/// On what rules are tried.
#[derive(Debug, Clone, Args)]
pub struct PastArgs {
    /// Try the rules on blocks of samples, which reach further back than the journal: those of the recent store in the data
    /// folder, or of FOLDER (written with `=`). Evaluation is then on the grid.
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true)]
    pub history: Option<Option<PathBuf>>,
}

/// The stretch of a journal that is told of.
#[derive(Debug, Clone, Copy, Args)]
pub struct StretchArgs {
    /// Tell what was decided from this place on [default: the oldest record kept]. Rules see what came before, too.
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    pub from: Option<Place>,
    /// Up to and including this place [default: the end].
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    pub to: Option<Place>,
}

fn speed(text: &str) -> Result<f64, String> {
    let wrong = || "say how many times as fast as it went, such as 1 or 10".to_string();
    text.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed > 0.0).ok_or_else(wrong)
}

/// Options of `diff-state`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// One data folder or two.
    #[arg(required = true, num_args = 1..=2, value_name = "FOLDER")]
    pub folders: Vec<PathBuf>,
    /// Compare after this record (0/123); for one folder, given twice [default: the last record that both have].
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub at: Vec<Position>,
    /// Output.
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

fn position(text: &str) -> Result<Position, String> {
    Position::parse(text).ok_or_else(|| "a position is PARTITION/OFFSET, such as 0/123".to_string())
}

/// Rule commands.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Print the built-in rule file, ready to be edited and used with `--rules` and `--no-builtin-rules`.
    Builtin,
    /// Check rule files as the server would read them; exit code 1 on the first fault, with file and line.
    Check {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What they may use.
        #[command(flatten)]
        features: FeatureArgs,
    },
    /// Run promtool's unit tests for rules; exit code 1 where one fails.
    #[command(after_help = TEST_HELP)]
    Test(TestArgs),
    /// Run rules over what the journal holds: when their alerts would have fired, for how long, how often they flap.
    #[command(after_help = BACKTEST_HELP)]
    Backtest(BacktestArgs),
    /// Compare when alerts fire under two sets of rules, or with what was decided; exit code 1 where they differ.
    #[command(after_help = DIFF_RULES_HELP)]
    Diff(DiffRulesArgs),
    /// Why an alert fires or does not, now or at any instant that the journal reaches: samples with the records that brought
    /// them, timers, the rules' version, and what it did before.
    #[command(after_help = EXPLAIN_HELP)]
    Explain(ExplainArgs),
    /// Each time that an alert was active, as the ledger tells it: since when, when it fired, for how long, what late samples made
    /// of it, and under which rules.
    #[command(after_help = HISTORY_HELP)]
    History(HistoryArgs),
}

const HISTORY_HELP: &str = "\
The ledger's newest million leaves are read, nothing is replayed, and a server may go on in the same folder. What came late is
told as confirmed, revised, retracted or missed; `faultline revisions` names the samples.

Try:
  faultline rules history HighErrors
  faultline rules history 'HighErrors{service=\"pay\"}' -o json";

/// Options of `rules history`.
#[derive(Debug, Clone, Args)]
pub struct HistoryArgs {
    /// The alert: its rule's name, or with some of its labels as a selector.
    pub alert: String,
    /// The folder, and how to print.
    #[command(flatten)]
    pub folder: FolderArgs,
}

const EXPLAIN_HELP: &str = "\
The journal is replayed from a checkpoint before that place. Nothing is written, notified or asked, and a server may go on in
the same folder.

Try:
  faultline rules explain HighErrors                                   as things stand
  faultline rules explain 'HighErrors{service=\"pay\"}' --at -2h        two hours before the journal's end
  faultline rules explain HighErrors --at 2026-11-21T00:54:16Z --not-fired
  faultline rules explain HighErrors -o json                           for a program";

/// Options of `rules explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The alert or recording rule: its name, or with some of its labels as a selector.
    pub alert: String,
    /// Look at this place [default: the end of the journal].
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    pub at: Option<Place>,
    /// Say why it does not fire; exit code 1 where it does.
    #[arg(long)]
    pub not_fired: bool,
    /// The folder, and how to print.
    #[command(flatten)]
    pub folder: FolderArgs,
}

const BACKTEST_HELP: &str = "\
Only these files count, the built-in rules are left out. Nothing is written, notified or asked, and a server may go on in the same folder.
A flap is a firing within 10 minutes of the alert's last one.

The journal is what came, as it came, and reaches back hours; rules are replayed by the engine. With --history the samples that the recent
store keeps (15 days by default) are read from its blocks, on all cores; what a server did not write to disk yet, up to two and a half
hours, is missing. Series that these rules record are made anew, as are ALERTS and ALERTS_FOR_STATE; others recorded then are there.

Try:
  faultline rules backtest mine.yml
  faultline rules backtest mine.yml --from -6h -o json
  faultline rules backtest mine.yml --history --from -7d
  faultline rules backtest mine.yml --history=imported/blocks";

const DIFF_RULES_HELP: &str = "\
Firings of an alert (its labels) that overlap are one; `+` appears, `-` vanishes, `~` begins or ends at another time.

Try:
  faultline rules diff mine.yml                        with what was decided
  faultline rules diff new.yml --against old.yml       two sets over the same telemetry
  faultline rules diff new.yml --against old.yml --history --from -7d
  faultline rules diff new.yml --against old.yml || exit 1";

/// Options of `rules backtest`.
#[derive(Debug, Clone, Args)]
pub struct BacktestArgs {
    /// Rule files.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// What the files may use.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// On what.
    #[command(flatten)]
    pub past: PastArgs,
    /// Of which stretch.
    #[command(flatten)]
    pub stretch: StretchArgs,
    /// The folder, and how to print.
    #[command(flatten)]
    pub folder: FolderArgs,
}

/// Options of `rules diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffRulesArgs {
    /// Rule files.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// What the files may use.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// Rule files of before; may be given several times [default: what the journal holds].
    #[arg(long, value_name = "FILE")]
    pub against: Vec<PathBuf>,
    /// On what.
    #[command(flatten)]
    pub past: PastArgs,
    /// Of which stretch.
    #[command(flatten)]
    pub stretch: StretchArgs,
    /// The folder, and how to print.
    #[command(flatten)]
    pub folder: FolderArgs,
}

const TEST_HELP: &str = "\
Files are promtool's as they are: rule_files (with patterns), evaluation_interval, group_eval_order, fuzzy_compare, and tests with
input_series, alert_rule_test, promql_expr_test, external_labels, external_url, start_timestamp.

Try:
  faultline rules test tests.yml
  faultline rules test tests/*.yml --run checkout --run 'pay.*'
  faultline rules test tests.yml -o json               for a program";

/// Options of `rules test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Files of tests.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// What the files may use.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// Only tests whose names match this regular expression; may be given more than once.
    #[arg(long)]
    pub run: Vec<String>,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    pub output: Output,
}

/// Output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For machines.
    Json,
}
