//! The search for the highest rate that holds: double until one does not, then halve the gap.
//!
//! A rate that fails is tried again before it bounds the search: on a machine that others use, a pause of the scheduler's
//! would else pass for the server's limit.
use crate::Outcome;
use std::cell::Cell;

/// Highest rate that is tried, in events/s: beyond it the generator would measure itself.
const RATE_MAX: f64 = 16e6;
/// Lowest rate that is tried.
const RATE_MIN: f64 = 500.0;
/// Attempts to confirm the rate that was found, each at nine tenths of the one before, or at what was then applied.
const CONFIRMATIONS: u32 = 6;

/// How a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// First rate, in events/s.
    pub start: f64,
    /// Halvings of the gap, on a logarithmic scale: 4 leave 4 % of a doubling.
    pub halvings: u32,
}

/// How long a rate is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// A look: shorter than a measurement.
    Short,
    /// A whole measurement.
    Whole,
}

/// What became of a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tried {
    /// It held.
    Held,
    /// It did not; this many events/s were applied.
    Failed(f64),
}

/// Finds the highest rate that holds over a whole measurement; `None` where not even the lowest does.
///
/// - `attempt`: tries a rate.
pub fn search(plan: Plan, mut attempt: impl FnMut(f64, Trial) -> Outcome<Tried>) -> Outcome<Option<f64>> {
    let applied = Cell::new(f64::INFINITY);
    let mut twice = |rate, first| {
        for trial in [first, Trial::Whole] {
            match attempt(rate, trial)? {
                Tried::Held => return Ok(true),
                Tried::Failed(rate) => applied.set(rate),
            }
        }
        Ok::<_, String>(false)
    };
    let (mut low, mut high) = (None, plan.start);
    while twice(high, Trial::Short)? {
        low = Some(high);
        if high >= RATE_MAX {
            break;
        }
        high *= 2.0;
    }
    while low.is_none() {
        if high / 2.0 < RATE_MIN {
            return Ok(None);
        }
        if twice(high / 2.0, Trial::Short)? {
            low = Some(high / 2.0);
        } else {
            high /= 2.0;
        }
    }
    let mut low = low.expect("set by the loop above");
    let mut confirmed = false;
    for _ in 0..plan.halvings {
        let middle = (low * high).sqrt();
        if twice(middle, Trial::Whole)? {
            (low, confirmed) = (middle, true);
        } else {
            high = middle;
        }
    }
    for _ in 0..CONFIRMATIONS {
        if confirmed {
            break;
        }
        confirmed = twice(low, Trial::Whole)?;
        if !confirmed {
            // Queues let a short look flatter by far.
            low = (low * 0.9).min(applied.get());
        }
    }
    Ok(confirmed.then_some(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(capacity: f64, whole: f64) -> Option<f64> {
        let mut last_that_held = None;
        let plan = Plan { start: 100_000.0, halvings: 4 };
        let found = search(plan, |rate, trial| {
            let most = if trial == Trial::Whole { whole } else { capacity };
            if rate <= most && trial == Trial::Whole {
                last_that_held = last_that_held.max(Some(rate as u64));
            }
            Ok(if rate <= most { Tried::Held } else { Tried::Failed(whole) })
        });
        let found = found.unwrap();
        assert_eq!(found.map(|rate| rate as u64), last_that_held, "what is told was measured whole");
        found
    }

    #[test]
    fn finds_a_known_capacity_from_below() {
        for capacity in [1_000.0, 9_000.0, 100_000.0, 430_000.0, 512_345.0, 1_999_999.0, 7e6] {
            let found = check(capacity, capacity).unwrap();
            assert!(found <= capacity && found > capacity * 0.95, "{found} of {capacity}");
        }
    }

    #[test]
    fn a_short_look_that_flatters_is_taken_back() {
        for flattered in [800_000.0, 4e6] {
            let found = check(flattered, 600_000.0).unwrap();
            assert!(found <= 600_000.0 && found > 500_000.0, "{found}");
        }
    }

    #[test]
    fn a_pause_of_the_scheduler_is_no_limit() {
        for paused in 0..8 {
            let (mut trials, plan) = (0, Plan { start: 100_000.0, halvings: 4 });
            let found = search(plan, |rate, _| {
                trials += 1;
                let held = trials != paused && rate <= 700_000.0;
                Ok(if held { Tried::Held } else { Tried::Failed(rate.min(700_000.0)) })
            });
            let found = found.unwrap().unwrap();
            assert!(found > 665_000.0, "{found} with a pause in trial {paused}");
        }
    }

    #[test]
    fn a_server_that_takes_nothing() {
        assert_eq!(check(0.0, 0.0), None);
        assert!(search(Plan { start: 1e5, halvings: 1 }, |_, _| Err("gone".into())).is_err());
    }

    #[test]
    fn ends_where_nothing_is_too_fast() {
        assert!(check(1e12, 1e12).unwrap() >= RATE_MAX);
    }
}
