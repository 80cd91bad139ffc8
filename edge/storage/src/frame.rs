//! Frames: the unit that is valid or not. Layout and numbers: `docs/formats/journal.md`.
use crate::segment::{Place, Seeds};
use bytes::Bytes;
use faultline_model::{
    Clock, Control, EffectId, Encoding, Format, Hlc, Kind, Payload, Position, SourceId, TenantId, mutant,
};

/// Size of a frame's header.
pub(crate) const HEADER: usize = 48;
/// Size of the fields before the body of a record.
pub(crate) const RECORD_HEAD: usize = 24;
/// Size of the body of a start frame.
pub(crate) const START_BODY: usize = 24;
/// "FLfr", little endian.
const MAGIC: u32 = 0x7266_4c46;

/// What a frame is. A number, once given, is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// First frame of a segment: where the one before it ended.
    Start = 1,
    /// One record.
    Record = 2,
    /// Leaves decided by the records before it.
    Leaves = 3,
    /// Nothing but its header, which says that everything before it is durable.
    Proof = 4,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: FrameKind,
    /// Bytes of the body, without padding.
    pub size: u32,
    /// Of a record: its own. Of others: the one that the next record gets.
    pub offset: u64,
    /// Of a record: its own. Of others: the last record's.
    pub stamp: Hlc,
    /// Everything before this place was durable when the frame was written.
    pub proven: Place,
}

/// Size of a frame with a body of `body` bytes, padding included.
pub(crate) fn frame_size(body: usize) -> u64 {
    (HEADER + body.next_multiple_of(8)) as u64
}

/// Appends frames to a buffer that will be written at `start`.
pub(crate) struct FrameWriter<'a> {
    pub buffer: &'a mut Vec<u8>,
    pub seeds: Seeds,
    /// Where the buffer's first byte will stand.
    pub start: Place,
    pub proven: Place,
}

impl FrameWriter<'_> {
    /// Appends one frame; `body` writes its body behind the place kept for the header.
    pub fn frame(&mut self, kind: FrameKind, offset: u64, stamp: Hlc, body: impl FnOnce(&mut Vec<u8>)) {
        let at = self.buffer.len();
        self.buffer.resize(at + HEADER, 0);
        body(self.buffer);
        let size = self.buffer.len() - at - HEADER;
        self.buffer.resize(at + frame_size(size) as usize, 0);
        let place = Place { generation: self.start.generation, byte: self.start.byte + at as u64 };
        let seed = self.seeds.at(place);
        let body_check = crc32c::crc32c_append(seed, &self.buffer[at + HEADER..]);
        let header = &mut self.buffer[at..at + HEADER];
        header[..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[4] = kind as u8;
        header[8..12].copy_from_slice(&u32::try_from(size).expect("a segment is below 4 GiB").to_le_bytes());
        header[12..16].copy_from_slice(&body_check.to_le_bytes());
        header[16..24].copy_from_slice(&offset.to_le_bytes());
        header[24..32].copy_from_slice(&stamp.0.to_le_bytes());
        header[32..40].copy_from_slice(&self.proven.generation.to_le_bytes());
        let proven_byte = u32::try_from(self.proven.byte).expect("a segment is below 4 GiB");
        header[40..44].copy_from_slice(&proven_byte.to_le_bytes());
        let check = crc32c::crc32c_append(seed, &header[..44]);
        header[44..].copy_from_slice(&check.to_le_bytes());
    }
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A valid frame.
    Frame(Header),
    /// The header is valid and the rest of the frame is not within the bytes given.
    Cut(Header),
    /// Zeros, or too few bytes for a frame: nothing was written here.
    Nothing,
    /// Something else.
    Bad(&'static str),
}

/// Whether a frame may begin with `bytes`: a scan of a whole segment asks this at every eighth byte.
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC.to_le_bytes())
}

/// Reads the header of the frame at `place`; `bytes` begin there.
pub(crate) fn parse_header(bytes: &[u8], seeds: Seeds, place: Place) -> Result<Header, Parsed> {
    let Some(header) = bytes.get(..HEADER) else { return Err(Parsed::Nothing) };
    if header.iter().all(|&byte| byte == 0) {
        return Err(Parsed::Nothing);
    }
    let word = |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("four bytes"));
    let long = |from: usize| u64::from_le_bytes(header[from..from + 8].try_into().expect("eight bytes"));
    if word(0) != MAGIC {
        return Err(Parsed::Bad("no frame begins here"));
    }
    if crc32c::crc32c_append(seeds.at(place), &header[..44]) != word(44) {
        return Err(Parsed::Bad("the check sum of a frame's header does not fit"));
    }
    let kind = match header[4] {
        1 => FrameKind::Start,
        2 => FrameKind::Record,
        3 => FrameKind::Leaves,
        4 => FrameKind::Proof,
        _ => return Err(Parsed::Bad("a frame's kind is unknown")),
    };
    let proven = Place { generation: long(32), byte: u64::from(word(40)) };
    Ok(Header { kind, size: word(8), offset: long(16), stamp: Hlc(long(24)), proven })
}

