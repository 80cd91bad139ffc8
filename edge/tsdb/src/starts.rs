//! When counters began, as newer chunks tell beside each sample: skipped, since rules do not read it.
//!
//! Source: `st.go` of Prometheus' tsdb/chunkenc.
use crate::bits::Bits;

/// Where in a chunk starts are told.
pub struct Starts {
    with_first: bool,
    /// From the sample of this number on; nowhere where it is 0.
    from: u16,
}

impl Starts {
    /// As a chunk's header says.
    pub fn of(header: u8) -> Starts {
        Starts { with_first: header & 0x80 != 0, from: u16::from(header & 0x7f) }
    }

    /// Skips what stands behind the sample of this number, from 0.
    #[inline]
    pub fn skip(&self, bits: &mut Bits<'_>, number: u16) -> Option<()> {
        if number == 0 {
            return if self.with_first { bits.varint().map(|_| ()) } else { Some(()) };
        }
        if self.from > 0 && number >= self.from { bits.varbit().map(|_| ()) } else { Some(()) }
    }
}
