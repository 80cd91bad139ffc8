//! Journal segments, ledger tiles, checkpoints and cursors on disk.
//!
//! ```text
//! faultline-data/
//!   VERSION          format, journal id           lock    held while a process uses the folder
//!   journal/         segment-<generation>, spare-<generation>     docs/formats/journal.md
//!   checkpoints/     checkpoint-<offset>          cursors/<name>
//!   recent/          block-<number>, head         docs/formats/recent-block.md, written by edge/serve
//! ```
//! Everything goes through [`faultline_host::Disk`], whose double forgets what was not synced; each promise made here is
//! tested against crashes at every write.
mod checkpoint;
mod cursors;
mod folder;
mod frame;
mod inspected;
mod journal;
mod prepare;
mod reader;
mod recover;
mod scan;
mod seal;
mod segment;
mod shared;
mod tiles;
mod whole;

pub use checkpoint::{CheckpointError, CheckpointHead, CheckpointStore, Draft, Sealed, Stored, StoredPage};
pub use cursors::{CursorError, Cursors};
pub use folder::{DataFolder, FolderError};
pub use inspected::SegmentBytes;
pub use journal::{Inspection, SegmentJournal};
pub use prepare::Preparer;
pub use recover::{OpenError, Recovered, Torn};
pub use seal::{Sealer, SegmentContents, Segments};
pub use shared::{SegmentInfo, Settings};
pub use tiles::{HEAD_FILE, LedgerError, LedgerReader, LedgerStore};
pub use whole::write_whole;
