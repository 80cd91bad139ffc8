//! What a body says of its metrics beside their points: help, type and unit.
//!
//! It is for readers, and nothing decides by it. While points are decoded it is only noted where the texts stand; names are made only
//! for what a reader has not seen ([`Told::key`]), as labels are made only for series that the engine has not seen.
//!
//! Source: prompb `types.proto` and `io/prometheus/write/v2/types.proto`; for OTLP prometheus/storage/remote/otlptranslator/
//! prometheusremotewrite, v3.15, `metrics_to_prw.go` and `otlp_to_openmetrics_metadata.go`.
use crate::events::Text;
use crate::limits;
use crate::naming::{self, MetricKind};
use crate::reject::Reason;
use crate::sink::text_in;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Types of metric, as Prometheus names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MetricType {
    /// Not said, or none of the others.
    #[default]
    Unknown = 0,
    /// Never falls.
    Counter = 1,
    /// Comes and goes.
    Gauge = 2,
    /// Counts in buckets.
    Histogram = 3,
    /// Counts in buckets that may fall.
    GaugeHistogram = 4,
    /// Quantiles.
    Summary = 5,
    /// Labels that tell of something.
    Info = 6,
    /// Labels that tell a state.
    Stateset = 7,
}

impl MetricType {
    /// Prometheus' word.
    pub fn word(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::Stateset => "stateset",
        }
    }

    /// By its number in remote write; unknown where there is no such.
    pub(crate) fn of_number(number: u64) -> MetricType {
        use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, Stateset, Summary, Unknown};
        let all = [Unknown, Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, Stateset];
        usize::try_from(number).ok().and_then(|number| all.get(number)).copied().unwrap_or(Unknown)
    }
}

/// How a sender named a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// By its family, as remote write 1.0 does.
    Family(MetricType),
    /// By one of its series, as remote write 2.0 does.
    Series(MetricType),
    /// As OTLP does; whether it tells changes.
    Otlp(MetricKind, bool),
}

impl Spelling {
    fn number(self) -> [u8; 2] {
        match self {
            Spelling::Family(kind) => [0, kind as u8],
            Spelling::Series(kind) => [1, kind as u8],
            Spelling::Otlp(kind, delta) => [2 + u8::from(delta), kind as u8],
        }
    }
}

/// Where the texts of one metric stand.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    name: Text,
    unit: Text,
    help: Text,
    spelling: Spelling,
}

/// Where help, type and unit of metrics stand in [`crate::Decoded::plain`], in the order of the body. A metric may come more than once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(Vec<Row>);

/// What is said of one metric.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    name: &'a str,
    unit: &'a str,
    /// What it is about, at most [`limits::HELP_SIZE`] bytes.
    pub help: &'a str,
    /// Whether there was more of it.
    pub cut: bool,
    spelling: Spelling,
}

impl Metadata {
    /// Of how many metrics something is said.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What it takes in memory beside the body, in bytes.
    pub fn size(&self) -> usize {
        self.0.len() * size_of::<Row>()
    }

    /// What is said, metric by metric.
    ///
    /// - `plain`: the body that was decoded.
    pub fn iter<'a>(&'a self, plain: &'a [u8]) -> impl Iterator<Item = Told<'a>> {
        let text = |text: Text| crate::any::str(&plain[text.start as usize..][..text.size as usize]);
        self.0.iter().map(move |row| {
            let whole = text(row.help);
            let help = &whole[..whole.floor_char_boundary(limits::HELP_SIZE)];
            let (name, unit, cut) = (text(row.name), text(row.unit), help.len() < whole.len());
            Told { name, unit, help, cut, spelling: row.spelling }
        })
    }

    /// Notes what is said of one metric, whose name and unit have been found to be UTF-8.
    pub(crate) fn note(
        &mut self,
        plain: &[u8],
        spelling: Spelling,
        name: &str,
        unit: &str,
        help: &[u8],
    ) -> Result<(), Reason> {
        if core::str::from_utf8(help).is_err() {
            return Err(Reason::BadMetadata);
        }
        if self.0.len() == limits::METADATA {
            return Err(Reason::TooMuchMetadata);
        }
        let [name, unit, help] = [name.as_bytes(), unit.as_bytes(), help].map(|text| text_in(plain, text));
        self.0.push(Row { name, unit, help, spelling });
        Ok(())
    }
}

impl Told<'_> {
    /// Hash of what is said as it was said, for whoever wants to know whether it is new.
    pub fn key(&self, seed: u64) -> u64 {
        let texts = [self.name, self.unit, self.help].map(str::as_bytes);
        let seed = xxh3_64_with_seed(&self.spelling.number(), seed);
        texts.into_iter().fold(seed, |seed, text| xxh3_64_with_seed(text, seed))
    }

    /// The metric's type.
    pub fn kind(&self) -> MetricType {
        match self.spelling {
            Spelling::Family(kind) | Spelling::Series(kind) => kind,
            // What tells changes has no type there that fits.
            Spelling::Otlp(_, true) => MetricType::Unknown,
            Spelling::Otlp(kind, false) => match kind {
                MetricKind::Gauge | MetricKind::Sum => MetricType::Gauge,
                MetricKind::Counter => MetricType::Counter,
                MetricKind::Histogram | MetricKind::Exponential => MetricType::Histogram,
                MetricKind::Summary => MetricType::Summary,
            },
        }
    }

    /// Its unit in Prometheus' words.
    pub fn unit(&self) -> Cow<'_, str> {
        match self.spelling {
            Spelling::Otlp(..) => naming::unit(self.unit).into(),
            _ => self.unit.into(),
        }
    }

    /// The metric's name in Prometheus, without what its series add to it; `None` where nothing of it is left.
    ///
    /// Of a counter's series it cannot be told whether `_total` is part of the name: it stays.
    pub fn family(&self) -> Option<Cow<'_, str>> {
        match self.spelling {
            Spelling::Family(_) => Some(self.name.into()),
            Spelling::Otlp(kind, _) => naming::metric(self.name, self.unit, kind).map(Cow::Owned),
            Spelling::Series(kind) => {
                let suffixes = series_suffixes(kind);
                let without = suffixes.iter().find_map(|suffix| self.name.strip_suffix(suffix));
                Some(without.filter(|name| !name.is_empty()).unwrap_or(self.name).into())
            }
        }
    }
}

/// What series of a metric of this type may have behind its name.
///
/// Source: `isSeriesPartOfFamily` of Prometheus 3.15, scrape/scrape.go.
pub fn series_suffixes(kind: MetricType) -> &'static [&'static str] {
    match kind {
        MetricType::Histogram => &["_bucket", "_sum", "_count"],
        MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricType::Summary => &["_sum", "_count"],
        _ => &[],
    }
}
