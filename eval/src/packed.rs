//! Files of data sets, plain or compressed with Zstandard.
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The text of a file: inflated where its name ends in `.zst`, or where only the one so called lies beside it.
pub fn text(path: &Path) -> Result<String, Box<dyn Error>> {
    let is_packed = path.extension().is_some_and(|extension| extension == "zst");
    let packed: Option<PathBuf> = match is_packed {
        true => Some(path.to_path_buf()),
        false => (!path.is_file()).then(|| path.with_added_extension("zst")),
    };
    let read = || -> Result<String, Box<dyn Error>> {
        let Some(packed) = &packed else { return Ok(fs::read_to_string(path)?) };
        let mut text = String::new();
        ruzstd::decoding::StreamingDecoder::new(fs::File::open(packed)?)?.read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| format!("cannot read {}: {error}", packed.as_deref().unwrap_or(path).display()).into())
}
