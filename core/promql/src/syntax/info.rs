//! `info(vector, {labels})`: its second argument, and the selector of the series whose labels are added.
use super::parse::Wrong;
use crate::bind::walk;
use crate::expr::{At, Computed, Expr, Extent, Info, Kind, Node, Outside, Selector, Type};
use crate::function::Func;
use crate::{MatchOp, Matcher};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use faultline_model::labels::NAME;

/// Checks the second argument: label matchers without a metric's name before them.
pub(super) fn check(call: &Node, labels: &Node, selectors: &[Selector]) -> Result<(), Wrong> {
    let found = labels.result_type();
    if found != Type::Vector {
        let message = format!("expected type instant vector in call to function \"info\", got {}", found.name());
        return Err(Wrong::syntax(call.span, message));
    }
    match labels.kind {
        Kind::Instant(index) if selectors[index].outside.0 => {
            Err(Wrong::syntax(labels.span, "expected label selectors only, got vector selector instead"))
        }
        Kind::Instant(_) => Ok(()),
        _ => Err(Wrong::syntax(labels.span, "expected label selectors only")),
    }
}

/// Makes every call of `info` a node of its own, with the selector of what it adds labels from.
pub(super) fn resolve(expr: &mut Expr) {
    let selectors = &mut expr.selectors;
    let result: Result<(), ()> = walk(&mut expr.root, &mut |node| {
        if let Kind::Call { func: Func::Info, args } = &mut node.kind {
            let mut args = core::mem::take(args).into_iter();
            let of = args.next().expect("checked to be one or two arguments");
            let (selector, given) = match args.next().map(|labels| labels.kind) {
                Some(Kind::Instant(index)) => (index, Some(selectors[index].matchers.clone())),
                _ => (selectors.len(), None),
            };
            let matchers = effective(given.clone().unwrap_or_default());
            let (extent, computed) = (Extent::Within, Computed::default());
            let outside = selectors.get(selector).map_or(Outside(false, 0), |held| held.outside);
            let found = Selector { matchers, range: 0, offset: 0, at: None, reach: 0, extent, outside, computed };
            match selectors.get_mut(selector) {
                Some(held) => *held = found,
                None => selectors.push(found),
            }
            node.kind = Kind::Info(Box::new(Info { of, selector, given }));
        }
        Ok(())
    });
    debug_assert!(result.is_ok());
}

/// Sets when info series are read, which depends on when other selectors are.
pub(crate) fn note_references(expr: &mut Expr) {
    let selectors = &mut expr.selectors;
    let result: Result<(), ()> = walk(&mut expr.root, &mut |node| {
        if let Kind::Info(info) = &node.kind {
            let (at, offset) = reference(&info.of, selectors);
            (selectors[info.selector].at, selectors[info.selector].offset) = (at, offset);
        }
        Ok(())
    });
    debug_assert!(result.is_ok());
}

/// What info series are selected by: `target_info` where nothing else names any, all `..._info` where some are ruled out.
fn effective(mut matchers: Vec<Matcher>) -> Vec<Matcher> {
    let named = |m: &&Matcher| m.name == NAME;
    let positive = |m: &Matcher| matches!(m.op, MatchOp::Equal | MatchOp::Regex);
    if matchers.iter().filter(named).any(positive) {
        if let Some(place) = matchers.iter().position(Matcher::is_metric) {
            matchers[..=place].rotate_right(1);
        }
        return matchers;
    }
    let (op, value) = match matchers.iter().any(|m| named(&m)) {
        true => (MatchOp::Regex, ".+_info"),
        false => (MatchOp::Equal, "target_info"),
    };
    matchers.splice(..0, Matcher::new(NAME, op, value));
    matchers
}

/// When a selector is read, relative to the instant at which the call is evaluated.
type Reference = (Option<At>, i64);

/// When info series are read: when every selector of `of` is, where that is the same for all of them; else when the call
/// is evaluated.
fn reference(of: &Node, selectors: &[Selector]) -> Reference {
    let mut found: Option<Reference> = None;
    let mut uniform = true;
    let selects = references(of, selectors, (None, 0), &mut |reference| match found {
        None => found = Some(reference),
        Some(first) => uniform &= same(first, reference),
    });
    found.filter(|_| uniform && selects).unwrap_or((None, 0))
}

fn same((a_at, a_offset): Reference, (b_at, b_offset): Reference) -> bool {
    match (a_at, b_at) {
        (Some(At::Time(a)), Some(At::Time(b))) => {
            a.plus(a_offset.saturating_neg()) == b.plus(b_offset.saturating_neg())
        }
        _ => a_at == b_at && a_offset == b_offset,
    }
}

/// Shows the reference of every selector below; says whether every vector below comes from selectors.
///
/// - `outer`: what the subqueries around add.
fn references(of: &Node, selectors: &[Selector], outer: Reference, show: &mut dyn FnMut(Reference)) -> bool {
    let within = |(at, offset): Reference| match at {
        Some(_) => (at, offset),
        None => (outer.0, offset.saturating_add(outer.1)),
    };
    let is_vector = |node: &&Node| matches!(node.result_type(), Type::Vector | Type::Matrix);
    let mut all = |nodes: &[&Node], outer: Reference| {
        let mut any = false;
        let mut every = true;
        for node in nodes.iter().filter(|node| is_vector(node)) {
            any = true;
            every &= references(node, selectors, outer, show);
        }
        any && every
    };
    match &of.kind {
        Kind::Number(_) | Kind::Text(_) => false,
        Kind::Instant(index) | Kind::Range(index) => {
            show(within((selectors[*index].at, selectors[*index].offset)));
            true
        }
        Kind::Subquery(s) => all(&[&s.of], within((s.at, s.offset))),
        Kind::Paren(of) | Kind::Unary { of, .. } => all(&[of], outer),
        Kind::Binary(b) => all(&[&b.left, &b.right], outer),
        Kind::Call { func: Func::Info, args } => all(&[&args[0]], outer),
        Kind::Call { args, .. } => all(&args.iter().collect::<Vec<&Node>>(), outer),
        Kind::Info(info) => all(&[&info.of], outer),
        Kind::Aggregate(aggregate) => all(&[&aggregate.of], outer),
    }
}
