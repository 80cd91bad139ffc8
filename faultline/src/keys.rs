//! The key that signs heads, and where its public half lies for whoever verifies.
use faultline_host::{Disk, random};
use faultline_ledger::{NoteError, Signer, Verifier};
use faultline_model::ids::hex;
use faultline_storage::write_whole;
use std::io;
use std::path::{Path, PathBuf};

/// The ledger's folder within the data folder.
pub const LEDGER_FOLDER: &str = "ledger";
/// The secret half, 64 hexadecimal digits.
const SECRET_FILE: &str = "ledger/signing-key";
/// The public half, in the form that C2SP tools read.
const PUBLIC_FILE: &str = "ledger/verifier-key";

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The disk refused.
    #[error("cannot read or write {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds no key.
    #[error("{path} holds no key; restore it from a copy of the data folder")]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The key's text is refused.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// The folder's signer; a new folder gets a new key. The log's name holds the journal's id, so no two logs share one.
pub fn signer(disk: &dyn Disk, data: &Path, journal: [u8; 16]) -> Result<Signer, KeyError> {
    let path = data.join(SECRET_FILE);
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| KeyError::Io { path, source }
    };
    let name = format!("faultline/{}", hex(&journal));
    let secret = match std::fs::read_to_string(&path) {
        Ok(text) => from_hex(text.trim()).ok_or(KeyError::Malformed { path })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = random::secret::<32>().map_err(io(&path))?;
            disk.create_dir_all(&data.join(LEDGER_FOLDER)).map_err(io(&path))?;
            let public = data.join(PUBLIC_FILE);
            let text = format!("{}\n", Signer::new(&name, &secret)?.verifier().text());
            write_whole(disk, &public, text.as_bytes()).map_err(io(&public))?;
            write_whole(disk, &path, format!("{}\n", hex(&secret)).as_bytes()).map_err(io(&path))?;
            private(&path).map_err(io(&path))?;
            secret
        }
        Err(source) => return Err(KeyError::Io { path, source }),
    };
    Ok(Signer::new(&name, &secret)?)
}

/// The public half that lies in the folder.
pub fn read_verifier(data: &Path) -> Result<Verifier, KeyError> {
    let path = data.join(PUBLIC_FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| KeyError::Io { path, source })?;
    Ok(Verifier::parse(&text)?)
}

/// Readable by its owner alone.
fn private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(secret)
}
