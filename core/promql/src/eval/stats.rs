//! Which selectors Prometheus reads without buckets: of these it compares each histogram with the one before as it reads them.
use crate::expr::{Kind, Node};
use crate::function::Func;
use alloc::vec;
use alloc::vec::Vec;

/// For each selector, whether nothing but count and sum is asked of its histograms.
///
/// Source: `detectHistogramStatsDecoding` of Prometheus 3.15. It changes which resets are known, what there is to say of sums, and
/// which histograms are held for equal.
pub(super) fn stats_alone(root: &Node, selectors: usize) -> Vec<bool> {
    let mut alone = vec![false; selectors];
    visit(root, false, &mut alone);
    alone
}

/// - `asked`: whether count or sum is asked of what stands here.
fn visit(node: &Node, asked: bool, alone: &mut [bool]) {
    match &node.kind {
        Kind::Number(_) | Kind::Text(_) => {}
        Kind::Instant(index) | Kind::Range(index) => alone[*index] = asked,
        // Everything below a subquery needs its buckets, as below a function or an operator that looks at them.
        Kind::Subquery(_) => {}
        Kind::Binary(b) if b.op.trims() => {}
        Kind::Paren(of) | Kind::Unary { of, .. } => visit(of, asked, alone),
        Kind::Binary(b) => {
            visit(&b.left, asked, alone);
            visit(&b.right, asked, alone);
        }
        Kind::Call { func, args } => {
            use Func::{HistogramAvg, HistogramCount, HistogramFraction, HistogramQuantile, HistogramQuantiles};
            use Func::{HistogramStddev, HistogramStdvar, HistogramSum};
            let asked = match func {
                HistogramFraction | HistogramQuantile | HistogramQuantiles | HistogramStddev | HistogramStdvar => {
                    return;
                }
                HistogramAvg | HistogramCount | HistogramSum => true,
                _ => asked,
            };
            args.iter().for_each(|arg| visit(arg, asked, alone));
        }
        Kind::Info(info) => visit(&info.of, asked, alone),
        Kind::Aggregate(aggregate) => {
            aggregate.parameter.iter().for_each(|parameter| visit(parameter, asked, alone));
            visit(&aggregate.of, asked, alone);
        }
    }
}
