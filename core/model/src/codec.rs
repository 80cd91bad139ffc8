//! Canonical bytes: deterministic CBOR (RFC 8949 section 4.2), one encoding per value.
//!
//! A struct is an array of its fields in order, an enum an array that begins with its number, an absent value `null`.
//! The reader refuses every other spelling of the same value, so equal bytes and equal values are the same thing.
//! Layouts are versioned where they are stored (`LedgerEntry::format`, a checkpoint's header), not here.
mod derive;

pub use derive::is_default;

use crate::float;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Why bytes are not a canonical value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a value: cut short.
    #[error("value cut short at byte {at}")]
    Short {
        /// Offset of the value.
        at: usize,
    },
    /// The bytes are well formed but not what is stored here, or not the one canonical spelling.
    #[error("not a valid {what} at byte {at}")]
    Invalid {
        /// Offset of the value.
        at: usize,
        /// What was expected.
        what: &'static str,
    },
    /// Bytes are left over after the value.
    #[error("{count} bytes left over after the value")]
    Trailing {
        /// How many.
        count: usize,
    },
}

/// A value with exactly one byte form.
pub trait Canonical: Sized {
    /// Appends the value.
    fn write(&self, w: &mut Writer);
    /// Reads the value back.
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError>;

    /// The value's bytes alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        self.write(&mut w);
        w.into_bytes()
    }

    /// Reads a value that fills `bytes` exactly.
    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        let value = Self::read(&mut r)?;
        match r.left() {
            0 => Ok(value),
            count => Err(CodecError::Trailing { count }),
        }
    }
}

/// Appends canonical values to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;

impl Writer {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes were written.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..=23 => self.bytes.push(major | value as u8),
            24..=0xff => self.bytes.extend([major | 24, value as u8]),
            0x100..=0xffff => {
                self.bytes.push(major | 25);
                self.bytes.extend((value as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.bytes.push(major | 26);
                self.bytes.extend((value as u32).to_be_bytes());
            }
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend(value.to_be_bytes());
            }
        }
    }

    /// A whole number from 0.
    pub fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    /// A whole number.
    pub fn int(&mut self, value: i64) {
        if value >= 0 { self.head(UINT, value as u64) } else { self.head(NEGATIVE, !value as u64) }
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// The head of a byte string of `size` bytes, which the caller writes next.
    pub fn bytes_head(&mut self, size: usize) {
        self.head(BYTES, size as u64);
    }

    /// A text string.
    pub fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// The head of an array of `count` items, which the caller writes next.
    pub fn array(&mut self, count: usize) {
        self.head(ARRAY, count as u64);
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(if value { 0xf5 } else { 0xf4 });
    }

    /// The absent value.
    pub fn null(&mut self) {
        self.bytes.push(0xf6);
    }

    /// A float in the shortest form that keeps its value (RFC 8949 4.2.1); NaN is the half-precision one.
    pub fn float(&mut self, value: f64) {
        if let Some(half) = half_from(value) {
            self.bytes.push(0xf9);
            self.bytes.extend(half.to_be_bytes());
        } else if f64::from(value as f32).to_bits() == value.to_bits() {
            self.bytes.push(0xfa);
            self.bytes.extend((value as f32).to_bits().to_be_bytes());
        } else {
            self.bytes.push(0xfb);
            self.bytes.extend(value.to_bits().to_be_bytes());
        }
    }

    /// Bytes that are already canonical.
    pub fn raw(&mut self, canonical: &[u8]) {
        self.bytes.extend_from_slice(canonical);
    }
}

/// The half-precision bits of `value` where they hold it exactly.
fn half_from(value: f64) -> Option<u16> {
    if value.is_nan() {
        return Some(0x7e00);
    }
    let bits = value.to_bits();
    let sign = ((bits >> 48) & 0x8000) as u16;
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mantissa = bits & ((1 << 52) - 1);
    match exponent {
        -1023 if mantissa == 0 => Some(sign),
        1024 => Some(sign | 0x7c00),
        -14..=15 if mantissa.trailing_zeros() >= 42 => {
            Some(sign | (((exponent + 15) as u16) << 10) | (mantissa >> 42) as u16)
        }
        -24..=-15 => {
            let full = mantissa | (1 << 52);
            let shift = (42 - 14 - exponent) as u32;
            (full.trailing_zeros() >= shift).then(|| sign | (full >> shift) as u16)
        }
        _ => None,
    }
}

fn half_to(bits: u16) -> f64 {
    let sign = u64::from(bits & 0x8000) << 48;
    let exponent = i64::from((bits >> 10) & 31);
    let mantissa = u64::from(bits & 0x3ff);
    let magnitude = match (exponent, mantissa) {
        (31, 0) => f64::INFINITY,
        (31, _) => return float::NAN,
        (0, m) => m as f64 / 16_777_216.0,
        (e, m) => f64::from_bits((((e - 15 + 1023) as u64) << 52) | (m << 42)),
    };
    f64::from_bits(magnitude.to_bits() | sign)
}

