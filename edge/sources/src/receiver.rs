//! From a body to an answer: decode on this thread, queue, wait until durable.
use crate::body::{self, Seen, Unread};
use bytes::Bytes;
use faultline_formats::{Reject, Scope, decode, summary};
use faultline_host::{AwayReason, Inlet, Refused, TellAway, TurnedAway};
use faultline_model::{
    Canonical, Clock, Control, Encoding, Format, HashSeed, Kind, Payload, SourceId, SourceName, TenantId,
};
use http::HeaderMap;
use hyper::body::Body;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Most sources whose names are remembered; beyond it names are journalled again now and then.
const NAMED_MAX: usize = 100_000;
/// When a sender is to come back to a server that is starting or stopping.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(2);

/// What a sender is told.
#[derive(Debug)]
pub enum Outcome {
    /// Durable. Items listed were not taken, and sending them again will not help.
    Taken(Vec<Reject>),
    /// Nothing was taken, and sending it again will not help.
    Bad(String),
    /// Nothing was taken because it is too large.
    TooLarge(String),
    /// Nothing was taken; send it again after the delay.
    Busy(Duration, String),
    /// Nothing was taken because the journal has no room; send it again after the delay.
    DiskFull(Duration, String),
    /// The server is starting or stopping; send it again after the delay, or elsewhere.
    Unavailable(Duration, String),
}

/// Who sends, on which listener: together they name the source.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Such as `otlp-grpc`.
    pub listener: &'static str,
    /// The peer's address.
    pub peer: IpAddr,
}

/// How a body is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What it is.
    pub format: Format,
    /// How it is encoded.
    pub encoding: Encoding,
    /// Whether it is of now or of the past.
    pub clock: Clock,
}

/// Takes bodies from every listener.
#[derive(Clone)]
pub struct Receiver {
    inlet: Inlet,
    seed: Arc<OnceLock<HashSeed>>,
    named: Arc<Mutex<BTreeSet<SourceId>>>,
    tell: TellAway,
}

impl Receiver {
    /// A receiver that feeds `inlet` once `seed` is known; until then senders are told that the server is starting.
    ///
    /// - `tell`: hears of every request that is answered without a record.
    pub fn new(inlet: Inlet, seed: Arc<OnceLock<HashSeed>>, tell: TellAway) -> Receiver {
        Receiver { inlet, seed, named: Arc::default(), tell }
    }

    /// Sources whose names the journal holds already.
    pub fn know(&self, named: impl IntoIterator<Item = SourceId>) {
        self.named.lock().expect("no holder panics").extend(named);
    }

    /// Reads a whole body of at most [`faultline_formats::limits::BODY_SIZE`] bytes and `extra` of framing.
    ///
    /// Fails with why, which is counted, and with what its sender is to be told.
    pub(crate) async fn read<B>(
        &self,
        sender: Sender,
        headers: &HeaderMap,
        body: B,
        extra: usize,
    ) -> Result<Bytes, (AwayReason, String)>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Display,
    {
        body::read(headers, body, extra).await.map_err(|Unread { reason, detail, seen }| {
            self.turn_away(sender, reason, &detail, seen);
            (reason, detail)
        })
    }

    /// Counts a request that is answered without a record. What its sender goes on to write is read and dropped, within
    /// bounds, while the answer is on its way.
    pub(crate) fn turn_away<B>(&self, sender: Sender, reason: AwayReason, detail: &str, mut seen: Seen<B>)
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
    {
        let (tell, detail) = (self.tell.clone(), detail.to_owned());
        let told = move |seen: &Seen<B>| {
            let Sender { listener, peer } = sender;
            tell(TurnedAway { listener, peer, reason, detail, size: seen.size, start: seen.start.clone() });
        };
        if seen.is_whole() {
            return told(&seen);
        }
        tokio::spawn(async move {
            seen.begin().await;
            told(&seen);
            seen.drop_rest().await;
        });
    }

    /// Decodes a body, hands it in, and resolves when it is durable.
    pub async fn receive(&self, sender: Sender, reading: Reading, body: Bytes) -> Outcome {
        let outcome = self.hand_in(sender, reading, body.clone()).await;
        let (reason, detail) = match &outcome {
            Outcome::Taken(_) | Outcome::Bad(_) => return outcome,
            Outcome::TooLarge(text) => (AwayReason::TooLarge, text),
            Outcome::Busy(_, text) => (AwayReason::Busy, text),
            Outcome::DiskFull(_, text) => (AwayReason::DiskFull, text),
            Outcome::Unavailable(_, text) => (AwayReason::NotReady, text),
        };
        self.turn_away(sender, reason, detail, Seen::<http_body_util::Empty<Bytes>>::whole(&body));
        outcome
    }

    async fn hand_in(&self, sender: Sender, reading: Reading, body: Bytes) -> Outcome {
        let Some(&seed) = self.seed.get() else {
            let text = "the server is starting: it reads its journal again; retry in a moment";
            return Outcome::Unavailable(UNAVAILABLE_FOR, text.into());
        };
        let source = match self.source(sender, seed) {
            Ok(source) => source,
            Err(refused) => return Outcome::from(refused),
        };
        let Reading { format, encoding, clock } = reading;
        let kind = Kind::Telemetry { source, format, encoding, clock };
        let decoded = decode(Payload { tenant: TenantId(0), kind, body }, seed);
        let mut rejects = decoded.rejects.clone();
        match self.inlet.submit(decoded).await {
            Ok(answer) => {
                rejects.extend(answer.rejects);
                match rejects.iter().any(|reject| reject.reason.scope() == Scope::Body) {
                    true => Outcome::Bad(summary(&rejects, Scope::Body)),
                    false => Outcome::Taken(rejects),
                }
            }
            Err(refused) => {
                if matches!(refused, Refused::DiskFull { .. }) {
                    // Its name may have been in the group that found no room: it is journalled again.
                    self.named.lock().expect("no holder panics").remove(&source);
                }
                Outcome::from(refused)
            }
        }
    }

    /// The source's id; its name is journalled ahead of its first record.
    fn source(&self, sender: Sender, seed: HashSeed) -> Result<SourceId, Refused> {
        let Sender { listener, peer } = sender;
        let peer = peer.to_string();
        let id = SourceId::of_sender(TenantId(0), listener, &peer);
        let mut named = self.named.lock().expect("no holder panics");
        if !named.contains(&id) {
            let name = SourceName { id, listener: listener.into(), peer };
            let kind = Kind::Control(Control::Source);
            let payload = Payload { tenant: TenantId(0), kind, body: name.to_bytes().into() };
            // Queued ahead of the telemetry that carries the id, so whatever is durable of the two, the name is.
            self.inlet.offer(decode(payload, seed))?;
            if named.len() >= NAMED_MAX {
                named.clear();
            }
            named.insert(id);
        }
        Ok(id)
    }
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Outcome {
        let text = refused.to_string();
        match refused {
            Refused::Full { retry_after } => Outcome::Busy(retry_after, text),
            Refused::DiskFull { retry_after } => Outcome::DiskFull(retry_after, text),
            Refused::TooLarge { .. } => Outcome::TooLarge(text),
            _ => Outcome::Unavailable(UNAVAILABLE_FOR, text),
        }
    }
}

/// Seconds for a `Retry-After` header: rounded up, at least 1.
pub fn retry_after_seconds(delay: Duration) -> String {
    delay.as_secs_f64().ceil().max(1.0).to_string()
}
