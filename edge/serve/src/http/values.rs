//! Values of queries in Prometheus' shapes.
use super::number;
use super::shapes::labels;
use faultline_model::histogram::Bucket;
use faultline_model::{Histogram, Labels, Millis, Number};
use faultline_promql::{Element, Series, Value};
use serde::Serialize;

/// The instants of a range query.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// The first.
    pub start: Millis,
    /// None is later.
    pub end: Millis,
    /// From one to the next, in ms, `> 0`.
    pub step_ms: i64,
}

impl Steps {
    /// Every instant.
    pub fn instants(self) -> impl Iterator<Item = Millis> {
        let next = move |at: &Millis| Some(at.plus(self.step_ms)).filter(|next| *next > *at);
        std::iter::successors(Some(self.start), next).take_while(move |at| *at <= self.end)
    }
}

/// An instant, as a float in ms which the writer of answers turns into seconds, and a value.
type Point<T> = (f64, T);

/// The data of an answer.
#[derive(Serialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub enum QueryData {
    /// A number.
    Scalar(Point<String>),
    /// A text.
    String(Point<String>),
    /// A value of each label set.
    Vector(Vec<VectorElement>),
    /// Values over time of each label set, in label order.
    #[serde(serialize_with = "series")]
    Matrix(Vec<(Labels, Points)>),
}

/// One of a vector.
#[derive(Serialize)]
pub struct VectorElement {
    #[serde(serialize_with = "labels")]
    metric: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Point<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<Point<Distribution>>,
}

/// Values over time.
#[derive(Default, Serialize)]
pub struct Points {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<Point<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    histograms: Vec<Point<Distribution>>,
}

impl Points {
    fn push(&mut self, at: Millis, value: &Number) {
        match value {
            Number::Float(x) => self.values.push((at.0 as f64, number::plain(*x))),
            Number::Histogram(histogram) => self.histograms.push((at.0 as f64, Distribution::of(histogram))),
        }
    }
}

#[derive(Serialize)]
struct MatrixSeries<'a> {
    #[serde(serialize_with = "labels")]
    metric: &'a Labels,
    #[serde(flatten)]
    points: &'a Points,
}

fn series<S: serde::Serializer>(all: &[(Labels, Points)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(|(metric, points)| MatrixSeries { metric, points }))
}

/// A histogram. Its buckets begin with which of their bounds belong to them: 0 the upper, 1 the lower, 2 neither, 3 both.
#[derive(Serialize)]
struct Distribution {
    count: String,
    sum: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    buckets: Vec<(u8, String, String, String)>,
}

impl Distribution {
    fn of(histogram: &Histogram) -> Distribution {
        let bucket = |b: Bucket| {
            let bounds = match (b.lower_inclusive, b.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            (bounds, number::plain(b.lower), number::plain(b.upper), number::plain(b.count))
        };
        let (count, sum) = (number::plain(histogram.count), number::plain(histogram.sum));
        Distribution { count, sum, buckets: histogram.buckets().map(bucket).collect() }
    }
}

impl QueryData {
    /// A value at an instant.
    pub fn at(value: Value, at: Millis) -> QueryData {
        let stamp = at.0 as f64;
        match value {
            Value::Scalar(value) => QueryData::Scalar((stamp, number::plain(value))),
            Value::Text(text) => QueryData::String((stamp, text)),
            Value::Vector(list) => {
                let element = |element: Element| VectorElement {
                    metric: element.labels,
                    value: element.value.float().map(|x| (stamp, number::plain(x))),
                    histogram: element.value.histogram().map(|h| (stamp, Distribution::of(h))),
                };
                QueryData::Vector(list.into_iter().map(element).collect())
            }
            Value::Matrix(list) => {
                let series = |Series { labels, samples, .. }: Series| {
                    let mut points = Points::default();
                    samples.iter().for_each(|(time, value)| points.push(*time, value));
                    (labels, points)
                };
                QueryData::Matrix(list.into_iter().map(series).collect())
            }
        }
    }

    /// The answer of a range query, of no instant yet.
    pub fn series() -> QueryData {
        QueryData::Matrix(Vec::new())
    }

    /// Adds the value of the next instant to a range query's.
    pub fn add(&mut self, value: Value, at: Millis) {
        let (QueryData::Matrix(all), mut next) = (self, 0) else { return };
        let mut add = |labels: Labels, value: &Number| {
            // Mostly those of the instant before, in the same order.
            if all.get(next).is_none_or(|it| it.0 != labels) {
                next = match all.binary_search_by(|it| it.0.cmp(&labels)) {
                    Ok(place) => place,
                    Err(place) => {
                        all.insert(place, (labels, Points::default()));
                        place
                    }
                };
            }
            all[next].1.push(at, value);
            next += 1;
        };
        match value {
            Value::Scalar(value) => add(Labels::default(), &Number::Float(value)),
            Value::Vector(list) => list.into_iter().for_each(|element| add(element.labels, &element.value)),
            Value::Text(_) | Value::Matrix(_) => {}
        }
    }

    /// The first `limit` label sets, and whether there are more.
    pub fn limited(mut self, limit: usize) -> (QueryData, bool) {
        let cut = match &mut self {
            QueryData::Scalar(_) | QueryData::String(_) => false,
            QueryData::Vector(list) => {
                let cut = list.len() > limit;
                list.truncate(limit);
                cut
            }
            QueryData::Matrix(all) => {
                let cut = all.len() > limit;
                all.truncate(limit);
                cut
            }
        };
        (self, cut)
    }
}
