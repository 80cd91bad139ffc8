//! Senders' retries: the same body from the same source within ten minutes is applied once.
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use faultline_model::table::{Freeze, PageBytes, Paged};
use faultline_model::{BodyDigest, Canonical, CodecError, Millis, Reader, SourceId, Table, Writer};

/// How long a body is remembered.
const WINDOW_MS: i64 = 10 * 60_000;
/// Most bodies remembered; beyond it the oldest is forgotten early, which can only apply a very late retry twice.
const BODIES_MAX: usize = 200_000;

/// Bodies that are kept, and written, together.
const CHUNK: usize = 1_024;
/// Name of the chunks' table.
const TABLE: &str = "retries";

/// Bodies seen lately. Only for formats whose samples carry time stamps, where a repeated body says nothing new.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    chunks: Table<Chunk, 1>,
    // Derived: chunks by age, and what is in them.
    order: VecDeque<u32>,
    seen: BTreeSet<Seen>,
}

/// Source and the body's digest.
type Seen = (SourceId, [u8; 16]);

/// Bodies that came one after another. Never without any that is remembered.
#[derive(Clone, Debug, PartialEq)]
struct Chunk {
    /// Rises from chunk to chunk.
    number: u64,
    /// How many of the first are forgotten.
    forgotten: usize,
    bodies: Vec<(Millis, Seen)>,
}

impl Freeze for Chunk {
    /// How many were forgotten, and how many there were.
    type Image = (usize, usize);

    fn freeze(&mut self) -> (usize, usize) {
        (self.forgotten, self.bodies.len())
    }

    fn write_row(&self, image: Option<&(usize, usize)>, w: &mut Writer) {
        let (forgotten, count) = image.copied().unwrap_or((self.forgotten, self.bodies.len()));
        w.array(3);
        self.number.write(w);
        w.uint(forgotten as u64);
        w.array((count - forgotten) * 3);
        for (at, (source, digest)) in &self.bodies[forgotten..count] {
            at.write(w);
            source.write(w);
            digest.write(w);
        }
    }

    fn thaw(&mut self) {}
}

impl Chunk {
    fn read(r: &mut Reader<'_>) -> Result<Chunk, CodecError> {
        r.array_of(3)?;
        let (number, error) = (u64::read(r)?, r.invalid("list of bodies"));
        let forgotten = r.uint()?;
        let count = r.array()?;
        if count == 0 || !count.is_multiple_of(3) || forgotten.saturating_add(count as u64 / 3) > CHUNK as u64 {
            return Err(error);
        }
        // Their places count, not what they were.
        let mut bodies = alloc::vec![(Millis(0), Seen::default()); forgotten as usize];
        for _ in 0..count / 3 {
            bodies.push((Millis::read(r)?, (SourceId::read(r)?, <[u8; 16]>::read(r)?)));
        }
        Ok(Chunk { number, forgotten: forgotten as usize, bodies })
    }
}

impl Retries {
    /// Whether this body is a retry; remembers it otherwise.
    pub(crate) fn is_retry(&mut self, source: SourceId, body: BodyDigest, now: Millis) -> bool {
        while let Some((id, chunk)) = self.order.front().and_then(|id| Some((*id, self.chunks.get(*id)?))) {
            let (at, old) = chunk.bodies[chunk.forgotten];
            if now.since(at) <= WINDOW_MS && self.seen.len() < BODIES_MAX {
                break;
            }
            self.seen.remove(&old);
            let chunk = self.chunks.row_mut(id);
            chunk.forgotten += 1;
            if chunk.forgotten == chunk.bodies.len() {
                self.chunks.remove(id);
                self.order.pop_front();
            }
        }
        let key = (source, body.0);
        if !self.seen.insert(key) {
            return true;
        }
        let last = self.order.back().and_then(|id| Some((*id, self.chunks.get(*id)?)));
        match last.map(|(id, chunk)| (id, chunk.number, chunk.bodies.len())) {
            Some((id, _, count)) if count < CHUNK => self.chunks.row_mut(id).bodies.push((now, key)),
            last => {
                let number = last.map_or(0, |(_, number, _)| number + 1);
                let mut bodies = Vec::with_capacity(CHUNK);
                bodies.push((now, key));
                self.order.push_back(self.chunks.insert(Chunk { number, forgotten: 0, bodies }));
            }
        }
        false
    }

