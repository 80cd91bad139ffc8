//! Rust source split into what the compiler runs, what people read, and what only tests contain.
//!
//! A rule must not fire on a word in a string or in prose, nor on test code. This is a scanner for exactly that: it
//! knows comments, strings, character literals and brackets, and nothing of grammar. Every view has the source's
//! lines, so that a place in a view is a place in the source.

/// One source file, seen four ways. What does not belong to a view is blanks there.
#[derive(Debug)]
pub struct Source {
    pub raw: String,
    /// Without comments and without the contents of strings and character literals.
    pub code: String,
    /// Comments alone.
    pub comments: String,
    /// `code` without the items under `#[cfg(test)]`.
    pub shipped: String,
}

impl Source {
    pub fn new(raw: &str) -> Source {
        let (code, comments) = split(raw);
        let shipped = without_tests(&code);
        Source { raw: raw.to_string(), code, comments, shipped }
    }
}

/// Lines of `view` that hold `pattern` as whole words, numbered from 1.
pub fn lines_with<'a>(view: &'a str, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
    view.lines().enumerate().filter(move |(_, line)| has(line, pattern)).map(|(index, _)| index + 1)
}

/// Whether `line` holds `pattern`; where the pattern begins or ends with a letter, a word must begin or end there.
pub fn has(line: &str, pattern: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(pattern).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + pattern.len()..].chars().next());
        let cut_before = word(pattern.chars().next()) && word(before);
        let cut_after = word(pattern.chars().next_back()) && word(after);
        !cut_before && !cut_after
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Literal,
}

fn split(raw: &str) -> (String, String) {
    let text: Vec<char> = raw.chars().collect();
    let (mut code, mut comments) = (String::with_capacity(raw.len()), String::with_capacity(raw.len()));
    let mut at = 0;
    while at < text.len() {
        let (part, end) = token(&text, at);
        for &c in &text[at..end] {
            let keep = |wanted: Part| if c == '\n' || part == wanted { c } else { ' ' };
            code.push(keep(Part::Code));
            comments.push(keep(Part::Comment));
        }
        at = end;
    }
    (code, comments)
}

/// The part that begins at `at`, and where it ends.
fn token(text: &[char], at: usize) -> (Part, usize) {
    let get = |index: usize| text.get(index).copied().unwrap_or('\0');
    let find =
        |from: usize, stop: &dyn Fn(usize) -> bool| (from..text.len()).find(|&index| stop(index)).unwrap_or(text.len());
    let before = if at == 0 { '\0' } else { text[at - 1] };
    match (get(at), get(at + 1)) {
        ('/', '/') => (Part::Comment, find(at, &|index| text[index] == '\n')),
        ('/', '*') => (Part::Comment, block_comment_end(text, at)),
        ('"', _) => (Part::Literal, quoted_end(text, at, '"')),
        ('\'', '\\') => (Part::Literal, quoted_end(text, at, '\'')),
        ('\'', _) if get(at + 2) == '\'' => (Part::Literal, at + 3),
        ('r', '"' | '#') if !before.is_alphanumeric() && before != '_' || matches!(before, 'b' | 'c') => {
            let open = find(at + 1, &|index| text[index] != '#');
            if get(open) != '"' {
                return (Part::Code, at + 1); // A raw identifier.
            }
            let hashes = open - at - 1;
            let closes = |index: usize| text[index] == '"' && (1..=hashes).all(|further| get(index + further) == '#');
            (Part::Literal, (find(open + 1, &closes) + 1 + hashes).min(text.len()))
        }
        _ => (Part::Code, at + 1),
    }
}

