//! Services and peers: who they are, what they did in the last seconds, what is expected of them.
//!
//! A service is its `service.name`, whatever its namespace: the name is what the span metrics' `service_name`, Prometheus'
//! `job` behind the slash and the correlator have in common. A *peer* is known from its callers only.
use super::limits::{NAME_SIZE, SERVICES, VERSION_PACE, VERSIONS, outlived};
use super::lines::Work;
use super::meters::ServiceMeasured;
use super::seconds::{Seconds, Served};
use super::tally::{BLOCK, Blocks, Derived};
use super::turns::{Changed, Turn};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_detect::{Baseline, Watch};
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{
    ChangeEvent, CodecError, Labels, Millis, Reader, Sample, Table, Writer, canonical_struct, float, freeze_by_copy,
};

/// What is expected of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Requests per window.
    pub traffic: Baseline,
    /// Mean latency, in ms.
    pub latency: Baseline,
    /// Mean self time, in ms.
    pub self_time: Baseline,
    /// Share of failed requests.
    pub errors: Baseline,
    /// Share of requests that failed by themselves.
    pub own_errors: Baseline,
    /// Error log records per window.
    pub error_logs: Baseline,
}
canonical_struct!(Expected { traffic, latency, self_time, errors, own_errors, error_logs });

/// Which of its signals are off their baselines.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    /// Requests.
    pub traffic: Watch,
    /// Mean latency.
    pub latency: Watch,
    /// Failed requests.
    pub errors: Watch,
    /// Error log records.
    pub error_logs: Watch,
}
canonical_struct!(Watches { traffic, latency, errors, error_logs });

/// Log records by severity, as series.
#[derive(Clone, Debug, Default)]
struct LogCounts {
    counts: Vec<u64>,
    block: u32,
    known: u64,
    changed: u64,
}
canonical_struct!(LogCounts { counts, block, known, changed });

/// Names of OTLP's severity ranges (logs data model, SeverityNumber).
const SEVERITIES: [&str; 7] = ["UNSPECIFIED", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// One service or peer.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Its name.
    pub entity: String,
    /// When it was first seen or named.
    pub since: Millis,
    /// When it or a call to it was last seen.
    pub used: Millis,
    /// When it last sent anything of its own; none of a peer.
    pub reported: Option<Millis>,
    /// Usual time between two bodies of its own, in ms; 0 until it is known.
    pub pace: f64,
    /// Whether it has had a server or consumer span.
    pub serves: bool,
    /// How many span names, kinds and statuses have series of their own.
    pub operations: u32,
    versions: Vec<String>,
    version_told: Option<Millis>,
    logs: LogCounts,
    /// What it did in the last seconds.
    pub seconds: Seconds<Served>,
    /// What is expected of it.
    pub expected: Expected,
    /// What of it is anomalous.
    pub watches: Watches,
    /// What metrics say of it.
    pub measured: Option<Box<ServiceMeasured>>,
    /// Requests that it was asked, where lines of log records are noted.
    pub work: Work,
    /// How many these were when it last wrote a log record.
    pub written: u64,
}
canonical_struct!(Service {
    entity,
    since,
    used,
    reported,
    pace,
    serves,
    operations,
    versions,
    version_told,
    logs,
    seconds,
    expected,
    watches;
    measured,
    work,
    written
});
freeze_by_copy!(Service);

impl Service {
    /// Whether only its callers tell of it.
    pub fn is_peer(&self) -> bool {
        self.reported.is_none()
    }

    /// What metrics say of it, where spans say nothing.
    pub fn measured(&self) -> Option<&ServiceMeasured> {
        self.measured.as_deref().filter(|measured| !self.serves && measured.windows.step() > 0)
    }

    /// Whether any of its signals is off its baseline.
    pub fn is_anomalous(&self) -> bool {
        let w = &self.watches;
        w.traffic.is_active() || w.latency.is_active() || w.errors.is_active() || w.error_logs.is_active()
    }
}

/// Name of the table.
pub const TABLE: &str = "services";

/// All services and peers.
#[derive(Debug, Default)]
pub struct Services {
    rows: Table<Service>,
    by_name: BTreeMap<String, u32>,
    changed: Changed,
}

impl Services {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// One past the highest id.
    pub fn end(&self) -> u32 {
        self.rows.end()
    }

    /// The id of a name.
    pub fn find(&self, entity: &str) -> Option<u32> {
        self.by_name.get(entity).copied()
    }

    /// The id of a name, made when it is new; none where the table is full or the name too long.
    pub fn find_or_insert(&mut self, entity: &str, at: Millis) -> Option<u32> {
        if let Some(id) = self.find(entity) {
            return Some(id);
        }
        if self.rows.len() >= SERVICES || entity.is_empty() || entity.len() > NAME_SIZE {
            return None;
        }
        let id = self.rows.insert(Service { entity: entity.into(), since: at, used: at, ..Service::default() });
        self.by_name.insert(entity.into(), id);
        Some(id)
    }

    /// The service, or nothing where the id is free.
    pub fn try_get(&self, id: u32) -> Option<&Service> {
        self.rows.get(id)
    }

    /// The service.
    pub fn get(&self, id: u32) -> &Service {
        self.rows.get(id).expect("services outlive what names them")
    }

    /// The service for changing.
    pub fn get_mut(&mut self, id: u32) -> &mut Service {
        self.rows.row_mut(id)
    }

