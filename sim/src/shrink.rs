//! Makes a failing plan small: events are left out while the same promise stays broken.
//!
//! Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002.
use crate::event::Event;
use crate::plan::Plan;

/// A smaller plan for which `fails` says the same, after at most `tries` runs of it.
pub fn shrink(plan: &Plan, mut tries: usize, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut chunk = best.events.len().div_ceil(2).max(1);
    while tries > 0 {
        let (mut at, mut smaller) = (0, false);
        while at < best.events.len() && tries > 0 {
            let end = (at + chunk).min(best.events.len());
            let events: Vec<Event> = [&best.events[..at], &best.events[end..]].concat();
            let candidate = Plan { events, ..best.clone() };
            tries -= 1;
            if fails(&candidate) {
                (best, smaller) = (candidate, true);
            } else {
                at = end;
            }
        }
        if chunk == 1 && !smaller {
            break;
        }
        chunk = if smaller { chunk } else { chunk.div_ceil(2) }.min(best.events.len().max(1));
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_stays() {
        let events: Vec<Event> = (0..200).map(Event::Pass).collect();
        let plan = Plan { events, ..Plan::of(1) };
        let needs = |plan: &Plan| [17, 18, 150].iter().all(|&ms| plan.events.contains(&Event::Pass(ms)));
        let small = shrink(&plan, 1_000, needs);
        assert_eq!(small.events, [17, 18, 150].map(Event::Pass));
    }
}
