//! What a source turns away before it is a record: no journal holds it, so that whoever looks must be told at once.
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;

/// Bytes kept of what was turned away, from its start.
pub const START_SIZE: usize = 4 << 10;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// Why a request was turned away. The words are stable: metrics and the API carry them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum AwayReason { $($(#[$doc])* $name,)* }

        impl AwayReason {
            /// Every reason.
            pub const ALL: &[AwayReason] = &[$(AwayReason::$name),*];

            /// The stable word.
            pub fn word(self) -> &'static str {
                match self { $(AwayReason::$name => $word),* }
            }
        }
    };
}

reasons! {
    /// The body is larger than the limit, by its own word or by what arrived.
    TooLarge = "too-large";
    /// The content type is none that is taken here.
    ContentType = "content-type";
    /// The body is encoded in a way that is not taken here.
    ContentEncoding = "content-encoding";
    /// There is no such path or method here.
    UnknownPath = "unknown-path";
    /// What frames the message does not fit it.
    BadFraming = "bad-framing";
    /// The connection broke before the body was whole.
    BrokenOff = "broken-off";
    /// The body came too slowly.
    TooSlow = "too-slow";
    /// Too much is under way; the sender is to come back.
    Busy = "busy";
    /// The journal has no room; the sender is to come back.
    DiskFull = "disk-full";
    /// The server is starting or stopping; the sender is to come back.
    NotReady = "not-ready";
}

/// A request that was answered without a record.
#[derive(Clone, Debug)]
pub struct TurnedAway {
    /// The listener, such as `otlp-grpc`.
    pub listener: &'static str,
    /// Who sent it.
    pub peer: IpAddr,
    /// Why.
    pub reason: AwayReason,
    /// What the sender was told.
    pub detail: String,
    /// Size of the body in bytes, as declared or as received; none where neither is known.
    pub size: Option<u64>,
    /// Its first bytes, at most [`START_SIZE`].
    pub start: Bytes,
}

/// Who is told. Called on the sockets' threads: it must not block for long.
pub type TellAway = Arc<dyn Fn(TurnedAway) + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique() {
        let mut words: Vec<&str> = AwayReason::ALL.iter().map(|reason| reason.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), AwayReason::ALL.len());
    }
}
