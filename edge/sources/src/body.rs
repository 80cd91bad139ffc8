//! Bodies off the wire: read within bounds, or seen as far as a refusal wants them and then dropped.
//!
//! A client may write its whole body before it looks for an answer. One that is refused meanwhile sees only a closed
//! connection, unless what it goes on to write is read: a bounded amount of it, for a bounded time, beside the answer.
use bytes::{Bytes, BytesMut};
use faultline_formats::limits;
use faultline_host::AwayReason;
use faultline_host::turned_away::START_SIZE;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::Body;
use std::fmt::Display;
use std::time::Duration;
use tokio::time::timeout;

/// Most bytes that are read and dropped of a refused body.
const DROPPED_MAX: u64 = 256 << 20;
/// Longest time for which that is done.
const DROPPED_FOR: Duration = Duration::from_secs(10);
/// Longest wait for a refused body's first bytes before the refusal is counted without them.
const START_WITHIN: Duration = Duration::from_millis(250);

/// How much of a body was seen, and what is left of it.
pub struct Seen<B> {
    /// Its first bytes, at most [`START_SIZE`].
    pub start: Bytes,
    /// Its size, as declared or as received; none where neither is known.
    pub size: Option<u64>,
    /// What was not read yet; none where its sender waits for leave to send it.
    rest: Option<B>,
}

impl<B: Body<Data = Bytes> + Unpin> Seen<B> {
    /// A body of which nothing was read.
    pub fn nothing(headers: &HeaderMap, body: B) -> Seen<B> {
        // Reading the body is what tells such a sender to go on (RFC 9110 10.1.1).
        let waits = headers.contains_key(EXPECT);
        Seen { start: Bytes::new(), size: declared(&body), rest: (!waits).then_some(body) }
    }

    /// A body that was read to its end.
    pub fn whole(body: &Bytes) -> Seen<B> {
        Seen { start: start_of(body), size: Some(body.len() as u64), rest: None }
    }

    /// The first bytes of what is no body.
    pub fn start(bytes: &[u8]) -> Seen<B> {
        Seen { start: start_of(bytes), size: None, rest: None }
    }

    /// The start of a body that is still under way, if it comes within a moment.
    pub async fn begin(&mut self) {
        if let (true, Some(rest)) = (self.start.is_empty(), &mut self.rest)
            && let Ok(Some(Ok(frame))) = timeout(START_WITHIN, rest.frame()).await
            && let Ok(data) = frame.into_data()
        {
            self.start = start_of(&data);
        }
    }

    /// Reads and drops what is left, within bounds.
    pub async fn drop_rest(self) {
        let Some(mut rest) = self.rest else { return };
        let dropping = async {
            let mut left = DROPPED_MAX;
            while let Some(Ok(frame)) = rest.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
                if left == 0 {
                    break;
                }
            }
        };
        // Past the bounds the connection is closed.
        let _late = timeout(DROPPED_FOR, dropping).await;
    }

    /// Whether anything is left to read.
    pub fn is_whole(&self) -> bool {
        self.rest.is_none()
    }
}

/// A body that cannot be taken.
pub struct Unread<B> {
    /// Why: [`AwayReason::TooLarge`] or [`AwayReason::BrokenOff`].
    pub reason: AwayReason,
    /// In words, for its sender.
    pub detail: String,
    /// As much of it as there is.
    pub seen: Seen<B>,
}

