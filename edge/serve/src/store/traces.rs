//! Example traces: of each service the slowest request of each minute, and the slowest that failed.
//!
//! For people, who want to see one request of an incident; nothing is decided by it. Requests are told of by who served them, and apart from
//! that by who made them, which is all there is of a service that sends no spans.
use faultline_formats::{Events, SpanEvent, SpanKind, SpanStatus, Text};
use faultline_model::{EventTime, Millis};
use std::collections::{BTreeMap, VecDeque};

/// Services of which there are examples, those that callers tell of counted apart.
const SERVICES_MAX: usize = 2_048;
/// Minutes kept of each.
const MINUTES_MAX: usize = 120;
/// Characters kept of a span's name.
const NAME_MAX: usize = 200;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Example {
    pub trace: u128,
    pub span: u64,
    /// Of the span.
    pub name: Box<str>,
    /// Who made it, where that one told of it.
    pub seen_by: Option<Box<str>>,
    pub start: EventTime,
    pub took_ns: i64,
    pub failed: bool,
}

/// The examples of a minute.
#[derive(Default)]
struct Minute {
    /// Minutes since 1970.
    number: i64,
    slowest: Option<Example>,
    failed: Option<Example>,
}

/// A service, and whether it is told of by its callers.
type Key = (Box<str>, bool);

/// All of them.
#[derive(Default)]
pub(crate) struct Traces {
    by_service: BTreeMap<Key, VecDeque<Minute>>,
    /// Requests of services beyond the bound.
    passed: u64,
}

/// The slowest of some spans, and the slowest that failed.
#[derive(Clone, Copy, Default)]
struct Best<'a> {
    slowest: Option<&'a SpanEvent>,
    failed: Option<&'a SpanEvent>,
}

impl<'a> Best<'a> {
    fn take(&mut self, span: &'a SpanEvent) {
        let slower = |known: Option<&SpanEvent>| known.is_none_or(|known| took(known) < took(span));
        if slower(self.slowest) {
            self.slowest = Some(span);
        }
        if span.status == SpanStatus::Error && slower(self.failed) {
            self.failed = Some(span);
        }
    }
}

/// In ns; a clock may put the end before the start.
fn took(span: &SpanEvent) -> i64 {
    span.end.0.saturating_sub(span.start.0).max(0)
}

fn minute(at: EventTime) -> i64 {
    at.millis().0.div_euclid(60_000)
}

impl Traces {
    /// Takes in the spans of a body.
    ///
    /// - `plain`: the body that was decoded.
    pub fn add(&mut self, events: &Events, plain: &[u8]) {
        let text = |text: Text| String::from_utf8_lossy(&plain[text.start as usize..][..text.size as usize]);
        let mut served: BTreeMap<(u32, i64), Best<'_>> = BTreeMap::new();
        let mut made: BTreeMap<(&[u8], i64), Best<'_>> = BTreeMap::new();
        for span in &events.spans {
            match span.kind {
                SpanKind::Server | SpanKind::Consumer => {
                    served.entry((span.resource, minute(span.end))).or_default().take(span);
                }
                SpanKind::Client | SpanKind::Producer if span.peer.size > 0 => {
                    let peer = &plain[span.peer.start as usize..][..span.peer.size as usize];
                    made.entry((peer, minute(span.end))).or_default().take(span);
                }
                _ => {}
            }
        }
        let service = |resource: u32| events.resources.get(resource as usize).map(|it| text(it.service));
        for ((resource, minute), best) in served {
            if let Some(service) = service(resource).filter(|service| !service.is_empty()) {
                self.offer(&service, minute, best, &|span| example(span, &text(span.name), None));
            }
        }
        for ((peer, minute), best) in made {
            let seen_by = |span: &SpanEvent| service(span.resource).unwrap_or_default().into();
            let example = |span: &SpanEvent| example(span, &text(span.name), Some(seen_by(span)));
            self.offer(&String::from_utf8_lossy(peer), minute, best, &example);
        }
    }

    fn offer(&mut self, service: &str, minute: i64, best: Best<'_>, example: &dyn Fn(&SpanEvent) -> Example) {
        let called = best.slowest.is_some_and(|span| matches!(span.kind, SpanKind::Client | SpanKind::Producer));
        let key = (service.into(), called);
        if self.by_service.len() >= SERVICES_MAX && !self.by_service.contains_key(&key) {
            // Of services that are gone there is nothing left to show.
            let since = minute - MINUTES_MAX as i64;
            self.by_service.retain(|_, minutes| minutes.back().is_some_and(|newest| newest.number > since));
            if self.by_service.len() >= SERVICES_MAX {
                self.passed += 1;
                return;
            }
        }
        let minutes = self.by_service.entry(key).or_default();
        let mut place = minutes.partition_point(|known| known.number < minute);
        if minutes.get(place).is_none_or(|known| known.number != minute) {
            if minutes.len() == MINUTES_MAX {
                // Older than all that are kept.
                let Some(before) = place.checked_sub(1) else { return };
                minutes.pop_front();
                place = before;
            }
            minutes.insert(place, Minute { number: minute, ..Minute::default() });
        }
        let held = &mut minutes[place];
        for (slot, span) in [(&mut held.slowest, best.slowest), (&mut held.failed, best.failed)] {
            if let Some(span) = span.filter(|span| slot.as_ref().is_none_or(|known| known.took_ns < took(span))) {
                *slot = Some(example(span));
            }
        }
    }

