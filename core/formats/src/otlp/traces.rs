//! OTLP traces: spans with what the service graph and RED metrics need of them.
//!
//! Source: opentelemetry-proto `trace/v1/trace.proto`.
use super::{items, nanos, quoted};
use crate::any::{self, Pair};
use crate::events::{Events, Sampling, SpanEvent, SpanKind, SpanStatus, Text};
use crate::keys::Keys;
use crate::limits;
use crate::reject::{Reason, Rejects};
use crate::sink::text_in;
use crate::wire::{Fields, Malformed};
use faultline_model::EventTime;

/// Attributes that name whom a span calls, the first that is there wins: the servicegraph connector's default
/// `virtual_node_peer_attributes` (`peer.service`, `db.name`, `db.system`) with their newer names, then what tells most
/// about queues and remote procedures, and the bare address last.
pub const PEER_ATTRIBUTES: [&str; 8] = [
    "peer.service",
    "db.name",
    "db.namespace",
    "db.system",
    "db.system.name",
    "messaging.destination.name",
    "rpc.service",
    "server.address",
];

const SAMPLED: u32 = 1;

/// Walks an `ExportTraceServiceRequest`.
pub(crate) fn walk(plain: &[u8], keys: &Keys, events: &mut Events, rejects: &mut Rejects) -> Result<(), Malformed> {
    items(plain, keys, events, rejects, |message, resource, events, rejects| {
        let raw = Raw::read(message)?;
        match raw.event(plain, keys, resource) {
            Err(reason) => rejects.add(reason, 1, || quoted("span", raw.name)),
            Ok(_) if events.spans.len() == limits::SPANS => {
                rejects.add(Reason::TooManySpans, 1, || quoted("span", raw.name));
            }
            Ok(span) => events.spans.push(span),
        }
        Ok(())
    })
}

/// A `Span` as it stands on the wire.
#[derive(Default)]
struct Raw<'a> {
    trace: &'a [u8],
    id: &'a [u8],
    parent: &'a [u8],
    state: &'a [u8],
    name: &'a [u8],
    kind: u64,
    start: u64,
    end: u64,
    status: u64,
    flags: u32,
    /// Value and rank in [`PEER_ATTRIBUTES`] of the best peer so far.
    peer: Option<(usize, &'a [u8])>,
}

impl<'a> Raw<'a> {
    fn read(message: &'a [u8]) -> Result<Raw<'a>, Malformed> {
        let mut raw = Raw::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => raw.trace = value.bytes()?,
                2 => raw.id = value.bytes()?,
                3 => raw.state = value.bytes()?,
                4 => raw.parent = value.bytes()?,
                5 => raw.name = value.bytes()?,
                6 => raw.kind = value.varint()?,
                7 => raw.start = value.fixed64()?,
                8 => raw.end = value.fixed64()?,
                9 => raw.note_peer(Pair::read(value.bytes()?)?),
                15 => raw.status = status(value.bytes()?)?,
                16 => raw.flags = value.fixed32()?,
                _ => {}
            }
        }
        Ok(raw)
    }

    #[inline(always)]
    fn note_peer(&mut self, pair: Pair<'a>) {
        // Most attributes are none of these; their first letters say so.
        if !matches!(pair.key.first(), Some(b'p' | b'd' | b'm' | b'r' | b's')) {
            return;
        }
        let Some(rank) = PEER_ATTRIBUTES.iter().position(|name| name.as_bytes() == pair.key) else {
            return;
        };
        match pair.value.text() {
            Some(text) if !text.is_empty() && self.peer.is_none_or(|(best, _)| rank < best) => {
                self.peer = Some((rank, text));
            }
            _ => {}
        }
    }

    fn event(&self, plain: &[u8], keys: &Keys, resource: u32) -> Result<SpanEvent, Reason> {
        let peer = self.peer.map_or(&[][..], |(_, text)| text);
        let parent = if self.parent.is_empty() { Some(0) } else { number(self.parent).map(u64::from_be_bytes) };
        let (trace, id) =
            (number(self.trace).map_or(0, u128::from_be_bytes), number(self.id).map_or(0, u64::from_be_bytes));
        let (true, true, Some(parent)) = (trace != 0, id != 0, parent) else {
            return Err(Reason::BadId);
        };
        if self.name.len().max(peer.len()) > limits::VALUE_SIZE {
            return Err(Reason::LabelTooLong);
        }
        if any::utf8(self.name).and_then(|()| any::utf8(peer)).is_err() {
            return Err(Reason::BadUtf8);
        }
        let (Some(start), Some(end)) = (nanos(self.start), nanos(self.end)) else {
            return Err(Reason::TimeOutOfRange);
        };
        Ok(SpanEvent {
            resource,
            trace,
            id,
            parent,
            start: EventTime(start),
            end: EventTime(end),
            kind: match self.kind {
                1 => SpanKind::Internal,
                2 => SpanKind::Server,
                3 => SpanKind::Client,
                4 => SpanKind::Producer,
                5 => SpanKind::Consumer,
                _ => SpanKind::Unspecified,
            },
            status: match self.status {
                1 => SpanStatus::Ok,
                2 => SpanStatus::Error,
                _ => SpanStatus::Unset,
            },
            name: text_in(plain, self.name),
            name_key: keys.short(self.name),
            peer: if peer.is_empty() { Text::default() } else { text_in(plain, peer) },
            sampled: sampling(self.state, self.flags),
        })
    }
}

