//! The shape of Nezha: days with a list of injected faults, minutes of spans around each, and a normal minute.
//!
//! Spans have neither kind nor status: one whose parent is of another service serves, that parent calls, a root serves. What was
//! usual is the normal minute and the day's other recorded minutes, nearest first, laid one after another before the incident; most of
//! those are of other faults, as on a bad day. No objective is named: the service that most traces begin at is paged for at a given instant.
//! Source: Yu et al., "Nezha", ESEC/FSE 2023.
use super::names::Names;
use super::nezha_metrics::{Day, Sent as Samples};
use super::recording::{Body, PAGED, Recording, paged};
use super::table;
use crate::packed;
use faultline_formats::encode as otlp;
use faultline_formats::{SpanKind, SpanStatus};
use faultline_model::{EventTime, Millis, RuleFile};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Recorded minutes that are laid before an incident, at most.
const MINUTES: usize = 15;
/// How far from an incident they are at least, in ms: faults come again soon after, on the same service.
const FAR: i64 = 30 * 60_000;
/// How long an incident lasts of which there are no spans, in ms.
const LASTS: i64 = 4 * 60_000;
/// When somebody is paged, in ms before the last span: two minutes where so much was recorded, else half a minute.
const NOTICED: [i64; 2] = [121_000, 31_000];

/// A span as it was recorded.
#[derive(Clone, Debug)]
struct Span {
    trace: u128,
    id: u64,
    parent: u64,
    service: String,
    name: String,
    kind: SpanKind,
    start: i64,
    end: i64,
}

/// A log record as it was written.
#[derive(Clone, Debug)]
struct Log {
    service: String,
    at: i64,
    text: String,
}

/// What was recorded of a minute.
#[derive(Clone, Debug, Default)]
struct Minute {
    spans: Vec<Span>,
    logs: Vec<Log>,
}

impl Minute {
    /// Reads both tables of a minute; a day may have no logs.
    fn read(traces: &Path, logs: Option<&PathBuf>) -> Result<Minute, Box<dyn Error>> {
        let logs = logs.map(|path| self::logs(&packed::text(path)?)).transpose()?.unwrap_or_default();
        Ok(Minute { spans: spans(&packed::text(traces)?)?, logs })
    }

    /// When its first span ended, in ns.
    fn begins(&self) -> i64 {
        self.spans.iter().map(|span| span.end).min().unwrap_or(0)
    }
}

/// Every fault of every day of which spans were recorded.
pub fn incidents(data: &Path, names: &mut Names) -> Result<Vec<Recording>, Box<dyn Error>> {
    let mut recordings = Vec::new();
    for day in super::folders(data)?.into_iter().filter(|day| day.join("fault_list.json").is_file()) {
        let logs = files(&day.join("log"), "_log.csv")?;
        let metrics = Day::read(&day.join("metric"))?;
        let mut minutes: BTreeMap<String, Minute> = BTreeMap::new();
        for (minute, path) in &files(&day.join("trace"), "_trace.csv")? {
            minutes.insert(minute.clone(), Minute::read(path, logs.get(minute))?);
        }
        let mut normal = day.join("normal");
        if !normal.is_dir() {
            normal = data.join("normal");
        }
        let logs = files(&normal.join("log"), "_log.csv")?;
        let mut usual = Vec::new();
        for (minute, path) in &files(&normal.join("trace"), "_trace.csv")? {
            usual.push(Minute::read(path, logs.get(minute))?);
        }
        let faults: Value = serde_json::from_str(&packed::text(&day.join("fault_list.json"))?)?;
        for fault in faults.as_array().ok_or("a list of faults that is none")? {
            let text = |key: &str| fault[key].as_str().map(str::to_string);
            let (Some(at), Some(pod)) = (text("inject_time"), text("inject_pod")) else { continue };
            let own: BTreeSet<String> = (0..4).filter_map(|after| minute(&at, after)).collect();
            let live: Vec<&Minute> = own.iter().filter_map(|minute| minutes.get(minute)).collect();
            let near = own.first().and_then(|minute| clock(minute)).unwrap_or(0);
            let apart = |minute: &String| (clock(minute).unwrap_or(0) - near).abs();
            let far = |minute: &&String| !own.contains(*minute) && apart(minute) * 60_000 >= FAR;
            let mut others: Vec<&String> = minutes.keys().filter(far).collect();
            others.sort_by_key(|minute| (apart(minute), (*minute).clone()));
            others.truncate(MINUTES.saturating_sub(usual.len()));
            others.sort();
            let before: Vec<&Minute> = usual.iter().chain(others.into_iter().map(|minute| &minutes[minute])).collect();
            let mut recording = match (live.is_empty(), instant(&at)) {
                (false, _) => record(at, &before, &live, &metrics, names)?,
                (true, Some(begins)) => untraced(at, begins, &metrics, names),
                (true, None) => continue,
            };
            recording.truth = Some(service(&pod).to_string());
            recording.group = text("inject_type").unwrap_or_default();
            recordings.push(recording);
        }
    }
    Ok(recordings)
}