    /// What there is of a service that began within a stretch, slowest first: by its own spans, then by its callers'.
    pub fn of(&self, service: &str, (from, to): (Millis, Millis), failed: bool) -> Vec<Example> {
        let mut all = Vec::new();
        for called in [false, true] {
            let minutes = self.by_service.get(&(service.into(), called)).into_iter().flatten();
            let examples = minutes.flat_map(|minute| if failed { &minute.failed } else { &minute.slowest });
            let within = |it: &&Example| (from..=to).contains(&it.start.millis());
            let mut found: Vec<Example> = examples.filter(within).cloned().collect();
            found.sort_by_key(|it| (core::cmp::Reverse(it.took_ns), it.trace, it.span));
            all.extend(found);
        }
        all
    }

    /// Requests that were passed over.
    pub fn passed(&self) -> u64 {
        self.passed
    }
}

fn example(span: &SpanEvent, name: &str, seen_by: Option<Box<str>>) -> Example {
    Example {
        trace: span.trace,
        span: span.id,
        name: name.chars().take(NAME_MAX).collect::<String>().into(),
        seen_by,
        start: span.start,
        took_ns: took(span),
        failed: span.status == SpanStatus::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_formats::{Resource, Sampling};

    /// A body of one caller's and one server's spans; name, kind, start in s, time in ms, whether it failed.
    fn body(spans: &[(&str, SpanKind, i64, i64, bool)]) -> (Events, Vec<u8>) {
        let (mut plain, mut events) = (Vec::new(), Events::default());
        let text = |plain: &mut Vec<u8>, it: &str| {
            plain.extend_from_slice(it.as_bytes());
            Text { start: (plain.len() - it.len()) as u32, size: it.len() as u32 }
        };
        for service in ["shop", "pay"] {
            events.resources.push(Resource { service: text(&mut plain, service), ..Resource::default() });
        }
        for (number, (name, kind, start, ms, failed)) in (1..).zip(spans) {
            let called = *kind == SpanKind::Client;
            let start = EventTime(start * 1_000_000_000);
            events.spans.push(SpanEvent {
                resource: u32::from(!called),
                trace: number,
                id: number as u64,
                parent: 0,
                start,
                end: EventTime(start.0 + ms * 1_000_000),
                kind: *kind,
                status: if *failed { SpanStatus::Error } else { SpanStatus::Unset },
                name: text(&mut plain, name),
                name_key: 0,
                peer: if called { text(&mut plain, "pay") } else { Text::default() },
                sampled: Sampling { threshold: 0, said: false, flag: true },
            });
        }
        (events, plain)
    }

    #[test]
    fn the_slowest_of_each_minute_is_kept() {
        let mut traces = Traces::default();
        let server = SpanKind::Server;
        let first = [("a", server, 60, 30, false), ("b", server, 61, 90, false), ("c", server, 62, 10, true)];
        let second =
            [("d", server, 70, 20, true), ("e", server, 130, 5, false), ("f", SpanKind::Client, 60, 400, false)];
        for spans in [&first[..], &second[..], &[("inner", SpanKind::Internal, 60, 9_000, true)]] {
            let (events, plain) = body(spans);
            traces.add(&events, &plain);
        }
        let named = |from: i64, to: i64, failed| -> Vec<String> {
            let found = traces.of("pay", (Millis(from * 1_000), Millis(to * 1_000)), failed);
            found.iter().map(|it| format!("{} {}", it.name, it.seen_by.as_deref().unwrap_or("itself"))).collect()
        };
        assert_eq!(named(0, 1_000, false), ["b itself", "e itself", "f shop"]);
        assert_eq!(named(0, 1_000, true), ["d itself"]);
        assert_eq!(named(100, 1_000, false), ["e itself"]);
        assert_eq!(traces.of("shop", (Millis(0), Millis(i64::MAX)), false), []);
    }

    #[test]
    fn services_and_minutes_are_bounded() {
        let mut traces = Traces::default();
        let add = |traces: &mut Traces, service: &str, minute: i64| {
            let (mut events, mut plain) = body(&[("a", SpanKind::Server, minute * 60, 1, false)]);
            events.resources[1].service = Text { start: plain.len() as u32, size: service.len() as u32 };
            plain.extend_from_slice(service.as_bytes());
            traces.add(&events, &plain);
        };
        (0..300).for_each(|minute| add(&mut traces, "pay", minute));
        let all = |traces: &Traces| traces.of("pay", (Millis(0), Millis(i64::MAX)), false).len();
        assert_eq!(all(&traces), MINUTES_MAX);
        add(&mut traces, "pay", 5);
        assert_eq!(all(&traces), MINUTES_MAX, "what is older than all is passed over");
        (0..SERVICES_MAX + 10).for_each(|number| add(&mut traces, &number.to_string(), 299));
        assert_eq!((traces.by_service.len(), traces.passed()), (SERVICES_MAX, 11));
        // Those that are gone make room.
        add(&mut traces, "new", 299 + MINUTES_MAX as i64);
        assert_eq!((traces.by_service.len(), traces.passed()), (1, 11));
    }
}
