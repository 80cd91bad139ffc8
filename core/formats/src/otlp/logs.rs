//! OTLP logs: who, when, how severe, of which kind, and which event.
//!
//! An event is a log record with a name (`event_name`); senders from before that field put it into the attribute `event.name`.
//!
//! Source: opentelemetry-proto `logs/v1/logs.proto`; OpenTelemetry, "Semantic conventions for events".
use super::{items, nanos};
use crate::any::{Any, Pair, utf8};
use crate::events::{Events, LogEvent, Text};
use crate::keys::Keys;
use crate::kinds;
use crate::limits;
use crate::reject::{Reason, Rejects};
use crate::sink::text_in;
use crate::wire::{Fields, Malformed};
use alloc::format;
use faultline_model::EventTime;

/// How an attribute `event.name` begins in every encoder's hands: its key comes first.
const EVENT_NAME: &[u8] = b"\x0a\x0aevent.name";

/// Walks an `ExportLogsServiceRequest`.
pub(crate) fn walk(plain: &[u8], keys: &Keys, events: &mut Events, rejects: &mut Rejects) -> Result<(), Malformed> {
    items(plain, keys, events, rejects, |message, resource, events, rejects| {
        let (mut time, mut observed, mut severity, mut kind, mut event) = (0, 0, 0, None, &[][..]);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => time = value.fixed64()?,
                2 => severity = value.varint()?,
                5 => {
                    let body = value.bytes().and_then(Any::read);
                    kind = body.ok().and_then(Any::text).map(|text| kinds::of(text, keys));
                }
                6 => {
                    let pair = value.bytes()?;
                    if pair.starts_with(EVENT_NAME) && event.is_empty() {
                        event = Pair::read(pair).ok().and_then(|pair| pair.value.text()).unwrap_or_default();
                    }
                }
                11 => observed = value.fixed64()?,
                12 => event = value.bytes()?,
                _ => {}
            }
        }
        let sent = if time == 0 { observed } else { time };
        let Some(time) = nanos(sent) else {
            rejects.add(Reason::TimeOutOfRange, 1, || format!("log record at {sent} ns"));
            return Ok(());
        };
        if events.logs.len() == limits::LOGS {
            rejects.add(Reason::TooManyLogs, 1, || format!("more than {} in one body", limits::LOGS));
            return Ok(());
        }
        let named = !event.is_empty() && event.len() <= limits::NAME_SIZE && utf8(event).is_ok();
        let event = if named { text_in(plain, event) } else { Text::default() };
        let severity = if severity <= 24 { severity as u8 } else { 0 };
        let (kind, line) = kind.map_or((0, 0), |it| (it.kind, it.line));
        events.logs.push(LogEvent { resource, time: EventTime(time), severity, kind, line, event });
        Ok(())
    })
}
