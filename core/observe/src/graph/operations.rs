//! Span metrics: calls and durations per service, span name, kind and status, as the spanmetrics connector counts them.
use super::index::{Index, mix};
use super::limits::{NAME_SIZE, OPERATION_ROWS, OPERATIONS, OPERATIONS_OF_SERVICE, SWEEP, outlived};
use super::services::Services;
use super::tally::{Blocks, Derived, Naming, Tally};
use super::turns::{Changed, Turn};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_formats::{SpanKind, SpanStatus};
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{CodecError, Millis, Reader, Table, Writer, canonical_struct, freeze_by_copy};

/// The span name of what has no room of its own.
pub const OTHER: &str = "(other)";
/// Stands for [`OTHER`] in the index. A real name that hashes to it, under a secret seed, is counted there.
const OTHER_KEY: u64 = 0;

/// One set of span metrics.
#[derive(Clone, Debug)]
struct Operation {
    service: u32,
    name_key: u64,
    // Kind and status: 16 times the one and the other.
    kind_status: u8,
    name: String,
    used: Millis,
    tally: Tally,
}
canonical_struct!(Operation { service, name_key, kind_status, name, used, tally });
freeze_by_copy!(Operation);

/// A span's kind and status in one number.
pub fn kind_status(kind: SpanKind, status: SpanStatus) -> u8 {
    let kind = match kind {
        SpanKind::Unspecified => 0,
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    };
    let status = match status {
        SpanStatus::Unset => 0,
        SpanStatus::Ok => 1,
        SpanStatus::Error => 2,
    };
    kind * 16 + status
}

const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
/// Places of [`KINDS`].
const SERVER: usize = 2;
const CONSUMER: usize = 5;
const STATUSES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/// What span metrics want to know of a span.
pub struct Call<'a> {
    /// Its service.
    pub service: u32,
    /// Its name.
    pub name: &'a str,
    /// Keyed hash of its name.
    pub name_key: u64,
    /// See [`kind_status`].
    pub kind_status: u8,
    /// Its duration, in ns.
    pub duration: i64,
}

/// Name of the table.
pub const TABLE: &str = "operations";

/// All span metrics.
#[derive(Debug, Default)]
pub struct Operations {
    rows: Table<Operation>,
    index: Index,
    seed: u64,
    changed: Changed,
}

impl Operations {
    /// None yet.
    pub fn new(seed: u64) -> Operations {
        Operations { seed, ..Operations::default() }
    }

    fn hash(&self, row: u32) -> u64 {
        let row = self.rows.get(row).expect("indexed rows exist");
        hash(self.seed, row.service, row.name_key, row.kind_status)
    }

    fn find(&self, service: u32, name_key: u64, kind_status: u8) -> Option<u32> {
        self.index.find(hash(self.seed, service, name_key, kind_status), |row| {
            let key = |r: &Operation| (r.service, r.name_key, r.kind_status);
            self.rows.get(row).is_some_and(|r| key(r) == (service, name_key, kind_status))
        })
    }

    /// Counts a span. Says whether it has series of its own: not where the service, or the estate, has too many.
    pub fn count(&mut self, call: &Call<'_>, at: Millis, services: &mut Services, blocks: &mut Blocks) -> bool {
        let found = self.find(call.service, call.name_key, call.kind_status);
        let (row, own) = match found {
            Some(row) => (Some(row), true),
            None => self.add(call, services, blocks),
        };
        let Some(row) = row else { return false };
        let operation = self.rows.row_mut(row);
        if !operation.tally.is_changed() {
            self.changed.push(row, call.service);
        }
        operation.used = at;
        operation.tally.count(1);
        operation.tally.observe(call.duration);
        own
    }

    /// A row for a new operation: its own, the service's `(other)`, or none.
    fn add(&mut self, call: &Call<'_>, services: &mut Services, blocks: &mut Blocks) -> (Option<u32>, bool) {
        let fits = services.get(call.service).operations < OPERATIONS_OF_SERVICE && self.rows.len() < OPERATIONS;
        if fits && call.name.len() <= NAME_SIZE && call.name != OTHER && call.name_key != OTHER_KEY {
            services.get_mut(call.service).operations += 1;
            return (Some(self.insert(call, blocks)), true);
        }
        let other = Call { name: OTHER, name_key: OTHER_KEY, ..*call };
        let known = self.find(other.service, OTHER_KEY, other.kind_status);
        let room = self.rows.len() < OPERATION_ROWS;
        (known.or_else(|| room.then(|| self.insert(&other, blocks))), false)
    }