fn quoted_end(text: &[char], at: usize, quote: char) -> usize {
    let mut end = at + 1;
    while end < text.len() && text[end] != quote {
        end += if text[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(text.len())
}

fn block_comment_end(text: &[char], at: usize) -> usize {
    let (mut depth, mut end) = (0, at);
    while end < text.len() {
        match (text[end], text.get(end + 1)) {
            ('/', Some('*')) => (depth, end) = (depth + 1, end + 2),
            ('*', Some('/')) => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
        if depth == 0 {
            break;
        }
    }
    end
}

/// Blanks every item under `#[cfg(test)]` or `#[cfg(all(test, ...))]`, and all of a file under `#![cfg(test)]`.
fn without_tests(code: &str) -> String {
    let text: Vec<char> = code.chars().collect();
    let mut shipped = text.clone();
    for at in 0..text.len() {
        let Some(whole_file) = test_attribute(&text[at..]) else { continue };
        let end = if whole_file { text.len() } else { item_end(&text, at) };
        shipped[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
    }
    shipped.into_iter().collect()
}

/// Whether a `cfg(test)` attribute begins here, and then whether it stands for the whole file.
fn test_attribute(text: &[char]) -> Option<bool> {
    if text.first() != Some(&'#') {
        return None;
    }
    let start: String = text.iter().filter(|c| !c.is_whitespace()).take(16).collect();
    let whole_file = start.starts_with("#!");
    let condition = start.strip_prefix(if whole_file { "#![cfg(" } else { "#[cfg(" })?;
    (condition.starts_with("test)") || condition.starts_with("all(test")).then_some(whole_file)
}

/// Where the item ends whose first attribute begins at `at`: after its `;` or its closing brace.
fn item_end(text: &[char], at: usize) -> usize {
    let (mut depth, mut braced) = (0_usize, false);
    for (end, c) in text.iter().enumerate().skip(at) {
        match c {
            '{' => (depth, braced) = (depth + 1, true),
            '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return end + 1,
            _ => {}
        }
        if braced && depth == 0 && *c == '}' {
            return end + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_not_code() {
        let cases = [
            ("a // b\nc", "a \nc", "// b\n"),
            ("a /* b /* c */ d */ e", "a  e", "/* b /* c */ d */"),
            ("f(\"x // y\", 1)", "f(, 1)", ""),
            ("f(\"a\\\"b\", c)", "f(, c)", ""),
            ("f(r#\"a \" b\"#, c)", "f(, c)", ""),
            ("f(br\"a\\\", c)", "f(b, c)", ""),
            ("r#type + ear\"x\"", "r#type + ear", ""),
            ("'\"' + '\\'' + 'a' + x::<'a>(b'\\\\')", " +  +  + x::<'a>(b)", ""),
            ("let s = \"never closed", "let s = ", ""),
            ("/// `HashMap` is \"not\" code", "", "/// `HashMap` is \"not\" code"),
        ];
        let squeeze = |text: &str| text.replace(' ', "");
        for (raw, code, comments) in cases {
            let source = Source::new(raw);
            assert_eq!(squeeze(&source.code), squeeze(code), "code of {raw}");
            assert_eq!(squeeze(&source.comments), squeeze(comments), "comments of {raw}");
            assert_eq!(source.code.chars().count(), raw.chars().count(), "places in {raw}");
        }
    }

    #[test]
    fn test_items_are_not_shipped() {
        let cases = [
            ("a\n#[cfg(test)]\nmod tests {\n fn f() { b }\n}\nc", "a\n\n\n\n\nc"),
            ("#[cfg(test)]\nmod tests;\nc", "\n\nc"),
            ("#[cfg(test)]\n#[path = \"x\"]\nextern crate std;\nc", "\n\n\nc"),
            ("#[cfg(all(test, unix))] fn f(a: [u8; 2]) { g(); } c", "c"),
            ("#[cfg(not(test))] a", "#[cfg(not(test))]a"),
            ("#![cfg(test)]\na\nb", "\n\n"),
            ("fn f() { \"#[cfg(test)]\" } a", "fnf(){}a"),
        ];
        for (raw, shipped) in cases {
            assert_eq!(Source::new(raw).shipped.replace(' ', ""), shipped, "{raw}");
        }
    }

    #[test]
    fn patterns_match_whole_words() {
        let cases = [
            ("a HashMap<", "HashMap", true),
            ("MyHashMap", "HashMap", false),
            ("x.exp(1)", ".exp(", true),
            ("x.exp2(1)", ".exp(", false),
        ];
        for (line, pattern, expected) in cases {
            assert_eq!(has(line, pattern), expected, "{pattern} in {line}");
        }
        assert_eq!(lines_with("a\nb a\nab", "a").collect::<Vec<_>>(), [1, 2]);
    }
}
