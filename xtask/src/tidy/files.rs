//! Rules for any file: its opening, its length and size, what must not be left in it.

use std::collections::BTreeMap;

use super::lex::{self, lines_with};
use super::{Finding, Tree, report};

/// Longest Rust file in lines; longer ones are listed in `tidy.toml`.
const LINES_MAX: usize = 600;
/// Largest file in bytes.
const SIZE_MAX: u64 = 1024 * 1024;

/// Every Rust file says first what it is.
pub fn opening(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in tree.sources.iter().map(|(path, source)| (path, &source.raw)) {
        if !text.starts_with("//!") {
            report(
                findings,
                path,
                1,
                "does not open with `//!`",
                "begin with one sentence of what this file is: `//! ...`",
            );
        }
    }
}

/// What the compiler would run, and must not be left in a file.
const LEFT_IN_CODE: &[(&str, &str)] = &[
    ("todo!", "write it, or leave out what calls it and say in the issue that it is missing"),
    ("unimplemented!", "write it, or return an error that the caller can act on"),
    ("dbg!", "remove it"),
    ("#[ignore", "assert what the code does today, and say why it is wrong"),
];

/// What people would read, and must not be left in a file.
const LEFT_IN_COMMENTS: &[(&str, &str)] = &[
    ("FIXME", "mend it, or file an issue: a comment says why the code is as it is"),
    ("XXX", "say in a sentence what a reader must know"),
    ("TODO", "do it, or file an issue: a comment says why the code is as it is"),
    ("```ignore", "let the example compile (`no_run` if it must not run), or mark it `text`"),
];

/// Nothing is half done.
pub fn leftovers(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, source) in &tree.sources {
        let views = [(&source.code, LEFT_IN_CODE), (&source.comments, LEFT_IN_COMMENTS)];
        for (view, patterns) in views {
            for (pattern, remedy) in patterns {
                lines_with(view, pattern)
                    .for_each(|line| report(findings, path, line, format!("`{pattern}` is left here"), *remedy));
            }
        }
    }
}

/// No Rust file is longer than [`LINES_MAX`] unless listed, and a listed size only falls.
pub fn length(tree: &Tree, findings: &mut Vec<Finding>) {
    const SPLIT: &str =
        "split it by idea; if it is one idea, list it in tidy.toml under [long-files] as \"LINES: why\"";
    for (path, source) in &tree.sources {
        let lines = source.raw.lines().count();
        if lines > LINES_MAX && !tree.settings.long_files.contains_key(path) {
            report(findings, path, LINES_MAX + 1, format!("has {lines} lines, more than {LINES_MAX}"), SPLIT);
        }
    }
    for (path, reason) in &tree.settings.long_files {
        let lines = tree.sources.get(path).map_or(0, |source| source.raw.lines().count());
        let mut say = |wrong: String, remedy: String| report(findings, "tidy.toml", reason.line, wrong, remedy);
        let Some(listed) = listed_size(&reason.text) else {
            say(format!("the entry for {path} names no size"), "write \"LINES: why\"".into());
            continue;
        };
        if lines <= LINES_MAX {
            say(format!("{path} has {lines} lines and needs no exception"), "remove the entry".into());
        } else if lines > listed {
            say(
                format!("{path} has grown from {listed} to {lines} lines"),
                "split the file: listed sizes only fall".into(),
            );
        } else if lines < listed {
            say(
                format!("{path} has fallen from {listed} to {lines} lines"),
                format!("write {lines} here, so that it stays so"),
            );
        }
        if let Some(smallest) = tree.smallest_listed.get(path).filter(|smallest| **smallest < listed) {
            say(
                format!("{path} was listed with {smallest} lines once, and is with {listed} now"),
                "listed sizes only fall".into(),
            );
        }
    }
}

/// The number in `LINES: why`.
fn listed_size(reason: &str) -> Option<usize> {
    reason.split_once(':')?.0.trim().parse().ok()
}

/// The smallest size that any line of `patches`, the history of `tidy.toml`, lists for each file.
pub fn smallest_listed(patches: &str) -> BTreeMap<String, usize> {
    let mut smallest = BTreeMap::new();
    for line in patches.lines().filter_map(|line| line.strip_prefix(['+', '-'])) {
        let Some((path, reason)) = line.split_once('=') else { continue };
        let (path, reason) = (path.trim().trim_matches('"'), reason.trim().trim_matches('"'));
        if let Some(lines) = listed_size(reason).filter(|_| path.ends_with(".rs")) {
            smallest
                .entry(path.to_string())
                .and_modify(|least: &mut usize| *least = lines.min(*least))
                .or_insert(lines);
        }
    }
    smallest
}

/// The repository stays quick to clone.
pub fn size(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, size) in tree.sizes.iter().filter(|(_, size)| **size > SIZE_MAX) {
        let remedy = "make it smaller, or have a test or a chore make it";
        report(findings, path, 1, format!("has {size} bytes, more than {SIZE_MAX}"), remedy);
    }
}

/// Where people's and build machines' own folders lie. In two parts each, or this file would be its own finding.
const MACHINE_FOLDERS: &[(&str, &str)] =
    &[("/ro", "ot/"), ("/wo", "rk/"), ("/ho", "me/"), ("/Us", "ers/"), ("/fa", "rm/"), ("/tmp/ba", "sh_")];

