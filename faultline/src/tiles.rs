//! Tiles and signed heads from the leaves that are durable; while the disk is full they wait, and nothing else does.
//!
//! What the journal holds can be read again, so groups that come meanwhile are passed over and not kept in memory; once
//! there is room, the leaves from the first missing one on are read from the journal.
use crate::ledger_feed::LedgerFeed;
use faultline_host::{Item, ReadError, Reader};
use faultline_ledger::Head;
use faultline_model::Position;
use faultline_storage::{LedgerError, LedgerStore};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a leaf may wait for a signed head, and how long a full disk is left alone.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// Bytes of the journal read again at a time: between two of them groups that wait are taken, so nobody waits for longer.
const CHUNK: usize = 1 << 20;

/// Leaves of a group that is durable.
pub struct Group {
    /// Number of the first.
    pub first: u64,
    /// Canonical bytes, in ledger order.
    pub leaves: Vec<Box<[u8]>>,
    /// The group's last record, behind which they stand; `None` for leaves that follow the group before.
    pub last: Option<Position>,
}

/// Makes readers of the journal.
pub type Readers = Box<dyn Fn() -> Box<dyn Reader> + Send>;

/// Why there are no tiles any more.
#[derive(Debug, thiserror::Error)]
pub enum TilesError {
    /// They cannot be written. The next start writes them again, from the journal.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What they lack cannot be read.
    #[error(transparent)]
    Journal(#[from] ReadError),
}

/// Writes tiles and heads.
pub struct Tiles {
    store: LedgerStore,
    groups: Receiver<Group>,
    feed: Arc<LedgerFeed>,
    readers: Readers,
    /// Where to read from what the store lacks: a record, and the number of the first leaf behind it.
    mark: Option<(Position, u64)>,
    lag: Option<Lag>,
}

/// The disk was full.
struct Lag {
    /// Leaves below this number were passed over.
    end: u64,
    /// Reads them again.
    again: Option<Again>,
    /// It was still full when this was last tried.
    full: bool,
}

struct Again {
    reader: Box<dyn Reader>,
    after: Position,
    next: u64,
}

impl Tiles {
    /// Tiles of `store`, which has every leaf that the journal held at the start; `groups` brings those that `feed` takes.
    pub fn new(store: LedgerStore, groups: Receiver<Group>, feed: Arc<LedgerFeed>, readers: Readers) -> Tiles {
        Tiles { store, groups, feed, readers, mark: None, lag: None }
    }

    /// The head published last.
    pub fn head(&self) -> Option<Head> {
        self.store.head()
    }

    /// Whether the disk was full and not everything is written yet.
    pub fn waits(&self) -> bool {
        self.lag.is_some()
    }

    /// Takes the groups that wait.
    pub fn take_waiting(&mut self) -> Result<(), TilesError> {
        while let Ok(group) = self.groups.try_recv() {
            self.take(group)?;
        }
        Ok(())
    }

    fn take(&mut self, Group { first, leaves, last }: Group) -> Result<(), TilesError> {
        if let (Some(lag), Some(_)) = (&mut self.lag, self.mark) {
            lag.end = first + leaves.len() as u64;
            return Ok(());
        }
        if let Some(last) = last {
            self.mark = Some((last, first));
        }
        let taken = self.store.append(first, &leaves);
        self.bear(taken.map_err(TilesError::from))
    }

    /// Publishes a head over every leaf taken, and tells whoever waits for it. Where the disk was full, does a part of what
    /// is missing first.
    pub fn publish(&mut self) -> Result<(), TilesError> {
        let published = self.write();
        if published.is_ok() && self.lag.take_if(|lag| lag.end <= self.store.size()).is_some() {
            tracing::info!("the disk has room: the ledger's tiles have caught up");
        }
        self.bear(published)
    }

    fn write(&mut self) -> Result<(), TilesError> {
        self.store.write_owed()?;
        self.read_again()?;
        self.feed.set_head(self.store.publish()?);
        if let Some(lag) = &mut self.lag {
            lag.full = false;
        }
        Ok(())
    }

    /// A full disk is no error: it is said once, and tried again.
    fn bear(&mut self, result: Result<(), TilesError>) -> Result<(), TilesError> {
        let error = match result {
            Err(TilesError::Ledger(error)) if error.is_full() => error,
            other => return other,
        };
        if self.lag.is_none() {
            let error = crate::render::chain(&error);
            tracing::warn!(
                error,
                "no room for the ledger's tiles: signed heads and checkpoints wait for it; all else goes on"
            );
        }
        let end = self.lag.as_ref().map_or(0, |lag| lag.end);
        // What was read and not taken is read again.
        self.lag = Some(Lag { end, again: None, full: true });
        Ok(())
    }

    /// Takes leaves that were passed over, about [`CHUNK`] of them.
    fn read_again(&mut self) -> Result<(), TilesError> {
        let (Some(lag), Some((at, first))) = (&mut self.lag, &mut self.mark) else { return Ok(()) };
        if lag.end <= self.store.size() {
            return Ok(());
        }
        let mut again =
            lag.again.take().unwrap_or_else(|| Again { reader: (self.readers)(), after: *at, next: *first });
        let items = again.reader.read(Some(again.after), CHUNK)?;
        assert!(!items.is_empty(), "leaf {} is durable and the journal ends before it", again.next);
        for item in items {
            match item {
                Item::Record(stored) => again.after = stored.at,
                Item::Leaves { after, leaves } => {
                    if after != *at {
                        (*at, *first) = (after, again.next);
                    }
                    // The journal may hold more, which is not durable yet.
                    let wanted = lag.end.saturating_sub(again.next);
                    let number = again.next;
                    again.next += leaves.len() as u64;
                    let durable = leaves.iter().zip(0..wanted);
                    let durable: Vec<Box<[u8]>> = durable.map(|(leaf, _)| leaf[..].into()).collect();
                    self.store.append(number, &durable)?;
                    if durable.len() < leaves.len() {
                        // Those left out are read again, from the mark on, once they are durable.
                        return Ok(());
                    }
                }
            }
        }
        lag.again = Some(again);
        Ok(())
    }

    /// Whether more of what was passed over can be written now.
    fn goes_on(&self) -> bool {
        self.lag.as_ref().is_some_and(|lag| !lag.full)
    }

    /// Whether nothing is left to do for a feed that has stopped: all is taken, or the disk is full, and the next start
    /// goes on.
    fn is_done(&self) -> bool {
        match &self.lag {
            Some(lag) => lag.full,
            None => self.store.size() == self.feed.taken(),
        }
    }
}

/// The thread: writes tiles and publishes heads until the feed has stopped. Its error ends the process: what is in the
/// journal can be written again on the next start.
pub fn keep_tiles(mut tiles: Tiles) -> Result<(), TilesError> {
    let mut published = Instant::now();
    loop {
        let wait = match tiles.goes_on() {
            true => Duration::ZERO,
            false => PUBLISH_EVERY.saturating_sub(published.elapsed()).max(Duration::from_millis(1)),
        };
        match tiles.groups.recv_timeout(wait) {
            Ok(group) => tiles.take(group)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if tiles.lag.is_some() {
            tiles.take_waiting()?;
        }
        if tiles.goes_on() || published.elapsed() >= PUBLISH_EVERY {
            published = Instant::now();
            tiles.publish()?;
        }
        if tiles.feed.has_stopped() && tiles.is_done() {
            break;
        }
    }
    tiles.publish()
}
