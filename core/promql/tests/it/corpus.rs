//! Where expressions come from: our own list, and the shared data where a checkout has it.
use std::path::{Path, PathBuf};

/// One expression per line; `!` before those that Prometheus refuses. Every line is checked against the oracle too.
pub const OWN: &str = include_str!("data/expressions.txt");

/// The shared data folder, by `FAULTLINE_DATA` or beside the checkout; says so where there is none.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("FAULTLINE_DATA").map_or(beside, PathBuf::from);
    let found = root.join(folder);
    if found.is_dir() {
        return Some(found);
    }
    eprintln!("SKIPPED: no {folder} in the shared data (set FAULTLINE_DATA to the folder that holds it)");
    None
}

/// Files below a folder with this extension, in path order.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The expressions of a rule file: the value of every `expr` key, plain, quoted or as a block.
pub fn rule_expressions(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let bare = line.trim_start().trim_start_matches("- ");
        let Some(value) = bare.strip_prefix("expr:").map(str::trim) else { continue };
        if matches!(value, "|" | "|-" | ">" | ">-") {
            let indent = line.len() - line.trim_start().len();
            let inside = |l: &&&str| l.trim().is_empty() || l.len() - l.trim_start().len() > indent;
            found.push(lines[i + 1..].iter().take_while(inside).map(|l| l.trim()).collect::<Vec<_>>().join("\n"));
        } else if let Some(quoted) = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
            found.push(quoted.replace("''", "'"));
        } else if let Some(quoted) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
            found.push(quoted.replace("\\\"", "\"").replace("\\\\", "\\"));
        } else {
            found.push(value.into());
        }
    }
    found
}
