//! Rule files on disk: read into one record, watched for changes.
use crate::config::Config;
use crate::rules::circles::circles_of;
use crate::world::control;
use faultline_host::Inlet;
use faultline_host::inlet::Pending;
use faultline_model::{Canonical, Control, HashSeed, RuleFile, RuleFiles};
use faultline_promql::Features;
use faultline_serve::Reload;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Name of the built-in file in groups and errors.
pub const BUILTIN_NAME: &str = "builtin.yml";
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long somebody who asked for it waits.
const RELOAD_WAIT: Duration = Duration::from_secs(30);

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
        dry_run: config.dry_run.iter().cloned().collect(),
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

/// Who is told what came of a look at the files.
type Answer = SyncSender<Result<(), String>>;

/// Where the files are asked to be read at once, and where that is heard. One request at a time.
pub fn reloads() -> (Reload, Receiver<Answer>) {
    let (asked, asks) = sync_channel::<Answer>(1);
    let reload = move || {
        let (answer, answered) = sync_channel(1);
        asked.try_send(answer).map_err(|_| "another reload is under way, or none is possible yet".to_string())?;
        answered.recv_timeout(RELOAD_WAIT).unwrap_or_else(|_| Err("the server stops, or is overloaded".to_string()))
    };
    (Arc::new(reload), asks)
}

/// Journals the files again whenever they change or somebody asks, until `stop`. Whether they are good is for the engine to say:
/// a broken set is refused there with file and line, as a record like any other, and the rules before it stay in force.
/// Whoever looks at the log is told as well, once for each fault.
pub fn watch(
    config: &Config,
    mut known: RuleFiles,
    inlet: &Inlet,
    seed: HashSeed,
    asks: &Receiver<Answer>,
    stop: &AtomicBool,
) {
    let mut told = None;
    while !stop.load(Ordering::Relaxed) {
        let asked = asks.recv_timeout(LOOK_EVERY).ok();
        let looked = look(config, &mut known, inlet, seed);
        if let Err(what) = &looked
            && told.as_ref() != Some(what)
        {
            tracing::warn!("{what}; the rules before stay in force");
        }
        if let Some(asked) = asked {
            // Nothing has changed: what was refused before still is.
            let in_force = looked.clone().and_then(|()| fault(&known).map_or(Ok(()), Err));
            let _gone = asked.send(in_force);
        }
        told = looked.err();
    }
}

/// Reads the files and journals them where they have changed; says what is wrong with them or in the way.
fn look(config: &Config, known: &mut RuleFiles, inlet: &Inlet, seed: HashSeed) -> Result<(), String> {
    let now = read(config, &known.external_url).map_err(|error| crate::render::chain(&error))?;
    if now == *known {
        return Ok(());
    }
    let record = control(Control::Rules, now.to_bytes(), seed);
    // Looked at again in a second.
    let later = |refused| format!("cannot journal changed rule files yet: {refused}");
    let answer = inlet.offer(record).and_then(Pending::wait).map_err(later)?;
    tracing::info!(at = %answer.at, "rule files changed on disk and were journalled");
    *known = now;
    circles_of(known).iter().for_each(|circle| tracing::warn!("{circle}"));
    fault(known).map_or(Ok(()), Err)
}