/// Files of one kind, by their minute, `HH_MM`.
fn files(folder: &Path, kind: &str) -> Result<BTreeMap<String, PathBuf>, Box<dyn Error>> {
    let mut files = BTreeMap::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if let Some((minute, _)) = super::name(&path).split_once(kind) {
                files.insert(minute.to_string(), path);
            }
        }
    }
    Ok(files)
}

/// Log records of a table: TimeUnixNano, PodName, Log; a log in a container's wrapping is taken out of it.
fn logs(text: &str) -> Result<Vec<Log>, Box<dyn Error>> {
    let rows = table::rows(text)?;
    let Some((head, rows)) = rows.split_first() else { return Ok(Vec::new()) };
    let column = |name: &str| head.iter().position(|it| it == name).ok_or_else(|| format!("no column {name}"));
    let (at, pod, log) = (column("TimeUnixNano")?, column("PodName")?, column("Log")?);
    let read = |row: &Vec<String>| {
        let text = row.get(log)?;
        let wrapped: Option<Value> = serde_json::from_str(text).ok();
        let inner = wrapped.as_ref().and_then(|value| value["log"].as_str()).unwrap_or(text);
        Some(Log {
            service: service(row.get(pod)?).to_string(),
            at: row.get(at)?.parse().ok()?,
            text: inner.to_string(),
        })
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// OTLP's number of the first level that a text names among its first words; 0 where it names none.
fn severity(text: &str) -> u8 {
    const LEVELS: [(&str, u8); 6] =
        [("TRACE", 1), ("DEBUG", 5), ("INFO", 9), ("WARN", 13), ("ERROR", 17), ("FATAL", 21)];
    let words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()).take(12);
    let level =
        |word: &str| LEVELS.iter().find(|(level, _)| word.eq_ignore_ascii_case(level)).map(|(_, number)| *number);
    words.filter_map(level).next().unwrap_or(0)
}

/// The minute so many after that of `2022-08-22 03:53:54`, as `HH_MM`.
fn minute(at: &str, after: i64) -> Option<String> {
    let (_, time) = at.split_once(' ')?;
    let all = clock(&time.get(..5)?.replace(':', "_"))? + after;
    Some(format!("{:02}_{:02}", all / 60 % 24, all % 60))
}

/// Minutes since midnight of `HH_MM` at the end of a text.
fn clock(minute: &str) -> Option<i64> {
    let (hours, minutes) = minute.rsplit_once('_')?;
    Some(hours.get(hours.len().checked_sub(2)?..)?.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
}

/// The service of a pod: its name without the last two parts.
pub(super) fn service(pod: &str) -> &str {
    let mut parts = pod.rsplitn(3, '-');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(_), Some(service)) => service,
        _ => pod,
    }
}

