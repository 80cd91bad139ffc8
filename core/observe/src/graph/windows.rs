//! Closed windows of ten seconds against their baselines, and the anomalies among them.
//!
//! The windows of different services end in different seconds, so that no second carries the work of all.
use super::Graph;
use super::limits::WINDOW;
use super::seconds::{Called, Served};
use super::services::Service;
use alloc::vec::Vec;
use faultline_detect::{Noise, Score, Watch};
use faultline_model::facts::{Anomaly, Signal};
use faultline_model::{Millis, float};

/// Means of latencies, in ms: below a fifth of a millisecond or 3 % nothing is told apart.
pub(super) const LATENCY: Noise = Noise::Mean { floor: 0.2, share: 0.03 };

/// What matters in physical units (algorithms.md 1.4): below these a score is noise, however large.
const LATENCY_MS: f64 = 2.0;
const LATENCY_SHARE: f64 = 0.1;
const LATENCY_REQUESTS: f64 = 5.0;
const ERROR_SHARE: f64 = 0.005;
const ERROR_REQUESTS: i64 = 2;
const TRAFFIC_REQUESTS: f64 = 5.0;
const TRAFFIC_SHARE: f64 = 0.2;
const ERROR_LOGS: f64 = 3.0;

/// Means and shares of a service's requests; none without requests.
pub(super) struct Means {
    pub count: f64,
    pub latency: f64,
    pub self_time: f64,
    pub errors: f64,
    pub own_errors: f64,
}

impl Means {
    pub(super) fn of(served: &Served) -> Option<Means> {
        // Corrections of earlier seconds may leave less than nothing.
        if served.requests <= 0 {
            return None;
        }
        let count = served.requests as f64;
        Some(Means {
            count,
            latency: served.total_ns as f64 / 1e6 / count,
            self_time: float::max(served.self_ns as f64, 0.0) / 1e6 / count,
            errors: share(served.failed, served.requests),
            own_errors: share(served.own_failed, served.requests),
        })
    }
}

/// `part / whole`, within 0 and 1.
pub(super) fn share(part: i64, whole: i64) -> f64 {
    part.clamp(0, whole.max(0)) as f64 / whole.max(1) as f64
}

/// Mean of a sum in ns over a count, in ms.
pub(super) fn mean_ms(sum_ns: i64, count: i64) -> f64 {
    sum_ns as f64 / 1e6 / count as f64
}

impl Graph {
    /// Closes the windows that end with `second`, at the instant `end`.
    pub(super) fn close_windows(&mut self, second: i64, end: Millis, out: &mut Vec<Anomaly>) {
        // The window of row i ends where second + 1 + i is a multiple of ten.
        let phase = (WINDOW - (second + 1).rem_euclid(WINDOW)) % WINDOW;
        for id in (phase as u32..self.services.end()).step_by(WINDOW as usize) {
            if self.services.try_get(id).is_some() {
                self.close_service(id, second + 1 - WINDOW, second + 1, end, out);
                self.close_measured_service(id, end, out);
            }
        }
        for id in (phase as u32..self.edges.end()).step_by(WINDOW as usize) {
            if self.edges.try_get(id).is_some() {
                self.close_edge(id, second + 1 - WINDOW, second + 1);
                self.close_measured_edge(id, end);
            }
        }
    }

    /// Whether a window is whole and says something about missing traffic.
    fn is_whole(&self, since: Millis, from: i64) -> bool {
        from >= self.judged_from && since.0.div_euclid(1000) < from
    }

    fn close_service(&mut self, id: u32, from: i64, to: i64, at: Millis, out: &mut Vec<Anomaly>) {
        let whole = self.is_whole(self.services.get(id).since, from);
        let service = self.services.get_mut(id);
        let served = service.seconds.sum(from, to);
        let (expected, seconds) = (&mut service.expected, WINDOW as f64);
        if whole {
            let x = float::max(served.requests as f64, 0.0);
            let score = expected.traffic.observe(Noise::Count, x, 1.0);
            let material = material_traffic(&score, x);
            let score = Score { expected: score.expected / seconds, ..score };
            judge(service, Signal::Traffic, score, x / seconds, material, at, out);
        }
        let expected = &mut service.expected;
        if whole {
            let x = served.error_logs as f64;
            let score = expected.error_logs.observe(Noise::Count, x, 1.0);
            let material = x - score.expected >= ERROR_LOGS;
            let score = Score { expected: score.expected / seconds, ..score };
            judge(service, Signal::ErrorLogs, score, x / seconds, material, at, out);
        }
        let Some(means) = Means::of(&served) else { return };
        let expected = &mut service.expected;
        expected.self_time.observe(LATENCY, means.self_time, means.count);
        expected.own_errors.observe(Noise::Share, means.own_errors, means.count);
        let latency = expected.latency.observe(LATENCY, means.latency, means.count);
        let errors = expected.errors.observe(Noise::Share, means.errors, means.count);
        let material = material_latency(&latency, &means);
        judge(service, Signal::Latency, latency, means.latency, material, at, out);
        let material = material_errors(&errors, &means, served.failed);
        judge(service, Signal::Errors, errors, means.errors, material, at, out);
    }

