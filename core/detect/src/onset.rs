//! When a shift began: CUSUM says that there was one and roughly when, maximum likelihood says when.
use alloc::vec::Vec;
use faultline_model::float;

/// Shift that CUSUM is tuned to, in scales: half of the smallest shift of interest.
const SLACK: f64 = 0.5;
/// Accumulated excess from which on there was a shift.
const ALARM: f64 = 8.0;
/// Accumulated shortfall from which on a shift is over: twice as much, since a few lucky values end nothing.
const OVER: f64 = 16.0;
/// No single value may speak louder than this many scales.
const CLIP: f64 = 8.0;

/// The last lasting shift among some values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From here on the values were on their way.
    pub left: usize,
    /// Index of the first value of the shift.
    pub start: usize,
    /// Whether it goes on: what came after it has not been as usual for long enough to end it.
    pub lasts: bool,
}

/// The last lasting shift, if there was one.
///
/// - `residuals`: `(x - expected) / scale` of equally long windows, oldest first; no unit.
/// - `side`: 1 for a shift upwards, -1 downwards.
/// - Returns the start of the last shift that CUSUM gave an alarm for, refined by maximum likelihood of a mean shift from the
///   known baseline; `None` where there was no alarm. A shift is over once a second CUSUM, from the mean of the shift so
///   far back to the baseline, gives its own: the next one begins anew. O(n).
///
/// Source: Page, "Continuous Inspection Schemes", Biometrika 41, 1954; Hinkley, "Inference about the change-point from
/// cumulative sum tests", Biometrika 58, 1971.
pub fn onset(residuals: &[f64], side: f64) -> Option<Stretch> {
    let z: Vec<f64> = residuals.iter().map(|&r| float::max(float::min(r * side, CLIP), -CLIP)).collect();
    // The excess since `left`, its highest value and where that was; the shortfall since the alarm.
    let (mut sum, mut left) = (0.0, 0);
    let (mut most, mut end) = (ALARM, None);
    let (mut total, mut short) = (0.0, 0.0);
    let mut last = None;
    for (i, &value) in z.iter().enumerate() {
        sum += value - SLACK;
        total += value;
        if sum > most {
            (most, end) = (sum, Some(i));
            last = Some((left, i, true));
        }
        if end.is_some() {
            let mean = float::max(total / (i + 1 - left) as f64, 2.0 * SLACK);
            short = float::max(short + mean / 2.0 - value, 0.0);
        }
        let over = short > OVER;
        if over {
            last = last.map(|(left, end, _)| (left, end, false));
        }
        if over || (end.is_none() && sum <= 0.0) {
            (sum, left, most, end, total, short) = (0.0, i + 1, ALARM, None, 0.0, 0.0);
        }
    }
    let (left, end, lasts) = last?;
    // Gain of a shift at tau, with the mean before it known to be 0: (sum of z from tau)^2 / count.
    let (mut tail, mut best, mut start) = (0.0, 0.0, left);
    for i in (left..=end).rev() {
        tail += z[i];
        let gain = if tail > 0.0 { tail * tail / (end - i + 1) as f64 } else { 0.0 };
        if gain > best {
            (best, start) = (gain, i);
        }
    }
    Some(Stretch { left, start, lasts })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected`: where it begins and whether it goes on.
    fn check(residuals: &[f64], side: f64, expected: Option<(usize, bool)>) {
        let found = onset(residuals, side).map(|stretch| (stretch.start, stretch.lasts));
        assert_eq!(found, expected, "{residuals:?} {side}");
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        check(&[0.0, 0.3, -0.5, 0.2, 6.0, 7.0, 5.5, 6.2], 1.0, Some((4, true)));
        check(&[0.0, 0.3, -0.5, 0.2, -6.0, -7.0, -5.5], -1.0, Some((4, true)));
        check(&[0.0, 0.3, -0.5, 0.2, -6.0, -7.0, -5.5], 1.0, None);
        // The shift that was, not the little calm after it.
        check(&[0.0, 5.0, 5.0, 5.0, 0.0, -1.0, 0.0], 1.0, Some((1, true)));
        // One wild value is clipped and is no lasting shift.
        check(&[0.0, 0.0, 1e9, 0.0, 0.0], 1.0, None);
        // A small lasting shift accumulates.
        check(&[0.0, -0.2, 1.8, 2.1, 1.9, 2.0, 2.2, 1.8, 2.1], 1.0, Some((2, true)));
        check(&[], 1.0, None);
    }

    #[test]
    fn a_shift_that_is_over_is_not_the_next_one() {
        let story = |parts: &[(usize, f64)]| -> Vec<f64> {
            parts.iter().flat_map(|&(count, value)| (0..count).map(move |_| value)).collect()
        };
        // Half a minute of trouble, ten seconds without, trouble again; larger, alike, smaller.
        for again in [1e9, 9.0, 6.0] {
            check(&story(&[(20, 0.1), (30, 9.0), (10, -0.1), (4, again)]), 1.0, Some((60, true)));
        }
        // Healed, and nothing since.
        check(&story(&[(20, 0.1), (30, 9.0), (10, -0.1)]), 1.0, Some((20, false)));
        // What flickers goes on: three quarters of the seconds are bad, then every other one.
        for (every, start) in [(4, 10), (2, 11)] {
            let flickers: Vec<f64> = (0..60).map(|i| if i < 10 || i % every == 0 { 0.0 } else { 6.0 }).collect();
            check(&flickers, 1.0, Some((start, true)));
        }
    }
}
