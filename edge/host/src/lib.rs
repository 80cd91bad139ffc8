//! The world as traits: disk, clock, inlet, retry and bounded queues; the only std::fs and std::time.
//!
//! Each trait has two real implementations: the machine's, and a double that tests and the simulation drive. The disk's
//! double forgets what was not synced, so that a flush left out shows as a lost record and not as luck.
pub mod clock;
pub mod disk;
mod idle;
pub mod inlet;
pub mod journal;
pub mod machine;
pub mod memory;
pub mod random;
pub mod real;
pub mod retry;
pub mod turned_away;

pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{Disk, File, Lock, Space, is_full};
pub use idle::WhenIdle;
pub use inlet::{Answer, Inlet, Intake, Limits, Pending, ReadingRoom, Refused, Reply, Room, Submitted, inlet};
pub use journal::{AppendError, Extent, Flush, FlushError, Item, Journal, ReadError, Reader, Stored, TrimError};
pub use machine::{machine_name, thread_time, yield_to_others};
pub use memory::{CrashPolicy, MemoryDisk};
pub use random::Random;
pub use real::RealDisk;
pub use retry::Backoff;
pub use turned_away::{AwayReason, TellAway, TurnedAway};
