//! Commands that ask a running server over its HTTP API: `status`, `incidents`, `revisions`, `rejects`; `why` asks through here too.
//!
//! The answer's JSON is read leniently ([`shape`]): a client and a server of different releases must get on.
pub mod checkpoint;
pub mod close;
pub mod lists;
pub mod overview;
pub mod revisions;
pub mod shape;

use crate::cli::{Ask, Output};
use crate::render::Paint;
use bytes::Bytes;
use faultline_sinks::http::{Client, HttpError, Limits, Url, UrlError};
use http::{Method, StatusCode};
use serde_json::Value;
use shape::{Shape, pretty, visible};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// Where our own paths begin.
const ROOT: &str = "/api/faultline/v1";

/// Why there is no answer to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// `--url` is no address.
    #[error("--url: {0}")]
    Url(#[from] UrlError),
    /// Nobody listens there.
    #[error(
        "no server answers at {url} ({reason}); start one with `faultline run`, or say with --url where it listens"
    )]
    NotRunning {
        /// The address.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// Something else listens there.
    #[error(
        "what listens at {url} does not answer as Faultline does ({what}); --url takes the address of `faultline run --http`"
    )]
    NotOurs {
        /// The address.
        url: String,
        /// What came instead.
        what: String,
    },
    /// The server says no, and why.
    #[error("the server answers {status}: {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The stable word of the problem; `""` where it gives none.
        code: String,
        /// For people.
        detail: String,
    },
    /// The way there is the problem.
    #[error(transparent)]
    Http(HttpError),
    /// There is no client: the system gives no sockets.
    #[error("cannot ask anything")]
    Client(#[source] io::Error),
}

/// A server to ask.
pub struct Server {
    client: Client,
    url: Url,
}

/// An answer of the API.
pub struct Answer {
    /// The body as it came.
    pub text: String,
    /// The body, read.
    pub value: Value,
}

impl Server {
    /// The server at an address such as `http://127.0.0.1:7400`.
    pub fn at(url: &str) -> Result<Server, AskError> {
        let client = Client::new(Limits::default()).map_err(AskError::Client)?;
        Ok(Server { client, url: Url::parse(url)? })
    }

    /// Where it is, as people write it.
    pub fn shown(&self) -> String {
        self.url.to_string().trim_end_matches('/').to_string()
    }

    /// Asks for one of our own paths, such as `/status`.
    pub fn get(&self, path: &str) -> Result<Answer, AskError> {
        self.ask(Method::GET, path, &[("accept", "application/json")], Bytes::new())
    }

    /// Requests that a service served, slowest first; times in ms since 1970.
    ///
    /// - `failed`: those that failed alone.
    pub fn traces(
        &self,
        service: &str,
        from: i64,
        to: Option<i64>,
        failed: bool,
        limit: usize,
    ) -> Result<Answer, AskError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("service", service)
            .append_pair("from", &seconds(from))
            .append_pair("limit", &limit.to_string());
        if let Some(to) = to {
            form.append_pair("to", &seconds(to));
        }
        if failed {
            form.append_pair("failed", "true");
        }
        self.get(&format!("/traces?{}", form.finish()))
    }

    /// A range query in Prometheus' shape; times in ms since 1970.
    pub fn query_range(&self, expression: &str, start: i64, end: i64, step: i64) -> Result<Answer, AskError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("query", expression).append_pair("start", &seconds(start));
        form.append_pair("end", &seconds(end)).append_pair("step", &seconds(step));
        let headers = [("accept", "application/json"), ("content-type", "application/x-www-form-urlencoded")];
        self.ask_at(Method::POST, "/api/v1/query_range", &headers, form.finish().into())
    }

    /// Posts JSON to one of our own paths.
    pub fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, AskError> {
        let headers = [("accept", "application/json"), ("content-type", "application/json")];
        self.ask(Method::POST, path, &headers, body.into())
    }

    fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Answer, AskError> {
        self.ask_at(method, &format!("{ROOT}{path}"), headers, body)
    }

    fn ask_at(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Answer, AskError> {
        let url = self.url.join(path)?;
        let answer = self.client.request(method, &url, headers, body);
        let answer = answer.map_err(|error| match error {
            HttpError::Connect { reason, .. } => AskError::NotRunning { url: self.shown(), reason },
            HttpError::Broken { reason, .. } => AskError::NotOurs { url: self.shown(), what: reason },
            other => AskError::Http(other),
        })?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let object = value.as_ref().is_some_and(Value::is_object);
        match (answer.status, value) {
            (status, Some(value)) if status.is_success() && object => Ok(Answer { text, value }),
            (status, Some(problem)) if !status.is_success() && object => Err(refused(status, Shape::of(&problem))),
            (status, _) => {
                Err(AskError::NotOurs { url: self.shown(), what: format!("status {status}, no JSON of ours") })
            }
        }
    }
}

