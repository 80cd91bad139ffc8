//! From a body to an answer: find room, decode, queue, wait until durable.
use crate::body::{self, Held, Seen, Unread};
use crate::decoders::{Decoders, room_for};
use crate::line::Line;
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
    Taken(Vec<Reject>, Written),
    /// Nothing was taken, and sending it again will not help.
    Bad(String),
    /// Nothing was taken because it is too large.
    TooLarge(String),
    /// Nothing was taken, because the body came too slowly.
    TooSlow(String),
    /// Nothing was taken; send it again after the delay.
    Busy(Duration, String),
    /// Nothing was taken because the journal has no room; send it again after the delay.
    DiskFull(Duration, String),
    /// The server is starting or stopping; send it again after the delay, or elsewhere.
    Unavailable(Duration, String),
}

/// How much of a body was taken, as far as remote write 2.0 asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Floats.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars, those among them of series that turn out not to be there.
    pub exemplars: u64,
}

impl Written {
    /// Less what the state refused, which does not say of which kind it was: of a body that holds both, floats are counted first.
    fn without(self, rejects: &[Reject]) -> Written {
        let items = rejects.iter().filter(|reject| reject.reason.scope() == Scope::Item);
        let refused: u64 = items.map(|reject| reject.count).sum();
        let floats = refused.min(self.samples);
        let histograms = self.histograms.saturating_sub(refused - floats);
        Written { samples: self.samples - floats, histograms, ..self }
    }
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
    pub(crate) inlet: Inlet,
    seed: Arc<OnceLock<HashSeed>>,
    named: Arc<Mutex<BTreeSet<SourceId>>>,
    tell: TellAway,
    decoders: Decoders,
    /// Who waits to be read, and who is read and waits to be decoded.
    to_read: Line,
    to_decode: Line,
}

impl Receiver {
    /// A receiver that feeds `inlet` once `seed` is known; until then senders are told that the server is starting.
    ///
    /// - `tell`: hears of every request that is answered without a record.
    pub fn new(inlet: Inlet, seed: Arc<OnceLock<HashSeed>>, tell: TellAway) -> Receiver {
        let (to_read, to_decode) = (Line::default(), Line::default());
        Receiver { inlet, seed, named: Arc::default(), tell, decoders: Decoders::default(), to_read, to_decode }
    }

    /// Sources whose names the journal holds already.
    pub fn know(&self, named: impl IntoIterator<Item = SourceId>) {
        self.named.lock().expect("no holder panics").extend(named);
    }

