//! Alertmanager v2: firing alerts at once and each minute, resolved ones for 15 minutes, as Prometheus sends them.
mod kept;

use crate::http::{Client, Exchange, HttpError, Limits, Url, UrlError};
use crate::run::{Ended, Pause, Sink};
use bytes::Bytes;
use faultline_host::retry::Backoff;
use faultline_host::{Clock, Random};
use faultline_model::facts::Decision;
use faultline_model::{EffectId, mutant};
use http::{Method, StatusCode};
use kept::{Batch, Kept};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most alerts in a request; Prometheus' `notifier.DefaultMaxBatchSize`.
const BATCH_MAX: usize = 256;
/// Upper end of the first wait after a failure, and of every wait.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(10);
/// An answer says `{}` or why not; more is not read.
const ANSWER_SIZE_MAX: usize = 64 << 10;
/// Reasons of refusals that are remembered, so that each is logged once.
const REASONS_MAX: usize = 64;
/// Characters of a refusal that are logged.
const REASON_SHOWN: usize = 200;

/// How alerts are sent.
#[derive(Clone, Debug)]
pub struct Options {
    /// A firing alert is sent again after this; Prometheus' `--rules.alert.resend-delay`, 1 minute.
    pub resend: Duration,
    /// Interval of rule groups: a firing alert stands for four times the longer of this and `resend`.
    pub interval: Duration,
    /// Our own address, to which `generatorURL` leads, such as `http://faultline.example:7400`.
    pub external_url: String,
    /// What a request may take.
    pub timeout: Duration,
    /// Most alerts kept.
    pub kept_max: usize,
}

impl Default for Options {
    /// Prometheus' defaults; 100,000 alerts.
    fn default() -> Options {
        Options {
            resend: Duration::from_secs(60),
            interval: Duration::from_secs(60),
            external_url: "http://127.0.0.1:7400".to_owned(),
            timeout: Duration::from_secs(10),
            kept_max: 100_000,
        }
    }
}

/// Why an Alertmanager cannot be sent to.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The address in the configuration is none. Correct it.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The system gave no socket poller or randomness.
    #[error("cannot set up the HTTP client")]
    System(#[from] io::Error),
}

/// What an Alertmanager's sink has done so far, for metrics and status: shared with its thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Alerts that it has taken, re-sent ones each time.
    pub delivered: AtomicU64,
    /// Requests that failed and are tried again.
    pub retried: AtomicU64,
    /// Alerts that it refused (4xx).
    pub refused: AtomicU64,
    /// Alerts for which there was no room.
    pub shed: AtomicU64,
    /// Alerts kept now: firing, or resolved and still re-sent.
    pub kept: AtomicU64,
    /// Whether it is being retried now, as 0 or 1.
    pub down: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// One Alertmanager. Several are several sinks, each with a thread and cursor of its own: what one has missed does not
/// concern the others.
pub struct Alertmanager {
    name: String,
    endpoint: Url,
    client: Box<dyn Exchange>,
    options: Options,
    kept: Kept,
    backoff: Backoff,
    /// No request before this, on the stopwatch; none while the Alertmanager answers.
    retry_at: Option<Duration>,
    /// Nobody listened there since it last answered: it may have lost what it knew.
    was_gone: bool,
    logged: BTreeSet<String>,
    /// An alert was shed, and that was logged.
    full: bool,
    counters: Arc<Counters>,
}

impl Alertmanager {
    /// - `url`: the Alertmanager's address as `alerting.alertmanagers` of Prometheus would name it, with its path prefix:
    ///   `/api/v2/alerts` is added.
    pub fn new(url: &str, options: Options) -> Result<Alertmanager, NewError> {
        let limits = Limits { overall: options.timeout, response_size_max: ANSWER_SIZE_MAX, ..Limits::default() };
        let client = Client::new(limits)?;
        Alertmanager::over(url, options, Box::new(client), Random::from_system()?)
    }

