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

/// What was seen of one server's `/api/v1/alerts`, by labels.
pub type Seen = BTreeMap<Labels, Vec<Occurrence>>;

/// Watches Prometheus and us, and how far we are behind it.
#[derive(Debug)]
pub struct Watch {
    /// Prometheus, then we.
    servers: [String; 2],
    seen: [Seen; 2],
    /// When each scrape of node-exporter was first found, by the time that node-exporter told.
    scrapes: [BTreeMap<String, Instant>; 2],
    looked: Option<Instant>,
    /// The longest time between two looks: a change may have come that much earlier.
    gap: Duration,
}

impl Watch {
    pub fn new(theirs: &str, ours: &str) -> Watch {
        let servers = [theirs, ours].map(String::from);
        Watch { servers, seen: Default::default(), scrapes: Default::default(), looked: None, gap: Duration::ZERO }
    }

    /// Looks once at both.
    pub fn look(&mut self) {
        for index in [0, 1] {
            note_alerts(&mut self.seen[index], &get(&self.servers[index], "/api/v1/alerts"));
            let answer = get(&self.servers[index], "/api/v1/query?query=node_time_seconds");
            if let Some(time) = answer["data"]["result"][0]["value"][1].as_str() {
                self.scrapes[index].entry(time.into()).or_insert_with(Instant::now);
            }
        }
        let now = Instant::now();
        self.gap = self.gap.max(now - self.looked.replace(now).unwrap_or(now));
    }

    /// The longest time that a scrape took from Prometheus' memory to ours, looks included.
    fn delay(&self) -> Duration {
        let [theirs, ours] = &self.scrapes;
        let both = theirs.iter().filter_map(|(time, at)| Some(ours.get(time)?.saturating_duration_since(*at)));
        both.max().expect("some scrape was seen by both")
    }

    /// How often Prometheus found no time to evaluate a group when it was due.
    fn missed(&self) -> u32 {
        let query = "/api/v1/query?query=max(prometheus_rule_group_iterations_missed_total)";
        let answer = get(&self.servers[0], query);
        let text = answer["data"]["result"][0]["value"][1].as_str().expect("Prometheus tells it");
        text.parse::<f64>().expect("a number") as u32
    }
}

fn note_alerts(seen: &mut Seen, answer: &Value) {
    let now = Instant::now();
    let mut firing = BTreeSet::new();
    for alert in answer["data"]["alerts"].as_array().expect("a list") {
        if alert["state"] != "firing" {
            continue;
        }
        let labels = shown(&alert["labels"]);
        let active_at = millis(alert["activeAt"].as_str().expect("a time"));
        let occurrences = seen.entry(labels.clone()).or_default();
        if occurrences.last().is_none_or(|last| last.over.is_some()) {
            occurrences.push(Occurrence { active_at, fired: now, over: None });
        }
        firing.insert(labels);
    }
    for (labels, occurrences) in seen {
        if let Some(last) = occurrences.last_mut().filter(|last| last.over.is_none() && !firing.contains(labels)) {
            last.over = Some(now);
        }
    }
}

/// Fails where the two differ; prints by how much they do not.
///
/// - `names`: the rules; each must have fired and resolved.
/// - `interval`: the longest of the rules' groups. Beginnings and ends may lie that far apart, and further by what samples took
///   from Prometheus to us, by evaluations that Prometheus left out, and by what our looks left unseen.
pub fn check(watch: &Watch, names: &BTreeSet<&str>, interval: Duration) {
    let [theirs, ours] = &watch.seen;
    let (delay, missed) = (watch.delay(), watch.missed());
    let begins = interval * (1 + missed) + delay;
    let changes = begins + watch.gap;
    let mut faults = Vec::new();
    let (mut starts, mut seen_apart) = (Vec::new(), Vec::new());
    for labels in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let none = Vec::new();
        let (a, b) = (theirs.get(labels).unwrap_or(&none), ours.get(labels).unwrap_or(&none));
        if a.len() != b.len() {
            faults.push(format!("{labels}: theirs {a:?}, ours {b:?}"));
        }
        for (a, b) in a.iter().zip(b) {
            let start = Duration::from_millis((a.active_at - b.active_at).unsigned_abs());
            let fired = distance(a.fired, b.fired);
            let over = a.over.zip(b.over).map(|(a, b)| distance(a, b));
            eprintln!(
                "{labels}: begins {:+} ms, seen to fire {fired:.1?} apart, over {over:.1?}",
                b.active_at - a.active_at
            );
            if start > begins || fired > changes || over.is_none_or(|over| over > changes) {
                faults.push(format!("{labels}: theirs {a:?}, ours {b:?}"));
            }
            starts.push(start);
            seen_apart.extend([Some(fired), over].into_iter().flatten());
        }
    }
    let name = |labels: &Labels| labels.split_once("alertname=\"")?.1.split('"').next().map(String::from);
    let fired: BTreeSet<_> = theirs.keys().filter_map(name).collect();
    starts.sort();
    seen_apart.sort();
    eprintln!(
        "{} rules, {} label sets, {} occurrences; begins {:.1?} apart (median, most), changes seen {:.1?}; \
         samples took {delay:.1?} at most, {missed} evaluations missed, {:.1?} between looks",
        fired.len(),
        theirs.len(),
        starts.len(),
        (starts.get(starts.len() / 2), starts.last()),
        (seen_apart.get(seen_apart.len() / 2), seen_apart.last()),
        watch.gap
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(fired.iter().map(String::as_str).collect::<BTreeSet<_>>(), *names, "rules that fired and resolved");
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
