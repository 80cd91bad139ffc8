//! A file read in pieces: long ones where what is wanted follows what was wanted before.
use crate::TsdbError;
use faultline_host::File;
use std::sync::Arc;

/// Bytes read at once where nothing is known of what comes next, and where all of it is wanted.
const LEAST: usize = 16 << 10;
const MOST: usize = 1 << 20;
/// What is wanted next begins no further behind what was read than this.
const NEAR: u64 = 4 << 10;

/// An open file, and what of it was read last.
pub struct Pages {
    file: Arc<dyn File>,
    size: u64,
    at: u64,
    bytes: Vec<u8>,
    ahead: usize,
}

impl Pages {
    pub fn new(file: Arc<dyn File>) -> Result<Pages, TsdbError> {
        let size = file.size()?;
        Ok(Pages { file, size, at: 0, bytes: Vec::new(), ahead: LEAST })
    }

    /// Size of the file, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the file, as many as there are up to `most`.
    pub fn up_to(&mut self, at: u64, most: usize) -> Result<&[u8], TsdbError> {
        let size = (self.size.saturating_sub(at)).min(most as u64) as usize;
        if size == 0 {
            return Ok(&[]);
        }
        let have = self.at + self.bytes.len() as u64;
        if at < self.at || at + size as u64 > have {
            let near = (self.at..=have + NEAR).contains(&at);
            self.ahead = if near { (self.ahead * 2).min(MOST) } else { LEAST };
            let wanted = self.ahead.max(size).min((self.size - at) as usize);
            self.bytes.resize(wanted, 0);
            let read = self.file.read_at(&mut self.bytes, at)?;
            self.bytes.truncate(read);
            self.at = at;
        }
        let start = (at - self.at) as usize;
        self.bytes.get(start..start + size).ok_or_else(|| TsdbError::damaged("a file is shorter than it was"))
    }

    /// Exactly so many bytes, which must end before `end`.
    pub fn exactly(&mut self, at: u64, size: u64, end: u64) -> Result<&[u8], TsdbError> {
        let fits = at.checked_add(size).is_some_and(|behind| behind <= end.min(self.size));
        if !fits {
            return Err(TsdbError::damaged("it ends too early"));
        }
        self.up_to(at, size as usize)
    }

    /// A number of Go's `encoding/binary`, which ends before `end`, and the place behind it.
    pub fn varint(&mut self, at: u64, end: u64) -> Result<(u64, u64), TsdbError> {
        let bytes = self.up_to(at, end.saturating_sub(at).min(10) as usize)?;
        let mut left = Left(bytes);
        let number = left.number().ok_or_else(|| TsdbError::damaged("it ends too early"))?;
        let used = bytes.len() - left.0.len();
        Ok((number, at + used as u64))
    }
}

/// What is left of some bytes.
pub struct Left<'a>(pub &'a [u8]);

impl<'a> Left<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(part)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.bytes(8).map(|eight| u64::from_be_bytes(eight.try_into().expect("eight bytes")))
    }

    /// A number of Go's `encoding/binary`.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for (i, &byte) in self.0.iter().enumerate().take(10) {
            if i == 9 && byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Some(number);
            }
        }
        None
    }

    pub fn signed(&mut self) -> Option<i64> {
        self.number().map(crate::bits::zigzag)
    }
}

/// A number of four bytes at the start.
pub fn u32_of(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |four| u32::from_be_bytes(*four))
}
