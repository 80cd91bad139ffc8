//! How far a posterior can be trusted: what came of first causes of about the same one.
use faultline_model::facts::{Reliability, Tally};
use faultline_model::float;

/// Where bins of posteriors begin, but for the first, which begins at 0.
const BEGINS: [f64; 4] = [0.5, 0.7, 0.9, 0.97];
/// The first model of evidence whose verdicts say it.
pub const MODEL: u32 = 3;
/// How many bins there are.
pub const BINS: usize = BEGINS.len() + 1;

/// By bin: 72 recorded incidents of PetShop, Online Boutique and Train Ticket (`docs/accuracy.md`), on which the constants were chosen, so
/// that others are to be expected somewhat worse.
const ELSEWHERE: [Tally; BINS] = tallies([(9, 6), (2, 2), (7, 6), (10, 7), (44, 44)]);
/// The same of [`MODEL`], which did not miss lines of logs.
const ELSEWHERE_3: [Tally; BINS] = tallies([(13, 5), (2, 1), (9, 7), (4, 2), (44, 44)]);

/// Cases of one bin from which on a verdict counts as calibrated.
const ENOUGH: u32 = 10;
/// Of the normal distribution, for 90 % on both sides together.
const Z: f64 = 1.644_853_626_951_472_2;

const fn tallies(counts: [(u32, u32); BINS]) -> [Tally; BINS] {
    let mut tallies = [Tally { cases: 0, right: 0 }; BINS];
    let mut bin = 0;
    while bin < BINS {
        tallies[bin] = Tally { cases: counts[bin].0, right: counts[bin].1 };
        bin += 1;
    }
    tallies
}

/// The bin of a posterior, from 0.
pub fn bin(posterior: f64) -> usize {
    BEGINS.iter().take_while(|begin| posterior >= **begin).count()
}

/// What is known of first causes of about this posterior.
///
/// - `here`: of incidents closed here, by bin; may be empty. `model`: that of the evidence.
pub(crate) fn reliability(posterior: f64, here: &[Tally], model: u32) -> Reliability {
    let (bin, all) = (bin(posterior), if model > MODEL { &ELSEWHERE } else { &ELSEWHERE_3 });
    let sum = |all: &[Tally]| all.iter().map(|tally| tally.cases).fold(0, u32::saturating_add);
    let (elsewhere, own) = (all[bin], here.get(bin).copied().unwrap_or_default());
    let (cases, right) = (elsewhere.cases.saturating_add(own.cases), elsewhere.right.saturating_add(own.right));
    let (low, high) = interval(cases, right);
    Reliability { elsewhere, here: own, cases_elsewhere: sum(all), cases_here: sum(here), low, high }
}

/// Whether that is enough to go by.
pub(crate) fn is_enough(it: &Reliability) -> bool {
    it.elsewhere.cases.saturating_add(it.here.cases) >= ENOUGH
}

/// Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
fn interval(cases: u32, right: u32) -> (f64, f64) {
    if cases == 0 {
        return (0.0, 1.0);
    }
    let (n, r) = (f64::from(cases), f64::from(right.min(cases)));
    let middle = (r + Z * Z / 2.0) / (n + Z * Z);
    let half = Z / (n + Z * Z) * float::sqrt(r * (n - r) / n + Z * Z / 4.0);
    let held = |x: f64| float::min(float::max(x, 0.0), 1.0);
    (held(middle - half), held(middle + half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posteriors_fall_into_bins() {
        let bins = [0.0, 0.49, 0.5, 0.69, 0.7, 0.9, 0.9699, 0.97, 1.0].map(bin);
        assert_eq!(bins, [0, 0, 1, 1, 2, 3, 3, 4, 4]);
    }

    /// Against `scipy.stats.binomtest(right, cases).proportion_ci(0.9, "wilson")`.
    #[test]
    fn intervals_are_wilsons() {
        for (cases, right, low, high) in [
            (44, 44, 0.942_072_3, 1.0),
            (9, 7, 0.503_642_8, 0.923_505_3),
            (4, 2, 0.182_400_2, 0.817_599_8),
            (0, 0, 0.0, 1.0),
            (10, 0, 0.0, 0.212_942_0),
        ] {
            let found = interval(cases, right);
            assert!((found.0 - low).abs() < 1e-6 && (found.1 - high).abs() < 1e-6, "{right} of {cases}: {found:?}");
        }
    }

    #[test]
    fn cases_here_join_those_elsewhere() {
        let here = [
            Tally::default(),
            Tally { cases: 8, right: 6 },
            Tally::default(),
            Tally::default(),
            Tally { cases: 1, right: 1 },
        ];
        let (few, enough) = (reliability(0.6, &[], MODEL), reliability(0.6, &here, MODEL));
        assert!(!is_enough(&few) && is_enough(&enough));
        assert_eq!((few.cases_elsewhere, few.cases_here, enough.cases_here), (72, 0, 9));
        assert_eq!((enough.elsewhere, enough.here), (Tally { cases: 2, right: 1 }, here[1]));
        assert!(enough.high - enough.low < few.high - few.low);
    }
}
