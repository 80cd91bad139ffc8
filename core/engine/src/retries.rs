//! Senders' retries: the same body from the same source within ten minutes is applied once.
use alloc::collections::{BTreeSet, VecDeque};
use faultline_model::{BodyDigest, Canonical, CodecError, Millis, Reader, SourceId, Writer};

/// How long a body is remembered.
const WINDOW_MS: i64 = 10 * 60_000;
/// Most bodies remembered; beyond it the oldest is forgotten early, which can only apply a very late retry twice.
const BODIES_MAX: usize = 200_000;

/// Bodies seen lately. Only for formats whose samples carry time stamps, where a repeated body says nothing new.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    order: VecDeque<(Millis, Seen)>,
    seen: BTreeSet<Seen>,
}

/// Source and the body's digest.
type Seen = (SourceId, [u8; 16]);

impl Retries {
    /// Whether this body is a retry; remembers it otherwise.
    pub(crate) fn is_retry(&mut self, source: SourceId, body: BodyDigest, now: Millis) -> bool {
        while self.order.front().is_some_and(|&(at, _)| now.since(at) > WINDOW_MS) || self.order.len() >= BODIES_MAX {
            if let Some((_, old)) = self.order.pop_front() {
                self.seen.remove(&old);
            }
        }
        let key = (source, body.0);
        if !self.seen.insert(key) {
            return true;
        }
        self.order.push_back((now, key));
        false
    }
}

impl Canonical for Retries {
    fn write(&self, w: &mut Writer) {
        w.array(self.order.len() * 3);
        for (at, (source, digest)) in &self.order {
            at.write(w);
            source.write(w);
            digest.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = r.array()?;
        let mut retries = Retries::default();
        for _ in 0..count / 3 {
            let at = Millis::read(r)?;
            let key = (SourceId::read(r)?, <[u8; 16]>::read(r)?);
            if !retries.seen.insert(key) {
                return Err(r.invalid("list of bodies without repeats"));
            }
            retries.order.push_back((at, key));
        }
        if count % 3 == 0 { Ok(retries) } else { Err(r.invalid("list of bodies")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_counts_once_within_the_window() {
        let (a, b) = (SourceId([1; 16]), SourceId([2; 16]));
        let body = BodyDigest([7; 16]);
        let mut retries = Retries::default();
        let mut is_retry = |source, at| retries.is_retry(source, body, Millis(at));
        assert_eq!(
            [is_retry(a, 0), is_retry(a, 5), is_retry(b, 5), is_retry(a, WINDOW_MS), is_retry(a, WINDOW_MS + 1)],
            [false, true, false, true, false]
        );
        let back = Retries::from_bytes(&retries.to_bytes()).expect("just written");
        assert_eq!((back.order, back.seen), (retries.order, retries.seen));
    }
}
