//! What a walk over metrics hands on: to collect points with their keys, or to name the points at some places.
//!
//! Both are the same walk, so a point has the same place in both.
use crate::attributes::Attributes;
use crate::events::{Events, NativePoint, Point, PointFlags, Text};
use crate::exemplar::{Exemplar, ExemplarPoint};
use crate::gofloat;
use crate::keys::{Keys, Part};
use crate::metadata::Spelling;
use crate::naming::{self, MetricKind};
use crate::otlp::resource::Origin;
use crate::reject::Reason;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::labels::NAME;
use faultline_model::{HashSeed, Histogram, Labels, LabelsBuilder, Millis, float};

/// What names a metric, still in the sender's words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub kind: MetricKind,
    pub delta: bool,
}

/// What a sample is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub time: Millis,
    pub value: f64,
    pub flags: PointFlags,
}

/// Receives accepted points in the order of the body.
pub(crate) trait Sink<'a> {
    /// The resource of the metrics that follow.
    fn resource(&mut self, origin: &Origin<'a>);
    /// The metric of the points that follow.
    fn metric(&mut self, metric: &Metric<'a>);
    /// The attributes (OTLP) or labels (remote write) of the samples that follow.
    fn attributes(&mut self, attributes: &Attributes<'a>);
    /// The labels (remote write 2.0) of the samples that follow.
    fn labels(&mut self, labels: &[(&'a [u8], &'a [u8])]);
    /// A sample.
    fn sample(&mut self, part: Part, value: Value);
    /// A native histogram; nothing where the series ended.
    fn histogram(&mut self, time: Millis, histogram: Option<Histogram>);
    /// The `target_info` sample of the resource at hand.
    fn target_info(&mut self, origin: &Origin<'a>, time: Millis);
    /// Whether exemplars are wanted; where they are not, none is read.
    fn wants_exemplars(&self) -> bool;
    /// An exemplar of the part of the metric at hand, under the attributes or labels at hand.
    fn exemplar(&mut self, part: Part, exemplar: Exemplar);
    /// Help, type and unit of a metric, whose name and unit have been found to be UTF-8; fails where they cannot be taken.
    fn metadata(&mut self, spelling: Spelling, name: &str, unit: &str, help: &[u8]) -> Result<(), Reason>;
}

/// Collects points.
pub(crate) struct Collect<'a> {
    pub events: Events,
    pub keys: Keys,
    plain: &'a [u8],
    identity: u128,
    metric: u128,
    attributes: u128,
}

impl<'a> Collect<'a> {
    pub fn new(plain: &'a [u8], seed: HashSeed) -> Collect<'a> {
        let (events, keys) = (Events::default(), Keys::new(seed));
        Collect { events, keys, plain, identity: 0, metric: 0, attributes: 0 }
    }
}

/// Where `part` lies in `whole`; the empty text where it does not.
pub(crate) fn text_in(whole: &[u8], part: &[u8]) -> Text {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if part.is_empty() || start >= whole.len() {
        return Text::default();
    }
    // An inflated body is at most 64 MiB.
    Text { start: start as u32, size: part.len() as u32 }
}

impl<'a> Sink<'a> for Collect<'a> {
    fn resource(&mut self, origin: &Origin<'a>) {
        self.events.resources.push(origin.resource(self.plain, &self.keys));
        self.identity = origin.identity(&mut self.keys);
    }

    fn metric(&mut self, metric: &Metric<'a>) {
        let kind = [metric.kind as u8, u8::from(metric.delta)];
        self.metric = self.keys.parts(&[metric.name.as_bytes(), metric.unit.as_bytes(), &kind]);
    }

    #[inline(always)]
    fn attributes(&mut self, attributes: &Attributes<'a>) {
        self.attributes = attributes.hash(&self.keys);
    }

    fn target_info(&mut self, origin: &Origin<'a>, time: Millis) {
        (self.metric, self.attributes) = (0, origin.attributes.hash(&self.keys));
        self.sample(Part::TargetInfo, Value { time, value: 1.0, flags: PointFlags::NONE });
    }

    #[inline(always)]
    fn sample(&mut self, part: Part, value: Value) {
        let key = self.keys.series(self.identity, self.metric, self.attributes, part);
        // At most limits::POINTS, so the cast holds.
        let place = (self.events.points.len() + self.events.histograms.len()) as u32;
        let (stale, time) = (value.flags.has(PointFlags::STALE), value.time);
        let number = if stale { 0.0 } else { float::canonical(value.value) };
        self.events.points.push(Point { key, time, value: number, place, flags: value.flags });
    }

    fn labels(&mut self, labels: &[(&'a [u8], &'a [u8])]) {
        // Apart from those of 1.0, whose keys are of the bytes as spelled.
        let parts: Vec<&[u8]> = labels.iter().flat_map(|(name, value)| [*name, *value]).collect();
        (self.identity, self.metric, self.attributes) = (2, 0, self.keys.parts(&parts));
    }

    fn histogram(&mut self, time: Millis, histogram: Option<Histogram>) {
        let key = self.keys.series(self.identity, self.metric, self.attributes, Part::Native);
        let place = (self.events.points.len() + self.events.histograms.len()) as u32;
        let histogram = histogram.map(|histogram| Arc::new(histogram.canonical()));
        self.events.histograms.push(NativePoint { key, time, histogram, place });
    }

    fn wants_exemplars(&self) -> bool {
        true
    }

    fn exemplar(&mut self, part: Part, exemplar: Exemplar) {
        let key = self.keys.series(self.identity, self.metric, self.attributes, part);
        self.events.exemplars.push(ExemplarPoint { key, exemplar });
    }

    #[inline]
    fn metadata(&mut self, spelling: Spelling, name: &str, unit: &str, help: &[u8]) -> Result<(), Reason> {
        self.events.metadata.note(self.plain, spelling, name, unit, help)
    }
}

/// What of a body is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Points and histograms.
    Points,
    /// Series of exemplars.
    Exemplars,
}

/// Names the points at some places, or the series of the exemplars there.
pub(crate) struct Name<'a, 'p> {
    of: Of,
    /// Labels of the places so far.
    pub out: Vec<Labels>,
    places: &'p [u32],
    place: u32,
    origin: Origin<'a>,
    metric: Option<Metric<'a>>,
    name: String,
    attributes: Attributes<'a>,
    pairs: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a, 'p> Name<'a, 'p> {
    pub fn new(of: Of, places: &'p [u32]) -> Name<'a, 'p> {
        Name {
            of,
            out: Vec::with_capacity(places.len()),
            places,
            place: 0,
            origin: Origin::default(),
            metric: None,
            name: String::new(),
            attributes: Attributes::new(&[], 0),
            pairs: Vec::new(),
        }
    }

    /// Goes on to the next place, and names it where it is one of those wanted.
    fn pass(&mut self, part: Part) {
        if self.places.get(self.out.len()) == Some(&self.place) {
            let labels = self.labels(part);
            self.out.push(labels);
        }
        self.place += 1;
    }

    fn labels(&mut self, part: Part) -> Labels {
        let mut labels = LabelsBuilder::default();
        let Some(metric) = &self.metric else {
            crate::remote_write::set_labels(&self.attributes, &mut labels);
            for (name, value) in &self.pairs {
                labels.set(crate::any::str(name), crate::any::str(value));
            }
            return labels.build();
        };
        if part == Part::TargetInfo {
            self.origin.set_target_info(&mut labels);
            return labels.build();
        }
        if self.name.is_empty() {
            self.name = naming::metric(metric.name, metric.unit, metric.kind).unwrap_or_default();
        }
        self.attributes.set_labels(&[], &mut labels);
        self.origin.set_identity(&mut labels);
        let mut name = self.name.clone();
        match part {
            Part::Value | Part::TargetInfo | Part::Native => {}
            Part::Quantile(quantile) => {
                let mut text = String::new();
                gofloat::append_plain(quantile, &mut text);
                labels.set("quantile", &text);
            }
            Part::Sum => name.push_str("_sum"),
            Part::Count => name.push_str("_count"),
            Part::Bucket(bound) => {
                name.push_str("_bucket");
                let mut le = String::new();
                gofloat::append_plain(bound, &mut le);
                labels.set("le", &le);
            }
        }
        labels.set(NAME, &name);
        labels.build()
    }
}

impl<'a> Sink<'a> for Name<'a, '_> {
    fn resource(&mut self, origin: &Origin<'a>) {
        self.origin = *origin;
    }

    fn metric(&mut self, metric: &Metric<'a>) {
        self.metric = Some(*metric);
        self.name.clear();
    }

    fn attributes(&mut self, attributes: &Attributes<'a>) {
        self.attributes = *attributes;
    }

    fn target_info(&mut self, _: &Origin<'a>, time: Millis) {
        self.sample(Part::TargetInfo, Value { time, value: 1.0, flags: PointFlags::NONE });
    }

    fn labels(&mut self, labels: &[(&'a [u8], &'a [u8])]) {
        self.pairs.clear();
        self.pairs.extend_from_slice(labels);
    }

    fn histogram(&mut self, time: Millis, _: Option<Histogram>) {
        self.sample(Part::Native, Value { time, value: 0.0, flags: PointFlags::NONE });
    }

    fn sample(&mut self, part: Part, _: Value) {
        if self.of == Of::Points {
            self.pass(part);
        }
    }

    fn wants_exemplars(&self) -> bool {
        self.of == Of::Exemplars
    }

    fn exemplar(&mut self, part: Part, _: Exemplar) {
        self.pass(part);
    }

    fn metadata(&mut self, _: Spelling, _: &str, _: &str, _: &[u8]) -> Result<(), Reason> {
        Ok(())
    }
}
