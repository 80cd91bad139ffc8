//! When a shift began: CUSUM says that there was one and roughly when, maximum likelihood says when.
use alloc::vec::Vec;
use faultline_model::float;

/// Shift that CUSUM is tuned to, in scales: half of the smallest shift of interest.
const SLACK: f64 = 0.5;
/// Accumulated excess from which on there was a shift.
const ALARM: f64 = 8.0;
/// No single value may speak louder than this many scales.
const CLIP: f64 = 8.0;

/// Index of the first value after a lasting shift, if there was one.
///
/// - `residuals`: `(x - expected) / scale` of equally long windows, oldest first; no unit.
/// - `side`: 1 for a shift upwards, -1 downwards.
/// - Returns the start of the shift that CUSUM accumulated most for, refined by maximum likelihood of a mean shift
///   from the known baseline; `None` where it never passed its alarm. O(n).
///
/// Source: Page, "Continuous Inspection Schemes", Biometrika 41, 1954; Hinkley, "Inference about the change-point from
/// cumulative sum tests", Biometrika 58, 1971.
pub fn onset(residuals: &[f64], side: f64) -> Option<usize> {
    let z: Vec<f64> = residuals.iter().map(|&r| float::max(float::min(r * side, CLIP), -CLIP)).collect();
    let (mut sum, mut start) = (0.0, 0);
    let (mut most, mut run) = (ALARM, None);
    for (i, &value) in z.iter().enumerate() {
        sum += value - SLACK;
        if sum <= 0.0 {
            (sum, start) = (0.0, i + 1);
        } else if sum > most {
            (most, run) = (sum, Some((start, i)));
        }
    }
    let (start, end) = run?;
    // Gain of a shift at tau, with the mean before it known to be 0: (sum of z from tau)^2 / count.
    let (mut tail, mut best, mut at) = (0.0, 0.0, start);
    for i in (start..=end).rev() {
        tail += z[i];
        let gain = if tail > 0.0 { tail * tail / (end - i + 1) as f64 } else { 0.0 };
        if gain > best {
            (best, at) = (gain, i);
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_where_it_is() {
        for (residuals, side, expected) in [
            (&[0.0, 0.3, -0.5, 0.2, 6.0, 7.0, 5.5, 6.2][..], 1.0, Some(4)),
            (&[0.0, 0.3, -0.5, 0.2, -6.0, -7.0, -5.5], -1.0, Some(4)),
            (&[0.0, 0.3, -0.5, 0.2, -6.0, -7.0, -5.5], 1.0, None),
            // Over again: the shift that was, not the calm after it.
            (&[0.0, 5.0, 5.0, 5.0, 0.0, -1.0, 0.0], 1.0, Some(1)),
            // One wild value is clipped and is no lasting shift.
            (&[0.0, 0.0, 1e9, 0.0, 0.0], 1.0, None),
            // A small lasting shift accumulates.
            (&[0.0, -0.2, 1.8, 2.1, 1.9, 2.0, 2.2, 1.8, 2.1], 1.0, Some(2)),
            (&[], 1.0, None),
        ] {
            assert_eq!(onset(residuals, side), expected, "{residuals:?} {side}");
        }
    }
}
