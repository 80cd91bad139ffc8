//! The parts of an expression, each an expression of its own: for people who ask where its value comes from.
use crate::Expr;
use crate::expr::{Kind, Node, Type};
use alloc::vec::Vec;

/// Most parts that are told apart; a longer expression has some that are not.
pub const PARTS_MAX: usize = 100;

/// What becomes of the elements that a part is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// They are read: the selector of this number.
    Reads(usize),
    /// Those stay whose value compares so with a number.
    Compares,
    /// Those of two vectors are brought together by their labels.
    Joins,
    /// Something else.
    Other,
}

/// A part of an expression.
#[derive(Clone, Debug)]
pub struct Part {
    /// How many parts it stands in.
    pub depth: usize,
    /// What becomes of the elements in it.
    pub role: Role,
    /// The part. Its selectors are those of the whole, numbers and all.
    pub expr: Expr,
}

impl Expr {
    /// The parts that have a value of their own, the whole first, each before those that it is made of; numbers, texts and
    /// parentheses left out. At most [`PARTS_MAX`].
    pub fn parts(&self) -> Vec<Part> {
        let (mut parts, mut open) = (Vec::new(), alloc::vec![(&self.root, 0)]);
        while let Some((node, depth)) = open.pop() {
            let node = node.unwrapped();
            if matches!(node.kind, Kind::Number(_) | Kind::Text(_)) {
                continue;
            }
            if parts.len() == PARTS_MAX {
                break;
            }
            let expr = Expr { root: node.clone(), ..self.clone() };
            parts.push(Part { depth, role: role(node), expr });
            open.extend(made_of(node).into_iter().rev().map(|node| (node, depth + 1)));
        }
        parts
    }
}

fn role(node: &Node) -> Role {
    let is_vector = |node: &Node| node.result_type() == Type::Vector;
    match &node.kind {
        Kind::Instant(index) | Kind::Range(index) => Role::Reads(*index),
        Kind::Binary(it) if is_vector(&it.left) && is_vector(&it.right) => Role::Joins,
        Kind::Binary(it) if it.op.compares() && !it.bool => Role::Compares,
        _ => Role::Other,
    }
}

/// The nodes that a node's value is computed from, in reading order.
fn made_of(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Number(_) | Kind::Text(_) | Kind::Instant(_) | Kind::Range(_) => Vec::new(),
        Kind::Paren(of) | Kind::Unary { of, .. } => alloc::vec![&**of],
        Kind::Subquery(it) => alloc::vec![&it.of],
        Kind::Binary(it) => alloc::vec![&it.left, &it.right],
        Kind::Call { args, .. } => args.iter().collect(),
        Kind::Info(it) => alloc::vec![&it.of],
        Kind::Aggregate(it) => it.parameter.iter().chain([&it.of]).collect(),
    }
}
