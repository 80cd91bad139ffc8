//! The parsed form of a template, and how its parts print in error messages.
use super::quote;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// A list of nodes, run in order.
pub(super) type List = Vec<Node>;

/// One step of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If { pipe: Pipe, then: List, otherwise: List },
    With { pipe: Pipe, then: List, otherwise: List },
    Range { pipe: Pipe, body: List, otherwise: List },
    Template { start: usize, name: String, pipe: Option<Pipe> },
    Break,
    Continue,
}

/// `$a, $b := command | command`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipe {
    pub start: usize,
    /// `=` instead of `:=`.
    pub assigns: bool,
    /// Names with their `$`.
    pub variables: Vec<String>,
    pub commands: Vec<Command>,
}

/// `operand operand ...`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub start: usize,
    pub operands: Vec<Operand>,
}

/// One operand, with its offset in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operand {
    pub start: usize,
    pub term: Term,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Int {
        text: String,
        value: i64,
    },
    /// A number that a Go `int` does not hold.
    Overflow {
        text: String,
    },
    Float {
        text: String,
        value: f64,
    },
    /// As written, and what it means.
    Str {
        quoted: String,
        value: String,
    },
    Field(Vec<String>),
    /// The first name carries the `$`.
    Variable(Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
    Chain(Box<Operand>, Vec<String>),
}

fn join(f: &mut fmt::Formatter<'_>, items: &[impl ToString], between: &str) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        f.write_str(&item.to_string())?;
    }
    Ok(())
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            join(f, &self.variables, ", ")?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        join(f, &self.commands, " | ")
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, &self.operands, " ")
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Bool(value) => write!(f, "{value}"),
            Term::Int { text, .. } | Term::Overflow { text } | Term::Float { text, .. } => f.write_str(text),
            Term::Str { quoted, .. } => f.write_str(quoted),
            Term::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Term::Variable(names) => join(f, names, "."),
            Term::Function(name) => f.write_str(name),
            Term::Pipe(pipe) => write!(f, "({pipe})"),
            Term::Chain(first, names) => {
                write!(f, "{first}")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}

/// How a `template` node prints.
pub(super) fn shown_template(name: &str, pipe: Option<&Pipe>) -> String {
    match pipe {
        Some(pipe) => alloc::format!("{{{{template {} {pipe}}}}}", quote(name)),
        None => alloc::format!("{{{{template {}}}}}", quote(name)),
    }
}