    /// Services in name order.
    pub fn by_name(&self) -> impl Iterator<Item = (&str, u32)> {
        self.by_name.iter().map(|(name, &id)| (name.as_str(), id))
    }

    /// Notes that a service sent something of its own.
    pub fn reported(&mut self, id: u32, at: Millis) {
        let service = self.rows.row_mut(id);
        // The gap of one body to the next; bodies of one instant count once, however they were cut.
        if let Some(gap) = service.reported.map(|last| at.since(last)).filter(|&gap| gap > 0) {
            let gap = float::min(gap as f64, 300_000.0);
            service.pace = if service.pace > 0.0 { service.pace + 0.1 * (gap - service.pace) } else { gap };
        }
        (service.reported, service.used) = (Some(at), at);
    }

    /// Notes a version; a new one, not the first, is a change. Rolling back to a known version is not seen.
    pub fn version(&mut self, id: u32, version: &str, at: Millis) -> Option<ChangeEvent> {
        let service = self.rows.get(id).expect("the caller has just found it");
        if version.is_empty() || version.len() > NAME_SIZE || service.versions.iter().any(|known| known == version) {
            return None;
        }
        let service = self.rows.row_mut(id);
        let before = service.versions.last().cloned();
        if service.versions.len() == VERSIONS {
            service.versions.remove(0);
        }
        service.versions.push(version.into());
        let before = before?;
        if service.version_told.is_some_and(|told| at.since(told) < VERSION_PACE) {
            return None;
        }
        service.version_told = Some(at);
        let title = alloc::format!("service.version {before} to {version}");
        let (entity, kind) = (service.entity.clone(), "deploy".into());
        Some(ChangeEvent { entity, kind, title, version: version.into(), at, by: String::new() })
    }

    /// Counts a log record.
    pub fn log_record(&mut self, id: u32, severity: u8, second: i64, blocks: &mut Blocks) {
        let service = self.rows.row_mut(id);
        if severity >= 17 {
            service.seconds.at(second).error_logs += 1;
        }
        let logs = &mut service.logs;
        if logs.counts.is_empty() {
            (logs.counts, logs.block) = ([0; SEVERITIES.len()].into(), blocks.take());
        }
        if logs.changed == 0 {
            self.changed.push(id, id);
        }
        let range = usize::from(severity.div_ceil(4)).min(SEVERITIES.len() - 1);
        logs.counts[range] += 1;
        logs.changed |= 1 << range;
    }

    /// Sends log counts that have changed, and those not sent for long, of the services whose turn it is.
    pub fn send(&mut self, turn: Turn, out: &mut Vec<Derived>) {
        let unchanged = |id| self.rows.get(id).filter(|s| s.logs.changed == 0 && s.logs.known != 0).map(|_| id);
        let changed = self.changed.take(turn, self.rows.end(), unchanged);
        for &id in &changed {
            let (at, all) = (turn.end(), turn.sends_all(id));
            let Service { entity, logs, .. } = self.rows.row_mut(id);
            let send = if all { logs.known | logs.changed } else { logs.changed };
            for (i, severity) in SEVERITIES.iter().enumerate().filter(|(i, _)| send >> i & 1 == 1) {
                let id = logs.block * BLOCK + i as u32;
                if logs.known >> i & 1 == 0 {
                    let name = ("__name__", "faultline_log_records_total");
                    let labels = Labels::new([name, ("service_name", entity), ("severity", severity)]);
                    out.push(Derived { id, labels: Some(labels), sample: Sample::new(at.plus(-1000), 0.0) });
                }
                out.push(Derived { id, labels: None, sample: Sample::new(at, logs.counts[i] as f64) });
            }
            (logs.known, logs.changed) = (logs.known | send, 0);
        }
        self.changed.give(turn, changed);
    }

    /// Services unused for long among those of this second, in rising order; `keep` says which are still needed.
    pub fn outlived(&self, phase: u32, step: usize, now: Millis, keep: impl Fn(u32) -> bool) -> Vec<u32> {
        let old = |id: &u32| self.rows.get(*id).is_some_and(|s| outlived(s.used, now, self.rows.len(), SERVICES));
        (phase..self.rows.end()).step_by(step).filter(old).filter(|&id| !keep(id)).collect()
    }

    /// Takes a service out.
    pub fn remove(&mut self, id: u32, at: Millis, blocks: &mut Blocks, out: &mut Vec<Derived>) {
        let service = self.get(id);
        let (entity, logs) = (service.entity.clone(), service.logs.clone());
        self.rows.remove(id);
        self.by_name.remove(&entity);
        self.changed.retain(|changed| changed != id);
        for part in (0..BLOCK).filter(|part| logs.known >> part & 1 == 1) {
            out.push(Derived { id: logs.block * BLOCK + part, labels: None, sample: Sample::stale(at) });
        }
        if !logs.counts.is_empty() {
            blocks.give(logs.block);
        }
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
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Services, CodecError> {
        let rows: Table<Service> = Table::read(r, TABLE, pages)?;
        let by_name = rows.iter().map(|(id, service)| (service.entity.clone(), id)).collect();
        let changed = rows.iter().filter(|(_, service)| service.logs.changed != 0).map(|(id, _)| (id, id)).collect();
        Ok(Services { rows, by_name, changed })
    }
}
