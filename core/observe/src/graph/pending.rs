//! Spans that wait: clients for their servers, servers for their clients, parents for their children.
//!
//! A node stands for one span id. It may be made before its span arrives, by a child or by a server that names it as its
//! parent. Nodes are in one of two queues by when they expire; both waits are constant, so each queue is in order.
use super::index::{Index, mix};
use super::limits::{PENDING, SETTLED_WAIT, WAIT};
use alloc::vec::Vec;
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{
    Canonical, CodecError, Millis, Reader, Table, Writer, canonical_enum, canonical_struct, freeze_by_copy,
};

/// No row.
pub const NONE: u32 = u32::MAX;

/// What is known of a span id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Only others have named it.
    #[default]
    Unknown,
    /// It serves a request, or is the root of a service that serves none.
    Server,
    /// It calls someone.
    Client,
    /// It does neither.
    Inner,
}
canonical_enum!(Role { Unknown = 0, Server = 1, Client = 2, Inner = 3 });

/// A server span that waits for the client span it names as its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its service.
    pub service: u32,
    /// Its duration, in ns.
    pub duration: i64,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it consumes a message.
    pub asynchronous: bool,
}
canonical_struct!(Waiting { service, duration, failed, asynchronous });

/// One span id.
#[derive(Clone, Debug)]
pub struct Node {
    trace: u128,
    id: u64,
    /// Its parent's span id, 0 for a root.
    pub parent: u64,
    /// What it is.
    pub role: Role,
    /// Whose it is.
    pub service: u32,
    /// Its duration, in ns.
    pub duration: i64,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it sends a message that is worked on later.
    pub asynchronous: bool,
    // Time covered by calls below it: their sum, and first start and last end of them.
    sum: i64,
    first: i64,
    last: i64,
    /// Whether a call below it failed.
    pub child_failed: bool,
    /// Whether a server answered it (clients).
    pub paired: bool,
    /// Whether its series have counted it (clients).
    pub counted: bool,
    /// The edge that carries it so far, or [`NONE`] (clients).
    pub charged: u32,
    /// Where such calls go, or [`NONE`] (clients).
    pub prediction: u32,
    /// Servers that wait for it.
    pub waiting: Vec<Waiting>,
    expires: Millis,
    settled: bool,
    previous: u32,
    next: u32,
}
canonical_struct!(Node {
    trace,
    id,
    parent,
    role,
    service,
    duration,
    failed,
    asynchronous,
    sum,
    first,
    last,
    child_failed,
    paired,
    counted,
    charged,
    prediction,
    waiting,
    expires,
    settled,
    previous,
    next,
});
freeze_by_copy!(Node);

impl Node {
    fn new(trace: u128, id: u64) -> Node {
        Node {
            trace,
            id,
            parent: 0,
            role: Role::Unknown,
            service: NONE,
            duration: 0,
            failed: false,
            asynchronous: false,
            sum: 0,
            first: i64::MAX,
            last: i64::MIN,
            child_failed: false,
            paired: false,
            counted: false,
            charged: NONE,
            prediction: NONE,
            waiting: Vec::new(),
            expires: Millis(0),
            settled: false,
            previous: NONE,
            next: NONE,
        }
    }

    /// The trace it is part of.
    pub fn trace(&self) -> u128 {
        self.trace
    }

    /// Whether a call lies below it.
    pub fn has_children(&self) -> bool {
        self.first <= self.last
    }

    /// Time covered by the calls below it, in ns: their sum, or the stretch from the first start to the last end where
    /// that is shorter (calls side by side), never more than the span itself.
    ///
    /// This is the union of the calls where they follow one another or overlap throughout, and an upper bound else.
    /// It depends on the calls alone, not on the order in which they arrive.
    pub fn covered(&self) -> i64 {
        if !self.has_children() {
            return 0;
        }
        let hull = self.last.saturating_sub(self.first);
        self.sum.min(hull).min(self.duration)
    }

    /// Adds time of a call below it.
    pub fn cover(&mut self, duration: i64, first: i64, last: i64) {
        self.sum = self.sum.saturating_add(duration);
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }

    /// First start and last end of the calls below it, in the sender's ns.
    pub fn hull(&self) -> (i64, i64) {
        (self.first, self.last)
    }
}

/// Oldest and newest row of a queue.
#[derive(Clone, Copy, Debug)]
struct Queue {
    head: u32,
    tail: u32,
}
canonical_struct!(Queue { head, tail });

/// Name of the table.
pub const TABLE: &str = "pending";

