//! Every number of the model, each with its source. One configuration for all estates, frozen: cases are not tuned to.
//!
//! Sources: A = the algorithms study behind this crate (prototypes measured on PetShop, Nezha and simulated estates); S = set
//! on this crate's own simulated estates (`tests/it/estate.rs`), as marked; D = by definition or design.

/// P(own fault) of a service about which nothing is known (A).
pub const PRIOR: f64 = 0.02;
/// Log-odds that a deploy adds to the prior at its moment (A), and its decay in ms (A: 30 min).
pub const DEPLOY_BOOST: f64 = 3.0;
/// The same for a change of configuration, and for changes of any other kind (A).
pub const CHANGE_BOOST: f64 = 1.5;
/// Time in which a change's boost falls to 1/e, in ms (A).
pub const CHANGE_DECAY: f64 = 1_800_000.0;
/// How long after the onset a change may be noted and still count: clocks differ (D), in ms.
pub const CHANGE_SLACK: i64 = 5_000;
/// Log-odds of services that only their callers tell of (A): an instrumented service is likelier to be seen at fault.
pub const PEER_PENALTY: f64 = -1.2;
/// P(a call's way is at fault), for a way that both sides report (A has none; half the service's, D).
pub const LINK_PRIOR: f64 = 0.01;

/// P(a host is at fault), of hosts on which several are bad (S: with more, two faults on one host are taken for its).
pub const HOST_PRIOR: f64 = 0.002;
/// P(trouble of its own | the host it runs on is at fault) (A: w_F), and how much of that remains where next to nothing of it runs there (D).
pub const HOST_PASSES: f64 = 0.7;
/// See [`HOST_PASSES`].
pub const HOST_PART: f64 = 0.5;
/// P(trouble of its own | own fault), which are one and the same, and without either (D).
pub const FAULT_TROUBLES: f64 = 0.999;
/// See [`FAULT_TROUBLES`].
pub const LEAK_TROUBLE: f64 = 0.0001;

/// Services on a host of which a verdict tells (D).
pub const HOST_PIECES: usize = 6;

/// P(degraded | own fault) (A).
pub const OWN: f64 = 0.95;
/// P(degraded | no cause) (A: 0.01; S: lower, or a service without telemetry of its own could never be believed).
pub const LEAK: f64 = 0.003;
/// P(traffic lost | no cause), where nobody says what was asked: load comes and goes (S).
pub const LEAK_LOAD: f64 = 0.05;
/// P(caller degraded | callee degraded and explains all of its excess) (A).
pub const PASSES: f64 = 0.95;
/// P(degraded | the way to it is at fault) (A).
pub const LINK_PASSES: f64 = 0.9;
/// What is believed of a call before anything was learned, as if it had been seen in so many degradations (A: Beta(8, 2)), and the bounds
/// of what is ever believed (D: nothing is certain).
pub const HABIT_WEIGHT: f64 = 8.0;
/// See [`HABIT_WEIGHT`].
pub const HABIT_MIN: f64 = 0.02;
/// See [`HABIT_WEIGHT`].
pub const HABIT_MAX: f64 = 0.98;
/// Share explained that is taken where it cannot be measured (A).
pub const SHARE_UNKNOWN: f64 = 0.5;
/// Shares below this explain nothing; the call drops out of the network (A: floor 0.02; S).
pub const SHARE_MIN: f64 = 0.05;
/// What an alert says whose trouble is not to be seen in what is measured, in nats: it is right seven times as often as not (N: alerts on a dozen requests
/// seldom were).
pub const UNSEEN: f64 = 2.0;
/// P(violated | another service is degraded), where nobody knows what the violated service depends on (A: suggested by time alone).
pub const UNLINKED: f64 = 0.3;
/// P(peer looks degraded | its only caller is at fault) (A).
pub const PEER_CALLER: f64 = 0.5;

