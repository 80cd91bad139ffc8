//! What instances of services use: by metrics of containers and processes, window by window, beside what is usual.
//!
//! Several series tell of one resource of one instance: its use, its limit, and the same again under another id after a restart.
//! So a row stands for the resource of the instance, and series come and go.
use super::Graph;
use super::index::{Index, mix};
use super::limits::{METERS, RESOURCES, outlived};
use super::measured::{Arrival, Windows};
use crate::resource::{Form, Told};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_detect::{Baseline, Noise};
use faultline_model::facts::{Resource, ResourceEvidence, Shift};
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{CodecError, Millis, Reader, Table, Writer, canonical_struct, float, freeze_by_copy};

/// Windows after the onset that are looked at, newest first.
const WINDOWS_SEEN: usize = 4;
/// A service's resources are told of for so many ms after the last sample, or so many steps of its series.
const TOLD_MS: i64 = 60_000;
/// See [`TOLD_MS`].
const SCRAPES: i64 = 5;
/// From this z on an instance counts as off its baseline.
const OFF: f64 = 3.0;

super::seconds::amounts! {
    /// What was used in a window: the sum of what its samples say, in parts of [`unit`].
    Used {
        /// Their sum.
        sum,
    }
}

/// A resource of an instance.
#[derive(Clone, Debug)]
pub struct Row {
    service: u32,
    instance: String,
    resource: Resource,
    limit: f64,
    windows: Windows<Used>,
    expected: Baseline,
    /// Whether the newest closed window was off its baseline.
    off: bool,
    used: Millis,
}
canonical_struct!(Row { service, instance, resource, limit, windows, expected, off, used });
freeze_by_copy!(Row);

/// A series that tells of one.
#[derive(Clone, Debug)]
pub struct Series {
    series: u32,
    row: u32,
    form: Form,
    last: f64,
    at: Millis,
}
canonical_struct!(Series { series, row, form, last, at });
freeze_by_copy!(Series);

/// Names of the tables.
pub const TABLES: [&str; 2] = ["resources", "resource-series"];

/// All of them.
#[derive(Debug, Default)]
pub struct Resources {
    rows: Table<Row>,
    series: Table<Series>,
    by_series: BTreeMap<u32, u32>,
    by_service: BTreeMap<u32, Vec<u32>>,
    index: Index,
    seed: u64,
}

/// How much of a resource one part of the sums in its windows is: fine enough, and far from the end of their range.
fn unit(resource: Resource) -> f64 {
    match resource {
        Resource::Memory => 1024.0,
        Resource::Cpu | Resource::CpuShare | Resource::MemoryShare | Resource::Throttled | Resource::Restarts => 1e-6,
    }
}

/// What is known of its noise beforehand: below a fiftieth of a core or of the limit, 1 MiB, a tenth of itself, nothing is told apart.
fn noise(resource: Resource) -> Noise {
    match resource {
        Resource::Memory => Noise::Mean { floor: 1_048_576.0, share: 0.05 },
        Resource::MemoryShare => Noise::Mean { floor: 0.02, share: 0.05 },
        Resource::Cpu | Resource::CpuShare | Resource::Throttled => Noise::Mean { floor: 0.02, share: 0.1 },
        Resource::Restarts => Noise::Count,
    }
}

/// What the samples of a window say together: their mean, or how often it happened.
fn told(resource: Resource, sum: i64, samples: u32) -> f64 {
    let sum = sum as f64 * unit(resource);
    if resource == Resource::Restarts { sum } else { sum / f64::from(samples.max(1)) }
}

impl Resources {
    /// None yet.
    pub fn new(seed: u64) -> Resources {
        Resources { seed, ..Resources::default() }
    }

    /// Whether there never was one: then nothing of them is written.
    pub fn is_empty(&self) -> bool {
        self.rows.page_count() == 0 && self.series.page_count() == 0
    }

    /// The rows: resources, and the series that tell of them.
    pub fn tables(&mut self) -> [&mut dyn Paged; 2] {
        [&mut self.rows, &mut self.series]
    }

    /// Appends what is beside them.
    pub fn write(&self, w: &mut Writer) {
        self.rows.write_rest(w);
        self.series.write_rest(w);
    }

