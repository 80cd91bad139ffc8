//! OTLP logs: who, when, how severe, and of which kind.
//!
//! Source: opentelemetry-proto `logs/v1/logs.proto`.
use super::{items, nanos};
use crate::any::Any;
use crate::events::{Events, LogEvent};
use crate::keys::Keys;
use crate::kinds;
use crate::limits;
use crate::reject::{Reason, Rejects};
use crate::wire::{Fields, Malformed};
use alloc::format;
use faultline_model::EventTime;

/// Walks an `ExportLogsServiceRequest`.
pub(crate) fn walk(plain: &[u8], keys: &Keys, events: &mut Events, rejects: &mut Rejects) -> Result<(), Malformed> {
    items(plain, keys, events, rejects, |message, resource, events, rejects| {
        let (mut time, mut observed, mut severity, mut kind) = (0, 0, 0, 0);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => time = value.fixed64()?,
                2 => severity = value.varint()?,
                5 => {
                    let body = value.bytes().and_then(Any::read);
                    kind = body.ok().and_then(Any::text).map_or(0, |text| kinds::of(text, keys));
                }
                11 => observed = value.fixed64()?,
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
        let severity = if severity <= 24 { severity as u8 } else { 0 };
        events.logs.push(LogEvent { resource, time: EventTime(time), severity, kind });
        Ok(())
    })
}
