//! How much a deviation speaks for a fault: the log-likelihood ratio of a robust z-score.
use crate::config::{FAULT_SCALE, NATS_MAX, NATS_MIN};
use core::f64::consts::PI;
use faultline_model::float;

/// Log-likelihood ratio of a one-sided score, in nats: how much better a fault explains `z` than noise does.
///
/// Noise is Student's t with 3 degrees of freedom, so that a single wild gauge cannot decide; a fault is a half-Cauchy of scale
/// [`FAULT_SCALE`] above zero with 5 % of it mirrored below. Rises with `z`, and is held within [`NATS_MIN`] and [`NATS_MAX`].
pub(crate) fn nats(z: f64) -> f64 {
    let noise = 6.0 * float::sqrt(3.0) / (PI * (3.0 + z * z) * (3.0 + z * z));
    let side = if z > 0.0 { 0.95 } else { 0.05 };
    let fault = side * 2.0 / (PI * FAULT_SCALE * (1.0 + z * z / (FAULT_SCALE * FAULT_SCALE)));
    // Both tails thin out together far below zero, where the ratio would turn upwards again.
    let ratio = if z < 0.0 { NATS_MIN } else { float::ln(fault / noise) };
    clamp(ratio, NATS_MIN, NATS_MAX)
}

/// `x` within `[low, high]`; a NaN becomes `low`.
pub(crate) fn clamp(x: f64, low: f64, high: f64) -> f64 {
    float::max(low, float::min(x, high))
}

/// `ln(p / (1 - p))`, finite: probabilities are held a billionth away from certainty.
pub(crate) fn logit(p: f64) -> f64 {
    let p = clamp(p, 1e-9, 1.0 - 1e-9);
    float::ln(p / (1.0 - p))
}

/// The inverse of [`logit`].
pub(crate) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + float::exp(-x))
}

/// `ln` of the sum of `weight * e^nats`, and each term's share of it.
///
/// - `terms`: weights above 0 and finite nats; at least one.
pub(crate) fn mixture(terms: &[(f64, f64)]) -> (f64, alloc::vec::Vec<f64>) {
    let highest = terms.iter().fold(f64::NEG_INFINITY, |high, &(_, nats)| float::max(high, nats));
    let parts: alloc::vec::Vec<f64> = terms.iter().map(|&(weight, nats)| weight * float::exp(nats - highest)).collect();
    let sum: f64 = parts.iter().sum();
    (highest + float::ln(sum), parts.iter().map(|part| part / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against figures of the Python prototype of the algorithms study (`llr_t`).
    #[test]
    fn the_ratio_rises_with_the_score_within_its_bounds() {
        for (z, expected) in [
            (-3.0, -1.5),
            (0.0, -1.5),
            (1.0, -1.021_568_733_365_735),
            (3.0, 1.059_583_672_717_730_6),
            (5.0, 2.556_002_464_908_389),
            (8.0, 3.937_584_789_152_435_6),
            (20.0, 6.238_218_385_957_232),
            (1e9, 8.0),
        ] {
            assert!((nats(z) - expected).abs() < 1e-9, "{z}: {}", nats(z));
        }
        // The prototype turns upwards again far below zero, where nothing speaks for a fault.
        assert_eq!(nats(-1e6), NATS_MIN);
        let values: alloc::vec::Vec<f64> = (-100..1000).map(|i| nats(f64::from(i) / 10.0)).collect();
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
    }

    #[test]
    fn logit_and_logistic_undo_one_another() {
        for p in [0.001, 0.02, 0.5, 0.97] {
            assert!((logistic(logit(p)) - p).abs() < 1e-12);
        }
        assert!(logit(1.0).is_finite() && logit(0.0).is_finite() && logit(f64::NAN).is_finite());
    }

    #[test]
    fn a_mixture_is_the_log_of_the_mean_ratio() {
        let (total, shares) = mixture(&[(0.25, 0.0), (0.75, float::ln(3.0))]);
        assert!((total - float::ln(2.5)).abs() < 1e-12);
        assert!((shares[1] - 0.9).abs() < 1e-12);
    }
}
