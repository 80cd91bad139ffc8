//! Starts that must not be, and what is answered before a server is ready.
use super::bad_input::unary;
use faultline::config::Config;
use faultline::ports::Ports;
use faultline::run::{Addresses, start};
use faultline_host::{AwayReason, Limits, SystemClock, TurnedAway, inlet};
use faultline_promql::Features;
use faultline_serve::Store;
use faultline_sources::Receiver;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// Runs `faultline run` where it must not start; returns what it says.
fn refused(data: &Path, more: &[&str]) -> String {
    let free = "127.0.0.1:0";
    let http: &[&str] = if more.is_empty() { &["--http", free] } else { more };
    let output = Command::new(env!("CARGO_BIN_EXE_faultline"))
        .current_dir(data.parent().expect("it is in a folder"))
        .args(["run", "--otlp-grpc", free, "--otlp-http", free])
        .args(http)
        .arg("--data")
        .arg(data)
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = temporary.path().join("data");
    let check = |says: &str, data: &Path, more: &[&str]| {
        let said = refused(data, more);
        assert!(said.contains(says), "{said:?} does not say {says:?}");
        assert!(!said.contains("panicked"), "{said}");
    };
    let server = start(&Config::on_free_ports(data.clone())).expect("free ports and a new folder");
    check("is in use by another faultline process", &data, &[]);
    server.stop().expect("a clean end");
    let version = fs::read_to_string(data.join("VERSION")).expect("it was written");
    fs::write(data.join("VERSION"), version.replace("format 1", "format 2")).expect("it can be written");
    check("has format 2, this release reads up to 1", &data, &[]);
    fs::write(data.join("VERSION"), version.replace("journal ", "journal f")).expect("it can be written");
    check("VERSION file", &data, &[]);
    fs::write(data.join("VERSION"), version).expect("it can be written");
    let foreign = temporary.path().join("holiday");
    fs::create_dir(&foreign).expect("it can be made");
    fs::write(foreign.join("beach.jpg"), b"sand").expect("it can be written");
    check("is not a faultline data folder (it holds `beach.jpg`", &foreign, &[]);
    assert_eq!(fs::read_dir(&foreign).expect("it is there").count(), 1, "nothing was put there");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = taken.local_addr().expect("it listens").to_string();
    check(&format!("--http {address} is in use by"), &data, &["--http", &address]);
    check("say --insecure", &data, &["--http", "0.0.0.0:0"]);
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = temporary.path().join("data");
    let good = Config::on_free_ports(data.clone());
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let busy = taken.local_addr().expect("it listens");
    let check = |says: &str, config: Config| {
        let error = start(&config).err().unwrap_or_else(|| panic!("it started: {says}")).to_string();
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    };
    check("--http", Config { http: busy, ..good.clone() });
    check("--otlp-grpc", Config { otlp_grpc: busy, ..good.clone() });
    check("cannot read the rule file", Config { rules: vec![PathBuf::from("not/there.yml")], ..good.clone() });
    let broken = temporary.path().join("broken.yml");
    fs::write(&broken, "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: rat(up[5m])\n")
        .expect("it can be written");
    check("--alertmanager", Config { alertmanagers: vec!["no address".into()], ..good.clone() });
    assert!(!data.exists(), "nothing was touched");
    check("broken.yml:5: group \"g\", rule 1, \"A\"", Config { rules: vec![broken.clone()], ..good.clone() });
    // Too small for a segment: found out only once the folder is open.
    check("", Config { journal_bytes: Some(1), ..good.clone() });
    // The same process, folder and ports: nothing of the failed ones holds them.
    let server = start(&good).expect("free ports and a folder that nobody has");
    let Addresses { otlp_grpc, otlp_http, http } = server.addresses;
    check("is in use by another faultline process", good.clone());
    server.stop().expect("a clean end");
    // With rules in force from before, a broken file is no reason to watch nothing.
    let again = Config { otlp_grpc, otlp_http, http, rules: vec![broken], ..good };
    let again = start(&again).expect("the same ports are free again");
    again.stop().expect("a clean end");
}

/// The answer to a request, as text.
fn ask(to: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).expect("it listens");
    let size = body.len();
    let head = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\ncontent-encoding: snappy\r\ncontent-length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    stream.write_all(body).expect("it reads");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn a_server_that_is_starting_is_healthy_and_says_when_to_come_back() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let config = Config::on_free_ports(temporary.path().join("data"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let ports = runtime.block_on(Ports::bind(&config)).expect("free ports");
    let addresses = ports.addresses().expect("they listen");
    let (inlet, _intake) =
        inlet(Limits { bytes: 1 << 20, count: 8, reading: 1 << 20, retry_after: Duration::from_millis(500) });
    let told: Arc<Mutex<Vec<TurnedAway>>> = Arc::default();
    let tell = told.clone();
    let seed = Arc::new(OnceLock::new());
    let receiver =
        Receiver::new(inlet.clone(), seed.clone(), Arc::new(move |turned| tell.lock().expect("no panic").push(turned)));
    let api = faultline_serve::router(
        Store::default(),
        inlet,
        seed,
        Arc::new(SystemClock::default()),
        Features::NONE,
        Arc::new(|| Ok(())),
    );
    let (_stop, stopped) = watch::channel(false);
    {
        let _entered = runtime.enter();
        ports.serve(&receiver, api, &stopped);
    }
    for (to, head, status) in [
        (addresses.http, "GET /-/healthy", "200"),
        (addresses.http, "GET /-/ready", "503"),
        (addresses.http, "GET /api/v1/query?query=up", "503"),
        (addresses.http, "POST /api/faultline/v1/changes", "503"),
        (addresses.http, "POST /api/v1/write", "503"),
    ] {
        let answer = ask(to, head, b"");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        assert_eq!(answer.contains("retry-after: 2\r\n"), status == "503", "{head}: {answer}");
    }
    let logs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let (status, message, _) = runtime.block_on(unary(addresses.otlp_grpc, logs, "identity", vec![0; 5]));
    assert!(status == "14" && message.contains("starting"), "{status} {message}");
    let told = told.lock().expect("no panic");
    let reasons: Vec<_> = told.iter().map(|turned| (turned.listener, turned.reason)).collect();
    assert_eq!(reasons, [("remote-write", AwayReason::NotReady), ("otlp-grpc", AwayReason::NotReady)]);
}
