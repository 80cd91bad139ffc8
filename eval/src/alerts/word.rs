//! Label values that meet matchers: made of the matchers' texts and regular expressions.
use faultline_promql::{MatchOp, Matcher};
use faultline_promqltest::random::Random;
use regex_syntax::hir::{Class, Hir, HirKind};

/// How often a value is drawn before it is given up.
const TRIES: usize = 12;
/// Most further repetitions of a part of a pattern.
const MORE: usize = 3;

/// A value that every matcher of one label takes; `usual` where it does. Nothing where none was found.
pub fn that_meets(matchers: &[&Matcher], usual: &str, random: &mut Random) -> Option<String> {
    let good = |text: &str| matchers.iter().all(|it| it.matches(text));
    if good(usual) && !random.chance(10) {
        return Some(usual.into());
    }
    let mut tries = (0..TRIES).map(|_| match random.pick(matchers) {
        it if it.op == MatchOp::Equal => it.value.clone(),
        it if it.op == MatchOp::Regex => like(&it.value, random),
        _ => random.pick::<&str>(&["other", "", "x1"]).to_string(),
    });
    tries.find(|text| good(text))
}

/// A text that the pattern takes, but for what it says of places.
fn like(pattern: &str, random: &mut Random) -> String {
    let mut text = String::new();
    if let Ok(hir) = regex_syntax::parse(pattern) {
        spell(&hir, random, &mut text);
    }
    text
}

fn spell(hir: &Hir, random: &mut Random, text: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(it) => text.push_str(&String::from_utf8_lossy(&it.0)),
        HirKind::Class(class) => text.extend(one_of(class, random)),
        HirKind::Repetition(it) => {
            let most = it.max.map_or(it.min as usize + MORE, |max| (max as usize).min(it.min as usize + MORE));
            let count = it.min as usize + random.below(most - it.min as usize + 1);
            (0..count).for_each(|_| spell(&it.sub, random, text));
        }
        HirKind::Capture(it) => spell(&it.sub, random, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| spell(part, random, text)),
        HirKind::Alternation(parts) => spell(random.pick(parts), random, text),
    }
}

/// A character of a class: a digit or a letter where it has them.
fn one_of(class: &Class, random: &mut Random) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(it) => it.ranges().iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(it) => it.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect(),
    };
    let has = |c: &char| ranges.iter().any(|(from, to)| (from..=to).contains(&c));
    let usual: Vec<char> = ('0'..='9').chain('a'..='e').filter(has).collect();
    if usual.is_empty() { ranges.first().map(|(from, _)| *from) } else { Some(*random.pick(&usual)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_meet_their_matchers() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        for (op, text) in [
            (Equal, "a"),
            (NotEqual, "a"),
            (NotEqual, ""),
            (Regex, "4.."),
            (Regex, "(?:5..)"),
            (Regex, ".*old.*|.*major.*"),
            (Regex, "5..|failed"),
            (Regex, "(claude-|anthropic/).*"),
            (Regex, "[A-Z]+x{2}"),
            (Regex, ".+"),
            (NotRegex, "(?:CONNECT|WATCH)"),
            (NotRegex, ".*"),
        ] {
            let matcher = Matcher::new("l", op, text).expect("a pattern");
            let mut random = Random::new(7);
            for _ in 0..50 {
                let found = that_meets(&[&matcher], "", &mut random);
                match text {
                    ".*" => assert_eq!(found, None),
                    _ => assert!(matcher.matches(&found.expect("some value")), "{text}"),
                }
            }
        }
    }
}
