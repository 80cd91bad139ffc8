//! From a body to an answer: decode on this thread, queue, wait until durable.
use bytes::{Bytes, BytesMut};
use faultline_formats::{Reject, Scope, decode, limits, summary};
use faultline_host::{Inlet, Refused};
use faultline_model::{
    Canonical, Clock, Control, Encoding, Format, HashSeed, Kind, Payload, SourceId, SourceName, TenantId,
};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Most sources whose names are remembered; beyond it names are journalled again now and then.
const NAMED_MAX: usize = 100_000;

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
    /// The server is stopping; send it again elsewhere or later.
    Stopping,
}

/// Takes bodies from every listener.
#[derive(Clone)]
pub struct Receiver {
    inlet: Inlet,
    seed: HashSeed,
    named: Arc<Mutex<BTreeSet<SourceId>>>,
}

impl Receiver {
    /// A receiver that feeds `inlet`. `named` are the sources whose names the journal holds already.
    pub fn new(inlet: Inlet, seed: HashSeed, named: impl IntoIterator<Item = SourceId>) -> Receiver {
        Receiver { inlet, seed, named: Arc::new(Mutex::new(named.into_iter().collect())) }
    }

    /// Decodes a body, hands it in, and resolves when it is durable.
    ///
    /// - `listener`: such as `otlp-grpc`; with the peer's address it names the source.
    pub async fn receive(
        &self,
        listener: &str,
        peer: IpAddr,
        format: Format,
        encoding: Encoding,
        clock: Clock,
        body: Bytes,
    ) -> Outcome {
        let source = match self.source(listener, peer) {
            Ok(source) => source,
            Err(refused) => return Outcome::from(refused),
        };
        let kind = Kind::Telemetry { source, format, encoding, clock };
        let decoded = decode(Payload { tenant: TenantId(0), kind, body }, self.seed);
        let mut rejects = decoded.rejects.clone();
        match self.inlet.submit(decoded).await {
            Ok(answer) => {
                rejects.extend(answer.rejects);
                match rejects.iter().any(|reject| reject.reason.scope() == Scope::Body) {
                    true => Outcome::Bad(summary(&rejects, Scope::Body)),
                    false => Outcome::Taken(rejects),
                }
            }
            Err(refused) => Outcome::from(refused),
        }
    }

    /// The source's id; its name is journalled ahead of its first record.
    fn source(&self, listener: &str, peer: IpAddr) -> Result<SourceId, Refused> {
        let peer = peer.to_string();
        let id = SourceId::of_parts(&[&0_u32.to_be_bytes(), listener.as_bytes(), peer.as_bytes()]);
        let mut named = self.named.lock().expect("no holder panics");
        if !named.contains(&id) {
            let name = SourceName { id, listener: listener.into(), peer };
            let kind = Kind::Control(Control::Source);
            let payload = Payload { tenant: TenantId(0), kind, body: name.to_bytes().into() };
            // Queued ahead of the telemetry that carries the id, so whatever is durable of the two, the name is.
            self.inlet.offer(decode(payload, self.seed))?;
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
            Refused::Full { retry_after } | Refused::DiskFull { retry_after } => Outcome::Busy(retry_after, text),
            Refused::TooLarge { .. } => Outcome::TooLarge(text),
            _ => Outcome::Stopping,
        }
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadBodyError {
    /// It is larger than the limit, by its own word or by what arrived.
    #[error("the body exceeds {limit} bytes; send smaller batches")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The connection broke.
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// Reads a whole body of at most [`limits::BODY_SIZE`] bytes and `extra` of framing; a larger one is refused by its
/// declared length, or as soon as more than that has arrived.
pub async fn read_body<B>(mut body: B, extra: usize) -> Result<Bytes, ReadBodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let limit = limits::BODY_SIZE + extra;
    let declared = body.size_hint().lower();
    if declared > limit as u64 {
        return Err(ReadBodyError::TooLarge { limit });
    }
    let mut whole = BytesMut::with_capacity(declared as usize);
    let mut only: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ReadBodyError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + only.as_ref().map_or(0, Bytes::len) + data.len() > limit {
            return Err(ReadBodyError::TooLarge { limit });
        }
        // A body in one frame, the common case over HTTP/2 with small batches, is not copied.
        match only.take() {
            None if whole.is_empty() => only = Some(data),
            None => whole.extend_from_slice(&data),
            Some(first) => {
                whole.extend_from_slice(&first);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(only.unwrap_or_else(|| whole.freeze()))
}

/// Seconds for a `Retry-After` header: rounded up, at least 1.
pub fn retry_after_seconds(delay: Duration) -> String {
    delay.as_secs_f64().ceil().max(1.0).to_string()
}