/// Robust z from which a signal counts as out of its baseline (A).
pub const Z_GATE: f64 = 3.0;
/// Factor on z where the effect is too small in its own unit to matter (A).
pub const IMMATERIAL: f64 = 0.2;
/// Least rise of a latency that matters, in ms (A).
pub const RISE_MS: f64 = 2.0;
/// Least rise of a share of failed requests that matters (A).
pub const RISE_ERRORS: f64 = 0.005;
/// Requests below which latency and errors say nothing (A: 5; S: scores already know how few stand behind them, and the first
/// windows of an incident are short).
pub const COUNT_MIN: f64 = 3.0;
/// Share of the excess self time of all services that one must hold to be suspected for it (A).
pub const SELF_SHARE: f64 = 0.3;
/// Share of traffic that must be missing to count as lost (S).
pub const DROP_MIN: f64 = 0.2;
/// Share of missing traffic from which healthy looks say nothing: only what still works is seen (D).
pub const DROP_BLIND: f64 = 0.5;

/// Scale of z under a fault: half-Cauchy (A). Noise is Student's t with 3 degrees of freedom (A).
pub const FAULT_SCALE: f64 = 8.0;
/// Bounds of the log-likelihood ratio of one signal, in nats (A).
pub const NATS_MIN: f64 = -1.5;
/// See [`NATS_MIN`].
pub const NATS_MAX: f64 = 8.0;
/// What new kinds of log records say of a fault that shows in them, in nats: some for any, and as much more for each that came
/// beyond the usual, weighed by severity and number (N).
pub const NEW_LOGS: f64 = 0.5;
/// See [`NEW_LOGS`].
pub const NEW_LOGS_EACH: f64 = 1.0;
/// How heavy the tail of a gap between two records of a line is: as of an exponential one whose rate is drawn from a gamma distribution
/// of this shape (Lomax; D: rates of half their mean or twice are common).
pub const GAP_SHAPE: f64 = 4.0;
/// P(it shows in log records | a service is at fault) (N: 6 of 22).
pub const LOGGED: f64 = 0.4;
/// Least rise of processor time that matters, as a share of the limit (A: 15 points), and the cores that stand for a limit
/// that is not known (D).
pub const RISE_CPU: f64 = 0.15;
/// See [`RISE_CPU`].
pub const CORES: f64 = 1.0;
/// Least rise of memory that matters: as a share of the limit, or of its usual use where the limit is not known (D).
pub const RISE_MEMORY: f64 = 0.1;
/// See [`RISE_MEMORY`].
pub const RISE_MEMORY_SHARE: f64 = 0.25;
/// Least time of being kept from running that matters, in s per s (D).
pub const RISE_THROTTLED: f64 = 0.05;
/// Where a rise is too small to matter, the most that its score may be (A).
pub const IMMATERIAL_Z: f64 = 1.0;
/// Restarts that a fault brings in the windows that are looked at, and the least that is believed to come anyway (D).
pub const RESTARTS: f64 = 1.0;
/// See [`RESTARTS`].
pub const RESTARTS_LEAST: f64 = 0.05;
/// A service that stopped sending, in nats: where its callers see it fail, where nobody sees it, and where its callers
/// see it work, which means that only its telemetry died (S).
pub const SILENT_FAILING: f64 = 5.0;
/// See [`SILENT_FAILING`].
pub const SILENT_UNSEEN: f64 = 2.0;
/// See [`SILENT_FAILING`].
pub const SILENT_WORKING: f64 = -1.0;

/// Kinds of fault and how often each is met before anything is seen (D): slow by itself, slow to reach, failing, taking work
/// without finishing it, passing no work on, any other, and using too much of a resource.
pub const KINDS: [f64; 7] = [0.225, 0.09, 0.225, 0.18, 0.09, 0.09, 0.1];
/// How far log records of a callee take away from its caller's, where they speak as loudly (D).
pub const HEARSAY: f64 = 0.7;
/// The same in the first model, which knew no resources: what engine versions up to 8 decided is explained as it was then.
pub const KINDS_0: [f64; 6] = [0.25, 0.1, 0.25, 0.2, 0.1, 0.1];
/// New kinds of log records that a fault brought by the first model, and the least that was believed to come anyway.
pub const NEW_LOGS_0: f64 = 2.0;
/// See [`NEW_LOGS_0`].
pub const NEW_LOGS_LEAST_0: f64 = 0.1;
/// [`CALLER_WIDE`] in the first model, reached and not exceeded.
pub const CALLER_WIDE_0: f64 = 0.7;
/// How far calls that fail or hang take away from a caller's self time (waits between retries are its own time) and how far
/// slow calls take away from its own errors (deadlines pass in its own code) (S).
pub const RETRY_DISCOUNT: f64 = 0.8;
/// See [`RETRY_DISCOUNT`].
pub const DEADLINE_DISCOUNT: f64 = 0.7;
/// Share of a caller's callees (3 or more) that must look far away for the caller itself to be suspected: more than this (A: 0.7; D: most).
pub const CALLER_WIDE: f64 = 0.5;

