//! Regular expressions: Go's syntax, which PromQL has, translated into that of the `regex` crate.
//!
//! Both are RE2's language; they differ in what the Perl classes contain (ASCII in Go), in braces that are no repetition
//! (literal in Go) and in the set operations of bracketed classes (none in Go).
use alloc::string::String;
use regex::{Regex, RegexBuilder};

/// Largest compiled program, in bytes: what bounds a hostile `(a{1000}){1000}`.
const SIZE_MAX: usize = 1 << 20;

/// Compiles a pattern that must match a whole text; `.` matches every character. `None` if it is not a regular
/// expression or its program is larger than 1 MiB.
pub(crate) fn anchored(pattern: &str) -> Option<Regex> {
    let mut translated = String::with_capacity(pattern.len() + 16);
    translated.push_str("^(?s:");
    translate(pattern, &mut translated)?;
    translated.push_str(")$");
    RegexBuilder::new(&translated).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).nest_limit(100).build().ok()
}

fn translate(pattern: &str, out: &mut String) -> Option<()> {
    let mut rest = pattern;
    // Position within a bracketed class: characters since it opened, not counting a leading `^`.
    let mut class: Option<usize> = None;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match (c, class) {
            ('\\', _) => {
                rest = escape(after, class.is_some(), out)?;
                class = class.map(|count| count + 1);
                continue;
            }
            ('[', None) => {
                out.push('[');
                rest = after;
                if let Some(negated) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = negated;
                }
                class = Some(0);
                continue;
            }
            (']', Some(count)) if count > 0 => {
                out.push(']');
                class = None;
            }
            // A class of POSIX, `[:alpha:]`, means the same in both; any other bracket is literal in Go.
            ('[', Some(count)) => {
                if let Some(end) = rest.find(":]").filter(|_| rest.starts_with("[:")) {
                    out.push_str(&rest[..end + 2]);
                    rest = &rest[end + 2..];
                    class = Some(count + 1);
                    continue;
                }
                out.push_str("\\[");
                class = Some(count + 1);
            }
            (c, Some(count)) => {
                // Doubled, these are set operations; a leading `]` is literal in both once it is escaped.
                if matches!(c, '&' | '~' | ']') {
                    out.push('\\');
                }
                // `--` is a set difference; escaped it would no longer be able to form a range, which one dash still may.
                if c == '-' && out.ends_with('-') {
                    out.push('\\');
                }
                out.push(c);
                class = Some(count + 1);
            }
            ('{', None) if !is_repetition(after) => out.push_str("\\{"),
            ('}', None) if !closes_repetition(&pattern[..pattern.len() - rest.len()]) => out.push_str("\\}"),
            (c, None) => out.push(c),
        }
        rest = after;
    }
    Some(())
}

/// Whether what follows `{` makes it a repetition: `2}`, `2,}` or `2,3}`.
fn is_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// Whether a `}` that follows `before` ends a repetition.
fn closes_repetition(before: &str) -> bool {
    before.rfind('{').is_some_and(|open| {
        let inside = &before[open + 1..];
        !inside.contains('}') && is_repetition(&alloc::format!("{inside}}}"))
    })
}

/// Translates what follows a backslash; returns what follows that.
fn escape<'a>(rest: &'a str, in_class: bool, out: &mut String) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let after = &rest[c.len_utf8()..];
    let (members, negated) = match c {
        'd' | 'D' => ("0-9", c == 'D'),
        'w' | 'W' => ("0-9A-Za-z_", c == 'W'),
        's' | 'S' => ("\\t\\n\\x0C\\r ", c == 'S'),
        'b' | 'B' if !in_class => {
            out.push_str(if c == 'b' { "(?-u:\\b)" } else { "(?-u:\\B)" });
            return Some(after);
        }
        'Q' if !in_class => {
            let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(literal));
            return Some(after);
        }
        // Octal: Go has `\123`, the crate does not.
        '0'..='7' => {
            let digits = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            // In Go a single digit from 1 up would be a back-reference, which it refuses.
            if digits < 2 && c != '0' {
                return None;
            }
            let code = u32::from_str_radix(&rest[..digits], 8).ok()?;
            out.push_str(&alloc::format!("\\x{{{code:x}}}"));
            return Some(&rest[digits..]);
        }
        _ => {
            out.push('\\');
            out.push(c);
            return Some(after);
        }
    };
    match (in_class, negated) {
        (true, false) => out.push_str(members),
        (_, true) => out.push_str(&alloc::format!("[^{members}]")),
        (false, false) => out.push_str(&alloc::format!("[{members}]")),
    }
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are what Go's `regexp` says of the same pattern and text.
    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, text, expected) in [
            ("a|b", "a", true),
            ("a|b", "ab", false),
            (".*", "x\ny", true),
            (r"\d+", "123", true),
            (r"\d+", "\u{0663}", false),
            (r"\w", "\u{e9}", false),
            (r"\s", "\u{a0}", false),
            (r"[\d.]+", "1.2", true),
            (r"[^\W]+", "ab_1", true),
            ("a{2}", "aa", true),
            ("a{2,3}b", "aaab", true),
            ("a{,2}", "a{,2}", true),
            ("{foo}", "{foo}", true),
            ("x{", "x{", true),
            (r"\{\}", "{}", true),
            ("[[:alpha:]]+", "abc", true),
            ("[a[]+", "[a", true),
            ("[]a]+", "]a", true),
            ("[^]a]+", "b", true),
            ("[a&&b]+", "&a", true),
            ("[+--]+", "+,-", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b", "axb", false),
            (r"\bfoo\b", "foo", true),
            ("(?i)FOO", "foo", true),
            (r"\pL+", "\u{e9}a", true),
            (r"\/api\/v1", "/api/v1", true),
            (r"\x41\101", "AA", true),
            ("", "", true),
        ] {
            let found = anchored(pattern).is_some_and(|regex| regex.is_match(text));
            assert_eq!(found, expected, "{pattern} on {text}");
        }
        for bad in ["(", "a)", "[a", "(?P<n", r"\8", "(a{1000}){1000}"] {
            assert!(anchored(bad).is_none(), "{bad}");
        }
    }
}