/// All nodes.
#[derive(Debug)]
pub struct Pending {
    rows: Table<Node>,
    index: Index,
    seed: u64,
    // Those that wait in full, and those that have found what they need.
    queues: [Queue; 2],
}

impl Pending {
    /// None yet.
    pub fn new(seed: u64) -> Pending {
        let empty = Queue { head: NONE, tail: NONE };
        Pending { rows: Table::default(), index: Index::default(), seed, queues: [empty, empty] }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn hash(&self, trace: u128, id: u64) -> u64 {
        mix(self.seed, mix(self.seed, trace as u64, (trace >> 64) as u64), id)
    }

    /// The row of a span id.
    pub fn find(&self, trace: u128, id: u64) -> Option<u32> {
        self.index.find(self.hash(trace, id), |row| {
            self.rows.get(row).is_some_and(|node| node.id == id && node.trace == trace)
        })
    }

    /// The row of a span id, made when it is new. Expire the oldest first where [`Pending::is_full`].
    pub fn find_or_insert(&mut self, trace: u128, id: u64, now: Millis) -> u32 {
        if let Some(row) = self.find(trace, id) {
            return row;
        }
        let row = self.rows.insert(Node::new(trace, id));
        let hash = self.hash(trace, id);
        let mut index = core::mem::take(&mut self.index);
        index.insert(hash, row, |row| {
            let node = self.get(row);
            self.hash(node.trace, node.id)
        });
        self.index = index;
        self.enqueue(row, false, now);
        row
    }

    /// The node.
    pub fn get(&self, row: u32) -> &Node {
        self.rows.get(row).expect("rows come from this table")
    }

    /// The node for changing.
    pub fn get_mut(&mut self, row: u32) -> &mut Node {
        self.rows.row_mut(row)
    }

    /// The node has what it needs: it waits for late children only.
    pub fn settle(&mut self, row: u32, now: Millis) {
        if !self.get(row).settled {
            self.dequeue(row);
            self.enqueue(row, true, now);
        }
    }

    /// Whether the next insertion needs room made for it.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= PENDING
    }

    /// A node that has expired at `now`; the settled first.
    pub fn expired(&self, now: Millis) -> Option<u32> {
        let ready = |queue: &Queue| queue.head != NONE && self.get(queue.head).expires <= now;
        [1, 0].iter().find(|&&i| ready(&self.queues[i])).map(|&i| self.queues[i].head)
    }

    /// The node that is missed least: the oldest of those that are settled, else the oldest.
    pub fn oldest(&self) -> Option<u32> {
        [1, 0].iter().map(|&i| self.queues[i].head).find(|&head| head != NONE)
    }

    /// Takes a node out.
    pub fn remove(&mut self, row: u32) {
        self.dequeue(row);
        let node = self.get(row);
        self.index.remove(self.hash(node.trace, node.id), row);
        self.rows.remove(row);
    }

    fn enqueue(&mut self, row: u32, settled: bool, now: Millis) {
        let tail = core::mem::replace(&mut self.queues[usize::from(settled)].tail, row);
        let node = self.rows.row_mut(row);
        node.expires = now.plus(if settled { SETTLED_WAIT } else { WAIT });
        (node.settled, node.previous, node.next) = (settled, tail, NONE);
        match tail {
            NONE => self.queues[usize::from(settled)].head = row,
            tail => self.rows.row_mut(tail).next = row,
        }
    }

    fn dequeue(&mut self, row: u32) {
        let node = self.get(row);
        let (queue, previous, next) = (usize::from(node.settled), node.previous, node.next);
        match previous {
            NONE => self.queues[queue].head = next,
            previous => self.rows.row_mut(previous).next = next,
        }
        match next {
            NONE => self.queues[queue].tail = previous,
            next => self.rows.row_mut(next).previous = previous,
        }
    }

    /// The nodes.
    pub fn table(&mut self) -> &mut dyn Paged {
        &mut self.rows
    }

    /// Appends what is beside them.
    pub fn write(&self, w: &mut Writer) {
        self.rows.write_rest(w);
        self.queues.iter().for_each(|queue| queue.write(w));
    }

    /// Reads them back.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes, seed: u64) -> Result<Pending, CodecError> {
        let rows = Table::read(r, TABLE, pages)?;
        let queues = [Queue::read(r)?, Queue::read(r)?];
        let mut pending = Pending { rows, index: Index::default(), seed, queues };
        let mut index = Index::default();
        let hash_of = |row: u32| pending.hash(pending.get(row).trace, pending.get(row).id);
        for (row, _) in pending.rows.iter() {
            index.insert(hash_of(row), row, hash_of);
        }
        pending.index = index;
        Ok(pending)
    }
}