    /// Reads them back.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes, seed: u64) -> Result<Resources, CodecError> {
        let rows: Table<Row> = Table::read(r, TABLES[0], pages)?;
        let series: Table<Series> = Table::read(r, TABLES[1], pages)?;
        let by_series = series.iter().map(|(id, it)| (it.series, id)).collect();
        let mut read = Resources { rows, series, by_series, seed, ..Resources::default() };
        let mut index = Index::default();
        for (id, row) in read.rows.iter() {
            index.insert(read.hash(id), id, |id| read.hash(id));
            read.by_service.entry(row.service).or_default().push(id);
        }
        read.index = index;
        Ok(read)
    }

    fn hash(&self, id: u32) -> u64 {
        let row = self.rows.get(id).expect("indexed rows exist");
        hash(self.seed, row.service, &row.instance, row.resource)
    }

    /// Whether a series is one that it reads.
    pub fn reads(&self, series: u32) -> bool {
        self.by_series.contains_key(&series)
    }

    /// Forgets a series, whose number another may get. What it told stays.
    pub fn forget(&mut self, series: u32) {
        if let Some(id) = self.by_series.remove(&series) {
            self.series.remove(id);
        }
    }

    /// Forgets services, whose ids may be given again. `gone` rises.
    pub fn forget_services(&mut self, gone: &[u32]) {
        let rows: Vec<u32> = gone.iter().filter_map(|id| self.by_service.get(id)).flatten().copied().collect();
        rows.into_iter().for_each(|row| self.remove(row));
    }

    /// Evicts what nothing has told of for long among the rows of one phase.
    pub fn sweep(&mut self, phase: u32, step: usize, now: Millis) {
        for id in (phase..self.rows.end()).step_by(step) {
            if self.rows.get(id).is_some_and(|row| outlived(row.used, now, self.rows.len(), RESOURCES)) {
                self.remove(id);
            }
        }
    }

    fn remove(&mut self, id: u32) {
        let hash = self.hash(id);
        self.index.remove(hash, id);
        let service = self.rows.get(id).expect("the row is in use").service;
        if let Some(rows) = self.by_service.get_mut(&service) {
            rows.retain(|&row| row != id);
            if rows.is_empty() {
                self.by_service.remove(&service);
            }
        }
        self.rows.remove(id);
        let of_it: Vec<u32> = self.series.iter().filter(|(_, it)| it.row == id).map(|(_, it)| it.series).collect();
        of_it.into_iter().for_each(|series| self.forget(series));
    }

    fn find_or_insert(&mut self, service: u32, told: &Told<'_>, now: Millis) -> Option<u32> {
        let hash = hash(self.seed, service, &told.instance, told.resource);
        let same = |row: &Row| (row.service, &row.instance, row.resource) == (service, &told.instance, told.resource);
        if let Some(id) = self.index.find(hash, |id| self.rows.get(id).is_some_and(same)) {
            return Some(id);
        }
        if self.rows.len() >= RESOURCES {
            return None;
        }
        let id = self.rows.insert(Row {
            service,
            instance: told.instance.clone(),
            resource: told.resource,
            limit: 0.0,
            windows: Windows::default(),
            expected: Baseline::default(),
            off: false,
            used: now,
        });
        let mut index = core::mem::take(&mut self.index);
        index.insert(hash, id, |id| self.hash(id));
        self.index = index;
        self.by_service.entry(service).or_default().push(id);
        Some(id)
    }

    /// Takes a sample of a series that it reads. Says whose it is, where it was news.
    fn take(&mut self, series: u32, value: f64, at: Millis, now: Millis) -> Option<u32> {
        let id = *self.by_series.get(&series)?;
        let Series { row, form, last, at: before, .. } = *self.series.get(id).expect("the index has its rows");
        let apart = at.since(before);
        if apart <= 0 {
            return None;
        }
        let it = self.series.row_mut(id);
        (it.last, it.at) = (value, at);
        let row = self.rows.row_mut(row);
        row.used = now;
        // A counter that fell began again at 0.
        let rise = if value < last { value } else { value - last };
        let used = match form {
            Form::Gauge => value,
            Form::Rate => rise * 1000.0 / apart as f64,
            Form::Count => rise,
            Form::Limit => {
                row.limit = value;
                return Some(row.service);
            }
        };
        let mut closed = Vec::new();
        let (arrival, anew) = row.windows.arrive(at, apart, &mut closed);
        if anew {
            row.expected = Baseline::default();
        }
        if arrival != Arrival::Late {
            let parts = float::min(used / unit(row.resource), 9e15);
            row.windows.add(&Used { sum: float::floor(parts + 0.5) as i64 });
        }
        for window in closed.iter().filter(|window| window.told > 0) {
            let used = told(row.resource, window.amounts.sum, window.told);
            row.off = row.expected.observe(noise(row.resource), used, 1.0).z >= OFF;
        }
        Some(row.service)
    }

    /// Whether anything has told of a service's resources of late.
    pub fn tell_of(&self, service: u32, now: Millis) -> bool {
        let rows = self.by_service.get(&service).into_iter().flatten().filter_map(|&id| self.rows.get(id));
        rows.into_iter().any(|row| now.since(row.used) <= TOLD_MS.max(SCRAPES * row.windows.step()))
    }

    /// Whether one of a service's was off its baseline in its newest closed window.
    pub fn is_off(&self, service: u32) -> bool {
        let rows = self.by_service.get(&service).into_iter().flatten();
        rows.into_iter().any(|&id| self.rows.get(id).is_some_and(|row| row.off))
    }

    /// The resources of a service since `onset`, each once: the instance whose use has risen most among those that are off their
    /// baselines, else the one that is furthest off.
    pub fn evidence(&self, service: u32, onset: Millis) -> Vec<ResourceEvidence> {
        let mut most: BTreeMap<Resource, (bool, f64, ResourceEvidence)> = BTreeMap::new();
        for &id in self.by_service.get(&service).into_iter().flatten() {
            let row = self.rows.get(id).expect("indexed rows exist");
            let Some(used) = row.shift(onset) else { continue };
            let off = used.z >= OFF;
            let by = if off { used.rise() } else { used.z };
            let better = most.get(&row.resource).is_none_or(|(was_off, was_by, was)| {
                (off, by) > (*was_off, *was_by) || ((off, by) == (*was_off, *was_by) && row.instance < was.instance)
            });
            if better {
                let (resource, instance, limit) = (row.resource, row.instance.clone(), row.limit);
                most.insert(resource, (off, by, ResourceEvidence { resource, instance, used, limit }));
            }
        }
        most.into_values().map(|(.., evidence)| evidence).collect()
    }
}

