//! Cases of one kind of fault, summed up.
use crate::case::Case;
use faultline_estate::Fault;

/// Figures over the cases of one kind of fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The fault.
    pub fault: Fault,
    /// How many cases.
    pub cases: usize,
    /// Share of cases that ended well: a right final verdict or, without a fault, no incident.
    pub right: f64,
    /// Share of cases with a culprit among the first three causes; none without a fault.
    pub top3: Option<f64>,
    /// Share of cases in which the last verdicts together believe in every culprit; none without a fault.
    pub all_named: Option<f64>,
    /// Median and 90th percentile, over cases that ended well, of onset to the verdict that stayed, in ms.
    pub stayed: Option<(i64, i64)>,
    /// Median of onset to the first alert, in ms.
    pub first_alert: Option<i64>,
    /// Mean of (posterior of the first cause less 1 where it is the culprit, else 0) squared; 0.25 is what saying "half" gives.
    pub brier: Option<f64>,
    /// Final verdicts that said unknown.
    pub unknown: usize,
    /// Cases without any verdict.
    pub silent: usize,
    /// Cases in which one fault opened several incidents.
    pub split: usize,
    /// Incidents that opened before the onset, or without any.
    pub false_incidents: usize,
}

/// Sums up the cases of `fault`.
pub fn score(fault: Fault, cases: &[Case]) -> Score {
    let cases: Vec<&Case> = cases.iter().filter(|case| case.truth.fault == fault).collect();
    let count = |holds: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| holds(case)).count();
    let share = |n: usize| if cases.is_empty() { 0.0 } else { n as f64 / cases.len() as f64 };
    let verdicts: Vec<_> = cases.iter().filter_map(|case| case.verdict.as_ref()).collect();
    let squares = verdicts.iter().map(|named| (named.posterior - f64::from(u8::from(named.hit))).powi(2));
    let stayed: Vec<i64> = cases.iter().filter_map(|case| case.stayed).collect();
    let alerts: Vec<i64> = cases.iter().filter_map(|case| case.first_alert).collect();
    Score {
        fault,
        cases: cases.len(),
        right: share(count(&Case::right)),
        top3: (fault != Fault::None)
            .then(|| share(verdicts.iter().filter(|named| named.rank.is_some_and(|rank| rank <= 3)).count())),
        all_named: (fault != Fault::None).then(|| share(count(&|case| case.all_named))),
        stayed: percentile(&stayed, 50).zip(percentile(&stayed, 90)),
        first_alert: percentile(&alerts, 50),
        brier: (!verdicts.is_empty()).then(|| squares.sum::<f64>() / verdicts.len() as f64),
        unknown: verdicts.iter().filter(|named| named.unknown).count(),
        silent: count(&|case| !case.truth.culprits.is_empty() && case.verdict.is_none()),
        split: count(&|case| case.incidents - case.false_incidents > 1),
        false_incidents: cases.iter().map(|case| case.false_incidents).sum(),
    }
}

/// The least of `values` that at least `percent` of them do not exceed: the nearest-rank percentile.
fn percentile(values: &[i64], percent: usize) -> Option<i64> {
    let mut sorted = values.to_vec();
    sorted.sort();
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Named;
    use faultline_estate::Truth;
    use faultline_model::Millis;

    fn case(stayed: Option<i64>, posterior: f64, hit: bool) -> Case {
        let truth = Truth { culprits: vec!["a".into()], fault: Fault::Errors, onset: Millis(0) };
        let (entity, kind, rank) = (String::new(), String::new(), hit.then_some(1));
        let verdict = Named { entity, kind, posterior, unknown: false, hit, rank, culprit_posterior: 0.0 };
        Case {
            seed: 1,
            truth,
            first_alert: stayed,
            opened: stayed,
            first_right: stayed,
            stayed,
            verdict: Some(verdict),
            all_named: hit,
            incidents: 1,
            false_incidents: 0,
            false_alerts: 0,
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        for (values, expected) in [
            (&[][..], (None, None)),
            (&[7], (Some(7), Some(7))),
            (&[3, 1, 2], (Some(2), Some(3))),
            (&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1], (Some(5), Some(9))),
        ] {
            assert_eq!((percentile(values, 50), percentile(values, 90)), expected, "{values:?}");
        }
    }

    #[test]
    fn shares_are_of_all_cases_and_times_of_the_right_ones() {
        let mut cases = vec![case(Some(3_000), 0.9, true), case(None, 0.6, false), case(Some(5_000), 1.0, true)];
        cases.push(Case { verdict: None, incidents: 0, ..case(None, 0.0, false) });
        let score = score(Fault::Errors, &cases);
        assert_eq!((score.cases, score.right, score.top3, score.silent), (4, 0.5, Some(0.5), 1));
        assert_eq!(score.all_named, Some(0.5));
        assert_eq!(score.stayed, Some((3_000, 5_000)));
        let brier = score.brier.expect("three verdicts");
        assert!((brier - (0.01 + 0.36) / 3.0).abs() < 1e-12, "{brier}");
    }
}
