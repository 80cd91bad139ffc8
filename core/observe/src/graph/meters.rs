//! Series of standard metrics: which count what, and how much each has risen.
//!
//! What such series say of a service or a call goes into windows of its own ([`super::measured`]) with baselines of their own, because
//! their step is the scraper's. Spans are finer: where a service or a call has spans, its metrics are not looked at.
use super::limits::METERS;
use super::measured::{Arrival, Window, Windows};
use super::seconds::Served;
use super::services::Service;
use super::windows::{LATENCY, Means, material_errors, material_latency, material_traffic, mean_ms, share, watch};
use super::{Graph, edges, services};
use crate::mesh::{self, Counted, Quantity, Side};
use crate::resource;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_detect::{Noise, Score};
use faultline_model::facts::{Anomaly, Signal};
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{
    CodecError, Labels, Millis, Reader, Sample, Table, Writer, canonical_struct, float, freeze_by_copy,
};

/// Marks a caller that is not known.
const NOBODY: u32 = u32::MAX;

/// One series.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Its number in the series store.
    series: u32,
    side: Side,
    quantity: Quantity,
    client: u32,
    server: u32,
    last: f64,
    at: Millis,
}
canonical_struct!(Meter { series, side, quantity, client, server, last, at });
freeze_by_copy!(Meter);

/// Name of the table.
pub const TABLE: &str = "meters";

/// All of them.
#[derive(Debug, Default)]
pub struct Meters {
    rows: Table<Meter>,
    by_series: BTreeMap<u32, u32>,
}

impl Meters {
    /// Whether there never was one: then nothing of them is written.
    pub fn is_empty(&self) -> bool {
        self.rows.page_count() == 0
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
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Meters, CodecError> {
        let rows: Table<Meter> = Table::read(r, TABLE, pages)?;
        let by_series = rows.iter().map(|(id, meter)| (meter.series, id)).collect();
        Ok(Meters { rows, by_series })
    }

    fn remove(&mut self, id: u32) {
        let series = self.rows.get(id).expect("the id is in use").series;
        self.by_series.remove(&series);
        self.rows.remove(id);
    }

    /// Forgets a series, whose number another may get.
    pub fn forget(&mut self, series: u32) {
        if let Some(&id) = self.by_series.get(&series) {
            self.remove(id);
        }
    }

    /// Forgets what names any of these services. `gone` rises.
    pub fn forget_services(&mut self, gone: &[u32]) {
        let is_gone = |id: u32| gone.binary_search(&id).is_ok();
        let names = |meter: &Meter| is_gone(meter.server) || is_gone(meter.client);
        let ids: Vec<u32> = self.rows.iter().filter(|(_, meter)| names(meter)).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.remove(id));
    }
}

/// What metrics say of a service, and what is expected of it by them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceMeasured {
    /// Windows.
    pub windows: Windows<Served>,
    /// Baselines of such windows.
    pub expected: services::Expected,
}
canonical_struct!(ServiceMeasured { windows, expected });

/// What metrics say of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeMeasured {
    /// Windows.
    pub windows: Windows<Reported>,
    /// Baselines of such windows.
    pub expected: edges::Expected,
}
canonical_struct!(EdgeMeasured { windows, expected });

super::seconds::amounts! {
    /// What both ends of a call reported.
    Reported {
        /// Calls that the caller's proxy counted.
        client_calls,
        /// Those that failed.
        client_failed,
        /// Their time, in ns.
        client_ns,
        /// Requests that the callee's proxy counted.
        server_calls,
        /// Those that failed.
        server_failed,
        /// Their time, in ns.
        server_ns,
    }
}

impl Reported {
    /// Calls, failures and time in ns: the caller's word, else the callee's.
    pub fn calls(&self) -> (i64, i64, i64) {
        if self.client_calls > 0 {
            (self.client_calls, self.client_failed, self.client_ns)
        } else {
            (self.server_calls, self.server_failed, self.server_ns)
        }
    }

    /// Mean of the caller's time less the callee's, in ms, and of how many; none where only one end reports.
    pub fn gap(&self) -> Option<(f64, f64)> {
        let both = self.client_calls.min(self.server_calls);
        let gap = || mean_ms(self.client_ns, self.client_calls) - mean_ms(self.server_ns, self.server_calls);
        (both > 0).then(|| (gap(), both as f64))
    }
}

