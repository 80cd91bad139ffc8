//! What two servers say of their alerts, compared: the same label sets, the same stretches of firing, at the same times.
use crate::real_tools::get;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One stretch in which an alert was firing, as one saw it from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// When its expression began to hold, as the server says, in ms since 1970.
    pub active_at: i64,
    /// When it was seen to fire and to be over.
    pub fired: Instant,
    pub over: Option<Instant>,
}

/// Labels as one text: name="value", by name.
type Labels = String;

/// What was seen of one server's `/api/v1/alerts`.
#[derive(Debug, Default)]
pub struct Seen {
    alerts: BTreeMap<Labels, Vec<Occurrence>>,
}

impl Seen {
    /// Looks once.
    pub fn look(&mut self, server: &str) {
        let answer = get(server, "/api/v1/alerts");
        let now = Instant::now();
        let mut firing = BTreeSet::new();
        for alert in answer["data"]["alerts"].as_array().expect("a list") {
            if alert["state"] != "firing" {
                continue;
            }
            let labels = shown(&alert["labels"]);
            let active_at = millis(alert["activeAt"].as_str().expect("a time"));
            let seen = self.alerts.entry(labels.clone()).or_default();
            match seen.last_mut().filter(|last| last.over.is_none()) {
                Some(_) => {}
                None => seen.push(Occurrence { active_at, fired: now, over: None }),
            }
            firing.insert(labels);
        }
        for (labels, seen) in &mut self.alerts {
            if let Some(last) = seen.last_mut().filter(|last| last.over.is_none() && !firing.contains(labels)) {
                last.over = Some(now);
            }
        }
    }

    /// What fired, in order, by labels.
    pub fn occurrences(&self) -> &BTreeMap<Labels, Vec<Occurrence>> {
        &self.alerts
    }
}

/// Fails where the two differ; prints by how much they do not.
///
/// - `alerts`: how many rules must have fired and resolved.
/// - `apart`: how far apart the same change may be seen.
pub fn check(
    theirs: &BTreeMap<Labels, Vec<Occurrence>>,
    ours: &BTreeMap<Labels, Vec<Occurrence>>,
    alerts: usize,
    apart: Duration,
) {
    let keys = |seen: &BTreeMap<Labels, Vec<Occurrence>>| seen.keys().cloned().collect::<Vec<_>>();
    let mut faults = Vec::new();
    let (mut starts, mut changes) = (Vec::new(), Vec::new());
    for labels in keys(theirs).into_iter().chain(keys(ours)).collect::<BTreeSet<_>>() {
        let (Some(a), Some(b)) = (theirs.get(&labels), ours.get(&labels)) else {
            faults.push(format!("{labels}: theirs {:?}, ours {:?}", theirs.get(&labels), ours.get(&labels)));
            continue;
        };
        if a.len() != b.len() {
            faults.push(format!("{labels}: theirs {a:?}, ours {b:?}"));
        }
        for (a, b) in a.iter().zip(b) {
            let start = (a.active_at - b.active_at).unsigned_abs();
            let fired = distance(a.fired, b.fired);
            let over = a.over.zip(b.over).map(|(a, b)| distance(a, b));
            eprintln!(
                "{labels}: begins {:+} ms, seen to fire {fired:?} apart, over {over:?}",
                b.active_at - a.active_at
            );
            starts.push(start);
            changes.extend([Some(fired), over].into_iter().flatten());
            if u128::from(start) > apart.as_millis() || fired > apart || over.is_none_or(|over| over > apart) {
                faults.push(format!("{labels}: theirs {a:?}, ours {b:?}"));
            }
        }
    }
    let name =
        |labels: &Labels| labels.split_once("alertname=\"").map(|(_, rest)| rest.split('"').next().map(String::from));
    let names: BTreeSet<_> = theirs.keys().map(name).collect();
    starts.sort();
    changes.sort();
    eprintln!(
        "{} rules, {} label sets, {} occurrences; begins {:?} ms apart (median, most), changes seen {:?} apart",
        names.len(),
        theirs.len(),
        starts.len(),
        (starts.get(starts.len() / 2), starts.last()),
        (changes.get(changes.len() / 2), changes.last())
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(names.len(), alerts, "rules that fired: {names:?}");
}

/// `2026-11-21T01:52:06.123456Z` in ms since 1970.
fn millis(text: &str) -> i64 {
    let parts: Vec<u32> = text[..19].split(['-', 'T', ':']).map(|part| part.parse().expect("RFC 3339")).collect();
    let [year, month, day, hour, minute, second] = parts[..] else { panic!("{text} is no time of RFC 3339") };
    let fraction: String = text[19..].chars().filter(char::is_ascii_digit).chain("000".chars()).take(3).collect();
    let days = faultline_model::time::days_from_civil(i64::from(year), month, day);
    let seconds = days * 86_400 + i64::from(hour * 3_600 + minute * 60 + second);
    seconds * 1_000 + fraction.parse::<i64>().expect("digits")
}

fn distance(a: Instant, b: Instant) -> Duration {
    a.max(b) - a.min(b)
}

fn shown(labels: &Value) -> Labels {
    let labels: &Map<String, Value> = labels.as_object().expect("labels");
    let mut pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.sort();
    pairs.join(", ")
}

/// Labels of every alert that an Alertmanager was sent, and whether its end was sent, too.
pub type Notified = BTreeMap<Labels, bool>;

/// An Alertmanager that takes everything and keeps what it was told.
pub struct Receiver {
    pub url: String,
    alerts: Arc<Mutex<Notified>>,
}

impl Receiver {
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        let alerts: Arc<Mutex<Notified>> = Arc::default();
        let shared = alerts.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let alerts = shared.clone();
                thread::spawn(move || serve(&stream, &alerts));
            }
        });
        Receiver { url, alerts }
    }

    pub fn notified(&self) -> Notified {
        self.alerts.lock().expect("no panic").clone()
    }
}

/// Takes the requests of one connection until it ends.
fn serve(stream: &TcpStream, alerts: &Mutex<Notified>) {
    let mut lines = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        if lines.read_exact(&mut body).is_err() {
            return;
        }
        note(&body, alerts);
        let mut answer = stream;
        if answer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn note(body: &[u8], alerts: &Mutex<Notified>) {
    let Ok(Value::Array(list)) = serde_json::from_slice(body) else { return };
    let mut alerts = alerts.lock().expect("no panic");
    for alert in list {
        // Both send the end that they expect with a firing alert; one that has come is a real end.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
        let over = millis(alert["endsAt"].as_str().expect("an end")) <= now;
        *alerts.entry(shown(&alert["labels"])).or_default() |= over;
    }
}
