//! Protobuf's wire format, read in place: fields one after another, every length checked, nothing copied.
//!
//! Source: Protocol Buffers, "Encoding" (protobuf.dev/programming-guides/encoding). Groups (wire types 3 and 4) occur in no
//! format read here; as unknown fields they are skipped, to a bounded depth.
use crate::limits;

const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;

/// The bytes are not protobuf, or not of the expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
    /// Bytes left in the message at hand where it was noticed.
    pub left: usize,
}

/// A field's value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

impl<'a> Wire<'a> {
    /// A string, bytes or message field.
    #[inline(always)]
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Wire::Bytes(bytes) = self { Ok(bytes) } else { Err(self.wrong()) }
    }

    /// A varint field.
    #[inline(always)]
    pub fn varint(self) -> Result<u64, Malformed> {
        if let Wire::Varint(value) = self { Ok(value) } else { Err(self.wrong()) }
    }

    /// A fixed64, sfixed64 or double field.
    #[inline(always)]
    pub fn fixed64(self) -> Result<u64, Malformed> {
        if let Wire::Fixed64(value) = self { Ok(value) } else { Err(self.wrong()) }
    }

    /// A fixed32 field.
    #[inline(always)]
    pub fn fixed32(self) -> Result<u32, Malformed> {
        if let Wire::Fixed32(value) = self { Ok(value) } else { Err(self.wrong()) }
    }

    #[cold]
    fn wrong(self) -> Malformed {
        Malformed { what: "a field has another wire type than its format says", left: 0 }
    }
}

