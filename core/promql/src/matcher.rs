//! One condition of a selector on one label.
use crate::pattern;
use alloc::string::String;
use alloc::sync::Arc;
use faultline_model::labels::NAME;
use faultline_model::{Canonical, CodecError, Reader, Writer};
use regex::Regex;

/// How a matcher compares. What stands in journals and checkpoints are the places here, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Regex,
    /// `!~`, anchored at both ends.
    NotRegex,
}

/// One condition of a selector on one label. An absent label has the value `""`.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How to compare.
    pub op: MatchOp,
    /// What to compare with: text or a regular expression.
    pub value: String,
    regex: Option<Arc<Regex>>,
}

impl Matcher {
    /// A matcher; `None` if `value` is not a regular expression, or one larger than allowed, where `op` asks for one.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Option<Matcher> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(pattern::anchored(value)?)),
        };
        Some(Matcher { name: name.into(), op, value: value.into(), regex })
    }

    /// Whether a label's value (`""` where the label is absent) meets the condition.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => self.value == value,
            (MatchOp::NotEqual, _) => self.value != value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => unreachable!("`new` builds the expression with the operator"),
        }
    }

    /// Whether this gives the metric's name.
    pub(crate) fn is_metric(&self) -> bool {
        self.op == MatchOp::Equal && self.name == NAME
    }

    /// The operator as it is written.
    pub(crate) fn op_text(&self) -> &'static str {
        match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// Name, number of the operator, value.
impl Canonical for Matcher {
    fn write(&self, w: &mut Writer) {
        w.array(3);
        self.name.write(w);
        w.uint(self.op as u64);
        self.value.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let refused = r.invalid("matcher");
        r.array_of(3)?;
        let name = String::read(r)?;
        let op = match r.uint()? {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            _ => return Err(refused),
        };
        Matcher::new(&name, op, &String::read(r)?).ok_or(refused)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_labels_are_empty_and_patterns_are_anchored() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        for (op, value, text, expected) in [
            (Equal, "a", "a", true),
            (Equal, "", "", true),
            (NotEqual, "", "a", true),
            (NotEqual, "a", "", true),
            (Regex, "a.+", "ab", true),
            (Regex, "a.+", "xab", false),
            (Regex, ".*", "", true),
            (Regex, ".+", "", false),
            (NotRegex, "a|b", "b", false),
            (NotRegex, "a|b", "bb", true),
        ] {
            let matcher = Matcher::new("l", op, value).expect("a valid pattern");
            assert_eq!(matcher.matches(text), expected, "{op:?} {value} on {text:?}");
        }
        assert!(Matcher::new("l", Regex, "(").is_none());
    }
}