/// Spans of a table: TraceID, SpanID, ParentID, PodName, OperationName, StartTimeUnixNano, EndTimeUnixNano.
fn spans(text: &str) -> Result<Vec<Span>, Box<dyn Error>> {
    let rows = table::rows(text)?;
    let (head, rows) = rows.split_first().ok_or("a table of spans without its heading")?;
    let column = |name: &str| head.iter().position(|it| it == name).ok_or_else(|| format!("no column {name}"));
    let [trace, id, parent, pod, name] = ["TraceID", "SpanID", "ParentID", "PodName", "OperationName"].map(column);
    let (trace, id, parent, pod, name) = (trace?, id?, parent?, pod?, name?);
    let (start, end) = (column("StartTimeUnixNano")?, column("EndTimeUnixNano")?);
    let read = |row: &Vec<String>| {
        Some(Span {
            trace: u128::from_str_radix(row.get(trace)?, 16).ok()?,
            id: u64::from_str_radix(row.get(id)?, 16).ok()?,
            parent: u64::from_str_radix(row.get(parent)?, 16).unwrap_or(0),
            service: service(row.get(pod)?).to_string(),
            name: row.get(name)?.clone(),
            kind: SpanKind::Internal,
            start: row.get(start)?.parse().ok()?,
            end: row.get(end)?.parse().ok()?,
        })
    };
    let mut spans: Vec<Span> = rows.iter().filter_map(read).collect();
    let places: BTreeMap<(u128, u64), usize> =
        spans.iter().enumerate().map(|(place, span)| ((span.trace, span.id), place)).collect();
    for at in 0..spans.len() {
        match places.get(&(spans[at].trace, spans[at].parent)) {
            Some(&parent) if spans[parent].service != spans[at].service => {
                spans[at].kind = SpanKind::Server;
                if spans[parent].kind == SpanKind::Internal {
                    spans[parent].kind = SpanKind::Client;
                }
            }
            None if spans[at].parent == 0 => spans[at].kind = SpanKind::Server,
            _ => {}
        }
    }
    Ok(spans)
}

/// What a service sends in a second.
type Sent = (Vec<otlp::Span>, Vec<otlp::Log>);

/// The minutes before, one after another, and then the incident's as they were recorded.
fn record(
    case: String,
    before: &[&Minute],
    live: &[&Minute],
    metrics: &Day,
    names: &mut Names,
) -> Result<Recording, Box<dyn Error>> {
    const SECOND: i64 = 1_000_000_000;
    const MINUTE: i64 = 60 * SECOND;
    let begins = live.iter().map(|minute| minute.begins()).min().ok_or("no spans")?;
    let last = live.iter().flat_map(|minute| &minute.spans).map(|span| span.end).max().ok_or("no spans")?;
    let mut roots: BTreeMap<&str, usize> = BTreeMap::new();
    for span in live.iter().flat_map(|minute| &minute.spans).filter(|span| span.parent == 0) {
        *roots.entry(&span.service).or_default() += 1;
    }
    let (entry, _) = roots.iter().max_by_key(|(_, count)| **count).ok_or("no trace has a root")?;
    let entry = names.give(entry);
    // By the second in which they arrive, then by service: in an order that new names do not change.
    let mut seconds: BTreeMap<i64, BTreeMap<&str, Sent>> = BTreeMap::new();
    let count = before.len() as i64;
    let shift = |(at, minute): (usize, &&Minute)| begins - (count - at as i64) * MINUTE - minute.begins();
    let shifted = before.iter().enumerate().map(|place| (place.1, shift(place)));
    for (copy, (minute, shift)) in shifted.chain(live.iter().map(|minute| (minute, 0))).enumerate() {
        for log in &minute.logs {
            let at = log.at + shift;
            if (shift != 0 && at >= begins) || at > last {
                continue;
            }
            let (time, severity) = (EventTime(at), severity(&log.text));
            let sent = otlp::Log {
                time,
                observed: time,
                severity,
                body: log.text.clone(),
                attributes: Vec::new(),
                event: String::new(),
            };
            seconds.entry(at / SECOND + 1).or_default().entry(&log.service).or_default().1.push(sent);
        }
        for span in &minute.spans {
            let end = span.end + shift;
            if shift != 0 && end >= begins {
                continue;
            }
            let sent = otlp::Span {
                // A minute that is laid elsewhere holds other traces.
                trace: span.trace ^ ((copy as u128) << 120),
                id: span.id,
                parent: span.parent,
                state: String::new(),
                flags: 1,
                name: names.give(&span.name),
                kind: span.kind,
                start: EventTime(span.start + shift),
                end: EventTime(end),
                status: SpanStatus::Unset,
                attributes: Vec::new(),
            };
            seconds.entry(end / SECOND + 1).or_default().entry(&span.service).or_default().0.push(sent);
        }
    }
    let live = Millis((begins / SECOND) * 1000);
    let sent = seconds.into_iter().flat_map(|(second, services)| {
        let (mut spans, mut logs) = (Vec::new(), Vec::new());
        for (name, (of_spans, of_logs)) in services {
            let resource = vec![("service.name".to_string(), otlp::Value::from(&*names.give(name)))];
            spans.push(otlp::ResourceSpans { resource: resource.clone(), spans: of_spans });
            logs.push(otlp::ResourceLogs { resource, logs: of_logs });
        }
        spans.retain(|it| !it.spans.is_empty());
        logs.retain(|it| !it.logs.is_empty());
        let at = Millis(second * 1000);
        [(at, Body::Spans(spans)), (at, Body::Logs(logs))]
    });
    let recorded = (last - begins) / 1_000_000;
    let paged_before = if recorded >= NOTICED[0] { NOTICED[0] } else { NOTICED[1] };
    let last = Millis((last / SECOND + 1) * 1000);
    let mut sent: Vec<(Millis, Body)> = sent.collect();
    sent.extend(bodies(metrics.sent((live, last), FAR, false, names)));
    sent.sort_by_key(|(at, _)| *at);
    let rules = vec![paged(last.plus(-paged_before), Some(&entry))];
    Ok(told(case, rules, live, sent, last))
}

