//! Chunks of floats: XOR, and XOR2, which may tell when counters began.
//!
//! Source: `xor.go` and `xor2.go` of Prometheus' tsdb/chunkenc.
use crate::bits::{Bits, Xor};
use crate::starts::Starts;
use faultline_model::{Millis, Sample};

/// The bits of Prometheus' stale marker.
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;
/// Times beyond cannot be held.
const TIME_MAX: i64 = 1 << 61;

/// A sample; nothing of a time that cannot be held.
pub fn sample(time: i64, bits: u64) -> Option<Sample> {
    let time = time_of(time)?;
    Some(if bits == STALE_NAN { Sample::stale(time) } else { Sample::new(time, f64::from_bits(bits)) })
}

/// A time that can be held.
pub fn time_of(time: i64) -> Option<Millis> {
    (-TIME_MAX..=TIME_MAX).contains(&time).then_some(Millis(time))
}

/// Appends the samples of an XOR chunk; nothing is told where it is none.
///
/// Number of samples (u16) | time, value | distance, value | change of the distance, value | ...
pub fn xor(chunk: &[u8], samples: &mut Vec<Sample>) -> Option<()> {
    let (count, rest) = chunk.split_first_chunk::<2>()?;
    let count = u16::from_be_bytes(*count);
    let mut bits = Bits::new(rest);
    if count == 0 {
        return Some(());
    }
    let (mut time, mut value) = (bits.varint()?, Xor::of(bits.bits(64)?));
    samples.push(sample(time, value.bits)?);
    let mut distance = 0_i64;
    for i in 1..count {
        if i == 1 {
            distance = bits.unsigned_varint()? as i64;
        } else {
            let size = [0, 14, 17, 20, 64][bits.ones(4)? as usize];
            distance = distance.wrapping_add(bits.signed(size)?);
        }
        time = time.wrapping_add(distance);
        value.next(&mut bits)?;
        samples.push(sample(time, value.bits)?);
    }
    Some(())
}

/// Appends the samples of an XOR2 chunk; nothing is told where it is none.
///
/// Number of samples (u16), where starts are (u8), then as XOR, but what is usual takes fewer bits; a stale marker is no value, and
/// the next value is told from the one before it.
pub fn xor2(chunk: &[u8], samples: &mut Vec<Sample>) -> Option<()> {
    let ([a, b, header], rest) = chunk.split_first_chunk::<3>()?;
    let count = u16::from_be_bytes([*a, *b]);
    let (mut bits, starts) = (Bits::new(rest), Starts::of(*header));
    if count == 0 {
        return Some(());
    }
    let (mut time, first) = (bits.varint()?, bits.bits(64)?);
    samples.push(sample(time, first)?);
    let mut value = Xor::of(if first == STALE_NAN { 0 } else { first });
    starts.skip(&mut bits, 0)?;
    let mut distance = 0_i64;
    for i in 1..count {
        let mut stale = false;
        if i == 1 {
            distance = bits.unsigned_varint()? as i64;
            stale = changed(&mut value, &mut bits)?;
        } else {
            match bits.ones(5)? {
                0 => {}
                1 if bits.bit()? => value.anew(&mut bits)?,
                1 => value.within(&mut bits)?,
                5 => stale = true,
                prefix => {
                    let size = [13, 20, 64][prefix as usize - 2];
                    let change = bits.bits(size)? << (64 - size);
                    distance = distance.wrapping_add(change as i64 >> (64 - size));
                    stale = changed(&mut value, &mut bits)?;
                }
            }
        }
        time = time.wrapping_add(distance);
        samples.push(sample(time, if stale { STALE_NAN } else { value.bits })?);
        starts.skip(&mut bits, i)?;
    }
    Some(())
}

/// Reads a value that may be as before, another, or a stale marker; and says whether it is the latter.
fn changed(value: &mut Xor, bits: &mut Bits<'_>) -> Option<bool> {
    match bits.ones(3)? {
        0 => {}
        1 => value.within(bits)?,
        2 => value.anew(bits)?,
        _ => return Some(true),
    }
    Some(false)
}
