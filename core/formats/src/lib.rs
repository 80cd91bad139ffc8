//! Foreign bytes to model and back: OTLP, remote write, Alertmanager.
//!
//! [`decode`] inflates a body under a limit, walks its protobuf in place and gives back points with their series' keys, log
//! records and spans, and what it refused. It is total and a pure function of the payload and the journal's seed, so a
//! replay decodes the same bytes to the same events. What is taken, and how it is named: `docs/formats/telemetry.md`.
//!
//! A body is well formed or it is not: of one that is not, nothing is taken. Of one that is, each item stands alone.
#![no_std]
extern crate alloc;

mod any;
mod attributes;
mod budget;
pub mod encode;
mod events;
mod exemplar;
mod gofloat;
mod inflate;
mod keys;
mod kinds;
pub mod limits;
mod metadata;
pub mod naming;
mod native;
mod otlp;
mod reject;
mod remote_write;
mod sink;
mod wire;

pub use events::{
    Decoded, Events, LogEvent, NativePoint, Point, PointFlags, Record, Resource, Sampling, SpanEvent, SpanKind,
    SpanStatus, Text,
};
pub use exemplar::{Exemplar, ExemplarPoint};
pub use inflate::inflate;
pub use metadata::{Metadata, MetricType, Told, series_suffixes};
pub use otlp::traces::PEER_ATTRIBUTES;
pub use reject::{Reason, Reject, Scope, summary};

use alloc::vec::Vec;
use bytes::Bytes;
use faultline_model::{BodyDigest, Format, HashSeed, Kind, Labels, Payload};
use keys::Keys;
use reject::Rejects;
use sink::{Collect, Name, Of};

/// Decodes a payload. Total: what cannot be taken is in `rejects`, and control records, replies and ticks have no events.
pub fn decode(payload: Payload, seed: HashSeed) -> Decoded {
    let digest = BodyDigest::of(&payload.body, seed);
    let (plain, events, rejects) = match payload.kind {
        Kind::Telemetry { format, encoding, .. } => match inflate(&payload.body, encoding) {
            Ok(plain) => match in_protobuf(&plain, format) {
                None => {
                    let (events, rejects) = read(&plain, format, seed);
                    (plain, events, rejects)
                }
                Some(Ok(plain)) => {
                    let (events, rejects) = read(&plain, format, seed);
                    (plain.into(), events, rejects)
                }
                Some(Err(fault)) => (Bytes::new(), Events::default(), reject::not_json(fault)),
            },
            Err((reason, detail)) => (Bytes::new(), Events::default(), reject::whole(reason, detail)),
        },
        Kind::Control(_) | Kind::Reply(_) | Kind::Tick => (payload.body.clone(), Events::default(), Vec::new()),
    };
    Decoded { payload, digest, plain, events, rejects }
}

/// What an inflated body of JSON says, in protobuf; nothing of any other.
fn in_protobuf(plain: &[u8], format: Format) -> Option<Result<Vec<u8>, wire::Malformed>> {
    match format {
        Format::OtlpMetricsJson => Some(otlp::json::metrics(plain)),
        Format::OtlpLogsJson => Some(otlp::json::logs(plain)),
        Format::OtlpTracesJson => Some(otlp::json::traces(plain)),
        Format::OtlpMetrics | Format::OtlpLogs | Format::OtlpTraces | Format::RemoteWrite1 | Format::RemoteWrite2 => {
            None
        }
    }
}

/// The events of an inflated body.
fn read(plain: &[u8], format: Format, seed: HashSeed) -> (Events, Vec<Reject>) {
    let mut rejects = Rejects::default();
    let (result, events) = match format {
        Format::OtlpMetrics | Format::OtlpMetricsJson | Format::RemoteWrite1 | Format::RemoteWrite2 => {
            let mut collect = Collect::new(plain, seed);
            let result = match format {
                Format::RemoteWrite1 => remote_write::walk(plain, &mut collect, &mut rejects),
                Format::RemoteWrite2 => remote_write::v2::walk(plain, &mut collect, &mut rejects),
                _ => otlp::metrics::walk(plain, &mut collect, &mut rejects),
            };
            (result, collect.events)
        }
        Format::OtlpLogs | Format::OtlpLogsJson => {
            let mut events = Events::default();
            (otlp::logs::walk(plain, &Keys::new(seed), &mut events, &mut rejects), events)
        }
        Format::OtlpTraces | Format::OtlpTracesJson => {
            let mut events = Events::default();
            (otlp::traces::walk(plain, &Keys::new(seed), &mut events, &mut rejects), events)
        }
    };
    match result {
        Ok(()) => (events, rejects.into_list()),
        Err(fault) => (Events::default(), reject::malformed(fault)),
    }
}

/// Label sets of the points at `places`, by walking the inflated body once more.
///
/// - `places`: of points and histograms, strictly rising.
/// - Returns as many label sets, in the same order.
///
/// Panics where `places` does not rise or names a point that is not there.
pub fn label_sets(decoded: &Decoded, places: &[u32]) -> Vec<Labels> {
    named(decoded, Of::Points, places)
}

/// Label sets of the series of some exemplars, in the same way.
///
/// - `indices`: into [`Events::exemplars`], strictly rising.
pub fn exemplar_series(decoded: &Decoded, indices: &[u32]) -> Vec<Labels> {
    named(decoded, Of::Exemplars, indices)
}

fn named(decoded: &Decoded, of: Of, places: &[u32]) -> Vec<Labels> {
    if places.is_empty() {
        return Vec::new();
    }
    let (mut name, mut rejects) = (Name::new(of, places), Rejects::default());
    let walked = match decoded.payload.kind {
        Kind::Telemetry { format: Format::OtlpMetrics | Format::OtlpMetricsJson, .. } => {
            otlp::metrics::walk(&decoded.plain, &mut name, &mut rejects)
        }
        Kind::Telemetry { format: Format::RemoteWrite1, .. } => {
            remote_write::walk(&decoded.plain, &mut name, &mut rejects)
        }
        Kind::Telemetry { format: Format::RemoteWrite2, .. } => {
            remote_write::v2::walk(&decoded.plain, &mut name, &mut rejects)
        }
        _ => Ok(()),
    };
    assert!(walked.is_ok() && name.out.len() == places.len(), "places {places:?} are not those of the decoded points");
    name.out
}
