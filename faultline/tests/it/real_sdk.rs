//! The OpenTelemetry SDK for Python in a three-service program: a delay, then a kill -9, and the cause named both times.
//!
//! `tests/python/bank.py` is frontend -> payment -> ledger over HTTP, one process each, with traces, metrics and logs by
//! the SDK alone: one exports over gRPC with gzip, exponential histograms, one over HTTP with gzip, one over plain HTTP. `docs/guides/opentelemetry.md`
//! shows the settings used here.
use crate::real_tools::{Faultline, Process, answers, post, services, wanted};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Baselines learn from 12 windows of 10 s before they judge; the first window of a service is cut short.
const CALM: Duration = Duration::from_secs(135);
/// From an injected fault to the right verdict, which takes seconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// From the cure to the last alert's end: the rules' window of 10 s, `keep_firing_for` of 15 s, and the exporters' delay; the machine may be busy.
const CURE: Duration = Duration::from_secs(120);
/// Time between two requests: 20 a second.
const PACE: Duration = Duration::from_millis(50);

#[test]
fn the_sdk_for_python_a_delay_and_a_kill_are_named() {
    if !wanted(&["otel-python"]) {
        return;
    }
    let python = services(&["install", "otel-python"]);
    let python = PathBuf::from(python.trim().strip_prefix("python ").expect("`python PATH`"));
    let dir = tempfile::tempdir().expect("a folder");
    let server = Faultline::start(dir.path(), &["--evaluation", "stream"]);

    let ledger = Program::start(&python, "ledger", Export { protocol: "http/protobuf", gzip: false }, &server, None);
    let calls = format!("{}/post", ledger.url);
    let payment = Program::start(&python, "payment", Export { protocol: "grpc", gzip: true }, &server, Some(&calls));
    let calls = format!("{}/charge", payment.url);
    let export = Export { protocol: "http/protobuf", gzip: true };
    let frontend = Program::start(&python, "frontend", export, &server, Some(&calls));
    let customers = Customers::start(format!("{}/pay", frontend.url));

    thread::sleep(CALM);
    assert!(incidents(&server).is_empty(), "an incident while all was well: {}", server.why());
    everything_came(&server);

    let delayed = Instant::now();
    post(&format!("{}/control/delay/300", payment.url));
    await_verdict(&server, delayed, "payment", "slow");
    let why = server.why();
    let shown = why.split_once("REQUESTS TO LOOK AT\npayment ").and_then(|(_, rest)| rest.split_once("trace "));
    assert!(shown.is_some_and(|(request, _)| request.contains("slowest") && request.contains(" ms ")), "{why}");
    post(&format!("{}/control/delay/0", payment.url));
    await_calm(&server);

    let killed = Instant::now();
    drop(ledger);
    await_verdict(&server, killed, "ledger", "stopped");
    server.verify(); // While spans and verdicts go on coming.

    customers.stop();
    drop((frontend, payment));
    server.stop_and_verify();
}

/// How a service exports.
struct Export {
    protocol: &'static str,
    gzip: bool,
}

/// One service of the bank.
struct Program {
    _process: Process,
    url: String,
}

