//! How a selector is answered from posting lists: the shortest list that must hold all it matches, then each series asked.
//!
//! To ask the series of the shortest list costs less than to walk the other lists, which are mostly far longer (`job` of
//! everything). A regular expression is asked once for each value that it meets.
use faultline_model::Labels;
use faultline_promql::{MatchOp, Matcher};
use std::collections::HashMap;

/// Answers of regular expressions that are remembered in one look-up, of each.
const REMEMBERED: usize = 1 << 16;

/// Where the candidates come from.
pub enum Plan<'a> {
    /// The list of this name and value.
    Value(&'a str, &'a str),
    /// The lists of the values that this matcher accepts; it does not accept a missing label.
    Values(&'a Matcher),
    /// Everything there is.
    All,
}

impl<'a> Plan<'a> {
    /// - `len`: how long the list of a name and value is, or about.
    pub fn of(matchers: &'a [Matcher], mut len: impl FnMut(&str, &str) -> usize) -> Plan<'a> {
        let equal = matchers.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty());
        if let Some(best) = equal.min_by_key(|m| len(&m.name, &m.value)) {
            return Plan::Value(&best.name, &best.value);
        }
        matchers.iter().find(|m| !m.matches("")).map_or(Plan::All, Plan::Values)
    }
}

/// Matchers, and what they have said so far.
pub struct Known<'a> {
    matchers: Vec<(&'a Matcher, Option<HashMap<String, bool>>)>,
}

impl<'a> Known<'a> {
    /// Nothing is known yet.
    pub fn new(matchers: &'a [Matcher]) -> Known<'a> {
        let remembers = |m: &Matcher| matches!(m.op, MatchOp::Regex | MatchOp::NotRegex).then(HashMap::new);
        Known { matchers: matchers.iter().map(|m| (m, remembers(m))).collect() }
    }

    /// Whether all accept.
    pub fn accept(&mut self, labels: &Labels) -> bool {
        self.accept_by(|name| labels.get(name))
    }

    /// The same of labels by their names.
    pub fn accept_by<'l>(&mut self, mut value: impl FnMut(&str) -> &'l str) -> bool {
        self.matchers.iter_mut().all(|(matcher, known)| {
            let value = value(&matcher.name);
            let Some(known) = known else { return matcher.matches(value) };
            if let Some(answer) = known.get(value) {
                return *answer;
            }
            let answer = matcher.matches(value);
            if known.len() < REMEMBERED {
                known.insert(value.to_owned(), answer);
            }
            answer
        })
    }
}
