//! A series as the table holds it, and its canonical bytes.
use super::{NO_SOURCE, WHOLE};
use crate::histograms::{self, HistogramRing};
use crate::ring::{Ring, Stood, UNREAD};
use alloc::boxed::Box;
use alloc::vec::Vec;
use faultline_model::table::Freeze;
use faultline_model::{Canonical, CodecError, HistogramSample, Labels, Millis, Reader, Writer};

/// One series.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) labels: Labels,
    pub(super) ring: Ring,
    /// Of a series that holds histograms, or did; never empty.
    pub(super) histograms: Option<Box<HistogramRing>>,
    /// Rule time of the last sample: what idleness is counted from.
    pub(super) seen: Millis,
    /// Running total of a delta series.
    pub(super) total: f64,
    /// The source that sent its newest sample, or [`NO_SOURCE`].
    pub(super) source: u32,
    /// Before it samples may be missing though some stand there, which came late; or [`WHOLE`].
    pub(super) since: Millis,
    /// Selections it belongs to: derived.
    pub(super) selections: Vec<u32>,
    /// How far back the longest of them reads, in ms, or [`UNREAD`]: derived.
    pub(super) keep: i64,
    /// Whether it is of a standard metric, which the service graph reads: derived.
    pub(super) metered: bool,
}

/// A row of four fields, or five with histograms, has no source, as all of states from before engine version 5; one of seven is not
/// whole from its oldest sample on.
impl Canonical for Row {
    fn write(&self, w: &mut Writer) {
        self.write_row(None, w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let refused = r.invalid("series");
        let fields = r.array()?;
        if !(4..=7).contains(&fields) {
            return Err(refused);
        }
        let mut row = Row {
            labels: Canonical::read(r)?,
            ring: Canonical::read(r)?,
            seen: Canonical::read(r)?,
            total: Canonical::read(r)?,
            histograms: None,
            source: NO_SOURCE,
            since: WHOLE,
            selections: Vec::new(),
            keep: UNREAD,
            metered: false,
        };
        if fields >= 6 {
            row.source = Canonical::read(r)?;
            row.histograms = Option::<HistogramRing>::read(r)?.map(Box::new);
            if fields == 7 {
                row.since = Canonical::read(r)?;
            }
            // One value has one form.
            if if fields == 7 { row.since == WHOLE } else { row.source == NO_SOURCE } {
                return Err(refused);
            }
        } else if fields == 5 {
            row.histograms = Some(Box::new(Canonical::read(r)?));
        }
        Ok(row)
    }
}

/// What a row was, beside its labels, which never change.
#[derive(Debug)]
pub(super) struct Image {
    samples: Stood,
    histograms: Option<Box<[HistogramSample]>>,
    seen: Millis,
    total: f64,
    source: u32,
    since: Millis,
}

impl Freeze for Row {
    type Image = Image;

    fn freeze(&mut self) -> Image {
        let histograms = self.histograms.as_ref().map(|ring| ring.samples().into());
        Image {
            samples: self.ring.freeze(),
            histograms,
            seen: self.seen,
            total: self.total,
            source: self.source,
            since: self.since,
        }
    }

    fn write_row(&self, image: Option<&Image>, w: &mut Writer) {
        let source = image.map_or(self.source, |image| image.source);
        let since = image.map_or(self.since, |image| image.since);
        let long = source != NO_SOURCE || since != WHOLE;
        let samples = match image {
            Some(image) => image.histograms.as_deref(),
            None => self.histograms.as_ref().map(|ring| ring.samples()),
        };
        w.array(if long { 6 + usize::from(since != WHOLE) } else { 4 + usize::from(samples.is_some()) });
        self.labels.write(w);
        match image {
            Some(image) => self.ring.write_image(&image.samples, w),
            None => self.ring.write(w),
        }
        image.map_or(self.seen, |image| image.seen).write(w);
        image.map_or(self.total, |image| image.total).write(w);
        if long {
            source.write(w);
        }
        match samples {
            Some(samples) => histograms::write(samples, w),
            None if long => w.null(),
            None => {}
        }
        if since != WHOLE {
            since.write(w);
        }
    }

    fn thaw(&mut self) {
        self.ring.thaw();
    }
}
