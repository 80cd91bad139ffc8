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
    let skip_sync = mutant!("file replaced without its sync");
    let written = file.write_at(bytes, 0).and_then(|()| if skip_sync { Ok(()) } else { file.sync_data() });
    if let Err(error) = written.and_then(|()| disk.rename(&new, path)) {
        // Gives its room back to a full disk; where even that fails, the next try removes it.
        drop(disk.remove(&new));
        return Err(error);
    }
    disk.sync_dir(folder)
}
