//! Settings: defaults, the configuration file, then the command line.
use crate::cli::{EvaluationArg, RunArgs};
use faultline_engine::ReplicaLabels;
use faultline_model::Evaluation;
use faultline_promql::{Features, UnknownFeature};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file read when it is there and none is named.
const DEFAULT_FILE: &str = "faultline.yaml";
/// Longest address for people.
const URL_SIZE_MAX: usize = 1_024;

/// Everything `faultline run` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Rule files.
    pub rules: Vec<PathBuf>,
    /// Whether the built-in rules are in force too.
    pub builtin_rules: bool,
    /// How groups are evaluated that `groups` does not name.
    pub evaluation: Evaluation,
    /// How single groups are evaluated.
    pub groups: BTreeMap<String, Evaluation>,
    /// Groups whose alerts reach the ledger and nobody.
    pub dry_run: BTreeSet<String>,
    /// Experimental parts of PromQL that are on, in rules and in queries.
    pub features: Features,
    /// Labels added to every alert that leaves.
    pub external_labels: BTreeMap<String, String>,
    /// Where people reach the API: links in alerts and `$externalURL` of templates begin with it. `None` for the address
    /// that it listens on.
    pub external_url: Option<String>,
    /// Interval of groups that state none, in ms.
    pub interval_ms: i64,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// The API and remote write.
    pub http: SocketAddr,
    /// Alertmanagers to send to.
    pub alertmanagers: Vec<String>,
    /// Whether listening beyond loopback is allowed.
    pub insecure: bool,
    /// Most bytes that the journal takes; `None` for the smaller of a fifth of the disk and 50 GiB.
    pub journal_bytes: Option<u64>,
    /// Most series.
    pub series_max: Option<u64>,
    /// Labels by which servers that send the same series are told apart.
    pub replicas: ReplicaLabels,
    /// Calls that nobody measures, as the setting `graph.calls` has them.
    pub calls: String,
    /// Whether alerts are also printed on standard output.
    pub print: bool,
}

/// The configuration file, every part optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: Option<PathBuf>,
    listen: Listen,
    rules: Rules,
    features: Vec<String>,
    external_labels: BTreeMap<String, String>,
    external_url: Option<String>,
    alertmanagers: Vec<String>,
    limits: Limits,
    replicas: Replicas,
    calls: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Replicas {
    cluster_label: Option<String>,
    replica_label: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Listen {
    otlp_grpc: Option<SocketAddr>,
    otlp_http: Option<SocketAddr>,
    http: Option<SocketAddr>,
    insecure: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rules {
    files: Vec<PathBuf>,
    builtin: Option<bool>,
    evaluation: Option<Mode>,
    groups: BTreeMap<String, Mode>,
    dry_run: BTreeSet<String>,
    interval_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    journal_bytes: Option<u64>,
    series: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Grid,
    Stream,
}

impl From<Mode> for Evaluation {
    fn from(mode: Mode) -> Evaluation {
        match mode {
            Mode::Grid => Evaluation::Grid,
            Mode::Stream => Evaluation::Stream,
        }
    }
}

impl From<EvaluationArg> for Evaluation {
    fn from(mode: EvaluationArg) -> Evaluation {
        match mode {
            EvaluationArg::Grid => Evaluation::Grid,
            EvaluationArg::Stream => Evaluation::Stream,
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not say what it should.
    #[error("the configuration file {path} is not valid: {reason}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// A part of the language that there is not.
    #[error("features of the configuration file")]
    Feature(#[from] UnknownFeature),
    /// A service of a declared call whose name is none. Write it as `service.name` or the mesh has it.
    #[error("calls: {name:?} is not the name of a service")]
    Call {
        /// What is given.
        name: String,
    },
    /// An address for people that is none.
    #[error(
        "external_url {url:?} is not an address: it must begin with http:// or https:// and a host, without blanks or quotes"
    )]
    ExternalUrl {
        /// What is given.
        url: String,
    },
    /// An address beyond loopback without leave.
    #[error(
        "{flag} {address} is reachable from other machines and nothing asks them for credentials; listen on 127.0.0.1, or say --insecure"
    )]
    Exposed {
        /// Which flag.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
    },
}

impl Config {
    /// Defaults, on ports that the system picks, and nothing printed: for a server within another program.
    pub fn on_free_ports(data: PathBuf) -> Config {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Config {
            data,
            rules: Vec::new(),
            builtin_rules: true,
            evaluation: Evaluation::Grid,
            groups: BTreeMap::new(),
            dry_run: BTreeSet::new(),
            features: Features::NONE,
            external_labels: BTreeMap::new(),
            external_url: None,
            interval_ms: 60_000,
            otlp_grpc: free,
            otlp_http: free,
            http: free,
            alertmanagers: Vec::new(),
            insecure: false,
            journal_bytes: None,
            series_max: None,
            replicas: ReplicaLabels::default(),
            calls: String::new(),
            print: false,
        }
    }

    /// Defaults, then the file, then `args`.
    pub fn load(args: &RunArgs) -> Result<Config, ConfigError> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
            None => File::default(),
        };
        let address = |arg: Option<SocketAddr>, file: Option<SocketAddr>, port: u16| {
            arg.or(file).unwrap_or(SocketAddr::from(([127, 0, 0, 1], port)))
        };
        let pick = |args: &[String], file: Vec<String>| if args.is_empty() { file } else { args.to_vec() };
        let features = match args.features.enable_feature.is_empty() {
            true => Features::named(file.features.iter().map(|name| &**name))?,
            false => args.features.set(),
        };
        let config = Config {
            features,
            data: args.data.clone().or(file.data).unwrap_or_else(|| "faultline-data".into()),
            rules: if args.rules.is_empty() { file.rules.files } else { args.rules.clone() },
            builtin_rules: !args.no_builtin_rules && file.rules.builtin.unwrap_or(true),
            evaluation: args
                .evaluation
                .map(Evaluation::from)
                .or(file.rules.evaluation.map(Evaluation::from))
                .unwrap_or_default(),
            groups: file.rules.groups.into_iter().map(|(name, mode)| (name, mode.into())).collect(),
            dry_run: file.rules.dry_run,
            external_labels: file.external_labels,
            external_url: file.external_url,
            interval_ms: i64::from(file.rules.interval_seconds.unwrap_or(60)) * 1000,
            otlp_grpc: address(args.otlp_grpc, file.listen.otlp_grpc, 4317),
            otlp_http: address(args.otlp_http, file.listen.otlp_http, 4318),
            http: address(args.http, file.listen.http, 7400),
            alertmanagers: pick(&args.alertmanager, file.alertmanagers),
            insecure: args.insecure || file.listen.insecure,
            journal_bytes: file.limits.journal_bytes,
            series_max: file.limits.series,
            replicas: ReplicaLabels {
                cluster: file.replicas.cluster_label.unwrap_or(ReplicaLabels::default().cluster),
                replica: file.replicas.replica_label.unwrap_or(ReplicaLabels::default().replica),
            },
            calls: calls(&file.calls)?,
            print: true,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let listeners = [("--otlp-grpc", self.otlp_grpc), ("--otlp-http", self.otlp_http), ("--http", self.http)];
        for (flag, address) in listeners {
            if !address.ip().is_loopback() && !self.insecure {
                return Err(ConfigError::Exposed { flag, address });
            }
        }
        match &self.external_url {
            Some(url) if !is_address(url) => Err(ConfigError::ExternalUrl { url: url.clone() }),
            _ => Ok(()),
        }
    }

    /// Where people reach the API, without a slash at the end.
    ///
    /// - `http`: where it listens. Where that is every address of the machine, the machine's name stands for it, as with
    ///   Prometheus.
    pub fn external_url(&self, http: SocketAddr) -> String {
        match &self.external_url {
            Some(url) => url.trim_end_matches('/').to_string(),
            None if http.ip().is_unspecified() => format!("http://{}:{}", faultline_host::machine_name(), http.port()),
            None => format!("http://{http}"),
        }
    }
}

