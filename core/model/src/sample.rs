//! One point of a series: 16 bytes, staleness kept beside the value instead of inside it.
use crate::float;
use crate::histogram::Histogram;
use crate::time::Millis;
use alloc::sync::Arc;

/// A point of a series. Staleness is a flag, not a NaN; any other NaN has one bit pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    // Time in the upper 63 bits, the stale flag in the lowest: a ring of samples stays at 16 bytes each.
    time_and_flag: i64,
    value: f64,
}

impl Sample {
    /// Times are held within +-2^62 ms, which is 146 million years either way.
    const TIME_LIMIT: i64 = 1 << 62;

    /// A value at a time.
    pub fn new(time: Millis, value: f64) -> Sample {
        Sample { time_and_flag: Self::pack(time), value: float::canonical(value) }
    }

    /// A stale marker: the series ended just before `time`.
    pub fn stale(time: Millis) -> Sample {
        Sample { time_and_flag: Self::pack(time) | 1, value: 0.0 }
    }

    fn pack(time: Millis) -> i64 {
        time.0.clamp(-Self::TIME_LIMIT, Self::TIME_LIMIT - 1) << 1
    }

    /// When, in the sender's own time.
    pub fn time(&self) -> Millis {
        Millis(self.time_and_flag >> 1)
    }

    /// The value; 0 of a stale marker.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Whether this marks the end of the series instead of a value.
    pub fn is_stale(&self) -> bool {
        self.time_and_flag & 1 == 1
    }
}

impl crate::Canonical for Sample {
    fn write(&self, w: &mut crate::Writer) {
        w.array(2);
        w.int(self.time_and_flag);
        w.float(self.value);
    }

    fn read(r: &mut crate::Reader<'_>) -> Result<Self, crate::CodecError> {
        r.array_of(2)?;
        Ok(Sample { time_and_flag: r.int()?, value: r.float()? })
    }
}

/// A point of a series of histograms.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample {
    /// When, in the sender's own time.
    pub time: Millis,
    /// The histogram; nothing in a stale marker: the series ended just before `time`.
    pub histogram: Option<Arc<Histogram>>,
}
crate::canonical_struct!(HistogramSample { time, histogram });

impl HistogramSample {
    /// Whether this marks the end of the series.
    pub fn is_stale(&self) -> bool {
        self.histogram.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_flag_survive_packing() {
        for ms in [0, -1, 1, i64::MIN, i64::MAX, 1_700_000_000_123] {
            let clamped = ms.clamp(-Sample::TIME_LIMIT, Sample::TIME_LIMIT - 1);
            assert_eq!(Sample::new(Millis(ms), 2.5).time(), Millis(clamped));
            assert!(Sample::stale(Millis(ms)).is_stale());
            assert!(!Sample::new(Millis(ms), f64::NAN).is_stale());
        }
        let odd_nan = f64::from_bits(0xfff8_0000_0000_0001);
        assert_eq!(Sample::new(Millis(0), odd_nan).value().to_bits(), float::NAN.to_bits());
    }
}
