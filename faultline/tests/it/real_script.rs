//! What happens while Prometheus watches: figures that node-exporter reads from a text file rise, fall and go away, and this
//! machine's own figures follow what `real_machine.rs` does to it.
use crate::real_machine::Machine;
use crate::real_tools::answers;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// From its first change until every alert has long been over.
pub const LENGTH: Duration = Duration::from_secs(75);
/// Between two changes of figures that rise on; scrapes come every second.
const STEP: Duration = Duration::from_millis(100);

/// The figures in the text file.
pub struct Figures {
    file: PathBuf,
    begun: Instant,
    counted: Duration,
    /// Work done so far by kind.
    work: [f64; 2],
    /// Requests by latency: within 0.1 s, within 1 s, all.
    buckets: [f64; 3],
}

impl Figures {
    /// Writes the calm figures.
    pub fn begin(texts: &Path) -> Figures {
        let (file, begun) = (texts.join("real.prom"), Instant::now());
        let mut figures = Figures { file, begun, counted: Duration::ZERO, work: [0.0; 2], buckets: [0.0; 3] };
        figures.write(Duration::ZERO);
        figures
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

/// Stays calm for a while, then plays the script to its end, on a thread of its own: whoever watches does not hold it up.
pub fn play(mut figures: Figures, calm: Duration, prometheus: &str, node: &str) -> thread::JoinHandle<()> {
    let health = format!("{prometheus}/-/healthy");
    let node = node.trim_start_matches("http://").parse().expect("an address");
    thread::spawn(move || {
        let (begun, mut machine) = (Instant::now(), Machine::new(node));
        while begun.elapsed() < calm + LENGTH {
            let due = Instant::now() + STEP;
            let at = begun.elapsed().saturating_sub(calm);
            figures.write(at);
            machine.play(at);
            if within(at, 22, 36) {
                assert!(answers(&health), "Prometheus is not healthy");
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    })
}

/// Whether `at` lies between two seconds of the script.
pub fn within(at: Duration, from: u64, to: u64) -> bool {
    (Duration::from_secs(from)..Duration::from_secs(to)).contains(&at)
}