/// Sampling steps within which effect and cause may seem to change places (A); a step is one window of the evidence.
pub const LAG_STEPS: f64 = 2.0;
/// Longest window whose steps are believed, in ms (D).
pub const LAG_STEP_MAX: f64 = 10_000.0;

/// Bounds of what learned weights of events may say of one service, in nats (D: as far up as any sign, and down as far as an order among
/// many needs).
pub const LEARNT_MIN: f64 = -4.0;
/// See [`LEARNT_MIN`].
pub const LEARNT_MAX: f64 = NATS_MAX;
/// How far the log-odds of a fault follow how often a service was the cause before (D: modestly; it must not outweigh a sign).
pub const HISTORY_MAX: f64 = 0.5;

/// Below this posterior of the first cause the verdict is unknown (D: likelier wrong than right).
pub const BELIEF_MIN: f64 = 0.5;
/// Evidence of its own or of its callers that the first cause must have, in nats: where it was is no evidence (S).
pub const EVIDENCE_MIN: f64 = 1.0;
/// Lead over the second cause that a first cause below [`BELIEF_SURE`] must have (S).
pub const MARGIN: f64 = 0.1;
/// See [`MARGIN`].
pub const BELIEF_SURE: f64 = 0.8;
/// Responsibilities closer than this are a tie, decided by the share of the excess (S).
pub const TIE: f64 = 0.02;

/// Causes in a verdict (D).
pub const CAUSES_MAX: usize = 5;
/// Causes of which the verdict says what would be without them (A), and violated services told for each (D).
pub const WHAT_IFS_MAX: usize = 3;
/// Table entries of the tree of both worlds (D: about a ms).
pub const WHAT_IF_ENTRIES: u64 = 1 << 16;
/// See [`WHAT_IFS_MAX`].
pub const WHAT_IF_SERVICES: usize = 10;
/// Least posterior of such a cause (D).
pub const WHAT_IF_MIN: f64 = 0.05;
/// Entropy over all causes below which nothing is worth checking, in nats (D: one cause of 92 %, two of 97 %).
pub const OPEN_MIN: f64 = 0.3;
/// Questions tried, those with the least sure answer first, and told (D): each costs a pass.
pub const CHECKS_TRIED: usize = 8;
/// See [`CHECKS_TRIED`].
pub const CHECKS_MAX: usize = 3;
/// Table entries of all passes for checks together (D: about 3 ms).
pub const CHECKS_ENTRIES: u64 = 1 << 18;
/// Share of the entropy that a check must be expected to take away to be told (D).
pub const CUT_MIN: f64 = 0.05;
/// What an answer to a question is worth, in nats: certain, and still a number that the tree can take.
pub const CERTAIN: f64 = 40.0;
/// Table entries of a junction tree: about 3 ms a pass, so that a verdict with its dozen passes stays below 50 ms (A: 2^20).
pub const ENTRIES_MAX: u64 = 1 << 18;
/// Arcs of the network before it is narrowed, and services kept then (A).
pub const ARCS_MAX: usize = 2_000;
/// See [`ARCS_MAX`].
pub const NARROW_NODES: usize = 60;
/// Causes of one variable kept when the network is narrowed (S).
pub const NARROW_PARENTS: usize = 6;
/// The same where that is still too many (D: an exact answer to less before an approximate one to more).
pub const THIN_PARENTS: usize = 3;
