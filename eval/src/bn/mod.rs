//! `eval bn`: exact inference held against reference answers, against itself by another way, and beside pyAgrum.
pub mod data;
pub mod measure;
pub mod peer;
pub mod random;

use clap::Args;
use faultline::render;
use measure::Figures;
use peer::Peer;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `bn`.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct BnArgs {
    /// A folder of networks with reference answers (networks/*.bif, reference/*.json) or of UAI instances (*.uai). May be given twice.
    #[arg(long, value_name = "FOLDER")]
    pub data: Vec<PathBuf>,
    /// Ask so many random small networks of pyAgrum and of us instead.
    #[arg(long, value_name = "N", conflicts_with = "data")]
    pub random: Option<u64>,
    /// The first random network's seed.
    #[arg(long, default_value_t = 1, requires = "random")]
    pub first_seed: u64,
    /// Write every answer as a line of JSON, for the scoring program.
    #[arg(long, value_name = "FILE", requires = "data")]
    pub out: Option<PathBuf>,
    /// Only this network. May be given twice.
    #[arg(long, value_name = "NAME", requires = "data")]
    pub only: Vec<String>,
    /// Table entries (8 bytes each) that a junction tree may have.
    #[arg(long, default_value_t = 1 << 28)]
    pub bound: u64,
    /// Ask pyAgrum the same in the same run: it is installed at the first call.
    #[arg(long, requires = "data")]
    pub peer: bool,
    /// Networks whose tree has more entries are not asked of pyAgrum.
    #[arg(long, default_value_t = 1 << 24, requires = "peer")]
    pub peer_bound: u64,
}

/// Runs what is asked for; exit code 1 where an answer is not exact.
pub fn run(args: &BnArgs) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(count) = args.random {
        let counts = random::run(args.first_seed, count)?;
        println!("{counts}");
        return Ok(if counts.good() { ExitCode::SUCCESS } else { ExitCode::from(1) });
    }
    let mut out = args.out.as_ref().map(File::create).transpose()?.map(BufWriter::new);
    let mut peer = if args.peer { Some(Peer::start()?) } else { None };
    let mut good = true;
    for folder in &args.data {
        let mut rows = Vec::new();
        for name in data::names(folder)?.iter().filter(|name| args.only.is_empty() || args.only.contains(name)) {
            let case = data::case(folder, name)?;
            let figures = measure::case(&case, args, peer.as_mut(), &mut |line| match &mut out {
                Some(out) => writeln!(out, "{line}"),
                None => Ok(()),
            })?;
            good &= figures.is_exact();
            eprintln!("{}", figures.row().join("  "));
            rows.push(figures.row());
        }
        print!("{}", render::table(&Figures::HEADINGS, &rows));
    }
    if let Some(out) = &mut out {
        out.flush()?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
