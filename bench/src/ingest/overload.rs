//! More than the server can take: memory and what was refused, second by second.
use crate::drive::{Bench, ENDLESS};
use crate::load::{Counters, Step};
use crate::{Outcome, process};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a sender waits after a refusal, far less than the server asks for. Without any wait the generator's own
/// threads, a thousand on the same cores, would leave the server nothing to work with.
const PAUSE: Duration = Duration::from_millis(10);
/// How often memory is read and told.
const EVERY: Duration = Duration::from_secs(1);

/// What was seen in a second.
struct Second {
    resident: u64,
    applied: u64,
    refused: u64,
}

impl Bench {
    /// Sends without end for some seconds and prints a line for each.
    pub(super) fn overload(&mut self, seconds: f64) -> Outcome<()> {
        let (counters, stop) = (Counters::default(), AtomicBool::new(false));
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let step = Step { rate: ENDLESS, start, end, crossings: None, counters: &counters, pause: PAUSE, stop: &stop };
        let (fleet, pid) = (&mut self.fleet, self.server.pid());
        println!("second,resident MiB,applied,refused");
        let (seen, tally) = thread::scope(|scope| {
            let sending = scope.spawn(|| fleet.run(&step));
            let seen = watch(&step, pid);
            stop.store(true, Ordering::Relaxed);
            (seen, sending.join().unwrap_or_else(|_| Err("the generator broke".into())))
        });
        let tally = tally.map_err(|error| self.died(error))?;
        let seen = seen.map_err(|error| self.died(error))?;
        self.applied += counters.applied.load(Ordering::Relaxed);
        let (applied, refused) = seen.iter().fold((0, 0), |sum, s| (sum.0 + s.applied, sum.1 + s.refused));
        // The first third is let pass: rings, the recent store and the allocator fill.
        let settled = seen[seen.len() / 3..].iter().map(|second| second.resident >> 20);
        println!(
            "offered {:.1} times what was applied: {:.0}/s applied, {:.0}/s refused, {} rejected ({})",
            (applied + refused) as f64 / applied.max(1) as f64,
            applied as f64 / seconds,
            refused as f64 / seconds,
            counters.rejected.load(Ordering::Relaxed),
            tally.complaint.as_deref().unwrap_or("no complaint"),
        );
        println!(
            "resident after a third of the time: {} to {} MiB",
            settled.clone().min().unwrap_or(0),
            settled.max().unwrap_or(0)
        );
        Ok(())
    }
}

fn watch(step: &Step<'_>, pid: u32) -> Outcome<Vec<Second>> {
    let mut seen: Vec<Second> = Vec::new();
    let (mut applied_before, mut refused_before) = (0, 0);
    for number in 1.. {
        let until = step.start + EVERY * number;
        if until > step.end || step.stop.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(until.saturating_duration_since(Instant::now()));
        let applied = step.counters.applied.load(Ordering::Relaxed);
        let refused = step.counters.refused.load(Ordering::Relaxed);
        let resident = process::memory(pid)?.now;
        let second = Second { resident, applied: applied - applied_before, refused: refused - refused_before };
        println!("{number},{},{},{}", resident >> 20, second.applied, second.refused);
        (applied_before, refused_before) = (applied, refused);
        seen.push(second);
    }
    Ok(seen)
}