/// Reads canonical values; refuses every non-canonical spelling.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Offset of the next value.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The error for a value here that is not a `what`.
    pub fn invalid(&self, what: &'static str) -> CodecError {
        CodecError::Invalid { at: self.at, what }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let slice = self.bytes[self.at..].get(..count).ok_or(CodecError::Short { at: self.at })?;
        self.at += count;
        Ok(slice)
    }

    fn peek(&self) -> Result<u8, CodecError> {
        self.bytes.get(self.at).copied().ok_or(CodecError::Short { at: self.at })
    }

    fn head(&mut self, major: u8, what: &'static str) -> Result<u64, CodecError> {
        let start = self.at;
        let first = self.peek()?;
        if first >> 5 != major {
            return Err(self.invalid(what));
        }
        self.at += 1;
        let (value, least) = match first & 31 {
            short @ 0..=23 => return Ok(u64::from(short)),
            24 => (u64::from(self.take(1)?[0]), 24),
            25 => (self.take(2)?.iter().fold(0, |v, &b| v << 8 | u64::from(b)), 0x100),
            26 => (self.take(4)?.iter().fold(0, |v, &b| v << 8 | u64::from(b)), 0x1_0000),
            27 => (self.take(8)?.iter().fold(0, |v, &b| v << 8 | u64::from(b)), 0x1_0000_0000),
            _ => return Err(CodecError::Invalid { at: start, what }),
        };
        if value < least { Err(CodecError::Invalid { at: start, what: "shortest number" }) } else { Ok(value) }
    }

    /// A whole number from 0.
    pub fn uint(&mut self) -> Result<u64, CodecError> {
        self.head(UINT, "unsigned number")
    }

    /// A whole number.
    pub fn int(&mut self) -> Result<i64, CodecError> {
        let at = self.at;
        let negative = self.peek()? >> 5 == NEGATIVE;
        let value = self.head(if negative { NEGATIVE } else { UINT }, "number")?;
        let value = i64::try_from(value).map_err(|_| CodecError::Invalid { at, what: "64-bit number" })?;
        Ok(if negative { !value } else { value })
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let size = self.head(BYTES, "byte string")?;
        self.take(usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// A text string.
    pub fn text(&mut self) -> Result<&'a str, CodecError> {
        let at = self.at;
        let size = self.head(TEXT, "text")?;
        let bytes = self.take(usize::try_from(size).unwrap_or(usize::MAX))?;
        core::str::from_utf8(bytes).map_err(|_| CodecError::Invalid { at, what: "UTF-8 text" })
    }

    /// The head of an array; its items follow. Never larger than the bytes left, so it may size a buffer.
    pub fn array(&mut self) -> Result<usize, CodecError> {
        let at = self.at;
        let count = usize::try_from(self.head(ARRAY, "array")?).unwrap_or(usize::MAX);
        if count > self.left() { Err(CodecError::Short { at }) } else { Ok(count) }
    }

    /// Whether the next value is an array.
    pub fn is_array(&self) -> Result<bool, CodecError> {
        Ok(self.peek()? >> 5 == ARRAY)
    }

    /// The head of an array of exactly `count` items.
    pub fn array_of(&mut self, count: usize) -> Result<(), CodecError> {
        let at = self.at;
        if self.array()? == count { Ok(()) } else { Err(CodecError::Invalid { at, what: "field count" }) }
    }

    /// True or false.
    pub fn bool(&mut self) -> Result<bool, CodecError> {
        match self.peek()? {
            byte @ (0xf4 | 0xf5) => {
                self.at += 1;
                Ok(byte == 0xf5)
            }
            _ => Err(self.invalid("bool")),
        }
    }

    /// Takes a `null` where there is one and says whether it did.
    pub fn null(&mut self) -> Result<bool, CodecError> {
        let null = self.peek()? == 0xf6;
        self.at += usize::from(null);
        Ok(null)
    }

    /// A float.
    pub fn float(&mut self) -> Result<f64, CodecError> {
        let at = self.at;
        let value = match self.take(1)?[0] {
            0xf9 => half_to(u16::from_be_bytes(self.take(2)?.try_into().expect("two bytes were taken"))),
            0xfa => f64::from(f32::from_bits(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes")))),
            0xfb => f64::from_bits(u64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes"))),
            _ => return Err(CodecError::Invalid { at, what: "float" }),
        };
        let mut again = Writer::default();
        again.float(value);
        if again.bytes == self.bytes[at..self.at] {
            Ok(value)
        } else {
            Err(CodecError::Invalid { at, what: "shortest float" })
        }
    }
}

macro_rules! canonical_uint {
    ($($t:ty),*) => {$(
        impl Canonical for $t {
            fn write(&self, w: &mut Writer) {
                w.uint(u64::from(*self));
            }
            fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                let at = r.at();
                <$t>::try_from(r.uint()?).map_err(|_| CodecError::Invalid { at, what: stringify!($t) })
            }
        }
    )*};
}
canonical_uint!(u8, u16, u32, u64);

impl Canonical for i64 {
    fn write(&self, w: &mut Writer) {
        w.int(*self);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.int()
    }
}

impl Canonical for u128 {
    fn write(&self, w: &mut Writer) {
        w.bytes(&self.to_be_bytes());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        <[u8; 16]>::read(r).map(u128::from_be_bytes)
    }
}

impl Canonical for f64 {
    fn write(&self, w: &mut Writer) {
        w.float(*self);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.float()
    }
}

impl Canonical for bool {
    fn write(&self, w: &mut Writer) {
        w.bool(*self);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.bool()
    }
}

impl Canonical for String {
    fn write(&self, w: &mut Writer) {
        w.text(self);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.text().map(String::from)
    }
}

impl<const N: usize> Canonical for [u8; N] {
    fn write(&self, w: &mut Writer) {
        w.bytes(self);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let at = r.at();
        r.bytes()?.try_into().map_err(|_| CodecError::Invalid { at, what: "fixed byte string" })
    }
}

/// A byte string of any size.
impl<T: Canonical> Canonical for Box<T> {
    fn write(&self, w: &mut Writer) {
        (**self).write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        T::read(r).map(Box::new)
    }
}

impl<T: Canonical> Canonical for Arc<T> {
    fn write(&self, w: &mut Writer) {
        (**self).write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        T::read(r).map(Arc::new)
    }
}

impl Canonical for Box<[u8]> {
    fn write(&self, w: &mut Writer) {
        w.bytes(self);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.bytes().map(Box::from)
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn write(&self, w: &mut Writer) {
        w.array(self.len());
        self.iter().for_each(|item| item.write(w));
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = r.array()?;
        // Bounded by the bytes left, yet an item may be large in memory: grow as items are really read.
        let mut items = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            items.push(T::read(r)?);
        }
        Ok(items)
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn write(&self, w: &mut Writer) {
        match self {
            Some(value) => value.write(w),
            None => w.null(),
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        if r.null()? { Ok(None) } else { T::read(r).map(Some) }
    }
}

impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    fn write(&self, w: &mut Writer) {
        w.array(2);
        self.0.write(w);
        self.1.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(2)?;
        Ok((A::read(r)?, B::read(r)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::hex;

    /// RFC 8949 appendix A, the rows that deterministic encoding keeps.
    #[test]
    fn numbers_encode_as_the_rfc_says() {
        for (value, expected) in [
            (0_i64, "00"),
            (23, "17"),
            (24, "1818"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (-1, "20"),
            (-1000, "3903e7"),
        ] {
            assert_eq!(hex(&value.to_bytes()), expected);
            assert_eq!(i64::from_bytes(&value.to_bytes()), Ok(value));
        }
        for (value, expected) in [
            (0.0, "f90000"),
            (-0.0, "f98000"),
            (1.1, "fb3ff199999999999a"),
            (1.5, "f93e00"),
            (65504.0, "f97bff"),
            (100_000.0, "fa47c35000"),
            (3.402_823_466_385_288_6e38, "fa7f7fffff"),
            (1.0e300, "fb7e37e43c8800759c"),
            (5.960_464_477_539_063e-8, "f90001"),
            (6.103_515_625e-5, "f90400"),
            (-4.1, "fbc010666666666666"),
            (f64::INFINITY, "f97c00"),
            (float::NAN, "f97e00"),
        ] {
            assert_eq!(hex(&f64::to_bytes(&value)), expected, "{value}");
            assert_eq!(f64::from_bytes(&f64::to_bytes(&value)).map(f64::to_bits), Ok(value.to_bits()));
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for (bytes, what) in [
            (&[0x18, 0x17][..], "long head"),
            (&[0x19, 0x00, 0x18], "long head"),
            (&[0xfa, 0x3f, 0xc0, 0, 0], "1.5 as a single"),
            (&[0xf9, 0x7e, 0x01], "another NaN"),
            (&[0x1f], "indefinite"),
            (&[0x1b], "cut short"),
            (&[0x00, 0x00], "left over"),
        ] {
            assert!(i64::from_bytes(bytes).is_err() && f64::from_bytes(bytes).is_err(), "{what}");
        }
        // An array that claims more items than there are bytes never sizes a buffer.
        assert!(Vec::<u64>::from_bytes(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn every_half_survives() {
        for bits in 0..=u16::MAX {
            let value = half_to(bits);
            if !value.is_nan() {
                assert_eq!(half_from(value), Some(bits));
            }
        }
    }
}
