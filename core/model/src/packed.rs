//! Samples as bytes: what changes from one to the next, and no more. Rings in checkpoints and chunks of the recent store are these.
//!
//! For each sample, in rising time:
//! - the change of the distance in time, in ms (the first distance is from 0): zigzag, then base 128, lowest group first;
//! - one byte: 0 where the value's bits are those of the value before (0 at first), 255 for a stale marker, otherwise
//!   16 times the number of leading zero bytes of the exclusive or with them, plus the number of bytes that follow:
//!   the rest of it without its trailing zero bytes, highest first.
//!
//! Telemetry comes at even distances with values like those before: 3 to 6 bytes a sample instead of 19. After Pelkonen
//! et al., "Gorilla", VLDB 2015, in whole bytes. One spelling for each list of samples; [`unpack`] refuses all others.
use crate::sample::Sample;
use crate::time::Millis;
use alloc::vec::Vec;

const STALE: u8 = 255;
/// Most bytes of a sample: 10 of time, 1, 8 of value.
const SAMPLE_SIZE_MAX: usize = 19;

/// What the next sample is told from: samples can be added to their bytes one at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packer {
    time: i64,
    distance: i64,
    value: u64,
}

impl Packer {
    /// Appends a sample, later than those before it, to the bytes of those.
    #[inline]
    pub fn push(&mut self, sample: Sample, bytes: &mut Vec<u8>) {
        let step = sample.time().0.wrapping_sub(self.time);
        let change = step.wrapping_sub(self.distance);
        (self.time, self.distance) = (sample.time().0, step);
        let mut left = (change << 1 ^ change >> 63) as u64;
        while left >= 0x80 {
            bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        if sample.is_stale() {
            bytes.push(STALE);
            return;
        }
        let bits = sample.value().to_bits();
        let other = bits ^ self.value;
        self.value = bits;
        if other == 0 {
            bytes.push(0);
            return;
        }
        let (leading, trailing) = (other.leading_zeros() / 8, other.trailing_zeros() / 8);
        let count = 8 - leading - trailing;
        bytes.push((leading << 4 | count) as u8);
        let rest = other << (8 * leading);
        bytes.extend_from_slice(&rest.to_be_bytes()[..count as usize]);
    }
}

/// The samples, in rising time, as bytes.
pub fn pack(samples: &[Sample]) -> Vec<u8> {
    // Room for two at their worst, which is what most series have; else for a usual one.
    let mut bytes = Vec::with_capacity(2 * SAMPLE_SIZE_MAX + samples.len() * 4);
    let mut packer = Packer::default();
    samples.iter().for_each(|sample| packer.push(*sample, &mut bytes));
    bytes
}

/// The samples of bytes that [`pack`] made; nothing for any others.
pub fn unpack(bytes: &[u8]) -> Option<Vec<Sample>> {
    let mut samples = Vec::new();
    unpack_onto(bytes, &mut samples).then_some(samples)
}

/// Appends the samples of bytes that [`pack`] made, and says whether they are such; where not, what was appended is no
/// sample of anybody's.
pub fn unpack_onto(bytes: &[u8], samples: &mut Vec<Sample>) -> bool {
    append(bytes, samples).is_some()
}

fn append(mut bytes: &[u8], samples: &mut Vec<Sample>) -> Option<()> {
    // No sample is as early as this.
    let mut last = i64::MIN;
    let (mut time, mut distance, mut value) = (0_i64, 0_i64, 0_u64);
    while !bytes.is_empty() {
        let (change, rest) = match bytes {
            // At even distances it does not change.
            [0, rest @ ..] => (0, rest),
            _ => varint(bytes)?,
        };
        distance = distance.wrapping_add((change >> 1) as i64 ^ -((change & 1) as i64));
        time = time.wrapping_add(distance);
        let (&head, rest) = rest.split_first()?;
        let sample = if head == STALE {
            bytes = rest;
            Sample::stale(Millis(time))
        } else {
            let (leading, count) = (usize::from(head >> 4), usize::from(head & 15));
            if head != 0 {
                if count < 1 || leading + count > 8 {
                    return None;
                }
                // Mostly more follows than is wanted: a word is read at once, and what is not wanted falls off its end.
                let word = match rest.first_chunk() {
                    Some(word) => u64::from_be_bytes(*word) >> (64 - 8 * count),
                    None => rest.get(..count)?.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
                };
                if word >> (8 * count - 8) == 0 || word & 0xff == 0 {
                    return None;
                }
                value ^= word << (64 - 8 * (leading + count));
            }
            bytes = &rest[count..];
            let sample = Sample::new(Millis(time), f64::from_bits(value));
            // Other NaNs than ours.
            Some(sample).filter(|sample| sample.value().to_bits() == value)?
        };
        if sample.time().0 != time || time <= last {
            return None;
        }
        last = time;
        samples.push(sample);
    }
    Some(())
}

/// A number in its shortest form and what follows it.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        // The tenth byte holds one bit; a last byte of 0 would be a longer form.
        if (i == 9 && part > 1) || (i > 0 && byte == 0) {
            return None;
        }
        value |= part << (7 * i);
        if byte < 0x80 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};

    fn sample(time: i64, value: f64) -> Sample {
        Sample::new(Millis(time), value)
    }

    #[test]
    fn samples_survive_their_bytes() {
        let far = 1 << 62;
        let even: Vec<Sample> = (0..100).map(|i| sample(1_700_000_000_000 + i * 15_000, (i * 3) as f64)).collect();
        let sized = |samples: Vec<Sample>, most: usize| {
            let bytes = pack(&samples);
            // In words: a NaN is not equal to itself.
            assert_eq!(format!("{:?}", unpack(&bytes)), format!("{:?}", Some(samples)));
            assert!(bytes.len() <= most, "{} bytes", bytes.len());
        };
        sized(vec![], 0);
        sized(even, 400);
        sized((0..100).map(|i| sample(i * 1000, 7.0)).collect(), 203 + 3);
        sized(vec![sample(-far, f64::MAX), sample(far - 1, f64::MIN_POSITIVE)], 2 * SAMPLE_SIZE_MAX);
        sized(vec![sample(-5, -0.0), Sample::stale(Millis(-4)), sample(3, f64::NAN), sample(4, f64::INFINITY)], 40);
    }

    /// Each list has one spelling: whatever reads, reads back to the same bytes.
    #[test]
    fn other_spellings_are_refused() {
        let good = pack(&[sample(1000, 1.5), sample(2000, 2.5), Sample::stale(Millis(2500)), sample(4000, f64::NAN)]);
        let mut read = 0;
        for at in 0..good.len() {
            for byte in 0..=255 {
                let mut bytes = good.clone();
                bytes[at] = byte;
                if let Some(samples) = unpack(&bytes) {
                    read += 1;
                    assert_eq!(pack(&samples), bytes);
                }
            }
            assert!(unpack(&good[..at]).is_none_or(|samples| pack(&samples) == good[..at]));
        }
        assert!(read > good.len(), "some of them are other lists");
        for bad in [
            &[0x80, 0, 0][..],
            &[0xff; 12],
            &[2, 0x09],
            &[2, 0x10],
            &[2, 0x12, 0, 1],
            &[2, 0x12, 1, 0],
            &[2, 0x78, 1, 1, 1, 1, 1, 1, 1, 1],
            &[0, 0, 0, 0],
            &[2, 0, 3, 0],
        ] {
            assert_eq!(unpack(bad), None, "{bad:02x?}");
        }
    }
}
