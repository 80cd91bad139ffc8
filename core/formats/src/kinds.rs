//! Which kind of log record a text is: its words, without what changes from one to the next.
//!
//! A word is a run of letters; one that touches a digit (a number, an id, an address, a time) changes and is left out, and so is what
//! stands between words. Few words tell kinds apart, and what comes late in a text is mostly what it is about: the first
//! [`WORDS`] count.
//!
//! Many loggers also say where in the code they were called: `a.b.OrderService#42`, `order.go:42`. Its line tells apart what was
//! written in the same words at two places, one before and one after what can go wrong.
//!
//! Limits: texts that differ in free words early on are kinds of their own. Source: algorithms.md 5 (masks before Drain); forms of
//! places: the layouts of Logback and Log4j (`%logger#%line`, `%C:%L`, `%F:%L`), of glog and klog, of Python's `logging`.
use crate::keys::Keys;
use alloc::vec::Vec;

/// Words of a text that count.
pub(crate) const WORDS: usize = 12;
/// Bytes of a text that are looked at.
const SIZE: usize = 512;
/// Bytes of a text in which the place that wrote it is looked for: it stands at the beginning, after a time, a level and a thread.
const PLACE_SIZE: usize = 192;
/// Digits of a line's number, at most.
const DIGITS: usize = 5;
/// How files of code end.
const ENDS: [&str; 22] = [
    "c", "cc", "cpp", "cs", "cxx", "erl", "ex", "go", "h", "hpp", "java", "js", "kt", "lua", "mjs", "php", "pl", "py",
    "rb", "rs", "scala", "ts",
];

/// What a text is, by two keyed hashes that are never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Of its words.
    pub kind: u64,
    /// Of its words and of the place in the code that it names; the same as `kind` where it names none.
    pub line: u64,
}

/// Tells what a text is.
pub(crate) fn of(text: &[u8], keys: &Keys) -> Kind {
    let text = &text[..text.len().min(SIZE)];
    let mut kind = Vec::with_capacity(128);
    let mut words = text.split(|byte| !(byte.is_ascii_alphanumeric() || *byte >= 0x80));
    let mut count = 0;
    while let Some(word) = words.next()
        && count < WORDS
    {
        if word.is_empty() || word.iter().any(u8::is_ascii_digit) {
            continue;
        }
        kind.extend_from_slice(word);
        kind.push(b' ');
        count += 1;
    }
    let of_words = keys.short(&kind).max(1);
    let line = place(&text[..text.len().min(PLACE_SIZE)]).map_or(of_words, |place| {
        // No word holds a line's end.
        kind.push(b'\n');
        kind.extend_from_slice(place);
        keys.short(&kind).max(1)
    });
    Kind { kind: of_words, line }
}

/// The first place in the code that a text names: a class within its package, or a file of code, and a line.
fn place(text: &[u8]) -> Option<&[u8]> {
    let marks = text.iter().enumerate().filter(|(_, byte)| matches!(byte, b'#' | b':')).map(|(at, _)| at);
    marks.into_iter().find_map(|mark| {
        let digits = text[mark + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = mark + 1 + digits;
        let ends = !text.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !(1..=DIGITS).contains(&digits) || text[mark + 1] == b'0' || !ends {
            return None;
        }
        let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'-');
        let begin = text[..mark].iter().rposition(|byte| !named(byte)).map_or(0, |before| before + 1);
        let name = &text[begin..mark];
        let dot = name.iter().rposition(|byte| *byte == b'.').filter(|&dot| dot > 0)?;
        let last = &name[dot + 1..];
        let class = last.first().is_some_and(u8::is_ascii_uppercase) && last.iter().any(u8::is_ascii_lowercase);
        let file = text[mark] == b':' && ENDS.iter().any(|known| known.as_bytes() == last);
        (class || file).then(|| &text[begin..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use faultline_model::HashSeed;

    #[test]
    fn what_changes_makes_no_kind() {
        let keys = Keys::new(HashSeed(7));
        for (a, b, same) in [
            ("took 12 ms for user 0x3f", "took 9 ms for user 0xa1b2", true),
            (
                "16:42:22.382 INFO order d1fb93ab-f521-4ef5 paid",
                "09:01:07.001 INFO order 77aa00bc-0aa1-9999 paid",
                true,
            ),
            ("order paid", "order refused", false),
            ("", "42", true),
            ("geb\u{fc}hr 3", "geb\u{fc}hr 4", true),
        ] {
            assert_eq!(of(a.as_bytes(), &keys).kind == of(b.as_bytes(), &keys).kind, same, "{a:?} {b:?}");
        }
        let long = [b'x'; 2_000];
        assert_eq!(of(&long, &keys), of(&long[..SIZE], &keys));
    }

    #[test]
    fn a_line_is_known_by_the_place_that_wrote_it() {
        for (text, expected) in [
            (
                "18:03:11.135 INFO  t.s.TravelServiceImpl#486 TraceID: 15ee [today][d: 29]",
                Some("t.s.TravelServiceImpl#486"),
            ),
            ("[main] WARN com.shop.Cart$Item:42 - gone", Some("com.shop.Cart$Item:42")),
            ("I1123 02:26:56.000001  1 src/server.go:123] listening on :8080", Some("server.go:123")),
            ("2026-11-23 ERROR worker.py:7: no such key", Some("worker.py:7")),
            ("at Main.java:9)", Some("Main.java:9")),
            // Addresses, times, tickets, attributes and numbers that are no line's.
            ("10:20:30 connected to db.example.com:5432", None),
            ("from 10.0.0.1:8080 to example.ORG:80", None),
            ("order#451 of user:12, see PROJ.X#12", None),
            ("Foo.java:0 a.Bar#123456 a.Bar#12x .go:1 go:1 x.Bar#", None),
            ("", None),
        ] {
            assert_eq!(place(text.as_bytes()), expected.map(str::as_bytes), "{text}");
        }
        let keys = Keys::new(HashSeed(7));
        let of = |text: &str| of(text.as_bytes(), &keys);
        let (before, after) = (of("10:01 INFO a.Shop#41 asks for 3"), of("10:07 INFO a.Shop#43 asks for 7"));
        assert!(before.kind == after.kind && before.line != after.line && before.line != before.kind);
        assert_eq!(before, of("11:01 INFO a.Shop#41 asks for 9"));
        assert_eq!(of("order paid").line, of("order paid").kind);
        let late = format!("{}a.Shop#41", "x ".repeat(PLACE_SIZE / 2));
        assert_eq!(of(&late).line, of(&late).kind);
    }
}
