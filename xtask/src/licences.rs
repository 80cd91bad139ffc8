//! Only permissive licences: an allow-list over what `cargo metadata` says of every locked package.
//!
//! Further reading: SPDX specification 2.3, annex D (licence expressions).

use serde_json::Value;

use crate::{Outcome, no_words, workspace};

pub const HELP: &str = "
cargo xtask licences: every locked package, on every platform, tests and fuzz/driver included, has a permissive licence

A package passes when its SPDX expression can be met with licences on the list in xtask/src/licences.rs alone.
A package that does not pass: choose another, or have the list changed by whoever may decide that. Copyleft
(GPL, LGPL, AGPL, MPL, EPL) stays off it: the product is shipped as one binary.
";

/// Permissive: use, change and redistribution in one closed binary, at the price of a notice at most.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0", // The Boost licence: it asks for nothing in binaries.
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// For fuzz/driver, which is built where it runs and given to nobody: libFuzzer's own, permissive too.
const ALLOWED_IN_DRIVER: &[&str] = &["NCSA"];

/// Exceptions that only give more rights than the licence before `WITH`.
const ALLOWED_EXCEPTIONS: &[&str] = &["LLVM-exception"];

/// `cargo xtask licences`.
pub fn licences(words: &[String]) -> Outcome {
    no_words("licences", words)?;
    let (mut checked, mut findings) = check(&workspace::metadata(&[])?, &[]);
    let (more, found) = check(&workspace::metadata(&["--manifest-path", "fuzz/driver/Cargo.toml"])?, ALLOWED_IN_DRIVER);
    checked += more;
    findings.extend(found);
    if findings.is_empty() {
        println!("licences: {checked} packages, all permissive");
        return Ok(());
    }
    findings.iter().for_each(|finding| println!("{finding}"));
    Err(format!(
        "{} of {checked} packages have a licence that is not on the list: see `cargo xtask licences --help`",
        findings.len()
    ))
}

/// Packages looked at, and a sentence for each that does not pass.
///
/// - `also`: licences that are allowed there, too.
fn check(metadata: &Value, also: &[&str]) -> (usize, Vec<String>) {
    let none = Vec::new();
    let packages = metadata["packages"].as_array().unwrap_or(&none);
    let findings = packages.iter().filter_map(|package| {
        let problem = match package["license"].as_str() {
            None => "names no licence in its Cargo.toml".to_string(),
            Some(expression) => match permissive(expression, also) {
                Ok(true) => return None,
                Ok(false) => format!("is under `{expression}`, which the allowed licences alone do not meet"),
                Err(error) => format!("has the licence expression `{expression}`, which cannot be read: {error}"),
            },
        };
        let text = |key: &str| package[key].as_str().unwrap_or("?").to_string();
        Some(format!("{} {} {problem}", text("name"), text("version")))
    });
    (packages.len(), findings.collect())
}

/// Whether `expression` can be met with allowed licences alone. `AND` binds closer than `OR`; the old `/` is `OR`.
fn permissive(expression: &str, also: &[&str]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, also)?;
    match words.next() {
        None => Ok(met),
        Some(word) => Err(format!("`{word}` is left over")),
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, also: &[&str]) -> Result<bool, String> {
    let mut met = all(words, also)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, also)?;
    }
    Ok(met)
}

fn all(words: &mut Words<'_>, also: &[&str]) -> Result<bool, String> {
    let mut met = one(words, also)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, also)?;
    }
    Ok(met)
}

fn one(words: &mut Words<'_>, also: &[&str]) -> Result<bool, String> {
    let word = words.next().ok_or("it ends where a licence should stand")?;
    if word == "(" {
        let met = any(words, also)?;
        return if words.next() == Some(")") { Ok(met) } else { Err("a bracket is not closed".into()) };
    }
    if matches!(word, ")" | "AND" | "OR" | "WITH") {
        return Err(format!("`{word}` stands where a licence should"));
    }
    let mut met = ALLOWED.contains(&word) || also.contains(&word);
    if words.next_if_eq(&"WITH").is_some() {
        met &= ALLOWED_EXCEPTIONS.contains(&words.next().ok_or("it ends after WITH")?);
    }
    Ok(met)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let cases = [
            ("MIT", Ok(true)),
            ("MIT OR Apache-2.0", Ok(true)),
            ("MIT/GPL-3.0", Ok(true)),
            ("GPL-3.0-only", Ok(false)),
            ("MPL-2.0", Ok(false)),
            ("MPL-2.0 OR MIT", Ok(true)),
            ("MIT AND MPL-2.0", Ok(false)),
            ("MPL-2.0 AND MIT OR ISC", Ok(true)),
            ("MPL-2.0 AND (MIT OR ISC)", Ok(false)),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", Ok(true)),
            ("Apache-2.0 WITH LLVM-exception OR AGPL-3.0", Ok(true)),
            ("Apache-2.0 WITH Commons-Clause", Ok(false)),
            ("GPL-2.0 WITH LLVM-exception", Ok(false)),
            ("", Err("it ends where a licence should stand")),
            ("MIT OR", Err("it ends where a licence should stand")),
            ("(MIT", Err("a bracket is not closed")),
            ("MIT Apache-2.0", Err("`Apache-2.0` is left over")),
            ("AND MIT", Err("`AND` stands where a licence should")),
        ];
        for (expression, expected) in cases {
            assert_eq!(permissive(expression, &[]), expected.map_err(String::from), "{expression}");
        }
        assert_eq!([&[][..], ALLOWED_IN_DRIVER].map(|also| permissive("MIT AND NCSA", also)), [Ok(false), Ok(true)]);
    }

    #[test]
    fn a_package_without_a_permissive_licence_is_named() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "good", "version": "1.0.0", "license": "MIT" },
            { "name": "copyleft", "version": "2.0.0", "license": "AGPL-3.0" },
            { "name": "mute", "version": "3.0.0", "license": null },
        ]});
        let (checked, findings) = check(&metadata, &[]);
        assert_eq!(checked, 3);
        let expected = [
            "copyleft 2.0.0 is under `AGPL-3.0`, which the allowed licences alone do not meet",
            "mute 3.0.0 names no licence in its Cargo.toml",
        ];
        assert_eq!(findings, expected);
    }
}
