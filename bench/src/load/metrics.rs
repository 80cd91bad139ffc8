//! Bodies of metric points: chosen by popularity, or each series once.
use super::population::{GAUGE, Population, resource};
use super::random::Random;
use super::template::{Marks, Places, PointPlaces, Template, mark};
use faultline_formats::encode::{self, Data, Metric, Number, NumberPoint, ResourceMetrics};
use faultline_model::EventTime;

/// Points in a body.
pub const POINTS: usize = 2000;
/// Most points of one series in a body. Times are milliseconds and a series says one thing at a time, so a body that comes
/// every 10 ms cannot carry more; a pure Zipf law would have the first series speak 70,000 times a second.
pub const OCCURRENCES_MAX: u8 = 8;

/// Templates whose series are chosen by popularity.
///
/// - `own`: the sender's series and their weights.
pub fn chosen(population: &Population, own: &[(u32, f64)], count: usize, random: &mut Random) -> Vec<Template> {
    let mut sum = 0.0;
    let sums: Vec<f64> = own
        .iter()
        .map(|(_, weight)| {
            sum += weight;
            sum
        })
        .collect();
    // Half of what could be had at most, so that the choice stays a choice where series are few.
    let size = POINTS.min(own.len() * usize::from(OCCURRENCES_MAX) / 2);
    let mut times = vec![0_u8; own.len()];
    let body = |_| {
        times.fill(0);
        let mut picks = Vec::with_capacity(size);
        while picks.len() < size {
            let at = random.unit() * sum;
            let i = sums.partition_point(|sum| *sum <= at).min(own.len() - 1);
            if times[i] < OCCURRENCES_MAX {
                times[i] += 1;
                picks.push(own[i].0);
            }
        }
        template(population, picks)
    };
    (0..count).map(body).collect()
}

/// Templates that hold each of the sender's series once.
pub fn each_once<'a>(population: &'a Population, own: &'a [(u32, f64)]) -> impl Iterator<Item = Template> + 'a {
    let mut ids: Vec<u32> = own.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    let bodies: Vec<Vec<u32>> = ids.chunks(POINTS).map(<[u32]>::to_vec).collect();
    bodies.into_iter().map(|picks| template(population, picks))
}

/// A body of the series `picks`, grouped by service and metric as a collector's batches are.
fn template(population: &Population, mut picks: Vec<u32>) -> Template {
    picks.sort_unstable();
    let mut resources: Vec<ResourceMetrics> = Vec::new();
    let mut places: Vec<PointPlaces> = Vec::with_capacity(picks.len());
    let mut before = None;
    for (i, id) in picks.iter().enumerate() {
        let place = population.place(*id);
        if before.is_none_or(|(service, _)| service != place.service) {
            resources.push(ResourceMetrics { resource: resource(place.service), metrics: Vec::new() });
        }
        let metrics = &mut resources.last_mut().expect("pushed above").metrics;
        if before != Some((place.service, place.metric)) {
            let name = population.metric(place.metric);
            let data = match place.metric % 2 {
                GAUGE => Data::Gauge(Vec::new()),
                _ => Data::Sum { points: Vec::new(), delta: false, monotonic: true },
            };
            metrics.push(Metric { name, unit: String::new(), data });
        }
        before = Some((place.service, place.metric));
        let (Data::Gauge(points) | Data::Sum { points, .. }) = &mut metrics.last_mut().expect("pushed above").data
        else {
            unreachable!("made above");
        };
        points.push(NumberPoint {
            attributes: population.attributes(*id),
            time: EventTime(mark(2 * i) as i64),
            value: Number::Double(f64::from_bits(mark(2 * i + 1))),
        });
        let slope = if place.metric % 2 == GAUGE { 0 } else { 1 + (id % 7) as u8 };
        let occurrence = match i.checked_sub(1) {
            Some(last) if picks[last] == *id => places[last].occurrence + 1,
            _ => 0,
        };
        places.push(PointPlaces { time: 0, value: 0, occurrence, slope });
    }
    let bytes = encode::metrics(&resources);
    let mut marks = Marks::new(&bytes);
    for (i, point) in places.iter_mut().enumerate() {
        point.time = marks.fixed64(mark(2 * i));
        point.value = marks.fixed64(mark(2 * i + 1));
    }
    Template { events: picks.len() as u32, places: Places::Points(places), bytes }
}