/// Declared calls, one `caller -> callee` a line, in order.
fn calls(declared: &BTreeMap<String, BTreeSet<String>>) -> Result<String, ConfigError> {
    let is_name =
        |name: &str| !name.is_empty() && name.trim() == name && !name.contains('\n') && !name.contains(" -> ");
    let mut lines = Vec::new();
    for (client, servers) in declared {
        for server in servers {
            if let Some(name) = [client, server].into_iter().find(|name| !is_name(name)) {
                return Err(ConfigError::Call { name: name.clone() });
            }
            lines.push(format!("{client} -> {server}"));
        }
    }
    lines.sort();
    Ok(lines.join("\n"))
}

/// What Prometheus takes as `--web.external-url`, and no more than a line of it.
fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or(url.strip_prefix("https://")).unwrap_or("");
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '<' | '>' | '`');
    url.len() <= URL_SIZE_MAX && !rest.is_empty() && !rest.starts_with('/') && url.chars().all(plain)
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    serde_saphyr::from_str(&text).map_err(|error| ConfigError::Parse { path: path.into(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_calls_are_lines_in_order() {
        let read = |text: &str| {
            let file: File = serde_saphyr::from_str(text).expect("a configuration");
            calls(&file.calls)
        };
        let two = "calls:\n  web: [shop, \"a db\", shop]\n  shop: [a db]\n";
        assert_eq!(read(two).expect("they are well"), "shop -> a db\nweb -> a db\nweb -> shop");
        assert_eq!(read("{}").expect("none"), "");
        for text in ["calls: {web: [\"\"]}", "calls: {\" web\": [shop]}", "calls: {web: [\"a -> b\"]}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_address_for_people_is_the_one_given_or_the_one_listened_on() {
        let with = |url: Option<&str>| Config {
            external_url: url.map(str::to_string),
            ..Config::on_free_ports(PathBuf::from("data"))
        };
        let at = |address: &str| address.parse().expect("an address");
        assert_eq!(with(None).external_url(at("127.0.0.1:7400")), "http://127.0.0.1:7400");
        assert_eq!(with(None).external_url(at("[::1]:7400")), "http://[::1]:7400");
        let named = with(None).external_url(at("0.0.0.0:7400"));
        assert!(named.ends_with(":7400") && named != "http://0.0.0.0:7400" && is_address(&named), "{named}");
        assert_eq!(with(Some("https://fl.example/x/")).external_url(at("0.0.0.0:7400")), "https://fl.example/x");
        for url in ["", "fl.example:7400", "http://", "http:///x", "ftp://x", "http://x y", "'http://x'", "http://x\n"]
        {
            assert!(with(Some(url)).check().is_err(), "{url:?}");
        }
        assert!(with(Some("http://fl.example:7400/")).check().is_ok());
    }
}
