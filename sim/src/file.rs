//! A plan as a text file: what a failure prints, what `--replay` reads, what is kept of past failures.
//!
//! ```text
//! # why it is here
//! seed 17
//! segment-kib 16
//! segments 12
//! send 2 0 55
//! turn
//! ```
use crate::event::Event;
use crate::plan::{Options, Plan};

/// Writes a plan; each line of `comment` begins with `# `.
pub fn write(plan: &Plan, comment: &str) -> String {
    let mut text = String::new();
    for line in comment.lines() {
        text += &format!("# {line}\n");
    }
    let Options { segment_kib, segments } = plan.options;
    text += &format!("seed {}\nsegment-kib {segment_kib}\nsegments {segments}\n", plan.seed);
    for event in &plan.events {
        text += &format!("{}\n", event.text());
    }
    text
}

/// Reads what [`write`] wrote.
pub fn read(text: &str) -> Result<Plan, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut number = |name: &str| -> Result<u64, String> {
        let line = lines.next().unwrap_or_default();
        let value = line.strip_prefix(name).and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| format!("`{line}` stands where `{name} NUMBER` must"))
    };
    let (seed, segment_kib, segments) = (number("seed ")?, number("segment-kib ")?, number("segments ")?);
    let events: Result<Vec<Event>, String> = lines.map(Event::parse).collect();
    Ok(Plan { seed, options: Options { segment_kib, segments }, events: events? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_from_its_text() {
        for seed in 0..50 {
            let plan = Plan::of(seed);
            assert_eq!(read(&write(&plan, "found\nby hand")), Ok(plan));
        }
        assert!(read("seed 1\nsegments 3").is_err() && read("seed 1\nsegment-kib 16\nsegments 9\nfly").is_err());
    }
}