/// Reads the frame at `place`; `bytes` begin there.
pub(crate) fn parse(bytes: &[u8], seeds: Seeds, place: Place) -> Parsed {
    let header = match parse_header(bytes, seeds, place) {
        Ok(header) => header,
        Err(other) => return other,
    };
    let Some(body) = bytes.get(HEADER..frame_size(header.size as usize) as usize) else { return Parsed::Cut(header) };
    let stored = u32::from_le_bytes(bytes[12..16].try_into().expect("four bytes"));
    if crc32c::crc32c_append(seeds.at(place), body) != stored && !mutant!("check sum not checked") {
        return Parsed::Bad("the check sum of a frame's body does not fit");
    }
    Parsed::Frame(header)
}

/// Writes the body of a record frame.
pub(crate) fn write_record(out: &mut Vec<u8>, payload: &Payload) {
    let mut head = [0; RECORD_HEAD];
    head[..4].copy_from_slice(&payload.tenant.0.to_le_bytes());
    match payload.kind {
        Kind::Telemetry { source, format, encoding, clock } => {
            head[4..8].copy_from_slice(&[1, format as u8, encoding as u8, clock as u8]);
            head[8..].copy_from_slice(&source.0);
        }
        Kind::Control(control) => head[4..6].copy_from_slice(&[2, control as u8]),
        Kind::Reply(to) => {
            head[4] = 3;
            head[8..12].copy_from_slice(&to.cause.partition.to_le_bytes());
            head[12..20].copy_from_slice(&to.cause.offset.to_le_bytes());
            head[20..].copy_from_slice(&to.ordinal.to_le_bytes());
        }
        Kind::Tick => head[4] = 4,
    }
    out.extend_from_slice(&head);
    out.extend_from_slice(&payload.body);
}

/// Reads the body of a record frame; `None` where a number is unknown here.
pub(crate) fn read_record(frame: &Bytes) -> Option<Payload> {
    let head = frame.get(..RECORD_HEAD)?;
    let word = |from: usize| u32::from_le_bytes(head[from..from + 4].try_into().expect("four bytes"));
    let kind = match head[4] {
        1 => Kind::Telemetry {
            source: SourceId(head[8..].try_into().expect("sixteen bytes")),
            format: Format::from_number(head[5])?,
            encoding: Encoding::from_number(head[6])?,
            clock: Clock::from_number(head[7])?,
        },
        2 => Kind::Control(Control::from_number(head[5])?),
        3 => {
            let offset = u64::from_le_bytes(head[12..20].try_into().expect("eight bytes"));
            Kind::Reply(EffectId { cause: Position { partition: word(8), offset }, ordinal: word(20) })
        }
        4 => Kind::Tick,
        _ => return None,
    };
    Some(Payload { tenant: TenantId(word(0)), kind, body: frame.slice(RECORD_HEAD..) })
}

/// Writes leaves as the body of a leaves frame.
pub(crate) fn write_leaves(out: &mut Vec<u8>, leaves: &[Box<[u8]>]) {
    for leaf in leaves {
        out.extend_from_slice(&u32::try_from(leaf.len()).expect("a leaf is below 64 KiB").to_le_bytes());
        out.extend_from_slice(leaf);
    }
}

/// Reads the body of a leaves frame; `None` where sizes do not fit.
pub(crate) fn read_leaves(frame: &Bytes) -> Option<Vec<Bytes>> {
    Some(split_leaves(frame)?.into_iter().map(|leaf| frame.slice_ref(leaf)).collect())
}

/// The leaves in the body of a leaves frame; `None` where sizes do not fit.
pub(crate) fn split_leaves(mut body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut leaves = Vec::new();
    while !body.is_empty() {
        let (size, rest) = body.split_first_chunk::<4>()?;
        let (leaf, rest) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        leaves.push(leaf);
        body = rest;
    }
    Some(leaves)
}

/// What the body of a start frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartBody {
    /// Where the segment before it ended.
    pub previous: Place,
    /// The newest segment whose leaf stands before this one.
    pub sealed: u64,
}

