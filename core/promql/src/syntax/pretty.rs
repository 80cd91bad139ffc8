//! Tree to text over several lines, as Prometheus' `format_query` breaks them.
use super::print::{Printer, aggregation, operator, times};
use crate::Expr;
use crate::expr::{Kind, Node};
use alloc::string::String;
use alloc::vec::Vec;

/// Longest part that stays on one line, in bytes.
const LINE_MAX: usize = 100;

/// The expression over several lines: what is longer than 100 bytes is broken and indented, part by part.
pub fn format_query(expr: &Expr) -> String {
    let printer = Printer { selectors: &expr.selectors, as_written: true };
    pretty(printer, &expr.root, 0)
}

/// What `write` appends to an empty text.
fn text(write: impl FnOnce(&mut String) -> core::fmt::Result) -> String {
    let mut out = String::new();
    // Nothing that is written here fails, and a text takes whatever it is given.
    let _ = write(&mut out);
    out
}

fn pretty(printer: Printer<'_>, node: &Node, level: usize) -> String {
    let indent = "  ".repeat(level);
    let whole = text(|out| printer.node(node, out));
    let inner = |node: &Node| pretty(printer, node, level + 1);
    let splits = whole.len() > LINE_MAX;
    match &node.kind {
        // What is split takes its indent from its parts.
        Kind::Unary { minus, of } => {
            let sign = if *minus { "-" } else { "+" };
            alloc::format!("{indent}{sign}{}", pretty(printer, of, level).trim())
        }
        // Subqueries never get one of their own.
        Kind::Subquery(_) if !splits => whole,
        Kind::Subquery(subquery) => pretty(printer, &subquery.of, level) + &text(|out| times(subquery, out)),
        _ if !splits => indent + &whole,
        Kind::Binary(b) => {
            let (left, right) = (inner(&b.left), inner(&b.right));
            alloc::format!("{left}\n{indent}{}\n{right}", text(|out| operator(b, out)))
        }
        Kind::Paren(of) => alloc::format!("{indent}(\n{}\n{indent})", inner(of)),
        Kind::Call { func, args } => {
            let args: Vec<String> = args.iter().map(inner).collect();
            alloc::format!("{indent}{}(\n{}\n{indent})", func.signature().name, args.join(",\n"))
        }
        Kind::Info(info) => {
            let mut args = alloc::vec![inner(&info.of)];
            args.extend(
                info.given.iter().map(|given| alloc::format!("{indent}  {}", text(|out| printer.given(given, out)))),
            );
            alloc::format!("{indent}info(\n{}\n{indent})", args.join(",\n"))
        }
        Kind::Aggregate(of) => {
            let parameter = of.parameter.as_ref().map_or(String::new(), |p| inner(p) + ",\n");
            let name = text(|out| aggregation(of, out));
            alloc::format!("{indent}{name}(\n{parameter}{}\n{indent})", inner(&of.of))
        }
        Kind::Number(_) | Kind::Text(_) | Kind::Instant(_) | Kind::Range(_) => indent + &whole,
    }
}
