//! Changes in the estate that a verdict may weigh.
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use faultline_model::{Canonical, ChangeEvent, CodecError, Millis, Reader, Writer};

/// How long a change is remembered.
const WINDOW_MS: i64 = 6 * 3_600_000;
/// Most changes remembered; beyond it the oldest goes.
const CHANGES_MAX: usize = 1_000;

/// Changes of the last hours, oldest first, each with the rule time at which it was noted.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    noted: VecDeque<(Millis, ChangeEvent)>,
}

impl Changes {
    /// Notes a change.
    pub(crate) fn push(&mut self, change: ChangeEvent, now: Millis) {
        while self.noted.len() >= CHANGES_MAX || self.noted.front().is_some_and(|(at, _)| now.since(*at) > WINDOW_MS) {
            self.noted.pop_front();
        }
        self.noted.push_back((now, change));
    }

    /// The changes of the last hours, oldest first.
    pub(crate) fn recent(&self, now: Millis) -> Vec<ChangeEvent> {
        self.noted.iter().filter(|(at, _)| now.since(*at) <= WINDOW_MS).map(|(_, change)| change.clone()).collect()
    }
}

impl Canonical for Changes {
    fn write(&self, w: &mut Writer) {
        self.noted.iter().cloned().collect::<Vec<_>>().write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Changes { noted: Vec::read(r)?.into() })
    }
}
