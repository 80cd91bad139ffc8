//! A sum that depends on its terms alone, not on their order: what lets a running total equal a recomputed one.
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::float;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// Exact sum of `f64` terms, rounded once when read.
///
/// A fixed-point number of 2,176 bits in 34-bit-headroom limbs covers every finite `f64`; adding and taking away are
/// exact, so `add(x)` then `sub(x)` restores the same state whatever came between. Infinities and NaNs are counted.
///
/// Source: Neal, "Fast exact summation using small and large superaccumulators", arXiv 1505.05571, 2015.
#[derive(Clone, Debug)]
pub struct ExactSum {
    // Limb i weighs 2^(32 i - 1074); a limb holds at most 2^31 additions between carries.
    limbs: Vec<i64>,
    /// Limbs outside are 0. Derived: as narrow as nobody need know.
    used: Range<usize>,
    pending: u32,
    nans: u64,
    positive_infinities: u64,
    negative_infinities: u64,
}

// 2^-1074 .. 2^1024 is 2,098 bits; two spare limbs take the carries of 2^64 additions.
const LIMBS: usize = 68;
const CARRY_EVERY: u32 = 1 << 29;

impl Default for ExactSum {
    fn default() -> Self {
        ExactSum {
            limbs: vec![0; LIMBS],
            used: 0..0,
            pending: 0,
            nans: 0,
            positive_infinities: 0,
            negative_infinities: 0,
        }
    }
}

impl ExactSum {
    /// Adds a term.
    pub fn add(&mut self, x: f64) {
        self.put(x, 1);
    }

    /// Takes a term away that was added before.
    pub fn sub(&mut self, x: f64) {
        self.put(x, -1);
    }

    fn put(&mut self, x: f64, direction: i64) {
        if !x.is_finite() {
            let count = if x.is_nan() {
                &mut self.nans
            } else if x > 0.0 {
                &mut self.positive_infinities
            } else {
                &mut self.negative_infinities
            };
            *count = count.checked_add_signed(direction).expect("only added terms are taken away");
            return;
        }
        let bits = x.to_bits();
        let exponent = (bits >> 52) & 0x7ff;
        let mantissa = if exponent == 0 { bits & ((1 << 52) - 1) } else { (bits & ((1 << 52) - 1)) | (1 << 52) };
        let sign = if bits >> 63 == 1 { -direction } else { direction };
        let shift = exponent.saturating_sub(1);
        let (limb, bit) = ((shift / 32) as usize, shift % 32);
        let wide = u128::from(mantissa) << bit;
        for (i, part) in [wide as u32, (wide >> 32) as u32, (wide >> 64) as u32].into_iter().enumerate() {
            self.limbs[limb + i] += sign * i64::from(part);
        }
        self.used = match &self.used {
            used if used.is_empty() => limb..limb + 3,
            used => used.start.min(limb)..used.end.max(limb + 3),
        };
        self.pending += 1;
        if self.pending == CARRY_EVERY {
            self.carry();
        }
    }

    /// Brings every limb but the last into 0..2^32.
    fn carry(&mut self) {
        carry(&mut self.limbs);
        self.used = used(&self.limbs);
        self.pending = 0;
    }

    /// The sum, rounded to nearest, ties to even; `0` of no terms.
    pub fn value(&self) -> f64 {
        if self.nans > 0 || (self.positive_infinities > 0 && self.negative_infinities > 0) {
            return float::NAN;
        }
        if self.positive_infinities > 0 {
            return f64::INFINITY;
        }
        if self.negative_infinities > 0 {
            return f64::NEG_INFINITY;
        }
        if self.used.is_empty() {
            return 0.0;
        }
        let mut limbs = [0; LIMBS];
        limbs[self.used.clone()].copy_from_slice(&self.limbs[self.used.clone()]);
        // Two limbs more take all carries, and the sign.
        let end = (self.used.end + 2).min(LIMBS);
        let part = &mut limbs[self.used.start..end];
        carry(part);
        let negative = part.last().is_some_and(|last| *last < 0);
        if negative {
            part.iter_mut().for_each(|limb| *limb = -*limb);
            carry(part);
        }
        let magnitude = round(&limbs[..end]);
        if negative { -magnitude } else { magnitude }
    }
}

/// The limbs that are not 0, with all between them.
fn used(limbs: &[i64]) -> Range<usize> {
    let first = limbs.iter().position(|&limb| limb != 0);
    first.map_or(0..0, |first| first..limbs.iter().rposition(|&limb| limb != 0).unwrap_or(first) + 1)
}

fn carry(limbs: &mut [i64]) {
    let Some((last, low)) = limbs.split_last_mut() else { return };
    let mut carry = 0;
    for limb in low {
        let value = *limb + carry;
        *limb = value & 0xffff_ffff;
        carry = value >> 32;
    }
    *last += carry;
}

