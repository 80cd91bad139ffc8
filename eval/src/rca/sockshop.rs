//! The shape of Sock Shop 1 (RCD): per case a table of what each container used, second by second, before a fault and after it.
//!
//! There are no calls, no traces and no logs, and nothing says who suffers: an alert that names no service pages after a minute. Columns
//! are `<service>_cpu` in percent of a core, `<service>_mem` in bytes; others are not read (`lod` and latencies of three services).
//! Source: Ikram et al., "Root Cause Analysis of Failures in Microservices through Causal Discovery", NeurIPS 2022.
use super::names::Names;
use super::recording::{Body, PAGED, Recording, paged};
use super::table;
use crate::packed;
use faultline_model::{Labels, Millis, Sample};
use std::error::Error;
use std::path::Path;

/// When somebody is paged, in ms after the fault began.
const NOTICED: i64 = 60_000;

/// Every case of a folder `<service>-<fault>/<repetition>`.
pub fn incidents(data: &Path, names: &mut Names) -> Result<Vec<Recording>, Box<dyn Error>> {
    let mut recordings = Vec::new();
    for kind in super::folders(data)? {
        let name = super::name(&kind);
        let Some((service, fault)) = name.rsplit_once('-') else { continue };
        for case in super::folders(&kind)?.into_iter().filter(|case| case.join("normal.csv").is_file()) {
            let mut recording = record(&case, format!("{name}/{}", super::name(&case)), names)?;
            recording.truth = Some(service.to_string());
            recording.group = fault.to_string();
            recordings.push(recording);
        }
    }
    Ok(recordings)
}

/// What was normal, and right after it what was not.
fn record(folder: &Path, case: String, names: &mut Names) -> Result<Recording, Box<dyn Error>> {
    const BEGIN: i64 = 1_700_000_000;
    let (mut sent, mut second) = (Vec::new(), BEGIN);
    let mut live = Millis(0);
    for part in ["normal.csv", "anomalous.csv"] {
        live = Millis(second * 1000);
        let rows = table::rows(&packed::text(&folder.join(part))?)?;
        let (head, rows) = rows.split_first().ok_or("a table without its heading")?;
        let series: Vec<(usize, Labels, f64)> =
            head.iter().enumerate().filter_map(|(at, column)| read(at, column, names)).collect();
        for row in rows {
            let of = |(at, labels, unit): &(usize, Labels, f64)| {
                let value: f64 = row.get(*at)?.parse().ok()?;
                Some((labels.clone(), Sample::new(Millis(second * 1000), value * unit)))
            };
            sent.push((Millis(second * 1000), Body::Metrics(series.iter().filter_map(of).collect())));
            second += 1;
        }
    }
    let end = Millis(second * 1000);
    Ok(Recording {
        case,
        group: String::new(),
        truth: None,
        rules: vec![paged(live.plus(NOTICED), None)],
        alerts: vec![PAGED.into()],
        settings: Vec::new(),
        live,
        sent,
        end,
    })
}

/// A column as the series that cAdvisor or a kubelet would send, and what its values are multiplied by.
fn read(at: usize, column: &str, names: &mut Names) -> Option<(usize, Labels, f64)> {
    let (service, what) = column.rsplit_once('_')?;
    let (metric, unit) = match what {
        "cpu" => ("container_cpu_usage", 0.01),
        "mem" => ("container_memory_working_set_bytes", 1.0),
        _ => return None,
    };
    let service = names.give(service);
    Some((at, Labels::new([("__name__", metric), ("container", &*service)]), unit))
}