/// Reads a whole body of at most [`limits::BODY_SIZE`] bytes and `extra` of framing; a larger one is refused by its
/// declared length, or as soon as more than that has arrived.
pub async fn read<B>(headers: &HeaderMap, mut body: B, extra: usize) -> Result<Bytes, Unread<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let limit = limits::BODY_SIZE + extra;
    let too_large = |seen| Unread {
        reason: AwayReason::TooLarge,
        detail: format!("the body exceeds {limit} bytes; send smaller batches"),
        seen,
    };
    let size = declared(&body);
    if size.is_some_and(|size| size > limit as u64) {
        return Err(too_large(Seen::nothing(headers, body)));
    }
    let mut whole = BytesMut::with_capacity(size.unwrap_or(0) as usize);
    let mut only: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let so_far = |whole: &[u8], only: &Option<Bytes>| start_of(only.as_deref().unwrap_or(whole));
        let received = whole.len() + only.as_ref().map_or(0, Bytes::len);
        let data = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
            Err(error) => {
                let (start, received) = (so_far(&whole, &only), received as u64);
                let seen = Seen { start, size: Some(size.unwrap_or(received)), rest: None };
                let detail = format!("the body broke off after {received} bytes: {error}");
                return Err(Unread { reason: AwayReason::BrokenOff, detail, seen });
            }
        };
        if received + data.len() > limit {
            let start = if received == 0 { start_of(&data) } else { so_far(&whole, &only) };
            return Err(too_large(Seen { start, size, rest: Some(body) }));
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

/// The length that a body states of itself, if it does.
fn declared(body: &impl Body) -> Option<u64> {
    body.size_hint().exact()
}

/// A copy: a slice would keep the whole body in memory.
pub fn start_of(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&bytes[..bytes.len().min(START_SIZE)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Frame;
    use std::cell::Cell;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll};

    /// A body of frames of one size, a count of the bytes taken of it, and whether it ends well.
    struct Frames {
        left: usize,
        size: usize,
        taken: Rc<Cell<usize>>,
        breaks: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            if self.left == 0 {
                return Poll::Ready(self.breaks.then_some(Err("reset")));
            }
            self.left -= 1;
            self.taken.set(self.taken.get() + self.size);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; self.size])))))
        }
    }

    fn run<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
    }

    #[test]
    fn what_is_left_of_a_refused_body_is_read_and_dropped_within_bounds() {
        let taken = Rc::new(Cell::new(0));
        let frames = |left| Frames { left, size: 1 << 20, taken: taken.clone(), breaks: false };
        let Err(unread) = run(read(&HeaderMap::new(), frames(200), 0)) else { panic!("200 MiB were taken") };
        assert_eq!((unread.reason, unread.seen.start.len()), (AwayReason::TooLarge, START_SIZE));
        assert_eq!(taken.get(), limits::BODY_SIZE + (1 << 20), "refused as soon as it is too large");
        run(unread.seen.drop_rest());
        assert_eq!(taken.get(), 200 << 20, "all of it was read");
        taken.set(0);
        run(Seen::nothing(&HeaderMap::new(), frames(10_000)).drop_rest());
        assert_eq!(taken.get() as u64, DROPPED_MAX);
        assert_eq!(run(read(&HeaderMap::new(), frames(3), 0)).ok().map(|body| body.len()), Some(3 << 20));
    }

    #[test]
    fn a_sender_that_waits_for_leave_is_not_told_to_go_on() {
        let taken = Rc::new(Cell::new(0));
        let headers = HeaderMap::from_iter([(EXPECT, http::HeaderValue::from_static("100-continue"))]);
        let mut seen = Seen::nothing(&headers, Frames { left: 9, size: 9, taken: taken.clone(), breaks: false });
        run(seen.begin());
        assert!(seen.is_whole());
        run(seen.drop_rest());
        assert_eq!(taken.get(), 0);
    }

    #[test]
    fn a_body_that_breaks_off_is_told_with_what_came_of_it() {
        let frames = Frames { left: 1, size: 3, taken: Rc::default(), breaks: true };
        let Err(unread) = run(read(&HeaderMap::new(), frames, 0)) else { panic!("it was taken") };
        assert_eq!((unread.reason, &unread.seen.start[..]), (AwayReason::BrokenOff, &b"xxx"[..]));
        assert_eq!(unread.detail, "the body broke off after 3 bytes: reset");
    }
}
