//! Types of the parts of a tree, in the order in which Prometheus checks them; and how far back its selectors read.
use super::info;
use super::parse::Wrong;
use crate::expr::{Aggregate, At, Binary, Expr, Group, Kind, Node, Selector, Subquery, Type};
use crate::function::{AggOp, Func};
use alloc::format;

pub(super) fn check(expr: &mut Expr) -> Result<(), Wrong> {
    node(&expr.root, &expr.selectors)?;
    info::resolve(expr);
    expr.bind_durations();
    expr.by_query = expr.depends_on_bounds();
    note_reach(expr);
    Ok(())
}

/// Notes at each selector what depends on other parts: how much further back the subqueries around it read, and when info
/// series are read.
pub(crate) fn note_reach(expr: &mut Expr) {
    info::note_references(expr);
    reach(&expr.root, 0, &mut expr.selectors);
}

/// Checks a node and what is below it; says its type.
fn node(of: &Node, selectors: &[Selector]) -> Result<Type, Wrong> {
    match &of.kind {
        Kind::Number(_) | Kind::Text(_) => {}
        Kind::Instant(index) | Kind::Range(index) => {
            if !selectors[*index].matchers.iter().any(|m| !m.matches("")) {
                return Err(Wrong::syntax(of.span, "vector selector must contain at least one non-empty matcher"));
            }
        }
        Kind::Subquery(subquery) => {
            let found = node(&subquery.of, selectors)?;
            if found != Type::Vector {
                let message = format!("subquery is only allowed on instant vector, got {} instead", found.word());
                return Err(Wrong::syntax(of.span, message));
            }
        }
        Kind::Paren(inner) => {
            node(inner, selectors)?;
        }
        Kind::Unary { of: inner, .. } => {
            let found = node(inner, selectors)?;
            if !matches!(found, Type::Scalar | Type::Vector) {
                let message = "unary expression only allowed on expressions of type scalar or instant vector";
                return Err(Wrong::syntax(of.span, format!("{message}, got {:?}", found.name())));
            }
        }
        Kind::Binary(b) => binary(of, b, selectors)?,
        Kind::Call { func, args } => call(of, *func, args, selectors)?,
        Kind::Info(_) => unreachable!("made of a call once that is checked"),
        Kind::Aggregate(aggregate) => self::aggregate(aggregate, selectors)?,
    }
    Ok(of.result_type())
}

fn expect(of: &Node, wanted: Type, context: &str, selectors: &[Selector]) -> Result<(), Wrong> {
    let found = node(of, selectors)?;
    if found == wanted {
        return Ok(());
    }
    let message = format!("expected type {} in {context}, got {}", wanted.name(), found.name());
    Err(Wrong::syntax(of.span, message))
}

fn aggregate(aggregate: &Aggregate, selectors: &[Selector]) -> Result<(), Wrong> {
    expect(&aggregate.of, Type::Vector, "aggregation expression", selectors)?;
    let Some((wanted, parameter)) = aggregate.op.parameter().zip(aggregate.parameter.as_ref()) else { return Ok(()) };
    expect(parameter, wanted, "aggregation parameter", selectors)?;
    match &parameter.bare().kind {
        Kind::Text(label) if aggregate.op == AggOp::CountValues && label.is_empty() => {
            Err(Wrong::syntax(parameter.span, "invalid label name \"\" in count_values()"))
        }
        _ => Ok(()),
    }
}