/// An incident of which there are metrics only: an estate without traces.
fn untraced(case: String, begins: Millis, metrics: &Day, names: &mut Names) -> Recording {
    let last = begins.plus(LASTS);
    let entry = metrics.entry().map(|entry| names.give(entry));
    let sent = bodies(metrics.sent((begins, last), FAR, true, names)).collect();
    let rules = vec![paged(last.plus(-NOTICED[0]), entry.as_deref())];
    told(case, rules, begins, sent, last)
}

fn bodies(sent: Vec<Samples>) -> impl Iterator<Item = (Millis, Body)> {
    sent.into_iter().map(|(at, samples)| (at, Body::Metrics(samples)))
}

fn told(case: String, rules: Vec<RuleFile>, live: Millis, sent: Vec<(Millis, Body)>, end: Millis) -> Recording {
    let (group, settings) = (String::new(), Vec::new());
    Recording { case, group, truth: None, rules, alerts: vec![PAGED.into()], settings, live, sent, end }
}

/// An instant as the list of faults has it, `2022-08-22 03:53:54`, UTC.
pub(super) fn instant(at: &str) -> Option<Millis> {
    let (date, time) = at.split_once(' ')?;
    Millis::parse(&format!("{date}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_and_minutes_are_read_by_their_shape() {
        for (pod, expected) in [("a-b-5f6585d649-fnmft", "a-b"), ("web-1-2", "web"), ("alone", "alone")] {
            assert_eq!(service(pod), expected);
        }
        assert_eq!(minute("2022-08-22 03:59:54", 1).as_deref(), Some("04_00"));
        assert_eq!(minute("2022-08-22 23:59:54", 2).as_deref(), Some("00_01"));
        assert_eq!((clock("2022-08-23_17_00"), clock("17_01"), clock("x")), (Some(1020), Some(1021), None));
    }

    #[test]
    fn kinds_follow_from_who_calls_whom() {
        for (text, expected) in [("16:42:22 INFO t.s.X#5 error", 9), ("warn: slow", 13), ("nothing said", 0)] {
            assert_eq!(severity(text), expected, "{text}");
        }
        let text = "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n\
                    1,a,root,web-1-2,get,0,9,9\n1,b,a,web-1-2,call,1,8,7\n1,c,b,cart-1-2,serve,2,7,5\n1,d,c,cart-1-2,read,3,4,1\n";
        let kinds: Vec<SpanKind> = spans(text).expect("a table").iter().map(|span| span.kind).collect();
        assert_eq!(kinds, [SpanKind::Server, SpanKind::Client, SpanKind::Server, SpanKind::Internal]);
    }
}
