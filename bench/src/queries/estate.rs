//! The past that is asked about: the same series and samples for both servers.
use super::tsdb;
use crate::Outcome;
use crate::load::Random;
use faultline_host::{Disk, RealDisk};
use faultline_model::{Labels, Millis, Position, Sample};
use faultline_serve::recent::WINDOW_MS;
use faultline_serve::recent::block::{Purpose, chunks, write_block};
use std::path::Path;

/// Between two samples of a series.
pub const STEP_MS: i64 = 60_000;
/// Series of a metric.
pub const METRIC: u32 = 1_000;
/// Boundaries of the histograms.
const LE: [&str; 10] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
/// One step of a counter in so many sets it back.
const RESET: u32 = 4_096;
/// Lengths of Prometheus' blocks after its compactions, in ms: a server that has run for long has such.
const THEIR_WINDOWS: [i64; 3] = [9 * WINDOW_MS, 3 * WINDOW_MS, WINDOW_MS];

/// What the series of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Level,
    Total,
    /// Of a histogram's boundaries, each with this place among them.
    Bucket(u32),
}

/// A series as it is written: each value follows from the one before.
#[derive(Clone, Debug)]
struct Series {
    labels: Labels,
    kind: Kind,
    /// Its target is scraped so much after the others, in ms.
    late: i64,
    random: Random,
    value: f64,
}

impl Series {
    fn new(number: u32) -> Series {
        let (metric, member) = (number / METRIC, number % METRIC);
        let (kind, target) = match metric % 10 {
            0 => (Kind::Level, member),
            1 => (Kind::Bucket(member % LE.len() as u32), member / LE.len() as u32),
            _ => (Kind::Total, member),
        };
        let (name, instance) = (name(metric), format!("10.0.{}.{}:9090", target / 250, target % 250));
        // Rates have no names: without this, those of two metrics would be one series.
        let app = format!("app-{metric:03}");
        let (job, zone) = (format!("job-{}", target % 10), format!("zone-{}", target % 3));
        let mut pairs = vec![
            ("__name__", &*name),
            ("app", &*app),
            ("env", "production"),
            ("instance", &*instance),
            ("job", &*job),
            ("zone", &*zone),
        ];
        if let Kind::Bucket(rank) = kind {
            pairs.push(("le", LE[rank as usize]));
        }
        // The boundaries of a histogram count the same events.
        let random = Random(u64::from(metric) << 32 | u64::from(target));
        let late = i64::from(target) * 7_919 % STEP_MS;
        Series { labels: Labels::new(pairs), kind, late, random, value: f64::from(target % 90) }
    }

    fn next(&mut self) -> f64 {
        let drawn = self.random.below(64);
        self.value = match self.kind {
            Kind::Level => (self.value + f64::from(drawn) - 31.5).clamp(0.0, 980.0),
            Kind::Total if self.random.below(RESET) == 0 => f64::from(drawn),
            Kind::Total => self.value + f64::from(drawn),
            Kind::Bucket(rank) => self.value + f64::from(drawn * (rank + 1) / LE.len() as u32),
        };
        self.value
    }
}

/// The name of a metric.
pub fn name(metric: u32) -> String {
    let ending = match metric % 10 {
        0 => "level",
        1 => "seconds_bucket",
        _ => "total",
    };
    format!("bench_{metric:03}_{ending}")
}

/// How much there is, and since when.
#[derive(Clone, Copy, Debug)]
pub struct Estate {
    pub series: u32,
    pub hours: u32,
    /// Where the longest of Prometheus' windows begins.
    pub start: Millis,
}

impl Estate {
    /// Ends at most one of Prometheus' windows ago, so that neither server calls it old.
    pub fn new(series: u32, hours: u32, now: Millis) -> Estate {
        let latest = now.0 - i64::from(hours) * 3_600_000;
        Estate { series, hours, start: Millis(latest - latest.rem_euclid(THEIR_WINDOWS[0])) }
    }

    /// Behind the last sample.
    pub fn end(&self) -> Millis {
        self.start.plus(i64::from(self.hours) * 3_600_000)
    }

    /// How many samples there are.
    pub fn samples(&self) -> f64 {
        f64::from(self.series) * f64::from(self.hours) * 3_600_000.0 / STEP_MS as f64
    }

    fn all(&self) -> Vec<Series> {
        let mut all: Vec<Series> = (0..self.series).map(Series::new).collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    }

