//! Files that are replaced as a whole: after a crash either the old content is there or the new.
use faultline_host::Disk;
use faultline_model::mutant;
use std::io;
use std::path::Path;

/// Puts `bytes` under `path`, durable when this returns. The folder must exist; one writer per path.
pub fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?.to_os_string();
    name.push(".new");
    write_pieces(disk, &path.with_file_name(name), path, [bytes])
}

/// Puts `pieces`, one after another, under `path`, durable when this returns.
///
/// - `new`: where it is made, in the same folder; what a crash left there is removed. One writer per name.
pub fn write_pieces<'a>(
    disk: &dyn Disk,
    new: &Path,
    path: &Path,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    match disk.remove(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (file, mut at) = (disk.create(new)?, 0);
    for piece in pieces {
        file.write_at(piece, at)?;
        at += piece.len() as u64;
    }
    if !mutant!("file replaced without its sync") {
        file.sync_data()?;
    }
    disk.rename(new, path)?;
    disk.sync_dir(folder)
}
