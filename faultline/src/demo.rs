//! `faultline demo`: a bank, a fault, and the verdict, through the public sockets of a real server.
//!
//! The demo knows what it breaks; the server does not. It hears of the estate only what any sender would tell it, and the demo
//! judges the server's answer by what its API says.
use crate::cli::{DemoArgs, FaultArg};
use crate::config::Config;
use crate::render::{Paint, bar, duration};
use crate::run::{Addresses, Server, start};
use crate::verify;
use faultline_estate::{Estate, Fault, Outgoing, Story, Truth};
use faultline_host::{Clock, SystemClock};
use faultline_model::{Evaluation, Format, Millis};
use faultline_sinks::http::{Client, Limits, Url};
use http::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

/// How much normal telemetry is imported first, in ms.
const IMPORT_MS: i64 = 2 * 3_600_000;
/// True time of an imported body.
const IMPORT_STEP_MS: i64 = 10_000;
/// The last of it comes in steps as fine as the seconds that onsets are looked for in.
const IMPORT_FINE_MS: i64 = 180_000;
const IMPORT_FINE_STEP_MS: i64 = 1_000;
/// How often agents send, live.
const LIVE_STEP: Duration = Duration::from_millis(250);
/// Live telemetry before the fault.
const CALM: Duration = Duration::from_secs(12);
/// How long the fault lasts before the demo ends.
const FAULT: Duration = Duration::from_secs(40);

/// Lines of each kind that the terminal shows; the API has them all.
const ALERTS_SHOWN: u32 = 8;
const ANOMALIES_SHOWN: u32 = 5;
const VERDICTS_SHOWN: u32 = 6;

impl From<FaultArg> for Fault {
    fn from(arg: FaultArg) -> Fault {
        match arg {
            FaultArg::Silent => Fault::Silent,
            FaultArg::Latency => Fault::Latency,
            FaultArg::Errors => Fault::Errors,
            FaultArg::Deploy => Fault::Deploy,
            FaultArg::Crash => Fault::Crash,
            FaultArg::Resources => Fault::Resources,
            FaultArg::Two => Fault::Two,
            FaultArg::Unseen => Fault::Unseen,
            FaultArg::Host => Fault::Host,
            FaultArg::None => Fault::None,
        }
    }
}