/// The fields of one message.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of the message in `bytes`.
    #[inline(always)]
    pub fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { left: bytes }
    }

    /// What has not been read yet.
    #[inline(always)]
    pub fn left(&self) -> &'a [u8] {
        self.left
    }

    /// The next field: its number and value; `None` at the end.
    ///
    /// Fails with [`Malformed`] where a length passes the end of the message, a varint is too long, a field's number is
    /// 0 or its wire type unknown.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, Malformed> {
        while !self.left.is_empty() {
            let (number, kind) = self.tag()?;
            if kind == GROUP_START {
                self.skip_group(number)?;
                continue;
            }
            return Ok(Some((number, self.value(kind)?)));
        }
        Ok(None)
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = self.varint()?;
        if tag > u64::from(u32::MAX) || tag >> 3 == 0 {
            return Err(self.fault("no such field number"));
        }
        Ok(((tag >> 3) as u32, (tag & 7) as u8))
    }

    #[inline(always)]
    fn value(&mut self, kind: u8) -> Result<Wire<'a>, Malformed> {
        Ok(match kind {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take::<8>()?)),
            2 => Wire::Bytes(self.sized()?),
            5 => Wire::Fixed32(u32::from_le_bytes(self.take::<4>()?)),
            _ => return Err(self.fault("no such wire type")),
        })
    }

    #[cold]
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = [0; limits::DEPTH];
        open[0] = number;
        let mut depth = 1;
        while depth > 0 {
            match self.tag()? {
                (number, GROUP_START) => {
                    let Some(slot) = open.get_mut(depth) else {
                        return Err(self.fault("groups are nested too deep"));
                    };
                    *slot = number;
                    depth += 1;
                }
                (number, GROUP_END) if number == open[depth - 1] => depth -= 1,
                (_, kind) => {
                    self.value(kind)?;
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some((head, tail)) = self.left.split_first_chunk::<N>() else {
            return Err(self.fault("a number passes the end of its message"));
        };
        self.left = tail;
        Ok(*head)
    }

    #[inline(always)]
    fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.varint()?;
        // Compared as u64: a size of 2^32 must not wrap where usize is 32 bits.
        if size > self.left.len() as u64 {
            return Err(self.fault("a length passes the end of its message"));
        }
        let (bytes, rest) = self.left.split_at(size as usize);
        self.left = rest;
        Ok(bytes)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.left {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.left = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.left = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (i, byte) in self.left.iter().enumerate().take(10) {
            // The tenth byte holds one bit.
            if i == 9 && *byte > 1 {
                return Err(self.fault("a varint is longer than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.left = &self.left[i + 1..];
                return Ok(value);
            }
        }
        Err(self.fault("a varint does not end"))
    }

    #[cold]
    fn fault(&self, what: &'static str) -> Malformed {
        Malformed { what, left: self.left.len() }
    }
}

/// Reads a packed or single fixed64 field (`repeated fixed64` or `repeated double`), calling `each` per element.
pub fn packed_fixed64(value: Wire<'_>, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    match value {
        Wire::Fixed64(one) => each(one),
        other => {
            let bytes = other.bytes()?;
            let (chunks, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Malformed { what: "a packed list ends inside an element", left: rest.len() });
            }
            chunks.iter().for_each(|chunk| each(u64::from_le_bytes(*chunk)));
        }
    }
    Ok(())
}

/// Reads a packed or single varint field, calling `each` per element.
pub fn packed_varint(value: Wire<'_>, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    match value {
        Wire::Varint(one) => each(one),
        other => {
            let mut list = Fields::new(other.bytes()?);
            while !list.left.is_empty() {
                each(list.varint()?);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn read(bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, &'static str> {
        let (mut fields, mut out) = (Fields::new(bytes), Vec::new());
        while let Some(field) = fields.next().map_err(|fault| fault.what)? {
            out.push(field);
        }
        Ok(out)
    }

    #[test]
    fn fields_are_read_in_place() {
        // The first two are the examples of the protobuf documentation.
        assert_eq!(read(&[0x08, 0x96, 0x01]), Ok([(1, Wire::Varint(150))].to_vec()));
        assert_eq!(read(b"\x12\x07testing"), Ok([(2, Wire::Bytes(b"testing"))].to_vec()));
        assert_eq!(read(&[0x09, 1, 0, 0, 0, 0, 0, 0, 0]), Ok([(1, Wire::Fixed64(1))].to_vec()));
        assert_eq!(read(&[0x85, 0x01, 1, 1, 0, 0]), Ok([(16, Wire::Fixed32(257))].to_vec()));
        let longest = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&longest), Ok([(1, Wire::Varint(u64::MAX))].to_vec()));
        assert_eq!(read(&[]), Ok(Vec::new()));
        // A group 1 that holds a varint and a group 2; then field 3.
        assert_eq!(read(&[0x0b, 0x08, 0x01, 0x13, 0x14, 0x0c, 0x18, 0x05]), Ok([(3, Wire::Varint(5))].to_vec()));
    }

    #[test]
    fn nothing_is_read_past_an_end() {
        for (bytes, what) in [
            (&[0x12, 0x05, 1, 2][..], "a length passes the end of its message"),
            (
                &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                "a length passes the end of its message",
            ),
            (&[0x09, 1, 2, 3], "a number passes the end of its message"),
            (&[0x0d, 1, 2, 3], "a number passes the end of its message"),
            (&[0x08, 0x80], "a varint does not end"),
            (&[0x08], "a varint does not end"),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "a varint is longer than 64 bits"),
            (
                &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00],
                "a varint is longer than 64 bits",
            ),
            (&[0x00, 0x00], "no such field number"),
            (&[0xff, 0xff, 0xff, 0xff, 0x7f, 0x00], "no such field number"),
            (&[0x0c], "no such wire type"),
            (&[0x0b, 0x14], "no such wire type"),
            (&[0x0b, 0x08, 0x01], "a varint does not end"),
            (&[0x0b; 40], "groups are nested too deep"),
            (&[0x0e], "no such wire type"),
        ] {
            assert_eq!(read(bytes), Err(what), "{bytes:02x?}");
        }
    }

    #[test]
    fn packed_lists_and_single_elements_read_alike() {
        let mut seen = Vec::new();
        let two = [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        packed_fixed64(Wire::Bytes(&two), |x| seen.push(x)).unwrap();
        packed_fixed64(Wire::Fixed64(3), |x| seen.push(x)).unwrap();
        assert_eq!(seen, [1, 2, 3]);
        assert!(packed_fixed64(Wire::Bytes(&two[..15]), |_| {}).is_err());
        assert!(packed_fixed64(Wire::Varint(1), |_| {}).is_err());
    }
}