    fn close_edge(&mut self, id: u32, from: i64, to: i64) {
        let since = self.edges.try_get(id).expect("the caller has just looked").since;
        let whole = self.is_whole(since, from);
        let edge = self.edges.get_mut(id);
        let Called { calls, failed, client_ns, pairs, gap_ns } = edge.seconds.sum(from, to);
        if whole {
            edge.expected.traffic.observe(Noise::Count, float::max(calls as f64, 0.0), 1.0);
        }
        if calls > 0 {
            edge.expected.latency.observe(LATENCY, mean_ms(client_ns, calls), calls as f64);
            edge.expected.errors.observe(Noise::Share, share(failed, calls), calls as f64);
        }
        if pairs > 0 {
            edge.expected.gap.observe(LATENCY, mean_ms(gap_ns, pairs), pairs as f64);
        }
    }
}

/// Takes a score to the signal's watch and tells the anomaly if there is news. `score` and `seen` in the signal's unit.
fn judge(
    service: &mut Service,
    signal: Signal,
    score: Score,
    seen: f64,
    material: bool,
    at: Millis,
    out: &mut Vec<Anomaly>,
) {
    if !watch(service, signal).observe(score.z, material) {
        return;
    }
    let shifted = signal_shift(service, signal, score.z, at.0.div_euclid(1000));
    let onset = shifted.map_or(at.plus(-WINDOW * 1000), |shifted| shifted.start);
    watch(service, signal).since = onset;
    let Score { expected, z, .. } = score;
    out.push(Anomaly { entity: service.entity.clone(), signal, at, onset, expected, seen, z });
}

/// Whether so many requests in a window matter.
pub(super) fn material_traffic(score: &Score, requests: f64) -> bool {
    let change = float::abs(requests - score.expected);
    // A service that stays away window after window owes the requests of all of them.
    change * f64::from(score.windows) >= TRAFFIC_REQUESTS && change >= TRAFFIC_SHARE * score.expected
}

/// Whether such a latency matters.
pub(super) fn material_latency(score: &Score, means: &Means) -> bool {
    let change = float::abs(means.latency - score.expected);
    change >= LATENCY_MS && change >= LATENCY_SHARE * score.expected && means.count >= LATENCY_REQUESTS
}

/// Whether such a share of failed requests matters.
pub(super) fn material_errors(score: &Score, means: &Means, failed: i64) -> bool {
    means.errors - score.expected >= ERROR_SHARE && failed >= ERROR_REQUESTS
}

pub(super) fn watch(service: &mut Service, signal: Signal) -> &mut Watch {
    match signal {
        Signal::Traffic => &mut service.watches.traffic,
        Signal::Latency => &mut service.watches.latency,
        Signal::Errors => &mut service.watches.errors,
        Signal::ErrorLogs => &mut service.watches.error_logs,
    }
}

/// The last lasting shift of a signal.
pub(super) struct Shifted {
    /// Until then the signal was as usual; none where the seconds kept do not reach back to that.
    pub usual_until: Option<Millis>,
    /// When it began.
    pub start: Millis,
    /// Whether it goes on.
    pub lasts: bool,
}

/// The last shift of a signal within the seconds kept before `to`, in the direction of `z`, if one is to be seen.
///
/// Seconds are judged as short windows: a second in which nothing came says something about traffic only.
pub(super) fn signal_shift(service: &Service, signal: Signal, z: f64, to: i64) -> Option<Shifted> {
    let since = service.since.0.div_euclid(1000) + 1;
    let from = (to - super::limits::SECONDS).max(since);
    let (mut residuals, mut seconds) = (Vec::new(), Vec::new());
    // Senders that deliver every few seconds are judged in steps of as many.
    let step = (float::ceil(service.pace / 1000.0) as i64).clamp(1, WINDOW);
    let steps = (to - from) / step;
    for start in (0..steps).map(|i| to - (steps - i) * step) {
        let served = service.seconds.sum(start, start + step);
        let part = step as f64 / WINDOW as f64;
        let expected = &service.expected;
        let score = match (signal, Means::of(&served)) {
            (Signal::Traffic, _) => expected.traffic.score(Noise::Count, served.requests as f64 / part, part),
            (Signal::ErrorLogs, _) => expected.error_logs.score(Noise::Count, served.error_logs as f64 / part, part),
            (Signal::Latency, Some(means)) => expected.latency.score(LATENCY, means.latency, means.count),
            (Signal::Errors, Some(means)) => expected.errors.score(Noise::Share, means.errors, means.count),
            (_, None) => continue,
        };
        residuals.push(score.z);
        seconds.push(start);
    }
    let side = if z < 0.0 { -1.0 } else { 1.0 };
    let time = |i: usize| Millis(seconds[i].saturating_mul(1000));
    let stretch = faultline_detect::onset(&residuals, side)?;
    let usual_until = (stretch.left > 0).then(|| time(stretch.left));
    Some(Shifted { usual_until, start: time(stretch.start), lasts: stretch.lasts })
}
