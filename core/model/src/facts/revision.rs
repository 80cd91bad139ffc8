//! What samples that came late make of alerts that were decided without them.
use crate::ids::{AlertId, Occurrence};
use crate::labels::Labels;
use crate::time::Millis;
use crate::{canonical_enum, canonical_struct};
use alloc::string::String;
use alloc::vec::Vec;

/// A stretch in which an alert is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// The instant at which its expression began to hold.
    pub active_at: Millis,
    /// The instant at which it began to fire; nothing where it did not.
    pub fired_at: Option<Millis>,
    /// The instant at which it ended; nothing where it goes on.
    pub resolved_at: Option<Millis>,
}
canonical_struct!(Stretch { active_at, fired_at, resolved_at });

impl Stretch {
    /// Whether the two have an instant in common.
    pub fn meets(&self, from: Millis, to: Millis) -> bool {
        self.active_at <= to && self.resolved_at.is_none_or(|end| end >= from)
    }

    /// Whether its times follow on one another.
    pub fn is_sound(&self) -> bool {
        let end = self.resolved_at.unwrap_or(Millis(i64::MAX));
        self.active_at <= end && self.fired_at.is_none_or(|fired| (self.active_at..=end).contains(&fired))
    }
}

/// What became of an occurrence of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It would have fired and ended then, or nearly.
    Confirmed,
    /// It would have fired or ended at another time.
    Revised,
    /// It would not have fired.
    Retracted,
    /// It did not fire and would have.
    Missed,
}
canonical_enum!(Outcome { Confirmed = 0, Revised = 1, Retracted = 2, Missed = 3 });

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 4] = [Outcome::Confirmed, Outcome::Revised, Outcome::Retracted, Outcome::Missed];

    /// The word in our outputs.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Confirmed => "confirmed",
            Outcome::Revised => "revised",
            Outcome::Retracted => "retracted",
            Outcome::Missed => "missed",
        }
    }
}

/// Late samples of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateSeries {
    /// Its labels.
    pub labels: Labels,
    /// How many.
    pub samples: u64,
    /// Time of the first of them.
    pub first: Millis,
    /// Time of the last.
    pub last: Millis,
}
canonical_struct!(LateSeries { labels, samples, first, last });

/// Samples that came late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// How many, of all series.
    pub samples: u64,
    /// Time of the first of them.
    pub first: Millis,
    /// Time of the last.
    pub last: Millis,
    /// The first series that they came to, at most [`Late::NAMED_MAX`].
    pub series: Vec<LateSeries>,
}
canonical_struct!(Late { samples, first, last, series });

impl Late {
    /// Most series that are named; samples of others are counted.
    pub const NAMED_MAX: usize = 4;

    /// Those of one series.
    pub fn of(one: LateSeries) -> Late {
        Late { samples: one.samples, first: one.first, last: one.last, series: Vec::from([one]) }
    }

    /// Takes in others.
    pub fn add(&mut self, other: &Late) {
        self.samples += other.samples;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for one in &other.series {
            if let Some(known) = self.series.iter_mut().find(|known| known.labels == one.labels) {
                known.samples += one.samples;
                known.first = known.first.min(one.first);
                known.last = known.last.max(one.last);
            } else if self.series.len() < Late::NAMED_MAX {
                self.series.push(one.clone());
            }
        }
    }
}

/// What one occurrence of an alert would have been, had all samples come in time that have come by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// What became of it.
    pub outcome: Outcome,
    /// The alert.
    pub alert: AlertId,
    /// The occurrence as it was told; nothing where none was.
    pub occurrence: Option<Occurrence>,
    /// `file;group`.
    pub group: String,
    /// The alert's name.
    pub name: String,
    /// Labels as they leave.
    pub labels: Labels,
    /// As it was said to be so far; nothing where it was not, or not any more.
    pub before: Option<Stretch>,
    /// As it would have been; nothing where it would not.
    pub after: Option<Stretch>,
    /// The last instant that was looked at again. What goes on then ends as its alert does.
    pub as_of: Millis,
    /// Whether its group is tried only.
    pub dry_run: bool,
    /// What came late.
    pub late: Late,
}
canonical_struct!(Revision { outcome, alert, occurrence, group, name, labels, before, after, as_of, dry_run, late });

/// Instants of an alerting rule that samples came too late for, and of which nobody can say what would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrevised {
    /// `file;group`.
    pub group: String,
    /// The alert's name.
    pub name: String,
    /// The first of the instants, or about.
    pub from: Millis,
    /// The last, or about.
    pub to: Millis,
    /// Why, in words.
    pub reason: String,
    /// What came late.
    pub late: Late,
}
canonical_struct!(Unrevised { group, name, from, to, reason, late });
