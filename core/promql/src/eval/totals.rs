//! Sums over many rows, several instants side by side: exact ones, as [`ExactSum`](faultline_model::ExactSum) has them, without its
//! cost where a check of what rounding took says that there is no doubt about the last bit.
use super::columns::ABSENT;
use crate::function::AggOp;
use crate::range::two_sum;

/// Instants that are summed up side by side: what rows hold of them is read in whole lines of memory.
pub(super) const LANES: usize = 16;

/// Running sums, with the sum of what rounding took from each, and how much rounding took from that at most.
///
/// Source: that the result is rounded right is shown by both ends of what it may be, after Zhu and Hayes, "Correct rounding and a hybrid
/// approach to exact floating-point summation", SIAM J. Sci. Comput. 31, 2009.
#[derive(Default)]
pub(super) struct Totals {
    counts: [u32; LANES],
    sums: [f64; LANES],
    rests: [f64; LANES],
    lost: [f64; LANES],
}

impl Totals {
    /// Whether an aggregation is one of these.
    pub(super) fn serve(op: AggOp) -> bool {
        matches!(op, AggOp::Sum | AggOp::Avg | AggOp::Count | AggOp::Group)
    }

    /// Adds a row's values at these instants; [`ABSENT`] where it has none.
    #[inline]
    pub(super) fn add(&mut self, values: &[f64; LANES]) {
        for (lane, &x) in values.iter().enumerate() {
            let there = x.to_bits() != ABSENT;
            let x = if there { x } else { 0.0 };
            self.counts[lane] = self.counts[lane].wrapping_add(u32::from(there));
            let (sum, rest) = two_sum(self.sums[lane], x);
            let (rests, lost) = two_sum(self.rests[lane], rest);
            (self.sums[lane], self.rests[lane]) = (sum, rests);
            self.lost[lane] += size(lost);
        }
    }

    /// The aggregate; nothing of no values, and where it takes the long way to be sure of it.
    pub(super) fn value(&self, op: AggOp, lane: usize) -> Option<f64> {
        match op {
            _ if self.counts[lane] == 0 => None,
            AggOp::Count => Some(f64::from(self.counts[lane])),
            AggOp::Group => Some(1.0),
            AggOp::Sum => self.sum(lane),
            AggOp::Avg => Some(self.sum(lane)? / f64::from(self.counts[lane])),
            _ => None,
        }
    }

    /// The sum, rounded once. Of values that are not finite, or whose sum is not on the way, nothing is known: what rounding
    /// took is no number then.
    fn sum(&self, lane: usize) -> Option<f64> {
        let (sum, rest, lost) = (self.sums[lane], self.rests[lane], self.lost[lane]);
        // Sizes were added up with rounding, too, and the two ends are rounded.
        let doubt = if lost == 0.0 { 0.0 } else { 2.0 * (lost + f64::EPSILON * size(rest)) };
        let (low, high) = (sum + (rest - doubt), sum + (rest + doubt));
        // Zero has one sign.
        (low == high).then_some(low + 0.0)
    }
}

#[inline]
fn size(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & !(1 << 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use faultline_model::ExactSum;

    /// Numbers of every kind and size, many of which cancel: what is said is what the exact sum says, and of usual ones something is.
    #[test]
    fn what_is_sure_is_exact() {
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 11
        };
        let (mut sure, mut of) = (0, 0);
        for round in 0..20_000 {
            let terms: Vec<f64> = (0..1 + next() % 60)
                .map(|_| {
                    let x = (next() as f64 - 4e15) * [1.0, 0.1, 1e-300, 1e290, 1e-320, 3e-16][(next() % 6) as usize];
                    match round % 5 {
                        0 => x,
                        1 => (next() % 1000) as f64 / 8.0,
                        2 => (next() % 1000) as f64 / 7.0 - 70.0,
                        3 => [0.1, -0.1, 1e17, -1e17, 0.3, -0.0, f64::MAX, -f64::MAX][(next() % 8) as usize],
                        _ => f64::from_bits(next() << 11 | next() % 2048),
                    }
                })
                .collect();
            let (mut totals, mut exact) = (Totals::default(), ExactSum::default());
            for x in &terms {
                let mut values = [f64::from_bits(ABSENT); LANES];
                values[3] = *x;
                totals.add(&values);
                exact.add(*x);
            }
            assert_eq!((totals.value(AggOp::Count, 3), totals.value(AggOp::Sum, 4)), (Some(terms.len() as f64), None));
            if let Some(sum) = totals.value(AggOp::Sum, 3) {
                assert_eq!(sum.to_bits(), exact.value().to_bits(), "{terms:?}");
                sure += usize::from(round % 5 == 1 || round % 5 == 2);
            }
            of += usize::from(round % 5 == 1 || round % 5 == 2);
        }
        assert!(sure == of, "{sure} of {of}");
    }
}
