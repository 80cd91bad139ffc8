//! Reads networks and evidence in the format of the UAI inference competitions.
//!
//! ```text
//! MARKOV            or BAYES
//! 3                 variables
//! 2 2 3             states of each
//! 2                 factors
//! 2 0 1             a factor's variables: how many, which; for BAYES the last one is the child
//! 2 1 2
//! 4 1.0 0.5 0.5 1.0     its table: how many entries, the last variable fastest
//! 6 1 2 3 4 5 6
//! ```
//! Evidence is `count variable state variable state ...`. Words are parted by white space; where lines end means nothing.
//! Source: <https://www.cs.huji.ac.il/project/PASCAL/fileFormat.php>; the evidence is that of 2010 and later.
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::{FromStr, SplitAsciiWhitespace};

use crate::error::NetworkError;
use crate::evidence::Evidence;
use crate::graph::FactorGraph;
use crate::limits::VARIABLES_MAX;
use crate::network::{Network, VarId};

/// A place in a text: its line and its word, both from 1. A text that ends too soon is at its last line, one word past its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The word, counted through the whole text.
    pub word: usize,
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "line {}, word {}", self.line, self.word)
    }
}

/// Why a text is no network or no evidence, and where that shows.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UaiError {
    /// The text ends too soon; it may be cut short.
    #[error("{at}: the text ends where {expected} should follow")]
    CutShort {
        /// Where it ends.
        at: Place,
        /// What should have come.
        expected: &'static str,
    },
    /// A word that cannot stand here.
    #[error("{at}: found {found:?}, expected {expected}")]
    Unexpected {
        /// Where.
        at: Place,
        /// The word.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A table says another number of entries than its variables have combinations of states.
    #[error("{at}: the table of factor {factor} has {found} entries, expected {expected}")]
    WrongSize {
        /// Where it says so.
        at: Place,
        /// The factor, from 0.
        factor: usize,
        /// The number it says.
        found: usize,
        /// The number that follows from its variables.
        expected: usize,
    },
    /// The text is well formed, the network is not.
    #[error("{at}")]
    Network {
        /// Where the part that is refused begins; the end for the network as a whole.
        at: Place,
        /// What is wrong.
        #[source]
        source: NetworkError,
    },
}

/// What a text describes.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// `BAYES`; variables are named by their numbers.
    Bayes(Network),
    /// `MARKOV`.
    Markov(FactorGraph),
}

/// Reads a network.
///
/// Fails with the place on text that is cut short, malformed or goes on past its end, and on everything that
/// [`FactorGraph`] and, for `BAYES`, [`NetworkBuilder`](crate::NetworkBuilder) refuse.
pub fn parse(text: &str) -> Result<Model, UaiError> {
    let mut words = Words::new(text);
    let (word, at) = words.take("MARKOV or BAYES")?;
    let bayes = match word {
        "MARKOV" => false,
        "BAYES" => true,
        _ => return Err(unexpected(word, at, "MARKOV or BAYES")),
    };
    let (count, at) = words.number::<usize>("a number of variables")?;
    if count > VARIABLES_MAX {
        let (what, found, bound) = ("variables", count as u64, VARIABLES_MAX as u64);
        return Err(UaiError::Network { at, source: NetworkError::TooLarge { what, found, bound } });
    }
    let mut graph = FactorGraph::new();
    let mut builder = Network::builder();
    for variable in 0..count {
        let (states, at) = words.number::<usize>("a number of states")?;
        let refused = |source| UaiError::Network { at, source };
        graph.variable(states).map_err(refused)?;
        if bayes {
            builder.variable(&variable.to_string(), states).map_err(refused)?;
        }
    }
    let (factors, _) = words.number::<usize>("a number of factors")?;
    // Nothing is reserved by a number that the text alone claims.
    let mut scopes: Vec<Vec<VarId>> = Vec::new();
    for _ in 0..factors {
        let (arity, at) = words.number::<usize>("a factor's number of variables")?;
        if bayes && arity == 0 {
            return Err(unexpected("0", at, "a child"));
        }
        let mut scope = Vec::new();
        for _ in 0..arity {
            let (variable, at) = words.number::<usize>("a variable")?;
            if variable >= count {
                return Err(unexpected(&variable.to_string(), at, "a variable below their number"));
            }
            if scope.contains(&VarId(variable as u32)) {
                return Err(unexpected(&variable.to_string(), at, "a variable that the factor does not have yet"));
            }
            scope.push(VarId(variable as u32));
        }
        scopes.push(scope);
    }
    for (factor, scope) in scopes.iter().enumerate() {
        let (found, at) = words.number::<usize>("a table's number of entries")?;
        let expected = graph.size(scope).map_err(|source| UaiError::Network { at, source })?;
        if found != expected {
            return Err(UaiError::WrongSize { at, factor, found, expected });
        }
        let mut table = Vec::new();
        for _ in 0..expected {
            let (value, at) = words.number::<f64>("a table's entry")?;
            if !(value.is_finite() && value >= 0.0) {
                return Err(unexpected(&value.to_string(), at, "a finite number that is not negative"));
            }
            table.push(value);
        }
        let added = match scope.split_last() {
            Some((&child, parents)) if bayes => builder.cpt(child, parents, &table),
            _ => graph.factor(scope, &table),
        };
        added.map_err(|source| UaiError::Network { at, source })?;
    }
    words.end()?;
    if !bayes {
        return Ok(Model::Markov(graph));
    }
    let at = words.place;
    builder.build().map(Model::Bayes).map_err(|source| UaiError::Network { at, source })
}

