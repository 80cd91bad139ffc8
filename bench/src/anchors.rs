//! Checkpoints asked for one after another, beside what else is measured.
use crate::Outcome;
use crate::load::Connection;
use faultline_model::Position;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks whether a checkpoint is there.
const POLL: Duration = Duration::from_millis(5);
/// Longest that one may take.
const LONGEST: Duration = Duration::from_secs(60);

/// A checkpoint that was asked for and written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Written {
    /// From the wish to the file under its name, in seconds.
    pub seconds: f64,
    /// Size of the file in bytes.
    pub size: u64,
}

/// Where a server is asked for checkpoints, and where they come.
#[derive(Clone, Copy, Debug)]
pub struct Anchors<'a> {
    /// Its API.
    pub api: SocketAddr,
    /// Its data folder.
    pub data: &'a Path,
}

impl Anchors<'_> {
    /// Asks for a checkpoint and waits until it is kept.
    pub fn one(&self) -> Outcome<Written> {
        let begun = Instant::now();
        let asked = Connection::ask(self.api, "POST", "/api/faultline/v1/anchors");
        let (status, text) = asked.map_err(|error| format!("cannot ask for a checkpoint: {error}"))?;
        let wanted = position(&text).filter(|_| status == 202);
        let wanted = wanted.ok_or_else(|| format!("asked for a checkpoint, the server says {status} {text}"))?;
        while begun.elapsed() < LONGEST {
            // The state may be of a record after the wish, never before it.
            if let Some((_, size)) = kept(self.data).into_iter().find(|(offset, _)| *offset >= wanted.offset) {
                return Ok(Written { seconds: begun.elapsed().as_secs_f64(), size });
            }
            thread::sleep(POLL);
        }
        Err(format!("no checkpoint within {LONGEST:?} of the wish at {wanted}"))
    }

    /// Does `work` while one checkpoint after another is written; waits for the last before it returns.
    pub fn during<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Vec<Written>)> {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut written = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    written.push(self.one()?);
                }
                Ok::<_, String>(written)
            });
            let done = work();
            ended.store(true, Ordering::Relaxed);
            let written = asking.join().unwrap_or_else(|_| Err("the asking for checkpoints broke".into()));
            Ok((done?, written?))
        })
    }
}

/// Checkpoints of a data folder: the offsets of their records, and their sizes.
pub fn kept(data: &Path) -> Vec<(u64, u64)> {
    let Ok(entries) = std::fs::read_dir(data.join("checkpoints")) else { return Vec::new() };
    let of = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let offset = u64::from_str_radix(name.strip_prefix("checkpoint-")?, 16).ok()?;
        // It may be removed meanwhile.
        Some((offset, entry.metadata().ok()?.len()))
    };
    entries.flatten().filter_map(of).collect()
}

/// The position in an answer's JSON.
fn position(text: &str) -> Option<Position> {
    Position::parse(serde_json::from_str::<Value>(text).ok()?["position"].as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_server_and_its_folder_say() {
        assert_eq!(position("{\"position\": \"0/123\"}"), Some(Position { partition: 0, offset: 123 }));
        assert_eq!((position("{\"position\": 1}"), position("busy")), (None, None));
        let data = tempfile::tempdir().unwrap();
        assert_eq!(kept(data.path()), []);
        let folder = data.path().join("checkpoints");
        std::fs::create_dir(&folder).unwrap();
        for (name, size) in [("checkpoint-00000000000001ff", 5), ("checkpoint.new", 7), ("checkpoint-x", 9)] {
            std::fs::write(folder.join(name), vec![0; size]).unwrap();
        }
        assert_eq!(kept(data.path()), [(0x1ff, 5)]);
    }
}
