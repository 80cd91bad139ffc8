//! How much of an estate is kept, and for how long: every table has an end, and what does not fit is counted.
use faultline_model::Millis;

/// Services and peers.
pub const SERVICES: usize = 10_000;
/// Pairs of services that call each other.
pub const EDGES: usize = 50_000;
/// Edges that have series of their own; evidence covers all.
pub const DERIVED_EDGES: usize = 10_000;
/// Span names, kinds and statuses of one service that have series of their own; the rest share `span_name="(other)"`.
pub const OPERATIONS_OF_SERVICE: u32 = 200;
/// The same of all services together.
pub const OPERATIONS: usize = 20_000;
/// Rows of all services together, those named `(other)` included.
pub const OPERATION_ROWS: usize = 30_000;
/// Spans that wait for their other half.
pub const PENDING: usize = 200_000;
/// Server spans that wait for one and the same client span.
pub const WAITING: usize = 16;
/// Calls of which it is remembered where they went.
pub const PREDICTIONS: usize = 50_000;
/// Services that one call is remembered to have gone to.
pub const CANDIDATES: usize = 8;
/// Versions remembered per service.
pub const VERSIONS: usize = 8;
/// Size of names that are kept.
pub const NAME_SIZE: usize = 256;
/// How far the time of children is passed on to their parents within one service.
pub const DEPTH: u32 = 32;
/// Series of standard metrics that are read; those of one service and of one call are a handful.
pub const METERS: usize = 200_000;
/// Closed windows of such metrics kept per service and call.
pub const WINDOWS: usize = 12;
/// Least length of such a window, in ms.
pub const STEP_LEAST: i64 = 10_000;
/// Longest, in ms: metrics that come more seldom are not read.
pub const STEP_MOST: i64 = 3_600_000;
/// Resources of instances of services, of all together; of one instance there are a handful.
pub const RESOURCES: usize = 50_000;
/// Services beside the part of the graph that is known, which may have caused what has no known causes.
pub const SUSPECTS: usize = 20;
/// Kinds of log records, of all services together.
pub const LOG_KINDS: usize = 100_000;
/// Lines of log records, of all services together.
pub const LOG_LINES: usize = 100_000;
/// Names of events, of all services together.
pub const EVENTS: usize = 100_000;
/// Size of an event's name.
pub const EVENT_NAME_SIZE: usize = 128;
/// Names of events of one service in evidence: the most frequent.
pub const EVENTS_TOLD: usize = 64;
/// Services on hosts: one for each host that a service runs on.
pub const PLACEMENTS: usize = 50_000;
/// A service that runs on more hosts is on none: each is too small a part of it.
pub const HOSTS_OF_SERVICE: u32 = 16;
/// Services of one incident's evidence that are there for the host that they share with others.
pub const HOSTED: usize = 40;
/// Calls that may be declared, and the size of the text that declares them.
pub const DECLARED: usize = 10_000;
/// See [`DECLARED`].
pub const DECLARED_SIZE: usize = 1 << 20;
/// Nodes of one incident's evidence.
pub const EVIDENCE_NODES: usize = 400;

/// How long a span waits for its other half, in ms of rule time.
pub const WAIT: i64 = 30_000;
/// How long a span that has found it waits for late children, in ms of rule time.
pub const SETTLED_WAIT: i64 = 2_000;
/// Longest duration that is believed, in ns: a day.
pub const DURATION_NS: i64 = 86_400_000_000_000;
/// Seconds of which single figures are kept.
pub const SECONDS: i64 = 120;
/// Seconds of a window that baselines see.
pub const WINDOW: i64 = 10;
/// Seconds after which a series that has not changed is sent again, so that it does not go stale.
pub const RESEND: i64 = 30;
/// Seconds between two looks at the same row for eviction.
pub const SWEEP: i64 = 60;
/// Seconds after a start in which missing traffic proves nothing: senders have to find us again.
pub const RESUME: i64 = 120;
/// Changes of version told of one service, at most one in so many ms.
pub const VERSION_PACE: i64 = 60_000;

const HOUR: i64 = 3_600_000;

/// Whether a row unused since `used` shall go: after a good day, or after an hour once its table is half full.
pub fn outlived(used: Millis, now: Millis, rows: usize, limit: usize) -> bool {
    now.since(used) > if rows * 2 > limit { HOUR } else { 26 * HOUR }
}
