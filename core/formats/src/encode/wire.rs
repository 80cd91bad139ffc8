//! Protobuf's wire format, written: fields in the order of the calls, defaults left out as proto3 does.
use alloc::vec::Vec;

/// A message in the making.
#[derive(Debug, Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends the fields of another.
    pub fn append(&mut self, other: &Message) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn tag(&mut self, number: u32, kind: u64) {
        self.raw_varint(u64::from(number) << 3 | kind);
    }

    /// A varint field that is left out at 0.
    pub fn varint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.some_varint(number, value);
        }
    }

    /// A varint field of a `oneof` or list: present even at 0.
    pub fn some_varint(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.raw_varint(value);
    }

    /// A fixed64 field that is left out at 0.
    pub fn fixed64(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.some_fixed64(number, value);
        }
    }

    /// A fixed64 field of a `oneof`, or an optional one: present even at 0.
    pub fn some_fixed64(&mut self, number: u32, value: u64) {
        self.tag(number, 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A fixed32 field that is left out at 0.
    pub fn fixed32(&mut self, number: u32, value: u32) {
        if value != 0 {
            self.tag(number, 5);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A string or bytes field that is left out where empty.
    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.some_bytes(number, value);
        }
    }

    /// A string or bytes field of a `oneof`: present even where empty.
    pub fn some_bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        self.raw_varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// A message field.
    pub fn message(&mut self, number: u32, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.some_bytes(number, &inner.bytes);
    }

    /// A packed list of fixed64 or double.
    pub fn packed_fixed64(&mut self, number: u32, values: impl ExactSizeIterator<Item = u64>) {
        if values.len() > 0 {
            self.tag(number, 2);
            self.raw_varint(values.len() as u64 * 8);
            values.for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
        }
    }
}
