//! Names of things that outlive a process: positions, digests, and the ids derived from them.
use alloc::string::String;
use core::fmt;
use sha2::{Digest as _, Sha256};

/// Place in the input order. Offsets rise but may have gaps (Kafka): never compute `offset + 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Partition of the journal, 0 on one machine.
    pub partition: u32,
    /// Offset within the partition.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

impl Position {
    /// Reads the `partition/offset` form that [`fmt::Display`] prints.
    pub fn parse(text: &str) -> Option<Position> {
        let (partition, offset) = text.split_once('/')?;
        Some(Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    }
}

/// Name of an effect: the record that caused it and its place among that record's decisions and asks.
///
/// Same journal, same id. Its order is the order of ledger leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    /// The record that caused the effect.
    pub cause: Position,
    /// Place among the decisions and asks of that record, from 0.
    pub ordinal: u32,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.cause, self.ordinal)
    }
}

impl EffectId {
    /// Reads the `partition/offset.ordinal` form that [`fmt::Display`] prints.
    pub fn parse(text: &str) -> Option<EffectId> {
        let (cause, ordinal) = text.rsplit_once('.')?;
        Some(EffectId { cause: Position::parse(cause)?, ordinal: ordinal.parse().ok()? })
    }
}

/// One stretch of an alert's being active: where it began. With the alert's id it is the deduplication key outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Occurrence {
    /// The record at which the alert became active.
    pub began: Position,
    /// How often the same alert had become active at that record before: many instants may pass at one record.
    pub ordinal: u32,
}

impl fmt::Display for Occurrence {
    /// The record, and the ordinal where it is not 0: `0/17`, `0/17.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ordinal {
            0 => write!(f, "{}", self.began),
            ordinal => write!(f, "{}.{ordinal}", self.began),
        }
    }
}

/// An incident keeps the id of the effect that opened it, for ever.
pub type IncidentId = EffectId;

/// Who owns the data; 0 is the default tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

/// SHA-256 of something (FIPS 180-4).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digest of the parts, each preceded by its length, so that `("ab","c")` and `("a","bc")` differ.
    pub fn of_parts(parts: &[&[u8]]) -> Digest {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Digest(hasher.finalize().into())
    }

    /// Plain SHA-256 of the pieces, one after another.
    pub fn of_pieces(pieces: &[&[u8]]) -> Digest {
        let mut hasher = Sha256::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        Digest(hasher.finalize().into())
    }

    /// Plain SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Lower-case hexadecimal, 64 characters.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// Lower-case hexadecimal of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

macro_rules! short_digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// First half of [`Digest::of_parts`].
            pub fn of_parts(parts: &[&[u8]]) -> Self {
                let digest = Digest::of_parts(parts);
                let mut half = [0; 16];
                half.copy_from_slice(&digest.0[..16]);
                Self(half)
            }

            /// Lower-case hexadecimal, 32 characters.
            pub fn hex(&self) -> String {
                hex(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.hex())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.hex())
            }
        }
    };
}

short_digest! {
    /// Who sent: H(tenant, listener, principal or peer address without port). Its name is journalled once.
    SourceId
}
impl SourceId {
    /// The id of a sender.
    ///
    /// - `listener`: such as `otlp-grpc`; `peer`: its principal or its address without the port.
    pub fn of_sender(tenant: TenantId, listener: &str, peer: &str) -> SourceId {
        SourceId::of_parts(&[&tenant.0.to_be_bytes(), listener.as_bytes(), peer.as_bytes()])
    }
}

short_digest! {
    /// What an alert is: H(tenant, group, alert name, labels). Editing the expression or an annotation keeps it.
    AlertId
}

/// Secret of one journal, drawn at its creation and kept in record 0: keys every hash of foreign bytes, so that a
/// sender cannot aim for collisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashSeed(pub u64);

/// Keyed 128-bit digest (XXH3) of a body as received: tells a sender's retry. Not for proof: that is [`Digest`].
///
/// SHA-256 took about half of the time that decoding an uncompressed body takes. Without the journal's seed a sender cannot
/// aim for a collision, and could only have its own bodies taken for repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BodyDigest(pub [u8; 16]);

impl BodyDigest {
    /// Digest of `body` under the journal's seed.
    pub fn of(body: &[u8], seed: HashSeed) -> BodyDigest {
        BodyDigest(xxhash_rust::xxh3::xxh3_128_with_seed(body, seed.0).to_be_bytes())
    }
}

/// Keyed 128-bit hash (XXH3) of what identifies a series in a sender's bytes. Several keys may name one series (two
/// senders spell the same labels differently); one key never names two, up to 128-bit collisions under a secret seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(pub u128);

impl SeriesKey {
    /// Key of `bytes` under the journal's seed.
    pub fn of(bytes: &[u8], seed: HashSeed) -> SeriesKey {
        SeriesKey(xxhash_rust::xxh3::xxh3_128_with_seed(bytes, seed.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ids_print_and_parse_back() {
        let id = EffectId { cause: Position { partition: 3, offset: 12 }, ordinal: 7 };
        assert_eq!(id.to_string(), "3/12.7");
        assert_eq!(EffectId::parse("3/12.7"), Some(id));
        for wrong in ["", "3", "3/1", "a/1.2", "1/2.x", "1/-2.3"] {
            assert_eq!(EffectId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parts_are_delimited() {
        assert_ne!(Digest::of_parts(&[b"ab", b"c"]), Digest::of_parts(&[b"a", b"bc"]));
        // FIPS 180-4, one-block message "abc".
        assert_eq!(Digest::of(b"abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