    /// The chunks, by the name of their table: with [`Retries::write_rest`], all of the state.
    pub(crate) fn tables(&mut self) -> [(&'static str, &mut dyn Paged); 1] {
        [(TABLE, &mut self.chunks)]
    }

    /// Writes what is beside the table.
    pub(crate) fn write_rest(&self, w: &mut Writer) {
        self.chunks.write_rest(w);
    }

    /// Reads back what [`Retries::write_rest`] wrote, and the table's pages.
    pub(crate) fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Retries, CodecError> {
        let error = r.invalid("bodies without repeats");
        let chunks = Table::<Chunk, 1>::read_with(r, TABLE, pages, |_, r| Chunk::read(r))?;
        let by_age: BTreeMap<u64, u32> = chunks.iter().map(|(id, chunk)| (chunk.number, id)).collect();
        let remembered = |chunk: &Chunk| chunk.bodies.len() - chunk.forgotten;
        let count: usize = chunks.iter().map(|(_, chunk)| remembered(chunk)).sum();
        let bodies = chunks.iter().flat_map(|(_, chunk)| &chunk.bodies[chunk.forgotten..]);
        let seen: BTreeSet<Seen> = bodies.map(|(_, key)| *key).collect();
        if seen.len() != count || by_age.len() != chunks.len() || by_age.contains_key(&u64::MAX) {
            return Err(error);
        }
        Ok(Retries { order: by_age.into_values().collect(), chunks, seen })
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
    }

    #[test]
    fn chunks_that_cannot_be_are_refused() {
        let check = |forgotten: u64, items: usize| {
            let mut w = Writer::default();
            w.array(3);
            0_u64.write(&mut w);
            w.uint(forgotten);
            w.array(items);
            for _ in 0..items / 3 {
                Millis(1).write(&mut w);
                SourceId([1; 16]).write(&mut w);
                [7_u8; 16].write(&mut w);
            }
            Chunk::read(&mut Reader::new(&w.into_bytes())).is_ok()
        };
        assert!(check(0, 3) && check(CHUNK as u64 - 1, 3));
        assert!(!check(0, 0) && !check(CHUNK as u64, 3) && !check(u64::MAX, 3));
    }

    fn written(retries: &mut Retries) -> (Vec<u8>, PageBytes) {
        let mut w = Writer::default();
        retries.write_rest(&mut w);
        (w.into_bytes(), PageBytes::of(retries.tables()))
    }

    /// Against a plain list of what came lately; and what is read back goes on to the same bytes.
    #[test]
    fn bodies_are_remembered_over_chunks_and_restarts() {
        let mut retries = Retries::default();
        let (mut now, mut list) = (Millis(0), Vec::<(Millis, u64)>::new());
        for i in 0..20_000_u64 {
            now = now.plus((i * i % 200) as i64 + if i % 5_000 == 0 { WINDOW_MS - 20_000 } else { 0 });
            list.retain(|(at, _)| now.since(*at) <= WINDOW_MS);
            let body = if i % 7 == 0 { i.saturating_sub(i % 9_000) } else { i };
            let known = list.iter().any(|(_, seen)| *seen == body);
            let mut digest = [0; 16];
            digest[..8].copy_from_slice(&body.to_le_bytes());
            assert_eq!(retries.is_retry(SourceId([1; 16]), BodyDigest(digest), now), known, "body {i}");
            if !known {
                list.push((now, body));
            }
            if i % 1_777 == 0 {
                let (rest, mut pages) = written(&mut retries);
                let mut back = Retries::read(&mut Reader::new(&rest), &mut pages).expect("just written");
                assert_eq!((&back.order, &back.seen), (&retries.order, &retries.seen));
                assert!(written(&mut back) == written(&mut retries), "one form");
                retries = back;
            }
        }
    }
}
