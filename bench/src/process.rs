//! What Linux says of a process: CPU time and memory.
use crate::Outcome;
use std::fs;

/// Ticks per second of times in `/proc`: fixed in Linux' interface to programs, whatever the kernel's own rate.
const TICKS: f64 = 100.0;

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Now (`VmRSS`).
    pub now: u64,
    /// The most so far (`VmHWM`).
    pub most: u64,
}

/// CPU seconds that a process and its threads have used, in user and kernel.
///
/// - `who`: a process id, or `self`.
pub fn cpu_seconds(who: &str) -> Outcome<f64> {
    let path = format!("/proc/{who}/stat");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    parse_stat(&text).ok_or_else(|| format!("{path} is not as proc(5) says: {text}"))
}

/// CPU seconds of children that have ended and were waited for.
pub fn children_cpu_seconds() -> Option<f64> {
    parse_times(&fs::read_to_string("/proc/self/stat").ok()?, 13)
}

fn parse_stat(text: &str) -> Option<f64> {
    parse_times(text, 11)
}

/// The sum of two fields of ticks in seconds.
///
/// - `first`: place of the first one behind the name: 11 (field 14 of proc(5)) for this process, 13 for its children.
fn parse_times(text: &str, first: usize) -> Option<f64> {
    // The program's name, in parentheses, may hold blanks and parentheses itself.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some((ticks(first)? + ticks(first + 1)?) as f64 / TICKS)
}

/// A process's resident memory.
pub fn memory(pid: u32) -> Outcome<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let field = |name: &str| parse_status(&text, name).ok_or_else(|| format!("{path} has no {name}"));
    Ok(Memory { now: field("VmRSS:")?, most: field("VmHWM:")? })
}

fn parse_status(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The machine: its processor, its cores and its load average of the last minute.
pub fn machine() -> (String, usize, f64) {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    (model.map_or("unknown", |(_, model)| model).to_owned(), cores, load)
}

/// The load average of the last minute, with a warning where something else seems to run.
pub fn load_before() -> f64 {
    let (_, cores, load) = machine();
    if load > cores as f64 * 0.25 {
        eprintln!("note: load average {load:.1}: something else is running, and figures will be worse than they are");
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn parses_what_proc_says() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(parse_stat(stat), Some(3.0));
        let parent = stat.replace("250 50 0 0", "250 50 700 20");
        assert_eq!(parse_times(&parent, 13), Some(7.2));
        assert_eq!(parse_stat("nonsense"), None);
        assert_eq!(parse_status("VmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", "VmRSS:"), Some(1 << 20));
    }

    #[test]
    fn sees_this_process_work() {
        let before = cpu_seconds("self").unwrap();
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        // Less than 200 ms where other processes hold the cores.
        assert!(cpu_seconds("self").unwrap() >= before + 0.02);
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.now > 1 << 18 && memory.most >= memory.now);
    }
}
