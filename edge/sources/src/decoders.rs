//! How many bodies are decoded at once, and how much room one takes before that is known.
use faultline_formats::{Decoded, decode, limits};
use faultline_model::{Encoding, HashSeed, Payload};
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::Semaphore;

/// About how many bytes a body weighs once it is decoded, for each byte received and beside it: inflated, and as events.
/// The typical body stays below, so that what was decoded is not refused; the weight itself is counted in its place at once.
fn factor(encoding: Encoding) -> usize {
    match encoding {
        Encoding::Identity => 2,
        Encoding::Snappy | Encoding::Gzip | Encoding::Zstd => 16,
    }
}

/// Room to be held for a body of `received` bytes before it is decoded.
pub fn room_for(received: usize, encoding: Encoding) -> usize {
    received + (received * factor(encoding)).min(limits::PLAIN_SIZE)
}

/// Those who may decode at this moment: one less than there are cores and at least one, so that neither the engine's thread
/// nor the sockets wait for a flood of bodies. Who waits for a turn holds room in the inlet, which bounds the queue.
#[derive(Clone)]
pub struct Decoders {
    turns: Arc<Semaphore>,
}

impl Default for Decoders {
    fn default() -> Decoders {
        let cores = available_parallelism().map_or(1, |cores| cores.get());
        Decoders { turns: Arc::new(Semaphore::new((cores - 1).max(1))) }
    }
}

impl Decoders {
    /// Decodes when it is this body's turn, in the order asked.
    pub async fn decode(&self, payload: Payload, seed: HashSeed) -> Decoded {
        let _turn = self.turns.acquire().await.expect("never closed");
        decode(payload, seed)
    }
}

#[cfg(test)]
impl Decoders {
    /// Takes every turn, until dropped.
    pub fn all_turns(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = self.turns.available_permits() as u32;
        self.turns.clone().try_acquire_many_owned(all).expect("nobody decodes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_formats::encode::{self, Data, Metric, Number, NumberPoint, ResourceMetrics, Value};
    use faultline_host::{Limits, inlet};
    use faultline_model::{Clock, EventTime, Format, Kind, Labels, Millis, Sample, SourceId, TenantId};
    use std::time::Duration;

    /// Metrics as exporters batch them: points of one metric that differ in one attribute.
    fn otlp(points: usize) -> Vec<u8> {
        let point = |i: usize| NumberPoint {
            attributes: ["http.route", "server.address", "which"]
                .map(|name| (name.into(), Value::Text(format!("value-{name}-{}", i % 97))))
                .into(),
            time: EventTime(1_700_000_000_000_000_000 + i as i64),
            value: Number::Double(i as f64 / 3.0),
        };
        let data = Data::Gauge((0..points).map(point).collect());
        let metrics = vec![Metric { name: "http.server.active".into(), unit: "1".into(), data }];
        let resource = vec![("service.name".into(), Value::Text("pay".into()))];
        encode::metrics(&[ResourceMetrics { resource, metrics }])
    }

    /// One sample of each series, as Prometheus sends them.
    fn remote_write(series: usize) -> Vec<u8> {
        let labels: Vec<Labels> = (0..series)
            .map(|i| {
                let instance = format!("10.0.{}.{}:9100", i / 250, i % 250);
                Labels::new([("__name__", "node_cpu_seconds_total"), ("instance", &*instance), ("job", "node")])
            })
            .collect();
        let samples: Vec<[Sample; 1]> =
            (0..series).map(|i| [Sample::new(Millis(1_700_000_000_000), i as f64 * 1.7)]).collect();
        encode::write_request(labels.iter().zip(&samples).map(|(labels, samples)| (labels, &samples[..])))
    }

    #[test]
    fn a_typical_body_weighs_no_more_than_the_room_held_for_it() {
        let limits = Limits { bytes: 1 << 30, count: 32, reading: 0, retry_after: Duration::ZERO };
        for (format, encoding, plain) in [
            (Format::OtlpMetrics, Encoding::Identity, otlp(2_000)),
            (Format::OtlpMetrics, Encoding::Gzip, otlp(2_000)),
            (Format::OtlpMetrics, Encoding::Zstd, otlp(2_000)),
            (Format::RemoteWrite1, Encoding::Snappy, remote_write(2_000)),
        ] {
            let body = encode::compress(&plain, encoding);
            let held = room_for(body.len(), encoding);
            let kind = Kind::Telemetry { source: SourceId([1; 16]), format, encoding, clock: Clock::Live };
            let payload = Payload { tenant: TenantId(0), kind, body: body.into() };
            let decoded = decode(payload, HashSeed(1));
            assert_eq!((decoded.events.points.len(), decoded.rejects.len()), (2_000, 0));
            let (inlet, _intake) = inlet(limits);
            let _pending = inlet.offer(decoded).expect("room");
            let weight = inlet.load().0;
            assert!((weight..4 * weight).contains(&held), "{format:?} {encoding:?}: {weight} of {held}");
        }
        assert_eq!(room_for(limits::BODY_SIZE, Encoding::Gzip), limits::BODY_SIZE + limits::PLAIN_SIZE);
    }
}
