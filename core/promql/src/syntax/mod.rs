//! Text to expression and back.
mod check;
mod info;
mod length;
mod lex;
mod literal;
mod parse;
mod pretty;
mod print;
mod time;

pub(crate) use check::note_reach;
pub(crate) use literal::{format_number, number};
pub use parse::{parse, parse_with};
pub use pretty::format_query;

/// Longest text that is parsed, in bytes.
pub(crate) const TEXT_MAX: usize = 256 * 1024;

/// Deepest nesting of a tree: bounds the stack of everything that walks it.
pub(crate) const DEPTH_MAX: usize = 250;
