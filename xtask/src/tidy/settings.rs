//! `tidy.toml`: the exceptions to the house rules, each with its reason in words.
//!
//! The file is TOML of one shape: `[section]`, then `"name" = "reason"` lines. A line of another shape is an error.

use std::collections::BTreeMap;

/// The reason for each exception, by name.
pub type Reasons = BTreeMap<String, Reason>;

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub text: String,
    /// Where it stands in `tidy.toml`, from 1.
    pub line: usize,
}

/// All exceptions.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Files over the limit: path to `LINES: why`.
    pub long_files: Reasons,
    /// What crates in `core/` may name besides each other: package to what it saves.
    pub core_dependencies: Reasons,
    /// Files in `core/` that may name std: path to why.
    pub core_std: Reasons,
}

impl Settings {
    pub fn parse(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        let mut section: Option<&mut Reasons> = None;
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            let refuse = |what: &str| Err(format!("tidy.toml:{number}: {what}"));
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = Some(match name {
                    "long-files" => &mut settings.long_files,
                    "core-dependencies" => &mut settings.core_dependencies,
                    "core-std" => &mut settings.core_std,
                    _ => {
                        return refuse("this section is unknown; there are long-files, core-dependencies and core-std");
                    }
                });
                continue;
            }
            let Some((name, reason)) =
                line.split_once('=').and_then(|(name, reason)| Some((bare(name), quoted(reason)?)))
            else {
                return refuse("expected `\"name\" = \"reason\"`");
            };
            let Some(reasons) = section.as_deref_mut() else { return refuse("a line before the first [section]") };
            if reason.split_whitespace().count() < 3 {
                return refuse("the reason is missing: say in words why this exception earns its place");
            }
            if reasons.insert(name, Reason { text: reason, line: number }).is_some() {
                return refuse("this name stands here twice");
            }
        }
        Ok(settings)
    }
}

fn quoted(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains(['"', '\\'])).then(|| inner.to_string())
}

fn bare(text: &str) -> String {
    text.trim().trim_matches('"').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_read_with_their_place() {
        let settings = Settings::parse("# why\n[core-dependencies]\nlibm = \"one maths everywhere\"\n").unwrap();
        assert_eq!(settings.core_dependencies["libm"], Reason { text: "one maths everywhere".into(), line: 3 });
        let settings = Settings::parse("[long-files]\n\"a/b.rs\" = \"700: one table, no logic\"").unwrap();
        assert_eq!(settings.long_files["a/b.rs"].text, "700: one table, no logic");
    }

    #[test]
    fn a_line_of_another_shape_is_an_error_with_its_place() {
        let cases = [
            ("x = \"a b c\"", "tidy.toml:1: a line before the first [section]"),
            ("[core-std]\nx = 3", "tidy.toml:2: expected"),
            ("[core-std]\nx = \"\"", "tidy.toml:2: the reason is missing"),
            ("[core-std]\nx = \"a b c\"\nx = \"a b c\"", "tidy.toml:3: this name stands here twice"),
            ("\n[other]", "tidy.toml:2: this section is unknown"),
        ];
        for (text, expected) in cases {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
