//! The least of a smooth convex function: limited-memory BFGS from the origin.
//!
//! The start, the order of every sum and the most steps are fixed, so the same function gives the same bits on any machine.
//! Source: Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 7.5; backtracking as in algorithm 3.1.
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::float;

/// Pairs of steps and changes of the gradient that stand for the curvature.
const MEMORY: usize = 10;
/// Steps at most; a function of some thousand parameters takes about a hundred.
const STEPS_MAX: usize = 300;
/// Halvings of one step at most.
const HALVINGS_MAX: usize = 40;
/// Share of what the slope promises that a step must bring.
const ARMIJO: f64 = 1e-4;

/// Goes down from the origin until no part of the gradient is larger than `tolerance`, or [`STEPS_MAX`] steps.
///
/// - `size`: number of parameters.
/// - `at`: the value at a point; writes the gradient there, whose place comes zeroed.
pub(crate) fn least(size: usize, tolerance: f64, mut at: impl FnMut(&[f64], &mut [f64]) -> f64) -> Vec<f64> {
    let (mut x, mut gradient) = (vec![0.0; size], vec![0.0; size]);
    let mut value = at(&x, &mut gradient);
    let mut memory: VecDeque<Pair> = VecDeque::new();
    for _ in 0..STEPS_MAX {
        let steepest = gradient.iter().fold(0.0, |most, part| float::max(most, float::abs(*part)));
        if steepest <= tolerance {
            break;
        }
        let mut way = direction(&gradient, &memory);
        let mut slope = dot(&way, &gradient);
        if slope >= 0.0 {
            // Rounding has spoiled the curvature: straight down.
            memory.clear();
            way = direction(&gradient, &memory);
            slope = dot(&way, &gradient);
        }
        let mut length = if memory.is_empty() { 1.0 / float::max(1.0, float::sqrt(-slope)) } else { 1.0 };
        let mut taken = None;
        for _ in 0..HALVINGS_MAX {
            let next: Vec<f64> = x.iter().zip(&way).map(|(x, way)| x + length * way).collect();
            let mut there = vec![0.0; size];
            let found = at(&next, &mut there);
            if found <= value + ARMIJO * length * slope {
                taken = Some((next, there, found));
                break;
            }
            length *= 0.5;
        }
        // Nothing below that numbers can tell apart.
        let Some((next, there, found)) = taken else { break };
        let step: Vec<f64> = next.iter().zip(&x).map(|(next, x)| next - x).collect();
        let change: Vec<f64> = there.iter().zip(&gradient).map(|(there, here)| there - here).collect();
        let bend = dot(&step, &change);
        if bend > 0.0 {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back(Pair { step, change, bend });
        }
        (x, gradient, value) = (next, there, found);
    }
    x
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// Their product.
    bend: f64,
}

/// The quasi-Newton direction (algorithm 7.4).
fn direction(gradient: &[f64], memory: &VecDeque<Pair>) -> Vec<f64> {
    let mut way: Vec<f64> = gradient.iter().map(|part| -part).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let share = dot(&pair.step, &way) / pair.bend;
        way.iter_mut().zip(&pair.change).for_each(|(way, change)| *way -= share * change);
        shares.push(share);
    }
    if let Some(pair) = memory.back() {
        let scale = pair.bend / dot(&pair.change, &pair.change);
        way.iter_mut().for_each(|way| *way *= scale);
    }
    for (pair, share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = dot(&pair.change, &way) / pair.bend;
        way.iter_mut().zip(&pair.step).for_each(|(way, step)| *way += (share - back) * step);
    }
    way
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quadratic whose least is known, badly scaled, and one of which a part is flat.
    #[test]
    fn the_least_is_found() {
        for stretch in [1.0, 1e4] {
            let found = least(3, 1e-9, |x, gradient| {
                let parts = [(1.0, 3.0), (stretch, -2.0), (0.0, 0.0)];
                let mut value = 0.0;
                for (at, (weight, centre)) in parts.into_iter().enumerate() {
                    value += 0.5 * weight * (x[at] - centre) * (x[at] - centre);
                    gradient[at] = weight * (x[at] - centre);
                }
                value
            });
            for (found, expected) in found.iter().zip([3.0, -2.0, 0.0]) {
                assert!(float::abs(found - expected) < 1e-6, "{found} {expected}");
            }
        }
    }
}
