//! Bits of a chunk, highest first, and the numbers of varying length that Prometheus writes in them.
//!
//! Source: `bstream.go` and `varbit.go` of Prometheus' tsdb/chunkenc. Nothing is told where the bits end too early.

/// What is left of a chunk.
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// The lowest `held` bits are next.
    buffer: u64,
    held: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, buffer: 0, held: 0 }
    }

    /// How many bits are left.
    pub fn left(&self) -> usize {
        self.bytes.len() * 8 + self.held as usize
    }

    fn fill(&mut self) -> Option<()> {
        if let Some((eight, rest)) = self.bytes.split_first_chunk::<8>() {
            (self.buffer, self.held, self.bytes) = (u64::from_be_bytes(*eight), 64, rest);
            return Some(());
        }
        let (&byte, rest) = self.bytes.split_first()?;
        (self.buffer, self.held, self.bytes) = (u64::from(byte), 8, rest);
        Some(())
    }

    #[inline]
    pub fn bit(&mut self) -> Option<bool> {
        if self.held == 0 {
            self.fill()?;
        }
        self.held -= 1;
        Some(self.buffer >> self.held & 1 == 1)
    }

    /// So many bits as a number; at most 64.
    #[inline]
    pub fn bits(&mut self, count: u32) -> Option<u64> {
        let (mut number, mut count) = (0, count);
        while count > 0 {
            if self.held == 0 {
                self.fill()?;
            }
            let now = count.min(self.held);
            self.held -= now;
            let part = self.buffer >> self.held & u64::MAX >> (64 - now);
            number = if now == 64 { part } else { number << now | part };
            count -= now;
        }
        Some(number)
    }

    pub fn float(&mut self) -> Option<f64> {
        self.bits(64).map(f64::from_bits)
    }

    /// How many bits are one before a zero; at most `most`.
    #[inline]
    pub fn ones(&mut self, most: u32) -> Option<u32> {
        let mut count = 0;
        while count < most && self.bit()? {
            count += 1;
        }
        Some(count)
    }

    /// A signed number of so many bits, the lowest of which is one above the half: as Prometheus' buckets hold them.
    #[inline]
    pub fn signed(&mut self, count: u32) -> Option<i64> {
        if count == 0 {
            return Some(0);
        }
        let number = self.bits(count)?;
        let negative = count < 64 && number > 1 << (count - 1);
        Some(if negative { number.wrapping_sub(1 << count) } else { number } as i64)
    }

    /// A number of Go's `encoding/binary`, byte by byte.
    pub fn unsigned_varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.bits(8)?;
            if shift == 63 && byte > 1 {
                return None;
            }
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub fn varint(&mut self) -> Option<i64> {
        self.unsigned_varint().map(zigzag)
    }

    /// What `putVarbitInt` wrote.
    pub fn varbit(&mut self) -> Option<i64> {
        let size = self.varbit_size()?;
        self.signed(size)
    }

    /// What `putVarbitUint` wrote.
    pub fn unsigned_varbit(&mut self) -> Option<u64> {
        let size = self.varbit_size()?;
        self.bits(size)
    }

    #[inline]
    fn varbit_size(&mut self) -> Option<u32> {
        Some([0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8)? as usize])
    }
}

/// A signed number as Go's `encoding/binary` spells it.
pub fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// A float that is told from the one before (Pelkonen et al., "Gorilla", VLDB 2015).
#[derive(Clone, Copy, Default)]
pub struct Xor {
    pub bits: u64,
    leading: u32,
    trailing: u32,
}

impl Xor {
    pub fn of(bits: u64) -> Xor {
        Xor { bits, ..Xor::default() }
    }

    pub fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// What `xorWrite` wrote.
    #[inline]
    pub fn next(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if !bits.bit()? {
            return Some(());
        }
        if bits.bit()? { self.anew(bits) } else { self.within(bits) }
    }

    /// What changed lies where the change before lay.
    #[inline]
    pub fn within(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.bits ^= bits.bits(64 - self.leading - self.trailing)? << self.trailing;
        Some(())
    }

    /// It is said where what changed lies.
    #[inline]
    pub fn anew(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let (leading, count) = (bits.bits(5)? as u32, bits.bits(6)? as u32);
        // Six bits do not hold 64, and nothing that changed is never written.
        let count = if count == 0 { 64 } else { count };
        (self.leading, self.trailing) = (leading, 64_u32.checked_sub(leading + count)?);
        self.within(bits)
    }
}
