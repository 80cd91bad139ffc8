//! Sorted keys in short runs: each key is told by what it shares with the one before in its run.
use super::BlockError;
use super::bytes::{Left, put};

/// Most bytes of a key: more than any label set that is taken in has.
const KEY_MAX: usize = 1 << 20;

/// Builds the body of one run.
#[derive(Default)]
pub struct Run {
    pub bytes: Vec<u8>,
    before: Vec<u8>,
    pub count: usize,
}

impl Run {
    /// Adds a key; what belongs to it is put behind by the caller.
    pub fn key(&mut self, key: &[u8]) {
        let shared = self.before.iter().zip(key).take_while(|(a, b)| a == b).count();
        put(&mut self.bytes, shared as u64);
        put(&mut self.bytes, (key.len() - shared) as u64);
        self.bytes.extend_from_slice(&key[shared..]);
        self.before.clear();
        self.before.extend_from_slice(key);
        self.count += 1;
    }

    /// The body, framed by its size and check sum; a new run begins.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        frame(&self.bytes, out);
        (self.count, self.before, self.bytes) = (0, Vec::new(), Vec::new());
    }
}

/// Appends a body behind its size and check sum.
pub fn frame(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    out.extend_from_slice(body);
}

/// The body at the start of `bytes`, once its check sum fits, and how many bytes it and its frame take.
pub fn unframe(bytes: &[u8]) -> Result<(&[u8], usize), BlockError> {
    let mut left = Left(bytes);
    let (size, check) = (left.u32()?, left.u32()?);
    let body = left.bytes(u64::from(size))?;
    if crc32c::crc32c(body) != check {
        return Err(BlockError::Damaged("a check sum does not fit"));
    }
    Ok((body, body.len() + 8))
}

/// Reads the next key of a run over the one before.
pub fn next_key(left: &mut Left<'_>, key: &mut Vec<u8>) -> Result<(), BlockError> {
    let (shared, rest) = (left.number()?, left.number()?);
    let rest = left.bytes(rest)?;
    if shared > key.len() as u64 || shared as usize + rest.len() > KEY_MAX {
        return Err(BlockError::Damaged("a key shares more than there is"));
    }
    key.truncate(shared as usize);
    key.extend_from_slice(rest);
    Ok(())
}