impl Graph {
    /// Takes a new sample of a series of a standard metric, at rule time `now`.
    ///
    /// - `series`: its number, the same until [`Graph::forget_series`].
    /// - `labels`: its labels, asked for until it is known what the series says.
    pub fn measure<'a>(
        &mut self,
        series: u32,
        sample: Sample,
        now: Millis,
        labels: impl FnOnce() -> &'a Labels,
        out: &mut Vec<Anomaly>,
    ) {
        let (value, at) = (sample.value(), sample.time());
        if sample.is_stale() || !(value.is_finite() && value >= 0.0) {
            return;
        }
        let Some(&id) = self.meters.by_series.get(&series) else {
            if self.resources.reads(series) {
                self.use_resource(series, (value, at), now);
                return;
            }
            let labels = labels();
            if let Some(counted) = mesh::counted(labels) {
                self.meet(series, &counted, (value, at), now);
            } else if let Some(told) = resource::told(labels).filter(|told| self.reads(told)) {
                self.meet_resource(series, &told, (value, at), now);
            }
            return;
        };
        // A page that is looked at only need not be written again.
        let apart = at.since(self.meters.rows.get(id).expect("the index has its rows").at);
        if apart <= 0 {
            return;
        }
        let meter = self.meters.rows.row_mut(id);
        // A counter that fell began again at 0.
        let rise = if value < meter.last { value } else { value - meter.last };
        (meter.last, meter.at) = (value, at);
        let meter = meter.clone();
        self.heard(&meter, now);
        if meter.side == Side::Server && !self.services.get(meter.server).serves {
            self.service_rose(&meter, rise, apart, out);
        }
        if meter.client != NOBODY
            && let Some(edge) = self.edges.find(meter.client, meter.server)
            && !self.edges.get_mut(edge).is_traced()
        {
            self.edge_rose(edge, &meter, rise, apart);
        }
    }

    /// Whether what a series tells of a resource is read by the engine version that decides.
    fn reads(&self, told: &resource::Told<'_>) -> bool {
        self.notes_use && (self.looks_ahead || !told.since_10)
    }

    /// Forgets a series: its number may be given again.
    pub fn forget_series(&mut self, series: u32) {
        self.meters.forget(series);
        self.resources.forget(series);
    }

    /// A series that is new. What it stands at is of no known time, so it counts from here on.
    fn meet(&mut self, series: u32, counted: &Counted<'_>, (last, at): (f64, Millis), now: Millis) {
        if self.meters.rows.len() >= METERS {
            self.counts.meters_refused += 1;
            return;
        }
        self.begin(now);
        let Some(server) = self.services.find_or_insert(counted.server, now) else {
            self.refuse(counted.server);
            return;
        };
        let mut client = NOBODY;
        if !counted.client.is_empty() {
            match self.services.find_or_insert(counted.client, now) {
                Some(id) => client = id,
                None => self.refuse(counted.client),
            }
        }
        if client != NOBODY {
            let ends = (client, server, false);
            if self.edges.find_or_insert(ends, now, &self.services, &mut self.blocks).is_none() {
                self.counts.edges_refused += 1;
            }
        }
        let Counted { side, quantity, .. } = *counted;
        let meter = Meter { series, side, quantity, client, server, last, at };
        self.heard(&meter, now);
        let id = self.meters.rows.insert(meter);
        self.meters.by_series.insert(series, id);
    }

    /// Whoever's proxy counted lives; both ends and the call are in use.
    fn heard(&mut self, meter: &Meter, now: Millis) {
        let teller = if meter.side == Side::Server { meter.server } else { meter.client };
        self.services.reported(teller, now);
        self.services.get_mut(meter.server).used = now;
        if meter.client != NOBODY {
            self.services.get_mut(meter.client).used = now;
            if let Some(edge) = self.edges.find(meter.client, meter.server) {
                self.edges.get_mut(edge).used = now;
            }
        }
    }

    fn service_rose(&mut self, meter: &Meter, rise: f64, apart: i64, out: &mut Vec<Anomaly>) {
        let service = self.services.get_mut(meter.server);
        let measured = service.measured.get_or_insert_default();
        let mut closed = Vec::new();
        let (arrival, anew) = measured.windows.arrive(meter.at, apart, &mut closed);
        if anew {
            measured.expected = services::Expected::default();
        }
        if let Some(amount) = amount(meter.quantity, rise, arrival) {
            let amounts = match meter.quantity {
                Quantity::Answered => Served { requests: amount, ..Served::default() },
                Quantity::Failed => Served { requests: amount, failed: amount, ..Served::default() },
                Quantity::Time => Served { total_ns: amount, ..Served::default() },
            };
            measured.windows.add(&amounts);
        }
        closed.iter().for_each(|window| close_service(service, window, out));
    }

    fn edge_rose(&mut self, edge: u32, meter: &Meter, rise: f64, apart: i64) {
        let measured = self.edges.get_mut(edge).measured.get_or_insert_default();
        let mut closed = Vec::new();
        let (arrival, anew) = measured.windows.arrive(meter.at, apart, &mut closed);
        if anew {
            measured.expected = edges::Expected::default();
        }
        if let Some(amount) = amount(meter.quantity, rise, arrival) {
            let mut amounts = Reported::default();
            let (calls, failed, ns) = match meter.side {
                Side::Client => (&mut amounts.client_calls, &mut amounts.client_failed, &mut amounts.client_ns),
                Side::Server => (&mut amounts.server_calls, &mut amounts.server_failed, &mut amounts.server_ns),
            };
            match meter.quantity {
                Quantity::Answered => *calls = amount,
                Quantity::Failed => (*calls, *failed) = (amount, amount),
                Quantity::Time => *ns = amount,
            }
            measured.windows.add(&amounts);
        }
        closed.iter().for_each(|window| close_edge(&mut measured.expected, window));
    }

    /// Closes the windows of row `id` that nothing has closed although they are over at `end`.
    pub(super) fn close_measured_service(&mut self, id: u32, end: Millis, out: &mut Vec<Anomaly>) {
        let overdue = |measured: &ServiceMeasured| measured.windows.overdue().is_some_and(|due| due <= end);
        if !self.services.get(id).measured.as_deref().is_some_and(overdue) {
            return;
        }
        let service = self.services.get_mut(id);
        let (mut closed, windows) = (Vec::new(), &mut service.measured.as_mut().expect("it is overdue").windows);
        windows.close(end.plus(-windows.step() + 1), &mut closed);
        closed.iter().for_each(|window| close_service(service, window, out));
    }

    /// The same of a call.
    pub(super) fn close_measured_edge(&mut self, id: u32, end: Millis) {
        let edge = self.edges.try_get(id).expect("the caller has just looked");
        let overdue = |measured: &EdgeMeasured| measured.windows.overdue().is_some_and(|due| due <= end);
        if !edge.measured.as_deref().is_some_and(overdue) {
            return;
        }
        let measured = self.edges.get_mut(id).measured.as_mut().expect("it is overdue");
        let (mut closed, windows) = (Vec::new(), &mut measured.windows);
        windows.close(end.plus(-windows.step() + 1), &mut closed);
        closed.iter().for_each(|window| close_edge(&mut measured.expected, window));
    }
}