/// Value of carried, non-negative limbs, rounded to nearest, ties to even.
fn round(limbs: &[i64]) -> f64 {
    let Some(top) = limbs.iter().rposition(|&limb| limb != 0) else { return 0.0 };
    let highest_bit = top * 32 + 63 - limbs[top].leading_zeros() as usize;
    if highest_bit < 53 {
        // Subnormal or just above: the low limbs are the mantissa, exactly.
        return f64::from_bits(limbs[0] as u64 | (limbs[1] as u64) << 32);
    }
    let low = highest_bit - 52;
    let bit_at = |i: usize| (limbs[i / 32] >> (i % 32)) & 1 == 1;
    // 53 bits lie in three limbs at most.
    let limb = |i: usize| u128::from(limbs.get(i).copied().unwrap_or(0) as u64);
    let wide = limb(low / 32) | limb(low / 32 + 1) << 32 | limb(low / 32 + 2) << 64;
    let mantissa = (wide >> (low % 32)) as u64 & ((1 << 53) - 1);
    let half = bit_at(low - 1);
    let beyond = half && {
        let (limb, bit) = ((low - 1) / 32, (low - 1) % 32);
        limbs[limb] & ((1 << bit) - 1) != 0 || limbs[..limb].iter().any(|&l| l != 0)
    };
    // Adding to the packed bits carries from mantissa into exponent as rounding should.
    let exponent = low as u64 + 1;
    if exponent > 2046 {
        return f64::INFINITY;
    }
    let packed = (exponent << 52 | (mantissa & ((1 << 52) - 1))) + u64::from(half && (beyond || mantissa & 1 == 1));
    f64::from_bits(packed)
}

impl Canonical for ExactSum {
    fn write(&self, w: &mut Writer) {
        let mut carried = self.clone();
        carried.carry();
        carried.limbs.write(w);
        (carried.nans, (carried.positive_infinities, carried.negative_infinities)).write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let error = r.invalid("exact sum");
        let limbs = Vec::<i64>::read(r)?;
        // As `carry` leaves them: another spelling of the same sum, and limbs without headroom, are nobody's.
        let carried = limbs.split_last().is_some_and(|(top, low)| {
            low.iter().all(|limb| (0..1 << 32).contains(limb)) && (-1 << 32..1 << 32).contains(top)
        });
        if limbs.len() != LIMBS || !carried {
            return Err(error);
        }
        let (nans, (positive_infinities, negative_infinities)) = Canonical::read(r)?;
        let used = used(&limbs);
        Ok(ExactSum { limbs, used, pending: 0, nans, positive_infinities, negative_infinities })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(terms: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        terms.iter().for_each(|&x| sum.add(x));
        sum.value()
    }

    /// Expected values are Python's `math.fsum`, which rounds the exact sum once.
    #[test]
    fn sums_are_exact_then_rounded_once() {
        for (terms, expected) in [
            (&[][..], 0.0),
            (&[0.1; 10], 1.0),
            (&[1e308, 1e308, -1e308], 1e308),
            (&[1e16, 1.0, -1e16], 1.0),
            (&[1.0, 1e100, 1.0, -1e100], 2.0),
            (&[5e-324, 5e-324], 1e-323),
            (&[-5e-324, 2.5e-310], 2.5e-310 - 5e-324),
            (&[1.0, 1.1102230246251565e-16], 1.0),
            (&[1.0, 1.1102230246251565e-16, 5e-324], 1.0000000000000002),
            (&[1.0000000000000002, 1.1102230246251565e-16], 1.0000000000000004),
            (&[-0.1, -0.2, -0.3], -0.6),
            (&[f64::MAX, f64::MAX], f64::INFINITY),
            (&[f64::INFINITY, 1.0], f64::INFINITY),
        ] {
            assert_eq!(sum(terms).to_bits(), f64::to_bits(expected), "{terms:?}");
        }
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }

    #[test]
    fn order_and_detours_change_nothing() {
        let mut state = 7_u64;
        let terms: Vec<f64> = (0..500)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                f64::from_bits((state >> 12) | ((900 + (state >> 58)) << 52)) * if state & 1 == 0 { 1.0 } else { -1.0 }
            })
            .collect();
        let mut detour = ExactSum::default();
        for &x in terms.iter().rev() {
            detour.add(x * 3.0);
            detour.add(x);
            detour.sub(x * 3.0);
        }
        assert_eq!(detour.value().to_bits(), sum(&terms).to_bits());
        let bytes = detour.to_bytes();
        assert_eq!(ExactSum::from_bytes(&bytes).expect("just written").value().to_bits(), sum(&terms).to_bits());
    }

    /// Found by fuzzing: limbs that no sum leaves were taken, written back otherwise, and could overflow.
    #[test]
    fn a_sum_has_one_spelling() {
        let mut sum = ExactSum::default();
        [0.1, -1e308, 5e-324].iter().for_each(|&x| sum.add(x));
        sum.carry();
        assert_eq!(ExactSum::from_bytes(&sum.to_bytes()).map(|read| read.to_bytes()), Ok(sum.to_bytes()));
        for (at, limb) in [(0, -1), (5, 1 << 32), (LIMBS - 1, i64::MAX), (LIMBS - 1, -1 << 33)] {
            let mut limbs = sum.limbs.clone();
            limbs[at] = limb;
            let mut w = Writer::default();
            limbs.write(&mut w);
            (0_u64, (0_u64, 0_u64)).write(&mut w);
            assert!(ExactSum::from_bytes(&w.into_bytes()).is_err(), "limb {at} = {limb}");
        }
    }
}
