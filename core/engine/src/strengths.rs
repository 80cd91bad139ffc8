//! How strongly calls pass trouble on, learned from closed incidents whose cause was named.
//!
//! With each verdict comes what its network saw of calls (`faultline_explain`, the E step). When the cause that it named is confirmed, that
//! joins the sums of those calls; a cause named wrongly teaches nothing of calls, for what was seen of them rested on that belief.
//! From the sums follows the strength (`faultline_explain::strength`, the M step), which goes into the evidence of later incidents.
//!
//! Sums count half after [`HALF_LIFE`], so a call of which nothing more is heard comes back to what is assumed of any. A strength moves by at
//! most [`CHANGE_MAX`] a day, so that no one day's incidents decide what is believed of a call.
//!
//! Bounds: [`CALLS_MAX`] calls, those that taught longest ago go first; none is kept for longer than [`KEPT`] without news, which is how those of
//! services that are gone go.
use crate::learning::HALF_LIFE;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_explain::strength;
use faultline_model::facts::{Evidence, Passed, Strength, Strengths};
use faultline_model::{Millis, Table, canonical_struct, float, freeze_by_copy};

/// Calls of which something is known.
const CALLS_MAX: usize = 10_000;
/// Calls of one verdict, and bytes of a service's name: verdicts come from outside.
const TOLD_MAX: usize = 64;
/// See [`TOLD_MAX`].
const NAME_MAX: usize = 1_024;
/// A day, in ms.
const DAY: i64 = 86_400_000;
/// How far a strength moves within a day.
const CHANGE_MAX: f64 = 0.1;
/// How long a call is kept without news, in ms: ten half-lives.
const KEPT: i64 = 300 * DAY;

/// What is known of one call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    client: String,
    server: String,
    /// Sum of P(callee degraded), as of `at`.
    degraded: f64,
    /// Sum of P(callee degraded and that passed on), as of `at`.
    passed: f64,
    /// When it was last heard of, rule time.
    at: Millis,
    /// Its strength when the day began in which that was.
    from: f64,
    /// When that day began.
    since: Millis,
}
canonical_struct!(Call { client, server, degraded, passed, at, from, since });
freeze_by_copy!(Call);

impl Call {
    fn new(client: &str, server: &str, at: Millis) -> Call {
        let (client, server) = (client.into(), server.into());
        Call { client, server, degraded: 0.0, passed: 0.0, at, from: strength(0.0, 0.0), since: at }
    }

    /// What the sums count for at `at`.
    fn fading(&self, at: Millis) -> f64 {
        float::exp2(-float::max(at.since(self.at) as f64, 0.0) / HALF_LIFE)
    }

    /// P(it passes trouble on) as of `at`.
    fn strength(&self, at: Millis) -> f64 {
        let fading = self.fading(at);
        let days = 1 + at.since(self.since).max(0) / DAY;
        let most = CHANGE_MAX * days as f64;
        let found = strength(self.degraded * fading, self.passed * fading);
        float::max(self.from - most, float::min(found, self.from + most))
    }

    fn learn(&mut self, seen: &Passed, at: Millis) {
        if at.since(self.since) >= DAY {
            (self.from, self.since) = (self.strength(at), at);
        }
        let fading = self.fading(at);
        self.degraded = self.degraded * fading + seen.degraded;
        self.passed = self.passed * fading + seen.passed;
        // Rule time does not go back, but an import's may be behind what came live.
        self.at = self.at.max(at);
    }
}

/// What is known of all calls.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    pub calls: Table<Call, 16>,
    /// How many closed incidents taught any.
    pub version: u64,
    // Derived from the rows.
    by_names: BTreeMap<String, BTreeMap<String, u32>>,
    by_age: BTreeSet<(Millis, u32)>,
}

impl Habits {
    /// Finds its rows again after they were read.
    pub fn of(calls: Table<Call, 16>, version: u64) -> Habits {
        let mut habits = Habits { version, ..Habits::default() };
        for (row, call) in calls.iter() {
            habits.by_names.entry(call.client.clone()).or_default().insert(call.server.clone(), row);
            habits.by_age.insert((call.at, row));
        }
        Habits { calls, ..habits }
    }

    /// What is known of the calls of an incident; none where nothing is.
    pub fn bear_on(&self, evidence: &Evidence, at: Millis) -> Option<Strengths> {
        let name = |node: u32| evidence.nodes.get(node as usize).map(|node| node.entity.as_str());
        let known = evidence.edges.iter().filter(|edge| !edge.asynchronous).filter_map(|edge| {
            let row = *self.by_names.get(name(edge.client)?)?.get(name(edge.server)?)?;
            let passes = self.calls.get(row)?.strength(at);
            Some(Strength { client: edge.client, server: edge.server, passes })
        });
        let mut calls: Vec<Strength> = known.collect();
        calls.sort_by_key(|call| (call.client, call.server));
        calls.dedup_by_key(|call| (call.client, call.server));
        (!calls.is_empty()).then_some(Strengths { version: self.version, calls })
    }

