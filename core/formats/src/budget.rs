//! What one body may still turn into: points, and bytes of labels if every one of its series were new.
//!
//! Labels repeat on every sample what a body says once: a resource's name of 16 KiB over 200,000 points of 20 bytes would be
//! 3 GiB. The points are counted before they are made, and so are their labels.
use crate::limits;
use crate::reject::Reason;
use faultline_model::Histogram;

/// What is left.
#[derive(Debug)]
pub(crate) struct Budget {
    points: usize,
    label_bytes: usize,
    buckets: usize,
    exemplars: usize,
    exemplar_bytes: usize,
}

impl Budget {
    pub fn new() -> Budget {
        Budget {
            points: limits::POINTS,
            label_bytes: limits::LABEL_BYTES,
            buckets: limits::BUCKETS,
            exemplars: limits::EXEMPLARS,
            exemplar_bytes: limits::EXEMPLAR_BYTES,
        }
    }

    /// Takes an exemplar of a series with labels of `label_bytes`, or nothing. Points have room of their own.
    pub fn take_exemplar(&mut self, label_bytes: usize) -> Result<(), Reason> {
        // Its own labels have four bytes a character at most, and sizes.
        let bytes = label_bytes + 8 * limits::EXEMPLAR_CHARS;
        if self.exemplars == 0 || bytes > self.exemplar_bytes {
            return Err(Reason::TooManyExemplars);
        }
        self.exemplars -= 1;
        self.exemplar_bytes -= bytes;
        Ok(())
    }

    /// Takes a histogram with labels of `label_bytes`, or nothing.
    pub fn take_histogram(&mut self, histogram: Option<&Histogram>, label_bytes: usize) -> Result<(), Reason> {
        let buckets = histogram.map_or(0, |h| {
            let sides = [&h.positive, &h.negative].into_iter().map(|side| side.len() + side.spans().len());
            sides.sum::<usize>() + h.bounds.len()
        });
        if buckets > self.buckets {
            return Err(Reason::TooManyBuckets);
        }
        self.take(1, label_bytes)?;
        self.buckets -= buckets;
        Ok(())
    }

    /// Takes `samples` points with labels of `label_bytes` each, all of them or none.
    #[inline(always)]
    pub fn take(&mut self, samples: usize, label_bytes: usize) -> Result<(), Reason> {
        if samples > self.points {
            return Err(Reason::TooManyPoints);
        }
        // At most 2^18 points of less than 2^20 bytes each: no overflow, on 64 bits or, saturating, on 32.
        let bytes = samples.saturating_mul(label_bytes);
        if bytes > self.label_bytes {
            return Err(Reason::TooManyLabelBytes);
        }
        self.points -= samples;
        self.label_bytes -= bytes;
        Ok(())
    }
}