fn binary(of: &Node, b: &Binary, selectors: &[Selector]) -> Result<(), Wrong> {
    let left = node(&b.left, selectors)?;
    let right = node(&b.right, selectors)?;
    let vectors = left == Type::Vector && right == Type::Vector;
    let at_op = |message: &str| Err(Wrong::syntax(b.op_span, message));
    if b.bool && !b.op.compares() {
        return at_op("bool modifier can only be used on comparison operators");
    }
    if b.op.compares() && !b.bool && left == Type::Scalar && right == Type::Scalar {
        return at_op("comparisons between scalars must use BOOL modifier");
    }
    if b.op.trims() && left == Type::Scalar && right == Type::Scalar {
        return at_op(&format!("operator {:?} not allowed for Scalar operations", b.op.text()));
    }
    if let Group::Left(include) | Group::Right(include) = &b.matching.group
        && let Some(both) = b.matching.labels.iter().find(|l| b.matching.on && include.contains(l))
    {
        return at_op(&format!("label {both:?} must not occur in ON and GROUP clause at once"));
    }
    for (side, found) in [(&b.left, left), (&b.right, right)] {
        if !matches!(found, Type::Scalar | Type::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(Wrong::syntax(side.span, message));
        }
    }
    if !vectors && !b.matching.labels.is_empty() {
        return Err(Wrong::syntax(of.span, "vector matching only allowed between instant vectors"));
    }
    if !vectors && !b.matching.fill.is_none() {
        return Err(Wrong::syntax(of.span, "filling in missing series only allowed between instant vectors"));
    }
    if vectors && b.op.is_set() && b.matching.group != Group::None {
        return Err(Wrong::syntax(of.span, format!("no grouping allowed for {:?} operation", b.op.text())));
    }
    if vectors && b.op.is_set() && !b.matching.fill.is_none() {
        return Err(Wrong::syntax(of.span, "filling in missing series not allowed for set operators"));
    }
    if !vectors && b.op.is_set() {
        let message = format!("set operator {:?} not allowed in binary scalar expression", b.op.text());
        return Err(Wrong::syntax(of.span, message));
    }
    Ok(())
}

fn call(of: &Node, func: Func, args: &[Node], selectors: &[Selector]) -> Result<(), Wrong> {
    let signature = func.signature();
    let (name, known, given) = (signature.name, signature.arguments.len(), args.len());
    let count_error = match signature.optional {
        None if given != known => Some(format!("expected {known} argument(s) in call to {name:?}, got {given}")),
        Some(_) if given + 1 < known => {
            Some(format!("expected at least {} argument(s) in call to {name:?}, got {given}", known - 1))
        }
        Some(more) if given > (known - 1).saturating_add(more) => {
            let most = known - 1 + more;
            Some(format!("expected at most {most} argument(s) in call to {name:?}, got {given}"))
        }
        _ => None,
    };
    if let Some(message) = count_error {
        return Err(Wrong::syntax(of.span, message));
    }
    if func == Func::Info
        && let Some(labels) = args.get(1)
    {
        info::check(of, labels, selectors)?;
    }
    for (i, arg) in args.iter().enumerate() {
        // Of the second argument of `info` not even one matcher is asked for.
        if func == Func::Info && i == 1 {
            continue;
        }
        let wanted = signature.arguments[i.min(known - 1)];
        let found = node(arg, selectors)?;
        if found != wanted {
            let message = format!("expected type {} in call to function {name:?}, got {}", wanted.name(), found.name());
            return Err(Wrong::syntax(arg.span, message));
        }
    }
    Ok(())
}

fn reach(of: &Node, outer: i64, selectors: &mut [Selector]) {
    match &of.kind {
        Kind::Number(_) | Kind::Text(_) => {}
        Kind::Instant(index) | Kind::Range(index) => selectors[*index].reach = outer,
        Kind::Subquery(subquery) => {
            let Subquery { of, range, offset, at, .. } = &**subquery;
            let fixed = outer == i64::MAX || matches!(at, Some(At::Time(_)));
            let further = if fixed { i64::MAX } else { outer.saturating_add(*range).saturating_add(*offset) };
            reach(of, further, selectors);
        }
        Kind::Paren(of) | Kind::Unary { of, .. } => reach(of, outer, selectors),
        Kind::Binary(b) => {
            reach(&b.left, outer, selectors);
            reach(&b.right, outer, selectors);
        }
        Kind::Info(info) => {
            reach(&info.of, outer, selectors);
            selectors[info.selector].reach = outer;
        }
        Kind::Call { args, .. } => args.iter().for_each(|arg| reach(arg, outer, selectors)),
        Kind::Aggregate(aggregate) => {
            aggregate.parameter.iter().for_each(|parameter| reach(parameter, outer, selectors));
            reach(&aggregate.of, outer, selectors);
        }
    }
}
