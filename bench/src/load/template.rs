//! Bodies that are encoded once and written over: where their times, values and ids stand.
use super::metrics::OCCURRENCES_MAX;
use super::random::Random;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bits that no encoded name contains: what is to be written over is first encoded as one of these plus a count, and
/// then found by it.
const MARK: u64 = 0xf1f2_f3f4_0000_0000;
/// Nanoseconds of a millisecond.
pub const MS: i64 = 1_000_000;
/// A counter's value is the milliseconds since then, times something of its own: it rises with time, also over restarts.
const COUNTED_SINCE_MS: i64 = 1_700_000_000_000;
/// Values of gauges lie in `0.0 .. 90.0`; no rule over them holds below 95.
pub const GAUGE_END: f64 = 90.0;

/// The `index`th mark, a placeholder that [`Marks`] finds again.
pub fn mark(index: usize) -> u64 {
    MARK + index as u64
}

/// Finds marks in an encoded body, in the order in which they stand.
pub struct Marks<'a> {
    body: &'a [u8],
    from: usize,
}

impl<'a> Marks<'a> {
    /// Marks of `body`.
    pub fn new(body: &'a [u8]) -> Marks<'a> {
        Marks { body, from: 0 }
    }

    /// Offset of the next place that holds `bytes`, which must come.
    pub fn next(&mut self, bytes: &[u8]) -> u32 {
        let left = &self.body[self.from..];
        let at = left.windows(bytes.len()).position(|window| window == bytes).expect("marks are sought as encoded");
        let found = self.from + at;
        self.from = found + bytes.len();
        found as u32
    }

    /// Offset of a mark encoded as fixed64 or double.
    pub fn fixed64(&mut self, mark: u64) -> u32 {
        self.next(&mark.to_le_bytes())
    }
}

/// A body with the places that change from one sending to the next.
#[derive(Debug)]
pub struct Template {
    pub bytes: Vec<u8>,
    /// Points, log records or spans in it.
    pub events: u32,
    pub places: Places,
}

/// What changes, by kind of body.
#[derive(Debug)]
pub enum Places {
    Points(Vec<PointPlaces>),
    Logs(Vec<LogPlaces>),
    Spans(Vec<SpanPlaces>),
}

/// Offsets of a metric point.
#[derive(Clone, Copy, Debug)]
pub struct PointPlaces {
    pub time: u32,
    pub value: u32,
    /// Which occurrence of its series in this body it is, from 0: each comes a millisecond after the one before.
    pub occurrence: u8,
    /// 0 for a gauge, else what the counter counts in a millisecond.
    pub slope: u8,
}

/// Offsets of a log record.
#[derive(Clone, Copy, Debug)]
pub struct LogPlaces {
    pub time: u32,
    pub observed: u32,
    /// 16 hexadecimal digits of its text.
    pub request: u32,
}

/// Offsets of a span.
#[derive(Clone, Copy, Debug)]
pub struct SpanPlaces {
    pub trace: u32,
    pub id: u32,
    /// `None` for a root.
    pub parent: Option<u32>,
    pub start: u32,
    pub end: u32,
    /// Which trace of the body it belongs to.
    pub trace_index: u32,
    /// Which span of its trace it is, from 0, the root; its parent is the one before.
    pub depth: u8,
}

/// Milliseconds between the oldest and the newest point of a body.
const SPAN_MS: i64 = OCCURRENCES_MAX as i64 - 1;

/// What one sending writes into a body.
pub struct Stamp<'a> {
    /// Time of the newest thing in it, in ms since 1970.
    pub ms: i64,
    /// Different for each body of a sender, by at least the number of its events.
    pub sequence: u64,
    pub random: &'a mut Random,
}

impl Template {
    /// Writes new times, values and ids over the old ones.
    pub fn stamp(&mut self, stamp: &mut Stamp<'_>) {
        let bytes = &mut self.bytes[..];
        let ns = stamp.ms * MS;
        match &self.places {
            Places::Points(points) => {
                for point in points {
                    let ms = stamp.ms - SPAN_MS + i64::from(point.occurrence);
                    let value = match point.slope {
                        0 => stamp.random.unit() * GAUGE_END,
                        slope => (ms - COUNTED_SINCE_MS) as f64 * f64::from(slope),
                    };
                    put(bytes, point.time, (ms * MS).to_le_bytes());
                    put(bytes, point.value, value.to_le_bytes());
                }
            }
            Places::Logs(logs) => {
                for (log, i) in logs.iter().zip(0_u64..) {
                    let time = ns - i as i64 * 1000;
                    put(bytes, log.time, time.to_le_bytes());
                    put(bytes, log.observed, ns.to_le_bytes());
                    put(bytes, log.request, hex(stamp.sequence + i));
                }
            }
            Places::Spans(spans) => {
                for span in spans {
                    let trace = stamp.sequence + u64::from(span.trace_index);
                    let id = trace << 4 | u64::from(span.depth) + 1;
                    // A call lies within the one that made it.
                    let margin = i64::from(span.depth) * 500_000;
                    let jitter = (stamp.random.bits() >> 46) as i64;
                    put(bytes, span.trace, (u128::from(mark(0)) << 64 | u128::from(trace)).to_be_bytes());
                    put(bytes, span.id, id.to_be_bytes());
                    if let Some(parent) = span.parent {
                        put(bytes, parent, (id - 1).to_be_bytes());
                    }
                    put(bytes, span.start, (ns - 10 * MS + margin - jitter).to_le_bytes());
                    put(bytes, span.end, (ns - margin).to_le_bytes());
                }
            }
        }
    }
}

#[inline]
fn put<const N: usize>(bytes: &mut [u8], at: u32, new: [u8; N]) {
    bytes[at as usize..][..N].copy_from_slice(&new);
}

fn hex(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[(number >> (60 - 4 * i)) as usize & 15])
}

/// The wall clock, in ms since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