impl Program {
    fn start(python: &Path, name: &str, export: Export, server: &Faultline, calls: Option<&str>) -> Program {
        let endpoint = if export.protocol == "grpc" { &server.grpc } else { &server.http };
        let mut command = Command::new(python);
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/bank.py"))
            .env("OTEL_SERVICE_NAME", name)
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.version=1.0.0,deployment.environment.name=test")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", export.protocol)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", if export.gzip { "gzip" } else { "none" })
            .env("OTEL_BSP_SCHEDULE_DELAY", "1000")
            .env("OTEL_BLRP_SCHEDULE_DELAY", "1000")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "2000");
        if export.protocol == "grpc" {
            let kind = "base2_exponential_bucket_histogram";
            command.env("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", kind);
        }
        if let Some(url) = calls {
            command.args(["--calls", url]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("python starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("it prints its port");
        let port = line.trim().strip_prefix("PORT ").unwrap_or_else(|| panic!("{name} says {line:?}"));
        Program { url: format!("http://127.0.0.1:{port}"), _process: Process(child) }
    }
}

/// Whoever uses the bank: an open loop, so that a slow answer holds up no other request.
struct Customers {
    gone: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Customers {
    fn start(url: String) -> Customers {
        let gone = Arc::new(AtomicBool::new(false));
        let (stop, url) = (gone.clone(), Arc::new(url));
        let thread = thread::spawn(move || {
            let mut due = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let url = url.clone();
                thread::spawn(move || answers(&url));
                due += PACE;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Customers { gone, thread }
    }

    fn stop(self) {
        self.gone.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic");
    }
}

/// All three signals of all three services are there under the names that Prometheus 3 would give them, and nothing was
/// refused.
fn everything_came(server: &Faultline) {
    for (query, least) in [
        // Counter, histogram and gauges, by the service that they belong to.
        ("count(bank_requests_total{http_response_status_code=\"200\", job=~\"frontend|payment|ledger\"})", 3.0),
        ("count(bank_request_duration_seconds_bucket{le=\"+Inf\"})", 2.0),
        // The third sends exponential histograms.
        ("histogram_count(rate(bank_request_duration_seconds{job=\"payment\"}[30s]))", 10.0),
        ("histogram_quantile(0.5, rate(bank_request_duration_seconds{job=\"payment\"}[30s]))", 0.000001),
        ("count(bank_queue_depth)", 3.0),
        ("count(bank_requests_active)", 3.0),
        ("min(rate(bank_requests_total[30s]))", 10.0),
        (
            "histogram_quantile(0.5, sum by (le, job) (rate(bank_request_duration_seconds_bucket{job=\"ledger\"}[30s])))",
            0.0,
        ),
        // Logs, counted by service and severity.
        ("count(faultline_log_records_total{severity=\"INFO\"} > 1000)", 3.0),
        // Traces: who called whom, which needs both halves of each call and the context that connects them.
        ("rate(traces_service_graph_request_total{client=\"frontend\", server=\"payment\"}[30s])", 10.0),
        ("rate(traces_service_graph_request_total{client=\"payment\", server=\"ledger\"}[30s])", 10.0),
    ] {
        let result = server.query(query);
        let value: Option<f64> = result.first().and_then(|row| row["value"][1].as_str()).and_then(|v| v.parse().ok());
        assert!(value.is_some_and(|value| value >= least), "{query} is {result:?}, expected {least} at least");
    }
    let status = server.get("/api/faultline/v1/status");
    assert_eq!(status["rejects"], serde_json::json!({}));
    assert_eq!(status["counts"]["services"], 3, "{status}");
    assert_eq!(status["counts"]["edges"], 2, "{status}");
}

fn incidents(server: &Faultline) -> Vec<Value> {
    server.get("/api/faultline/v1/incidents")["incidents"].as_array().expect("a list").clone()
}

/// Waits until the newest incident's verdict names the cause and how it failed; prints when each step came.
fn await_verdict(server: &Faultline, since: Instant, entity: &str, kind: &str) {
    let seconds = || since.elapsed().as_secs_f64();
    let (mut alerted, mut opened, mut named) = (None, None, None);
    loop {
        if firing(server) {
            alerted.get_or_insert(seconds());
        }
        for incident in incidents(server).into_iter().filter(|incident| incident["state"] == "open") {
            opened.get_or_insert(seconds());
            if incident["unknown"] == false && incident["cause"]["entity"] == entity {
                named.get_or_insert(seconds());
                if incident["cause"]["kind"] == kind {
                    let [alerted, opened, named] = [alerted, opened, named].map(Option::unwrap_or_default);
                    eprintln!(
                        "{entity} {kind}: first alert {alerted:.1} s, in an incident {opened:.1} s, named {named:.1} s, with \
                         its kind {:.1} s after the fault; {}",
                        seconds(),
                        incident["summary"].as_str().unwrap_or_default()
                    );
                    return;
                }
            }
        }
        assert!(since.elapsed() < PATIENCE, "no verdict that {entity} is {kind}: {}", server.why());
        thread::sleep(Duration::from_millis(100));
    }
}

fn firing(server: &Faultline) -> bool {
    let alerts = server.get("/api/v1/alerts");
    alerts["data"]["alerts"].as_array().expect("a list").iter().any(|alert| alert["state"] == "firing")
}

fn await_calm(server: &Faultline) {
    let cured = Instant::now();
    while firing(server) {
        assert!(cured.elapsed() < CURE, "alerts fire on: {}", server.get("/api/v1/alerts"));
        thread::sleep(Duration::from_millis(200));
    }
    eprintln!("cured: nothing fires {:.1} s later", cured.elapsed().as_secs_f64());
}
