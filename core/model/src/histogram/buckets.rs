//! The populated buckets of one side of a histogram.
use crate::float;
use alloc::vec::Vec;

/// Buckets that follow each other without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the first.
    pub start: i32,
    /// How many, at least 1.
    pub length: u32,
}

impl Span {
    /// Index behind the last.
    pub(super) fn end(self) -> i64 {
        i64::from(self.start) + i64::from(self.length)
    }

    fn indices(self) -> impl DoubleEndedIterator<Item = i32> {
        let last = self.end() - 1;
        self.start..=i32::try_from(last).expect("indices are held within the limit")
    }
}

/// The populated buckets of one side, by rising index, which is away from zero.
///
/// One spelling: no bucket is empty, spans are as long as they can be, every NaN has one bit pattern.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    spans: Vec<Span>,
    counts: Vec<f64>,
}

impl Buckets {
    /// Indices are held within this distance from 0; of the finest schema, every float lies within 2^19.
    pub const INDEX_MAX: i32 = 1 << 30;

    /// Buckets by rising index. Empty ones are left out.
    pub fn new(buckets: impl IntoIterator<Item = (i32, f64)>) -> Buckets {
        let mut all = Buckets::default();
        for (index, count) in buckets {
            all.push(index, count);
        }
        all
    }

    /// Appends a bucket, unless it is empty. Its index must be greater than those before.
    pub fn push(&mut self, index: i32, count: f64) {
        if count == 0.0 {
            return;
        }
        assert!((-Self::INDEX_MAX..=Self::INDEX_MAX).contains(&index), "index {index} of a bucket");
        match self.spans.last_mut() {
            Some(span) if span.end() == i64::from(index) => span.length += 1,
            Some(span) if span.end() > i64::from(index) => panic!("bucket {index} after {}", span.end() - 1),
            _ => self.spans.push(Span { start: index, length: 1 }),
        }
        self.counts.push(float::canonical(count));
    }

    /// Index and count of each, by rising index.
    pub fn iter(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        self.spans.iter().flat_map(|span| span.indices()).zip(self.counts.iter().copied())
    }

    /// Index and count of each, by falling index.
    pub fn iter_back(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        self.spans.iter().rev().flat_map(|span| span.indices().rev()).zip(self.counts.iter().rev().copied())
    }

    /// Where they lie.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// How much is in each.
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Buckets with other counts at the same places; those that come out empty go.
    pub fn map(&self, mut count: impl FnMut(f64) -> f64) -> Buckets {
        Buckets::new(self.iter().map(|(index, before)| (index, count(before))))
    }

    /// These buckets merged into those of a schema that is coarser by `steps`, each of which halves the resolution.
    pub fn coarser(&self, steps: u32) -> Buckets {
        let mut merged = Buckets::default();
        let mut open: Option<(i32, f64)> = None;
        for (index, count) in self.iter() {
            let index = coarser_index(index, steps);
            match &mut open {
                Some((at, sum)) if *at == index => *sum += count,
                _ => {
                    open.into_iter().for_each(|(index, count)| merged.push(index, count));
                    open = Some((index, count));
                }
            }
        }
        open.into_iter().for_each(|(index, count)| merged.push(index, count));
        merged
    }

    /// Spans and counts as they were written; nothing if that is not their one spelling.
    pub(super) fn checked(spans: Vec<Span>, counts: Vec<f64>) -> Option<Buckets> {
        let limit = i64::from(Self::INDEX_MAX);
        let (mut end, mut len) = (-limit - 1, 0_u64);
        for span in &spans {
            if i64::from(span.start) <= end || span.length == 0 || span.end() - 1 > limit {
                return None;
            }
            end = span.end();
            len += u64::from(span.length);
        }
        let whole = len == counts.len() as u64 && counts.iter().all(|count| *count != 0.0);
        whole.then_some(Buckets { spans, counts })
    }
}

/// To the bit.
impl PartialEq for Buckets {
    fn eq(&self, other: &Buckets) -> bool {
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        self.spans == other.spans && self.counts.iter().zip(&other.counts).all(same)
    }
}

/// The index of the bucket of a schema that is coarser by `steps` into which a bucket goes.
pub fn coarser_index(index: i32, steps: u32) -> i32 {
    // Bucket `i` ends at base^i, so bucket 1 of the coarser schema holds 1 and 2.
    ((index - 1) >> steps.min(31)) + 1
}
