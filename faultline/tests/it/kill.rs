//! `kill -9` of the real binary under load: every acknowledged event is in the journal, and `verify` agrees each time.
use faultline_formats::decode;
use faultline_formats::encode::{self, Data, Metric, Number, NumberPoint, ResourceMetrics, Value};
use faultline_host::{Item, Random, RealDisk};
use faultline_model::{Canonical, Control, EventTime, Genesis, HashSeed, Kind};
use faultline_sinks::http::{Client, Limits, Url};
use faultline_storage::{DataFolder, SegmentJournal};
use http::Method;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the server is killed, unless `FAULTLINE_KILLS` says otherwise.
const KILLS: usize = 5;
/// Threads that send, each without a pause.
const SENDERS: usize = 3;
/// Points of one body.
const POINTS: i64 = 5;
/// Bytes of one large body.
const LARGE: usize = 2 << 20;
/// How long the server may take to come up.
const COMES_UP: Duration = Duration::from_secs(60);

/// A running process; killed when dropped.
struct Server {
    child: Child,
    otlp: Url,
    api: Url,
}

impl Server {
    /// Starts the binary and waits for its banner, which says where it listens.
    fn start(data: &Path) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_faultline"))
            .current_dir(data.parent().expect("it is in a folder"))
            .args([
                "run",
                "--otlp-grpc",
                "127.0.0.1:0",
                "--otlp-http",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (tell, told) = channel();
        thread::spawn(move || {
            // Read to the end, or the server would block on a full pipe.
            for line in stderr.lines().map_while(Result::ok) {
                let _nobody = tell.send(line);
            }
        });
        let (mut otlp, mut api, mut said) = (None, None, Vec::new());
        while otlp.is_none() || api.is_none() {
            let Ok(line) = told.recv_timeout(COMES_UP) else { panic!("the server did not come up: {said:?}") };
            let url = || Url::parse(line.split_whitespace().find(|word| word.starts_with("http://"))?).ok();
            if line.trim_start().starts_with("OTLP HTTP") {
                otlp = url();
            } else if line.trim_start().starts_with("API") {
                api = url();
            }
            said.push(line);
        }
        Server { child, otlp: otlp.expect("just seen"), api: api.expect("just seen") }
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// Ends it by SIGTERM.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("it was started here");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of no use where it was killed already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A body of numbered points, each of a series of its sender, at least a ms after the sender's body before.
///
/// - `last`: time of the sender's newest body in ms, moved on.
pub fn body(sender: usize, first: i64, last: &mut i64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    *last = now.max(*last + 1);
    let points = (first..first + POINTS)
        .map(|number| {
            let place = ("place".into(), Value::Int(number - first));
            let attributes = vec![("sender".into(), Value::Int(sender as i64)), place];
            NumberPoint { attributes, time: EventTime(*last * 1_000_000), value: Number::Int(number) }
        })
        .collect();
    let data = Data::Sum { points, delta: false, monotonic: true };
    let metrics = vec![Metric { name: "load.sent".into(), unit: String::new(), data }];
    let resource = vec![("service.name".into(), Value::Text("load".into()))];
    encode::metrics(&[ResourceMetrics { resource, metrics }])
}

/// Sends until told to stop; numbers go on over all processes.
fn send(otlp: &Url, sender: usize, next: &AtomicI64, stop: &AtomicBool, acknowledged: &Mutex<Vec<i64>>) {
    let client = Client::new(Limits { overall: Duration::from_secs(5), ..Limits::default() }).expect("a runtime");
    let url = otlp.join("/v1/metrics").expect("a path");
    let headers = [("content-type", "application/x-protobuf")];
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let first = next.fetch_add(POINTS, Ordering::Relaxed);
        match client.request(Method::POST, &url, &headers, body(sender, first, &mut last).into()) {
            Ok(answer) if answer.status == 200 => acknowledged.lock().expect("no holder panics").push(first),
            Ok(_) => thread::sleep(Duration::from_millis(5)),
            // Killed: whether this one was kept is not known, and not asked for.
            Err(_) => return,
        }
    }
}

/// A log record of 2 MiB.
pub fn large_body(number: usize) -> Vec<u8> {
    let time = EventTime(number as i64);
    let (body, attributes) = ("x".repeat(LARGE), Vec::new());
    let log = encode::Log { time, observed: time, severity: 9, body, attributes, event: String::new() };
    let resource = vec![("service.name".into(), Value::Text("large".into()))];
    encode::logs(&[encode::ResourceLogs { resource, logs: vec![log] }])
}

/// Sends large bodies until told to stop, or `most`, so that segments fill up while the server is killed.
fn send_large(otlp: &Url, stop: &AtomicBool, most: usize) {
    let client = Client::new(Limits { overall: Duration::from_secs(30), ..Limits::default() }).expect("a runtime");
    let url = otlp.join("/v1/logs").expect("a path");
    let headers = [("content-type", "application/x-protobuf")];
    for number in 0..most {
        let body = large_body(number).into();
        if stop.load(Ordering::Relaxed) || client.request(Method::POST, &url, &headers, body).is_err() {
            return;
        }
    }
}

/// Full segments that `verify` found to be what their leaves state, and whether each has one.
fn sealed(said: &str) -> (u64, bool) {
    let line = said.lines().find(|line| line.starts_with("segments")).unwrap_or_else(|| panic!("{said}"));
    let count = line.split_whitespace().nth(1).and_then(|count| count.parse().ok());
    (count.unwrap_or_else(|| panic!("{line}")), !line.contains("without a leaf"))
}

/// What is in a journal.
#[derive(Default)]
pub struct Journalled {
    /// Values of all points.
    pub values: BTreeSet<i64>,
    pub records: u64,
    /// Whether older records are gone.
    pub trimmed: bool,
}

pub fn journalled(data: &Path) -> Journalled {
    let folder = DataFolder::inspect(Arc::new(RealDisk), data).expect("it is a data folder");
    let mut reader =
        SegmentJournal::inspect(&folder, None).expect("what is below the last commit is whole").segments.reader();
    let (mut found, mut after, mut seed) = (Journalled::default(), None, HashSeed(0));
    loop {
        let items = reader.read(after, 8 << 20).expect("what is below the last commit is whole");
        if items.is_empty() {
            return found;
        }
        for item in items {
            let Item::Record(stored) = item else { continue };
            found.trimmed |= found.records == 0 && stored.at.offset > 0;
            after = Some(stored.at);
            found.records += 1;
            if stored.payload.kind == Kind::Control(Control::Genesis) {
                seed = Genesis::from_bytes(&stored.payload.body).expect("record 0").seed;
            }
            found.values.extend(decode(stored.payload, seed).events.points.iter().map(|point| point.value as i64));
        }
    }
}

pub fn verify(data: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_faultline"))
        .args(["verify", "--data"])
        .arg(data)
        .output()
        .expect("the binary was built");
    (output.status.code() == Some(0), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The highest of the senders' newest numbers, as the API sees them.
fn newest(api: &Url) -> i64 {
    let url = api.join("/api/v1/query").and_then(|url| Url::parse(&format!("{url}?query=max(load_sent_total)")));
    let limits = Limits::default();
    let url = url.expect("a path");
    let answer = faultline_sinks::http::request(Method::GET, &url, &[], Default::default(), limits).expect("it runs");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let value = json["data"]["result"][0]["value"][1].as_str().unwrap_or_else(|| panic!("{json}"));
    value.parse::<f64>().expect("a number") as i64
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let kills = std::env::var("FAULTLINE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = temporary.path().join("data");
    let (next, acknowledged) = (Arc::new(AtomicI64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut random =
        Random::seeded(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64);
    for kill in 0..kills {
        let server = Server::start(&data);
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (otlp, next) = (server.otlp.clone(), next.clone());
                let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
                thread::spawn(move || send(&otlp, sender, &next, &stop, &acknowledged))
            })
            .collect();
        let large = {
            let (otlp, stop) = (server.otlp.clone(), stop.clone());
            // Not every time: they take the others' room.
            let most = if kill % 2 == 0 { usize::MAX } else { 0 };
            thread::spawn(move || send_large(&otlp, &stop, most))
        };
        thread::sleep(random.up_to(Duration::from_millis(600)));
        server.kill();
        stop.store(true, Ordering::Relaxed);
        large.join().expect("a sender ends");
        senders.into_iter().for_each(|sender| sender.join().expect("a sender ends"));
        let values = journalled(&data).values;
        let acknowledged = acknowledged.lock().expect("no holder panics");
        let lost: Vec<i64> =
            acknowledged.iter().flat_map(|&first| first..first + POINTS).filter(|n| !values.contains(n)).collect();
        assert!(
            lost.is_empty(),
            "kill {kill}: {} acknowledged points are gone: {:?}",
            lost.len(),
            &lost[..lost.len().min(9)]
        );
        let (ok, said) = verify(&data);
        assert!(ok, "kill {kill}: {said}");
    }
    let server = Server::start(&data);
    let newest = newest(&server.api);
    let most = *acknowledged.lock().expect("no holder panics").iter().max().expect("something was acknowledged");
    assert!(newest >= most + POINTS - 1, "the API knows {newest}, {} was acknowledged", most + POINTS - 1);
    // More than a segment holds.
    send_large(&server.otlp, &AtomicBool::new(false), (80 << 20) / LARGE);
    server.stop();
    let Journalled { values, records, .. } = journalled(&data);
    let sent = acknowledged.lock().expect("no holder panics").len() as i64 * POINTS;
    let (ok, said) = verify(&data);
    assert!(sent > 0 && ok, "{said}");
    let (count, all) = sealed(&said);
    assert!(count >= 1 && all, "{said}");
    println!(
        "{kills} kills: {sent} points acknowledged, {} in the journal's {records} records, none lost; {count} segments sealed",
        values.len()
    );
}
