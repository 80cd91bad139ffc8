//! Values of queries in Prometheus' shapes.
use super::number;
use super::shapes::labels;
use faultline_model::histogram::Bucket;
use faultline_model::{Histogram, Labels, Millis, Number};
use faultline_promql::{Element, Series, Value};
use serde::Serialize;

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
            Value::Matrix(list) => QueryData::over(list),
        }
    }

    /// Values over time, in label order.
    pub fn over(list: Vec<Series>) -> QueryData {
        let series = |Series { labels, samples, .. }: Series| {
            let mut points = Points::default();
            samples.iter().for_each(|(time, value)| points.push(*time, value));
            (labels, points)
        };
        QueryData::Matrix(list.into_iter().map(series).collect())
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
