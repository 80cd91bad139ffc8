//! Which kind of log record a text is: its words, without what changes from one to the next.
//!
//! A word is a run of letters; one that touches a digit (a number, an id, an address, a time) changes and is left out, and so is what
//! stands between words. Few words tell kinds apart, and what comes late in a text is mostly what it is about: the first
//! [`WORDS`] count.
//!
//! Limits: texts that differ in free words early on are kinds of their own. Source: algorithms.md 5 (masks before Drain).
use crate::keys::Keys;
use alloc::vec::Vec;

/// Words of a text that count.
pub(crate) const WORDS: usize = 12;
/// Bytes of a text that are looked at.
const SIZE: usize = 512;

/// Keyed hash of a text's kind; never 0.
pub(crate) fn of(text: &[u8], keys: &Keys) -> u64 {
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
    keys.short(&kind).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            assert_eq!(of(a.as_bytes(), &keys) == of(b.as_bytes(), &keys), same, "{a:?} {b:?}");
        }
        let long = [b'x'; 2_000];
        assert_eq!(of(&long, &keys), of(&long[..SIZE], &keys));
    }
}
