//! Makes the next segments ready before they are needed: writing zeros and syncing names is too slow for the writer.
//!
//! A segment is preallocated by writing it and then only overwritten, so that a flush moves data and no metadata:
//! `fdatasync` of 4 KiB then takes 0.13 ms at p99 instead of 5 ms (`performance.md` section 2).
use crate::segment::{draft_path, format, segment_path, spare_path};
use crate::shared::{NotReady, Ready, Shared, State};
use faultline_host::{AppendError, File, is_full};
use faultline_model::mutant;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Segments kept ready: the next one, and one for the leaves that must still fit when the journal is full.
pub(crate) const READY: usize = 2;

/// Zeros are written and synced in pieces of this size. Each sync of a growing file costs the disk a commit of its own.
const PIECE: u64 = 1 << 20;
/// Between two pieces, while there is time: the disk is for what was received.
const PAUSE: Duration = Duration::from_millis(4);

/// Makes segments ready on a thread of its own.
pub struct Preparer {
    pub(crate) shared: Arc<Shared>,
}

impl Preparer {
    /// Waits for up to `wait` until a segment is wanted, and makes one; says whether it did.
    ///
    /// Fails with [`AppendError::Full`] where there is no room, which is worth trying again after a trim, and with
    /// [`AppendError::Stopped`] for good. Without a thread that calls this the writer does the same work itself, later.
    pub fn prepare(&self, wait: Duration) -> Result<bool, AppendError> {
        let state = self.shared.state();
        let enough = |state: &mut State| state.ready.len() >= READY && state.stopped.is_none();
        let (state, _) = self.shared.wanted.wait_timeout_while(state, wait, enough).expect("no holder panics");
        let before = state.ready.len();
        drop(state);
        if before >= READY {
            return Ok(false);
        }
        match self.shared.ensure_ready(before + 1, self.shared.settings.limit) {
            Ok(()) => Ok(true),
            Err(why) => {
                if matches!(why, NotReady::Full) {
                    // Nothing changes until a trim: a caller that tries again at once must not spin.
                    let state = self.shared.state();
                    drop(self.shared.wanted.wait_timeout(state, wait).expect("no holder panics"));
                }
                Err(self.shared.append_error(why))
            }
        }
    }
}

impl Shared {
    /// Makes segments ready until there are `count`; those made before the room ran out stay.
    ///
    /// - `limit`: bytes that all files may take then.
    pub fn ensure_ready(&self, count: usize, limit: u64) -> Result<(), NotReady> {
        if self.state().ready.len() >= count {
            return Ok(());
        }
        let _making = self.making.lock().expect("no holder panics");
        let (mut made, mut result) = (Vec::new(), Ok(()));
        while self.state().ready.len() + made.len() < count && result.is_ok() {
            match self.make(made.len() as u64, limit) {
                Ok(ready) => made.push(ready),
                Err(why) => result = Err(why),
            }
        }
        if !made.is_empty() {
            // Their content is durable; only now is it safe to use them by their names.
            let synced = if mutant!("folder sync skipped") { Ok(()) } else { self.disk.sync_dir(&self.folder) };
            synced.map_err(|error| NotReady::Stopped(self.stop("syncing the journal's folder", &error)))?;
            self.state().ready.extend(made);
        }
        result
    }

    /// Makes one segment, from a spare or a new file; its name is not yet durable.
    ///
    /// - `unlisted`: files made and not yet counted in the state.
    fn make(&self, unlisted: u64, limit: u64) -> Result<Ready, NotReady> {
        let spare = self.spare().map_err(|error| self.not_ready("opening a spare segment", &error))?;
        let generation = {
            let mut state = self.state();
            if let Some(reason) = &state.stopped {
                return Err(NotReady::Stopped(reason.clone()));
            }
            if spare.is_none() && (state.files() + unlisted + 1) * self.settings.segment_size > limit {
                return Err(NotReady::Full);
            }
            state.next_generation += 1;
            state.next_generation - 1
        };
        let (spare, path, file) = match spare {
            Some((number, file)) => (Some(number), spare_path(&self.folder, number), Ok(file)),
            None => {
                let path = draft_path(&self.folder, generation);
                (None, path.clone(), self.create(&path))
            }
        };
        let result = file.and_then(|file| {
            // One sync for zeros and header, before the name that recovery trusts.
            format(&file, self.journal, self.seeds, generation, self.settings.segment_size)?;
            file.sync_data()?;
            self.disk.rename(&path, &segment_path(&self.folder, generation))?;
            Ok(Ready { generation, file, size: self.settings.segment_size })
        });
        result.map_err(|error| {
            match spare {
                Some(number) => {
                    self.state().spares.insert(number);
                }
                // Half a file of zeros: gives the room back; where even that fails, the next start does.
                None => drop(self.disk.remove(&path)),
            }
            self.not_ready("preparing a segment", &error)
        })
    }

    fn not_ready(&self, what: &str, error: &io::Error) -> NotReady {
        if is_full(error) { NotReady::Full } else { NotReady::Stopped(self.stop(what, error)) }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = self.disk.create(path)?;
        self.fill(&file)?;
        Ok(file)
    }

    /// A spare of the size that is wanted now; others go.
    fn spare(&self) -> io::Result<Option<(u64, Arc<dyn File>)>> {
        loop {
            let Some(number) = self.state().spares.pop_first() else { return Ok(None) };
            let path = spare_path(&self.folder, number);
            let opened = self.disk.open_write(&path).and_then(|file| Ok((file.size()?, file)));
            match opened {
                Ok((size, file)) if size == self.settings.segment_size => return Ok(Some((number, file))),
                Ok(_) => self.disk.remove(&path)?,
                Err(error) => {
                    self.state().spares.insert(number);
                    return Err(error);
                }
            }
        }
    }

    fn fill(&self, file: &Arc<dyn File>) -> io::Result<()> {
        let zeros = vec![0; PIECE.min(self.settings.segment_size) as usize];
        let mut at = 0;
        while at < self.settings.segment_size {
            let size = (self.settings.segment_size - at).min(zeros.len() as u64);
            file.write_at(&zeros[..size as usize], at)?;
            at += size;
            if at < self.settings.segment_size {
                // Piece by piece: 64 MiB at once would hold up the flushes of the segment in use.
                file.sync_data()?;
                let state = self.state();
                // A writer that has taken the last one, or soon will, must not wait for pauses.
                let time = |state: &mut State| {
                    let half_empty = state.segments.back().is_none_or(|segment| segment.used < segment.size / 2);
                    half_empty && !state.ready.is_empty() && state.stopped.is_none()
                };
                let _paused = self.wanted.wait_timeout_while(state, PAUSE, time).expect("no holder panics");
            }
        }
        Ok(())
    }
}
