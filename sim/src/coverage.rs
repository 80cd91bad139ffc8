//! What a simulation came upon: faults, states, work done.
use std::collections::BTreeMap;
use std::fmt;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

impl Coverage {
    /// Counts `count` more of `name` in `section`.
    pub fn add(&mut self, section: &'static str, name: &'static str, count: u64) {
        *self.counts.entry((section, name)).or_default() += count;
    }

    /// How many there were.
    pub fn count(&self, section: &'static str, name: &'static str) -> u64 {
        self.counts.get(&(section, name)).copied().unwrap_or(0)
    }

    /// Takes another's counts in.
    pub fn merge(&mut self, other: &Coverage) {
        for (&(section, name), count) in &other.counts {
            self.add(section, name, *count);
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for (&(section, name), count) in &self.counts {
            if section != last {
                writeln!(f, "{section}")?;
                last = section;
            }
            writeln!(f, "  {name:<34} {count:>10}")?;
        }
        Ok(())
    }
}