/// What the repository says holds on any machine.
pub fn machine_paths(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in &tree.texts {
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            for folder in MACHINE_FOLDERS.iter().map(|(start, end)| format!("{start}{end}")) {
                if line.match_indices(&folder).any(|(at, _)| begins_a_path(&line[..at])) {
                    let remedy = "name it from the repository's root, or take it as an argument";
                    report(findings, path, number, format!("a path of one machine, under {folder}"), remedy);
                }
            }
        }
    }
}

/// Whether a path that begins after `before` is absolute: not the middle of a URL or of a relative path.
fn begins_a_path(before: &str) -> bool {
    !before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || "._-~*})]".contains(c))
        || lex::has(before, "file://")
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    #[test]
    fn openings() {
        let files = [("a.rs", "//! A.\n"), ("b.rs", "// B.\n"), ("c.rs", ""), ("d.rs", "\n//! D.\n"), ("e.md", "E")];
        let wrong = ["b.rs", "c.rs", "d.rs"].map(|path| format!("{path}:1 does not open with `//!`"));
        assert_eq!(said(opening, &files, ""), wrong);
    }

    #[test]
    fn leftovers_fire_in_code_and_comments_alone() {
        let cases = [
            ("x\ntodo!()", "2 `todo!` is left here"),
            ("unimplemented!(\"x\")", "1 `unimplemented!` is left here"),
            ("a = dbg!(b);", "1 `dbg!` is left here"),
            ("#[test]\n#[ignore = \"slow\"]", "2 `#[ignore` is left here"),
            ("a // FIXME", "1 `FIXME` is left here"),
            ("/* x\n XXX: y */", "2 `XXX` is left here"),
            ("/// TODO(me)", "1 `TODO` is left here"),
            ("/// ```ignore", "1 ````ignore` is left here"),
            ("let s = \"todo!() FIXME #[ignore]\"; // \\uXXXX, Todo, fixmes", ""),
            ("mod todo; fn ignore() {} my_dbg!(x)", ""),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> = (!expected.is_empty()).then(|| format!("a.rs:{expected}")).into_iter().collect();
            assert_eq!(said(leftovers, &[("a.rs", text)], ""), expected, "{text}");
        }
        assert!(said(leftovers, &[("a.md", "FIXME")], "").is_empty());
    }

    #[test]
    fn long_files_are_listed_with_their_size_and_only_fall() {
        let cases = [
            (600, "", ""),
            (601, "", "a.rs:601 has 601 lines, more than 600"),
            (700, "700: it is one table", ""),
            (701, "700: it is one table", "tidy.toml:2 a.rs has grown from 700 to 701 lines"),
            (699, "700: it is one table", "tidy.toml:2 a.rs has fallen from 700 to 699 lines"),
            (600, "700: it is one table", "tidy.toml:2 a.rs has 600 lines and needs no exception"),
            (700, "it is one table", "tidy.toml:2 the entry for a.rs names no size"),
        ];
        for (lines, reason, expected) in cases {
            let settings =
                if reason.is_empty() { String::new() } else { format!("[long-files]\n\"a.rs\" = \"{reason}\"") };
            let expected: Vec<_> = (!expected.is_empty()).then_some(expected).into_iter().collect();
            assert_eq!(said(length, &[("a.rs", &"x\n".repeat(lines))], &settings), expected, "{lines} {reason}");
        }
    }

    #[test]
    fn a_listed_size_does_not_rise_over_history() {
        let patches = "--- a/tidy.toml\n+++ b/tidy.toml\n-\"a.rs\" = \"650: one table\"\n+\"a.rs\" = \"700: one table\"\n libm = \"3: x\"";
        let mut tree = Tree { smallest_listed: smallest_listed(patches), ..Tree::default() };
        assert_eq!(tree.smallest_listed, BTreeMap::from([("a.rs".to_string(), 650)]));
        tree.add("a.rs", "x\n".repeat(700).into_bytes());
        tree.settings = super::super::Settings::parse("[long-files]\n\"a.rs\" = \"700: one table\"").unwrap();
        let mut findings = Vec::new();
        length(&tree, &mut findings);
        assert_eq!(findings[0].wrong, "a.rs was listed with 650 lines once, and is with 700 now");
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn large_files() {
        let mut tree = Tree::default();
        tree.add("small", vec![0; SIZE_MAX as usize]);
        tree.add("large", vec![0; SIZE_MAX as usize + 1]);
        let mut findings = Vec::new();
        size(&tree, &mut findings);
        assert_eq!(findings.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(), ["large"]);
    }

    #[test]
    fn paths_of_one_machine() {
        let folder = |index: usize| format!("{}{}", MACHINE_FOLDERS[index].0, MACHINE_FOLDERS[index].1);
        let (root, work, home) = (folder(0), folder(1), folder(2));
        let cases = [
            (format!("cd {root}x"), 1),
            (format!("\"{work}main\" and {home}me"), 2),
            (format!("file://{home}me"), 1),
            (format!("https://example.org{home}me"), 0),
            (format!("target{work}x $HOME{work}x ${{D}}{work}x ~{work}"), 0),
            (format!("a\nb\n({root})"), 1),
            ("/rooted /workers /tmp/x".to_string(), 0),
        ];
        for (text, count) in cases {
            assert_eq!(said(machine_paths, &[("docs/a.md", &text)], "").len(), count, "{text}");
        }
        assert_eq!(
            said(machine_paths, &[("a.sh", &format!("x\n{root}"))], "")[0],
            format!("a.sh:2 a path of one machine, under {root}")
        );
    }
}
