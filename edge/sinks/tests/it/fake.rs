//! An Alertmanager that says what it is told to and keeps what it was sent.
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// One request, as it came.
#[derive(Clone)]
pub struct Got {
    pub line: String,
    pub content_type: String,
    pub body: String,
    pub at: Instant,
}

#[derive(Default)]
struct State {
    status: u16,
    delay: Duration,
    answer: &'static str,
    location: Option<String>,
    got: Vec<Got>,
}

/// A server on a free loopback port, ended when dropped.
pub struct Fake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub fn start() -> Fake {
        Fake::start_at("127.0.0.1:0".parse().unwrap())
    }

    /// Starts where another has ended.
    pub fn start_at(address: SocketAddr) -> Fake {
        let state = Arc::new(Mutex::new(State { status: 200, answer: "{}", ..State::default() }));
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! { () = serve(listener, shared) => {}, _ = stopped => {} }
            });
        });
        Fake { address, state, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it answers from now on.
    pub fn answer(&self, status: u16, answer: &'static str) {
        let mut state = self.state.lock().unwrap();
        (state.status, state.answer) = (status, answer);
    }

    /// Answers with a redirect.
    pub fn redirect(&self, location: String) {
        let mut state = self.state.lock().unwrap();
        (state.status, state.location) = (302, Some(location));
    }

    /// How long it thinks before it answers.
    pub fn delay(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// Requests since the last call.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut self.state.lock().unwrap().got)
    }

    /// Alerts since the last call, as `name start end` with times in s after `zero`.
    pub fn alerts(&self, zero: i64) -> Vec<String> {
        let mut out = Vec::new();
        for got in self.take() {
            let alerts: Vec<Value> = serde_json::from_str(&got.body).unwrap();
            out.extend(alerts.iter().map(|alert| {
                let second = |member: &str| seconds(alert[member].as_str().unwrap()) - zero / 1000;
                let name = alert["labels"]["alertname"].as_str().unwrap();
                format!("{name} {} {}", second("startsAt"), second("endsAt"))
            }));
        }
        out
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Seconds since 1970 of `YYYY-MM-DDThh:mm:ss.mmmZ`.
fn seconds(text: &str) -> i64 {
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let days = faultline_model::time::days_from_civil(part(0, 4), part(5, 7) as u32, part(8, 10) as u32);
    days * 86_400 + part(11, 13) * 3_600 + part(14, 16) * 60 + part(17, 19)
}

async fn serve(listener: std::net::TcpListener, state: Arc<Mutex<State>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, state.clone()));
            // The client may go away.
            let _ended =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = Instant::now();
    let line = format!("{} {}", request.method(), request.uri());
    let content_type = request.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let (status, delay, answer, location) = {
        let mut state = state.lock().unwrap();
        state.got.push(Got { line, content_type: content_type.unwrap_or_default(), body, at });
        (state.status, state.delay, state.answer, state.location.clone())
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::builder().status(status);
    if let Some(location) = location {
        response = response.header("location", location);
    }
    Ok(response.body(Full::new(Bytes::from_static(answer.as_bytes()))).unwrap())
}