/// Writes the body of a start frame.
pub(crate) fn write_start(out: &mut Vec<u8>, start: &StartBody) {
    for number in [start.previous.generation, start.previous.byte, start.sealed] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Reads the body of a start frame.
pub(crate) fn read_start(body: &[u8]) -> Option<StartBody> {
    let long = |from: usize| Some(u64::from_le_bytes(body.get(from..from + 8)?.try_into().expect("eight bytes")));
    // Segments written before there were leaves about them have two numbers only: none is sealed then.
    let sealed = if body.len() == 16 { 0 } else { long(16)? };
    Some(StartBody { previous: Place { generation: long(0)?, byte: long(8)? }, sealed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Vec<Kind> {
        let mut kinds = vec![
            Kind::Tick,
            Kind::Reply(EffectId { cause: Position { partition: 7, offset: u64::MAX - 1 }, ordinal: 0x0102_0304 }),
        ];
        for number in 0..=u8::MAX {
            kinds.extend(Control::from_number(number).map(Kind::Control));
            if let Some(format) = Format::from_number(number) {
                let (encoding, clock) =
                    (Encoding::from_number(number % 4).unwrap(), Clock::from_number(number % 2).unwrap());
                kinds.push(Kind::Telemetry { source: SourceId([number; 16]), format, encoding, clock });
            }
        }
        kinds
    }

    #[test]
    fn every_kind_of_record_reads_back() {
        for kind in kinds() {
            for body in [&b""[..], b"x", &[0xfe; 1000]] {
                let payload = Payload { tenant: TenantId(0xdead_beef), kind, body: Bytes::copy_from_slice(body) };
                let mut frame = Vec::new();
                write_record(&mut frame, &payload);
                assert_eq!(read_record(&Bytes::from(frame)), Some(payload));
            }
        }
        for bad in [[0, 0, 0, 0, 9], [0, 0, 0, 0, 0]] {
            assert_eq!(read_record(&Bytes::from([&bad[..], &[0; 19]].concat())), None);
        }
        assert_eq!(read_record(&Bytes::from_static(b"short")), None);
    }

    #[test]
    fn a_start_reads_back_and_so_does_one_from_before_there_were_seals() {
        let start = StartBody { previous: Place { generation: 4, byte: 77_000 }, sealed: 3 };
        let mut body = Vec::new();
        write_start(&mut body, &start);
        assert_eq!((body.len(), read_start(&body)), (START_BODY, Some(start)));
        assert_eq!(read_start(&body[..16]), Some(StartBody { sealed: 0, ..start }));
        for short in [0, 8, 15, 17, 23] {
            assert_eq!(read_start(&body[..short]), None);
        }
    }

    #[test]
    fn leaves_read_back_and_lying_sizes_do_not() {
        let leaves: Vec<Box<[u8]>> = vec![(*b"one").into(), (*b"").into(), vec![7; 65_535].into()];
        let mut frame = Vec::new();
        write_leaves(&mut frame, &leaves);
        let read = read_leaves(&Bytes::from(frame)).unwrap();
        assert!(read.iter().map(|leaf| &leaf[..]).eq(leaves.iter().map(|leaf| &leaf[..])));
        assert_eq!(read_leaves(&Bytes::from_static(&[255, 255, 255, 255, 1])), None);
        assert_eq!(read_leaves(&Bytes::from_static(&[1, 0])), None);
    }

    #[test]
    fn a_frame_is_valid_only_where_it_was_written_and_only_whole() {
        let seeds = Seeds::new([3; 16]);
        let place = Place { generation: 5, byte: 8192 };
        let mut bytes = Vec::new();
        let mut writer =
            FrameWriter { buffer: &mut bytes, seeds, start: place, proven: Place { generation: 4, byte: 99 } };
        writer.frame(FrameKind::Leaves, 17, Hlc(23), |out| out.extend_from_slice(b"thirteen byte"));
        let header = Header {
            kind: FrameKind::Leaves,
            size: 13,
            offset: 17,
            stamp: Hlc(23),
            proven: Place { generation: 4, byte: 99 },
        };
        assert_eq!(parse(&bytes, seeds, place), Parsed::Frame(header));
        assert_eq!(parse(&bytes[..bytes.len() - 1], seeds, place), Parsed::Cut(header));
        assert_eq!(parse(&bytes[..40], seeds, place), Parsed::Nothing);
        assert_eq!(parse(&[0; 64], seeds, place), Parsed::Nothing);
        for (other, at) in [
            (seeds, Place { generation: 6, ..place }),
            (seeds, Place { byte: 8200, ..place }),
            (Seeds::new([4; 16]), place),
        ] {
            assert!(matches!(parse(&bytes, other, at), Parsed::Bad(_)));
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(parse(&bytes, seeds, place), Parsed::Bad(_)), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