/// A problem (RFC 9457) as an error: its detail, then what is wrong with single fields.
fn refused(status: StatusCode, problem: Shape<'_>) -> AskError {
    let mut detail = problem.at("detail").text();
    if detail.is_empty() {
        detail = problem.at("title").text();
    }
    for error in problem.at("errors").list() {
        detail.push_str(&format!("; {} {}", error.at("field").text(), error.at("detail").text()));
    }
    if detail.is_empty() {
        detail = visible(status.canonical_reason().unwrap_or("no reason"));
    }
    AskError::Refused { status: status.as_u16(), code: problem.at("code").text(), detail }
}

/// Prints on standard output; a reader that has gone is no error.
pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// `faultline status`: exit code 1 while the server is not ready or rule files were refused.
pub fn status(ask: &Ask) -> Result<ExitCode, Box<dyn Error>> {
    let server = Server::at(&ask.url)?;
    let answer = server.get("/status")?;
    let status = Shape::of(&answer.value);
    match ask.output {
        Output::Json => say(&pretty(&answer.text))?,
        Output::Table => say(&overview::page(status, &server.shown(), Paint::stdout()))?,
    }
    let well = status.at("ready").flag() && !status.at("rules.refused").is_there();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `faultline incidents`.
pub fn incidents(ask: &Ask) -> Result<ExitCode, Box<dyn Error>> {
    let server = Server::at(&ask.url)?;
    let answer = server.get("/incidents")?;
    match ask.output {
        Output::Json => say(&pretty(&answer.text))?,
        Output::Table => {
            // Open incidents last until the server's rule time, which need not be this machine's.
            let status = server.get("/status").map_or(Value::Null, |status| status.value);
            let now = Shape::of(&status).at("at").time();
            say(&lists::incidents(Shape::of(&answer.value), now, Paint::stdout()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `faultline revisions`.
pub fn revisions(ask: &Ask) -> Result<ExitCode, Box<dyn Error>> {
    let answer = Server::at(&ask.url)?.get("/revisions")?;
    match ask.output {
        Output::Json => say(&pretty(&answer.text))?,
        Output::Table => say(&revisions::page(Shape::of(&answer.value), Paint::stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `faultline rejects`.
pub fn rejects(ask: &Ask) -> Result<ExitCode, Box<dyn Error>> {
    let answer = Server::at(&ask.url)?.get("/rejects")?;
    match ask.output {
        Output::Json => say(&pretty(&answer.text))?,
        Output::Table => say(&lists::rejects(Shape::of(&answer.value), Paint::stdout()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A time as the API takes it.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::chain;
    use serde_json::json;
    use std::io::Read;
    use std::net::TcpListener;

    /// A server that gives one connection one answer.
    fn answering(answer: &'static [u8]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut request = [0; 1024];
            let _size = stream.read(&mut request);
            let _gone = stream.write_all(answer);
        });
        Server::at(&url).expect("an address")
    }

    fn error(server: &Server) -> String {
        match server.get("/status") {
            Ok(answer) => panic!("answered {}", answer.text),
            Err(error) => chain(&error),
        }
    }

    #[test]
    fn nobody_there_is_said_with_what_to_do() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let said = error(&Server::at(&format!("http://{free}")).expect("an address"));
        assert!(said.contains(&format!("no server answers at http://{free}")), "{said}");
        assert!(said.contains("`faultline run`") && said.contains("--url"), "{said}");
        assert_eq!(
            Server::at("127.0.0.1:7400").err().map(|error| error.to_string()).as_deref(),
            Some("--url: 127.0.0.1:7400 is not an address: it must begin with http://")
        );
    }

    #[test]
    fn what_is_not_ours_is_told_apart() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            b"220 mail.example ESMTP\r\n",
        ] {
            let said = error(&answering(answer));
            assert!(said.contains("does not answer as Faultline does") && said.contains("--http"), "{said}");
        }
    }

    #[test]
    fn a_problem_gives_its_detail() {
        let server = answering(
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 60\r\n\r\n{\"code\":\"disk-full\",\"detail\":\"no room is left on the disk\"}  ",
        );
        assert_eq!(error(&server), "the server answers 503: no room is left on the disk");
        let fields = json!({"detail": "no", "errors": [{"field": "at", "detail": "is\u{1b}[2J wrong"}]});
        let said = refused(StatusCode::BAD_REQUEST, Shape::of(&fields)).to_string();
        assert_eq!(said, "the server answers 400: no; at is\\u{1b}[2J wrong");
        let nothing = refused(StatusCode::NOT_FOUND, Shape::of(&Value::Null)).to_string();
        assert_eq!(nothing, "the server answers 404: Not Found");
    }

    #[test]
    fn an_answer_comes_with_its_text() {
        let answer = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"ready\":true}");
        let answer = answer.get("/status").expect("it is JSON");
        assert!(Shape::of(&answer.value).at("ready").flag());
        assert_eq!(answer.text, "{\"ready\":true}");
    }
}
