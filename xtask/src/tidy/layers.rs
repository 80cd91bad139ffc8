//! Rules for who names whom, and for what `core/` may depend on.

use std::collections::BTreeMap;

use super::lex::lines_with;
use super::{Finding, Tree, report};
use crate::workspace::{Package, When};

const ENGINE: &str = "core/engine";
const HOST: &str = "edge/host";
const ESTATE: &str = "estate";
const PROMQLTEST: &str = "promqltest";
const BAYES: &str = "core/bayes";
/// Who may name the engine.
const OUTSIDE: &[&str] = &["faultline", "eval", "bench", "fuzz", "sim", ESTATE];

/// The crates name each other only inwards, and core names only packages on the list.
pub fn layers(tree: &Tree, findings: &mut Vec<Finding>) {
    let ours: BTreeMap<&str, &str> =
        tree.packages.iter().map(|package| (package.name.as_str(), package.folder.as_str())).collect();
    let mut used = Vec::new();
    for package in &tree.packages {
        for (name, when) in &package.dependencies {
            let manifest = format!("{}/Cargo.toml", package.folder);
            let line = tree.texts.get(&manifest).and_then(|text| lines_with(text, name).next()).unwrap_or(1);
            let problem = match ours.get(name.as_str()) {
                Some(folder) => forbidden(&package.folder, folder, *when),
                None => foreign(tree, package, name, *when, &mut used),
            };
            if let Some(remedy) = problem {
                report(findings, &manifest, line, format!("{} names {name}", package.folder), remedy);
            }
        }
    }
    for (name, reason) in tree.settings.core_dependencies.iter().filter(|(name, _)| !used.contains(name)) {
        report(findings, "tidy.toml", reason.line, format!("no crate in core/ names {name}"), "remove the entry");
    }
}

/// Why the crate in folder `from` may not name the crate in folder `to`.
fn forbidden(from: &str, to: &str, when: When) -> Option<&'static str> {
    let tests = when == When::Tests;
    let (core, edge) = (from.starts_with("core/"), from.starts_with("edge/"));
    if from == "xtask" {
        return Some("xtask starts processes: build the crate with cargo and run it");
    }
    if to == ENGINE && !OUTSIDE.contains(&from) {
        return Some("only the outside names the engine: faultline, eval, bench, fuzz, sim, estate");
    }
    // The golden tests of every crate are in one language, whose parser lies in the estate; so are tests of PromQL in one place.
    if tests && (to == ESTATE || to == PROMQLTEST) {
        return None;
    }
    if from == BAYES {
        return Some("bayes is useful alone: what it needs of ours, it takes as an argument");
    }
    if core && !to.starts_with("core/") {
        return Some("core never names what touches the world: take it as a record or an argument");
    }
    if edge && !to.starts_with("core/") && to != HOST {
        return Some("edge crates name core and host, never one another: let faultline join them");
    }
    None
}

fn foreign<'a>(
    tree: &'a Tree,
    package: &Package,
    name: &str,
    when: When,
    used: &mut Vec<&'a String>,
) -> Option<&'static str> {
    if !package.folder.starts_with("core/") || when == When::Tests {
        return None;
    }
    match tree.settings.core_dependencies.get_key_value(name) {
        Some((name, _)) => {
            used.push(name);
            None
        }
        None => Some(
            "do without it, or list it in tidy.toml under [core-dependencies] with what it saves and why it is pure",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDERS: &[&str] = &[
        "core/model",
        "core/bayes",
        "core/rules",
        "core/engine",
        "edge/host",
        "edge/sinks",
        "edge/serve",
        "estate",
        "promqltest",
        "eval",
        "faultline",
        "xtask",
    ];

    fn name(folder: &str) -> String {
        match folder.rsplit('/').next().unwrap() {
            outside @ ("xtask" | "faultline") => outside.to_string(),
            inside => format!("faultline-{inside}"),
        }
    }

    fn check(from: &str, to: &str, when: When, settings: &str) -> Vec<String> {
        let mut tree = Tree { settings: super::super::Settings::parse(settings).unwrap(), ..Tree::default() };
        for folder in FOLDERS {
            let dependencies = if *folder == from { vec![(to.to_string(), when)] } else { Vec::new() };
            tree.packages.push(Package { name: name(folder), folder: folder.to_string(), dependencies });
        }
        tree.add(&format!("{from}/Cargo.toml"), format!("[dependencies]\n{to}.workspace = true\n").into_bytes());
        let mut findings = Vec::new();
        layers(&tree, &mut findings);
        findings.iter().map(|finding| format!("{}:{} {}", finding.path, finding.line, finding.wrong)).collect()
    }

    #[test]
    fn who_may_name_whom() {
        let cases = [
            // from, to, may in every build, may in tests
            ("core/rules", "core/model", true, true),
            ("core/rules", "edge/host", false, false),
            ("core/rules", "faultline", false, false),
            ("core/rules", "estate", false, true),
            ("core/rules", "promqltest", false, true),
            ("core/rules", "core/engine", false, false),
            ("core/engine", "core/rules", true, true),
            ("core/bayes", "core/model", false, false),
            ("core/bayes", "estate", false, true),
            ("edge/sinks", "core/model", true, true),
            ("edge/sinks", "edge/host", true, true),
            ("edge/sinks", "edge/serve", false, false),
            ("edge/sinks", "core/engine", false, false),
            ("edge/sinks", "estate", false, true),
            ("edge/sinks", "faultline", false, false),
            ("faultline", "core/engine", true, true),
            ("faultline", "edge/sinks", true, true),
            ("eval", "core/engine", true, true),
            ("xtask", "core/model", false, false),
        ];
        for (from, to, always, in_tests) in cases {
            for (when, may) in [(When::Always, always), (When::Tests, in_tests)] {
                let wrong = format!("{from}/Cargo.toml:2 {from} names {}", name(to));
                let expected: Vec<_> = (!may).then_some(wrong).into_iter().collect();
                assert_eq!(check(from, &name(to), when, ""), expected, "{from} to {to}, {when:?}");
            }
        }
    }

    #[test]
    fn core_depends_on_what_the_list_gives_a_reason_for() {
        let listed = "[core-dependencies]\nlibm = \"the same maths everywhere\"";
        assert!(check("core/model", "libm", When::Always, listed).is_empty());
        assert_eq!(check("core/model", "rand", When::Tests, listed), ["tidy.toml:2 no crate in core/ names libm"]);
        assert_eq!(check("core/model", "rand", When::Always, ""), ["core/model/Cargo.toml:2 core/model names rand"]);
        assert!(check("edge/host", "rand", When::Always, "").is_empty());
    }
}
