//! What was refused, why and from whom, with the bytes.
use bytes::Bytes;
use faultline_formats::Reject;
use faultline_model::{Millis, Position, SourceId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Rejects kept, newest.
pub const REJECTS_MAX: usize = 1_000;
/// Bytes kept of each body, from its start.
pub const BODY_SIZE_MAX: usize = 4 << 10;

/// One reason of one record.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub at: Position,
    /// Rule time of the snapshot in force when it was told; none before rule time begins.
    pub seen_at: Option<Millis>,
    pub source: Option<SourceId>,
    pub reason: &'static str,
    pub count: u64,
    pub detail: String,
    /// Size of the whole body; none where the bytes were not at hand.
    pub size: Option<usize>,
    pub body: Bytes,
}

/// The newest refusals, and counts by reason since the start. Reasons are our own fixed words, so these are few.
#[derive(Default)]
pub(crate) struct Rejects {
    newest: VecDeque<Arc<Refusal>>,
    counts: BTreeMap<&'static str, u64>,
}

impl Rejects {
    /// Takes in the rejects of one body.
    pub fn body(
        &mut self,
        at: Position,
        seen_at: Option<Millis>,
        source: Option<SourceId>,
        rejects: &[Reject],
        body: Option<&Bytes>,
    ) {
        // A copy: a slice would keep the whole body in memory.
        let start = body.map_or(Bytes::new(), |body| Bytes::copy_from_slice(&body[..body.len().min(BODY_SIZE_MAX)]));
        for Reject { reason, count, detail } in rejects {
            let (reason, size, body) = (reason.word(), body.map(Bytes::len), start.clone());
            self.add(Refusal { at, seen_at, source, reason, count: *count, detail: detail.clone(), size, body });
        }
    }

    /// Takes in one refusal.
    pub fn add(&mut self, refusal: Refusal) {
        let count = self.counts.entry(refusal.reason).or_default();
        *count = count.saturating_add(refusal.count);
        self.newest.push_back(Arc::new(refusal));
        if self.newest.len() > REJECTS_MAX {
            self.newest.pop_front();
        }
    }

    /// Refusals, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Arc<Refusal>> {
        self.newest.iter().rev()
    }

    /// Items refused since the start, by reason.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}