    /// Reads a whole body of at most [`faultline_formats::limits::BODY_SIZE`] bytes and `extra` of framing.
    ///
    /// Fails with what its sender is to be told; it is counted.
    pub(crate) async fn read<B>(
        &self,
        sender: Sender,
        headers: &HeaderMap,
        body: B,
        extra: usize,
    ) -> Result<Held, Outcome>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Display,
    {
        body::read(&self.inlet, &self.to_read, headers, body, extra).await.map_err(|Unread { reason, told, seen }| {
            self.turn_away(sender, reason, told.text(), seen);
            told
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

    /// Decodes a body, hands it in, and resolves when it is durable. Where the inlet has no room, and gets none soon, it is not
    /// decoded.
    pub(crate) async fn receive(&self, sender: Sender, reading: Reading, body: Held) -> Outcome {
        let bytes = body.bytes.clone();
        let outcome = self.hand_in(sender, reading, body).await;
        if let Some((reason, text)) = outcome.away() {
            self.turn_away(sender, reason, text, Seen::<http_body_util::Empty<Bytes>>::whole(&bytes));
        }
        outcome
    }

    async fn hand_in(&self, sender: Sender, reading: Reading, body: Held) -> Outcome {
        let Some(&seed) = self.seed.get() else {
            let text = "the server is starting: it reads its journal again; retry in a moment";
            return Outcome::Unavailable(UNAVAILABLE_FOR, text.into());
        };
        let Reading { format, encoding, clock } = reading;
        let Held { bytes: body, room: being_read } = body;
        let size = room_for(body.len(), encoding);
        let room = match self.to_decode.wait(|| self.inlet.reserve(size)).await {
            Ok(room) => room,
            Err(refused) => return Outcome::from(refused),
        };
        drop(being_read);
        let source = match self.source(sender, seed) {
            Ok(source) => source,
            Err(refused) => return Outcome::from(refused),
        };
        let kind = Kind::Telemetry { source, format, encoding, clock };
        let decoded = self.decoders.decode(Payload { tenant: TenantId(0), kind, body }, seed).await;
        let mut rejects = decoded.rejects.clone();
        let events = &decoded.events;
        let [samples, histograms, exemplars] =
            [events.points.len(), events.histograms.len(), events.exemplars.len()].map(|count| count as u64);
        let decoded_all = Written { samples, histograms, exemplars };
        match self.inlet.submit_in(room, decoded).await {
            Ok(answer) => {
                let written = decoded_all.without(&answer.rejects);
                rejects.extend(answer.rejects);
                match rejects.iter().any(|reject| reject.reason.scope() == Scope::Body) {
                    true => Outcome::Bad(summary(&rejects, Scope::Body)),
                    false => Outcome::Taken(rejects, written),
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

impl Outcome {
    /// Why it is answered without a record, and in words; none where the journal tells of it.
    pub(crate) fn away(&self) -> Option<(AwayReason, &str)> {
        let reason = match self {
            Outcome::Taken(..) | Outcome::Bad(_) => return None,
            Outcome::TooLarge(_) => AwayReason::TooLarge,
            Outcome::TooSlow(_) => AwayReason::TooSlow,
            Outcome::Busy(..) => AwayReason::Busy,
            Outcome::DiskFull(..) => AwayReason::DiskFull,
            Outcome::Unavailable(..) => AwayReason::NotReady,
        };
        Some((reason, self.text()))
    }

    /// What is said of it; nothing of what was taken.
    pub(crate) fn text(&self) -> &str {
        match self {
            Outcome::Taken(..) => "",
            Outcome::Bad(text)
            | Outcome::TooLarge(text)
            | Outcome::TooSlow(text)
            | Outcome::Busy(_, text)
            | Outcome::DiskFull(_, text)
            | Outcome::Unavailable(_, text) => text,
        }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use faultline_host::{Intake, Limits, inlet};
    use http_body_util::Full;
    use std::net::Ipv4Addr;
    use tokio::time::timeout;

    pub(crate) const LIMITS: Limits =
        Limits { bytes: 64 << 10, count: 8, reading: 64 << 10, retry_after: Duration::from_secs(3) };
    const SENDER: Sender = Sender { listener: "otlp-http", peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    const GZIP: Reading = Reading { format: Format::OtlpMetrics, encoding: Encoding::Gzip, clock: Clock::Live };

    /// A receiver, and the reasons of what it turned away.
    pub(crate) fn receiver() -> (Receiver, Intake, Arc<Mutex<Vec<AwayReason>>>) {
        let (inlet, intake) = inlet(LIMITS);
        let told: Arc<Mutex<Vec<AwayReason>>> = Arc::default();
        let tell = told.clone();
        let tell: TellAway = Arc::new(move |turned| tell.lock().expect("no panic").push(turned.reason));
        (Receiver::new(inlet, Arc::new(HashSeed(1).into()), tell), intake, told)
    }

    /// Sends zeros; resolves with the answer, or with nothing once everybody waits.
    async fn send(receiver: &Receiver, size: usize) -> Option<Outcome> {
        let body = Full::new(Bytes::from(vec![0; size]));
        let all = async {
            match receiver.read(SENDER, &HeaderMap::new(), body, 0).await {
                Ok(held) => receiver.receive(SENDER, GZIP, held).await,
                Err(outcome) => outcome,
            }
        };
        // The clock is paused: it goes on only when nothing else can.
        timeout(Duration::from_secs(3_600), all).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_inlet_refuses_before_anything_is_decoded() {
        let (receiver, _intake, told) = receiver();
        let turns = receiver.decoders.all_turns();
        let half = receiver.inlet.reserve(LIMITS.bytes / 2).expect("room");
        assert!(send(&receiver, 100).await.is_none(), "it waits for a decoder, and none is free");
        assert_eq!(receiver.inlet.reading_bytes(), 0);
        let before = receiver.inlet.load();
        // Such a body takes 17 times its size until it is decoded: more than there is.
        let Some(Outcome::Busy(delay, _)) = send(&receiver, LIMITS.bytes / 32).await else {
            panic!("it waits for a decoder, or was taken")
        };
        assert_eq!((delay, receiver.inlet.load(), receiver.inlet.reading_bytes()), (LIMITS.retry_after, before, 0));
        assert_eq!(*told.lock().expect("no panic"), [AwayReason::Busy]);
        drop(turns);
        let waiting = send(&receiver, LIMITS.bytes / 32).await;
        assert!(matches!(waiting, Some(Outcome::Busy(..))), "{waiting:?}");
        drop(half);
        assert!(send(&receiver, LIMITS.bytes / 32).await.is_none(), "decoded and queued: it waits to be durable");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_a_decoder_are_bounded_and_give_their_room_back() {
        let (receiver, _intake, told) = receiver();
        let turns = receiver.decoders.all_turns();
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let receiver = receiver.clone();
                tokio::spawn(async move { send(&receiver, 10).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The name of the source is one of the records.
        assert_eq!((receiver.inlet.load().1, told.lock().expect("no panic").len()), (LIMITS.count, 13));
        waiting.into_iter().for_each(|one| one.abort());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(receiver.inlet.load().1, 1, "senders that went away hold nothing");
        drop(turns);
    }
}
