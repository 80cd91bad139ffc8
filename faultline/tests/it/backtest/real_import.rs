//! History imported from a real Prometheus: what was written to it is what is there, and rules fire on it as on the samples themselves.
use super::import::{All, held, import};
use super::{Dice, RULES, Target, report_in};
use crate::real_api::send;
use crate::real_tools::{Service, get, post, wanted};
use faultline_formats::encode;
use faultline_host::RealDisk;
use faultline_model::{Millis, Position};
use faultline_serve::recent::block::{Purpose, chunks, write_block};
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Hours that are written.
const HOURS: i64 = 6;

#[test]
fn prometheus_history_is_imported_whole() {
    if !wanted(&["prometheus"]) {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    // Nothing is scraped: what is there is what is written.
    fs::write(dir.path().join("prometheus.yml"), "global: {}\n").expect("a file");
    let prometheus = Service::start("prometheus", dir.path(), &["--web.enable-admin-api"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    // The sixth hour ends with an even one, so that a block is written while it runs, and the rest is in the snapshot only.
    let start = Millis(now - HOURS * 3_600_000);
    let mut sent = All::new();
    let target = |number: u64| Target {
        number,
        dice: Dice(900 + number),
        level: 0.0,
        totals: [0.0; 3],
        buckets: [0.0; 3],
        silent_until: start,
    };
    let mut targets: Vec<Target> = (0..4).map(target).collect();
    for begin in (0..HOURS * 120).step_by(60) {
        let mut body = All::new();
        for scrape in begin..begin + 60 {
            for (target, late) in targets.iter_mut().zip([11, 4_017, 9_441, 22_003]) {
                let (floats, histograms) = target.scrape(start.plus(scrape * 30_000 + late));
                floats.into_iter().for_each(|(labels, sample)| body.entry(labels).or_default().0.push(sample));
                histograms.into_iter().for_each(|(labels, sample)| body.entry(labels).or_default().1.push(sample));
            }
        }
        let series = body.iter().map(|(labels, (floats, histograms))| (labels, &floats[..], &histograms[..]));
        send(&prometheus.url, &encode::write_request_with_histograms(series));
        for (labels, (floats, histograms)) in body {
            let all = sent.entry(labels).or_default();
            all.0.extend(floats);
            all.1.extend(histograms);
        }
    }
    post(&format!("{}/api/v1/admin/tsdb/snapshot", prometheus.url));
    assert_eq!(get(&prometheus.url, "/api/v1/status/config")["status"], "success");
    let snapshots = dir.path().join("prometheus-data/snapshots");
    let snapshot: PathBuf = fs::read_dir(snapshots).expect("it was made").next().expect("one").expect("one").path();

    let imported = dir.path().join("imported");
    let (code, report, said) = import(&[&snapshot], &imported);
    assert_eq!((code, &*said), (Some(0), ""), "{report}");
    let there = held(&imported);
    for (labels, points) in &sent {
        assert_eq!(there.get(labels), Some(points), "{labels}");
    }
    assert_eq!(there.len(), sent.len());

    // The same samples as blocks that no import made.
    let ours = dir.path().join("ours");
    fs::create_dir(&ours).expect("a new folder");
    let series = sent.into_iter().map(|(labels, (floats, histograms))| {
        let all = [chunks(&floats), chunks(&histograms)].concat();
        (labels, all)
    });
    let path = ours.join("block-0000000000000000");
    write_block(&RealDisk, &path, Purpose::Block, Position::default(), &series.collect()).expect("the disk works");
    fs::write(dir.path().join("rules.yml"), RULES).expect("it can be written");
    let tried = |folder: &str| {
        let history = format!("--history={folder}");
        let mut report = report_in(dir.path(), &["rules", "backtest", "rules.yml", "-o", "json", &history]);
        // How many files, and how fast.
        let fields = report.as_object_mut().expect("an object");
        ["blocks", "seconds", "samples"].into_iter().for_each(|field| drop(fields.remove(field)));
        report
    };
    let (of_import, of_samples) = (tried("imported"), tried("ours"));
    assert_eq!(of_import["alerts"], of_samples["alerts"]);
    assert!(of_import["firings"].as_u64() > Some(20), "{}", of_import["firings"]);
}
