//! Numbers of varying length, and bytes read within their bounds.
use super::BlockError;

/// Appends a number in base 128, lowest group first.
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a number of either sign.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number << 1 ^ number >> 63) as u64);
}

/// What is left to be read.
pub struct Left<'a>(pub &'a [u8]);

const SHORT: BlockError = BlockError::Damaged("it ends too early");

impl<'a> Left<'a> {
    pub fn bytes(&mut self, count: u64) -> Result<&'a [u8], BlockError> {
        let count = usize::try_from(count).map_err(|_| SHORT)?;
        let (part, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(part)
    }

    pub fn byte(&mut self) -> Result<u8, BlockError> {
        Ok(self.bytes(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32, BlockError> {
        Ok(u32::from_le_bytes(self.bytes(4)?.try_into().expect("four bytes")))
    }

    pub fn u64(&mut self) -> Result<u64, BlockError> {
        Ok(u64::from_le_bytes(self.bytes(8)?.try_into().expect("eight bytes")))
    }

    /// What [`put`] wrote.
    #[inline]
    pub fn number(&mut self) -> Result<u64, BlockError> {
        // Most take a byte.
        match self.0 {
            [byte @ 0..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, BlockError> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(BlockError::Damaged("a number is too long"))
    }

    /// What [`put_signed`] wrote.
    pub fn signed(&mut self) -> Result<i64, BlockError> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}
