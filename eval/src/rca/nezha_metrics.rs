//! Nezha's metrics: once a minute what each pod used, and where they are recorded the median time of each call.
//!
//! Use becomes what a kubelet's receiver sends (shares of limits). Medians become Istio's standard metrics, as if each request had
//! taken the median: how many there were is what the callee's pods served, shared among its callers.
use super::names::Names;
use super::{name, table};
use crate::packed;
use faultline_model::{Labels, Millis, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

/// Time between two rows, in ms.
pub const STEP: i64 = 60_000;
/// Rows that are laid before an incident, at most.
const ROWS: usize = 40;

/// Samples of one instant.
pub type Sent = (Millis, Vec<(Labels, Sample)>);

/// Everything that was recorded of a day, by the minute in which it was.
#[derive(Debug, Default)]
pub struct Day {
    pods: Vec<Pod>,
    /// Caller and callee, and by minute the callee's time as the caller saw it and as it did itself, in s.
    calls: BTreeMap<(String, String), [BTreeMap<i64, f64>; 2]>,
    /// By minute the time of whole requests, in s.
    whole: BTreeMap<i64, f64>,
    minutes: BTreeSet<i64>,
    /// How far into their minutes the rows are, in ms.
    into: Option<i64>,
}

#[derive(Debug)]
struct Pod {
    pod: String,
    service: String,
    /// By minute: shares of its limits of processor time and memory, and requests by the second.
    rows: BTreeMap<i64, [f64; 3]>,
}

impl Day {
    /// Reads the folder of a day; nothing where it is not there.
    pub fn read(folder: &Path) -> Result<Day, Box<dyn Error>> {
        let mut day = Day::default();
        if !folder.is_dir() {
            return Ok(day);
        }
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
        paths.sort();
        for path in paths {
            let (name, rows) = (name(&path), || table::rows(&packed::text(&path)?));
            if let Some((pod, _)) = name.split_once("_metric.csv") {
                let rows = rows()?;
                day.into = day.into.or_else(|| rows.iter().find_map(|row| Some(written(row)?.0.rem_euclid(STEP))));
                let figures = figures(&rows, &["CpuUsageRate(%)", "MemoryUsageRate(%)", "PodWorkload(Ops)"])?;
                let of = |row: [Option<f64>; 3]| row.map(|value| value.unwrap_or(f64::NAN));
                let rows: BTreeMap<i64, [f64; 3]> = figures.into_iter().map(|(at, row)| (at, of(row))).collect();
                day.minutes.extend(rows.keys());
                day.pods.push(Pod { pod: pod.to_string(), service: super::nezha::service(pod).to_string(), rows });
            } else if name.starts_with("front_service") {
                let figures = figures(&rows()?, &["LatencyP50(s)"])?;
                day.whole = figures.into_iter().filter_map(|(at, [median])| Some((at, median?))).collect();
            } else if let Some(side) = ["source_50", "destination_50"].iter().position(|it| name.starts_with(it)) {
                day.medians(&rows()?, side)?;
            }
        }
        Ok(day)
    }

    /// A table of medians: a column for each `caller_callee`.
    fn medians(&mut self, rows: &[Vec<String>], side: usize) -> Result<(), Box<dyn Error>> {
        let Some(head) = rows.first() else { return Ok(()) };
        for column in head.iter().skip(2) {
            let Some((caller, callee)) = column.split_once('_') else { continue };
            let medians = figures(rows, &[column.as_str()])?;
            let of = medians.into_iter().filter_map(|(at, [median])| Some((at, median?)));
            self.calls.entry((caller.to_string(), callee.to_string())).or_default()[side] = of.collect();
        }
        Ok(())
    }

    /// The service that is called by none of those that call; none without a record of calls.
    pub fn entry(&self) -> Option<&str> {
        let called: BTreeSet<&String> = self.calls.keys().map(|(_, callee)| callee).collect();
        self.calls.keys().map(|(caller, _)| caller).find(|caller| !called.contains(caller)).map(|caller| &**caller)
    }

    /// What is sent for an incident from `begins` to `last`: rows of other times of the day, `far` ms away or more, nearest first, laid one
    /// after another before it, and then its own. Calls are told of where `mesh` says so.
    pub fn sent(&self, (begins, last): (Millis, Millis), far: i64, mesh: bool, names: &mut Names) -> Vec<Sent> {
        let minute = |at: Millis| at.0.div_euclid(STEP);
        let (first, end) = (minute(begins), minute(last));
        let away = |at: &i64| if *at < first { first - at } else { at - end };
        let mut before: Vec<i64> =
            self.minutes.iter().copied().filter(|at| away(at) * STEP >= far && !(first..=end).contains(at)).collect();
        before.sort_by_key(|at| (away(at), *at));
        before.truncate(ROWS);
        before.sort();
        let count = before.len() as i64;
        let laid = before.into_iter().enumerate().map(|(place, at)| (at, first - count + place as i64));
        let own = self.minutes.range(first..=end).map(|&at| (at, at));
        let mut sums: BTreeMap<Labels, f64> = BTreeMap::new();
        let mut sent = Vec::new();
        for (of, at) in laid.chain(own) {
            let at = Millis(at * STEP + self.into.unwrap_or(STEP / 2));
            if at > last {
                continue;
            }
            let mut samples = Vec::new();
            self.uses(of, names, &mut |labels, value| samples.push((labels, Sample::new(at, value))));
            if mesh {
                self.meets(of, names, &mut |labels, rise| {
                    let sum = sums.entry(labels.clone()).or_default();
                    *sum += rise;
                    samples.push((labels, Sample::new(at, *sum)));
                });
            }
            sent.push((at, samples));
        }
        sent
    }

    /// Shares of limits in one minute.
    fn uses(&self, minute: i64, names: &mut Names, out: &mut dyn FnMut(Labels, f64)) {
        for pod in &self.pods {
            let Some([cpu, memory, _]) = pod.rows.get(&minute) else { continue };
            for (metric, share) in
                [("k8s_pod_cpu_limit_utilization_ratio", cpu), ("k8s_pod_memory_limit_utilization_ratio", memory)]
            {
                if share.is_finite() {
                    let (service, pod) = (names.give(&pod.service), names.give(&pod.pod));
                    let labels = [("__name__", metric), ("k8s_deployment_name", &service), ("k8s_pod_name", &pod)];
                    out(Labels::new(labels), share / 100.0);
                }
            }
        }
    }

    /// Rises of the mesh's counters in one minute.
    fn meets(&self, minute: i64, names: &mut Names, out: &mut dyn FnMut(Labels, f64)) {
        for ((caller, callee), medians) in &self.calls {
            let callers = self.calls.keys().filter(|(_, other)| other == callee).count();
            let calls = self.served(callee, minute) / callers as f64;
            for (side, medians) in [("source", &medians[0]), ("destination", &medians[1])] {
                if let Some(median) = medians.get(&minute) {
                    let (caller, callee) = (names.give(caller), names.give(callee));
                    counters(side, &caller, &callee, calls, *median, out);
                }
            }
        }
        if let (Some(entry), Some(median)) = (self.entry(), self.whole.get(&minute)) {
            counters("destination", "unknown", &names.give(entry), self.served(entry, minute), *median, out);
        }
    }

    /// Requests that a service's pods served in a minute; one by the second where nobody counted.
    fn served(&self, service: &str, minute: i64) -> f64 {
        let of_it = self.pods.iter().filter(|pod| pod.service == service).filter_map(|pod| pod.rows.get(&minute));
        let sum: f64 = of_it.map(|row| row[2]).filter(|workload| workload.is_finite()).sum();
        60.0 * if sum > 0.0 { sum } else { 1.0 }
    }
}

/// Requests and their time, as a proxy counts them.
fn counters(side: &str, caller: &str, callee: &str, calls: f64, median: f64, out: &mut dyn FnMut(Labels, f64)) {
    let of = |metric: &str| {
        let ends = [("source_workload", caller), ("destination_workload", callee)];
        let pairs = [("__name__", metric), ("reporter", side), ("response_code", "200"), ends[0], ends[1]];
        Labels::new(pairs)
    };
    out(of("istio_requests_total"), calls);
    out(of("istio_request_duration_milliseconds_sum"), calls * median * 1000.0);
}

/// Some columns, by minute.
type Minutes<const N: usize> = BTreeMap<i64, [Option<f64>; N]>;

/// When a row was written, in its first column's words: the second holds seconds since 1970, which one pod's table has wrong by years.
fn written(row: &[String]) -> Option<Millis> {
    super::nezha::instant(row.first()?.get(..19)?)
}

/// Columns of a table by minute since 1970. What does not read is none.
fn figures<const N: usize>(rows: &[Vec<String>], columns: &[&str; N]) -> Result<Minutes<N>, Box<dyn Error>> {
    let (head, rows) = rows.split_first().ok_or("a table without its heading")?;
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        *place = head.iter().position(|it| it == column).ok_or_else(|| format!("no column {column}"))?;
    }
    let read = |row: &Vec<String>| {
        let at = written(row)?;
        let cell = |place: usize| row.get(place)?.parse().ok().filter(|value: &f64| value.is_finite());
        Some((at.0.div_euclid(STEP), places.map(cell)))
    };
    Ok(rows.iter().filter_map(read).collect())
}
