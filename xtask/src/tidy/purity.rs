//! Rules for what `core/` ships: the same input gives the same bytes on any machine.

use super::lex::lines_with;
use super::{Finding, Tree, modules, report};

/// Names that bring the outside world or an order that is not the input's. Clippy knows the types behind the names
/// (core/clippy.toml); this list also sees what stands behind a macro or a feature.
const BANNED: &[(&str, &str)] = &[
    ("extern crate std", "core crates use `alloc`; only tests may name std"),
    ("std::", "use `core::` or `alloc::`; what needs the world belongs to edge/ and comes in as a record"),
    ("HashMap", "its order differs by run: use a BTreeMap, or model's ordered maps"),
    ("HashSet", "its order differs by run: use a BTreeSet, or model's ordered maps"),
    ("SystemTime", "time comes from the records"),
    ("time::Instant", "time comes from the records"),
    ("sort_unstable", "equal keys land in any order: use `sort`, `sort_by` or `sort_by_key`"),
    ("sort_unstable_by", "equal keys land in any order: use `sort_by`"),
    ("sort_unstable_by_key", "equal keys land in any order: use `sort_by_key`"),
    ("select_nth_unstable", "equal keys land in any order: sort, then index"),
    ("select_nth_unstable_by", "equal keys land in any order: sort, then index"),
    ("select_nth_unstable_by_key", "equal keys land in any order: sort, then index"),
    (".partial_cmp(", "NaN has no place in it: use `total_cmp`"),
    ("::partial_cmp", "NaN has no place in it: use `total_cmp`"),
];

/// Functions of f64 that come from the platform's maths library, or whose result for NaN and -0.0 is not fixed.
const FLOAT_FUNCTIONS: &[&str] = &[
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos", "cosh", "exp", "exp2", "exp_m1",
    "hypot", "ln", "ln_1p", "log", "log10", "log2", "mul_add", "powf", "powi", "sin", "sin_cos", "sinh", "tan", "tanh",
];
const FLOAT_REMEDY: &str = "it rounds as the platform likes: use model's float maths (libm)";

/// `f64::min` and `f64::max` by path; as methods only clippy can tell them from those of integers.
const FLOAT_ORDER: &[&str] = &["min", "max"];
const FLOAT_ORDER_REMEDY: &str = "min(-0.0, 0.0) may be either, and NaN vanishes: compare with `total_cmp`";

