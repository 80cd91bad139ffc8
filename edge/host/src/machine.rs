//! The machine: its name, whose turn it is, and how long somebody's lasted.
use std::time::Duration;

/// The name that the system gives itself, or `localhost` where that is no text.
pub fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_str().unwrap_or_default().to_string();
    if name.is_empty() { "localhost".to_string() } else { name }
}

/// Lets the calling thread yield the processor to all that do not: for work that nobody waits for. It still gets about a tenth of
/// a busy processor. Where the system knows no such thing for a single thread nothing changes.
///
/// Source: sched(7), nice values; on Linux they are a thread's own.
pub fn yield_to_others() {
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::nice(10);
}

/// What the calling thread has had of a processor since it began.
///
/// Source: clock_gettime(2), `CLOCK_THREAD_CPUTIME_ID`.
pub fn thread_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.try_into().unwrap_or(0), spent.tv_nsec.try_into().unwrap_or(0))
}
