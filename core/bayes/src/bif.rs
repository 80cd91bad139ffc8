//! Reads a network from the Bayesian Interchange Format, as the public network repositories publish it.
//!
//! ```text
//! network unknown { }
//! variable rain { type discrete [ 2 ] { yes, no }; }
//! probability ( rain ) { table 0.2, 0.8; }
//! probability ( wet | rain ) { (yes) 0.9, 0.1; default 0.1, 0.9; }
//! ```
//! Variables may be declared after their use. Rows may come in any order; `default` fills those not given. A `table` for a
//! variable with parents is refused: the dialects disagree on its order. `property` lines and comments are skipped.
//! Source: Cozman, "The Interchange Format for Bayesian Networks", version 0.15, 1998.
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::NetworkError;
use crate::limits::TABLE_ENTRIES_MAX;
use crate::network::{Network, NetworkBuilder, VarId};

/// Why a text is no network, and the line (from 1) where that shows.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BifError {
    /// The text ends inside a block; it may be cut short.
    #[error("line {line}: the text ends where {expected} should follow")]
    CutShort {
        /// The last line.
        line: usize,
        /// What should have come.
        expected: &'static str,
    },
    /// A word or sign that the grammar does not allow here.
    #[error("line {line}: found {found:?}, expected {expected}")]
    Unexpected {
        /// Where.
        line: usize,
        /// The word or sign.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// `discrete [ n ]` and the list of states disagree.
    #[error("line {line}: variable {variable:?} declares {declared} states and names {named}")]
    StateCount {
        /// Where.
        line: usize,
        /// The variable.
        variable: String,
        /// The number in brackets.
        declared: usize,
        /// States in the list.
        named: usize,
    },
    /// A row is given twice.
    #[error("line {line}: table of {variable:?} has the row ({given}) twice")]
    DuplicateRow {
        /// Where.
        line: usize,
        /// The child.
        variable: String,
        /// The parents' states.
        given: String,
    },
    /// Rows are missing and there is no `default`.
    #[error("line {line}: table of {variable:?} lacks {missing} of its {rows} rows")]
    MissingRows {
        /// Where the block ends.
        line: usize,
        /// The child.
        variable: String,
        /// Rows not given.
        missing: usize,
        /// Rows needed.
        rows: usize,
    },
    /// `table` for a variable with parents, whose order the dialects disagree on. Write rows instead.
    #[error("line {line}: table of {variable:?}, which has parents, must be given row by row")]
    AmbiguousTable {
        /// Where.
        line: usize,
        /// The child.
        variable: String,
    },
    /// The text is well formed, the network is not.
    #[error("line {line}")]
    Network {
        /// Where the block that is refused begins; the last line for the network as a whole.
        line: usize,
        /// What is wrong.
        #[source]
        source: NetworkError,
    },
}

/// Reads a network.
///
/// Fails with the line on text that is cut short or malformed, on unknown names, and on everything that
/// [`NetworkBuilder`] refuses.
pub fn parse(text: &str) -> Result<Network, BifError> {
    let mut words = Words::new(text);
    let mut builder = Network::builder();
    // Tables wait until all variables are known.
    let mut tables = Vec::new();
    let mut network_seen = false;
    while let Some(word) = words.next()? {
        match word.text {
            "network" if !network_seen => {
                network_seen = true;
                words.take("a name")?;
                words.expect("{", "\"{\"")?;
                while words.inside_block()? {
                    words.property()?;
                }
            }
            "variable" => variable(&mut words, &mut builder)?,
            "probability" => tables.push(Block::read(&mut words)?),
            _ => return Err(word.unexpected("network, variable or probability")),
        }
    }
    for table in &tables {
        table.add(&mut builder)?;
    }
    builder.build().map_err(|source| BifError::Network { line: words.line, source })
}

fn variable<'a>(words: &mut Words<'a>, builder: &mut NetworkBuilder) -> Result<(), BifError> {
    let name = words.take("a variable's name")?;
    words.expect("{", "\"{\"")?;
    let mut states: Option<Vec<&str>> = None;
    while words.inside_block()? {
        let word = words.peek()?.expect("inside a block");
        if word.text != "type" || states.is_some() {
            words.property()?;
            continue;
        }
        words.expect("type", "type")?;
        words.expect("discrete", "discrete")?;
        words.expect("[", "\"[\"")?;
        let count = words.take("a number of states")?;
        let declared = count.text.parse().map_err(|_| count.unexpected("a number of states"))?;
        words.expect("]", "\"]\"")?;
        words.expect("{", "\"{\"")?;
        let mut named = Vec::new();
        while words.inside_block()? {
            named.push(words.take("a state's name")?.text);
            words.skip_comma()?;
        }
        words.expect(";", "\";\"")?;
        if named.len() != declared {
            let variable = name.text.to_owned();
            return Err(BifError::StateCount { line: count.line, variable, declared, named: named.len() });
        }
        states = Some(named);
    }
    let states = states.unwrap_or_default();
    let added = builder.variable_named(name.text, &states);
    added.map(|_| ()).map_err(|source| BifError::Network { line: name.line, source })
}

