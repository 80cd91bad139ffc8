//! What each target has had of a processor, all told, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;

/// A slice of a target's hour: what is lost at most when the chore is ended.
pub const SLICE_SECONDS: u64 = 300;

const HEADER: &str = "target,cpu_s";

/// The targets that are due.
pub struct Due {
    /// Once each, or in slices until each has had its share.
    queue: VecDeque<String>,
    until: Option<u64>,
    ledger: PathBuf,
    spent: BTreeMap<String, f64>,
}

impl Due {
    /// - `ledger`: a table of target and seconds; read and kept only where there is an `until`.
    pub fn new(ledger: PathBuf, targets: &[&str], until: Option<u64>) -> Result<Due, String> {
        let mut due =
            Due { queue: targets.iter().map(ToString::to_string).collect(), until, ledger, spent: BTreeMap::new() };
        let Some(until) = until else { return Ok(due) };
        let text = match fs::read_to_string(&due.ledger) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEADER.to_owned(),
            read => read.map_err(|error| format!("{} cannot be read: {error}", due.ledger.display()))?,
        };
        due.spent = read(&text).map_err(|line| {
            let file = due.ledger.display();
            format!("{file}:{line}: a line is `target,seconds` below `{HEADER}`; mend it or delete the file")
        })?;
        due.queue.retain(|name| due.spent.get(name).is_none_or(|had| *had < until as f64));
        Ok(due)
    }

    /// Whose turn it is; a target that is at work is not in the queue.
    pub fn take(&mut self) -> Option<String> {
        self.queue.pop_front()
    }

    /// A target has run: it goes on later where it is still due and nothing was found.
    pub fn had(&mut self, name: &str, seconds: f64, well: bool) -> Result<(), String> {
        let Some(until) = self.until else { return Ok(()) };
        let had = self.spent.entry(name.to_owned()).or_default();
        *had += seconds;
        if well && *had < until as f64 {
            self.queue.push_back(name.to_owned());
        }
        let lines = self.spent.iter().map(|(name, had)| format!("{name},{had:.0}\n"));
        let text: String = std::iter::once(format!("{HEADER}\n")).chain(lines).collect();
        fs::write(&self.ledger, text).map_err(|error| format!("{} cannot be written: {error}", self.ledger.display()))
    }
}

/// The error is the number of the line.
fn read(text: &str) -> Result<BTreeMap<String, f64>, usize> {
    let row = |line: &str| {
        let (name, seconds) = line.split_once(',')?;
        Some((name.to_owned(), seconds.parse().ok().filter(|it: &f64| *it >= 0.0)?))
    };
    let mut lines = text.lines().zip(1_usize..);
    lines.next().filter(|(line, _)| *line == HEADER).ok_or(1_usize)?;
    lines.map(|(line, number)| row(line).ok_or(number)).collect()
}

/// What a process has had of processors, in seconds; 0 where the system does not say.
///
/// Source: proc_pid_stat(5), `utime` and `stime`, in hundredths of a second on every Linux.
pub fn processor_seconds(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    ticks(&text).unwrap_or(0) as f64 / 100.0
}

fn ticks(stat: &str) -> Option<u64> {
    // The second field is the name in brackets, which may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_take_turns_until_each_had_its_share_also_another_day() {
        let folder = std::env::temp_dir().join(format!("faultline-spent-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let ledger = folder.join("spent.csv");
        let due = || Due::new(ledger.clone(), &["a", "b"], Some(100));
        let mut first = due().unwrap();
        let mut turns = Vec::new();
        for (seconds, well) in [(60.0, true), (99.6, true), (60.0, true), (0.5, true)] {
            let name = first.take().unwrap();
            first.had(&name, seconds, well).unwrap();
            turns.push(name);
        }
        assert_eq!(turns, ["a", "b", "a", "b"]);
        assert_eq!((first.take(), fs::read_to_string(&ledger).unwrap()), (None, "target,cpu_s\na,120\nb,100\n".into()));
        assert_eq!(due().unwrap().take(), None, "nobody is due any more");

        fs::write(&ledger, "target,cpu_s\nb,7\n").unwrap();
        let mut second = due().unwrap();
        assert_eq!((second.take(), second.take()), (Some("a".into()), Some("b".into())));
        second.had("a", 3.0, false).unwrap();
        assert_eq!(second.take(), None, "what was found comes first");
        assert_eq!(fs::read_to_string(&ledger).unwrap(), "target,cpu_s\na,3\nb,7\n");

        fs::write(&ledger, "target,cpu_s\nb,x\n").unwrap();
        assert!(due().err().unwrap().contains("spent.csv:2: a line is"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn without_a_share_each_runs_once_and_nothing_is_kept() {
        let mut due = Due::new("no/such/folder.csv".into(), &["a"], None).unwrap();
        assert_eq!(due.take().as_deref(), Some("a"));
        assert_eq!((due.had("a", 9.0, true), due.take()), (Ok(()), None));
    }

    #[test]
    fn ticks_are_read_behind_whatever_name() {
        assert_eq!(ticks("7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0"), Some(300));
        assert_eq!(ticks(""), None);
    }
}
