//! Prometheus' conformance scripts: what passes, what fails, and what is not evaluated, with the reason.
use faultline::render::table;
use faultline_promqltest::script::{self, Names};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs every script in a folder, prints a table, failures and open reasons; whether nothing failed.
///
/// Fails where there is no script: a wrong path must not pass.
pub fn run(folder: &Path) -> Result<bool, Box<dyn Error>> {
    let scripts = files(folder)?;
    if scripts.is_empty() {
        return Err(format!("there is no script (*.test) in {}", folder.display()).into());
    }
    let mut rows = Vec::new();
    let (mut failed, mut open) = (Vec::new(), BTreeMap::<String, usize>::new());
    let mut sums = [0; 3];
    for path in scripts {
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let outcome = script::run(&text, Names::InTheEnd);
        let counts = [outcome.passed, outcome.failed.len(), outcome.skipped.values().sum()];
        rows.push(row(name.clone(), counts));
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        failed.extend(outcome.failed.into_iter().map(|what| format!("{name} {what}")));
        outcome.skipped.into_iter().for_each(|(reason, count)| *open.entry(reason).or_default() += count);
    }
    rows.push(row("all".into(), sums));
    print!("{}", table(&["SCRIPT", "PASSED", "FAILED", "NOT EVALUATED"], &rows));
    failed.iter().for_each(|what| println!("\n{what}"));
    if !open.is_empty() {
        println!("\nnot evaluated, because these are not supported yet:");
        open.iter().for_each(|(reason, count)| println!("{count:>6}  {reason}"));
    }
    Ok(failed.is_empty())
}

fn row(name: String, counts: [usize; 3]) -> Vec<String> {
    std::iter::once(name).chain(counts.map(|count| count.to_string())).collect()
}

/// Scripts of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    paths.sort();
    Ok(paths)
}