/// A probability block as written: names are looked up when all variables are known.
struct Block<'a> {
    child: Word<'a>,
    parents: Vec<Word<'a>>,
    table: Option<(Word<'a>, Vec<f64>)>,
    default: Option<Vec<f64>>,
    /// All rows one after another: their parent states in `given`, their numbers in `values`; `rows` says how many of each.
    given: Vec<Word<'a>>,
    values: Vec<f64>,
    rows: Vec<(usize, usize, usize)>,
    end: usize,
}

impl<'a> Block<'a> {
    fn read(words: &mut Words<'a>) -> Result<Block<'a>, BifError> {
        words.expect("(", "\"(\"")?;
        let child = words.take("a variable's name")?;
        let mut parents = Vec::new();
        loop {
            let word = words.take_any("\"|\", \")\" or a parent")?;
            match word.text {
                ")" if word.sign => break,
                "|" | "," if word.sign => parents.push(words.take("a parent's name")?),
                _ => return Err(word.unexpected("\"|\", \",\" or \")\"")),
            }
        }
        words.expect("{", "\"{\"")?;
        let mut block = Block {
            child,
            parents,
            table: None,
            default: None,
            given: Vec::new(),
            values: Vec::new(),
            rows: Vec::new(),
            end: 0,
        };
        while words.inside_block()? {
            let word = words.peek()?.expect("inside a block");
            match word.text {
                "table" => {
                    words.take_any("table")?;
                    block.table = Some((word, words.numbers()?));
                }
                "default" => {
                    words.take_any("default")?;
                    block.default = Some(words.numbers()?);
                }
                "(" if word.sign => block.row(words)?,
                _ => words.property()?,
            }
        }
        block.end = words.line;
        Ok(block)
    }

    fn row(&mut self, words: &mut Words<'a>) -> Result<(), BifError> {
        let line = words.take_any("\"(\"")?.line;
        let (given, values) = (self.given.len(), self.values.len());
        loop {
            let word = words.take_any("a parent's state")?;
            match (word.sign, word.text) {
                (true, ")") => break,
                (false, _) => self.given.push(word),
                _ => return Err(word.unexpected("a parent's state")),
            }
            words.skip_comma()?;
        }
        self.values.extend(words.numbers()?);
        let (given, values) = (self.given.len() - given, self.values.len() - values);
        self.rows.push((line, given, values));
        Ok(())
    }

    fn add(&self, builder: &mut NetworkBuilder) -> Result<(), BifError> {
        let line = self.child.line;
        let at = |line: usize| move |source| BifError::Network { line, source };
        let variable = self.child.text.to_owned();
        let child = builder.var(self.child.text).map_err(at(line))?;
        let mut parents: Vec<VarId> = Vec::with_capacity(self.parents.len());
        for parent in &self.parents {
            parents.push(builder.var(parent.text).map_err(at(parent.line))?);
        }
        if let Some((word, numbers)) = &self.table {
            if !parents.is_empty() {
                return Err(BifError::AmbiguousTable { line: word.line, variable });
            }
            return builder.cpt(child, &parents, numbers).map_err(at(word.line));
        }
        let states = builder.states(child).map_err(at(line))?;
        let mut rows: u64 = 1;
        for &parent in &parents {
            rows = rows.saturating_mul(builder.states(parent).map_err(at(line))? as u64);
        }
        let (found, bound) = (rows.saturating_mul(states as u64), TABLE_ENTRIES_MAX as u64);
        if found > bound {
            return Err(at(line)(NetworkError::TooLarge { what: "entries of one table", found, bound }));
        }
        let rows = rows as usize;
        let mut table = match &self.default {
            Some(row) if row.len() == states => row.repeat(rows),
            Some(row) => {
                let (found, expected) = (row.len(), states);
                return Err(at(line)(NetworkError::WrongSize { variable, found, expected }));
            }
            None => vec![0.0; rows * states],
        };
        let mut filled = vec![false; rows];
        let (mut given, mut values) = (&self.given[..], &self.values[..]);
        for &(line, given_count, value_count) in &self.rows {
            let (names, numbers);
            (names, given) = given.split_at(given_count);
            (numbers, values) = values.split_at(value_count);
            if given_count != parents.len() || value_count != states {
                let found = if given_count != parents.len() { given_count } else { value_count };
                let expected = if given_count != parents.len() { parents.len() } else { states };
                return Err(at(line)(NetworkError::WrongSize { variable, found, expected }));
            }
            let mut row = 0;
            for (&parent, name) in parents.iter().zip(names) {
                let known = builder.state_names(parent);
                let Some(state) = known.iter().position(|state| state == name.text) else {
                    let variable = builder.name(parent).map_err(at(line))?.to_owned();
                    let state = name.text.to_owned();
                    return Err(at(name.line)(NetworkError::UnknownState { variable, state }));
                };
                row = row * known.len() + state;
            }
            if core::mem::replace(&mut filled[row], true) {
                let given = names.iter().map(|name| name.text).collect::<Vec<&str>>().join(", ");
                return Err(BifError::DuplicateRow { line, variable, given });
            }
            table[row * states..(row + 1) * states].copy_from_slice(numbers);
        }
        let missing = filled.iter().filter(|&&filled| !filled).count();
        if missing > 0 && self.default.is_none() {
            return Err(BifError::MissingRows { line: self.end, variable, missing, rows });
        }
        builder.cpt(child, &parents, &table).map_err(at(line))
    }
}

/// A word, a quoted string or a sign (one of `{}()[]|,;`), with its line.
#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    line: usize,
    sign: bool,
}

