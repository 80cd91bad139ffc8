//! Rule files on disk: read into one record, watched for changes.
use crate::config::Config;
use crate::world::control;
use faultline_host::Inlet;
use faultline_model::{Canonical, Control, HashSeed, RuleFile, RuleFiles};
use faultline_promql::Features;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Name of the built-in file in groups and errors.
pub const BUILTIN_NAME: &str = "builtin.yml";
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A rule file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the rule file {path}")]
pub struct ReadError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// The files of a configuration as they are now, in name order.
///
/// - `external_url`: what templates know as `$externalURL`.
pub fn read(config: &Config, external_url: &str) -> Result<RuleFiles, ReadError> {
    let mut files = Vec::new();
    if config.builtin_rules {
        files.push(RuleFile { name: BUILTIN_NAME.into(), text: faultline_rules::BUILTIN.into() });
    }
    for path in &config.rules {
        files.push(RuleFile { name: path.display().to_string(), text: read_one(path)? });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(RuleFiles {
        files,
        default_evaluation: config.evaluation,
        groups: config.groups.iter().map(|(name, mode)| (name.clone(), *mode)).collect(),
        external_labels: config.external_labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
        default_interval: config.interval_ms,
        external_url: external_url.into(),
        features: config.features.names().map(str::to_string).collect(),
    })
}

/// The text of one file.
pub fn read_one(path: &Path) -> Result<String, ReadError> {
    std::fs::read_to_string(path).map_err(|source| ReadError { path: path.into(), source })
}

/// What is wrong with a set of rule files, `file:line: reason`; none where it can be put in force.
pub fn fault(files: &RuleFiles) -> Option<String> {
    faultline_rules::parse(files).err().map(|error| format!("{}:{}: {}", error.file, error.line, error.reason))
}

/// Files that people try, read with these features, in name order; refused with file and line where they cannot be put in
/// force.
///
/// - `first`: files that are no file of theirs.
pub fn tried(first: Vec<RuleFile>, paths: &[PathBuf], features: Features) -> Result<RuleFiles, Box<dyn Error>> {
    let mut files = first;
    for path in paths {
        files.push(RuleFile { name: path.display().to_string(), text: read_one(path)? });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let features = features.names().map(str::to_string).collect();
    let set = RuleFiles { files, features, default_interval: 60_000, ..RuleFiles::default() };
    match fault(&set) {
        Some(fault) => Err(format!("{fault}; mend the rule file (`faultline rules check FILE`)").into()),
        None => Ok(set),
    }
}

/// Journals the files again whenever they change, until `stop`. Whether they are good is for the engine to say: a broken
/// set is refused there with file and line, as a record like any other, and the rules before it stay in force. Whoever
/// looks at the log is told as well, once for each fault.
pub fn watch(config: &Config, mut known: RuleFiles, inlet: &Inlet, seed: HashSeed, stop: &AtomicBool) {
    let mut told = String::new();
    let mut tell = |what: String| {
        if what != told && !what.is_empty() {
            tracing::warn!("{what}; the rules before stay in force");
        }
        told = what;
    };
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY);
        match read(config, &known.external_url) {
            Ok(now) if now != known => {
                let record = control(Control::Rules, now.to_bytes(), seed);
                match inlet.offer(record).map(faultline_host::inlet::Pending::wait) {
                    Ok(Ok(answer)) => {
                        tracing::info!(at = %answer.at, "rule files changed on disk and were journalled");
                        tell(
                            fault(&now)
                                .map_or(String::new(), |fault| format!("changed rule files are refused: {fault}")),
                        );
                        known = now;
                    }
                    // Looked at again in a second.
                    Ok(Err(error)) | Err(error) => tell(format!("cannot journal changed rule files yet: {error}")),
                }
            }
            Ok(_) => {}
            Err(error) => tell(crate::render::chain(&error)),
        }
    }
}
