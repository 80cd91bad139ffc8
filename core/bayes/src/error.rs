//! What can go wrong, by what the caller would do about it.
use alloc::string::String;
use alloc::vec::Vec;

use crate::network::VarId;

/// Why a network, or a change to one, is refused. Names are those given to the builder.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// No variable of that name or id. Declare it first.
    #[error("no variable {name:?}")]
    UnknownVariable {
        /// The name asked for, or `#` and the id.
        name: String,
    },
    /// The variable has no such state.
    #[error("variable {variable:?} has no state {state:?}")]
    UnknownState {
        /// The variable asked.
        variable: String,
        /// The state's name, or `#` and its index.
        state: String,
    },
    /// Two variables of one name.
    #[error("variable {name:?} is declared twice")]
    DuplicateVariable {
        /// The name.
        name: String,
    },
    /// Two states of one variable share a name.
    #[error("variable {variable:?} has state {state:?} twice")]
    DuplicateState {
        /// The variable.
        variable: String,
        /// The repeated state.
        state: String,
    },
    /// A variable without states has no distribution.
    #[error("variable {variable:?} has no states")]
    NoStates {
        /// The variable.
        variable: String,
    },
    /// A parent list names one variable twice, or the child itself.
    #[error("variable {variable:?} has parent {parent:?} twice or is its own parent")]
    BadParent {
        /// The child.
        variable: String,
        /// The parent named wrongly.
        parent: String,
    },
    /// A variable's table was given twice.
    #[error("variable {variable:?} has two tables")]
    DuplicateTable {
        /// The variable.
        variable: String,
    },
    /// A variable's table was never given.
    #[error("variable {variable:?} has no table")]
    MissingTable {
        /// The variable.
        variable: String,
    },
    /// A table has the wrong number of entries.
    #[error("table of {variable:?} has {found} entries, expected {expected}")]
    WrongSize {
        /// The child.
        variable: String,
        /// Entries given.
        found: usize,
        /// States of the parents times states of the child.
        expected: usize,
    },
    /// A table entry is negative, infinite or not a number.
    #[error("table of {variable:?}, row {row} ({given}): {value} is no probability")]
    BadProbability {
        /// The child.
        variable: String,
        /// Row index; parents count row-major, the last one fastest.
        row: usize,
        /// The row's parent states, as `parent=state, ...`.
        given: String,
        /// The value found.
        value: f64,
    },
    /// A table row is too far from 1 to be a rounded distribution.
    #[error("table of {variable:?}, row {row} ({given}): sums to {sum}, expected 1 within {tolerance}")]
    RowSum {
        /// The child.
        variable: String,
        /// Row index; parents count row-major, the last one fastest.
        row: usize,
        /// The row's parent states, as `parent=state, ...`.
        given: String,
        /// The sum found.
        sum: f64,
        /// The largest distance from 1 that is accepted.
        tolerance: f64,
    },
    /// A noisy-OR child must have two states: off, then on.
    #[error("noisy-OR variable {variable:?} has {states} states, expected 2")]
    NotBinary {
        /// The child.
        variable: String,
        /// Its number of states.
        states: usize,
    },
    /// The arcs form a cycle: each variable is a parent of the next, the last of the first.
    #[error("the arcs form a cycle through {cycle:?}")]
    Cyclic {
        /// The variables on it, in arc direction.
        cycle: Vec<String>,
    },
    /// A factor has the wrong number of entries.
    #[error("factor {factor} has {found} entries, expected {expected}")]
    WrongFactorSize {
        /// Its place from 0.
        factor: usize,
        /// Entries given.
        found: usize,
        /// States of its variables, multiplied.
        expected: usize,
    },
    /// A factor names one variable twice.
    #[error("factor {factor} has variable {variable:?} twice")]
    RepeatedVariable {
        /// The factor's place from 0.
        factor: usize,
        /// The variable.
        variable: VarId,
    },
    /// A factor's entry is negative, infinite or not a number.
    #[error("factor {factor}, entry {entry}: {value} is no weight")]
    BadWeight {
        /// The factor's place from 0.
        factor: usize,
        /// Index of the entry in its table.
        entry: usize,
        /// The value found.
        value: f64,
    },
    /// More variables, states or table entries than this crate accepts ([`crate::limits`]).
    #[error("{what}: {found} is over the bound of {bound}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many were asked for.
        found: u64,
        /// How many are accepted.
        bound: u64,
    },
}

/// Why a question to a network has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// Evidence or a target names a variable that the network does not have.
    #[error("no variable {variable:?} in a network of {count}")]
    UnknownVariable {
        /// The id asked for.
        variable: VarId,
        /// Variables in the network.
        count: usize,
    },
    /// Hard evidence names a state that the variable does not have.
    #[error("evidence on {variable:?}: no state {state} of {states}")]
    UnknownState {
        /// The observed variable.
        variable: VarId,
        /// The state index given.
        state: u32,
        /// States of the variable.
        states: u32,
    },
    /// A likelihood vector is not one finite, non-negative number per state.
    #[error("likelihood of {variable:?}: {found} numbers for {states} states, or one is negative or not finite")]
    BadLikelihood {
        /// The variable.
        variable: VarId,
        /// Numbers given.
        found: usize,
        /// States of the variable.
        states: u32,
    },
    /// The network gives this evidence probability zero, so there is no posterior. Doubt the evidence or the zeros.
    #[error("the evidence has probability zero")]
    Impossible,
    /// The exact tree needs more table entries than allowed. Shrink the network or raise the bound; nothing was allocated.
    #[error("the junction tree needs {entries} table entries, over the bound of {bound}")]
    TooLarge {
        /// Entries of the smallest tree found; the largest honoured bound where it is larger.
        entries: u64,
        /// The bound in force.
        bound: u64,
    },
}