fn number<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn status(message: &[u8]) -> Result<u64, Malformed> {
    let (mut fields, mut code) = (Fields::new(message), 0);
    while let Some((number, value)) = fields.next()? {
        if number == 3 {
            code = value.varint()?;
        }
    }
    Ok(code)
}

/// The threshold in `tracestate`'s member `ot`, such as `vendor=x,ot=th:c;rv:1234`. What cannot be read counts as unsaid.
fn sampling(state: &[u8], flags: u32) -> Sampling {
    let said = threshold(state);
    Sampling { threshold: said.unwrap_or(0), said: said.is_some(), flag: flags & SAMPLED != 0 }
}

fn threshold(state: &[u8]) -> Option<u64> {
    let members = core::str::from_utf8(state).ok()?.split(',');
    let ot = members.map(str::trim).find_map(|member| member.strip_prefix("ot="))?;
    let digits = ot.split(';').find_map(|pair| pair.strip_prefix("th:"))?;
    // 1 to 14 hexadecimal digits; trailing zeros may be left out.
    if !(1..=14).contains(&digits.len()) || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    Some(u64::from_str_radix(digits, 16).ok()? << (4 * (14 - digits.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_become_weights() {
        // Weights from OpenTelemetry's "Probability Sampling": th:8 is one in two, th:c one in four, th:0 all.
        for (state, said, weight) in [
            ("", false, 1.0),
            ("ot=th:0", true, 1.0),
            ("ot=th:8", true, 2.0),
            ("vendor=1, ot=rv:6e6d1a75832a2f;th:c,x=y", true, 4.0),
            ("ot=th:fd70a3d70a3d71", true, 100.0),
            ("ot=th:ffffffffffffff", true, 72057594037927936.0),
            ("ot=th:", false, 1.0),
            ("ot=th:XYZ", false, 1.0),
            ("ot=th:C", false, 1.0),
            ("ot=th:fffffffffffffff", false, 1.0),
            ("other=th:8", false, 1.0),
        ] {
            let sampled = sampling(state.as_bytes(), 0x301);
            assert_eq!((sampled.said, sampled.flag), (said, true), "{state}");
            let error = faultline_model::float::abs(sampled.weight() - weight) / weight;
            assert!(error < 1e-12, "{state}: {}", sampled.weight());
        }
        assert!(!sampling(b"", 0x300).flag);
    }
}
