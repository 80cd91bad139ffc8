//! The parser and the pretty printer against what Prometheus' own parser says of its own test table.
use crate::corpus;
use faultline_promql::{Features, ParseError, format_query, parse_with};

/// Tab-separated: a text, what Prometheus 3.15 says of it with all experimental parts of the language, and without them
/// where that is different: the formatted expression, or `!` and the error. Escaped: backslash, tab, line feed, return.
const TABLE: &str = include_str!("data/parser.tsv");

/// Where we differ, and why; the part of the text that tells.
const DIFFERENT: &[(&str, &str)] = &[
    ("", "where nothing stands, errors point at the beginning"),
    ("\\xFF", "texts are UTF-8 here, so that bytes that are not are refused when they are read"),
    ("\\xff", "the same"),
    (
        "99999999999999999999999999999999999999999999999",
        "numbers out of range are shown without the function that reads them",
    ),
    ("a{b=~\"(\"}", "regular expressions are another library's, with errors of its own"),
    ("offset --5m + 3", "what Prometheus prints is another expression"),
    ("info(a, {})", "what Prometheus prints is none"),
];

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some(c)) => out.push(c),
            (c, _) => out.push(c),
        }
    }
    out
}

/// What we say of a text, in the table's form; `None` of what is not evaluated here.
fn ours(text: &str, features: Features) -> Option<String> {
    match parse_with(text, features) {
        Ok(expr) => Some(format_query(&expr)),
        Err(ParseError::Unsupported { .. }) => None,
        Err(error) => Some(format!("!{error}")),
    }
}

#[test]
fn texts_are_read_and_printed_as_prometheus_does() {
    let (mut wrong, mut agreed, mut unsupported) = (Vec::new(), 0, 0);
    for line in TABLE.lines() {
        let [text, all, none] = line.split('\t').map(unescaped).collect::<Vec<_>>().try_into().expect("three fields");
        let none = if none.is_empty() { &all } else { &none };
        for (features, theirs) in [(Features::additions(), &all), (Features::NONE, none)] {
            match ours(&text, features) {
                _ if DIFFERENT.iter().any(|(part, _)| text == *part || !part.is_empty() && text.contains(part)) => {}
                None => unsupported += 1,
                Some(ours) if ours == *theirs => agreed += 1,
                Some(ours) => wrong.push(format!("{text}\n   ours   {ours}\n   theirs {theirs}")),
            }
        }
    }
    eprintln!("{agreed} agree, {unsupported} are not evaluated here");
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(agreed > 800, "only {agreed}");
}

/// What is printed is the same expression, and formatting it again changes nothing.
#[test]
fn formatted_queries_are_the_same_queries() {
    let texts = corpus::OWN.lines().filter(|l| !l.is_empty() && !l.starts_with(['!', '/']));
    let table = TABLE.lines().filter_map(|line| line.split('\t').next());
    for text in texts.map(String::from).chain(table.map(unescaped)) {
        let Ok(expr) = parse_with(&text, Features::additions()) else { continue };
        let formatted = format_query(&expr);
        let again = parse_with(&formatted, Features::additions());
        let again = again.unwrap_or_else(|error| panic!("{text}\n{formatted}\n{error}"));
        assert_eq!(format_query(&again), formatted, "{text}");
        let printed = expr.to_string();
        assert_eq!(parse_with(&printed, Features::additions()).as_ref(), Ok(&expr), "{text} {printed}");
    }
}