impl Row {
    /// Use now against what is usual: the mean of the two fullest of the newest windows that end after the onset, for trouble begins
    /// and ends within windows. None without a window since then.
    fn shift(&self, onset: Millis) -> Option<Shift> {
        let since = self.windows.newest().filter(|window| window.told > 0);
        let since = since.take_while(|window| window.end > onset).take(WINDOWS_SEEN);
        let mut seen: Vec<f64> = since.map(|window| told(self.resource, window.amounts.sum, window.told)).collect();
        let count = seen.len() as f64;
        seen.sort_by(|a, b| float::order(*b, *a));
        let used = match &seen[..] {
            [] => return None,
            [only] => *only,
            [first, second, ..] => (first + second) / 2.0,
        };
        let expected = if self.expected.is_warm() { self.expected.level() } else { used };
        Some(Shift { expected, seen: used, z: self.expected.score(noise(self.resource), used, 1.0).z, count })
    }
}

fn hash(seed: u64, service: u32, instance: &str, resource: Resource) -> u64 {
    let text = instance.bytes().fold(seed, |hash, byte| mix(seed, hash, u64::from(byte)));
    mix(seed, text, u64::from(service) << 8 | resource as u64)
}

impl Graph {
    /// A series that is new. What a counter stands at is of no known time, and a gauge's step is not known yet: it says nothing so far.
    pub(super) fn meet_resource(&mut self, series: u32, told: &Told<'_>, (last, at): (f64, Millis), now: Millis) {
        self.begin(now);
        let Some(service) = self.user(told, now) else { return };
        let room = self.resources.series.len() < METERS;
        let Some(row) = self.resources.find_or_insert(service, told, now).filter(|_| room) else {
            self.counts.meters_refused += 1;
            return;
        };
        if told.form == Form::Limit {
            self.resources.rows.row_mut(row).limit = last;
        }
        let id = self.resources.series.insert(Series { series, row, form: told.form, last, at });
        self.resources.by_series.insert(series, id);
        self.services.get_mut(service).used = now;
    }

    /// A sample of a series that is known.
    pub(super) fn use_resource(&mut self, series: u32, (value, at): (f64, Millis), now: Millis) {
        if let Some(service) = self.resources.take(series, value, at, now) {
            self.services.get_mut(service).used = now;
        }
    }

    /// Whose resource it is: the first of its names that is known, else a service of the first.
    fn user(&mut self, told: &Told<'_>, now: Millis) -> Option<u32> {
        let mut names = told.owners.iter().filter(|name| !name.is_empty());
        if let Some(id) = names.clone().find_map(|name| self.services.find(name)) {
            return Some(id);
        }
        if told.known_only {
            return None;
        }
        let name = names.next()?;
        let id = self.services.find_or_insert(name, now);
        if id.is_none() {
            self.refuse(name);
        }
        id
    }
}
