//! How far an import is, and what came of it.
use super::day::Outcome;
use super::plan::Plan;
use faultline_model::Millis;
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two looks at the progress.
const EVERY: Duration = Duration::from_millis(250);
/// What a chunk holds of a usual series.
const CHUNK_SAMPLES: u64 = 120;

/// One line on a terminal, written again and again.
pub struct Progress {
    shown: bool,
    began: Instant,
    /// About how many samples there are.
    all: u64,
    state: Mutex<(u64, Instant)>,
}

impl Progress {
    /// - `chunks`: how many there are.
    pub fn new(chunks: u64) -> Progress {
        let (shown, began) = (std::io::stderr().is_terminal(), Instant::now());
        Progress { shown, began, all: chunks.max(1) * CHUNK_SAMPLES, state: Mutex::new((0, began)) }
    }

    /// So many samples more are read, of this day.
    pub fn done(&self, samples: u64, day: Millis) {
        if !self.shown {
            return;
        }
        let mut state = self.state.lock().expect("no holder panics");
        state.0 += samples;
        if state.1.elapsed() >= EVERY {
            state.1 = Instant::now();
            let percent = (100.0 * state.0 as f64 / self.all as f64).min(99.0);
            let rate = state.0 as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
            eprint!("\r{percent:3.0} %  {} samples  {rate:.0} samples/s  {day}\u{1b}[K", state.0);
        }
    }

    /// Takes the line off the terminal.
    pub fn clear(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
        }
    }
}

/// For people.
pub fn in_text(plan: &Plan, outcome: &Outcome, into: &Path) -> String {
    let (mut text, (first, last)) = (String::new(), plan.span);
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _text = writeln!(text, "{words}");
    };
    let (blocks, chunks) = (plan.blocks.len(), plan.chunks);
    line(format_args!(
        "read     {blocks} blocks of Prometheus with {chunks} chunks, {} to {}",
        Millis(first),
        Millis(last)
    ));
    let (samples, histograms, bytes) = (outcome.samples, outcome.histograms, outcome.bytes);
    let per_sample = bytes as f64 / (samples + histograms).max(1) as f64;
    line(format_args!(
        "written  {} blocks with {samples} samples and {histograms} native histograms, {bytes} bytes ({per_sample:.1} a sample)",
        outcome.blocks
    ));
    line(format_args!("series   {} on the day that has most", outcome.series_max));
    if outcome.repeats > 0 {
        line(format_args!("once     {} samples that several blocks have", outcome.repeats));
    }
    plan.notes.iter().for_each(|note| line(format_args!("note     {note}")));
    let lost = |path: &Path, why: &str| format!("left out {}: {why}", path.display());
    plan.left_out.iter().for_each(|(path, why)| line(format_args!("{}", lost(path, why))));
    for (count, what) in [
        (outcome.chunks_failed, "chunks that cannot be read"),
        (outcome.series_refused, "series of a day whose labels are not sorted, empty or no text"),
        (outcome.histograms_refused, "histograms that nobody may store"),
    ] {
        if count > 0 {
            line(format_args!("left out {count} {what}"));
        }
    }
    outcome.failed.iter().for_each(|failed| line(format_args!("  {failed}")));
    line(format_args!("\nfaultline rules backtest FILE --history={}", into.display()));
    text
}

/// For programs.
pub fn in_json(plan: &Plan, outcome: &Outcome, into: &Path) -> Value {
    let left_out = plan.left_out.iter().map(|(path, why)| json!({"path": path, "why": why}));
    json!({
        "into": into,
        "read": {
            "blocks": plan.blocks.len(),
            "chunks": plan.chunks,
            "from": plan.span.0,
            "to": plan.span.1,
        },
        "written": {
            "blocks": outcome.blocks,
            "bytes": outcome.bytes,
            "samples": outcome.samples,
            "histograms": outcome.histograms,
            "seriesPerDayMax": outcome.series_max,
        },
        "repeats": outcome.repeats,
        "leftOut": {
            "blocks": left_out.collect::<Vec<_>>(),
            "chunks": outcome.chunks_failed,
            "chunksNamed": outcome.failed,
            "series": outcome.series_refused,
            "histograms": outcome.histograms_refused,
        },
        "notes": plan.notes,
    })
}
