//! From scores to an anomaly: it must last or be huge, is told once, and again only when it grows threefold.
use faultline_model::{canonical_struct, time::Millis};

/// From this |z| on a window counts.
pub const RAISE: f64 = 4.0;
/// From this |z| on a single window is enough.
pub const HUGE: f64 = 8.0;
/// An anomaly is told again when it has grown by this factor.
const GROWTH: f64 = 3.0;
/// Windows below the threshold that end an anomaly.
const CALM: u32 = 3;

/// Edge-triggered state of one signal of one entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    // 0 calm, 1 above the baseline, -1 below it.
    side: i64,
    // Which of the last three windows counted: lowest bit is the newest.
    recent: u32,
    peak: f64,
    calm: u32,
    /// When the anomaly is thought to have begun; set by the caller when [`Watch::observe`] raises it.
    pub since: Millis,
}
canonical_struct!(Watch { side, recent, peak, calm, since });

impl Watch {
    /// Whether an anomaly is going on.
    pub fn is_active(&self) -> bool {
        self.side != 0
    }

    /// Takes the score of a closed window; says whether an anomaly is to be told now.
    ///
    /// - `z`: signed score.
    /// - `material`: whether the difference matters in physical units (algorithms.md 1.4).
    pub fn observe(&mut self, z: f64, material: bool) -> bool {
        let size = if z < 0.0 { -z } else { z };
        let counts = material && size >= RAISE;
        let side = if z < 0.0 { -1 } else { 1 };
        self.recent = (self.recent << 1 | u32::from(counts)) & 0b111;
        if !counts {
            if self.side != 0 {
                self.calm += 1;
                if self.calm >= CALM {
                    *self = Watch::default();
                }
            }
            return false;
        }
        self.calm = 0;
        let lasting = size >= HUGE || self.recent.count_ones() >= 2;
        let news = if self.side == side { size >= GROWTH * self.peak } else { lasting };
        if news {
            (self.side, self.peak) = (side, size);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anomaly_is_told_once_and_again_when_it_grows() {
        let mut watch = Watch::default();
        for (z, material, told) in [
            (3.9, true, false),
            (5.0, true, false),   // One window is not enough,
            (0.0, true, false),   // nor is a lone one long ago,
            (4.5, true, true),    // two of three are.
            (6.0, true, false),   // Known already.
            (16.0, true, true),   // Three times as large.
            (-9.0, true, true),   // The other way, hugely.
            (-9.0, false, false), // Immaterial: calm.
            (0.0, true, false),
            (0.0, true, false), // Third calm window: over.
            (-9.0, true, true),
        ] {
            assert_eq!(watch.observe(z, material), told, "{z} {material} {watch:?}");
        }
    }
}