/// Runs the demo: exit code 0 only if the verdict was right, or, without a fault, no incident opened.
pub fn run(args: &DemoArgs) -> Result<ExitCode, Box<dyn Error>> {
    let paint = Paint::stdout();
    let (data, temporary) = match &args.data {
        Some(data) => (data.clone(), false),
        None => (std::env::temp_dir().join(format!("faultline-demo-{}", std::process::id())), true),
    };
    let server = start(&config(data.clone()))?;
    let clock = SystemClock::default();
    // Far ahead: when it begins is said once the import is done, however long that takes.
    let story = Story::demo(args.seed, args.fault.into(), clock.now().plus(86_400_000));
    println!(
        "{}",
        paint.bold("A banking consortium: 12 sites, 40 services, a SWIFT gateway, a mainframe, clocks that disagree.")
    );
    println!("server  http://{}   data {}\n", server.addresses.http, data.display());
    let found = play(&server, story, &clock, paint)?;
    println!();
    let right = judge(&found, paint);
    if args.keep {
        println!("\nThe server stays up at http://{} until you stop it (Ctrl-C).", server.addresses.http);
        println!("  faultline why --url http://{}", server.addresses.http);
        loop {
            thread::sleep(Duration::from_secs(1));
            if server.ended() {
                break;
            }
        }
    }
    server.stop()?;
    let report = verify::check(&data);
    let state = if report.ok { paint.green("verified") } else { paint.red("NOT VERIFIED") };
    println!(
        "ledger  {state}: {} records, {} events, {} decisions and {} explanations recomputed from the data folder alone",
        report.records, report.events, report.leaves, report.explanations
    );
    if let Some(difference) = &report.difference {
        println!("        {difference}");
    }
    if temporary {
        // Best effort: a temporary folder that stays is no failure of the demo.
        let _left = std::fs::remove_dir_all(&data);
    }
    Ok(if right && report.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn config(data: PathBuf) -> Config {
    Config { evaluation: Evaluation::Stream, journal_bytes: Some(4 << 30), ..Config::on_free_ports(data) }
}

/// What the terminal showed, for the judgement at the end.
#[derive(Debug)]
struct Found {
    truth: Truth,
    incidents: usize,
    /// The newest verdict of the first incident.
    cause: Option<(String, f64)>,
    unknown: bool,
    /// Services in which the newest verdicts of all incidents believe.
    believed: BTreeSet<String>,
    first_anomaly: Option<i64>,
    first_alert: Option<i64>,
    first_incident: Option<i64>,
    /// When the verdict first was what it stayed.
    settled: Option<i64>,
    summary: String,
    causes: Vec<(String, f64)>,
}

/// Drives the server and shows what it saw.
fn play(server: &Server, story: Story, clock: &SystemClock, paint: Paint) -> Result<Found, Box<dyn Error>> {
    let agents = Agents::new(server.addresses)?;
    let mut estate = Estate::new(story, clock.now().plus(-IMPORT_MS));
    import(&agents, &mut estate, clock)?;
    // The estate goes on from where the import ended; the fault comes after a while of calm.
    let onset = clock.now().plus(CALM.as_millis() as i64);
    estate.begin_fault_at(onset);
    println!("live    the estate sends through OTLP/HTTP; in {} s something may break\n", CALM.as_secs());
    let mut watch = Watcher::new(server.addresses, estate.story().truth(), paint)?;
    let end = Instant::now() + CALM + FAULT;
    let mut told = false;
    while Instant::now() < end {
        let began = Instant::now();
        let now = clock.now();
        for outgoing in estate.advance(now) {
            agents.send("/v1", &outgoing)?;
        }
        for change in estate.changes() {
            agents.change(&change)?;
            println!(
                "{}",
                paint.dim(&format!(
                    "        a deploy is announced: {} {} (it is {})",
                    change.entity,
                    change.version,
                    if watch.truth.blames(&change.entity) { "bad" } else { "innocent" }
                ))
            );
        }
        if !told && now >= onset && !watch.truth.culprits.is_empty() {
            told = true;
            println!("{}", paint.yellow("t+0     the fault begins (the server is not told)"));
        }
        watch.look(now)?;
        thread::sleep(LIVE_STEP.saturating_sub(began.elapsed()));
    }
    if !watch.incidents.is_empty() {
        println!("{}", paint.dim(&format!("         {}", watch.passed_over())));
    }
    Ok(watch.found())
}

/// Imports normal telemetry up to now: one thread simulates while this one sends.
fn import(agents: &Agents, estate: &mut Estate, clock: &SystemClock) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let (bodies, ready) = sync_channel::<Outgoing>(64);
    let events = thread::scope(|scope| -> Result<usize, Box<dyn Error>> {
        scope.spawn(move || {
            let mut at = clock.now().plus(-IMPORT_MS);
            loop {
                let fine = clock.now().since(at) <= IMPORT_FINE_MS;
                at = at.plus(if fine { IMPORT_FINE_STEP_MS } else { IMPORT_STEP_MS });
                // What has become the past while the import ran is imported too.
                if at > clock.now() || estate.advance(at).into_iter().any(|body| bodies.send(body).is_err()) {
                    break;
                }
            }
        });
        let mut events = 0;
        for outgoing in ready {
            events += outgoing.events;
            agents.send("/api/faultline/v1/import/v1", &outgoing)?;
        }
        Ok(events)
    })?;
    println!(
        "import  {} of normal telemetry, {events} events, in {}",
        duration(IMPORT_MS),
        duration(began.elapsed().as_millis() as i64)
    );
    Ok(())
}

/// What sends to the server: one connection for telemetry, as a collector would have.
struct Agents {
    client: Client,
    otlp: Url,
    api: Url,
}

impl Agents {
    fn new(addresses: Addresses) -> Result<Agents, Box<dyn Error>> {
        Ok(Agents {
            client: Client::new(Limits { overall: Duration::from_secs(30), ..Limits::default() })?,
            otlp: Url::parse(&format!("http://{}", addresses.otlp_http))?,
            api: Url::parse(&format!("http://{}", addresses.http))?,
        })
    }

    fn send(&self, prefix: &str, outgoing: &Outgoing) -> Result<(), Box<dyn Error>> {
        let signal = match outgoing.format {
            Format::OtlpMetrics => "metrics",
            Format::OtlpLogs => "logs",
            _ => "traces",
        };
        let base = if prefix == "/v1" { &self.otlp } else { &self.api };
        let url = base.join(&format!("{prefix}/{signal}"))?;
        let headers = [("content-type", "application/x-protobuf")];
        for _ in 0..100 {
            let response = self.client.request(Method::POST, &url, &headers, outgoing.body.clone().into())?;
            match response.status.as_u16() {
                200 => return Ok(()),
                429 => thread::sleep(Duration::from_millis(200)),
                status => return Err(format!("{signal} were answered with {status}: {}", text(&response.body)).into()),
            }
        }
        Err("the server stayed busy for 20 s".into())
    }

    fn change(&self, change: &faultline_model::ChangeEvent) -> Result<(), Box<dyn Error>> {
        let body = serde_json::json!({
            "service": change.entity, "kind": change.kind, "title": change.title, "version": change.version, "by": change.by,
        });
        let url = self.api.join("/api/faultline/v1/changes")?;
        let headers = [("content-type", "application/json")];
        let response = self.client.request(Method::POST, &url, &headers, body.to_string().into())?;
        match response.status.as_u16() {
            201 => Ok(()),
            status => Err(format!("a change was answered with {status}: {}", text(&response.body)).into()),
        }
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}

/// Asks the API as anyone could, and tells what is new.
struct Watcher {
    client: Client,
    api: Url,
    truth: Truth,
    paint: Paint,
    seen: BTreeSet<String>,
    first_anomaly: Option<i64>,
    first_alert: Option<i64>,
    first_incident: Option<i64>,
    settled: Option<(String, i64)>,
    /// The newest verdict of each incident, in the order in which they were first seen.
    last: Vec<(String, Value)>,
    incidents: BTreeSet<String>,
    lines: BTreeMap<&'static str, u32>,
}

impl Watcher {
    fn new(addresses: Addresses, truth: Truth, paint: Paint) -> Result<Watcher, Box<dyn Error>> {
        Ok(Watcher {
            client: Client::new(Limits::default())?,
            api: Url::parse(&format!("http://{}", addresses.http))?,
            truth,
            paint,
            seen: BTreeSet::new(),
            first_anomaly: None,
            first_alert: None,
            first_incident: None,
            settled: None,
            last: Vec::new(),
            incidents: BTreeSet::new(),
            lines: BTreeMap::new(),
        })
    }

    fn get(&self, path: &str) -> Result<Value, Box<dyn Error>> {
        let response = self.client.request(Method::GET, &self.api.join(path)?, &[], Default::default())?;
        if !response.status.is_success() {
            return Err(format!("GET {path} was answered with {}: {}", response.status, text(&response.body)).into());
        }
        Ok(serde_json::from_slice(&response.body)?)
    }

    /// Milliseconds after the onset, and how they are printed.
    fn after(&self, now: Millis) -> (i64, String) {
        let ms = now.since(self.truth.onset);
        (ms, if ms >= 0 { format!("t+{}", duration(ms)) } else { format!("t-{}", duration(-ms)) })
    }

    fn look(&mut self, now: Millis) -> Result<(), Box<dyn Error>> {
        let (ms, at) = self.after(now);
        let list = self.get("/api/faultline/v1/incidents?limit=20")?;
        for incident in list["incidents"].as_array().into_iter().flatten() {
            if incident["imported"].as_bool() == Some(true) {
                continue;
            }
            let id = incident["id"].as_str().unwrap_or_default().to_string();
            let whole = self.get(&format!("/api/faultline/v1/incidents/{id}"))?;
            self.tell(&id, &whole, ms, &at);
        }
        Ok(())
    }

    fn tell(&mut self, id: &str, incident: &Value, ms: i64, at: &str) {
        for alert in incident["alert_list"].as_array().into_iter().flatten() {
            let name = alert["name"].as_str().unwrap_or_default();
            let service = alert["labels"]["service"].as_str().unwrap_or_default();
            if alert["to"] == "firing" && self.seen.insert(format!("{id} {name} {service}")) {
                if self.first_alert.is_none() {
                    self.first_alert = Some(ms);
                }
                if self.shown(ALERTS_SHOWN, "alert") {
                    println!("{at:<8} {} {name} {service}", self.paint.red("alert"));
                }
            }
        }
        if self.incidents.insert(id.to_string()) {
            self.first_incident.get_or_insert(ms);
            println!("{at:<8} {} {id} opened", self.paint.red("incident"));
        }
        for anomaly in incident["anomalies"].as_array().into_iter().flatten() {
            let what =
                format!("{} of {}", anomaly["signal"].as_str().unwrap_or(""), anomaly["entity"].as_str().unwrap_or(""));
            if self.seen.insert(format!("anomaly {what}")) {
                self.first_anomaly.get_or_insert(ms);
                if self.shown(ANOMALIES_SHOWN, "anomaly") {
                    println!("{at:<8} {} {what}", self.paint.dim("anomaly"));
                }
            }
        }
        let verdict = &incident["verdict"];
        if verdict.is_object() {
            let revision = verdict["revision"].as_u64().unwrap_or(0);
            if self.seen.insert(format!("verdict {id} {revision}")) {
                let top = &verdict["causes"][0];
                let name =
                    if verdict["unknown"] == true { "unknown" } else { top["entity"].as_str().unwrap_or("unknown") };
                let posterior = top["posterior"].as_f64().unwrap_or(0.0);
                let changed = self.settled.as_ref().is_none_or(|(settled, _)| settled != name);
                if changed {
                    self.settled = Some((name.to_string(), ms));
                }
                if changed || self.shown(VERDICTS_SHOWN, "verdict") {
                    let (bar, word) = (bar(posterior, 20), self.paint.bold("cause"));
                    println!("{at:<8} {word} {bar} {posterior:.3} {}", self.paint.bold(name));
                }
                match self.last.iter_mut().find(|(known, _)| known == id) {
                    Some((_, last)) => *last = verdict.clone(),
                    None => self.last.push((id.to_string(), verdict.clone())),
                }
            }
        }
    }

    /// Counts a line of a kind and says whether it is among the first `most`.
    fn shown(&mut self, most: u32, kind: &'static str) -> bool {
        let count = self.lines.entry(kind).or_default();
        *count += 1;
        *count <= most
    }

    /// What was counted and not printed.
    fn passed_over(&self) -> String {
        let more = |kind, most: u32| self.lines.get(kind).map_or(0, |count| count.saturating_sub(most));
        format!("and {} more alerts, {} more anomalies", more("alert", ALERTS_SHOWN), more("anomaly", ANOMALIES_SHOWN))
    }

    fn found(self) -> Found {
        let believed = self.last.iter().flat_map(|(_, verdict)| causes(verdict)).filter(|(_, belief)| *belief > 0.5);
        let believed = believed.map(|(name, _)| name).collect();
        let last = self.last.into_iter().next().map(|(_, verdict)| verdict).unwrap_or_default();
        let causes = causes(&last);
        Found {
            truth: self.truth,
            incidents: self.incidents.len(),
            cause: causes.first().cloned(),
            unknown: last["unknown"].as_bool().unwrap_or(true),
            believed,
            first_anomaly: self.first_anomaly,
            first_alert: self.first_alert,
            first_incident: self.first_incident,
            settled: self.settled.map(|(_, ms)| ms),
            summary: last["summary"].as_str().unwrap_or_default().to_string(),
            causes,
        }
    }
}

/// Causes of a verdict with their posteriors, the first one first.
fn causes(verdict: &Value) -> Vec<(String, f64)> {
    let causes = verdict["causes"].as_array().into_iter().flatten();
    causes
        .map(|c| (c["entity"].as_str().unwrap_or_default().to_string(), c["posterior"].as_f64().unwrap_or(0.0)))
        .collect()
}

/// Prints truth beside verdict; says whether they agree.
fn judge(found: &Found, paint: Paint) -> bool {
    let said = |ms: Option<i64>| ms.map_or("never".to_string(), |ms| format!("{} after the fault", duration(ms)));
    let culprits = &found.truth.culprits;
    if culprits.is_empty() {
        let right = found.incidents == 0;
        println!("truth   nothing was wrong");
        let text = format!("{} incidents opened", found.incidents);
        println!("verdict {}", if right { paint.green(&text) } else { paint.red(&text) });
        return right;
    }
    let right = !found.unknown && found.cause.as_ref().is_some_and(|(name, _)| found.truth.blames(name));
    println!("truth   {} ({})", paint.bold(&culprits.join(" and ")), found.truth.fault.word());
    let named = match &found.cause {
        Some((name, posterior)) if !found.unknown => format!("{name}, posterior {posterior:.3}"),
        _ => "unknown".to_string(),
    };
    println!("verdict {}", if right { paint.green(&named) } else { paint.red(&named) });
    println!("        {}", found.summary);
    if culprits.len() > 1 {
        let named = culprits.iter().filter(|name| found.believed.contains(*name)).count();
        println!("        {named} of {} culprits believed, {} incidents", culprits.len(), found.incidents);
    }
    for (name, posterior) in found.causes.iter().skip(1).take(3) {
        println!("        {} {name}", paint.dim(&bar(*posterior, 10)));
    }
    println!("first alert     {}", said(found.first_alert));
    println!("incident        {}", said(found.first_incident));
    println!("anomaly         {}", said(found.first_anomaly));
    println!("final verdict   {}", said(found.settled));
    right
}
