//! Content encodings, undone under a limit: a bomb is refused while it inflates, not after.
//!
//! Memory held at once is at most the inflated body so far (never above the cap), the decoder's window (32 KiB for gzip,
//! 8 MiB for Zstandard) and, while the buffer grows, the old buffer beside the new one.
extern crate std;

use crate::limits;
use crate::reject::Reason;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use bytes::Bytes;
use faultline_model::Encoding;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use std::io::Read;
use xxhash_rust::xxh64::xxh64;

/// The inflated body, or why there is none.
///
/// - gzip: any number of members, as RFC 1952 2.2 allows; every CRC and length is checked.
/// - Zstandard: any number of frames, skippable ones skipped (RFC 8878 3.1); a content checksum is checked
///   where a frame has one.
/// - Snappy: the block format, its declared size checked before anything is allocated.
pub fn inflate(body: &Bytes, encoding: Encoding) -> Result<Bytes, (Reason, String)> {
    if body.len() > limits::BODY_SIZE {
        return Err((Reason::TooLarge, format!("{} bytes; at most {} are taken", body.len(), limits::BODY_SIZE)));
    }
    match encoding {
        Encoding::Identity => Ok(body.clone()),
        Encoding::Gzip => read_all(MultiGzDecoder::new(&body[..]), body.len(), gzip_buffer(body)).map(Bytes::from),
        Encoding::Zstd => zstd(body).map(Bytes::from),
        Encoding::Snappy => snappy(body).map(Bytes::from),
    }
}

/// Size to which a body of `size` bytes may inflate.
fn cap(size: usize) -> usize {
    size.saturating_mul(limits::INFLATE_RATIO).clamp(limits::PLAIN_SIZE_FREE, limits::PLAIN_SIZE)
}

fn too_much(size: usize) -> (Reason, String) {
    match cap(size) {
        limits::PLAIN_SIZE => (Reason::TooLarge, format!("inflates to more than {} bytes", limits::PLAIN_SIZE)),
        cap => (Reason::Bomb, format!("{size} bytes inflate to more than {cap}")),
    }
}

/// A buffer as large as the last member says it inflates to (RFC 1952 2.3.1, `ISIZE`), as far as that is believable: it
/// saves growing one. One byte more lets the end be seen without growing.
fn gzip_buffer(body: &[u8]) -> Vec<u8> {
    const DEFLATE_RATIO_MAX: usize = 1032;
    let said = body.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    Vec::with_capacity(said.min(cap(body.len())).min(body.len() * DEFLATE_RATIO_MAX) + 1)
}

/// Appends all that `reader` gives to `out`, up to the cap of a body of `size` bytes.
fn read_all(mut reader: impl Read, size: usize, mut out: Vec<u8>) -> Result<Vec<u8>, (Reason, String)> {
    let cap = cap(size);
    loop {
        if out.len() == out.capacity() {
            // Doubling, but never past one byte more than is allowed: that byte tells a bomb from a full buffer.
            let more = out.len().max(16 << 10).min(cap + 1 - out.len());
            out.reserve_exact(more);
        }
        let spare = (out.capacity() - out.len()) as u64;
        match reader.by_ref().take(spare).read_to_end(&mut out) {
            Ok(_) if out.len() > cap => return Err(too_much(size)),
            Ok(0) => return Ok(out),
            Ok(_) => {}
            Err(error) => return Err((Reason::BadEncoding, error.to_string())),
        }
    }
}

fn zstd(body: &[u8]) -> Result<Vec<u8>, (Reason, String)> {
    let (mut left, mut out) = (body, Vec::new());
    while !left.is_empty() {
        match StreamingDecoder::new_with_max_window_size(&mut left, limits::ZSTD_WINDOW) {
            Ok(mut frame) => {
                let begin = out.len();
                out = read_all(&mut frame, body.len(), out)?;
                // RFC 8878 3.1.1: the low four bytes of XXH64 over the content.
                let found = xxh64(&out[begin..], 0) as u32;
                if frame.decoder.get_checksum_from_data().is_some_and(|said| said != found) {
                    let text = "the content of a Zstandard frame does not fit its checksum: it was changed on its way";
                    return Err((Reason::BadEncoding, text.to_string()));
                }
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                left = left
                    .get(length as usize..)
                    .ok_or((Reason::BadEncoding, "a skippable frame is cut short".to_string()))?;
            }
            Err(error) => return Err((Reason::BadEncoding, error.to_string())),
        }
    }
    Ok(out)
}

fn snappy(body: &[u8]) -> Result<Vec<u8>, (Reason, String)> {
    let bad = |error: snap::Error| (Reason::BadEncoding, error.to_string());
    let size = snap::raw::decompress_len(body).map_err(bad)?;
    if size > cap(body.len()) {
        return Err(too_much(body.len()));
    }
    // The densest element is a copy of 64 bytes in three: a larger claim is a lie, told to make us allocate, or no Snappy.
    if size > body.len().saturating_mul(22) {
        let text =
            format!("{} bytes of Snappy cannot inflate to {size}: is the body in Snappy's block format?", body.len());
        return Err((Reason::BadEncoding, text));
    }
    let mut out = vec![0; size];
    let written = snap::raw::Decoder::new().decompress(body, &mut out).map_err(bad)?;
    out.truncate(written);
    Ok(out)
}