    /// Takes what the verdict of a closed incident saw, its cause having been named rightly.
    pub fn learn(&mut self, seen: &[Passed], at: Millis) {
        if seen.is_empty() {
            return;
        }
        self.version += 1;
        for it in seen {
            let known = self.by_names.get(&it.client).and_then(|servers| servers.get(&it.server)).copied();
            let row = known.unwrap_or_else(|| self.insert(Call::new(&it.client, &it.server, at)));
            let call = self.calls.row_mut(row);
            self.by_age.remove(&(call.at, row));
            call.learn(it, at);
            self.by_age.insert((call.at, row));
        }
        while let Some(&(heard, row)) = self.by_age.first()
            && at.since(heard) > KEPT
        {
            self.forget(row);
        }
    }

    fn insert(&mut self, call: Call) -> u32 {
        if self.by_age.len() >= CALLS_MAX
            && let Some(&(_, oldest)) = self.by_age.first()
        {
            self.forget(oldest);
        }
        let (client, server, at) = (call.client.clone(), call.server.clone(), call.at);
        let row = self.calls.insert(call);
        self.by_names.entry(client).or_default().insert(server, row);
        self.by_age.insert((at, row));
        row
    }

    fn forget(&mut self, row: u32) {
        let call = self.calls.get(row).expect("calls have a row");
        self.by_age.remove(&(call.at, row));
        if let Some(servers) = self.by_names.get_mut(&call.client) {
            servers.remove(&call.server);
            if servers.is_empty() {
                self.by_names.remove(&call.client);
            }
        }
        self.calls.remove(row);
    }
}

/// What of a verdict can be learned from: it comes from outside, and what makes no sense would stay for months.
///
/// - `names`: the incident's services, in order.
pub(crate) fn sound(passed: &[Passed], names: &[String]) -> Vec<Passed> {
    let known = |name: &String| name.len() <= NAME_MAX && names.binary_search(name).is_ok();
    let makes_sense = |it: &&Passed| {
        (0.0..=1.0).contains(&it.degraded)
            && (0.0..=it.degraded).contains(&it.passed)
            && it.client != it.server
            && known(&it.client)
            && known(&it.server)
    };
    passed.iter().filter(makes_sense).take(TOLD_MAX).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn seen(client: &str, server: &str, degraded: f64, passed: f64) -> Passed {
        Passed { client: client.into(), server: server.into(), degraded, passed }
    }

    fn of(habits: &Habits, client: &str, server: &str, at: Millis) -> f64 {
        habits.calls.get(habits.by_names[client][server]).expect("it has a row").strength(at)
    }

    #[test]
    fn a_strength_moves_so_far_a_day_and_comes_back_when_nothing_is_heard() {
        let (mut habits, usual) = (Habits::default(), strength(0.0, 0.0));
        let day = |days: f64| Millis(1_000 + (days * DAY as f64) as i64);
        for hour in 0..20 {
            habits.learn(&[seen("web", "cache", 1.0, 0.0), seen("web", "pay", 1.0, 1.0)], day(f64::from(hour) / 24.0));
        }
        assert_eq!(habits.version, 20);
        let [cache, pay] = ["cache", "pay"].map(|server| of(&habits, "web", server, day(0.9)));
        assert!((usual - cache - CHANGE_MAX).abs() < 1e-12 && (pay - usual - CHANGE_MAX).abs() < 1e-12);
        // What the first day held back comes with the days that follow, and no further than was seen.
        let later = [0.9, 1.5, 2.5, 3.5].map(|days| of(&habits, "web", "cache", day(days)));
        let steps = later.windows(2).map(|pair| pair[0] - pair[1]);
        assert!(steps.clone().all(|step| step > 0.0 && step <= CHANGE_MAX + 1e-12), "{later:?}");
        assert!((0.1..0.2).contains(&later[3]), "{later:?}");
        let month = [30.0, 60.0, 120.0, 240.0].map(|days| of(&habits, "web", "cache", day(days)));
        assert!(month.windows(2).all(|pair| pair[0] < pair[1]) && usual - month[3] < 0.01, "{month:?}");
        // Ten half-lives on, the next lesson finds it gone.
        habits.learn(&[seen("a", "b", 1.0, 1.0)], day(302.0));
        assert_eq!((habits.by_age.len(), habits.by_names.len(), habits.calls.iter().count()), (1, 1, 1));
    }

    #[test]
    fn no_more_calls_are_kept_than_said() {
        let mut habits = Habits::default();
        for at in 0..CALLS_MAX + 50 {
            habits.learn(&[seen("a", &format!("{at:05}"), 1.0, 1.0)], Millis(at as i64));
        }
        assert_eq!(habits.calls.iter().count(), CALLS_MAX);
        let servers = &habits.by_names["a"];
        assert!(!servers.contains_key("00049") && servers.contains_key("00050"));
    }

    #[test]
    fn what_makes_no_sense_teaches_nothing() {
        let names = ["a", "b"].map(String::from);
        let bad = [
            seen("a", "b", f64::NAN, 0.0),
            seen("a", "b", 0.5, 0.6),
            seen("a", "b", 0.5, f64::NAN),
            seen("a", "b", 2.0, 1.0),
            seen("a", "a", 0.5, 0.5),
            seen("a", "elsewhere", 0.5, 0.5),
        ];
        assert_eq!(sound(&bad, &names), []);
        let good = seen("a", "b", 0.5, 0.5);
        assert_eq!(sound(core::slice::from_ref(&good), &names), [good]);
    }
}