/// What `core/` ships is pure.
pub fn core(tree: &Tree, findings: &mut Vec<Finding>) {
    let core = |path: &str| path.starts_with("core/") && path.contains("/src/");
    for (path, shipped) in modules::reached(tree).iter().filter(|(path, _)| core(path)) {
        let source = &tree.sources[path];
        if path.ends_with("/src/lib.rs") && !source.code.contains("#![no_std]") {
            report(findings, path, 1, "is not `#![no_std]`", "add `#![no_std]` and `extern crate alloc;`");
        }
        if !shipped {
            continue;
        }
        for (pattern, remedy) in BANNED {
            let excepted =
                pattern.contains("std") && !pattern.contains("sort") && tree.settings.core_std.contains_key(path);
            for line in lines_with(&source.shipped, pattern).filter(|_| !excepted) {
                report(findings, path, line, format!("`{pattern}` in core"), *remedy);
            }
        }
        let paths = |name: &&str| ["f64", "f32"].map(|float| format!("{float}::{name}"));
        let banned =
            FLOAT_FUNCTIONS.iter().map(|name| format!(".{name}(")).chain(FLOAT_FUNCTIONS.iter().flat_map(paths));
        let banned = banned.map(|pattern| (pattern, FLOAT_REMEDY));
        let banned = banned.chain(FLOAT_ORDER.iter().flat_map(paths).map(|pattern| (pattern, FLOAT_ORDER_REMEDY)));
        for (pattern, remedy) in banned {
            let name = pattern.trim_end_matches('(');
            lines_with(&source.shipped, &pattern)
                .for_each(|line| report(findings, path, line, format!("`{name}` in core"), remedy));
        }
    }
    for (path, reason) in &tree.settings.core_std {
        let used = tree.sources.get(path).is_some_and(|source| lines_with(&source.shipped, "std").next().is_some());
        if !used {
            report(findings, "tidy.toml", reason.line, format!("{path} does not name std"), "remove the entry");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    const LIB: &str = "//! A.\n#![no_std]\nmod a;\n#[cfg(test)]\nmod tests;\n";

    #[test]
    fn each_ban_fires_in_what_is_shipped_and_nowhere_else() {
        let cases = [
            ("extern crate std;", "`extern crate std` in core"),
            ("use std::fs;", "`std::` in core"),
            ("let m: hashbrown::HashMap<u8, u8>;", "`HashMap` in core"),
            ("HashSet::new()", "`HashSet` in core"),
            ("SystemTime::now()", "`SystemTime` in core"),
            ("web::time::Instant::now()", "`time::Instant` in core"),
            ("v.sort_unstable();", "`sort_unstable` in core"),
            ("v.sort_unstable_by(f);", "`sort_unstable_by` in core"),
            ("v.select_nth_unstable_by_key(3, f);", "`select_nth_unstable_by_key` in core"),
            ("a.partial_cmp(&b)", "`.partial_cmp(` in core"),
            ("sort_by(f64::partial_cmp)", "`::partial_cmp` in core"),
            ("x.exp()", "`.exp` in core"),
            ("x.powf(y)", "`.powf` in core"),
            ("x.mul_add(y, z)", "`.mul_add` in core"),
            ("f64::ln(x)", "`f64::ln` in core"),
            ("fold(0.0, f64::max)", "`f64::max` in core"),
            ("f32::min(a, b)", "`f32::min` in core"),
        ];
        for (code, wrong) in cases {
            let (shipped, tested) = (format!("fn f() {{}}\n{code}"), format!("#[cfg(test)]\nmod tests {{ {code} }}"));
            let said = |files: &[(&str, &str)]| said(core, files, "");
            assert_eq!(
                said(&[("core/x/src/lib.rs", LIB), ("core/x/src/a.rs", &shipped)]),
                [format!("core/x/src/a.rs:2 {wrong}")]
            );
            assert!(
                said(&[("core/x/src/lib.rs", LIB), ("core/x/src/a.rs", &tested)]).is_empty(),
                "inside cfg(test): {code}"
            );
            assert!(
                said(&[("core/x/src/lib.rs", LIB), ("core/x/src/tests.rs", code)]).is_empty(),
                "test module: {code}"
            );
            assert!(
                said(&[("core/x/src/lib.rs", LIB), ("core/x/tests/it/main.rs", code)]).is_empty(),
                "integration test: {code}"
            );
            assert!(said(&[("edge/x/src/lib.rs", code)]).is_empty(), "edge: {code}");
        }
    }

    #[test]
    fn pure_code_passes() {
        let pure = "//! HashMap is not named, nor x.exp().\nenum S { Instant, Range }\nfn partial_cmp(a: f64) { float::exp(a); a.max(b); }
            libm::exp(x); \"std::fs\"; v.sort_by(|a, b| a.total_cmp(b)); u64::max(1, 2); my_std::x; hashbrown::HashTable::new()";
        assert!(said(core, &[("core/x/src/lib.rs", LIB), ("core/x/src/a.rs", pure)], "").is_empty());
    }

    #[test]
    fn core_is_no_std_and_an_exception_needs_its_reason() {
        assert_eq!(said(core, &[("core/x/src/lib.rs", "//! X.")], ""), ["core/x/src/lib.rs:1 is not `#![no_std]`"]);
        let settings = "[core-std]\n\"core/x/src/a.rs\" = \"the inflater reads std::io\"";
        let files = [("core/x/src/lib.rs", LIB), ("core/x/src/a.rs", "extern crate std;\nuse std::io;")];
        assert!(said(core, &files, settings).is_empty());
        let files = [("core/x/src/lib.rs", LIB), ("core/x/src/a.rs", "use alloc::vec;")];
        assert_eq!(said(core, &files, settings), ["tidy.toml:2 core/x/src/a.rs does not name std"]);
    }
}