/// A rise in whole numbers: requests, or ns.
fn amount(quantity: Quantity, rise: f64, arrival: Arrival) -> Option<i64> {
    let unit = if quantity == Quantity::Time { 1e6 } else { 1.0 };
    let steps = match arrival {
        Arrival::Late => return None,
        Arrival::Counts => 1.0,
        Arrival::Share(steps) => steps as f64,
    };
    Some(float::floor(rise * unit / steps + 0.5) as i64)
}

/// Judges a closed window, then learns from it. One in which nobody told anything says nothing.
fn close_service(service: &mut Service, window: &Window<Served>, out: &mut Vec<Anomaly>) {
    if window.told == 0 {
        return;
    }
    let Some(measured) = &mut service.measured else { return };
    let (step, served, expected) = (measured.windows.step(), &window.amounts, &mut measured.expected);
    let requests = float::max(served.requests as f64, 0.0);
    let traffic = expected.traffic.observe(Noise::Count, requests, 1.0);
    let seconds = step as f64 / 1000.0;
    let told = Score { expected: traffic.expected / seconds, ..traffic };
    let mut scores = Vec::from([(Signal::Traffic, told, requests / seconds, material_traffic(&traffic, requests))]);
    if let Some(means) = Means::of(served) {
        let latency = expected.latency.observe(LATENCY, means.latency, means.count);
        let errors = expected.errors.observe(Noise::Share, means.errors, means.count);
        scores.push((Signal::Latency, latency, means.latency, material_latency(&latency, &means)));
        scores.push((Signal::Errors, errors, means.errors, material_errors(&errors, &means, served.failed)));
    }
    for (signal, Score { expected, z, .. }, seen, material) in scores {
        if watch(service, signal).observe(z, material) {
            let onset = window.end.plus(-step);
            watch(service, signal).since = onset;
            out.push(Anomaly { entity: service.entity.clone(), signal, at: window.end, onset, expected, seen, z });
        }
    }
}

fn close_edge(expected: &mut edges::Expected, window: &Window<Reported>) {
    if window.told == 0 {
        return;
    }
    let (calls, failed, ns) = window.amounts.calls();
    expected.traffic.observe(Noise::Count, float::max(calls as f64, 0.0), 1.0);
    if calls > 0 {
        expected.latency.observe(LATENCY, mean_ms(ns, calls), calls as f64);
        expected.errors.observe(Noise::Share, share(failed, calls), calls as f64);
    }
    if let Some((gap, count)) = window.amounts.gap() {
        expected.gap.observe(LATENCY, gap, count);
    }
}
