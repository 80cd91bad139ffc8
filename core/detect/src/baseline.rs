//! Robust baseline of one signal: a huberised moving level, its usual deviation, and a floor from physics.
//!
//! The level follows slowly and is updated with the clipped residual only, so that one wild window moves it little; a
//! strong anomaly freezes it for half an hour, so that an outage does not become the new normal while people look at
//! it. Windows without a single event are held back until the silence ends or is accepted: silence is judged as one
//! long window, which is how a service with two requests per window can be missed after a minute and not before.
//!
//! Source: channel RES of algorithms.md 4.1 (huberised EWMA level, EW absolute deviation), after Gelper, Fried and
//! Croux, "Robust Forecasting with Exponential and Holt-Winters Smoothing", J. Forecasting 29(3), 2010.
use faultline_model::{canonical_struct, float};

/// Windows before the first judgement: two minutes of 10 s.
pub const WARM_UP: u32 = 12;
/// Windows for which a strong anomaly keeps the level frozen: half an hour of 10 s.
pub const HOLD: u32 = 180;
/// Weight of the newest window in the level.
const LEVEL_RATE: f64 = 0.1;
/// Weight of the newest window in the deviation.
const DEVIATION_RATE: f64 = 0.01;
/// Weight of the newest burst in the usual size of bursts.
const BURST_RATE: f64 = 0.2;
/// Residuals are clipped at this many scales before anything learns from them.
const CLIP: f64 = 4.0;
/// From this z on a window is taken for an anomaly and teaches nothing about the level.
const GUARD: f64 = 5.0;
/// An anomaly of at most so many windows was a burst: what bursts now and then is expected to do so again.
const BURST: u32 = 3;
/// Standard deviation over mean absolute deviation of a normal distribution, sqrt(pi / 2).
const NORMAL: f64 = 1.253_314_137_315_5;
/// Scores beyond tell nothing more.
const LIMIT: f64 = 1000.0;

/// What is known of a signal's noise beforehand; sets the least scale that is believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Events per window; `weight` is the share of a window that was watched. Never steadier than Poisson.
    Count,
    /// Mean over `weight` events, in the signal's unit. Never steadier than `floor` and than `share` of the level.
    Mean {
        /// Least scale, in the signal's unit, `> 0`.
        floor: f64,
        /// Least scale as a share of the level, `>= 0`.
        share: f64,
    },
    /// Share of `weight` events, 0 to 1. Never steadier than binomial.
    Share,
}

/// How far a window is from what was expected.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The level before this window, in the signal's unit.
    pub expected: f64,
    /// Robust z-score, signed; 0 until the baseline has seen [`WARM_UP`] windows. Within +-1000.
    pub z: f64,
    /// Windows judged together: 1, or those of a silence that still lasts.
    pub windows: u32,
}

/// State of one baseline. The default has seen nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline {
    level: f64,
    // Mean absolute residual of a window of usual weight.
    deviation: f64,
    // Usual weight of a window.
    usual: f64,
    // Windows learned from, held at 2^32 - 1.
    seen: u32,
    // Windows of the anomaly that freezes the level, and their own moving level.
    frozen: u32,
    held: f64,
    // Windows of the silence that is held back (counts only).
    quiet: u32,
    // Share of windows that are bursts, and their usual distance from the level.
    burst_share: f64,
    burst_size: f64,
}
canonical_struct!(Baseline { level, deviation, usual, seen, frozen, held, quiet, burst_share, burst_size });

impl Baseline {
    /// Whether it has seen enough to judge.
    pub fn is_warm(&self) -> bool {
        self.seen >= WARM_UP
    }

    /// What the next window is expected to be, in the signal's unit.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Standard deviation that a window of `weight` is expected to have around the level, in the signal's unit, `> 0`.
    ///
    /// A window of less than the usual weight is noisier by the square root of the ratio; one of more is not taken to
    /// be steadier, because most of what varies is not sampling.
    pub fn scale(&self, noise: Noise, weight: f64) -> f64 {
        let usual = if self.usual > 0.0 { self.usual } else { 1.0 };
        let thin = usual / float::max(weight, 1e-9);
        // Few windows know their own deviation badly.
        let calm = NORMAL * self.deviation * (1.0 + 3.0 / float::max(f64::from(self.seen), 1.0));
        // Variance of a mixture: calm windows, and now and then a burst.
        let spread = float::sqrt(calm * calm + self.burst_share * self.burst_size * self.burst_size);
        match noise {
            Noise::Count => {
                // Sampling noise shrinks with the time watched; what the traffic does by itself does not.
                let process = float::max(spread * spread - self.level, 0.0);
                float::sqrt(process * float::max(thin, 1.0) + float::max(self.level, 1.0) * thin)
            }
            Noise::Mean { floor, share } => {
                let floor = float::max(floor, share * float::abs(self.level));
                float::max(spread * float::sqrt(float::max(thin, 1.0)), floor)
            }
            Noise::Share => {
                let p = (self.level * weight + 1.0) / (weight + 2.0);
                let binomial = float::sqrt(float::max(p * (1.0 - p), 0.0) / float::max(weight, 1e-9));
                float::max(spread * float::sqrt(float::max(thin, 1.0)), binomial)
            }
        }
    }

