//! The bounds of this crate, in one place; each is checked before memory is taken.

/// Variables in one network.
pub const VARIABLES_MAX: usize = 1 << 20;
/// States of one variable.
pub const STATES_MAX: usize = 1 << 16;
/// Entries of one conditional probability table.
pub const TABLE_ENTRIES_MAX: usize = 1 << 24;
/// Table entries of a junction tree when the caller has no opinion: 8 MiB, some ten milliseconds a pass.
pub const TREE_ENTRIES_DEFAULT: u64 = 1 << 20;
/// Largest bound on a junction tree that is honoured: 16 GiB; a larger one counts as this.
pub const TREE_ENTRIES_MAX: u64 = 1 << 31;
/// How far a table row may miss 1 and still be taken as rounded; it is then divided by its sum.
pub const ROW_TOLERANCE: f64 = 1e-6;
/// Combinations of states that conditioning goes through at most.
pub const CASES_MAX: u64 = 1 << 10;
/// Rounds of loopy belief propagation at most.
pub const ROUNDS_MAX: u32 = 200;
