//! Every number of the grouping, with its reason.

/// Calls between the entities of two alerts of one incident, at most.
pub const HOPS_MAX: u32 = 2;

/// How much later an effect may show per call, in ms: two steps of the usual 60 s scrape, since a step may be missed.
pub const WINDOW_PER_HOP: i64 = 120_000;

/// Onsets further apart than this are never one incident by themselves, in ms. Alerts on the same entity may differ by all
/// of it: no call delays one of them, only the length of its rule's range.
pub const WINDOW_MAX: i64 = 900_000;

/// An incident is resolved once nothing in it has fired for this long, in ms of rule time, so that flapping stays in one.
pub const QUIET: i64 = 60_000;

/// Shortest time between two tellings of a growing incident, in ms: each lists every alert, so a storm that is told alert by alert
/// would write its square.
pub const UPDATE_GAP: i64 = 1_000;

/// When an incident is explained, in ms after it opened or one of its alerts last began to fire: evidence is thin at first and settles
/// within two minutes.
pub const EXPLAIN_AFTER: [i64; 6] = [0, 1_000, 3_000, 10_000, 30_000, 120_000];

/// And once more in between, in ms: a service that serves a request every few seconds has shown little after half a minute.
pub const EXPLAIN_BETWEEN: i64 = 60_000;

/// When it is explained after that, in ms: metrics that are scraped every minute or every five have come again by then, and again.
pub const EXPLAIN_LATER: [i64; 2] = [420_000, 900_000];

/// Shortest time between two explanations for new alerts, in ms.
pub const EXPLAIN_GAP: i64 = 1_000;

/// Incidents open at once; an alert that would open one more is refused and counted.
pub const OPEN_MAX: usize = 10_000;

/// Alerts of one incident; one more is refused and counted, and so is a merge that would hold more.
pub const ALERTS_MAX: usize = 1_000;

/// Entities whose distance to a new alert's is asked for; beyond them, in name order, only the same entity is near, and that is counted.
pub const COMPARED_MAX: usize = 1_024;

/// How far apart the onsets of two alerts of one incident may be, in ms, when their entities are `hops` calls apart.
pub fn window(hops: u32) -> i64 {
    match hops {
        0 => WINDOW_MAX,
        hops => WINDOW_PER_HOP.saturating_mul(i64::from(hops)).min(WINDOW_MAX),
    }
}