    /// One that is reached by `client`.
    ///
    /// - `random`: where the jitter of waits comes from.
    pub fn over(
        url: &str,
        options: Options,
        client: Box<dyn Exchange>,
        random: Random,
    ) -> Result<Alertmanager, NewError> {
        let endpoint = Url::parse(url)?.join("/api/v2/alerts")?;
        let external_url = options.external_url.trim_end_matches('/').to_owned();
        Ok(Alertmanager {
            name: format!("alertmanager {url}"),
            endpoint,
            client,
            kept: Kept::new(options.kept_max),
            options: Options { external_url, ..options },
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST, random),
            retry_at: None,
            was_gone: false,
            logged: BTreeSet::new(),
            full: false,
            counters: Arc::default(),
        })
    }

    /// What was done so far; stays readable from other threads while the sink runs.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Sends a batch. False where it is to be tried again; what is refused is not, until it is re-sent anyway.
    fn send(&mut self, batch: &Batch, body: String) -> bool {
        let count = batch.len() as u64;
        let headers = [("content-type", "application/json"), ("user-agent", "Faultline")];
        let problem = match self.client.request(Method::POST, &self.endpoint, &headers, Bytes::from(body)) {
            Ok(answer) if answer.status.is_success() => {
                if self.backoff.failures() > 0 {
                    tracing::info!("{} answers again", self.name);
                }
                add(&self.counters.delivered, count);
                return true;
            }
            Ok(answer) if is_final(answer.status) => {
                add(&self.counters.refused, count);
                self.log_refusal(answer.status, &String::from_utf8_lossy(&answer.body), count);
                return true;
            }
            Ok(answer) => format!("it answers {}", answer.status),
            Err(error) => {
                self.was_gone |= matches!(error, HttpError::Connect { .. });
                error.to_string()
            }
        };
        if self.backoff.failures() == 0 {
            tracing::warn!("{} cannot be reached, trying again until it can: {problem}", self.name);
        }
        add(&self.counters.retried, 1);
        false
    }

    /// Logs a refusal, once for each reason.
    fn log_refusal(&mut self, status: StatusCode, reason: &str, count: u64) {
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(REASON_SHOWN).collect();
        let reason = format!("{status}: {reason}");
        if self.logged.len() < REASONS_MAX && !self.logged.contains(&reason) {
            tracing::warn!("{} refused {count} alerts, which are not retried: {reason}", self.name);
            self.logged.insert(reason);
        }
    }
}

/// Whether an answer would be the same next time. A server that is busy (408, 429) or broken (5xx) may change its mind.
fn is_final(status: StatusCode) -> bool {
    !(status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT || status == StatusCode::TOO_MANY_REQUESTS)
}

impl Sink for Alertmanager {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&mut self, _next_leaf: Option<u64>) {}

    fn take(&mut self, leaf: u64, _id: EffectId, decision: Decision, clock: &dyn Clock) {
        let Decision::Alert(transition) = decision else { return };
        if !self.kept.take(leaf, transition, clock.now()) {
            add(&self.counters.shed, 1);
            if !self.full {
                let (name, max) = (&self.name, self.options.kept_max);
                tracing::error!("{name}: {max} alerts fire already, further ones are not sent");
            }
            self.full = true;
        }
    }

    fn work(&mut self, clock: &dyn Clock) -> Result<Pause, Ended> {
        let (monotonic, now) = (clock.monotonic(), clock.now());
        if let Some(wait) = self.retry_at.and_then(|at| at.checked_sub(monotonic)).filter(|wait| !wait.is_zero()) {
            return Ok(Some(wait));
        }
        let batch = self.kept.due(monotonic, now, BATCH_MAX);
        if !batch.is_empty() {
            let stands = self.options.resend.max(self.options.interval) * 4;
            let body = self.kept.body(&batch, now, stands, &self.options.external_url);
            if self.send(&batch, body) {
                self.backoff.succeeded();
                self.retry_at = None;
                if std::mem::take(&mut self.was_gone) {
                    self.kept.send_all_again();
                }
                self.kept.sent(&batch, monotonic, self.options.resend);
            } else {
                self.retry_at = Some(clock.monotonic() + self.backoff.failed());
            }
        }
        self.counters.kept.store(self.kept.len() as u64, Ordering::Relaxed);
        self.counters.down.store(u64::from(self.retry_at.is_some()), Ordering::Relaxed);
        let next = self.retry_at.or(self.kept.next_due());
        Ok(next.map(|at| at.saturating_sub(clock.monotonic())))
    }

    fn resume_at(&self, next_leaf: u64) -> u64 {
        if mutant!("cursor before the answer") {
            return next_leaf;
        }
        self.kept.oldest_leaf().map_or(next_leaf, |leaf| leaf.min(next_leaf))
    }
}
