//! Signed tree heads: C2SP tlog-checkpoint in a C2SP signed-note, Ed25519.
use crate::hash::Hash;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use faultline_model::Digest;
use sha2::{Digest as _, Sha256};

/// Signature type byte of Ed25519 in a signed note.
const ED25519: u8 = 1;

/// Why a note or key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a note, a head or a key of this format.
    #[error("not a valid {what}")]
    Malformed {
        /// What was expected.
        what: &'static str,
    },
    /// The note names another log.
    #[error("the head is of `{found}`, expected `{expected}`")]
    Origin {
        /// The log's name in the note.
        found: String,
        /// The key's name.
        expected: String,
    },
    /// No signature by this key.
    #[error("the head carries no signature by `{name}`")]
    Unsigned {
        /// The key's name.
        name: String,
    },
    /// The signature does not hold: the head was changed or forged.
    #[error("the signature by `{name}` does not hold")]
    Forged {
        /// The key's name.
        name: String,
    },
}

/// A tree head: how many leaves, and the root over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

impl Head {
    /// The note's text: origin, size and root, a line each.
    fn text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root.0))
    }
}

/// Signs heads under a name, which is also the log's origin.
pub struct Signer {
    name: String,
    key: SigningKey,
}

impl Signer {
    /// A signer from 32 secret bytes. The name must be without spaces, `+` and line breaks, and not empty.
    pub fn new(name: &str, secret: &[u8; 32]) -> Result<Signer, NoteError> {
        check_name(name)?;
        Ok(Signer { name: name.to_string(), key: SigningKey::from_bytes(secret) })
    }

    /// The signed note of a head.
    pub fn sign(&self, head: &Head) -> String {
        let text = head.text(&self.name);
        let mut signature = key_id(&self.name, &self.key.verifying_key()).to_vec();
        signature.extend(self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n\u{2014} {} {}\n", self.name, STANDARD.encode(signature))
    }

    /// Who can check these signatures.
    pub fn verifier(&self) -> Verifier {
        Verifier { name: self.name.clone(), key: self.key.verifying_key() }
    }
}

/// Checks signed heads.
#[derive(Clone, Debug)]
pub struct Verifier {
    name: String,
    key: VerifyingKey,
}

impl Verifier {
    /// Reads a verifier key, `name+hash+key`, as [`Verifier::text`] prints it.
    pub fn parse(text: &str) -> Result<Verifier, NoteError> {
        let malformed = || NoteError::Malformed { what: "verifier key" };
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        check_name(name)?;
        let bytes = STANDARD.decode(key).map_err(|_| malformed())?;
        let (&[kind], key) = bytes.split_first_chunk::<1>().ok_or_else(malformed)?;
        let key: &[u8; 32] = key.try_into().map_err(|_| malformed())?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| malformed())?;
        if kind != ED25519 || id != faultline_model::ids::hex(&key_id(name, &key)) {
            return Err(malformed());
        }
        Ok(Verifier { name: name.to_string(), key })
    }

    /// The key in the form that other tools read: `name+hash+key`.
    pub fn text(&self) -> String {
        let mut key = Vec::from([ED25519]);
        key.extend(self.key.as_bytes());
        format!("{}+{}+{}", self.name, faultline_model::ids::hex(&key_id(&self.name, &self.key)), STANDARD.encode(key))
    }

    /// Reads a signed head and checks our signature; others, of witnesses, are passed over.
    pub fn open(&self, note: &str) -> Result<Head, NoteError> {
        let malformed = || NoteError::Malformed { what: "signed head" };
        let (text, signatures) = note.split_once("\n\n").ok_or_else(malformed)?;
        let text = format!("{text}\n");
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(malformed());
        };
        if origin != self.name {
            return Err(NoteError::Origin { found: origin.to_string(), expected: self.name.clone() });
        }
        let root: [u8; 32] = STANDARD.decode(root).map_err(|_| malformed())?.try_into().map_err(|_| malformed())?;
        let head = Head { size: size.parse().map_err(|_| malformed())?, root: Digest(root) };
        // A leading zero or a plus sign would be another spelling of the same size.
        if size != head.size.to_string() {
            return Err(malformed());
        }
        let id = key_id(&self.name, &self.key);
        for line in signatures.lines() {
            let rest = line.strip_prefix("\u{2014} ").ok_or_else(malformed)?;
            let (name, signature) = rest.split_once(' ').ok_or_else(malformed)?;
            let signature = STANDARD.decode(signature).map_err(|_| malformed())?;
            let Some((found, signature)) = signature.split_first_chunk::<4>() else { return Err(malformed()) };
            if name == self.name && *found == id {
                let forged = |_| NoteError::Forged { name: self.name.clone() };
                let signature = Signature::from_slice(signature).map_err(forged)?;
                return self.key.verify_strict(text.as_bytes(), &signature).map(|()| head).map_err(forged);
            }
        }
        Err(NoteError::Unsigned { name: self.name.clone() })
    }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
        return Err(NoteError::Malformed { what: "key name" });
    }
    Ok(())
}

/// First four bytes of SHA-256(name, line feed, type, key) (c2sp.org/signed-note).
fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', ED25519]);
    hasher.update(key.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and note of golang.org/x/mod/sumdb/note's example, whose format C2SP signed-note is.
    #[test]
    fn keys_are_those_of_the_go_tools() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(Verifier::parse(text).expect("the Go tools made it").text(), text);
        for wrong in [
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+AhpC",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "",
        ] {
            assert!(Verifier::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_signed_head_opens_and_a_changed_one_does_not() {
        let signer = Signer::new("faultline.example/journal", &[7; 32]).expect("a good name");
        let verifier = signer.verifier();
        let head = Head { size: 1234, root: Digest::of(b"root") };
        let note = signer.sign(&head);
        assert_eq!(verifier.open(&note), Ok(head));
        for i in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[i] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(verifier.open(&changed).is_err(), "byte {i}");
            }
        }
        let other = Signer::new("faultline.example/other", &[8; 32]).expect("a good name");
        assert!(matches!(verifier.open(&other.sign(&head)), Err(NoteError::Origin { .. })));
        let stranger = Signer::new("faultline.example/journal", &[9; 32]).expect("a good name");
        assert!(matches!(verifier.open(&stranger.sign(&head)), Err(NoteError::Unsigned { .. })));
    }
}