    /// Writes blocks as the recent store does. Returns their bytes.
    pub fn write_ours(&self, folder: &Path) -> Outcome<u64> {
        let disk = RealDisk;
        let failed = |error: &dyn std::fmt::Display| format!("cannot write blocks in {}: {error}", folder.display());
        disk.create_dir_all(folder).map_err(|error| failed(&error))?;
        let (mut all, mut bytes) = (self.all(), 0);
        for window in 0..(self.end().since(self.start) / WINDOW_MS) {
            let begin = self.start.plus(window * WINDOW_MS);
            let write = |series: &mut Series| {
                let at = |i: i64| begin.plus(i * STEP_MS + series.late);
                let times: Vec<Millis> = (0..WINDOW_MS / STEP_MS).map(at).collect();
                let samples: Vec<Sample> = times.into_iter().map(|at| Sample::new(at, series.next())).collect();
                (series.labels.clone(), chunks(&samples))
            };
            let written: Vec<_> = all.iter_mut().map(write).collect();
            let path = folder.join(format!("block-{window:016x}"));
            let summary = write_block(&disk, &path, Purpose::Block, Position::default(), &written);
            bytes += summary.map_err(|error| failed(&error))?.size;
        }
        Ok(bytes)
    }

    /// Writes blocks as Prometheus has them once it has compacted what it can. Returns their bytes.
    pub fn write_theirs(&self, folder: &Path) -> Outcome<u64> {
        let mut all = self.all();
        let (mut begin, mut bytes, mut number) = (self.start, 0, 0);
        while begin < self.end() {
            let fits = |length: &&i64| begin.0 % **length == 0 && begin.plus(**length) <= self.end();
            let length = THEIR_WINDOWS.iter().find(fits).copied().unwrap_or(WINDOW_MS);
            let mut writer = tsdb::Writer::new(folder, number, begin, begin.plus(length))?;
            for series in &mut all {
                let values: Vec<f64> = (0..length / STEP_MS).map(|_| series.next()).collect();
                writer.add(&series.labels, begin.plus(series.late), STEP_MS, &values)?;
            }
            bytes += writer.finish()?;
            (begin, number) = (begin.plus(length), number + 1);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_promql::Matcher;
    use faultline_serve::recent::past::Past;
    use faultline_serve::recent::select::Points;
    use faultline_tsdb::{Block, Meta, Next};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    type Read = BTreeMap<Labels, Vec<Sample>>;

    fn ours(folder: &Path) -> Read {
        let past = Past::open(&RealDisk, folder).unwrap();
        let found = past.select(&[] as &[Matcher], Millis(i64::MIN), Millis(i64::MAX), usize::MAX).unwrap();
        let (mut cursor, mut points) = (past.cursor(&found), Points::default());
        let mut read = |series| {
            past.read(series, Millis(i64::MIN), Millis(i64::MAX), &mut cursor, &mut points);
            points.samples.clone()
        };
        let all = found.iter().map(|series| (series.labels.clone(), read(series))).collect();
        assert!(past.missing().is_empty());
        all
    }

    fn theirs(folder: &Path) -> Read {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut all = Read::new();
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names {
            let block = Block::open(disk.clone(), &path, Meta::read(&*disk, &path).unwrap()).unwrap();
            let mut cursor = block.series(Millis(i64::MIN), Millis(i64::MAX), 1 << 20).unwrap();
            loop {
                let labels = match cursor.advance().unwrap() {
                    Next::Series(labels) => labels,
                    Next::NoLabels => panic!("there are none such"),
                    Next::End => break,
                };
                let mut points = faultline_tsdb::Points::default();
                cursor.read(&mut points, |place, error| panic!("{place:?}: {error}"));
                all.entry(labels).or_default().extend(points.samples);
            }
        }
        all
    }

    #[test]
    fn both_are_given_the_same_samples() {
        let folder = tempfile::tempdir().unwrap();
        let estate = Estate::new(2_003, 26, Millis(1_790_000_000_000));
        assert!(estate.end() <= Millis(1_790_000_000_000));
        let [our_folder, their_folder] = ["ours", "theirs"].map(|name| folder.path().join(name));
        estate.write_ours(&our_folder).unwrap();
        estate.write_theirs(&their_folder).unwrap();
        assert_eq!(std::fs::read_dir(&their_folder).unwrap().count(), 3, "18 h, 6 h and 2 h");
        let (ours, theirs) = (ours(&our_folder), theirs(&their_folder));
        assert_eq!(ours.len(), 2_003);
        assert!(ours.values().all(|samples| samples.len() == 26 * 60));
        assert!(ours == theirs);
    }
}
