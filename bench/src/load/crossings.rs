//! Values that cross a threshold: each on a series of its own, so that each must fire one alert.
use super::population::resource;
use faultline_formats::encode::{self, Data, Metric, Number, NumberPoint, ResourceMetrics, Value};
use faultline_model::EventTime;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// The metric of all crossing series.
pub const METRIC: &str = "bench_crossing";
/// Crossing series that one rule selects.
pub const LANE: u32 = 100;
/// Most crossings in one body: a late sender must not turn a stream of alerts into a burst.
const BODY_MAX: u32 = 4;

/// When a crossing was due, and when the last byte of its body was written.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub due: Instant,
    pub written: Instant,
}

/// The crossings of one measurement.
#[derive(Debug)]
pub struct Crossings {
    start: Instant,
    per_second: f64,
    /// Numbers: no two measurements of a run share one.
    numbers: Range<u32>,
    claimed: AtomicU32,
    sent: Mutex<Vec<Option<Sent>>>,
}

impl Crossings {
    /// Crossings of these numbers, evenly from `start`.
    pub fn new(start: Instant, per_second: f64, numbers: Range<u32>) -> Crossings {
        let sent = Mutex::new(vec![None; numbers.len()]);
        Crossings { start, per_second, claimed: AtomicU32::new(numbers.start), numbers, sent }
    }

    /// Takes the crossings that are due by `now` and that no other sender has taken.
    pub fn claim(&self, now: Instant) -> Range<u32> {
        let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
        let due = self.numbers.start.saturating_add((elapsed * self.per_second) as u32).min(self.numbers.end);
        let take = |claimed: u32| (claimed < due).then(|| due.min(claimed + BODY_MAX));
        match self.claimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(first) => first..due.min(first + BODY_MAX),
            Err(_) => 0..0,
        }
    }

    /// Notes that a body with these crossings has left.
    pub fn left(&self, crossings: Range<u32>, sent: Sent) {
        if crossings.is_empty() {
            return;
        }
        let mut all = self.sent.lock().expect("no holder panics");
        let index = |number: u32| (number - self.numbers.start) as usize;
        all[index(crossings.start)..index(crossings.end)].fill(Some(sent));
    }

    /// Those that left, with their numbers.
    pub fn sent(&self) -> Vec<(u32, Sent)> {
        let all = self.sent.lock().expect("no holder panics");
        self.numbers.clone().zip(all.iter()).filter_map(|(i, sent)| Some((i, (*sent)?))).collect()
    }
}

/// The number of a crossing as its series bears it.
pub fn label(crossing: u32) -> String {
    format!("{crossing:06}")
}

/// Points of crossing series, as an OTLP body; it may stand behind another body, since messages may be joined.
pub fn body(crossings: Range<u32>, value: f64, ms: i64) -> Vec<u8> {
    if crossings.is_empty() {
        return Vec::new();
    }
    let point = |crossing: u32| NumberPoint {
        attributes: vec![
            ("crossing".to_owned(), Value::Text(label(crossing))),
            ("lane".to_owned(), Value::Text((crossing / LANE).to_string())),
        ],
        time: EventTime(ms * super::template::MS),
        value: Number::Double(value),
    };
    let metric = Metric { name: METRIC.into(), unit: String::new(), data: Data::Gauge(crossings.map(point).collect()) };
    encode::metrics(&[ResourceMetrics { resource: resource(0), metrics: vec![metric] }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_is_claimed_once_and_none_before_its_time() {
        let start = Instant::now();
        let crossings = Crossings::new(start, 100.0, 200..250);
        assert!(crossings.claim(start).is_empty());
        let mut seen = Vec::new();
        for ms in (0..1000).step_by(7) {
            let claimed = crossings.claim(start + Duration::from_millis(ms));
            assert!(claimed.len() <= BODY_MAX as usize && u64::from(claimed.end.saturating_sub(200)) * 10 <= ms);
            seen.extend(claimed);
        }
        assert_eq!(seen, (200..250).collect::<Vec<_>>());
    }

    #[test]
    fn remembers_when_each_left() {
        let crossings = Crossings::new(Instant::now(), 1.0, 10..13);
        let now = Instant::now();
        crossings.left(11..12, Sent { due: now, written: now });
        assert_eq!(crossings.sent().iter().map(|(i, _)| *i).collect::<Vec<_>>(), [11]);
    }
}
