//! Those who are told: an Alertmanager in any mood, and a pipe that somebody reads.
use bytes::Bytes;
use faultline_sinks::http::{Exchange, HttpError, Response, Url};
use http::{Method, StatusCode};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What the world has been told. Clones are the same.
#[derive(Clone, Default)]
pub struct Receivers {
    inner: Arc<Mutex<Told>>,
}

/// What was told.
#[derive(Default)]
pub struct Told {
    /// See `Event::Receiver`.
    pub mood: u64,
    /// Each alert as last told: by labels, when it began and when it ends, RFC 3339.
    pub alerts: BTreeMap<String, (String, String)>,
    /// Requests that were taken.
    pub taken: u64,
    /// Requests that were not.
    pub failed: u64,
    /// Lines of the pipe.
    pub lines: Vec<String>,
    line: Vec<u8>,
}

impl Receivers {
    /// What was told.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.inner.lock().expect("no holder panics")
    }
}

impl Exchange for Receivers {
    fn request(&self, _: Method, url: &Url, _: &[(&str, &str)], body: Bytes) -> Result<Response, HttpError> {
        let mut told = self.told();
        let answer = |status| Ok(Response { status, body: Bytes::new() });
        match told.mood {
            1 => {
                told.failed += 1;
                return Err(HttpError::Connect { url: url.to_string(), reason: "nobody listens".into() });
            }
            2 => {
                told.failed += 1;
                return answer(StatusCode::INTERNAL_SERVER_ERROR);
            }
            4 => {
                told.failed += 1;
                return answer(StatusCode::BAD_REQUEST);
            }
            _ => {}
        }
        told.taken += 1;
        let alerts: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("alerts are JSON");
        for alert in alerts {
            let text = |name: &str| alert[name].as_str().unwrap_or_default().to_string();
            told.alerts.insert(alert["labels"].to_string(), (text("startsAt"), text("endsAt")));
        }
        if told.mood == 3 {
            return Err(HttpError::Timeout { url: url.to_string(), limit: Duration::from_secs(10) });
        }
        answer(StatusCode::OK)
    }
}

/// The pipe's writing end.
pub struct Pipe(pub Receivers);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut told = self.0.told();
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut told.line);
                told.lines.push(String::from_utf8_lossy(&line).into_owned());
            } else {
                told.line.push(byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
