//! OTLP: metrics, logs and traces, in protobuf; in JSON, rewritten as such.
//!
//! Source: opentelemetry-proto v1 (`collector/*/v1`, `metrics/v1`, `logs/v1`, `trace/v1`). The three requests have one
//! shape: request -> resource (1) -> scope (2) -> item (2); a resource's own message is field 1.
pub(crate) mod exponential;
pub(crate) mod json;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod resource;
pub(crate) mod traces;

use crate::any::Fault;
use crate::events::Events;
use crate::keys::Keys;
use crate::limits;
use crate::reject::{Reason, Rejects, printable};
use crate::wire::{Fields, Malformed};
use alloc::format;
use resource::Origin;

/// Calls `visit` with every message in field `number`.
#[inline(always)]
fn messages<'a>(
    bytes: &'a [u8],
    number: u32,
    mut visit: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(bytes);
    while let Some((found, value)) = fields.next()? {
        if found == number {
            visit(value.bytes()?)?;
        }
    }
    Ok(())
}

/// The resource's message, wherever it stands; empty where there is none.
///
/// Fails where it stands twice: protobuf would merge the two, and nobody sends that.
fn resource_of(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (mut fields, mut resource) = (Fields::new(bytes), None);
    while let Some((number, value)) = fields.next()? {
        if number == 1 && resource.replace(value.bytes()?).is_some() {
            return Err(Malformed { what: "a resource is given twice", left: fields.left().len() });
        }
    }
    Ok(resource.unwrap_or_default())
}

/// Whether a time in milliseconds is one that is taken.
#[inline(always)]
pub(crate) fn time_works(ms: i64) -> bool {
    (limits::TIME_MIN..limits::TIME_END).contains(&ms)
}

/// Nanoseconds as sent, where they are a time that is taken.
#[inline(always)]
pub(crate) fn nanos(time: u64) -> Option<i64> {
    let time = i64::try_from(time).ok()?;
    time_works(time / 1_000_000).then_some(time)
}

/// Walks logs or traces: one pass over resources, handing each item to `item` with its resource's index.
fn items<'a>(
    plain: &'a [u8],
    keys: &Keys,
    events: &mut Events,
    rejects: &mut Rejects,
    mut item: impl FnMut(&'a [u8], u32, &mut Events, &mut Rejects) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    messages(plain, 1, |message| {
        let bytes = resource_of(message)?;
        let (origin, fault) = Origin::read(bytes)?;
        let index = events.resources.len() as u32;
        let fault = fault.or((events.resources.len() == limits::RESOURCES).then_some(Reason::TooManyResources));
        if fault.is_none() {
            events.resources.push(origin.resource(plain, keys));
        }
        messages(message, 2, |scope| {
            messages(scope, 2, |bytes| match fault {
                None => item(bytes, index, events, rejects),
                Some(reason) => {
                    rejects.add(reason, 1, || format!("resource of service {}", origin.printable()));
                    Ok(())
                }
            })
        })
    })
}

/// A fault in text that concerns one item alone, or the whole body.
fn fault_reason(fault: Fault) -> Result<Reason, Malformed> {
    match fault {
        Fault::Malformed(malformed) => Err(malformed),
        Fault::TooDeep => Ok(Reason::TooDeep),
        Fault::BadUtf8 => Ok(Reason::BadUtf8),
    }
}

/// `name` in quotes, fit for a reject's detail.
fn quoted(what: &str, name: &[u8]) -> alloc::string::String {
    format!("{what} \"{}\"", printable(name))
}
