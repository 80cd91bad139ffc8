//! House rules that the compiler cannot hold, each a table of patterns or one function, with a test that it fires.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::workspace::{self, Package};
use crate::{Outcome, no_words};

mod files;
mod layers;
mod lex;
mod modules;
mod purity;
mod settings;

use lex::Source;
use settings::Settings;

pub const HELP: &str = "
cargo xtask tidy: house rules that the compiler cannot hold

  every .rs file   opens with `//!`; no todo!, unimplemented!, dbg!, FIXME, XXX, #[ignore]; at most 600 lines;
                   reached by a `mod` from a crate's root
  core/            #![no_std]; no std, HashMap, clocks, float functions of the platform, partial_cmp or unstable
                   sorts outside of tests; dependencies on the list in tidy.toml
  who names whom   core never edge, edge crates only core and faultline-host, few the engine, xtask nobody
  every file       at most 1 MiB; no path of somebody's machine

Each finding names the place, what is wrong and what to do. Exceptions stand in tidy.toml with their reason; a listed
size is the file's size now, and may only fall. Files that git ignores are not looked at.
";

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1.
    line: usize,
    wrong: String,
    remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.path, self.line, self.wrong, self.remedy)
    }
}

/// Everything that the rules look at.
#[derive(Debug, Default)]
struct Tree {
    /// Every file that is not binary, by path from the root with `/`.
    texts: BTreeMap<String, String>,
    /// Every Rust file of `texts`.
    sources: BTreeMap<String, Source>,
    /// Size in bytes of every file, binary ones too.
    sizes: BTreeMap<String, u64>,
    packages: Vec<Package>,
    settings: Settings,
    /// The smallest size in lines that history lists for a long file.
    smallest_listed: BTreeMap<String, usize>,
}

/// Every rule.
const RULES: &[fn(&Tree, &mut Vec<Finding>)] = &[
    files::opening,
    files::leftovers,
    files::length,
    files::size,
    files::machine_paths,
    modules::dead,
    purity::core,
    layers::layers,
];

/// `cargo xtask tidy`.
pub fn tidy(words: &[String]) -> Outcome {
    no_words("tidy", words)?;
    let tree = Tree::read()?;
    let findings = tree.findings();
    findings.iter().for_each(|finding| println!("{finding}"));
    if findings.is_empty() {
        println!("tidy: {} files, {} of them Rust: nothing to say", tree.sizes.len(), tree.sources.len());
        return Ok(());
    }
    Err(format!("tidy: {} findings", findings.len()))
}

impl Tree {
    /// The working tree: tracked files and new ones that git does not ignore.
    fn read() -> Result<Tree, String> {
        let workspace = workspace::here()?;
        let root = &workspace.root;
        let mut tree = Tree { packages: workspace.packages, ..Tree::default() };
        for path in git(root, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?.split('\0') {
            // A file deleted but not yet committed is still listed; a link or a submodule is not ours to read.
            let Ok(about) = std::fs::symlink_metadata(root.join(path)) else { continue };
            if path.is_empty() || !about.is_file() {
                continue;
            }
            let bytes = std::fs::read(root.join(path)).map_err(|error| format!("cannot read {path}: {error}"))?;
            tree.add(path, bytes);
        }
        if let Some(text) = tree.texts.get("tidy.toml") {
            tree.settings = Settings::parse(text)?;
            tree.smallest_listed =
                files::smallest_listed(&git(root, &["log", "--format=", "--patch", "--", "tidy.toml"])?);
        }
        Ok(tree)
    }

    fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.sizes.insert(path.to_string(), bytes.len() as u64);
        let Ok(text) = String::from_utf8(bytes) else { return };
        if path.ends_with(".rs") {
            self.sources.insert(path.to_string(), Source::new(&text));
        }
        self.texts.insert(path.to_string(), text);
    }

    /// What breaks a rule, by path and line.
    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        RULES.iter().for_each(|rule| rule(self, &mut findings));
        findings.sort();
        findings.dedup();
        findings
    }
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git").current_dir(root).args(arguments).output();
    let output = output
        .map_err(|error| format!("tidy asks git for the list of files, and git could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "`git {}` refused: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reports `path:line`.
fn report(findings: &mut Vec<Finding>, path: &str, line: usize, wrong: impl Into<String>, remedy: impl Into<String>) {
    findings.push(Finding { path: path.to_string(), line, wrong: wrong.into(), remedy: remedy.into() });
}

/// What the rule in question says of a small tree: `PATH:LINE WRONG` lines, for tests of the rules.
#[cfg(test)]
fn said(rule: fn(&Tree, &mut Vec<Finding>), files: &[(&str, &str)], settings: &str) -> Vec<String> {
    let mut tree = Tree { settings: Settings::parse(settings).unwrap(), ..Tree::default() };
    files.iter().for_each(|(path, text)| tree.add(path, text.as_bytes().to_vec()));
    let mut findings = Vec::new();
    rule(&tree, &mut findings);
    findings.sort();
    assert!(findings.iter().all(|finding| !finding.remedy.is_empty()), "every finding says what to do");
    findings.iter().map(|finding| format!("{}:{} {}", finding.path, finding.line, finding.wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_place_wrong_and_remedy() {
        let finding = Finding { path: "a.rs".into(), line: 3, wrong: "dbg!".into(), remedy: "remove it".into() };
        assert_eq!(finding.to_string(), "a.rs:3: dbg!\n    remove it");
    }

    #[test]
    fn a_binary_file_has_a_size_and_no_text() {
        let mut tree = Tree::default();
        tree.add("a.png", vec![0xff, 0xfe]);
        assert_eq!((tree.sizes["a.png"], tree.texts.len()), (2, 0));
    }
}
