//! Which Rust files belong to which crate, found by following `mod` from each root, and which of them only tests see.

use std::collections::BTreeMap;

use super::{Finding, Tree, report};

/// For every file that a crate's root reaches: whether the shipped crate contains it.
pub fn reached(tree: &Tree) -> BTreeMap<String, bool> {
    let mut reached = BTreeMap::new();
    for path in tree.sources.keys() {
        if let Some(shipped) = root(path) {
            follow(tree, path, shipped, &mut reached);
        }
    }
    reached
}

/// Whether cargo takes `path` as a crate's root without being told; then, whether the crate is shipped.
fn root(path: &str) -> Option<bool> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "src", "lib.rs" | "main.rs"] | [.., "src", "bin", _] | [.., "src", "bin", _, "main.rs"] => Some(true),
        [.., "tests" | "benches" | "examples", file] if !parts.contains(&"src") => {
            file.ends_with(".rs").then_some(false)
        }
        [.., "tests" | "benches" | "examples", _, "main.rs"] if !parts.contains(&"src") => Some(false),
        [.., "build.rs"] if !parts.contains(&"src") => Some(false),
        _ => None,
    }
}

fn follow(tree: &Tree, path: &str, shipped: bool, reached: &mut BTreeMap<String, bool>) {
    let Some(source) = tree.sources.get(path) else { return };
    // A file that both a test and the shipped crate name is shipped.
    match reached.get(path) {
        Some(true) => return,
        Some(false) if !shipped => return,
        _ => reached.insert(path.to_string(), shipped),
    };
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let own = root(path).is_some() || stem == "mod";
    let inner = if own { folder.to_string() } else { join(folder, stem) };
    for name in declared(&source.code) {
        let in_ship = shipped && declared(&source.shipped).any(|other| other == name);
        follow(tree, &join(&inner, &format!("{name}.rs")), in_ship, reached);
        follow(tree, &join(&inner, &format!("{name}/mod.rs")), in_ship, reached);
    }
    // `#[path = "x.rs"]` and `include!("x.rs")`: any literal that names a Rust file beside this one.
    for (at, _) in source.raw.match_indices(".rs\"") {
        let literal = source.raw[..at].rsplit('"').next().unwrap_or_default();
        follow(tree, &join(folder, &format!("{literal}.rs")), shipped, reached);
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") }
}

/// The names in `mod name;` of this view.
fn declared(view: &str) -> impl Iterator<Item = &str> {
    let words = |c: char| !(c.is_alphanumeric() || c == '_' || c == '#');
    view.match_indices("mod ").filter_map(move |(at, keyword)| {
        let whole = view[..at].chars().next_back().is_none_or(words);
        let rest = view[at + keyword.len()..].trim_start();
        let (name, after) = rest.split_at(rest.find(words).unwrap_or(rest.len()));
        (whole && !name.is_empty() && after.trim_start().starts_with(';')).then(|| name.trim_start_matches("r#"))
    })
}

/// No file lies among a crate's sources or tests that no crate compiles: a test in it would never run.
pub fn dead(tree: &Tree, findings: &mut Vec<Finding>) {
    let reached = reached(tree);
    for path in tree.sources.keys().filter(|path| path.split('/').any(|part| part == "src" || part == "tests")) {
        if !reached.contains_key(path) {
            report(findings, path, 1, "no crate compiles this file", "name it with `mod`, or remove it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    fn check(files: &[(&str, &str)], expected: &[(&str, bool)]) {
        let mut tree = Tree::default();
        files.iter().for_each(|(path, text)| tree.add(path, text.as_bytes().to_vec()));
        let expected: BTreeMap<_, _> = expected.iter().map(|(path, shipped)| (path.to_string(), *shipped)).collect();
        assert_eq!(reached(&tree), expected);
    }

    #[test]
    fn files_are_followed_from_the_roots() {
        check(
            &[
                (
                    "c/src/lib.rs",
                    "mod a;\npub(crate) mod b;\n#[cfg(test)]\nmod tests;\n// mod gone;\n#[path = \"odd.rs\"] mod o;",
                ),
                ("c/src/a.rs", "mod deep;"),
                ("c/src/a/deep.rs", ""),
                ("c/src/b/mod.rs", "#[cfg(test)] mod model;"),
                ("c/src/b/model.rs", "mod further;"),
                ("c/src/b/model/further.rs", ""),
                ("c/src/tests.rs", ""),
                ("c/src/odd.rs", ""),
                ("c/src/gone.rs", ""),
                ("c/src/bin/tool.rs", ""),
                ("c/tests/it/main.rs", "mod case;"),
                ("c/tests/it/case.rs", ""),
            ],
            &[
                ("c/src/lib.rs", true),
                ("c/src/a.rs", true),
                ("c/src/a/deep.rs", true),
                ("c/src/b/mod.rs", true),
                ("c/src/b/model.rs", false),
                ("c/src/b/model/further.rs", false),
                ("c/src/tests.rs", false),
                ("c/src/odd.rs", true),
                ("c/src/bin/tool.rs", true),
                ("c/tests/it/main.rs", false),
                ("c/tests/it/case.rs", false),
            ],
        );
    }

    #[test]
    fn a_file_that_tests_and_the_crate_share_is_shipped() {
        let lib = ("c/src/lib.rs", "mod shared;");
        let test = ("c/benches/it.rs", "#[path = \"../src/shared.rs\"] mod shared;");
        check(
            &[test, lib, ("c/src/shared.rs", "")],
            &[("c/benches/it.rs", false), ("c/src/lib.rs", true), ("c/src/shared.rs", true)],
        );
    }

    #[test]
    fn a_file_that_no_crate_compiles_is_named() {
        let files = [
            ("c/src/lib.rs", "//! C.\nmod a { }"),
            ("c/src/a.rs", ""),
            ("c/tests/it/main.rs", ""),
            ("c/tests/it/b.rs", ""),
        ];
        let dead_files = ["c/src/a.rs:1 no crate compiles this file", "c/tests/it/b.rs:1 no crate compiles this file"];
        assert_eq!(said(dead, &files, ""), dead_files);
    }
}
