//! `eval rca`: recorded incidents of real systems, turned into ordinary telemetry and run through the server's own loop.
//!
//! A reader knows the shape of a data set and never its contents. What was true is read beside the recording and used for the
//! score only: nothing of it reaches the server.
pub mod names;
pub mod nezha;
mod nezha_metrics;
pub mod petshop;
pub mod play;
pub mod recording;
pub mod score;
pub mod sockshop;
pub mod table;
pub mod tvdiag;

use clap::{Args, ValueEnum};
use faultline_model::Canonical;
use names::Names;
use play::play;
use recording::Recording;
use score::Case;
use serde_json::json;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Data sets, by their shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Set {
    /// Metrics of each node every five minutes, and a graph of calls.
    Petshop,
    /// Spans of some minutes around each fault of a day.
    Nezha,
    /// What each container used before a fault and after it, second by second, and no graph of calls.
    Sockshop1,
    /// Alerts of each incident and who calls whom: events, with weights learned from other incidents' causes.
    Tvdiag,
}

/// Options of `rca`.
#[derive(Debug, Args)]
pub struct RcaArgs {
    /// The shape of the data.
    #[arg(long, value_enum)]
    pub set: Set,
    /// The data set's folder.
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,
    /// Write each case's ranking as a line of JSON, for the scoring program.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Put random names in place of all names: the ranking must be the same.
    #[arg(long, value_name = "SEED")]
    pub rename: Option<u64>,
    /// Play windows without an incident instead, where the set has some: no cause should be named.
    #[arg(long)]
    pub normal: bool,
    /// Only cases whose id contains this.
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Keep the evidence of each case's last verdict in this folder, in canonical bytes: explaining alone is then a moment
    /// (`cargo run --example again -p faultline-explain`).
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// With `--set tvdiag`: learn from this folder's cases and judge those of `--data`, instead of five times four fifths of one.
    #[arg(long, value_name = "FOLDER")]
    pub train: Option<PathBuf>,
    /// Tell the last verdict's evidence and reasons of each case.
    #[arg(long)]
    pub explain: bool,
}

/// Plays every case; exit code 0 where all could be read.
pub fn run(args: &RcaArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut names = Names::new(args.rename);
    if args.set == Set::Tvdiag {
        return tvdiag::run(args, &mut names);
    }
    let recordings = match (args.set, args.normal) {
        (Set::Petshop, false) => petshop::incidents(&args.data, &mut names)?,
        (Set::Petshop, true) => petshop::calm(&args.data, &mut names)?,
        (Set::Nezha, false) => nezha::incidents(&args.data, &mut names)?,
        (Set::Sockshop1, false) => sockshop::incidents(&args.data, &mut names)?,
        (Set::Nezha | Set::Sockshop1 | Set::Tvdiag, _) => {
            return Err("this set has no windows without an incident".into());
        }
    };
    let wanted = |recording: &Recording| args.only.as_ref().is_none_or(|only| recording.case.contains(only.as_str()));
    let mut out = args.out.as_ref().map(File::create).transpose()?.map(BufWriter::new);
    let mut cases = Vec::new();
    for recording in recordings.into_iter().filter(wanted) {
        let outcome = play(&recording)?;
        if args.explain {
            print!("{}", outcome.told(&recording.case));
        }
        if let (Some(folder), Some(evidence)) = (&args.keep, outcome.evidence()) {
            let truth = recording.truth.as_deref().unwrap_or("-").replace('/', "|");
            fs::create_dir_all(folder)?;
            fs::write(folder.join(format!("{}={truth}", recording.case.replace('/', "|"))), evidence.to_bytes())?;
        }
        let case = Case::new(&recording, &outcome, &names);
        eprintln!("{}", case.line());
        if let Some(out) = &mut out {
            writeln!(out, "{}", line(&recording.case, &outcome.ranking(), &names))?;
        }
        cases.push(case);
    }
    if let Some(out) = &mut out {
        out.flush()?;
    }
    print!("{}", if args.normal { score::calm(&cases) } else { score::summary(&cases) });
    Ok(ExitCode::SUCCESS)
}

/// A case as the scoring program reads it.
fn line(case: &str, ranking: &[(String, f64)], names: &Names) -> String {
    let entities: Vec<&str> = ranking.iter().map(|(entity, _)| names.back(entity)).collect();
    let scores: Vec<f64> = ranking.iter().map(|(_, score)| *score).collect();
    json!({"case": case, "ranking": entities, "scores": scores}).to_string()
}

/// Folders in a folder, in order of their names' lengths and then names; none where it is not there.
fn folders(path: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort_by_key(|path| (name(path).len(), name(path)));
    Ok(folders)
}

fn name(path: &Path) -> String {
    path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
}