/// Reads evidence. That its variables and states exist shows when it is used.
///
/// Fails with the place on text that is cut short, malformed or goes on past its end, and on a variable given twice.
pub fn parse_evidence(text: &str) -> Result<Evidence, UaiError> {
    let mut words = Words::new(text);
    let mut evidence = Evidence::new();
    let (count, _) = words.number::<usize>("a number of observations")?;
    for _ in 0..count {
        let (variable, at) = words.number::<u32>("a variable")?;
        if evidence.get(VarId(variable)).is_some() {
            return Err(unexpected(&variable.to_string(), at, "a variable that is not observed yet"));
        }
        let (state, _) = words.number::<u32>("a state")?;
        evidence.observe(VarId(variable), state as usize);
    }
    words.end()?;
    Ok(evidence)
}

fn unexpected(found: &str, at: Place, expected: &'static str) -> UaiError {
    UaiError::Unexpected { at, found: found.chars().take(80).collect(), expected }
}

struct Words<'a> {
    lines: core::str::Split<'a, char>,
    rest: SplitAsciiWhitespace<'a>,
    place: Place,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Words<'a> {
        let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).split('\n');
        let rest = lines.next().unwrap_or("").split_ascii_whitespace();
        Words { lines, rest, place: Place { line: 1, word: 0 } }
    }

    fn next(&mut self) -> Option<&'a str> {
        loop {
            if let Some(word) = self.rest.next() {
                self.place.word += 1;
                return Some(word);
            }
            self.rest = self.lines.next()?.split_ascii_whitespace();
            self.place.line += 1;
        }
    }

    fn take(&mut self, expected: &'static str) -> Result<(&'a str, Place), UaiError> {
        match self.next() {
            Some(word) => Ok((word, self.place)),
            None => {
                let at = Place { word: self.place.word + 1, ..self.place };
                Err(UaiError::CutShort { at, expected })
            }
        }
    }

    fn number<T: FromStr>(&mut self, expected: &'static str) -> Result<(T, Place), UaiError> {
        let (word, at) = self.take(expected)?;
        match word.parse() {
            Ok(number) => Ok((number, at)),
            Err(_) => Err(unexpected(word, at, expected)),
        }
    }

    fn end(&mut self) -> Result<(), UaiError> {
        match self.next() {
            Some(word) => Err(unexpected(word, self.place, "the end of the text")),
            None => Ok(()),
        }
    }
}