    fn insert(&mut self, call: &Call<'_>, blocks: &mut Blocks) -> u32 {
        let row = self.rows.insert(Operation {
            service: call.service,
            name_key: call.name_key,
            kind_status: call.kind_status,
            name: String::from(call.name),
            used: Millis(0),
            tally: Tally::new(blocks.take()),
        });
        self.changed.push(row, call.service);
        let hash = self.hash(row);
        let mut index = core::mem::take(&mut self.index);
        index.insert(hash, row, |row| self.hash(row));
        self.index = index;
        row
    }

    /// Sends what has changed, and what has not been sent for long, of the rows whose turn it is.
    pub fn send(&mut self, turn: Turn, services: &Services, out: &mut Vec<Derived>) {
        let unchanged = |row| self.rows.get(row).filter(|r| !r.tally.is_changed()).map(|r| r.service);
        let changed = self.changed.take(turn, self.rows.end(), unchanged);
        for &row in &changed {
            let operation = self.rows.row_mut(row);
            let (kind, status) = (usize::from(operation.kind_status / 16), usize::from(operation.kind_status % 16));
            let naming = Naming {
                labels: &[
                    ("service_name", &services.get(operation.service).entity),
                    ("span_name", &operation.name),
                    ("span_kind", KINDS[kind]),
                    ("status_code", STATUSES[status]),
                ],
                counter: "traces_span_metrics_calls_total",
                histogram: "traces_span_metrics_duration_milliseconds",
                in_seconds: false,
            };
            operation.tally.send(&naming, turn.end(), turn.sends_all(row), out);
        }
        self.changed.give(turn, changed);
    }

    /// Evicts what has not been used for long among the rows of this second.
    pub fn sweep(
        &mut self,
        phase: u32,
        now: Millis,
        services: &mut Services,
        blocks: &mut Blocks,
        out: &mut Vec<Derived>,
    ) {
        for row in (phase..self.rows.end()).step_by(SWEEP as usize) {
            let Some(operation) = self.rows.get(row) else { continue };
            if outlived(operation.used, now, self.rows.len(), OPERATIONS) && !operation.tally.is_changed() {
                if operation.name_key != OTHER_KEY {
                    services.get_mut(operation.service).operations -= 1;
                }
                self.remove(row, now, blocks, out);
            }
        }
    }

    /// Ends the series of services that are gone. `gone` rises.
    pub fn forget(&mut self, gone: &[u32], now: Millis, blocks: &mut Blocks, out: &mut Vec<Derived>) {
        for row in 0..self.rows.end() {
            if self.rows.get(row).is_some_and(|operation| gone.binary_search(&operation.service).is_ok()) {
                self.remove(row, now, blocks, out);
            }
        }
        self.changed.retain(|row| self.rows.get(row).is_some());
    }

    fn remove(&mut self, row: u32, now: Millis, blocks: &mut Blocks, out: &mut Vec<Derived>) {
        self.index.remove(self.hash(row), row);
        let tally = &self.rows.get(row).expect("the row is in use").tally;
        tally.end(now, out);
        blocks.give(tally.block());
        self.rows.remove(row);
    }

    /// When each operation that these services serve was asked last.
    pub fn asked(&self, services: &BTreeSet<u32>) -> BTreeMap<u32, Vec<Millis>> {
        let serves = |it: &Operation| matches!(usize::from(it.kind_status / 16), SERVER | CONSUMER);
        let mut last: BTreeMap<u32, BTreeMap<u64, Millis>> = BTreeMap::new();
        for (_, it) in self.rows.iter().filter(|(_, it)| serves(it) && services.contains(&it.service)) {
            // An operation that now fails is asked all the same.
            let of_name = last.entry(it.service).or_default().entry(it.name_key).or_insert(it.used);
            *of_name = it.used.max(*of_name);
        }
        last.into_iter().map(|(service, names)| (service, names.into_values().collect())).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows.
    pub fn table(&mut self) -> &mut dyn Paged {
        &mut self.rows
    }

    /// Appends what is beside them.
    pub fn write(&self, w: &mut Writer) {
        self.rows.write_rest(w);
    }

    /// Reads them back.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes, seed: u64) -> Result<Operations, CodecError> {
        let rows: Table<Operation> = Table::read(r, TABLE, pages)?;
        let changed =
            rows.iter().filter(|(_, row)| row.tally.is_changed()).map(|(id, row)| (id, row.service)).collect();
        let mut operations = Operations { rows, index: Index::default(), seed, changed };
        let mut index = Index::default();
        for (row, _) in operations.rows.iter() {
            index.insert(operations.hash(row), row, |row| operations.hash(row));
        }
        operations.index = index;
        Ok(operations)
    }
}

fn hash(seed: u64, service: u32, name_key: u64, kind_status: u8) -> u64 {
    mix(seed, name_key, u64::from(service) << 8 | u64::from(kind_status))
}
