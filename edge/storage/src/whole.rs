//! Files that are replaced as a whole: after a crash either the old content is there or the new.
use faultline_host::Disk;
use faultline_model::mutant;
use std::io;
use std::path::Path;

/// Puts `bytes` under `path`, durable when this returns; what a crash left of an earlier try is removed. The folder must
/// exist; one writer per path.
pub fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?.to_os_string();
    name.push(".new");
    let (new, folder) = (path.with_file_name(name), path.parent());
    let folder = folder.ok_or_else(|| io::Error::other("a file needs a folder"))?;
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&new)?;
    file.write_at(bytes, 0)?;
    if !mutant!("file replaced without its sync") {
        file.sync_data()?;
    }
    disk.rename(&new, path)?;
    disk.sync_dir(folder)
}
