//! A histogram as canonical bytes.
//!
//! An array of: hint, schema, zero threshold, zero count, count, sum, positive side, negative side, bounds. A side is an array
//! of its spans, two numbers each (how far behind the end of the one before, at first from index 0; length), and an array of its counts.
use super::{BUCKETS_MAX, Buckets, CUSTOM_SCHEMA, Histogram, ResetHint, SCHEMA_MAX, SCHEMA_MIN, Span};
use crate::codec::{Canonical, CodecError, Reader, Writer};
use alloc::vec::Vec;

impl Canonical for Buckets {
    fn write(&self, w: &mut Writer) {
        w.array(2);
        w.array(2 * self.spans().len());
        let mut end = 0;
        for span in self.spans() {
            w.int(i64::from(span.start) - end);
            w.uint(span.length.into());
            end = span.end();
        }
        w.array(self.len());
        self.counts().iter().for_each(|count| w.float(*count));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let error = r.invalid("buckets of a histogram");
        r.array_of(2)?;
        let numbers = r.array()?;
        let (mut spans, mut end) = (Vec::with_capacity(numbers / 2), 0_i64);
        for _ in 0..numbers / 2 {
            let (gap, length) = (r.int()?, u32::try_from(r.uint()?).map_err(|_| error.clone())?);
            let start = end.checked_add(gap).and_then(|start| i32::try_from(start).ok()).ok_or(error.clone())?;
            let span = Span { start, length };
            end = span.end();
            spans.push(span);
        }
        let count = r.array()?;
        if numbers % 2 == 1 || count > BUCKETS_MAX {
            return Err(error);
        }
        let counts = (0..count).map(|_| r.float()).collect::<Result<Vec<f64>, CodecError>>()?;
        Buckets::checked(spans, counts).ok_or(error)
    }
}

impl Canonical for Histogram {
    fn write(&self, w: &mut Writer) {
        w.array(9);
        self.hint.write(w);
        w.int(self.schema.into());
        [self.zero_threshold, self.zero_count, self.count, self.sum].into_iter().for_each(|x| w.float(x));
        self.positive.write(w);
        self.negative.write(w);
        w.array(self.bounds.len());
        self.bounds.iter().for_each(|x| w.float(*x));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let error = r.invalid("histogram");
        r.array_of(9)?;
        let hint = ResetHint::read(r)?;
        let schema = i8::try_from(r.int()?).map_err(|_| error.clone())?;
        let [zero_threshold, zero_count, count, sum] = [r.float()?, r.float()?, r.float()?, r.float()?];
        let (positive, negative) = (Buckets::read(r)?, Buckets::read(r)?);
        let bounds = (0..r.array()?).map(|_| r.float()).collect::<Result<Vec<f64>, CodecError>>()?;
        let histogram = Histogram {
            hint,
            schema,
            zero_threshold,
            zero_count,
            count,
            sum,
            positive,
            negative,
            bounds: bounds.into(),
        };
        let known = schema == CUSTOM_SCHEMA || (SCHEMA_MIN..=SCHEMA_MAX).contains(&schema);
        let rising = histogram.bounds.windows(2).all(|pair| pair[0] < pair[1]);
        let whole = if schema == CUSTOM_SCHEMA {
            rising
                && histogram.negative.is_empty()
                && histogram.within_bounds()
                && histogram.bounds.len() <= BUCKETS_MAX
        } else {
            histogram.bounds.is_empty()
        };
        // Counts may be negative: a difference is kept as any other value.
        if known && whole { Ok(histogram) } else { Err(error) }
    }
}