    /// Judges a value without learning from it.
    ///
    /// - `x`: the value, in the signal's unit (counts: per whole window).
    /// - `weight`: events behind it, or the share of a window watched for [`Noise::Count`]; `> 0`.
    pub fn score(&self, noise: Noise, x: f64, weight: f64) -> Score {
        if !self.is_warm() || !x.is_finite() || weight.is_nan() || weight <= 0.0 {
            return Score { expected: self.level, z: 0.0, windows: 1 };
        }
        let z = (x - self.level) / self.scale(noise, weight);
        Score { expected: self.level, z: float::max(float::min(z, LIMIT), -LIMIT), windows: 1 }
    }

    /// Judges a closed window, then learns from it. Arguments as for [`Baseline::score`].
    pub fn observe(&mut self, noise: Noise, x: f64, weight: f64) -> Score {
        if !x.is_finite() || weight.is_nan() || weight <= 0.0 {
            return Score { expected: self.level, z: 0.0, windows: 1 };
        }
        if noise == Noise::Count && self.is_warm() && self.frozen == 0 {
            if x <= 0.0 && self.level > 0.0 {
                return self.observe_silence();
            }
            self.end_silence();
        }
        let score = self.score(noise, x, weight);
        if self.is_warm() && float::abs(score.z) > GUARD {
            self.hold(x);
        } else {
            self.note_burst();
            self.learn(noise, x, weight);
        }
        score
    }

    /// One more window without any event: judged together with those before it.
    fn observe_silence(&mut self) -> Score {
        self.quiet += 1;
        let score = Score { windows: self.quiet, ..self.score(Noise::Count, 0.0, f64::from(self.quiet)) };
        if self.quiet >= HOLD {
            // Half an hour without a single event is the new normal.
            self.quiet = 0;
            self.level = 0.0;
            self.deviation = 0.0;
        }
        score
    }

    /// Events came again: a silence within reason is learned, one that was an anomaly is not.
    fn end_silence(&mut self) {
        let quiet = core::mem::take(&mut self.quiet);
        if quiet > 0 && self.score(Noise::Count, 0.0, f64::from(quiet)).z >= -GUARD {
            (0..quiet).for_each(|_| self.learn(Noise::Count, 0.0, 1.0));
        }
    }

    /// A strong anomaly: the level waits, until what it is at has lasted long enough to be accepted.
    fn hold(&mut self, x: f64) {
        self.held = if self.frozen == 0 { x } else { self.held + LEVEL_RATE * (x - self.held) };
        self.frozen += 1;
        if self.frozen >= HOLD {
            self.level = self.held;
            self.frozen = 0;
        }
    }

    /// A strong anomaly ended: a short one was a burst, a long one teaches nothing.
    fn note_burst(&mut self) {
        let windows = core::mem::take(&mut self.frozen);
        if (1..=BURST).contains(&windows) {
            let size = float::abs(self.held - self.level);
            let first = self.burst_size <= 0.0;
            self.burst_size = if first { size } else { self.burst_size + BURST_RATE * (size - self.burst_size) };
            (0..windows).for_each(|_| self.burst_share += DEVIATION_RATE * (1.0 - self.burst_share));
        }
        self.burst_share -= DEVIATION_RATE * self.burst_share;
    }

    fn learn(&mut self, noise: Noise, x: f64, weight: f64) {
        if self.seen == 0 {
            *self = Baseline { level: x, usual: weight, seen: 1, ..Baseline::default() };
            return;
        }
        let limit = if self.is_warm() { CLIP * self.scale(noise, weight) } else { f64::INFINITY };
        self.seen = self.seen.saturating_add(1);
        let start = 1.0 / f64::from(self.seen);
        let thin = float::max(self.usual / weight, 1.0);
        let residual = float::max(float::min(x - self.level, limit), -limit);
        // A window of few events says little: it teaches in proportion, and its noise is brought to the usual weight.
        let deviation = float::abs(residual) / float::sqrt(thin);
        self.deviation += float::max(DEVIATION_RATE, start) / thin * (deviation - self.deviation);
        self.level += float::max(LEVEL_RATE, start) / thin * residual;
        self.usual += float::max(DEVIATION_RATE, start) * (weight - self.usual);
    }
}
