//! What happens to the figures that node-exporter reads from a text file: who rises when, and who goes away.
use crate::real_tools::{answers, connections};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// From its first change until every alert has long been over.
pub const LENGTH: Duration = Duration::from_secs(75);
/// Requests to Prometheus at each step, so that it has something to tell of.
const REQUESTS: usize = 2;
/// Connections that are held for a while; each is a socket at both ends.
const CONNECTIONS: usize = 120;

/// The script and where it is.
pub struct Script {
    file: PathBuf,
    begun: Instant,
    /// Work done so far by kind, and when it was counted last.
    work: [f64; 2],
    counted: Duration,
    /// Requests by latency: within 0.1 s, within 1 s, all.
    buckets: [f64; 3],
    held: Vec<TcpStream>,
}

impl Script {
    /// Writes the calm figures.
    pub fn begin(texts: &Path) -> Script {
        let file = texts.join("real.prom");
        let mut script = Script {
            file,
            begun: Instant::now(),
            work: [0.0; 2],
            counted: Duration::ZERO,
            buckets: [0.0; 3],
            held: Vec::new(),
        };
        script.write(Duration::ZERO);
        script
    }

    /// Brings everything to where it is `at` a time of the script.
    pub fn play(&mut self, at: Duration, prometheus: &str, node: &str) {
        self.write(at);
        if within(at, 22, 36) {
            (0..REQUESTS).for_each(|_| assert!(answers(&format!("{prometheus}/-/healthy"))));
        }
        match (within(at, 30, 44), self.held.is_empty()) {
            (true, true) => {
                let address = node.trim_start_matches("http://").parse().expect("an address");
                self.held = connections(address, CONNECTIONS);
            }
            (false, false) => self.held.clear(),
            _ => {}
        }
    }

    fn write(&mut self, at: Duration) {
        let a = if within(at, 4, 20) { 20 } else { 2 };
        let b = if within(at, 10, 26) { 12 } else { 3 };
        let busy = if within(at, 14, 32) { 100.0 } else { 5.0 };
        let slow = within(at, 24, 40);
        let now = self.begun.elapsed();
        let passed = (now - self.counted).as_secs_f64();
        self.counted = now;
        self.work[0] += busy * passed;
        self.work[1] += 4.0 * passed;
        self.buckets[0] += if slow { 0.0 } else { 20.0 * passed };
        self.buckets[1] += 20.0 * passed;
        self.buckets[2] += 20.0 * passed;
        let ([work, idle], [fast, second, all]) = (self.work, self.buckets);
        let mut text = format!(
            "# TYPE real_level gauge\n\
             real_level{{zone=\"a\",tier=\"gold\"}} {a}\nreal_level{{zone=\"b\",tier=\"gold\"}} {b}\n\
             # TYPE real_limit gauge\nreal_limit{{zone=\"a\"}} 20\nreal_limit{{zone=\"b\"}} 13\n\
             # TYPE real_work_total counter\n\
             real_work_total{{kind=\"batch\"}} {work:.0}\nreal_work_total{{kind=\"idle\"}} {idle:.0}\n\
             # TYPE real_latency_seconds histogram\n\
             real_latency_seconds_bucket{{le=\"0.1\"}} {fast:.0}\nreal_latency_seconds_bucket{{le=\"1\"}} {second:.0}\n\
             real_latency_seconds_bucket{{le=\"+Inf\"}} {all:.0}\n\
             real_latency_seconds_sum {all:.0}\nreal_latency_seconds_count {all:.0}\n"
        );
        if !within(at, 34, 48) {
            text += "# TYPE real_presence gauge\nreal_presence{kind=\"heart\"} 1\n";
        }
        // Renamed into place: it is never read half.
        let draft = self.file.with_extension("draft");
        fs::write(&draft, text).expect("a file");
        fs::rename(draft, &self.file).expect("a file");
    }
}

fn within(at: Duration, from: u64, to: u64) -> bool {
    (Duration::from_secs(from)..Duration::from_secs(to)).contains(&at)
}
