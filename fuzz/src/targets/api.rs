//! The HTTP API and the HTTP sources: any path, parameters and body at all. Never a 500, and what calls itself JSON is.
use crate::Target;
use crate::input::{Input, part};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, Uri};
use faultline_formats::encode::compress;
use faultline_host::{Limits, ManualClock, inlet};
use faultline_model::{Encoding, HashSeed, Labels, Millis, Position, Sample};
use faultline_promql::Features;
use faultline_serve::{Store, View, router};
use faultline_sources::{Receiver, http, remote_write};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// The target.
pub const TARGET: Target = Target { name: "api", size_max: 1 << 10, run, seeds };

const NOW: Millis = Millis(1_795_222_456_050);
const PATHS: [&str; 19] = [
    "/api/v1/query",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/api/v1/status/buildinfo",
    "/api/faultline/v1/incidents",
    "/api/faultline/v1/transitions",
    "/api/faultline/v1/rejects",
    "/api/faultline/v1/changes",
    "/api/faultline/v1/status",
    "/metrics",
    "/-/ready",
    "/-/healthy",
    "/api/faultline/v1/events",
    "/api/v1/write",
    "/v1/metrics",
    "/v1/logs",
    "/v1/traces",
    "/api/faultline/v1/import/v1/traces",
    "/api/faultline/v1/incidents/",
];
const CONTENTS: [&str; 4] =
    ["application/x-www-form-urlencoded", "application/json", "text/plain", "application/x-protobuf"];
/// Its answer never ends.
const EVENTS: usize = 12;

/// What listens on the API's port, and on that of OTLP over HTTP.
fn served() -> [Router; 2] {
    let store = Store::default();
    let labels = |i: &str| Labels::new([("__name__", "up"), ("i", i)]);
    let samples = (0..20).map(|s| (0, Sample::new(NOW.plus((s - 19) * 1_000), 1.0))).collect();
    store.accepted(vec![(0, labels("a")), (1, labels("b"))], samples, Vec::new(), Vec::new());
    let covers = Position { partition: 0, offset: 14 };
    store.publish(View { covers, at: NOW, ready: true, ..View::default() });
    let (inlet, intake) =
        inlet(Limits { bytes: 1 << 20, reading: 1 << 20, count: 32, retry_after: Duration::from_secs(1) });
    // Nobody takes what is submitted: it is refused at once.
    drop(intake);
    let seed = Arc::new(HashSeed(1).into());
    let receiver = Receiver::new(inlet.clone(), Arc::clone(&seed), Arc::new(|_| ()));
    let api = router(store, inlet, seed, Arc::new(ManualClock::at(NOW)), Features::additions(), Arc::new(|| Ok(())));
    let api = api.merge(remote_write::router(receiver.clone())).merge(http::import_router(receiver.clone()));
    [api, http::router(receiver)]
}

thread_local! {
    static SERVED: (Runtime, [Router; 2]) = {
        // Time is paused: who waits for a position is told at once that it did not come.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        (runtime.expect("a runtime"), served())
    };
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (choice, kind) = (usize::from(input.byte()) % PATHS.len(), input.byte());
    let Ok(query) = std::str::from_utf8(input.part()) else { return };
    // The last path goes on with an id.
    let text = if choice + 1 == PATHS.len() {
        format!("{}{query}", PATHS[choice])
    } else {
        format!("{}?{query}", PATHS[choice])
    };
    let Ok(uri) = text.parse::<Uri>() else { return };
    let content = CONTENTS[usize::from(kind) / 2 % CONTENTS.len()];
    let encoding = ["identity", "snappy", "gzip", "zstd"][usize::from(kind >> 6)];
    let request = match kind % 2 {
        0 => Request::get(uri).body(Body::empty()),
        _ => {
            let request = Request::post(uri).header("content-type", content).header("content-encoding", encoding);
            request.body(Body::from(input.rest().to_vec()))
        }
    };
    let Ok(mut request) = request else { return };
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
    let port = usize::from(PATHS[choice].starts_with("/v1/"));
    SERVED.with(|(runtime, routers)| runtime.block_on(ask(routers[port].clone(), request, choice == EVENTS)));
}

async fn ask(router: Router, request: Request<Body>, endless: bool) {
    let response = router.oneshot(request).await.expect("a router does not fail");
    let status = response.status();
    assert!(!status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
    if endless && status.is_success() {
        return;
    }
    let json =
        response.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let body = response.into_body().collect().await.expect("a body in memory does not fail").to_bytes();
    assert!(!json || serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok(), "{body:?} is no JSON");
}

fn seeds() -> Vec<Vec<u8>> {
    let get = |path: u8, query: &str| [vec![path, 0], part(query.as_bytes())].concat();
    // A list without a point, a metric and so on: what is inside has a target of its own.
    let empty = b"\x0a\x00";
    let body = |path: u8, encoding: u8, packed: &[u8]| [&[path, 7 + (encoding << 6)], &part(b"")[..], packed].concat();
    let post =
        |path: u8, kind: u8, body: &str| [vec![path, 1 + 2 * kind], part(b""), body.as_bytes().to_vec()].concat();
    vec![
        get(0, "query=sum(up)%20by%20(i)&time=1795222456.05&limit=1"),
        get(0, "query=up%5B1m%5D&min_offset=0/14"),
        get(0, "query=rate(up%5B30s%5D)&lookback_delta=1m"),
        post(0, 0, "query=up+offset+5s&timeout=1s"),
        get(1, "type=alert&rule_name[]=a&match[]=%7Bi=%22a%22%7D"),
        get(2, "min_offset=99"),
        get(4, "state=open&limit=10&after=0/3.1"),
        get(5, "limit=1000&after=0/12.0"),
        get(6, "reason=busy&limit=5"),
        get(7, "entity=pay"),
        post(
            7,
            1,
            r#"{"entity":"pay","kind":"deploy","title":"v2","version":"2","at":"2026-11-21T00:54:16Z","by":"x"}"#,
        ),
        get(8, ""),
        get(9, ""),
        get(12, "after=3"),
        get(18, "0/11.2"),
        get(18, "0%2F11.2"),
        body(13, 1, &compress(empty, Encoding::Snappy)),
        body(14, 0, empty),
        body(15, 2, &compress(empty, Encoding::Gzip)),
        body(16, 3, &compress(empty, Encoding::Zstd)),
        body(17, 0, empty),
        body(17, 2, empty),
    ]
}