impl Word<'_> {
    fn unexpected(&self, expected: &'static str) -> BifError {
        BifError::Unexpected { line: self.line, found: self.text.chars().take(80).collect(), expected }
    }
}

struct Words<'a> {
    rest: &'a str,
    line: usize,
    peeked: Option<Word<'a>>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Words<'a> {
        Words { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, peeked: None }
    }

    fn advance(&mut self, size: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(size);
        self.line += taken.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = rest;
        taken
    }

    fn next(&mut self) -> Result<Option<Word<'a>>, BifError> {
        if let Some(word) = self.peeked.take() {
            return Ok(Some(word));
        }
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.advance(blank);
            if self.rest.starts_with("//") {
                self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let Some(end) = self.rest.find("*/") else {
                    return Err(BifError::CutShort { line: self.line, expected: "the end of the comment" });
                };
                self.advance(end + 2);
            } else {
                break;
            }
        }
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        if is_sign(first) {
            return Ok(Some(Word { text: self.advance(1), line, sign: true }));
        }
        if first == '"' {
            let Some(end) = self.rest[1..].find('"') else {
                return Err(BifError::CutShort { line, expected: "the end of the string" });
            };
            let quoted = self.advance(end + 2);
            return Ok(Some(Word { text: &quoted[1..end + 1], line, sign: false }));
        }
        let end = self.rest.find(|c: char| c.is_whitespace() || is_sign(c) || c == '"').unwrap_or(self.rest.len());
        Ok(Some(Word { text: self.advance(end), line, sign: false }))
    }

    fn peek(&mut self) -> Result<Option<Word<'a>>, BifError> {
        if self.peeked.is_none() {
            self.peeked = self.next()?;
        }
        Ok(self.peeked)
    }

    fn take_any(&mut self, expected: &'static str) -> Result<Word<'a>, BifError> {
        self.next()?.ok_or(BifError::CutShort { line: self.line, expected })
    }

    /// A word that is no sign.
    fn take(&mut self, expected: &'static str) -> Result<Word<'a>, BifError> {
        let word = self.take_any(expected)?;
        if word.sign { Err(word.unexpected(expected)) } else { Ok(word) }
    }

    fn expect(&mut self, text: &str, expected: &'static str) -> Result<(), BifError> {
        let word = self.take_any(expected)?;
        if word.text == text { Ok(()) } else { Err(word.unexpected(expected)) }
    }

    /// Whether the block goes on; takes its closing brace when not.
    fn inside_block(&mut self) -> Result<bool, BifError> {
        match self.peek()? {
            Some(word) if word.sign && word.text == "}" => {
                self.peeked = None;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Err(BifError::CutShort { line: self.line, expected: "\"}\"" }),
        }
    }

    fn skip_comma(&mut self) -> Result<(), BifError> {
        if self.peek()?.is_some_and(|word| word.sign && word.text == ",") {
            self.peeked = None;
        }
        Ok(())
    }

    /// `property ... ;`, which means nothing to inference.
    fn property(&mut self) -> Result<(), BifError> {
        self.expect("property", "property")?;
        while !matches!(self.take_any("\";\"")?, Word { sign: true, text: ";", .. }) {}
        Ok(())
    }

    /// Numbers up to a semicolon, with or without commas.
    fn numbers(&mut self) -> Result<Vec<f64>, BifError> {
        let mut numbers = Vec::new();
        loop {
            let word = self.take_any("\";\"")?;
            match (word.sign, word.text) {
                (true, ";") => return Ok(numbers),
                (true, ",") => {}
                (true, _) => return Err(word.unexpected("a number or \";\"")),
                (false, text) => numbers.push(text.parse().map_err(|_| word.unexpected("a number"))?),
            }
        }
    }
}

fn is_sign(c: char) -> bool {
    matches!(c, '{' | '}' | '(' | ')' | '[' | ']' | '|' | ',' | ';')
}
